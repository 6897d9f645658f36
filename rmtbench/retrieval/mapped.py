"""Arrays in files of bare numbers, memory-mapped and checked for their length."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from numpy.typing import NDArray


def map_file(path: Path, kind: str, shape: tuple[int, ...]) -> NDArray[Any]:
    """A file's numbers, read when they are needed.

    Args:
        path: The bare numbers.
        kind: Their NumPy type.
        shape: How they stand.

    Raises:
        OSError: There is no such file.
        ValueError: It is of another length.
    """
    import numpy as np

    if 0 in shape:
        return np.zeros(shape, dtype=kind)
    if path.stat().st_size != np.dtype(kind).itemsize * int(np.prod(shape)):
        raise ValueError(f"{path.name} is not as long as index.json says")
    return np.memmap(path, dtype=kind, mode="r", shape=shape)

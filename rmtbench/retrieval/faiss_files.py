"""FAISS over vectors in a file: short codes, a graph that is saved as it grows, or inverted lists on disk.

It only finds candidates; `dense_files` scores them. FAISS is the extra `faiss` and takes a second to import.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

from rmtbench.errors import UserError
from rmtbench.options import flag
from rmtbench.retrieval.base import Report
from rmtbench.retrieval.seals import is_sealed, remove_sealed, write_seal

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

LINKS, BUILD_EFFORT, SEARCH_EFFORT = 32, 200, 256
"""HNSW (Malkov and Yashunin 2016): links of a node, and how many candidates are kept while building and searching."""

TRAINING = 64
"""Vectors that k-means gets for each centre of inverted lists."""

CODED, CODED_LEAST = 65_536, 624
"""Maximum and minimum of vectors to learn the codes from. FAISS warns of fewer."""

EFFORT: Mapping[str, int] = {"pq": 500, "hnsw": SEARCH_EFFORT, "ivf": 64}
"""Effort of a search by kind: chunks to find, candidates to keep, inverted lists to search."""

STEP = 20_000
"""Vectors that are added between two reports."""

SAVE_EVERY = 200_000
"""Vectors after which a growing graph is saved."""


def import_faiss() -> ModuleType:
    """Import FAISS.

    Raises:
        UserError: It is not installed.
    """
    try:
        import faiss
    except ImportError as error:
        raise UserError(
            "a dense index of this size needs FAISS, which is not installed",
            where=flag.index,
            remedy=f"pip install 'rmtbench[faiss]', or choose {flag.dense_index}=flat",
        ) from error
    module: ModuleType = faiss
    return module


def build_pq(vectors: NDArray[np.float32], folder: Path, report: Report) -> None:
    """Code the vectors by product quantisation (Jégou et al. 2011), two numbers in four bits.

    For an odd dimension, it is one number in four bits. A search compares all codes, in registers (André et al. 2015).
    They have a sixteenth of a flat index's bytes. What is found does not depend on how vectors cluster, because there
    are no lists or links in which a vector could be missed.

    Args:
        vectors: Shape ``[chunks, dimension]``; may be memory-mapped.
        folder: Where they are saved as `pq.faiss`.
        report: Gets the number of vectors coded so far.
    """
    import numpy as np

    faiss = import_faiss()
    count, dimension = vectors.shape
    parts = dimension if dimension % 2 else dimension // 2
    index = faiss.IndexPQFastScan(dimension, parts, 4, faiss.METRIC_INNER_PRODUCT)
    sample = np.sort(np.random.default_rng(0).choice(count, min(count, CODED), replace=False))
    sample = np.resize(sample, max(len(sample), CODED_LEAST))  # if there are fewer, some are used more than once
    index.train(np.ascontiguousarray(vectors[sample]))
    for start in range(0, count, STEP):
        index.add(vectors[start : start + STEP])
        report(index.ntotal)
    _save(faiss, index, folder / "pq.faiss")


def build_hnsw(vectors: NDArray[np.float32], folder: Path, report: Report) -> None:
    """Make a graph over the vectors in half precision. An unfinished graph that was saved is continued.

    Args:
        vectors: Shape ``[chunks, dimension]``; may be memory-mapped.
        folder: Where it is saved as `hnsw.faiss`.
        report: Gets the number of vectors in it so far.
    """
    faiss = import_faiss()
    path, growing = folder / "hnsw.faiss", folder / "hnsw.growing"
    if is_sealed(growing):
        index = faiss.read_index(str(growing))
    else:
        half = faiss.ScalarQuantizer.QT_fp16
        index = faiss.IndexHNSWSQ(vectors.shape[1], half, LINKS, faiss.METRIC_INNER_PRODUCT)
        index.hnsw.efConstruction = BUILD_EFFORT
        index.train(vectors[:1])
    for start in range(index.ntotal, len(vectors), STEP):
        index.add(vectors[start : start + STEP])
        report(index.ntotal)
        if index.ntotal // SAVE_EVERY > start // SAVE_EVERY and index.ntotal < len(vectors):
            _save(faiss, index, growing)
    _save(faiss, index, path)
    remove_sealed(growing)


def build_ivf(vectors: NDArray[np.float32], folder: Path, report: Report) -> None:
    """Sort the vectors into inverted lists on disk: make shards, then merge them list by list.

    Args:
        vectors: Shape ``[chunks, dimension]``; may be memory-mapped.
        folder: Where they are saved as `ivf.faiss` and `ivf.lists`.
        report: Gets the number of vectors in shards so far.
    """
    import numpy as np

    faiss = import_faiss()
    from faiss.contrib.ondisk import merge_ondisk

    count, dimension = vectors.shape
    shards = folder / "shards"
    shards.mkdir(exist_ok=True)
    trained = shards / "trained.faiss"
    if not is_sealed(trained):
        lists = max(1, min(int(4 * count**0.5), count // 39))
        sample = np.sort(np.random.default_rng(0).choice(count, min(count, TRAINING * lists), replace=False))
        index = faiss.IndexIVFFlat(faiss.IndexFlatIP(dimension), dimension, lists, faiss.METRIC_INNER_PRODUCT)
        index.train(np.ascontiguousarray(vectors[sample]))
        _save(faiss, index, trained)
    paths = []
    for start in range(0, count, SAVE_EVERY):
        end = min(start + SAVE_EVERY, count)
        path = shards / f"{start:010}-{end:010}.faiss"  # a last shard that has grown since is another one
        if not is_sealed(path):
            index = faiss.read_index(str(trained))
            for at in range(start, end, STEP):
                part = vectors[at : min(at + STEP, end)]
                index.add_with_ids(part, np.arange(at, at + len(part)))
                report(at + len(part))
            _save(faiss, index, path)
        paths.append(str(path))
    index = faiss.read_index(str(trained))
    merge_ondisk(index, paths, str(folder / "ivf.lists"))
    _save(faiss, index, folder / "ivf.faiss")
    shutil.rmtree(shards)


def open_finder(folder: Path, kind: str) -> Any:  # noqa: ANN401 - the library has no types
    """Open a FAISS index. A graph and lists are memory-mapped; codes are in memory.

    Args:
        folder: Where it was saved.
        kind: ``pq``, ``hnsw`` or ``ivf``.

    Raises:
        ValueError: FAISS cannot read it, or it was made elsewhere.
    """
    if not is_sealed(folder / f"{kind}.faiss"):
        raise ValueError(f"{kind}.faiss was not made here, with this cache folder")
    faiss = import_faiss()
    flags = {"pq": 0, "hnsw": faiss.IO_FLAG_MMAP_IFC, "ivf": faiss.IO_FLAG_ONDISK_SAME_DIR}
    try:
        return faiss.read_index(str(folder / f"{kind}.faiss"), flags[kind])
    except RuntimeError as error:
        raise ValueError(f"{kind}.faiss cannot be read") from error


Build = Callable[["NDArray[np.float32]", Path, Report], None]
BUILDERS: Mapping[str, Build] = {"pq": build_pq, "hnsw": build_hnsw, "ivf": build_ivf}
"""Builders by kind of index."""


def _save(faiss: ModuleType, index: object, path: Path) -> None:
    temporary = path.with_suffix(".part")
    faiss.write_index(index, str(temporary))
    write_seal(temporary, path.name)
    temporary.replace(path)

"""One hash for a model's weights, wherever they lie."""

from __future__ import annotations

import hashlib
import json
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from rmtbench.files import file_sha256

if TYPE_CHECKING:
    import torch


def add_weights(digest: hashlib._Hash, model: torch.nn.Module) -> None:
    """Add a model's tensors to a hash, names and bytes, in the order of their names."""
    import torch

    for key, weight in sorted(model.state_dict().items()):
        digest.update(key.encode())
        digest.update(weight.detach().cpu().contiguous().view(torch.uint8).numpy().tobytes())


def _loaded(folder: Path) -> list[Path]:
    """The files of a folder that transformers loads: some hold the same weights once more in another layout."""
    index = folder / "model.safetensors.index.json"
    if index.is_file() and not (folder / "model.safetensors").is_file():
        with suppress(OSError, ValueError, LookupError, TypeError, AttributeError):
            named = {str(name) for name in json.loads(index.read_bytes())["weight_map"].values()}
            return [folder / name for name in sorted(named) if (folder / name).is_file()]
    kinds = [sorted(folder.glob("*.safetensors")), sorted(folder.glob("pytorch_model*.bin"))]
    if not ((folder / "model.safetensors").is_file() or index.is_file()):
        kinds.reverse()  # other safetensors, such as an adapter's, are no weights of the model
    return kinds[0] or kinds[1]


def weights_hash(name: str, revision: str | None = None) -> str:
    """SHA-256 over the weight files of a model that are loaded, by name.

    Hub files are stored under their own SHA-256, which is taken as it is instead of reading gigabytes again.

    Args:
        name: A folder, or a hub id whose files are in the local hub cache.
        revision: The commit, of a hub id.

    Returns:
        64 hexadecimal digits, or ``not recorded`` where the files cannot be found.
    """
    folder = Path(name).expanduser()
    if not folder.is_dir():
        from huggingface_hub import try_to_load_from_cache

        config = try_to_load_from_cache(name, "config.json", revision=revision)
        if not isinstance(config, str):
            return "not recorded"
        folder = Path(config).parent
    digest = hashlib.sha256()
    for file in _loaded(folder):
        blob = file.resolve().name
        if len(blob) == 64 and file.is_symlink():
            digest.update(bytes.fromhex(blob))
        else:
            digest.update(bytes.fromhex(file_sha256(file)))
    return digest.hexdigest()

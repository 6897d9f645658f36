"""One hash for everything of a model that decides its answers, made from its files before and while it is loaded."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from rmtbench.errors import UserError
from rmtbench.files import file_sha256
from rmtbench.models.gguf import gguf_identity
from rmtbench.models.random_geometry import is_random
from rmtbench.models.sources import Source, find_source
from rmtbench.models.weights import weights_hash
from rmtbench.options import flag
from rmtbench.options.model import Weights

PARTS = ("weights", "adapter", "configuration", "tokenizer", "chat format")
"""What an identity is made of, in the order in which differences are named."""

_CONFIG_NOISE = (
    "_name_or_path", "_model_name_or_path", "_commit_hash", "transformers_version", "dtype", "torch_dtype",
    "_attn_implementation", "use_cache", "initializer_range",
)  # fmt: skip
"""Fields of a `config.json` that change no answer; the dtype is part of every run's settings."""

_TOKENIZER_NOISE = ("chat_template", "model_max_length", "name_or_path", "is_local", "local_files_only")
"""Fields of a `tokenizer_config.json` that stand elsewhere or change no token."""

_TOKENIZER_FILES = (
    "tokenizer.json", "tekken.json", "vocab.txt", "vocab.json", "merges.txt", "added_tokens.json",
    "special_tokens_map.json",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Identity:
    """Hashes of what decides a model's answers.

    Attributes:
        parts: A SHA-256 for each of `PARTS`; empty text where a model has no such part.
    """

    parts: Mapping[str, str]

    @property
    def sha256(self) -> str:
        """One hash over all parts."""
        return hashlib.sha256(json.dumps(dict(self.parts), sort_keys=True).encode()).hexdigest()


def identity_of(source: Source, tokenizer: str | None = None, seed: int = 0, weights: Weights = "native") -> Identity:
    """Return the identity of a model whose files are on this machine.

    Args:
        source: Where they are.
        tokenizer: Another tokenizer than the model's own.
        seed: Seed of random weights.
        weights: How its weights are held: int8 is another model than the same files as they are.

    Raises:
        UserError: Another tokenizer is named and not here.
    """
    folder = _folder(source.path)
    if is_random(source.path):
        files = _hash([f"{source.path} seed {seed}"])
        configuration = files
    elif source.sha256 is not None:
        files, configuration = source.sha256, gguf_identity(source.sha256)
    else:
        files, configuration = weights_hash(source.path), _configuration(folder)
    held = files if weights == "native" else _hash([files, weights])
    words, chat = _tokenizer(source, folder, tokenizer)
    adapter = source.adapter.sha256 if source.adapter is not None else ""
    return Identity(dict(zip(PARTS, (held, adapter, configuration, words, chat), strict=True)))


def identity_here(
    model: str,
    adapter: str | None = None,
    tokenizer: str | None = None,
    seed: int = 0,
    weights: Weights = "native",
) -> Identity | None:
    """Return a model's identity without loading, converting or fetching anything; None where its files are not here."""
    with suppress(UserError, OSError):
        source = find_source(model, adapter, fetch=False)
        known = is_random(source.path) or source.sha256 is not None or _folder(source.path) is not None
        return identity_of(source, tokenizer, seed, weights) if known else None
    return None


def tokenizer_source(source: Source, tokenizer: str | None, *, fetch: bool = True) -> Source:
    """Return where the tokenizer is: the one that is named, the adapter's own, MiniLM's, or the model's.

    Args:
        source: The model.
        tokenizer: What the user named; None for the model's own.
        fetch: Whether files may be converted or fetched.

    Raises:
        UserError: It is missing.
    """
    if tokenizer is not None:
        return find_source(tokenizer, None, flag.tokenizer, fetch=fetch)
    if source.adapter is not None and (source.adapter.folder / "tokenizer_config.json").is_file():
        return Source(source.name, str(source.adapter.folder), source.public)
    if is_random(source.path):
        from rmtbench.models.embed_files import MINILM, model_folder

        return Source(source.name, str(model_folder(MINILM)), "all-MiniLM-L6-v2 WordPiece")
    return source if source.adapter is None else replace(source, adapter=None, public=source.base)


def _tokenizer(source: Source, folder: Path | None, tokenizer: str | None) -> tuple[str, str]:
    """Hashes of the tokenizer and of its chat format."""
    own = tokenizer_source(source, tokenizer, fetch=False)
    if own.sha256 is not None:
        return gguf_identity(own.sha256), gguf_identity(own.sha256)
    place = folder if own.path == source.path else _folder(own.path)
    if place is None:
        return "", ""
    settings = _json(place / "tokenizer_config.json")
    kept = {name: value for name, value in settings.items() if name not in _TOKENIZER_NOISE}
    files = [place / name for name in _TOKENIZER_FILES] + sorted(place.glob("*.model"))
    hashes = [f"{file.name} {file_sha256(file)}" for file in files if file.is_file()]
    templates = [place / "chat_template.jinja", *sorted((place / "additional_chat_templates").glob("*.jinja"))]
    texts = [file.read_text(encoding="utf-8") for file in templates if file.is_file()]
    return _hash([*hashes, canonical(kept)]), _hash([*texts, canonical(settings.get("chat_template"))])


def _configuration(folder: Path | None) -> str:
    """Hash of `config.json` without what changes no answer, and of the tokens that end an answer."""
    if folder is None:
        return ""
    settings = {name: value for name, value in _json(folder / "config.json").items() if name not in _CONFIG_NOISE}
    return _hash([canonical(settings), canonical(_json(folder / "generation_config.json").get("eos_token_id"))])


def _folder(path: str) -> Path | None:
    """The folder of a path or of a hub id whose files are in the hub cache."""
    folder = Path(path).expanduser()
    if folder.is_dir():
        return folder
    if is_random(path):
        return None
    from huggingface_hub import try_to_load_from_cache
    from huggingface_hub.errors import HFValidationError

    for name in ("config.json", "tokenizer_config.json"):
        with suppress(HFValidationError):
            found = try_to_load_from_cache(path, name)
            if isinstance(found, str):
                return Path(found).parent
    return None


def _json(path: Path) -> dict[str, Any]:
    """The object in a file; empty where the file is missing, and what is wrong with one is said when it is loaded."""
    with suppress(OSError, ValueError):
        read = json.loads(path.read_text(encoding="utf-8"))
        if isinstance(read, dict):
            return read
    return {}


def canonical(value: object) -> str:
    """Return JSON in one fixed spelling, so that equal values have equal hashes."""
    return json.dumps(value, sort_keys=True, ensure_ascii=True, separators=(",", ":"), default=str)


def _hash(texts: Iterable[str]) -> str:
    return hashlib.sha256("\n".join(texts).encode("utf-8", "surrogatepass")).hexdigest()

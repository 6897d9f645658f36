"""PEFT adapters: find, check and merge them into a model's weights, or refuse them with the reason."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rmtbench.errors import UserError
from rmtbench.files import file_sha256
from rmtbench.options import flag

if TYPE_CHECKING:
    import torch
    from transformers import PreTrainedModel

CONFIG = "adapter_config.json"
WEIGHTS = ("adapter_model.safetensors", "adapter_model.bin")
CARD = "rmtbench.json"
"""Beside a shipped adapter: ``{"base": NAME, "base_weights_sha256": [HASH, ...]}``, the only base that fits."""

SHIPPED_ADAPTERS = {"reading": Path(__file__).parent.parent / "assets" / "adapters" / "reading-smollm2"}
"""Adapters that come with the package, by name."""

_NOT_OF_THE_WEIGHTS = ("base_model_name_or_path", "revision", "peft_version", "inference_mode", "auto_mapping")
"""Fields of an adapter's configuration that do not decide what is computed."""

TOLERANCE = 1e-3
"""Largest difference of a logit after merging, as a share of the largest logit. Float32 rounding is near 1e-5."""


@dataclass(frozen=True, slots=True)
class AdapterFiles:
    """An adapter on disk, read and hashed; no weights are loaded.

    Attributes:
        name: Its shipped name, else its folder's.
        folder: Where it is.
        config: Its `adapter_config.json`.
        sha256: Hash of its weights, and of the configuration that decides what they do.
        card: Its `rmtbench.json`; empty for other people's adapters.
    """

    name: str
    folder: Path
    config: Mapping[str, Any]
    sha256: str
    card: Mapping[str, Any]

    @property
    def facts(self) -> dict[str, Any]:
        """For the provenance."""
        kind = str(self.config.get("peft_type") or "unknown")
        numbers = {name: self.config[name] for name in ("r", "lora_alpha") if name in self.config}
        stated = Path(str(self.config.get("base_model_name_or_path") or "")).name
        return {"name": self.name, "sha256": self.sha256, "kind": kind, **numbers, "trained_on": stated, "merged": True}


def is_adapter(folder: Path) -> bool:
    """Return whether a folder holds a PEFT adapter."""
    return (folder / CONFIG).is_file()


def find_adapter(name: str, option: str = flag.adapter) -> AdapterFiles:
    """Find an adapter and hash its files.

    Args:
        name: A name of `SHIPPED_ADAPTERS`, or a folder.
        option: The option that named it, for errors.

    Raises:
        UserError: The adapter is missing, incomplete or damaged.
    """
    folder = SHIPPED_ADAPTERS.get(name, Path(name).expanduser())
    where = f"{option} {name}"
    if name in SHIPPED_ADAPTERS and not is_adapter(folder):
        raise UserError(
            f"the adapter '{name}' is not in this installation", where=where, remedy="update rmtbench, or leave it out"
        )
    if not is_adapter(folder):
        what = f"no PEFT adapter here: there is no {CONFIG}" if folder.is_dir() else "no such folder"
        known = ", ".join(SHIPPED_ADAPTERS)
        raise UserError(
            what, where=where, remedy=f"give a folder that PEFT's save_pretrained wrote, or one of: {known}"
        )
    weights = next((folder / file for file in WEIGHTS if (folder / file).is_file()), None)
    if weights is None:
        raise UserError(
            f"the adapter has no weights ({WEIGHTS[0]})", where=where, remedy="fetch all of its files again"
        )
    config = _json(folder / CONFIG, where)
    card = _json(folder / CARD, where) if (folder / CARD).is_file() else {}
    decides = {key: value for key, value in config.items() if key not in _NOT_OF_THE_WEIGHTS}
    spelt = json.dumps(decides, sort_keys=True, separators=(",", ":"), default=str)
    digest = hashlib.sha256(f"{file_sha256(weights)}\n{spelt}".encode()).hexdigest()
    shipped = name if name in SHIPPED_ADAPTERS else folder.resolve().name
    return AdapterFiles(shipped, folder, config, digest, card)


def check_base(adapter: AdapterFiles, base: str, weights_sha256: str) -> None:
    """Refuse an adapter on a base model that its card does not name; a folder is known by its weights, not its name.

    Args:
        adapter: The adapter. Without a card, only its tensors are checked, when it is merged.
        base: The base model's name.
        weights_sha256: Hash of the base model's weights.

    Raises:
        UserError: The card names another base model.
    """
    stated = adapter.card.get("base")
    hashes = adapter.card.get("base_weights_sha256", [])
    if stated is None or weights_sha256 in hashes:
        return
    hashed = bool(hashes) and len(weights_sha256) == 64  # and no name of a revision
    if base == stated and not (hashed and Path(base).expanduser().is_dir()):
        return  # one of ours, or the hub's: the same model, whatever file it comes from
    whose = "other weights of " if Path(base).name == stated else ""
    raise UserError(
        f"the adapter '{adapter.name}' was trained for {whose}'{stated}', not for '{Path(base).name}'",
        where=flag.adapter,
        remedy=f"give {flag.model} {stated}, or leave the adapter out",
    )


def merge_adapter(model: PreTrainedModel, adapter: AdapterFiles) -> PreTrainedModel:
    """Merge an adapter into a model's float32 weights.

    Every tensor of the adapter must have its place in the model, and every place its tensor. The logits before and
    after merging are compared, and an adapter whose logits change is refused.

    Args:
        model: In float32; changed in place.
        adapter: The adapter.

    Returns:
        The model without PEFT's modules.

    Raises:
        UserError: The adapter does not fit the model, or cannot be merged.
    """
    import warnings

    where = f"{flag.adapter} {adapter.name}"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # PEFT warns of missing keys and the like; here they are refused
        return _merged(model, adapter, where)


def _merged(model: PreTrainedModel, adapter: AdapterFiles, where: str) -> PreTrainedModel:
    import torch

    if getattr(model, "hf_quantizer", None) is not None:
        raise UserError(
            "an adapter cannot be merged into quantised weights",
            where=where,
            remedy=f"give the model's unquantised weights as {flag.model}",
        )
    wrapped = _wrap(model, adapter, where)
    _fill(wrapped, adapter, where)
    wrapped.eval()
    ids = torch.arange(1, 9, device=model.device)[None] % model.get_input_embeddings().weight.shape[0]  # [1, 8]
    with torch.inference_mode():
        before = wrapped(input_ids=ids).logits
        try:
            merged: PreTrainedModel = wrapped.merge_and_unload(safe_merge=True).eval()
        except Exception as error:
            raise _refused(adapter, "cannot be merged", error, where) from error
        after = merged(input_ids=ids).logits
    difference, largest = float((after - before).abs().max()), float(before.abs().max())
    if not difference <= TOLERANCE * max(largest, 1e-6):
        raise UserError(
            f"merging the adapter '{adapter.name}' changes its answers (logits differ by {difference:.2g})",
            where=where,
            remedy=f"merge it with PEFT yourself, compare, and give the merged folder as {flag.model}",
        )
    return merged


def _wrap(model: PreTrainedModel, adapter: AdapterFiles, where: str) -> Any:  # noqa: ANN401 - peft is not typed
    """Put PEFT's modules around the model, without the adapter's weights."""
    from peft import PeftConfig, get_peft_model

    try:
        config = PeftConfig.from_pretrained(str(adapter.folder))
    except Exception as error:
        raise _refused(adapter, "has a configuration that PEFT cannot read", error, where) from error
    kind = str(getattr(config.peft_type, "value", config.peft_type))
    if config.is_prompt_learning or kind in {"XLORA", "ADAPTION_PROMPT", "POLY"}:
        raise _unmergeable(kind, where)
    config.inference_mode = True
    config.base_model_name_or_path = None  # a path of the machine that trained it; PEFT would warn
    try:
        wrapped = get_peft_model(model, config)
    except Exception as error:
        raise _refused(adapter, "does not fit this model", error, where) from error
    if not hasattr(wrapped.base_model, "merge_and_unload"):
        raise _unmergeable(kind, where)
    return wrapped


def _unmergeable(kind: str, where: str) -> UserError:
    return UserError(
        f"an adapter of kind {kind} cannot be merged into the weights",
        where=where,
        remedy="give an adapter that changes weights, such as LoRA",
    )


def _fill(wrapped: Any, adapter: AdapterFiles, where: str) -> None:  # noqa: ANN401 - peft is not typed
    """Load the adapter's weights into PEFT's modules. All must be there, and none may be left over."""
    from peft import get_peft_model_state_dict, set_peft_model_state_dict
    from peft.utils.save_and_load import load_peft_weights

    try:
        given: Mapping[str, torch.Tensor] = load_peft_weights(str(adapter.folder), device="cpu")
        places = set(get_peft_model_state_dict(wrapped, save_embedding_layers=False))
        outcome: Any = set_peft_model_state_dict(wrapped, dict(given))
    except Exception as error:
        raise _refused(adapter, "does not fit this model", error, where) from error
    lacking, left_over = sorted(places - set(given)), sorted(outcome.unexpected_keys)
    if lacking or left_over or not given:
        told = [f"{len(keys)} tensors {what}, such as {keys[0]}" for keys, what in (
            (left_over, "have no place in the model"),
            (lacking, "are missing"),
        ) if keys]  # fmt: skip
        raise UserError(
            f"the adapter '{adapter.name}' does not fit this model: {' and '.join(told) or 'it holds no tensor'}",
            where=where,
            remedy=f"give the base model it was trained on: {_stated(adapter)}",
        )


def _refused(adapter: AdapterFiles, what: str, error: Exception, where: str) -> UserError:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()] or [type(error).__name__]
    reason = next((line for line in lines if "size mismatch" in line), lines[0])
    return UserError(
        f"the adapter '{adapter.name}' {what} ({reason[:200]})",
        where=where,
        remedy=f"give the base model it was trained on: {_stated(adapter)}",
    )


def _stated(adapter: AdapterFiles) -> str:
    return str(adapter.config.get("base_model_name_or_path") or "its configuration does not name one")


def _json(path: Path, where: str) -> dict[str, Any]:
    try:
        read = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise UserError(f"{path.name} cannot be read ({error})", where=where, remedy="fetch the file again") from error
    if not isinstance(read, dict):
        raise UserError(f"{path.name} is no JSON object", where=where, remedy="fetch the file again")
    return read

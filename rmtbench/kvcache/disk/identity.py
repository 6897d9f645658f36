"""What decides a cache's bytes besides the token ids. Two identities that differ in anything share no cache."""

from __future__ import annotations

import hashlib
import json
from array import array
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from rmtbench.errors import UserError
from rmtbench.measure import computing_unit
from rmtbench.models.architecture import plain_causal
from rmtbench.models.identity import canonical
from rmtbench.options import flag

if TYPE_CHECKING:
    from transformers import PreTrainedModel

    from rmtbench.models.local import LocalModel

_OF_THE_FILES = ("_name_or_path", "transformers_version", "dtype", "torch_dtype", "_attn_implementation")
"""What a configuration tells of where it came from; dtype and attention have entries of their own."""


def model_identity(model: LocalModel, chunk_tokens: int) -> dict[str, Any]:
    """Everything a cache of this model must agree in.

    Args:
        model: The model that reads.
        chunk_tokens: Tokens it reads at once: another number rounds otherwise.

    Returns:
        JSON values by name.

    Raises:
        UserError: The model's weights have no hash, so that two models could not be told apart.
    """
    import torch
    import transformers

    from rmtbench.kvcache.exact.chunk_attention import NAME

    known = model.provenance
    if len(str(known["weights_sha256"])) != 64:
        raise UserError(
            f"the weights of {known['id']} could not be hashed, so that a stored cache could be another model's",
            where=flag.kv_cache,
            remedy="leave the option out, or give the model as a folder of weight files",
        )
    config, device = model.model.config, model.model.device
    settings = {name: value for name, value in config.to_dict().items() if name not in _OF_THE_FILES}
    return {
        "model": known["id"],
        "revision": known["revision"],
        "class": type(model.model).__name__,
        "weights_sha256": known["weights_sha256"],
        "config_sha256": hashlib.sha256(canonical(settings).encode()).hexdigest(),
        "rope": json.loads(canonical(getattr(config, "rope_parameters", None) or {})),
        "buffers_sha256": _buffers_hash(model.model),
        "context_limit": known["context_limit"],
        "tokenizer_sha256": known["tokenizer_sha256"],
        "dtype": known["dtype"],
        "device": device.type,
        ("card" if device.type == "cuda" else "processor"): computing_unit(device),
        "attention": NAME if plain_causal(model.model) else known["attention"],
        "linear": known.get("linear", "torch"),
        "chunk_tokens": chunk_tokens,
        "identity": known.get("identity"),
        "versions": {"torch": torch.__version__, "transformers": transformers.__version__},
    }


def _buffers_hash(model: PreTrainedModel) -> str:
    """Hash of the numbers that no weight file has, such as rotary frequencies: names, types and bytes."""
    import torch

    digest = hashlib.sha256()
    for name, buffer in model.named_buffers():
        if buffer.is_floating_point():
            digest.update(f"{name} {buffer.dtype}".encode())
            digest.update(buffer.detach().cpu().contiguous().flatten().view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()


def ids_bytes(ids: Sequence[int]) -> bytes:
    """Token ids as they are stored: unsigned 32-bit numbers, little-endian."""
    numbers = array("I", ids)
    if array("I", [1]).tobytes()[0] == 0:  # pragma: no cover - a big-endian machine
        numbers.byteswap()
    return numbers.tobytes()


def cache_key(identity: Mapping[str, Any], ids: Sequence[int]) -> str:
    """The name of the one cache that these ids have under this identity: 64 hexadecimal digits."""
    return hashlib.sha256(canonical(identity).encode() + ids_bytes(ids)).hexdigest()


def differences(wanted: Mapping[str, Any], found: Mapping[str, Any]) -> list[str]:
    """Names of the entries in which two identities differ."""
    return [name for name in (*wanted, *(set(found) - set(wanted))) if wanted.get(name) != found.get(name)]

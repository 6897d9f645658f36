"""Linear layers with weights of 8 bits, symmetric by output channel; activations stay as they are.

A row of weights ``w`` becomes whole numbers ``q`` in [-127, 127] and one scale, so that ``q * scale`` differs from
``w`` by half a scale at most. The product is ``(x @ q.T) * scale``, in the dtype of ``x``.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from torch.nn.functional import linear

from rmtbench.errors import UserError
from rmtbench.models.linear import LEAST_WEIGHTS, multiply_by_onednn, onednn_serves
from rmtbench.options import flag

if TYPE_CHECKING:
    from transformers import PreTrainedModel

NATIVE, INT8 = "native", "int8"
DTYPES = (torch.float32, torch.bfloat16)
"""Of activations. In float16 a sum over whole numbers can exceed the largest number."""
MOST = 127
BLOCK, BLOCK_ON_DEVICE = 2**19, 2**26
"""Weights that are turned into numbers of the activations' dtype at once. On a CPU these 2 MB stay in a core's cache
until they are multiplied, so that memory is read for 8 bits a weight; elsewhere a call costs more than it moves."""
FEW_ROWS = 8
"""Rows up to which torch's own operator is the faster one in bfloat16 (on an AMD EPYC with AVX-512, torch 2.13: a
quarter of the blocks' time for one row, as long for eight). In float32 it takes five times as long as blocks for one
row, and longer with each row, so that blocks serve all of them."""

MULTIPLE = 16
"""Of the numbers that torch's operator reads at once: with other widths it reads what lies behind a row of weights."""


@dataclass(frozen=True)
class Int8Weights:
    """The weights of one layer, or of several that read the same.

    Attributes:
        integers: ``[out, in]``, int8.
        scale: ``[out]``, in the dtype of the activations.
        by_onednn: Whether oneDNN multiplies, as in `rmtbench.models.linear`.
    """

    integers: torch.Tensor
    scale: torch.Tensor
    by_onednn: bool

    def multiply(self, given: torch.Tensor, added: torch.Tensor | None = None) -> torch.Tensor:
        """Multiply ``[..., in]`` to ``[..., out]``, and add what is given."""
        rows = given.reshape(-1, given.shape[-1])
        found: torch.Tensor
        few = len(rows) <= FEW_ROWS and not rows.shape[-1] % MULTIPLE
        if given.dtype == torch.bfloat16 and given.device.type == "cpu" and few:
            found = torch.ops.aten._weight_int8pack_mm(rows, self.integers, self.scale)  # noqa: SLF001 - named so
        else:
            found = self._by_blocks(rows)
        found = found.view(*given.shape[:-1], found.shape[-1])
        return found if added is None else found.add_(added)

    def _by_blocks(self, rows: torch.Tensor) -> torch.Tensor:
        most = BLOCK if rows.device.type == "cpu" else BLOCK_ON_DEVICE
        parts = torch.split(self.integers, max(1, most // rows.shape[-1]))
        products = [self._product(rows, part.to(rows.dtype)) for part in parts]
        return (products[0] if len(products) == 1 else torch.cat(products, -1)).mul_(self.scale)

    def _product(self, rows: torch.Tensor, weight: torch.Tensor) -> torch.Tensor:
        if self.by_onednn and weight.numel() >= LEAST_WEIGHTS:
            return multiply_by_onednn(weight, rows)
        return linear(rows, weight)


class Int8Linear(torch.nn.Module):
    """A linear layer that keeps `Int8Weights`. It has no ``weight``: code that reads one must fail, not read integers.

    Args:
        layer: The layer whose place it takes.
        by_onednn: As in `Int8Weights`.

    Raises:
        ValueError: A weight is not a finite number.
    """

    def __init__(self, layer: torch.nn.Linear, *, by_onednn: bool) -> None:
        super().__init__()
        self.in_features, self.out_features = layer.in_features, layer.out_features
        integers, scale = quantise(layer.weight.detach())
        self.integers = torch.nn.Parameter(integers, requires_grad=False)
        self.scale = torch.nn.Parameter(scale, requires_grad=False)
        self.bias = layer.bias
        self.by_onednn = by_onednn

    @property
    def weights(self) -> Int8Weights:
        """What is multiplied."""
        return Int8Weights(self.integers, self.scale, self.by_onednn)

    def forward(self, given: torch.Tensor) -> torch.Tensor:
        """Multiply ``[..., in]`` to ``[..., out]``."""
        return self.weights.multiply(given, self.bias)


def quantise(weight: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Return whole numbers ``[out, in]`` and scales ``[out]`` for weights ``[out, in]``.

    Raises:
        ValueError: A weight is not a finite number.
    """
    largest = weight.abs().amax(-1)
    if not bool(largest.isfinite().all()):
        raise ValueError("a weight is not a finite number")
    # The scale is rounded to its dtype first: what is divided by is what is multiplied by.
    scale = (largest.float() / MOST).clamp_min(torch.finfo(torch.float32).tiny).to(weight.dtype)
    integers = (weight.float() / scale.float()[:, None]).round_().clamp_(-MOST, MOST)
    return integers.to(torch.int8), scale


def check_dtype(weights: str, dtype: str) -> None:
    """Refuse int8 weights beside activations that they do not serve; loads nothing.

    Raises:
        UserError: The dtype is not one of `DTYPES`.
    """
    if weights == INT8 and getattr(torch, dtype) not in DTYPES:
        raise _refused(f"they do not serve {dtype}", f"give {flag.dtype} float32 or bfloat16")


def use_int8(model: PreTrainedModel) -> dict[str, Any]:
    """Replace a model's linear layers, its head included, by `Int8Linear`; their float weights are freed.

    A head that is tied to the embedding gets 8 bits of its own, and the embedding stays as it is.

    Args:
        model: Changed in place, one layer after the other.

    Returns:
        What the provenance records.

    Raises:
        UserError: The model is quantised already, or keeps weights in other kinds of layers.
    """
    _check(model)
    before, by_onednn = stored_bytes(model), onednn_serves(model)
    tied = _is_tied(model)
    layers = [name for name, layer in model.named_modules() if type(layer) is torch.nn.Linear]
    for name in layers:
        parent, _, last = name.rpartition(".")
        try:
            layer = Int8Linear(model.get_submodule(name), by_onednn=by_onednn)
        except ValueError as error:
            raise _refused(
                f"{error} ({name})", f"leave {flag.weights} out, or fetch the model's files again"
            ) from error
        setattr(model.get_submodule(parent), last, layer)
    return {
        "weights": INT8,
        "scales": "symmetric, by output channel",
        "of": str(model.dtype).removeprefix("torch."),
        "layers": len(layers),
        "head": "its own 8 bits beside the tied embedding" if tied else "8 bits",
        "bytes_before": before,
        "bytes": stored_bytes(model),
    }


def stored_bytes(model: torch.nn.Module) -> int:
    """Return the bytes of a model's parameters, each storage once."""
    kept = {each.untyped_storage().data_ptr(): each.untyped_storage().nbytes() for each in model.parameters()}
    return sum(kept.values())


def _is_tied(model: PreTrainedModel) -> bool:
    head = model.get_output_embeddings()
    return head is not None and head.weight is model.get_input_embeddings().weight


def _check(model: PreTrainedModel) -> None:
    """Refuse a model of which only a part would have 8 bits."""
    if getattr(model, "hf_quantizer", None) is not None or hasattr(model.config, "quantization_config"):
        raise _refused("the model's weights are quantised already", "leave it out, or give unquantised weights")
    for name, module in model.named_modules():
        matrices = [each for each in module.parameters(recurse=False) if each.dim() > 1]
        if matrices and type(module) not in (torch.nn.Linear, torch.nn.Embedding):
            raise _refused(
                f"{type(model).__name__} keeps weights in {type(module).__name__} ({name}), which has no 8 bits here",
                "leave it out, or choose a model with linear layers, such as a Llama",
            )


def _refused(what: str, remedy: str) -> UserError:
    return UserError(what, where=f"{flag.weights} {INT8}", remedy=remedy)

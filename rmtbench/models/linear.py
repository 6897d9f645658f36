"""Large linear layers on a processor that is not Intel's, multiplied by oneDNN: for float32, torch asks MKL.

There MKL multiplies a single row with a weight on one thread, however many there are, and a few rows at two thirds of
oneDNN's speed (`docs/explanation/cag.md`). The sums are the same but for the order of their terms.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from rmtbench.measure import processor_name

if TYPE_CHECKING:
    from transformers import PreTrainedModel

LEAST_WEIGHTS = 2**18
"""Of a layer: smaller ones stay in a core's cache, where oneDNN's longer way to each call costs more than it gains."""

ONEDNN = "oneDNN"
TORCH = "torch"


class OneDnnLinear(torch.nn.Linear):
    """A linear layer that differs from its parent in who multiplies, and only where no gradient is wanted."""

    def forward(self, input: torch.Tensor) -> torch.Tensor:  # noqa: A002 - the parent's name for it
        """Multiply ``[..., in]`` to ``[..., out]``."""
        if torch.is_grad_enabled() or input.dtype != torch.float32 or torch.is_autocast_enabled("cpu"):
            return super().forward(input)
        if torch._C._functorch.is_batchedtensor(input):  # noqa: SLF001 - oneDNN takes the weights of one layer alone
            return super().forward(input)
        found: torch.Tensor = torch.ops.mkldnn._linear_pointwise(input, self.weight, self.bias, "none", [], "")  # noqa: SLF001 - named so
        return found


def multiply_by_onednn(weight: torch.Tensor, given: torch.Tensor, added: torch.Tensor | None = None) -> torch.Tensor:
    """Multiply ``[rows, in]`` by ``[out, in]`` to ``[rows, out]``, and add `added` if it is given; float32."""
    if added is None:
        found: torch.Tensor = torch.ops.mkldnn._linear_pointwise(given, weight, None, "none", [], "")  # noqa: SLF001 - named so
    else:
        found = torch.ops.mkldnn._linear_pointwise.binary(given, added, weight, None, "add")  # noqa: SLF001
    return found


def use_onednn(model: PreTrainedModel) -> str:
    """Let a model's large linear layers multiply by oneDNN where that is faster.

    Args:
        model: A model in float32 on the CPU is changed in place; any other is left as it is.

    Returns:
        Who multiplies: `ONEDNN` or `TORCH`, for provenance.
    """
    if not onednn_serves(model):
        return TORCH
    large = [each for each in model.modules() if type(each) is torch.nn.Linear and each.weight.numel() >= LEAST_WEIGHTS]
    for layer in large:
        layer.__class__ = OneDnnLinear
    return ONEDNN if large else TORCH


def onednn_serves(model: PreTrainedModel) -> bool:
    """Whether oneDNN is the faster one for a model: in float32 on a processor that is not Intel's."""
    there = torch.backends.mkl.is_available() and torch.backends.mkldnn.is_available()  # type: ignore[no-untyped-call]
    plain = model.device.type == "cpu" and model.dtype == torch.float32
    return plain and there and hasattr(torch.ops.mkldnn, "_linear_pointwise") and "Intel" not in processor_name()

"""Weights in 8 bits: each output channel of a linear layer has one scale; activations stay as they are. Not exact.

Few rows are multiplied by torch's own kernel for such weights, which reads a quarter of the bytes. Many rows are
multiplied by the weights in full precision, made again for each use.

Source: weight-only round-to-nearest per channel, the baseline of LLM.int8() (Dettmers et al., 2022, arXiv 2208.07339).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from rmtbench.errors import UserError

if TYPE_CHECKING:
    from transformers import PreTrainedModel

FEW_ROWS = 32
"""Rows up to which the kernel for 8-bit weights is faster than making the weights again."""


class Int8Linear(torch.nn.Module):
    """A linear layer with 8-bit weights.

    Attributes:
        weight: Codes, ``[out, in]``, int8.
        scale: What a step of each output channel is worth, ``[out]``, in the activations' type.
        bias: As in the layer that it stands for, or None.
    """

    weight: torch.Tensor
    scale: torch.Tensor

    def __init__(self, layer: torch.nn.Linear) -> None:
        super().__init__()
        codes, scale = encode(layer.weight.data)
        self.register_buffer("weight", codes)
        self.register_buffer("scale", scale)
        self.bias = layer.bias
        self.in_features, self.out_features = layer.in_features, layer.out_features

    def forward(self, given: torch.Tensor) -> torch.Tensor:
        """Multiply ``[..., in]`` to ``[..., out]``."""
        found = multiply(given.reshape(-1, self.in_features), self.weight, self.scale)
        if self.bias is not None:
            found = found + self.bias
        return found.view(*given.shape[:-1], self.out_features)


def encode(weight: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Round ``[out, in]`` to int8 codes and scales ``[out]``; a channel of zeros has the scale 1."""
    largest = weight.float().abs().amax(1)
    scale = torch.where(largest > 0, largest / 127, torch.ones_like(largest))
    codes = (weight.float() / scale[:, None]).round_().clamp_(-127, 127).to(torch.int8)
    return codes, scale.to(weight.dtype)


def multiply(given: torch.Tensor, codes: torch.Tensor, scale: torch.Tensor) -> torch.Tensor:
    """Multiply ``[rows, in]`` by encoded weights to ``[rows, out]``."""
    if given.shape[0] <= FEW_ROWS and given.device.type == "cpu":
        found: torch.Tensor = torch.ops.aten._weight_int8pack_mm(given, codes, scale)  # noqa: SLF001 - named so
        return found
    return (given @ codes.to(given.dtype).t()) * scale


def quantise_weights(model: PreTrainedModel) -> int:
    """Put the weights of a model's linear layers into 8 bits, in place; embeddings and norms stay as they are.

    Returns:
        How many layers were changed.

    Raises:
        UserError: The model has no linear layer of torch's own kind.
    """
    layers = [(name, each) for name, each in model.named_modules() if isinstance(each, torch.nn.Linear)]
    if not layers:
        raise UserError(
            f"{type(model).__name__} has no linear layer that can be put into 8 bits",
            where="--weights int8",
            remedy="leave --weights out",
        )
    for name, layer in layers:
        owner, _, last = name.rpartition(".")
        setattr(model.get_submodule(owner), last, Int8Linear(layer))
    return len(layers)

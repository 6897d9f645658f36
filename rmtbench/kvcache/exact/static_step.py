"""A decode step in fixed buffers: it reads and writes the same memory each time, and nothing of it comes to the host.

So a CUDA graph can hold the whole step, from the rows' last tokens to their next ones: see `captured_step`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from typing import TYPE_CHECKING

import torch

from rmtbench.kvcache.base import PrefixKV
from rmtbench.kvcache.exact.attention import attend_to_prefix
from rmtbench.kvcache.exact.shared_attention import NAME
from rmtbench.kvcache.exact.suffix_attention import AttendToSuffixes, Slots, attend_to_suffixes
from rmtbench.kvcache.exact.suffixes import Suffixes
from rmtbench.models.architecture import attention_of
from rmtbench.models.decode import likeliest
from rmtbench.models.llama_step import find_step

if TYPE_CHECKING:
    from transformers import PreTrainedModel

ROWS = (1, 2, 4, 8, 16, 32)
"""Rows of the steps that are kept ready; more than the last are a step of their own."""


def rows_of_steps(places: int) -> list[int]:
    """Rows of the steps that serve up to so many places, ascending.

    A step has at most as many rows as there are places, so padding rows use free places.
    """
    return [*(rows for rows in ROWS if rows < places), places]


@dataclass(frozen=True)
class Held:
    """What all steps over one prefix share.

    Attributes:
        model: The model.
        prefix: What all rows continue; on the model's device, in its numbers.
        suffixes: The rows' own keys and values.
        tokens: The last token of each place's row, ``[places]``, on the device.
        lengths: Tokens that each place holds, ``[places]``, on the device.
        attend: Attention over the rows' own tokens.
    """

    model: PreTrainedModel
    prefix: PrefixKV
    suffixes: Suffixes
    tokens: torch.Tensor
    lengths: torch.Tensor
    attend: AttendToSuffixes


def find_attention(device: torch.device) -> tuple[AttendToSuffixes, str]:
    """Return the attention of a device, and its name for a run's provenance."""
    if device.type == "cuda" and find_spec("triton") is not None:
        from rmtbench.kvcache.exact.suffix_kernel import attend_to_suffixes as by_triton

        return by_triton, "triton"
    return attend_to_suffixes, "torch"


def hold(model: PreTrainedModel, prefix: PrefixKV, suffixes: Suffixes, attend: AttendToSuffixes) -> Held:
    """Take the device's memory of the rows' tokens and lengths."""
    tokens, lengths = torch.zeros((2, len(suffixes.lengths)), dtype=torch.long, device=model.device)
    return Held(model, prefix, suffixes, tokens, lengths, attend)


@dataclass(frozen=True)
class StepReading:
    """One step to the model's attention: whose tokens are read, and over what."""

    held: Held
    slots: Slots

    def step(
        self, layer: int, query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, scale: float
    ) -> torch.Tensor:
        """Keep the rows' new keys and values, and attend to the prefix and to them: see `llama_step.Attend`."""
        prefix, suffixes = self.held.prefix, self.held.suffixes
        over_prefix = attend_to_prefix(query.transpose(0, 1), prefix.keys[layer], prefix.values[layer], scale)
        kept = suffixes.keys[layer], suffixes.values[layer]
        return self.held.attend(query, (key, value), kept, self.slots, over_prefix, scale)


class StaticStep:
    """A step of a fixed number of rows.

    Args:
        held: What it reads and writes.
        rows: How many rows it has; those that no question's row fills stand in free places and keep nothing.
    """

    def __init__(self, held: Held, rows: int) -> None:
        self.rows, self.device = rows, held.tokens.device
        self._held, self._own = held, find_step(held.model)
        self._places = torch.arange(rows, device=self.device)
        self._steps = torch.zeros(rows, dtype=torch.long, device=self.device)
        self._mask = torch.ones((1, 1, 1, 1), dtype=torch.bool, device=self.device)
        self._filled: tuple[int, ...] = ()

    def fill(self, stepping: Sequence[int]) -> None:
        """Say which places' rows the next steps read.

        Args:
            stepping: Places, at most `rows`.
        """
        if self._filled == tuple(stepping):
            return
        missing = self.rows - len(stepping)
        free = [place for place in range(len(self._held.suffixes.lengths)) if place not in stepping]
        write(self._places, [*stepping, *free[:missing]])
        write(self._steps, [*[1] * len(stepping), *[0] * missing])
        self._filled = tuple(stepping)

    def __call__(self) -> tuple[torch.Tensor, torch.Tensor]:
        """Read the rows' last tokens, and write the next ones and the lengths in their stead.

        Returns:
            The next logits, ``[rows, vocabulary]``, and what `likeliest` finds in them, ``[rows, 2]``.
        """
        held, places, steps = self._held, self._places, self._steps
        tokens, lengths = held.tokens[places], held.lengths[places]
        reading = StepReading(held, Slots(places, lengths, steps))
        logits = self._logits(tokens, lengths + held.prefix.tokens, reading)
        found = likeliest(logits)
        held.tokens[places] = torch.where(steps.bool(), found[:, 0].long(), tokens)
        held.lengths[places] = lengths + steps
        return logits, found

    def _logits(self, tokens: torch.Tensor, positions: torch.Tensor, reading: StepReading) -> torch.Tensor:
        if self._own is not None:
            return self._own(tokens, positions, reading.step)
        model = self._held.model
        with attention_of(model, NAME):
            logits: torch.Tensor = model(
                input_ids=tokens[None],
                position_ids=positions[None],
                attention_mask=self._mask,
                use_cache=False,
                reading=reading,
            ).logits
        return logits[0]


def write(buffer: torch.Tensor, values: Sequence[int]) -> None:
    """Write numbers of the host into a buffer, behind all work so far, without waiting for it."""
    there = torch.tensor(values, dtype=buffer.dtype, device="cpu", pin_memory=buffer.is_cuda)
    buffer.copy_(there, non_blocking=True)

"""Associative memory in every layer, after ARMT (Rodkin et al., 2024, arXiv:2407.04841): written by key, read by query.

Each layer keeps a matrix from keys to values and how much of each key there is. The written places of a segment add to
them by the delta rule, and every token of later segments reads from them before the layer does its own work. Both are
rows of the memory tensor that is passed in and comes out, behind the memory tokens: no module keeps them between steps.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Any

import torch

from rmtbench.rmt.memory import opened_entirely

if TYPE_CHECKING:
    from transformers import PreTrainedModel

SHIFTS = 3
"""Products of a key with itself, shifted so often, make its features (DPFP; Schlag et al., 2021, arXiv:2102.11174)."""
WIDEST = 64
"""Numbers of a key at most, as in ARMT."""
LEAST = 1e-5
"""Stands in for how much of a key there is where there is none."""


@dataclass
class AssociationPass:
    """One call of the base model: what its layers read from, and what they wrote.

    Attributes:
        values: Of every layer, ``[rows, layers, features, hidden]``.
        amounts: How much of each feature there is, ``[rows, layers, features]``.
        places: How many tokens at the end are written places; 0 where nothing is written.
        written: By layer, its values and amounts afterwards.
    """

    values: torch.Tensor
    amounts: torch.Tensor
    places: int
    written: dict[int, tuple[torch.Tensor, torch.Tensor]] = field(default_factory=dict)


class Layer(torch.nn.Module):
    """Keys, values and queries of one layer."""

    by_adamw = True  # as a memory's gate: see `rmtbench.training.optimizers`

    def __init__(self, width: int, keys: int) -> None:
        super().__init__()
        self.norm = torch.nn.RMSNorm(width)
        self.query = torch.nn.Linear(width, keys, bias=False)
        self.key = torch.nn.Linear(width, keys, bias=False)
        self.value = torch.nn.Linear(width, width, bias=False)
        self.strength = torch.nn.Linear(width, 1)
        with torch.no_grad():
            torch.nn.init.normal_(self.query.weight, std=width**-0.5)
            self.key.weight.copy_(self.query.weight)  # like finds like
            torch.nn.init.zeros_(self.value.weight)  # at first nothing is read: a trained memory goes on as it was
            torch.nn.init.zeros_(self.strength.weight)
            torch.nn.init.zeros_(self.strength.bias)

    def read(self, states: torch.Tensor, values: torch.Tensor, amounts: torch.Tensor) -> torch.Tensor:
        """What the memory holds for each token, ``[rows, tokens, hidden]``.

        Args:
            states: ``[rows, tokens, hidden]``.
            values: ``[rows, features, hidden]``.
            amounts: ``[rows, features]``.
        """
        return _look_up(features(self.query(self.norm(states))), values, amounts)

    def write(
        self, states: torch.Tensor, values: torch.Tensor, amounts: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Values and amounts after some places have written.

        A place replaces what is held under its key by its own value, as far as its strength goes (delta rule), and adds
        to the amounts what its key does not have there yet.

        Args:
            states: Of the places, ``[rows, places, hidden]``.
            values: As for `read`.
            amounts: As for `read`.
        """
        normed = self.norm(states)
        keys = features(self.key(normed))
        strength = opened_entirely(self.strength(normed))
        new = self.value(normed) - _look_up(keys, values, amounts)
        missing = (1 - keys @ amounts[..., None]).clamp(0, 1).detach()
        turned = keys.transpose(1, 2)
        return values + turned @ (strength * new), amounts + (turned @ (strength * missing))[..., 0]


class Associations(torch.nn.Module):
    """The associative memory of a base model, whose layers it reads for and listens to; their code is unchanged."""

    def __init__(self, model: PreTrainedModel, seed: int, keys: int | None = None) -> None:
        """Attach to a model.

        Args:
            model: A decoder of transformers.
            seed: Of the weights; the caller's random state is left as it was.
            keys: Numbers of a key; None for as many as give about as many features as the model is wide.
        """
        super().__init__()
        blocks = blocks_of(model)
        width = int(model.get_input_embeddings().weight.shape[1])
        keys = keys or max(1, min(WIDEST, width // (2 * SHIFTS)))
        self._features, self._width = 2 * SHIFTS * keys, width
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            self._each = [Layer(width, keys) for _ in blocks]
        self.layers = torch.nn.ModuleList(self._each)
        self.to(model.device)
        self._now: AssociationPass | None = None
        for number, block in enumerate(blocks):
            block.register_forward_pre_hook(partial(self._before, number), with_kwargs=True)
            block.register_forward_hook(partial(self._after, number))

    @property
    def rows(self) -> int:
        """Rows of the memory tensor that it takes: for every layer one a feature, and those of the amounts."""
        return len(self.layers) * (self._features + self._amount_rows)

    @property
    def _amount_rows(self) -> int:
        return -(-self._features // self._width)

    @contextmanager
    def during(self, held: torch.Tensor, places: int = 0) -> Iterator[AssociationPass]:
        """Have the base model's layers read from a memory, and write to it, while the block lasts.

        Args:
            held: Its rows of the memory tensor, ``[rows, self.rows, hidden]``.
            places: How many tokens at the end of the input are written places.
        """
        self._now = AssociationPass(*self.parts(held), places)
        try:
            yield self._now
        finally:
            self._now = None

    def parts(self, held: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Values and amounts, as in `AssociationPass`, of a memory's rows ``[rows, self.rows, hidden]``."""
        parts = held.reshape(len(held), len(self.layers), -1, self._width)
        return parts[:, :, : self._features], parts[:, :, self._features :].flatten(2)[..., : self._features]

    def packed(self, passed: AssociationPass) -> torch.Tensor:
        """What a call has written, as rows of the memory tensor."""
        parts = []
        for number in range(len(self.layers)):
            values, amounts = passed.written[number]
            room = self._amount_rows * self._width - self._features
            rows = torch.nn.functional.pad(amounts, (0, room)).view(len(amounts), self._amount_rows, self._width)
            parts += [values, rows]
        return torch.cat(parts, dim=1)

    def _before(self, number: int, _: torch.nn.Module, args: tuple[Any, ...], named: dict[str, Any]) -> Any:  # noqa: ANN401
        if self._now is None:
            return None
        states = args[0] if args else named["hidden_states"]
        with torch.autocast(states.device.type, enabled=False):
            found = self._each[number].read(
                at_least_float32(states), self._now.values[:, number], self._now.amounts[:, number]
            )
        states = states + found.to(states.dtype)
        return ((states, *args[1:]), named) if args else (args, {**named, "hidden_states": states})

    def _after(self, number: int, _: torch.nn.Module, __: tuple[Any, ...], output: Any) -> None:  # noqa: ANN401
        if self._now is None or not self._now.places:
            return
        states = output[0] if isinstance(output, tuple) else output
        with torch.autocast(states.device.type, enabled=False):
            self._now.written[number] = self._each[number].write(
                at_least_float32(states[:, -self._now.places :]),
                self._now.values[:, number],
                self._now.amounts[:, number],
            )


def blocks_of(model: PreTrainedModel) -> Sequence[torch.nn.Module]:
    """The layers of a model of transformers, in order: the list of modules that holds most of its weights."""
    lists = [child for child in model.base_model.modules() if isinstance(child, torch.nn.ModuleList)]
    largest = max(lists, key=lambda blocks: sum(weight.numel() for weight in blocks.parameters()))
    return list(largest)


def at_least_float32(states: torch.Tensor) -> torch.Tensor:
    """States in float32, in which associations are kept, or in float64 as they are."""
    return states if states.dtype == torch.float64 else states.float()


def features(keys: torch.Tensor) -> torch.Tensor:
    """Features of unit length and none below 0, ``[..., 2 * SHIFTS * keys]``, of keys ``[..., keys]`` (DPFP)."""
    both = torch.cat([keys.relu(), (-keys).relu()], dim=-1)
    products = [both * both.roll(shift, dims=-1) for shift in range(1, SHIFTS + 1)]
    return torch.nn.functional.normalize(torch.cat(products, dim=-1), dim=-1)


def _look_up(found_by: torch.Tensor, values: torch.Tensor, amounts: torch.Tensor) -> torch.Tensor:
    """Values under features, over how much of these there is."""
    return (found_by @ values) / (found_by @ amounts[..., None] + LEAST)

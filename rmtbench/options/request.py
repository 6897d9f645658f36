"""All options of one command: what a user asks for, checked and frozen."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache

from rmtbench.options.cache import Cache
from rmtbench.options.data import Data
from rmtbench.options.declare import Option, options_of
from rmtbench.options.endpoint import Endpoint
from rmtbench.options.engine import Engine
from rmtbench.options.judge import Judge
from rmtbench.options.memory import Memory
from rmtbench.options.model import Model, with_adapter
from rmtbench.options.prompt import Prompt
from rmtbench.options.retrieval import Retrieval
from rmtbench.options.run import Run

FAMILIES: tuple[type, ...] = (Run, Engine, Data, Model, Prompt, Retrieval, Cache, Memory, Endpoint, Judge)
"""In the order of `--help` and the docs."""


@dataclass(frozen=True, kw_only=True)
class Request(Run, Engine, Data, Model, Prompt, Retrieval, Cache, Memory, Endpoint, Judge):
    """One command's worth of runs: every system in every setting over one dataset and size.

    `given` names the fields that the user or a profile gave a value, the default included.
    """

    given: frozenset[str] = field(default=frozenset(), compare=False)

    @property
    def model_name(self) -> str:
        """As `RunSpec.model_name`."""
        return with_adapter(self.model, self.adapter)

    @property
    def draw_numbers(self) -> range:
        """Numbers of the draws to do: all, or every M-th from the N-th on for the shard N/M."""
        if self.shard is None:
            return range(self.draws)
        number, count = map(int, self.shard.split("/"))
        return range(number - 1, self.draws, count)


@cache
def renamed() -> Mapping[str, str]:
    """Earlier public names of options, with those of today."""
    return {option.was: option.key for option in all_options().values() if option.was}


@cache
def all_options() -> Mapping[str, Option]:
    """Every option by field, family after family."""
    return {name: option for family in FAMILIES for name, option in options_of(family).items()}

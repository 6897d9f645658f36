"""The flag of each declared option, by its field, for texts: `flag.top_k` is ``--top-k``.

Outside this room and the command line no text spells a flag, so that an option has its public name in one place.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache

from rmtbench.options.declare import Option, options_of
from rmtbench.options.page import COMMANDS
from rmtbench.options.request import all_options


def __getattr__(field: str) -> str:
    """Return the flag of a field: of `rmtbench run` if it has one, else of another command.

    Raises:
        AttributeError: No option has this field.
    """
    try:
        return _options()[field].flag
    except KeyError:
        raise AttributeError(f"no option has the field '{field}'") from None


@cache
def _options() -> Mapping[str, Option]:
    others = {name: option for family in COMMANDS for name, option in options_of(family).items()}
    return {**others, **all_options()}

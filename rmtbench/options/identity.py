"""The options in a run's spec: typed in memory, and as texts by name in the run's files and its hash.

Names and texts in the files are fixed: the same settings give the same run id in every version.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields
from functools import cache, cached_property
from typing import Any, Self, get_type_hints

from rmtbench.options.cache import RunCache
from rmtbench.options.declare import Option, options_of, stored_names, without_none
from rmtbench.options.endpoint import RunEndpoint
from rmtbench.options.memory import RunMemory
from rmtbench.options.model import RunModel
from rmtbench.options.prompt import RunPrompt
from rmtbench.options.retrieval import RunRetrieval


@dataclass(frozen=True, kw_only=True)
class RunOptions(RunModel, RunPrompt, RunRetrieval, RunCache, RunMemory, RunEndpoint):
    """A run's options besides the fields of `RunSpec`; every field is hashed.

    `others` holds, by name and in order, what this version does not know: options of other packages' systems and of
    other versions.
    """

    others: tuple[tuple[str, str], ...] = ()

    @classmethod
    def read(cls, texts: Mapping[str, str] | tuple[tuple[str, str], ...]) -> Self:
        """Read options as a run's files hold them.

        Args:
            texts: Texts by stored name; a name that is left out has its default.

        Raises:
            ValueError: A text is not of its option's type.
        """
        fields_by_name = {stored: name for name, stored in _stored().items()}
        values: dict[str, Any] = {}
        others = []
        for stored, text in dict(texts).items():
            name = fields_by_name.get(stored)
            if name is None:
                others.append((str(stored), str(text)))
            else:
                values[name] = _value(_types()[name], str(text))
        return cls(**values, others=tuple(sorted(others)))

    @classmethod
    def of(cls, request: object, is_used: Callable[[Option], bool], **stated: Any) -> Self:  # noqa: ANN401
        """Take over from a request what a system uses.

        Args:
            request: A `Request`.
            is_used: Whether the system uses an option; of the others a run has the default.
            stated: Facts that planning derived from the request.
        """
        chosen = {name: getattr(request, name) for name, option in options_of(cls).items() if is_used(option)}
        return cls(**chosen, **stated)

    @cached_property
    def texts(self) -> tuple[tuple[str, str], ...]:
        """Every option that is not at its default, by stored name and in order."""
        named = _stored()
        chosen = {
            named[each.name]: _text(value)
            for each in fields(self)
            if each.name in named and (value := getattr(self, each.name)) != each.default
        }
        return tuple(sorted([*chosen.items(), *self.others]))


@cache
def _stored() -> Mapping[str, str]:
    return stored_names(RunOptions)


@cache
def _types() -> Mapping[str, Any]:
    """Each field's type without None."""
    return {name: without_none(hint) for name, hint in get_type_hints(RunOptions).items()}


def _value(kind: Any, text: str) -> Any:  # noqa: ANN401 - one of a field's values
    if kind is bool:
        if text != "on":
            raise ValueError(f"{text!r} is not 'on'")
        return True
    return kind(text) if kind in (int, float) else text


def _text(value: object) -> str:
    if value is True:
        return "on"
    return f"{value:g}" if isinstance(value, float) else str(value)

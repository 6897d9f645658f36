"""Options of a command as the fields of one frozen dataclass: the command takes the object, and not a dozen words."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import fields
from functools import wraps
from typing import Any, get_type_hints


def takes_fields(kind: type[Any]) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Give a command one flag for each field of a dataclass.

    Args:
        kind: The dataclass; a field's type is ``Annotated[..., typer.Option(...)]``, and each has a default.

    Returns:
        What makes a command for typer of a function whose first parameter takes the object.
    """

    def with_fields(command: Callable[..., None]) -> Callable[..., None]:
        @wraps(command)
        def called(**words: Any) -> None:  # noqa: ANN401 - values of any flag
            command(kind(**{each.name: words.pop(each.name) for each in fields(kind)}), **words)

        hints = get_type_hints(kind, include_extras=True)
        keyword = inspect.Parameter.KEYWORD_ONLY
        _, *own = inspect.signature(command, eval_str=True).parameters.values()
        flags = [
            inspect.Parameter(each.name, keyword, default=each.default, annotation=hints[each.name])
            for each in fields(kind)
        ]
        told = [each.replace(kind=keyword) for each in (*own[:1], *flags, *own[1:])]
        called.__signature__ = inspect.Signature(told)  # type: ignore[attr-defined]
        called.__annotations__ = {each.name: each.annotation for each in told}
        return called

    return with_fields

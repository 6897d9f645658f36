"""A tokenizer's chat format as text: messages rendered by its template, the same on every day."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from rmtbench.errors import first_line

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

_DAY = {"%d": "26", "%B": "July", "%b": "Jul", "%m": "07", "%Y": "2024", "%y": "24", "%A": "Friday", "%a": "Fri"}
_SAME_DAY = (
    "{%- macro strftime_now(format) -%}{{ format"
    + "".join(f" | replace('{code}', '{text}')" for code, text in _DAY.items())
    + " }}{%- endmacro -%}"
)
"""Stands before every chat format: a format that writes the date writes Llama 3.1's default one, in every run."""


def render_strictly(
    tokenizer: PreTrainedTokenizerBase, messages: Sequence[Mapping[str, str]], *, answering: bool
) -> str:
    """Return messages in the tokenizer's chat format.

    Args:
        tokenizer: One with a chat template.
        messages: `role` and `content` of each.
        answering: Whether the assistant's next turn is opened at the end.

    Raises:
        jinja2.TemplateError: The template refuses the messages, or fails in another way; or there are several and none
            is the default.
    """
    from jinja2 import TemplateError

    try:
        text: str = tokenizer.apply_chat_template(
            list(messages),
            chat_template=_SAME_DAY + tokenizer.get_chat_template(),
            tokenize=False,
            add_generation_prompt=answering,
        )
    except TemplateError:
        raise
    except Exception as error:  # a template is code of others
        raise TemplateError(first_line(error)) from error
    return text


def render(tokenizer: PreTrainedTokenizerBase, messages: Sequence[Mapping[str, str]], *, answering: bool) -> str | None:
    """Return the same; None if the template refuses the messages."""
    from jinja2 import TemplateError

    try:
        return render_strictly(tokenizer, messages, answering=answering)
    except TemplateError:
        return None

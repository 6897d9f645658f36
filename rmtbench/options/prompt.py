"""Options of the prompt: what the model is asked for, and how long it may answer."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, Literal

from rmtbench.options.declare import option


def _text_of_file(given: str | None) -> str | None:
    if given is None or not given.startswith("@"):
        text = given
    else:
        try:
            text = Path(given[1:]).expanduser().read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            reason = f"no text can be read from '{given[1:]}' ({type(error).__name__})"
            raise ValueError(f"{reason}; give @ and the path of a text file, or the text itself") from None
    if text is not None and not text.strip():
        raise ValueError("is empty; leave it out for what the chat format does by itself")
    return None if text is None else text.strip()


@dataclass(frozen=True, kw_only=True)
class RunPrompt:
    """The part in a run's `RunOptions`."""

    system_prompt: str | None = option(
        None, "System prompt: a text, or @ and the file that holds it.", rare=True, check=_text_of_file
    )
    think_tokens: int | None = option(
        None,
        "Maximum tokens of reasoning, where the model reasons.",
        rare=True,
        at_least=0,
        shown="1024, where the model reasons",
    )


@dataclass(frozen=True, kw_only=True)
class Prompt(RunPrompt):
    """What the model is asked for."""

    TITLE: ClassVar[str] = "Prompt"

    answer_style: Literal["direct", "bridge"] = option(
        "direct", "direct, or bridge: reasoning, then the answer.", column=True, shown="bridge for mini, else direct"
    )
    max_answer_tokens: int = option(64, "Longest answer, without reasoning.", at_least=1, column=True)

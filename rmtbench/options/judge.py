"""Options of the judge, a language model that says of each answer whether it is correct: docs/reference/judge.md."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from rmtbench.options.declare import option
from rmtbench.options.endpoint import Endpoint


@dataclass(frozen=True, kw_only=True)
class Judge:
    """Which model judges the answers, and how it is reached. Without `--judge` nothing is judged."""

    TITLE: ClassVar[str] = "Judge"

    judge: str | None = option(
        None, "Model that judges the answers: openai:NAME, or one as for --model.", not_blank=True
    )
    judge_base_url: str | None = option(
        None, "Server of an openai:NAME judge.", shown="--base-url, or OpenAI's", needs="judge"
    )
    judge_key_variable: str | None = option(
        None,
        "Variable of the key for the judge's server.",
        rare=True,
        shown="the model's on the model's server, else OPENAI_API_KEY",
        needs="judge",
    )
    judge_concurrency: int = option(
        4, "Answers that a judge's server is asked about at once.", rare=True, at_least=1, needs="judge"
    )
    judge_think_tokens: int | None = option(
        None,
        "Maximum tokens of the judge's reasoning before a verdict.",
        rare=True,
        at_least=0,
        needs="judge",
    )


@dataclass(frozen=True, kw_only=True)
class Judging(Judge, Endpoint):
    """All options that a judge heeds: its own, and those of servers."""

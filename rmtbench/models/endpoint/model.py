"""A language model behind a server, under the same prompt contract as one on this machine; and its cached prefix.

The server tokenises: the contract's text is sent whole, context first, so that all questions about it share a prefix.
"""

from __future__ import annotations

import re
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any, Self

from rmtbench.core import TokenCounts
from rmtbench.errors import ServerGoneError
from rmtbench.models.base import Generation, Passage, Prompt
from rmtbench.models.endpoint.dialect import Dialect
from rmtbench.models.endpoint.endings import finish_of
from rmtbench.models.endpoint.line import Api, Line
from rmtbench.models.endpoint.replies import Reply
from rmtbench.models.endpoint.tokenizer import NoTokenizer
from rmtbench.models.local import count_tokens
from rmtbench.models.prompt import FINAL_MARK, PromptContract

WARMING_QUESTION = "Which documents are these?"
"""Stands behind the context in the call that warms the server's cache; no data set asks it."""
WARMING_CAPS = (1, 16)
"""Longest answers to it, the smallest first; a server that refuses them is asked as for any answer."""


_BOLD_MARK = re.compile(rf"[*_]*{FINAL_MARK.rstrip(':')}[*_]*:[*_]*")


@dataclass(frozen=True)
class EndpointModel:
    """One served model. Safe for many threads.

    Attributes:
        line: The line to its server.
        api: How prompts are sent.
        dialect: Which parameters the server takes.
        contract: Makes its prompts; holds the tokenizer that counts for budgets.
        max_answer_tokens: Most tokens of an answer.
        provenance: Id, host, served name, tokenizer hash: see `rmtbench.models.endpoint.load`.
        context_limit: None: the server alone knows it, and refuses what is longer.
    """

    line: Line
    api: Api
    dialect: Dialect
    contract: PromptContract
    max_answer_tokens: int
    provenance: Mapping[str, Any]
    context_limit: int | None = None
    _counting: threading.Lock = field(default_factory=threading.Lock, repr=False)

    @property
    def counts_tokens(self) -> bool:
        """Whether there is a tokenizer to count by."""
        return not isinstance(self.contract.tokenizer, NoTokenizer)

    def count_tokens(self, texts: Sequence[str]) -> Sequence[int]:
        """Tokens of each text by the tokenizer that was named, without special tokens.

        Raises:
            UserError: There is no tokenizer.
        """
        with self._counting:  # tokenizers of transformers are not for several threads at once
            return count_tokens(self.contract.tokenizer, texts)

    def token_ids(self, text: str) -> list[int]:
        """Token ids of a text by the tokenizer that was named, without special tokens."""
        with self._counting:
            ids: list[int] = self.contract.tokenizer.encode(text, add_special_tokens=False)
        return ids

    def generate(self, prompts: Sequence[Prompt]) -> list[Generation]:
        """Send each prompt whole and read the answer, one after the other; several threads make several at once.

        Raises:
            AnswerError: There is no answer to a prompt.
            UserError: Nothing can be answered: the key, the model or the server.
        """
        return [self._answer(prompt) for prompt in prompts]

    def warm(self, passages: Sequence[Passage]) -> RemotePrefix:
        """Let the server read a context, so that its cache may hold it for the questions that follow.

        Raises:
            AnswerError: It does not fit the model's context, or there is no reply.
        """
        text = self._text(passages, WARMING_QUESTION)
        # A cap of 1 where the server takes it: nothing of the answer is used.
        caps = [cap for cap in WARMING_CAPS if cap < self.longest] + [self.longest]
        reply = self.line.ask_for_little(self.api, text, caps, self.dialect, lambda: self.count_tokens([text])[0])
        self._check_served(reply)
        return RemotePrefix(self, tuple(passages), self._tokens(reply, text), reply.seconds)

    @property
    def longest(self) -> int:
        """The cap that a request names: most tokens of the answer and of reasoning together."""
        return self.max_answer_tokens + self.line.settings.reasoning_tokens

    def _answer(self, prompt: Prompt) -> Generation:
        text = self._text(prompt.passages, prompt.question)
        reply = self.line.ask(self.api, text, self.longest, self.dialect, lambda: self.count_tokens([text])[0])
        self._check_served(reply)
        tokens, first = self._tokens(reply, text), reply.first_seconds
        said = without_cue(reply.text, self.contract.tail)
        if self.contract.style == "bridge":
            said = _BOLD_MARK.sub(FINAL_MARK, said, count=1)
        end = self.contract.stop_at(said)
        kept = said if end is None else said[:end]
        finish = finish_of(reply.finish_reason)
        return Generation(
            raw=reply.text[: len(reply.text) - len(said) + len(kept)],
            final=self.contract.final_answer(kept),
            finish=finish if end is None else "stop",
            output_ids=(),
            prompt_tokens=tokens.prompt,
            cached_tokens=tokens.cached,
            prefill_seconds=first,
            decode_seconds=reply.seconds - (first or 0.0),
            output_tokens=tokens.output,
            reasoning_tokens=tokens.reasoning,
            finish_reason=reply.finish_reason,
        )

    def _text(self, passages: Sequence[Passage], question: str) -> str:
        return self.contract.context_text(passages) + self.contract.question_text(question)

    def _tokens(self, reply: Reply, text: str) -> TokenCounts:
        """Tokens by the server's count; where it gives none, the named tokenizer's."""
        usage = reply.usage
        output = self.count_tokens([reply.text + reply.reasoning])[0] if usage.output is None else usage.output
        reasoning = usage.reasoning
        if reasoning is None:  # not counted by the server: its share of the characters
            written = len(reply.reasoning) + len(reply.text)
            reasoning = round(output * len(reply.reasoning) / max(written, 1))
        prompt = self.count_tokens([text])[0] if usage.prompt is None else usage.prompt
        return TokenCounts(prompt, usage.cached, output, reasoning=reasoning)

    def _check_served(self, reply: Reply) -> None:
        """Stop where the server says another name than when the run began: the answers would be another model's.

        Raises:
            ServerGoneError: The name has changed.
        """
        begun = self.provenance.get("served")
        if None not in (begun, reply.served) and begun != reply.served:
            raise ServerGoneError(
                f"the model that answers has changed from '{begun}' to '{reply.served}'",
                where=self.line.settings.address.host,
                remedy="every answer so far is kept, and none of the new one; once the first one answers again, the "
                "same command resumes; to hold it still, name the exact model",
            )


class RemotePrefix:
    """A context that the server has been shown once: a `rmtbench.kvcache.base.Prefix` whose cache is the server's.

    Whether it still holds the context is the server's business; each answer's cached tokens tell.
    """

    def __init__(
        self, model: EndpointModel, passages: tuple[Passage, ...], warming: TokenCounts, seconds: float
    ) -> None:
        self._model, self._passages, self._warming, self._seconds = model, passages, warming, seconds

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """The server keeps and drops its cache as it likes."""

    @property
    def tokens(self) -> int:
        """Tokens of the warming prompt."""
        return self._warming.prompt

    @property
    def bytes(self) -> int:
        """None here: what is kept is kept on the server."""
        return 0

    @property
    def seconds(self) -> Mapping[str, float]:
        """Wall seconds of the warming call, as prefill."""
        return {"prefill": self._seconds}

    @property
    def counts(self) -> Mapping[str, int]:
        """Tokens of the warming call, which cost money; without those cached where the server does not say."""
        counts = {
            "warming_prompt_tokens": self._warming.prompt,
            "warming_cached_tokens": self._warming.cached,
            "warming_output_tokens": self._warming.output,
        }
        return {name: count for name, count in counts.items() if count is not None}

    def generate(self, questions: Sequence[str]) -> list[Generation]:
        """Answer questions that continue the context, each prompt beginning with the same bytes.

        Raises:
            AnswerError: There is no answer to a question.
            UserError: Nothing can be answered any more.
        """
        return self._model.generate([Prompt(self._passages, question) for question in questions])


def without_cue(text: str, cue: str) -> str:
    """What follows the answer's cue, for a model that says it again; else the text without leading space.

    On this machine the cue stands before the answer. A chat model may repeat it, on a line of its own or in bold.

    Args:
        text: All that the model wrote.
        cue: Such as ``Answer:``.
    """
    word = re.escape(cue.rstrip(":"))
    found = re.match(rf"\s*[*_#>]*\s*{word}\s*[*_]*:[*_]*", text, re.IGNORECASE)
    return text[found.end() :] if found else text.lstrip()

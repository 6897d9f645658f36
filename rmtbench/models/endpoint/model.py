"""A language model behind a server, under the same prompt contract as one on this machine; and its cached prefix.

The server tokenises: the contract's text is sent whole, context first, so that all questions about it share a prefix.
"""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any, Self

from rmtbench.core import Finish
from rmtbench.errors import AnswerError
from rmtbench.models.base import Generation, Passage, Prompt
from rmtbench.models.endpoint.line import Api, Dialect, Line
from rmtbench.models.endpoint.replies import Reply
from rmtbench.models.prompt import PromptContract

WARMING_QUESTION = "Which documents are these?"
"""Stands behind the context in the call that warms the server's cache; no data set asks it."""


@dataclass(frozen=True)
class EndpointModel:
    """One served model. Safe for many threads.

    Attributes:
        line: The line to its server.
        api: How prompts are sent.
        dialect: Which parameters the server takes.
        contract: Makes its prompts; holds the tokenizer that counts for budgets.
        max_answer_tokens: Most tokens of an answer, without its reasoning.
        provenance: Id, host, served name, tokenizer hash: see `rmtbench.models.endpoint.load`.
        think_tokens: Tokens of reasoning that the server is granted besides; 0 where nothing shows that it reasons.
        system: The system prompt of a chat; None for the server's own.
        context_limit: None: the server alone knows it, and refuses what is longer.
    """

    line: Line
    api: Api
    dialect: Dialect
    contract: PromptContract
    max_answer_tokens: int
    provenance: Mapping[str, Any]
    think_tokens: int = 0
    system: str | None = None
    context_limit: int | None = None
    _counting: threading.Lock = field(default_factory=threading.Lock, repr=False)

    def count_tokens(self, texts: Sequence[str]) -> Sequence[int]:
        """Tokens of each text by the tokenizer that was named, without special tokens."""
        with self._counting:  # tokenizers of transformers are not for several threads at once
            return self.contract.count_tokens(texts)

    def token_ids(self, text: str) -> list[int]:
        """Token ids of a text by the tokenizer that was named, without special tokens."""
        with self._counting:
            return self.contract.text_ids(text)

    def generate(self, prompts: Sequence[Prompt]) -> list[Generation]:
        """Send each prompt whole and read the answer, one after the other; several threads make several at once.

        Raises:
            AnswerError: There is no answer to a prompt.
            UserError: Nothing can be answered: the key, the model or the server.
        """
        return [self._generation(self._ask(prompt.passages, prompt.question), prompt) for prompt in prompts]

    def warm(self, passages: Sequence[Passage]) -> RemotePrefix:
        """Let the server read a context, so that its cache may hold it for the questions that follow.

        Raises:
            AnswerError: It does not fit the model's context, or there is no reply.
        """
        reply = self._ask(passages, WARMING_QUESTION, max_tokens=1)
        prompt = Prompt(tuple(passages), WARMING_QUESTION)
        return RemotePrefix(self, tuple(passages), self._generation(reply, prompt), reply.seconds)

    def _ask(self, passages: Sequence[Passage], question: str, max_tokens: int | None = None) -> Reply:
        text = self.contract.context_text(passages) + self.contract.question_text(question)
        longest = self.think_tokens + self.max_answer_tokens if max_tokens is None else max_tokens
        counted = [text] if self.system is None else [text, self.system]
        count = lambda: sum(self.count_tokens(counted))  # noqa: E731 - counted only where there is a limit a minute
        return self.line.ask(self.api, text, longest, self.dialect, count, system=self.system)

    def _generation(self, reply: Reply, prompt: Prompt) -> Generation:
        parted = self.contract.reasoning.part(reply.text)
        written = parted.answer or ""
        # A chat model may say the cue again, on a line of its own even; on this machine it stands before the answer.
        said = written.lstrip().removeprefix(self.contract.tail)
        end = self.contract.stop_at(said)
        finish: Finish
        kept, finish = (said, _finish(reply)) if end is None else (said[:end], "stop")
        if self.think_tokens:  # the server was granted more than an answer may take
            kept, finish = self._capped(kept, finish)
        raw = written[: len(written) - len(said) + len(kept)] if said.startswith(kept) else kept
        return Generation(
            raw=raw,
            final=self.contract.final_answer(kept),
            finish=finish,
            output_ids=(),
            prompt_tokens=self._counted(reply.prompt_tokens, prompt),
            cached_tokens=reply.cached_tokens or 0,
            prefill_seconds=reply.first_seconds,
            decode_seconds=reply.seconds - reply.first_seconds,
            output_tokens=self.count_tokens([reply.text])[0] if reply.output_tokens is None else reply.output_tokens,
            reasoning=parted.reasoning,
            reasoning_tokens=self.count_tokens([parted.reasoning])[0] if parted.reasoning else 0,
        )

    def _capped(self, answer: str, finish: Finish) -> tuple[str, Finish]:
        """An answer without what is beyond its own limit, by the tokenizer that was named."""
        with self._counting:
            ids = self.contract.text_ids(answer)
            if len(ids) <= self.max_answer_tokens:
                return answer, finish
            return self.contract.tokenizer.decode(ids[: self.max_answer_tokens]), "length"

    def _counted(self, tokens: int | None, prompt: Prompt) -> int:
        """The server's count, or, where it gives none, the named tokenizer's."""
        if tokens is not None:
            return tokens
        text = self.contract.context_text(prompt.passages) + self.contract.question_text(prompt.question)
        return self.count_tokens([text])[0]


class RemotePrefix:
    """A context that the server has been shown once: a `rmtbench.kvcache.base.Prefix` whose cache is the server's.

    Whether it still holds the context is the server's business; each answer's cached tokens tell.
    """

    def __init__(
        self, model: EndpointModel, passages: tuple[Passage, ...], warming: Generation, seconds: float
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
        return self._warming.prompt_tokens

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
        """Tokens of the warming call, which cost money."""
        return {
            "warming_prompt_tokens": self._warming.prompt_tokens,
            "warming_cached_tokens": self._warming.cached_tokens,
            "warming_output_tokens": self._warming.written_tokens,
        }

    def generate(self, questions: Sequence[str]) -> list[Generation]:
        """Answer questions that continue the context, each prompt beginning with the same bytes.

        Raises:
            AnswerError: There is no answer to a question.
            UserError: Nothing can be answered any more.
        """
        return self._model.generate([Prompt(self._passages, question) for question in questions])


def _finish(reply: Reply) -> Finish:
    if reply.finish_reason == "length":
        return "length"
    if reply.finish_reason == "stop":
        return "eos"
    raise AnswerError(f"the server ended the answer for another reason: {reply.finish_reason}")

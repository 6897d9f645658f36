"""A language model behind a server, under the same prompt contract as one on this machine; and its cached prefix.

The server tokenises: the contract's text is sent whole, context first, so that all questions about it share a prefix.
"""

from __future__ import annotations

import re
import threading
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any, Self

from rmtbench.core import Finish, TokenCounts
from rmtbench.errors import ServerGoneError
from rmtbench.measure import Timed
from rmtbench.models.base import Generation, HeldPrefix, Passage, Prompt
from rmtbench.models.batches import in_batches
from rmtbench.models.endpoint.dialect import Dialect
from rmtbench.models.endpoint.endings import finish_of
from rmtbench.models.endpoint.faults import SmallCapError
from rmtbench.models.endpoint.line import Line
from rmtbench.models.endpoint.replies import Reply
from rmtbench.models.endpoint.tokenizer import NoTokenizer
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
        dialect: How prompts are sent, and which parameters the server takes.
        contract: Makes its prompts; holds the tokenizer that counts for budgets.
        max_answer_tokens: Most tokens of an answer, without its reasoning.
        provenance: Id, host, served name, tokenizer hash: see `rmtbench.models.endpoint.load`.
        think_tokens: Tokens of reasoning that the server is granted besides; 0 where nothing shows that it reasons.
        context_limit: None: the server alone knows it, and refuses what is longer.
    """

    line: Line
    dialect: Dialect
    contract: PromptContract
    max_answer_tokens: int
    provenance: Mapping[str, Any]
    think_tokens: int = 0
    context_limit: int | None = None
    _counting: threading.Lock = field(default_factory=threading.Lock, repr=False)

    @property
    def local(self) -> None:
        """None: its weights are on the server."""

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
        return [self._answer(prompt) for prompt in prompts]

    def hold_context(self, passages: Sequence[Passage], /) -> Timed[HeldPrefix]:
        """Let the server read a context, so that its own prefix cache may hold it for the questions that follow.

        Returns:
            The context with the warming call's tokens and, as ``prefill``, its wall seconds. What the server does not
            say of cached tokens is not counted.

        Raises:
            ContextTooLongError: It does not fit the model's context.
            AnswerError: There is no reply.
        """
        text = self._text(passages, WARMING_QUESTION)
        # A cap of 1 where the server takes it: nothing of the answer is used.
        for cap in sorted({*WARMING_CAPS, self.max_new_tokens}):
            try:
                reply = self.line.ask(text, cap, self.dialect, lambda: self._count_sent(text))
                break
            except SmallCapError:
                if cap >= self.max_new_tokens:
                    raise
        self._check_served(reply)
        warming = self._tokens(reply, text)
        counts = {
            "warming_prompt_tokens": warming.prompt,
            "warming_cached_tokens": warming.cached,
            "warming_output_tokens": warming.output,
        }
        known = {name: count for name, count in counts.items() if count is not None}
        prefix = RemotePrefix(self, tuple(passages), warming.prompt)
        return Timed(HeldPrefix(prefix, known), {"prefill": reply.seconds})

    @property
    def max_new_tokens(self) -> int:
        """The cap that a request names: most tokens of reasoning and answer together."""
        return self.think_tokens + self.max_answer_tokens

    def _answer(self, prompt: Prompt) -> Generation:
        text = self._text(prompt.passages, prompt.question)
        reply = self.line.ask(text, self.max_new_tokens, self.dialect, lambda: self._count_sent(text))
        self._check_served(reply)
        tokens, first = self._tokens(reply, text), reply.first_seconds
        reasoning, written = self._parted(reply)
        said = without_cue(written, self.contract.tail)
        if self.contract.style == "bridge":
            said = _BOLD_MARK.sub(FINAL_MARK, said, count=1)
        end, finish = self.contract.stop_at(said), finish_of(reply.finish_reason)
        kept, finish = (said, finish) if end is None else (said[:end], "stop")
        if self.think_tokens and self.counts_tokens:  # the server was granted more than an answer may take
            kept, finish = self._capped(kept, finish)
        raw = written[: len(written) - len(said) + len(kept)] if said.startswith(kept) else kept
        return Generation(
            raw=raw,
            final=self.contract.final_answer(kept),
            finish=finish,
            output_ids=(),
            prompt_tokens=tokens.prompt,
            cached_tokens=tokens.cached,
            prefill_seconds=first,
            decode_seconds=reply.seconds - (first or 0.0),
            output_tokens=tokens.output,
            reasoning=reasoning,
            reasoning_tokens=tokens.reasoning,
            finish_reason=reply.finish_reason,
        )

    def _text(self, passages: Sequence[Passage], question: str) -> str:
        return self.contract.context_text(passages) + self.contract.question_text(question)

    def _count_sent(self, text: str) -> int:
        """Tokens of a prompt's text and the system prompt, by the tokenizer that was named."""
        system = self.dialect.system
        return sum(self.count_tokens([text] if system is None else [text, system]))

    def _parted(self, reply: Reply) -> tuple[str, str]:
        """Reasoning, sent apart or between marks, and what was written after it."""
        parted = self.contract.reasoning.part(reply.text)
        thoughts = [text for text in (reply.reasoning.strip(), parted.reasoning) if text]
        return "\n".join(thoughts), parted.answer or ""

    def _capped(self, answer: str, finish: Finish) -> tuple[str, Finish]:
        """An answer without what is beyond its own limit, by the tokenizer that was named."""
        with self._counting:
            ids = self.contract.text_ids(answer)
            if len(ids) <= self.max_answer_tokens:
                return answer, finish
            return self.contract.tokenizer.decode(ids[: self.max_answer_tokens]), "length"

    def _tokens(self, reply: Reply, text: str) -> TokenCounts:
        """Tokens by the server's count; where it gives none, the named tokenizer's."""
        usage, reasoning = reply.usage, self._parted(reply)[0]
        output = self.count_tokens([reply.text + reply.reasoning])[0] if usage.output is None else usage.output
        prompt = self._count_sent(text) if usage.prompt is None else usage.prompt
        thought = usage.reasoning
        if thought is None and (self.counts_tokens or not reasoning):
            thought = self.count_tokens([reasoning])[0] if reasoning else 0
        return TokenCounts(prompt, usage.cached, output, reasoning=thought)

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
    """A context that the server has been shown once: a `PrefixCache` that the server holds.

    Whether it still holds the context is the server's business; each answer's cached tokens tell.
    """

    def __init__(self, model: EndpointModel, passages: tuple[Passage, ...], tokens: int) -> None:
        self._model, self._passages, self._tokens = model, passages, tokens

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """The server keeps and drops its cache as it likes."""

    @property
    def tokens(self) -> int:
        """Tokens of the warming prompt."""
        return self._tokens

    @property
    def bytes(self) -> int:
        """None here: what is kept is kept on the server."""
        return 0

    def generate(self, questions: Sequence[str]) -> list[Generation]:
        """Answer questions that continue the context, each prompt beginning with the same bytes.

        Raises:
            AnswerError: There is no answer to a question.
            UserError: Nothing can be answered any more.
        """
        return self._model.generate([Prompt(self._passages, question) for question in questions])

    def answers(self, questions: Sequence[str], batch: int) -> Iterator[Timed[Generation]]:
        """Answer questions in order: see `PrefixCache`.

        Raises:
            UserError: Nothing can be answered any more.
        """
        return in_batches(self.generate, questions, batch)


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

"""A transformers causal language model on this machine, behind the seam that systems see."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from rmtbench.core import Finish
from rmtbench.errors import ContextTooLongError
from rmtbench.models.architecture import check_batch
from rmtbench.models.base import Generation, Passage, Prompt
from rmtbench.models.decode import Decoded, Reader, greedy
from rmtbench.models.prompt import PromptContract

if TYPE_CHECKING:
    from transformers import PreTrainedModel


@dataclass(frozen=True)
class LocalModel:
    """Weights, tokenizer and prompt contract of one model.

    Attributes:
        model: The transformers model, in evaluation mode on its device.
        contract: Makes its prompts; holds its tokenizer.
        end_ids: The tokens that end an answer.
        context_limit: Most positions it has; None if it sets no limit.
        max_answer_tokens: Most tokens of an answer, without its reasoning.
        provenance: Id, hashes, dtype, device, label: see `rmtbench.models.load`.
        think_tokens: Most tokens of reasoning before an answer; 0 for a model that has no marks of reasoning.
        inexact: Ways of reading whose logits were found to differ from the model's own, and how: see
            `rmtbench.kvcache.exact.trial`.
    """

    model: PreTrainedModel
    contract: PromptContract
    end_ids: frozenset[int]
    context_limit: int | None
    max_answer_tokens: int
    provenance: Mapping[str, Any]
    think_tokens: int = 0
    inexact: Mapping[str, str] = field(default_factory=dict)

    @property
    def local(self) -> LocalModel:
        """The model itself: its weights are on this machine."""
        return self

    @property
    def max_new_tokens(self) -> int:
        """Most tokens that follow a prompt: reasoning and answer."""
        return self.think_tokens + self.max_answer_tokens

    @property
    def device(self) -> str:
        """The torch device's name."""
        return str(self.model.device)

    def count_tokens(self, texts: Sequence[str]) -> Sequence[int]:
        """Tokens of each text, without special tokens."""
        return self.contract.count_tokens(texts)

    def token_ids(self, text: str) -> list[int]:
        """Token ids of a text, without special tokens."""
        return self.contract.text_ids(text)

    def context_ids(self, passages: Sequence[Passage]) -> list[int]:
        """Token ids of everything before the question."""
        return self.contract.context_ids(passages)

    def question_ids(self, question: str) -> list[int]:
        """Token ids of the question and the answer's cue."""
        return self.contract.question_ids(question)

    def generate(self, prompts: Sequence[Prompt]) -> list[Generation]:
        """Read each prompt in full and answer it; several prompts make one batch.

        Args:
            prompts: At least one.

        Returns:
            One result a prompt, in order; prefill holds the context's and the question's tokenisation too. `error`
            says why there is no answer.

        Raises:
            ContextTooLongError: A prompt with its answer is longer than the model's context.
            UserError: The model cannot serve a batch.
        """
        # It imports torch, for which a run that only counts a server's tokens must not wait.
        from rmtbench.models.readers import OwnPrompts

        check_batch(self.model, len(prompts))
        start = time.perf_counter()
        pairs = [(self.context_ids(prompt.passages), self.question_ids(prompt.question)) for prompt in prompts]
        lengths = [len(context) + len(tail) for context, tail in pairs]
        self.check_length(max(lengths))
        reader = OwnPrompts(self.model, pairs, self.max_new_tokens)
        return self.decode(reader, lengths, [0] * len(pairs), time.perf_counter() - start)

    def decode(
        self, reader: Reader, prompt_tokens: Sequence[int], cached_tokens: Sequence[int], before: float
    ) -> list[Generation]:
        """Run the decode loop over a prepared batch.

        Args:
            reader: Holds the prompts.
            prompt_tokens: Tokens of each whole prompt.
            cached_tokens: Of these, how many are not read again.
            before: Seconds already spent on the batch, counted as prefill.

        Returns:
            One result a row; seconds are the row's equal share of the batch's.
        """
        rows = len(prompt_tokens)
        decoded = greedy(reader, rows, self.finish, self.max_new_tokens)
        decode_seconds = max(row.decode_seconds for row in decoded) / rows
        generations = []
        for row, total, cached in zip(decoded, prompt_tokens, cached_tokens, strict=True):
            prefill_seconds = (before + row.prefill_seconds) / rows
            generations.append(self.generation(row, total, cached, prefill_seconds, decode_seconds))
        return generations

    def generation(
        self, row: Decoded, prompt_tokens: int, cached_tokens: int, prefill_seconds: float, decode_seconds: float
    ) -> Generation:
        """A row's tokens as texts, with what they cost.

        Args:
            row: The row.
            prompt_tokens: Tokens of its whole prompt.
            cached_tokens: Of these, how many were not read again.
            prefill_seconds: The row's share.
            decode_seconds: The row's share.
        """
        tokenizer = self.contract.tokenizer
        start = self.contract.answer_start(row.ids)
        thought = len(row.ids) if start is None else start
        raw: str = tokenizer.decode(row.ids[thought:], skip_special_tokens=True)
        return Generation(
            raw=raw,
            final=self.contract.final_answer(raw),
            finish=row.finish,
            output_ids=row.ids,
            prompt_tokens=prompt_tokens,
            cached_tokens=cached_tokens,
            prefill_seconds=prefill_seconds,
            decode_seconds=decode_seconds,
            reasoning=self.contract.reasoning.part(tokenizer.decode(row.ids)).reasoning if thought else "",
            reasoning_tokens=thought,
            error=row.error,
        )

    def check_length(self, prompt_tokens: int) -> None:
        """Refuse a prompt that leaves no room for the longest answer.

        Raises:
            ContextTooLongError: It does not fit.
        """
        if self.context_limit is not None and prompt_tokens + self.max_new_tokens > self.context_limit:
            thought = f", reasoning of {self.think_tokens}" if self.think_tokens else ""
            raise ContextTooLongError(
                f"prompt of {prompt_tokens} tokens{thought} and answer of {self.max_answer_tokens} exceed the model's "
                f"context of {self.context_limit}"
            )

    def finish(self, ids: Sequence[int]) -> Finish | None:
        """Whether an answer ends with its last token, and why.

        Reasoning ends at its closing mark, or with the answer at an end token or at `think_tokens`. What follows the
        mark is the answer, with its own stop rule and `max_answer_tokens`.
        """
        start = self.contract.answer_start(ids)
        if start is None:
            if ids[-1] in self.end_ids:
                return "eos"
            return "length" if len(ids) >= self.think_tokens else None
        answer = ids[start:] if start else ids
        if not answer:
            return None
        ended = self.contract.finish(answer, self.end_ids)
        return ended or ("length" if len(answer) >= self.max_answer_tokens else None)

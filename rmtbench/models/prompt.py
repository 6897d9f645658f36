"""The prompt contract: one template, one chat format, one stop rule and one answer style for every system.

Context first, then the question. The two are tokenised apart and joined as token ids, so that a cached prompt and an
uncached one are the same ids.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from rmtbench.core import AnswerStyle, Finish
from rmtbench.errors import UserError
from rmtbench.models.base import Passage

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

INSTRUCTION = {
    "direct": "Answer the question with the documents. Give only the answer, in a few words, on one line.",
    "bridge": (
        "Answer the question with the documents. First write in one short line how the facts lead to the answer, "
        "then 'Answer:' and only the answer, in a few words."
    ),
}
FINAL_MARK = "Answer:"
"""In the `bridge` style, the final answer is what follows the first such mark."""

CUE = {"direct": "Answer:", "bridge": "Reasoning:"}
"""What stands last in a prompt: the answer goes on from there."""

_CONTEXT_SLOT, _QUESTION_SLOT = "<<rmtbench-context>>", "<<rmtbench-question>>"
_DAY = {"%d": "26", "%B": "July", "%b": "Jul", "%m": "07", "%Y": "2024", "%y": "24", "%A": "Friday", "%a": "Fri"}
_SAME_DAY = (
    "{%- macro strftime_now(format) -%}{{ format"
    + "".join(f" | replace('{code}', '{text}')" for code, text in _DAY.items())
    + " }}{%- endmacro -%}"
)
"""Stands before every chat format: one that tells the day tells Llama 3.1's own default, and prompts stay the same."""
CONTRACT_VERSION = 2
"""Raise it whenever a change to this file changes a prompt: it stands in every run's provenance."""


@dataclass(frozen=True)
class PromptContract:
    """Turns passages and questions into token ids for one tokenizer and answer style.

    Attributes:
        tokenizer: The model's tokenizer.
        style: What is asked for.
        head: Text before the documents: the chat format's opening, if any, and the instruction.
        bridge: Text between the last document and the question.
        tail: Text after the question: the answer's cue, with the chat format's closing around it.
    """

    tokenizer: PreTrainedTokenizerBase
    style: AnswerStyle
    head: str
    bridge: str
    tail: str

    def context_ids(self, passages: Sequence[Passage]) -> list[int]:
        """Token ids of everything before the question: the same for every question about these passages."""
        return self._start_ids() + self._encode(self.context_text(passages))

    def context_parts(self, passages: Sequence[Passage]) -> list[list[int]]:
        """Token ids of what stands before the passages, then of each passage by itself.

        In a row they are `context_ids`, but for tokenizers that join one passage's end with the next one's start.
        """
        head = self._start_ids() + self._encode(self.head)
        return [head, *(self._encode(passages_text([passage])) for passage in passages)]

    def question_ids(self, question: str) -> list[int]:
        """Token ids of the question and the cue that follow the context. Never empty."""
        return self._encode(self.question_text(question))

    def context_text(self, passages: Sequence[Passage]) -> str:
        """The same as text, for models that are sent texts."""
        return self.head + passages_text(passages)

    def question_text(self, question: str) -> str:
        """Question and cue as text."""
        return f"{self.bridge}Question: {question}\n{self.tail}"

    def finish(self, ids: Sequence[int], end_ids: frozenset[int]) -> Finish | None:
        """Whether the answer ends with its last token.

        Args:
            ids: Answer tokens so far, at least one.
            end_ids: The model's end-of-sequence tokens.

        Returns:
            ``eos`` at such a token, ``stop`` at the first line break after the final answer's text, else None.
        """
        if ids[-1] in end_ids:
            return "eos"
        if "\n" not in self.tokenizer.decode(ids[-1:]):
            return None
        return "stop" if self.stop_at(self.tokenizer.decode(ids)) is not None else None

    def stop_at(self, text: str) -> int | None:
        """Where the stop rule ends a text: behind the first line break after the final answer; None if nowhere."""
        start = text.find(FINAL_MARK) + len(FINAL_MARK) if self.style == "bridge" else 0
        if self.style == "bridge" and FINAL_MARK not in text:
            return None
        answer = text[start:].lstrip()
        end = answer.find("\n")
        return None if end < 0 else len(text) - len(answer) + end + 1

    def final_answer(self, raw: str) -> str:
        """The part of an answer that is scored: its first line, in the `bridge` style after the mark, else empty."""
        if self.style == "bridge":
            raw = raw.partition(FINAL_MARK)[2]
        return raw.strip().partition("\n")[0].strip()

    def _encode(self, text: str) -> list[int]:
        ids: list[int] = self.tokenizer.encode(text, add_special_tokens=False)
        return ids

    def _start_ids(self) -> list[int]:
        """Special tokens that this tokenizer puts before any text; none where the chat format writes its own."""
        if self.tokenizer.chat_template:
            return []
        probe: list[int] = self.tokenizer.encode("a")
        bare = self._encode("a")
        return probe[: probe.index(bare[0])] if bare and bare[0] in probe else []


def passages_text(passages: Sequence[Passage]) -> str:
    """Titled texts as every prompt shows them."""
    return "".join(f"{passage.title}\n{passage.text}\n\n" for passage in passages)


def make_contract(tokenizer: PreTrainedTokenizerBase, style: AnswerStyle) -> PromptContract:
    """Lay the template out for a tokenizer, inside its chat format where it has one.

    Args:
        tokenizer: The model's tokenizer.
        style: The answer style.

    Raises:
        UserError: The chat format refuses a user's message alone, or does not keep it in one piece.
    """
    from jinja2 import TemplateError

    cue = CUE[style]
    if not tokenizer.chat_template:
        return PromptContract(tokenizer, style, f"{INSTRUCTION[style]}\n\n", "", cue)
    message = f"{INSTRUCTION[style]}\n\n{_CONTEXT_SLOT}{_QUESTION_SLOT}"
    try:
        text: str = tokenizer.apply_chat_template(
            [{"role": "user", "content": message}],
            chat_template=_SAME_DAY + tokenizer.get_chat_template(),
            tokenize=False,
            add_generation_prompt=True,
        )
    except TemplateError as error:
        raise _unusable(f"refuses a user's message alone ({error})") from error
    head, context_slot, rest = text.partition(_CONTEXT_SLOT)
    bridge, question_slot, closing = rest.partition(_QUESTION_SLOT)
    if not context_slot or not question_slot:
        raise _unusable("does not keep the user's message in one piece")
    return PromptContract(tokenizer, style, head, bridge, f"{closing}{cue}")


def _unusable(what: str) -> UserError:
    return UserError(
        f"the tokenizer's chat template {what}",
        where="--model",
        remedy="name a tokenizer whose template takes a user's message alone, or that has none, with --tokenizer",
    )

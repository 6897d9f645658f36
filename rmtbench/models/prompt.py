"""The prompt contract: one template, one chat format, one stop rule and one answer style for every system.

Context first, then the question. The two are tokenised apart and joined as token ids, so that a cached prompt and an
uncached one are the same ids. Control marks inside passages and questions are text.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

from rmtbench.core import AnswerStyle, Finish
from rmtbench.errors import UserError
from rmtbench.models.base import Passage
from rmtbench.models.chat_format import render, render_strictly
from rmtbench.models.control_tokens import control_marks, count_tokens, encode_text
from rmtbench.models.reasoning import DEFAULT_THINK_TOKENS, NO_REASONING, Reasoning, find_reasoning
from rmtbench.options import flag

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

_CONTEXT_SLOT, _QUESTION_SLOT, _SYSTEM_SLOT = "<<rmtbench-context>>", "<<rmtbench-question>>", "<<rmtbench-system>>"
CONTRACT_VERSION = 2
"""Raise it whenever a change to this file changes a prompt: it stands in every run's provenance."""


@dataclass(frozen=True, slots=True)
class ChatSettings:
    """Chat settings.

    Attributes:
        system: The system prompt; None for the chat format's default.
        think_tokens: Most tokens of reasoning; None for `DEFAULT_THINK_TOKENS` where a model reasons. 0 closes a
            reasoning that the chat format has opened.
    """

    system: str | None = None
    think_tokens: int | None = None


@dataclass(frozen=True)
class PromptContract:
    """Turns passages and questions into token ids for one tokenizer and answer style.

    Attributes:
        tokenizer: The model's tokenizer.
        style: What is asked for.
        head: Text before the documents: the chat format's opening, if any, and the instruction.
        bridge: Text between the last document and the question.
        tail: Text after the question: the chat format's closing, then the answer's cue. There is no cue where the
            closing opens the model's reasoning.
        reasoning: How the model marks its reasoning.
    """

    tokenizer: PreTrainedTokenizerBase
    style: AnswerStyle
    head: str
    bridge: str
    tail: str
    reasoning: Reasoning = NO_REASONING

    @cached_property
    def marks(self) -> re.Pattern[str] | None:
        """The tokenizer's control marks, which are text inside passages and questions."""
        return control_marks(self.tokenizer)

    def context_ids(self, passages: Sequence[Passage]) -> list[int]:
        """Token ids of everything before the question: the same for every question about these passages."""
        return self._start_ids() + self._encode(passages_text(passages), before=self.head)

    def context_parts(self, passages: Sequence[Passage]) -> list[list[int]]:
        """Token ids of what stands before the passages, then of each passage by itself.

        In a row they are `context_ids`, but for tokenizers that join one passage's end with the next one's start.
        """
        head = self._start_ids() + self._encode("", before=self.head)
        return [head, *(self._encode(passages_text([passage])) for passage in passages)]

    def question_ids(self, question: str) -> list[int]:
        """Token ids of the question and the cue that follow the context. Never empty."""
        return self._encode(question, before=f"{self.bridge}Question: ", after=f"\n{self.tail}")

    def text_ids(self, text: str) -> list[int]:
        """Token ids of a text by itself."""
        return self._encode(text)

    def count_tokens(self, texts: Sequence[str]) -> list[int]:
        """Tokens of each text by itself; no texts give an empty list."""
        return count_tokens(self.tokenizer, texts, self.marks)

    def context_text(self, passages: Sequence[Passage]) -> str:
        """The same as text, for models that are sent texts."""
        return self.head + passages_text(passages)

    def question_text(self, question: str) -> str:
        """Question and cue as text."""
        return f"{self.bridge}Question: {question}\n{self.tail}"

    def answer_start(self, ids: Sequence[int]) -> int | None:
        """How many of the tokens written so far are reasoning; None while it goes on."""
        return self.reasoning.answer_start(ids, self.tokenizer.decode)

    def finish(self, ids: Sequence[int], end_ids: frozenset[int]) -> Finish | None:
        """Whether the answer ends with its last token.

        Args:
            ids: Answer tokens so far, without reasoning, at least one.
            end_ids: The tokens that end an answer.

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
        if self.style == "bridge" and FINAL_MARK not in text:
            return None
        start = text.find(FINAL_MARK) + len(FINAL_MARK) if self.style == "bridge" else self._cue_end(text)
        answer = text[start:].lstrip()
        end = answer.find("\n")
        return None if end < 0 else len(text) - len(answer) + end + 1

    def final_answer(self, raw: str) -> str:
        """The part of an answer that is scored: its first line, in the `bridge` style after the mark, else empty."""
        raw = raw.partition(FINAL_MARK)[2] if self.style == "bridge" else raw[self._cue_end(raw) :]
        return raw.strip().partition("\n")[0].strip()

    def _cue_end(self, text: str) -> int:
        """Where the answer begins if the model wrote the cue itself: after its reasoning, the prompt has none."""
        said = text.lstrip()
        cue = CUE[self.style] if self.reasoning.opened is not None else ""
        return len(text) - len(said) + len(cue) if cue and said.startswith(cue) else 0

    def _encode(self, text: str, *, before: str = "", after: str = "") -> list[int]:
        return encode_text(self.tokenizer, self.marks, text, before=before, after=after)

    def _start_ids(self) -> list[int]:
        """Start tokens of a prompt; none where the chat format writes its own."""
        return [] if self.tokenizer.chat_template else start_ids(self.tokenizer)


def start_ids(tokenizer: PreTrainedTokenizerBase) -> list[int]:
    """Special tokens that a tokenizer puts before any text: not every one with a start token does."""
    probe: list[int] = tokenizer.encode("a")
    bare: list[int] = tokenizer.encode("a", add_special_tokens=False)
    return probe[: probe.index(bare[0])] if bare and bare[0] in probe else []


def passages_text(passages: Sequence[Passage]) -> str:
    """Titled texts as every prompt shows them."""
    return "".join(f"{passage.title}\n{passage.text}\n\n" for passage in passages)


def make_contract(
    tokenizer: PreTrainedTokenizerBase, style: AnswerStyle, chat: ChatSettings | None = None
) -> PromptContract:
    """Make the prompt contract of a tokenizer, inside its chat format if it has one.

    Args:
        tokenizer: The model's tokenizer.
        style: The answer style.
        chat: Chat settings; None for the defaults.

    Raises:
        UserError: The chat format refuses a user's message alone or the system prompt, or does not keep one of them in
            one piece; or the system prompt holds a control mark.
    """
    chat = chat or ChatSettings()
    system = _checked_system(tokenizer, chat.system)
    vocabulary = [token.content for token in getattr(tokenizer, "added_tokens_decoder", {}).values()]
    if not tokenizer.chat_template:
        head = f"{system}\n\n{INSTRUCTION[style]}\n\n" if system else f"{INSTRUCTION[style]}\n\n"
        return PromptContract(tokenizer, style, head, "", CUE[style], find_reasoning("", vocabulary, ""))
    text = _rendered(tokenizer, f"{INSTRUCTION[style]}\n\n{_CONTEXT_SLOT}{_QUESTION_SLOT}", system)
    head, context_slot, rest = text.partition(_CONTEXT_SLOT)
    bridge, question_slot, closing = rest.partition(_QUESTION_SLOT)
    if not context_slot or not question_slot:
        raise _unusable("does not keep the user's message in one piece")
    reasoning = find_reasoning(str(tokenizer.get_chat_template()), vocabulary, closing)
    opened = reasoning.opened
    if opened is None:
        return PromptContract(tokenizer, style, head, bridge, f"{closing}{CUE[style]}", reasoning)
    if chat.think_tokens == 0:
        tail = f"{closing.rstrip()}\n\n{opened.closing}\n\n{CUE[style]}"
        return PromptContract(tokenizer, style, head, bridge, tail, Reasoning(reasoning.marks))
    return PromptContract(tokenizer, style, head, bridge, closing, reasoning)


def think_budget(contract: PromptContract, chat: ChatSettings | None = None) -> int:
    """Most tokens of reasoning that a model may write under a contract; 0 if it has no marks of reasoning.

    Raises:
        UserError: A budget is set, and there are no marks.
    """
    given = chat.think_tokens if chat is not None else None
    if contract.reasoning.marks:
        return DEFAULT_THINK_TOKENS if given is None else given
    if given:
        raise UserError(
            "neither the tokenizer nor the chat template has marks of reasoning, such as <think>",
            where=flag.think_tokens,
            remedy="leave it out with this model",
        )
    return 0


def chat_facts(contract: PromptContract, ends: frozenset[int], chat: ChatSettings | None = None) -> dict[str, Any]:
    """Return what results record about the chat: end tokens as texts, reasoning marks and budget, the system prompt.

    Args:
        contract: The model's.
        ends: The tokens that end an answer.
        chat: Chat settings.
    """
    marks, opened = contract.reasoning.marks, contract.reasoning.opened
    return {
        "end_tokens": [contract.tokenizer.decode([token]) for token in sorted(ends)],
        "reasoning_marks": [pair.opening for pair in marks],
        "reasoning_opened": None if opened is None else opened.opening,
        "think_tokens": think_budget(contract, chat),
        "system_prompt": chat.system if chat is not None else None,
    }


def _rendered(tokenizer: PreTrainedTokenizerBase, message: str, system: str | None) -> str:
    """The user's message in the chat format, behind the system prompt if there is one; the answer is opened."""
    from jinja2 import TemplateError

    user: Mapping[str, str] = {"role": "user", "content": message}
    try:
        if not system:
            return render_strictly(tokenizer, [user], answering=True)
        text, slotted = (
            render_strictly(tokenizer, [{"role": "system", "content": said}, user], answering=True)
            for said in (system, _SYSTEM_SLOT)
        )
    except TemplateError as error:
        if system and render(tokenizer, [user], answering=True) is not None:
            raise _no_system(f"refuses a system prompt ({error})") from error
        raise _unusable(f"refuses a user's message alone ({error})") from error
    if system not in text or _SYSTEM_SLOT not in slotted:  # the text may hold the same words elsewhere
        raise _no_system("does not show the system prompt to the model in one piece")
    return text


def _checked_system(tokenizer: PreTrainedTokenizerBase, system: str | None) -> str | None:
    """The system prompt without white space around it, which many templates drop; None if nothing is left."""
    system = (system or "").strip()
    marks = control_marks(tokenizer)
    found = marks.search(system) if marks is not None else None
    if found is not None:
        raise UserError(
            f"the system prompt holds the control mark {found[0]}",
            where=flag.system_prompt,
            remedy="leave the mark out: the chat format is added by the program",
        )
    return system or None


def _no_system(what: str) -> UserError:
    return UserError(
        f"the tokenizer's chat template {what}",
        where=flag.system_prompt,
        remedy="leave it out with this model",
    )


def _unusable(what: str) -> UserError:
    return UserError(
        f"the tokenizer's chat template {what}",
        where=flag.model,
        remedy=f"name a tokenizer whose template takes a user's message alone, or that has none, with {flag.tokenizer}",
    )

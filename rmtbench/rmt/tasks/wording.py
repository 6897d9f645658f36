"""From sentences and answers to token ids, and from a question to all that is right to answer while a text is read."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from rmtbench.corpora.miniature.asking import UNKNOWN, Asked, step
from rmtbench.errors import UserError
from rmtbench.models.prompt import FINAL_MARK, PromptContract
from rmtbench.options import flag
from rmtbench.rmt.base import Ids
from rmtbench.rmt.tasks.base import Sample

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase


def sentence_ids(tokenizer: PreTrainedTokenizerBase, sentences: Sequence[str]) -> list[tuple[int, ...]]:
    """Token ids of sentences as they are within a text: laid end to end, they are the ids of the text.

    Args:
        tokenizer: Any tokenizer; a space before a sentence is part of it where the tokenizer wants that.
        sentences: At least one.
    """
    space = _space(tokenizer)
    return [
        tuple(ids) for ids in tokenizer([space + text for text in sentences], add_special_tokens=False)["input_ids"]
    ]


def answer(contract: PromptContract, final: str, reasoning: str = "") -> tuple[int, ...]:
    """What is to be written behind the cue, up to and with the end of sequence.

    Args:
        contract: In the ``bridge`` style the reasoning and the mark come before the final answer.
        final: The final answer.
        reasoning: The facts that lead to it; a ``direct`` answer has none.

    Raises:
        UserError: The tokenizer has no token that could end it.
    """
    tokenizer = contract.tokenizer
    # An encoder's tokenizer has none, and what separates texts ends them as well.
    end = tokenizer.sep_token_id if tokenizer.eos_token_id is None else tokenizer.eos_token_id
    if end is None:
        raise UserError(
            "the tokenizer has no end-of-sequence token, so that no answer could end",
            where=flag.base,
            remedy="choose a base model whose tokenizer has an eos_token or a sep_token",
        )
    text = f"{reasoning} {FINAL_MARK} {final}".strip() if contract.style == "bridge" else _space(tokenizer) + final
    return (*tokenizer.encode(text, add_special_tokens=False), int(end))


def make_sample(
    segments: Iterable[Ids], asked: Asked, told: Sequence[int], contract: PromptContract, named: int = 0
) -> Sample:
    """A text and a question, with what is right before all of its facts are told: reasoning as far as they go.

    Args:
        segments: The text.
        asked: The question.
        told: Of each fact that it rests on, the number of the segment that states it.
        contract: Makes the token ids.
        named: Number of the segment that tells of another name, if the question uses one.
    """
    numbers = [*([named] if asked.called else []), *told, *([0] if asked.untold else [])]
    steps = list(zip(asked.lookups, asked.notes or ("",) * len(numbers), numbers, strict=True))
    chained = asked.kind not in {"comparison", "yes/no"}

    def right(number: int) -> tuple[int, ...]:
        lines, missing = [], False
        for (subject, relation, found), note, stated in steps:
            missing |= stated > number
            lines.append(step((subject, relation, UNKNOWN if stated > number else found), "" if missing else note))
            if chained and missing:
                break  # the next step begins with what this one found
        if asked.verdict and not missing:
            lines.append(asked.verdict)
        return answer(contract, UNKNOWN if missing else asked.references[0], " ".join(lines))

    changes = sorted(set(numbers))
    not_yet, final = right(-1), right(changes[-1])
    told_by = 0 if not_yet == final else next(number for number in changes if right(number) == final)
    partly = [(number, right(number)) for number in changes if number < told_by and right(number) != not_yet]
    question = contract.question_ids(asked.text)
    return Sample(segments, question, final, told_by, not_yet, asked.kind, partly[0] if partly else None)


def _space(tokenizer: PreTrainedTokenizerBase) -> str:
    """What must stand before a sentence so that its ids are those within a text."""
    one, two, both = (tokenizer.encode(text, add_special_tokens=False) for text in ("One.", "Two.", "One. Two."))
    return "" if both == one + two else " "

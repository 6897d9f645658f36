"""What servers are asked for: windows of long chunks, reasoning and the system prompt, held to what is really done."""

from __future__ import annotations

import re

import pytest

from rmtbench.core import RunSpec
from rmtbench.models.embed_windows import Piece, Reads, cut_windows
from rmtbench.options.identity import RunOptions
from rmtbench.runs.bill import QUESTION_TOKENS, Extras, bill_of, embedding_bill
from rmtbench.systems.registry import find_system


def words(text: str) -> list[list[Piece]]:
    return [[(found.start(), found.end(), 1)] for found in re.finditer(r"\S+", text)]


BY_WORDS = Reads(lambda texts: [len(text.split()) for text in texts], words)


@pytest.mark.parametrize("length", [1, 16, 17, 28, 29, 100])
def test_a_long_chunk_is_billed_by_its_windows(length: int) -> None:
    text = " ".join(["word"] * length)
    [spans] = cut_windows(BY_WORDS, [text], [""], 16)
    read = sum(len(text[start:end].split()) for start, end in spans)
    bill = embedding_bill([length], chunk_tokens=1000, batch=1, questions=0, window=16)
    assert (bill.calls, bill.embedded) == (len(spans), read)


def test_chunks_without_windows_are_billed_as_they_are() -> None:
    bill = embedding_bill([100, 30, 0], chunk_tokens=50, batch=2, questions=5)
    assert (bill.calls, bill.embedded) == (2 + 5, 130 + 5 * QUESTION_TOKENS)
    again = embedding_bill([], chunk_tokens=50, batch=2, questions=5)
    assert (again.calls, again.embedded) == (5, 5 * QUESTION_TOKENS)


def test_reasoning_and_system_prompt_are_billed_with_every_call() -> None:
    options = RunOptions(rmt_chunk_tokens=50, rmt_memory_tokens=7)
    spec = RunSpec("rmt-text", "squad", "8k", "openai:x", "miniature:x@0", max_answer_tokens=6, options=options)
    kind = find_system("rmt-text")
    bare, more = (bill_of(spec, kind, 0, 100, 3, extras) for extras in (Extras(), Extras(thinking=10, system=4)))
    assert bare.calls == more.calls == 3 * (2 + 1)
    assert (bare.written, more.written) == (3 * (2 * 7 + 6), 3 * (2 * 17 + 16))
    assert more.sent - bare.sent == 9 * 4

"""Notes in several parts: each section rewrites the one that was written longest ago, in the same number of tokens."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from test_rmt_text import Line, asked

from rmtbench.core import Draw
from rmtbench.errors import UserError
from rmtbench.models.local import LocalModel
from rmtbench.systems.base import System
from rmtbench.systems.rmt_text import HEADS_INSTRUCTION, NO_NOTES, NOTES, OTHER_NOTES, note_writer

Build = Callable[..., System]


def of_heads(build: Build, heads: int) -> Build:
    """The system with so many parts of notes."""
    settings = (("chunk_tokens", "96"), ("memory_tokens", "8"), ("rmt_heads", str(heads)))
    return lambda name: build(name, settings=settings)


def test_each_section_rewrites_the_oldest_part(build: Build, towns: Draw, tiny_model: LocalModel) -> None:
    answering, writing = Line(tiny_model), Line(note_writer(tiny_model, 8, 2))
    [answer] = asked(of_heads(build, 2), towns, answering, writing)
    first, second, third = (given.final for given in writing.given)
    shown = [[(passage.title, passage.text) for passage in prompt.passages[:-1]] for prompt in writing.prompts]
    assert shown == [
        [(NOTES, NO_NOTES)],
        [(f"{OTHER_NOTES} 1", first), (NOTES, NO_NOTES)],
        [(f"{OTHER_NOTES} 1", second), (NOTES, first)],
    ]
    assert [passage.text for passage in answering.prompts[0].passages] == [second, third], "all parts answer"
    assert (answer.notes, answer.note_heads) == ((first, second, third), 2)


def test_all_parts_have_as_many_tokens_as_one_had(tiny_model: LocalModel) -> None:
    assert [note_writer(tiny_model, 8, heads).max_answer_tokens for heads in (1, 2, 4)] == [8, 4, 2]
    heads = [HEADS_INSTRUCTION.strip() in note_writer(tiny_model, 8, heads).contract.head for heads in (1, 2)]
    assert heads == [False, True]
    with pytest.raises(UserError, match="less than a token each") as caught:
        note_writer(tiny_model, 8, 9)
    assert caught.value.where == "--set rmt-heads"


def test_notes_before_a_failed_call_are_kept(build: Build, towns: Draw, tiny_model: LocalModel) -> None:
    [answer] = asked(build, towns, Line(tiny_model), Line(note_writer(tiny_model, 8), 2))
    assert answer.error is not None
    assert len(answer.notes) == 2

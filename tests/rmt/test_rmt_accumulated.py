"""Accumulated memory: what is kept, how it grows, and that with one segment it is the constant one."""

from __future__ import annotations

import random
from dataclasses import replace

import pytest
import torch
from rmt_models import MEMORY, SEGMENT, close, rows_of, words, wrapped

from rmtbench.errors import AnswerError, UserError
from rmtbench.options.memory import MemoryForm
from rmtbench.rmt.batches import Batch, Query
from rmtbench.rmt.learning import AnswerFromMemory, memory_groups
from rmtbench.rmt.streaming import read_streams, read_streams_apart
from rmtbench.rmt.walk import read_rows, read_rows_apart, walk

ALL, LAST = MemoryForm(memory="accumulate"), MemoryForm(memory="accumulate", memory_last=2)
NAMES = ("gpt2", "llama", "mini")
UPDATES = ("overwrite", "gated", "latched")
WIDTH = 32


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("update", UPDATES)
@pytest.mark.parametrize("rows", [rows_of((SEGMENT,), (5,)), [[], [words(3)]]])
def test_with_one_segment_it_is_the_constant_memory(name: str, update: str, rows: list) -> None:
    usual, kept = wrapped(name, update=update), wrapped(name, update=update, form=ALL)
    for row, memory in zip(rows, read_rows_apart(kept, rows), strict=True):
        close(kept.tokens_of(memory[None]), read_rows(usual, [row]))
    rows = [[*row, words(4, 9)] for row in rows]
    answers = [[row.ids for row in model.generate(rows, lambda _: None, 4)] for model in (usual, kept)]
    assert answers[0] == answers[1]


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("update", UPDATES)
def test_keeping_only_the_last_is_the_constant_memory(name: str, update: str) -> None:
    usual = wrapped(name, update=update)
    last = wrapped(name, update=update, form=replace(ALL, memory_last=1))
    rows = rows_of((SEGMENT, 4, 7), (5, SEGMENT, 2))
    close(read_rows(last, rows), read_rows(usual, rows))


def test_every_segments_memory_is_kept_oldest_first() -> None:
    model, [row] = wrapped("llama", form=ALL), rows_of((SEGMENT, 5, 4))
    wholes = [read_rows(model, [row[:count]])[0] for count in (1, 2, 3)]
    assert [len(whole) for whole in wholes] == [MEMORY, 2 * MEMORY, 3 * MEMORY]
    close(wholes[2][: 2 * MEMORY], wholes[1])
    close(wholes[1][:MEMORY], wholes[0])


def test_of_more_than_the_last_m_segments_the_oldest_goes() -> None:
    model, [row] = wrapped("llama", form=LAST), rows_of((SEGMENT, 5, 4))
    second, third = (read_rows(model, [row[:count]])[0] for count in (2, 3))
    assert len(second) == len(third) == 2 * MEMORY
    close(third[:MEMORY], second[MEMORY:])


def test_later_segments_read_all_that_is_kept() -> None:
    model, first, other = wrapped("llama", form=ALL), words(SEGMENT, 1), words(SEGMENT, 2)
    rows = [[start, words(5, 3), words(4, 4)] for start in (first, other)]
    left, right = read_rows(model, rows)
    assert (left - right).abs()[2 * MEMORY :].max() > 1e-3
    latest = wrapped("llama", form=replace(ALL, memory_last=1))
    ends = [read_rows(latest, [row[1:]], read_rows(latest, [row[:1]])) for row in rows]
    assert len(ends[0][0]) == MEMORY


@pytest.mark.parametrize("segments", [1, 2, 5])
@pytest.mark.parametrize(("form", "most"), [(ALL, 9), (LAST, 2)])
def test_bytes_grow_by_a_segments_memory_for_each_segment(segments: int, form: MemoryForm, most: int) -> None:
    model = wrapped("mini", form=form)
    [memory] = read_streams_apart(model, [rows_of((SEGMENT,) * segments)[0]])
    width = model.memory.tokens.embedding_dim
    assert memory.nbytes == min(segments, most) * MEMORY * width * 4


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("form", [ALL, LAST])
def test_texts_read_side_by_side_are_those_read_alone(name: str, form: MemoryForm) -> None:
    model, rows = wrapped(name, form=form), rows_of((SEGMENT, 5, 4), (3,), (), (SEGMENT, SEGMENT))
    streamed = read_streams_apart(model, [iter(row) for row in rows])
    for row, ours, trained in zip(rows, streamed, read_rows_apart(model, rows), strict=True):
        close(ours, trained)
        if row:
            close(ours, read_rows(model, [row])[0])
    assert streamed[2].shape[0] == 0


@pytest.mark.parametrize("form", [ALL, LAST])
def test_a_text_read_in_two_parts_is_the_text_read_at_once(form: MemoryForm) -> None:
    model, [row] = wrapped("llama", form=form), rows_of((SEGMENT, 5, 3, 4))
    half = read_streams(model, [row[:2]])
    close(read_streams(model, [row[2:]], half), read_streams(model, [row]))


@pytest.mark.parametrize("name", NAMES)
def test_an_answer_from_the_cache_is_that_of_reading_all_again(name: str) -> None:
    model = wrapped(name, form=ALL)
    rows = [[*row, words(4, place)] for place, row in enumerate(rows_of((SEGMENT, 5), (7,), ()))]
    given = [row.ids for row in model.generate(rows, lambda _: None, 5)]
    for row, ids in zip(rows, given, strict=True):
        [memory] = read_rows_apart(model, [row[:-1]])
        tokens = model.tokens_of(memory[None])
        known: list[int] = []
        for token in ids:
            text = torch.tensor([[*row[-1], *known]])
            inputs = torch.cat([tokens, model.embed(text)], dim=1)
            states = model.base.base_model(inputs_embeds=inputs, use_cache=False).last_hidden_state
            assert int(model.logits(states[0, -1]).argmax()) == token
            known.append(token)


def test_training_asks_questions_of_their_own_rows_memory() -> None:
    model = wrapped("llama", form=ALL)
    rows = rows_of((SEGMENT, 5, 4), (3,), (6, 6))
    places = [(0, 0), (0, 2), (1, 0), (2, 1)]
    asked = [Query(row, after, "along", "", words(3, row), [1, 2]) for row, after in places]
    groups = memory_groups(model, Batch(rows, asked))
    assert [memory.shape[1] for memory, _ in groups] == [MEMORY, 2 * MEMORY, 3 * MEMORY]
    for memory, queries in groups:
        for own, query in zip(memory, queries, strict=True):
            close(own, read_rows(model, [rows[query.row][: query.after + 1]])[0])
    assert sorted((query.row, query.after) for _, queries in groups for query in queries) == places
    objective = AnswerFromMemory(model, task=None, mixed_precision=False)  # type: ignore[arg-type]
    loss, figures, tokens = objective.loss(Batch(rows, asked))
    alone = [objective.loss(Batch(rows, [query]))[0] for query in asked]
    close(loss, torch.stack(alone).mean())
    assert tokens == sum(len(segment) for row in rows for segment in row)
    assert set(figures) == {"along"}


@pytest.mark.parametrize("depth", [None, 1, 2])
def test_gradient_reaches_configured_segments_from_each_rows_end(depth: int | None) -> None:
    ids, counts = iter(range(1, 90)), (4, 1, 2)
    rows = [[[next(ids)] * SEGMENT for _ in range(count)] for count in counts]
    model = wrapped("llama", form=ALL, backprop_segments=depth)
    generator = torch.Generator().manual_seed(5)
    total = torch.zeros(())
    for memory in read_rows_apart(model, rows):
        total = total + (memory * torch.randn(memory.shape, generator=generator)).sum()
    total.backward()
    slope = model.base.get_input_embeddings().weight.grad
    reached = [[bool(slope[segment[0]].abs().max() > 0) for segment in row] for row in rows]
    assert reached == [[depth is None or count - number <= depth for number in range(count)] for count in counts]


def test_segments_beyond_the_last_ones_keep_nothing_for_gradient() -> None:
    model = wrapped("llama", form=ALL, backprop_segments=2)
    steps = list(walk(model, rows_of((SEGMENT,) * 5, (4,) * 4)))
    assert [step.read.text.requires_grad for step in steps] == [False, False, True, True, True]
    assert [step.read.memory.requires_grad for step in steps] == [False, False, True, True, True]


def test_rows_of_a_step_have_read_as_many_segments() -> None:
    model = wrapped("llama", form=ALL)
    steps = list(walk(model, rows_of((4, 5), (3,), (2, 2, 2))))
    assert [step.rows for step in steps] == [(0, 1, 2), (0, 2), (2,)]
    assert [set(step.numbers) for step in steps] == [{0}, {1}, {2}]


def test_too_many_positions_are_refused_with_what_fits() -> None:
    model = wrapped("llama", form=ALL)  # 64 positions
    row = [words(3, seed) for seed in range(40)]
    with pytest.raises(UserError, match="exceed the model's 64 positions") as caught:
        read_streams(model, [row])
    assert "--set memory-last=16" in caught.value.remedy
    fits = wrapped("llama", form=replace(ALL, memory_last=16))
    assert read_streams(fits, [row]).shape[1] == 16 * MEMORY
    with pytest.raises(AnswerError, match="exceed the model's 64 positions"):
        fits.prompts(read_streams(fits, [row]), [words(10)], 8)
    with pytest.raises(UserError, match="exceed the model's"):
        wrapped("llama", form=replace(ALL, memory_last=17))


def test_associations_do_not_accumulate() -> None:
    with pytest.raises(UserError, match="associations do not accumulate"):
        wrapped("llama", update="associative", form=ALL)


def test_a_limit_means_nothing_where_memory_is_constant() -> None:
    with pytest.raises(UserError, match="means nothing without --memory accumulate") as caught:
        MemoryForm(memory_last=random.Random(0).randint(1, 3))
    assert caught.value.where == "--set memory-last"

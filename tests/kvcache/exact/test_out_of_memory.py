"""Missing memory halves the batch or fails one answer with numbers. What was answered is kept; no answer changes."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from rmtbench.core import Draw, RunSpec
from rmtbench.errors import UserError, out_of_memory
from rmtbench.journal.record import read_run
from rmtbench.kvcache.base import PrefixKV
from rmtbench.kvcache.exact.plain import read_prefix
from rmtbench.kvcache.exact.prefill import prefill
from rmtbench.kvcache.exact.reading import tokenise
from rmtbench.kvcache.exact.shared import shared_prefix
from rmtbench.kvcache.exact.suffixes import Suffixes
from rmtbench.models.base import Generation, Passage, Prompt
from rmtbench.models.batches import generate_apart
from rmtbench.models.local import LocalModel
from rmtbench.runs.loop import execute
from rmtbench.systems.resources import Resources

CONTEXT = (Passage("Arden", "Arden lies on the river Oss. Its market is held on Fridays."),)
QUESTIONS = ("Who is the mayor, please?", "Where does the river end?", "When?", "Is there a volcano here?", "Why?")
NUMBERS = "Tried to allocate 2.00 GiB. GPU 0 has 1.00 GiB free."


class Memory:
    """Raises torch's error where a forward of a real model has more rows, or reads a word that does not fit."""

    def __init__(self, rows: int, word: int | None = None) -> None:
        self.rows, self.word, self.refused = rows, word, 0

    def __call__(self, _module: torch.nn.Module, given: tuple[Any, ...], words: dict[str, Any]) -> None:
        ids = words["input_ids"] if "input_ids" in words else given[0]
        kept = words.get("logits_to_keep")
        rows = len(kept) if isinstance(kept, torch.Tensor) else ids.shape[0]
        if rows > self.rows or (self.word is not None and bool((ids == self.word).any())):
            self.refused += 1
            raise torch.OutOfMemoryError(f"CUDA out of memory.\n{NUMBERS}")


def short_of_memory(model: LocalModel, rows: int, word: str | None = None) -> tuple[LocalModel, Memory]:
    net = copy.deepcopy(model.model)
    memory = Memory(rows, model.token_ids(word)[0] if word else None)
    net.register_forward_pre_hook(memory, with_kwargs=True)
    return replace(model, model=net), memory


@pytest.mark.parametrize(
    "told",
    [
        "DefaultCPUAllocator: can't allocate memory: you tried to allocate 8 bytes.",
        "CUDA error: out of memory\nCUDA kernel errors might be asynchronously reported at some other API call.",
        "CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`",
    ],
)
def test_every_wording_of_torch_is_known(told: str) -> None:
    assert out_of_memory(RuntimeError(told)) == " ".join(told.split())
    assert not out_of_memory(RuntimeError("CUDA error: an illegal memory access was encountered"))


def over_shared(model: LocalModel, batch: int, told: list[str]) -> list[Generation]:
    tokens = tokenise(model, CONTEXT, QUESTIONS).value
    held = shared_prefix(
        model, prefill(model.model, tokens.ids), longest=tokens.longest, batch=batch, notice=told.append
    )
    with held as prefix:
        before = prefix.bytes
        found = list(prefix.stream(QUESTIONS))
        assert (prefix.bytes < before) == bool(told)
    return found


def ids(found: Sequence[Generation]) -> list[tuple[int, ...]]:
    return [row.output_ids for row in found]


def test_places_that_do_not_fit_are_halved_before_any_question(
    tiny_model: LocalModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    def take(prefix: PrefixKV, places: int, room: int) -> Suffixes:
        if places > 1:
            raise torch.OutOfMemoryError(f"CUDA out of memory.\n{NUMBERS}")
        return Suffixes(prefix, places, room)

    expected, told = ids(over_shared(tiny_model, 1, [])), list[str]()
    monkeypatch.setattr("rmtbench.kvcache.exact.shared.Suffixes", take)
    tokens = tokenise(tiny_model, CONTEXT, QUESTIONS).value
    read = prefill(tiny_model.model, tokens.ids)
    with shared_prefix(tiny_model, read, longest=tokens.longest, batch=4, notice=told.append) as prefix:
        assert told == [f"out of memory with {n} questions at once; now {n // 2} at once" for n in (4, 2)]
        assert ids(list(prefix.stream(QUESTIONS))) == expected


def test_a_shared_prefix_halves_its_places_and_answers_the_same(tiny_model: LocalModel) -> None:
    expected = ids(over_shared(tiny_model, 1, []))
    short, memory = short_of_memory(tiny_model, rows=1)
    told: list[str] = []
    found = over_shared(short, 4, told)
    assert ids(found) == expected
    assert {row.error for row in found} == {None}
    assert told == [f"out of memory with {n} questions at once; now {n // 2} at once" for n in (4, 2)]
    assert memory.refused == 2


def test_a_question_that_fits_nowhere_fails_with_the_numbers(tiny_model: LocalModel) -> None:
    expected = ids(over_shared(tiny_model, 1, []))
    short, _ = short_of_memory(tiny_model, rows=9, word="volcano")
    found = over_shared(short, 2, [])
    assert [row.error is not None for row in found] == [False, False, False, True, False]
    assert found[3].error == f"out of memory with 1 question at once (CUDA out of memory. {NUMBERS})"
    assert [row for place, row in enumerate(ids(found)) if place != 3] == expected[:3] + expected[4:]


def test_own_prompts_are_answered_in_halves(tiny_model: LocalModel) -> None:
    prompts = [Prompt(CONTEXT, question) for question in QUESTIONS]
    expected = [tiny_model.generate([prompt])[0].output_ids for prompt in prompts]
    short, memory = short_of_memory(tiny_model, rows=2)
    assert ids(generate_apart(short.generate, prompts)) == expected
    assert memory.refused == 2  # five, three, two: then all fits


def test_a_plain_prefix_answers_in_halves(tiny_model: LocalModel) -> None:
    short, memory = short_of_memory(tiny_model, rows=2)
    with read_prefix(short, CONTEXT, QUESTIONS, batch=5).value as prefix:
        found = [each.value for each in prefix.answers(QUESTIONS, 5)]
        alone = [prefix.generate([question])[0] for question in QUESTIONS]
    assert ids(found) == ids(alone)
    assert memory.refused


def test_another_error_is_raised_as_it_is() -> None:
    def broken(_prompts: Sequence[str]) -> list[Generation]:
        raise RuntimeError("shapes differ")

    with pytest.raises(RuntimeError, match="shapes differ"):
        generate_apart(broken, ["a", "b"])


def test_a_corpus_that_does_not_fit_keeps_the_answers_so_far(
    tiny_model: LocalModel, towns: Draw, tmp_path: Path
) -> None:
    specs = [RunSpec(system, "towns", "all", "random:tiny", "own:towns@0", max_answer_tokens=4) for system in SYSTEMS]
    short, _ = short_of_memory(tiny_model, rows=9)

    def full(_module: torch.nn.Module, given: tuple[Any, ...], words: dict[str, Any]) -> None:
        if (words["input_ids"] if "input_ids" in words else given[0]).shape[1] > 150:
            raise torch.OutOfMemoryError(NUMBERS)

    short.model.base_model.register_forward_pre_hook(full, with_kwargs=True)
    with pytest.raises(UserError) as told:
        execute(specs, [towns], Resources(specs[0], short), tmp_path, lambda _event: None)
    assert told.value.what == f"out of memory ({NUMBERS})"
    assert told.value.where == "--system cag, corpus towns-all-seed0-draw0"
    assert "every answer so far is kept" in told.value.remedy
    [kept] = [
        folder for folder in tmp_path.iterdir() if (folder / "answers.jsonl").exists() and "closed" in folder.name
    ]
    assert len(read_run(kept).answers) == len(towns.corpus.questions)


SYSTEMS = ("closed-book", "cag")

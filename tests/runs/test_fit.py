"""A corpus longer than the model's context is refused with its tokens, the limit and the sizes that fit."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from rmtbench.core import Draw, RunSpec
from rmtbench.errors import UserError
from rmtbench.models.base import Generation, Prompt
from rmtbench.models.local import LocalModel
from rmtbench.runs.fit import check_fit
from rmtbench.runs.loop import execute
from rmtbench.systems.in_prompt import whole_corpus
from rmtbench.systems.registry import find_system, system_names
from rmtbench.systems.resources import Resources

READERS = ("full-context", "cag")


def specs(*systems: str) -> list[RunSpec]:
    return [
        RunSpec(
            name,
            "towns",
            "all",
            "random:tiny",
            "own:towns@0",
            top_k=1 if "chunks" in find_system(name).needs else None,
            max_answer_tokens=8,
        )
        for name in systems
    ]


def check(model: LocalModel, draws: Sequence[Draw], *systems: str, limit: int | None) -> None:
    kinds = [find_system(name) for name in systems]
    check_fit(specs(*systems), kinds, draws, replace(model, context_limit=limit))


def needed(model: LocalModel, draw: Draw) -> int:
    """Tokens of the longest prompt over all documents with its answer, as the model is given them."""
    context = model.context_ids(whole_corpus(draw.corpus))
    return len(context) + max(len(model.question_ids(question.text)) for question in draw.corpus.questions) + 8


def refusal(model: LocalModel, draws: Sequence[Draw], *systems: str, limit: int) -> UserError:
    with pytest.raises(UserError) as caught:
        check(model, draws, *systems, limit=limit)
    return caught.value


def test_the_message_tells_tokens_limit_systems_and_draw(tiny_model: LocalModel, towns: Draw) -> None:
    error = refusal(tiny_model, [towns], "closed-book", *READERS, limit=100)
    assert error.what == f"the context is {needed(tiny_model, towns)} tokens long; random:tiny takes 100"
    assert error.where == "corpus towns-all-seed0-draw0 (cag, full-context)"
    assert error.remedy == "no size fits: leave these systems out or choose a model with a longer context"


@pytest.mark.parametrize(
    ("dataset", "limit", "fitting"),
    [
        ("own", 1_008, None),
        ("own", 1_009, "smoke"),
        ("triviaqa", 43_009, "smoke or small or medium"),
        ("squad", 32_009, "smoke or small or medium"),
        ("squad", 32_008, "smoke or small"),
        ("hotpotqa", 1_200, None),
    ],
)
def test_the_remedy_names_the_sizes_of_that_data_set_that_fit(
    tiny_model: LocalModel, towns: Draw, dataset: str, limit: int, fitting: str | None
) -> None:
    documents = tuple(
        replace(document, id=f"{copy}-{document.id}")
        for copy in range(limit // 250 + 1)
        for document in towns.corpus.documents
    )
    huge = Draw(replace(towns.corpus, dataset=dataset, documents=documents), towns.gold)
    error = refusal(tiny_model, [huge], "cag", limit=limit)
    begins = f"--size {fitting} fits; else leave these" if fitting else "no size fits: leave these"
    assert error.remedy.startswith(begins)
    assert f"{needed(tiny_model, huge):,} tokens long; random:tiny takes {limit:,}" in error.what


def test_corpus_that_just_fits_is_accepted(tiny_model: LocalModel, towns: Draw) -> None:
    exact = needed(tiny_model, towns)
    check(tiny_model, [towns], *READERS, limit=exact)
    refusal(tiny_model, [towns], *READERS, limit=exact - 1)


def test_whatever_is_accepted_is_answered(tiny_model: LocalModel, towns: Draw, tmp_path: Path) -> None:
    model = replace(tiny_model, context_limit=needed(tiny_model, towns))
    outcomes = execute(specs(*READERS), [towns], Resources(specs("cag")[0], model), tmp_path, lambda _event: None)
    assert [(outcome.answered, outcome.failed) for outcome in outcomes] == [(6, 0), (6, 0)]


def test_every_draw_must_fit(tiny_model: LocalModel, towns: Draw) -> None:
    longer = replace(
        towns.corpus, id="towns-longer", documents=(*towns.corpus.documents, replace(towns.corpus.documents[0], id="x"))
    )
    error = refusal(tiny_model, [towns, Draw(longer, towns.gold)], "cag", limit=needed(tiny_model, towns))
    assert error.where == "corpus towns-longer (cag)"


def test_systems_that_choose_what_they_read_are_never_refused(tiny_model: LocalModel, towns: Draw) -> None:
    choosing = [name for name in system_names() if name not in READERS]
    assert len(choosing) == 8, "a recurrent memory reads any length"
    check(tiny_model, [towns], *choosing, limit=10)


def test_a_model_without_a_limit_takes_everything(tiny_model: LocalModel, towns: Draw) -> None:
    check(tiny_model, [towns], *READERS, limit=None)


def test_model_without_token_ids_is_compared_by_documents(tiny_model: LocalModel, towns: Draw) -> None:
    longest = max(tiny_model.count_tokens([question.text for question in towns.corpus.questions]))
    texts = [f"{document.title}\n{document.text}" for document in towns.corpus.documents]
    whole = sum(tiny_model.count_tokens(texts)) + longest + 8
    for limit, fits in ((whole, True), (whole - 1, False)):
        arguments = (specs("full-context"), [find_system("full-context")], [towns], Endpoint(tiny_model, limit))
        if fits:
            check_fit(*arguments)
        else:
            with pytest.raises(UserError, match=f"the context is {limit + 1} tokens long"):
                check_fit(*arguments)


def test_nothing_is_written_where_a_corpus_is_refused(tiny_model: LocalModel, towns: Draw, tmp_path: Path) -> None:
    model = replace(tiny_model, context_limit=100)
    with pytest.raises(UserError, match="tokens long"):
        execute(specs("closed-book", "cag"), [towns], Resources(specs("cag")[0], model), tmp_path, lambda _event: None)
    assert list(tmp_path.iterdir()) == []


class Endpoint:
    """A model that speaks texts alone, as one behind an API does."""

    def __init__(self, model: LocalModel, limit: int) -> None:
        self._model, self.context_limit = model, limit
        self.provenance, self.count_tokens, self.token_ids = model.provenance, model.count_tokens, model.token_ids

    def generate(self, prompts: Sequence[Prompt]) -> list[Generation]:
        return self._model.generate(prompts)

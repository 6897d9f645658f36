"""Which runs do not fit the model's context, found before any question is answered."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from rmtbench.core import Draw, RunSpec
from rmtbench.corpora.base import BUDGETS
from rmtbench.corpora.registry import known_datasets
from rmtbench.errors import UserError
from rmtbench.models.base import LanguageModel
from rmtbench.options import flag
from rmtbench.systems.base import SystemKind
from rmtbench.systems.in_prompt import whole_corpus
from rmtbench.systems.registry import find_system
from rmtbench.systems.resources import local_model


@dataclass(frozen=True, slots=True)
class Misfit:
    """A run that is skipped: its corpus is longer than the model's context, or it has nothing to read.

    Attributes:
        spec: The run.
        error: The reason. For a long corpus: its tokens, the limit, and the sizes that fit.
    """

    spec: RunSpec
    error: UserError


def find_misfits(
    specs: Sequence[RunSpec], kinds: Sequence[SystemKind], draws: Sequence[Draw], model: LanguageModel
) -> list[Misfit]:
    """Return the runs that read a whole corpus, if that of some draw is longer than the model's context.

    Args:
        specs: The runs.
        kinds: Their systems.
        draws: The draws.
        model: The model, for its limit. A model without a limit need not count tokens.
    """
    # Systems that choose what they read are not checked here: each of their prompts is checked by itself.
    readers = [spec for spec, kind in zip(specs, kinds, strict=True) if "whole-corpus" in kind.needs]
    if model.context_limit is None or not readers:
        return []
    needed = {draw.corpus.id: _longest_prompt(draw, model) for draw in draws}
    found = []
    for spec in readers:
        for draw in draws:
            written = getattr(model, "max_new_tokens", spec.max_answer_tokens)  # includes reasoning
            if needed[draw.corpus.id] + written > model.context_limit:
                place = (draw.corpus.id, draw.corpus.dataset)
                found.append(too_long(spec, *place, needed[draw.corpus.id], written, model.context_limit))
                break
    return found


def check_fit(
    specs: Sequence[RunSpec], kinds: Sequence[SystemKind], draws: Sequence[Draw], model: LanguageModel
) -> None:
    """Refuse runs that `find_misfits` finds.

    Raises:
        UserError: The reason of the first one. It names all systems that do not fit.
    """
    if misfits := find_misfits(specs, kinds, draws, model):
        raise refusal_of(misfits)


def refusal_of(misfits: Sequence[Misfit]) -> UserError:
    """Return the reason of the first misfit, with the names of all systems that do not fit."""
    first = misfits[0].error
    systems = ", ".join(sorted({misfit.spec.system for misfit in misfits}))
    return UserError(first.what, where=f"{first.where} ({systems})", remedy=first.remedy)


def _without_evidence(system: str) -> UserError:
    return UserError(
        f"no question has evidence, and the {system} reads nothing else",
        where=f"{flag.systems} {system}",
        remedy="name the documents that answer a question under 'evidence' (docs/reference/data.md), "
        f"or leave the {system} out",
    )


def with_evidence(
    specs: Sequence[RunSpec], draws: Iterable[Draw], named: Sequence[str]
) -> tuple[list[RunSpec], list[Misfit]]:
    """Return the runs that have something to read, and those of an oracle that has not.

    Args:
        specs: The runs.
        draws: The draws. Iteration stops at the first one that has a question with evidence.
        named: Systems that were asked for by name; an oracle that ``all`` stands for may be left out.

    Raises:
        UserError: The oracle was asked for by name, or nothing else is left.
    """
    readers = [spec for spec in specs if "evidence" in find_system(spec.system).needs]
    if not readers or any(gold.evidence for draw in draws for gold in draw.gold):
        return list(specs), []
    misfits = [Misfit(spec, _without_evidence(spec.system)) for spec in readers]
    if len(readers) == len(specs) or any(spec.system in named for spec in readers):
        raise misfits[0].error
    return [spec for spec in specs if spec not in readers], misfits


def too_long(
    spec: RunSpec, corpus: str, dataset: str, prompt: int, written: int, limit: int, about: str = ""
) -> Misfit:
    """Return the misfit of a run whose context is longer than the model's.

    Args:
        spec: The run.
        corpus: Id of the draw.
        dataset: Its data set.
        prompt: Tokens of the prompt.
        written: Tokens that may be written behind it.
        limit: Tokens that the model takes.
        about: Stands before the count, if it is no exact one.
    """
    kind = known_datasets().get(dataset)
    budgets = BUDGETS if kind is None else kind.tokens
    fitting = [size for size, budget in budgets.items() if budget + written < limit]
    choice = f"{flag.size} {' or '.join(fitting)} fits; else" if fitting else "no size fits:"
    error = UserError(
        f"the context is {about}{prompt + written:,} tokens long; {spec.model_name} takes {limit:,}",
        where=f"corpus {corpus}",
        remedy=f"{choice} leave these systems out or choose a model with a longer context",
    )
    return Misfit(spec, error)


def _longest_prompt(draw: Draw, model: LanguageModel) -> int:
    """Return the tokens of the longest prompt over the whole corpus; without its frame if the model is on a server."""
    questions = [question.text for question in draw.corpus.questions]
    if (local := local_model(model)) is None:
        documents = [f"{document.title}\n{document.text}" for document in draw.corpus.documents]
        return sum(model.count_tokens(documents)) + max(model.count_tokens(questions))
    context = local.context_ids(whole_corpus(draw.corpus))
    return len(context) + max(len(local.question_ids(question)) for question in questions)

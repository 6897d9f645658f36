"""Which runs do not fit the model's context, found before anything is answered."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from rmtbench.core import Draw, RunSpec
from rmtbench.corpora.base import BUDGETS
from rmtbench.corpora.registry import known_datasets
from rmtbench.errors import UserError
from rmtbench.models.base import LanguageModel
from rmtbench.systems.base import SystemKind
from rmtbench.systems.in_prompt import whole_corpus
from rmtbench.systems.resources import local_model

EVIDENCE_ALONE = "oracle"
"""The system that reads a question's evidence and nothing else."""


@dataclass(frozen=True, slots=True)
class Misfit:
    """A run that is not done: its corpus is longer than the model's context, or it has nothing to read.

    Attributes:
        spec: The run.
        error: Why: for a long corpus how many tokens there are, how many fit, and which sizes do.
    """

    spec: RunSpec
    error: UserError


def find_misfits(
    specs: Sequence[RunSpec], kinds: Sequence[SystemKind], draws: Sequence[Draw], model: LanguageModel
) -> list[Misfit]:
    """Return the runs that read a whole corpus where some draw's is longer than the model's context.

    Args:
        specs: The runs.
        kinds: Their systems.
        draws: The draws.
        model: For its limit. One that sets none need not count tokens.
    """
    # Systems that choose what they read are left alone: their own prompts are checked one by one.
    readers = [spec for spec, kind in zip(specs, kinds, strict=True) if "whole-corpus" in kind.needs]
    if model.context_limit is None or not readers:
        return []
    needed = {draw.corpus.id: _longest_prompt(draw, model) for draw in draws}
    found = []
    for spec in readers:
        for draw in draws:
            written = getattr(model, "max_new_tokens", spec.max_answer_tokens)  # with reasoning, where there is any
            if needed[draw.corpus.id] + written > model.context_limit:
                found.append(Misfit(spec, _too_long(spec, draw, needed[draw.corpus.id], written, model.context_limit)))
                break
    return found


def check_fit(
    specs: Sequence[RunSpec], kinds: Sequence[SystemKind], draws: Sequence[Draw], model: LanguageModel
) -> None:
    """Refuse runs that `find_misfits` finds.

    Raises:
        UserError: The first one's; all systems that do not fit the same draw are named.
    """
    misfits = find_misfits(specs, kinds, draws, model)
    if misfits:
        first = misfits[0].error
        systems = ", ".join(sorted({misfit.spec.system for misfit in misfits}))
        raise UserError(first.what, where=f"{first.where} ({systems})", remedy=first.remedy)


def find_without_evidence(specs: Sequence[RunSpec], draws: Iterable[Draw]) -> list[Misfit]:
    """Return the runs of the oracle where no question of any draw has evidence: it would answer with closed book.

    Args:
        specs: The runs.
        draws: The draws; no more are made than it takes to find a question with evidence.
    """
    oracles = [spec for spec in specs if spec.system == EVIDENCE_ALONE]
    if not oracles or any(gold.evidence for draw in draws for gold in draw.gold):
        return []
    error = UserError(
        "no question has evidence, and the oracle reads nothing else",
        where=f"--system {EVIDENCE_ALONE}",
        remedy="name the documents that answer a question under 'evidence' (docs/reference/data.md), "
        "or leave the oracle out",
    )
    return [Misfit(spec, error) for spec in oracles]


def _too_long(spec: RunSpec, draw: Draw, prompt: int, written: int, limit: int) -> UserError:
    kind = known_datasets().get(draw.corpus.dataset)
    budgets = BUDGETS if kind is None else kind.tokens
    fitting = [size for size, budget in budgets.items() if budget + written < limit]
    choice = f"--size {' or '.join(fitting)} fits; else" if fitting else "no size fits:"
    return UserError(
        f"the context is {prompt + written:,} tokens long; {spec.model_name} takes {limit:,}",
        where=f"corpus {draw.corpus.id}",
        remedy=f"{choice} leave these systems out or choose a model with a longer context",
    )


def _longest_prompt(draw: Draw, model: LanguageModel) -> int:
    """Tokens of the longest prompt over the whole corpus; documents and question alone where a model shows no ids."""
    questions = [question.text for question in draw.corpus.questions]
    if (local := local_model(model)) is None:
        documents = [f"{document.title}\n{document.text}" for document in draw.corpus.documents]
        return sum(model.count_tokens(documents)) + max(model.count_tokens(questions))
    context = local.context_ids(whole_corpus(draw.corpus))
    return len(context) + max(len(local.question_ids(question)) for question in questions)

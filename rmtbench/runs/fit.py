"""Before anything is answered: does the corpus fit the model's context, and if not, which sizes would?"""

from __future__ import annotations

from collections.abc import Sequence

from rmtbench.core import Draw, RunSpec
from rmtbench.errors import UserError
from rmtbench.models.base import LanguageModel
from rmtbench.systems.base import SystemKind
from rmtbench.systems.in_prompt import whole_corpus

NOMINAL_TOKENS = {
    "squad": {"smoke": 1_000, "small": 21_000, "medium": 32_000, "large": 50_000},
    "hotpotqa": {"smoke": 1_340, "small": 21_000, "medium": 43_000, "large": 86_000},
}
BUDGETS = {"smoke": 1_000, "small": 21_000, "medium": 43_000, "large": 85_000}
"""Tokens of the sizes; of SQuAD and HotpotQA those of whole articles and rows."""


def check_fit(
    specs: Sequence[RunSpec],
    kinds: Sequence[SystemKind],
    draws: Sequence[Draw],
    tokens: Sequence[int | None],
    model: LanguageModel,
) -> None:
    """Refuse systems that read the whole corpus where it is longer than the model's context.

    Args:
        specs: The runs.
        kinds: Their systems.
        draws: The draws.
        tokens: Tokens of each draw's documents; None where nothing here counts them, and the model sets no limit.
        model: For its limit.

    Raises:
        UserError: Says how many tokens there are, how many fit, and which sizes do.
    """
    limit = model.context_limit
    readers = [
        (spec, kind.name)
        for spec, kind in zip(specs, kinds, strict=True)
        if kind.reads_corpus  # the others read what they choose
    ]
    if limit is None or not readers:
        return
    spec = readers[0][0]
    for draw, count in zip(draws, tokens, strict=True):
        if count is None:
            continue
        needed = _longest_prompt(draw, count, model) + spec.max_answer_tokens
        if needed > limit:
            budgets = NOMINAL_TOKENS.get(draw.corpus.dataset, BUDGETS)
            fitting = [size for size, budget in budgets.items() if budget + spec.max_answer_tokens < limit]
            names = ", ".join(sorted({name for _, name in readers}))
            choice = f"--size {' or '.join(fitting)} fits; else" if fitting else "no size fits:"
            raise UserError(
                f"the context is {needed:,} tokens long; {spec.model} takes {limit:,}",
                where=f"corpus {draw.corpus.id} ({names})",
                remedy=f"{choice} leave these systems out or choose a model with a longer context",
            )


def _longest_prompt(draw: Draw, documents: int, model: LanguageModel) -> int:
    """Tokens of the longest prompt over the whole corpus; documents and question alone where a model shows no ids."""
    from rmtbench.models.local import LocalModel

    questions = [question.text for question in draw.corpus.questions]
    if not isinstance(model, LocalModel):
        return documents + max(model.count_tokens(questions))
    context = model.context_ids(whole_corpus(draw.corpus))
    return len(context) + max(len(model.question_ids(question)) for question in questions)

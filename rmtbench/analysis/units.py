"""What a run's answers are a sample of: draws of documents, or questions about documents that are all there are.

Every draw of a folder that is read whole has the same documents, so its draws are not independent. Its questions are
then the sample, of the questions that these documents will get.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Literal

from rmtbench.journal.record import Key, RunHead, RunRecord

Unit = Literal["draw", "question"]
"""What errors are clustered by: values of different units are independent."""

FEWEST_UNITS = 6
"""With fewer units no sign-flip test has a p below 0.05: see `rmtbench.analysis.stats.resampling.sign_flip_test`."""

WHOLE_SIZE = "all"
WHOLE_KINDS = frozenset({"own", "embedded"})


def unit_of(run: RunHead) -> Unit:
    """What errors are clustered by."""
    kinds = {row["source"]["kind"] for row in run.corpora} or {run.spec.data.partition(":")[0]}
    return "question" if run.spec.size == WHOLE_SIZE and kinds <= WHOLE_KINDS else "draw"


def clusters_of(run: RunRecord) -> Mapping[Key, int]:
    """The cluster of every question: its draw's number, or its own, which is the same in all draws."""
    keys = list(run.gold)
    return dict(zip(keys, question_clusters(run, [key[0] for key in keys], [key[1] for key in keys]), strict=True))


def question_clusters(run: RunHead, draws: Sequence[int], ids: Sequence[str]) -> Sequence[int]:
    """Return the cluster of each question: see `clusters_of`.

    Args:
        run: The run.
        draws: The draw of each question.
        ids: Its name.
    """
    if unit_of(run) == "draw":
        return draws
    numbers = {name: number for number, name in enumerate(sorted(set(ids)))}
    return [numbers[name] for name in ids]

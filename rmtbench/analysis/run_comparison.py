"""Two runs, or two versions of one, question by question: how they differ, how surely, what changed, what flipped."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable
from dataclasses import asdict, dataclass
from shlex import quote
from typing import TYPE_CHECKING, Any

from rmtbench.analysis.pairs import CONFIDENCE, compare_sums
from rmtbench.analysis.recorded import NOT_RECORDED
from rmtbench.analysis.run_changes import FieldChange, Flip, field_changes, find_flips
from rmtbench.analysis.run_figures import make_run_figures
from rmtbench.analysis.sections import setting_of
from rmtbench.analysis.units import FEWEST_UNITS, Unit, clusters_of, unit_of
from rmtbench.errors import UserError
from rmtbench.journal.record import Key, RunRecord
from rmtbench.options import flag
from rmtbench.plural import many

if TYPE_CHECKING:
    from rmtbench.analysis.stats.paired import PairedDifference
    from rmtbench.analysis.stats.resampling import SignFlipTest
    from rmtbench.analysis.stats.times import TimeRatio

TOLD_APART = ("device", "threads", "machine", "mode")
"""What must agree for times to be compared."""
FINISH = "finish the run with the command that began it, which resumes it"


@dataclass(frozen=True, slots=True)
class RunComparison:
    """The second run held against the first.

    Attributes:
        first: Name of the first run.
        second: Name of the second.
        metric: What is compared.
        means: Of the first and of the second over the shared questions.
        scores: How they differ, the second minus the first.
        test: Of no difference, by sign flips; None where it is undefined.
        questions: How many have a value in both.
        valued_alone: Questions that the metric has a value for in the first alone, and in the second alone.
        left_out: Questions that the first alone was asked, and the second alone; they are in no figure here.
        unanswered: Questions that the first has not answered, and the second, of those that both were to be asked.
            They are in no figure here either.
        other_documents: Draws with shared questions whose documents or other questions differ.
        times: Seconds of the second over those of the first; None where that would compare unlike things.
        no_times: Why there is none; empty where there is.
        changes: Fields that differ.
        flips: Questions that flipped, those that became wrong first.
        unit: What a cluster of the scores is.
    """

    first: str
    second: str
    metric: str
    means: tuple[float, float]
    scores: PairedDifference
    test: SignFlipTest | None
    questions: int
    valued_alone: tuple[int, int]
    left_out: tuple[int, int]
    unanswered: tuple[int, int]
    other_documents: int
    times: TimeRatio | None
    no_times: str
    changes: tuple[FieldChange, ...]
    flips: tuple[Flip, ...]
    unit: Unit = "draw"

    def worse_by(self, margin: float) -> bool:
        """Whether the second run's mean is lower by more than a margin: the point estimate decides."""
        # Means are sums of a few digits: what is lower by the margin but for rounding is not lower by more.
        return self.scores.difference < -margin - 1e-12

    def certainty(self, margin: float) -> str:
        """How sure that is, by the interval of the difference."""
        low, high = self.scores.low, self.scores.high
        if low is None or high is None:
            return f"uncertain: with one {self.unit} no interval is defined"
        clusters = self.scores.clusters
        if clusters < FEWEST_UNITS:
            return f"uncertain: {many(clusters, self.unit)} are too few to say; {FEWEST_UNITS} are the fewest"
        if low == high and -margin <= low <= 0 and not self._would_have_shown(margin):
            what = "whose difference does not vary" if low else "without a difference"
            return f"uncertain: {many(self._trials, 'question')} {what} are too few to say"
        if low < -margin <= high:
            return "uncertain: the 95 % interval reaches to both sides of that"
        side = "worse by more than that" if high < -margin else "within that, or better"
        return f"certain: the whole 95 % interval is {side}"

    @property
    def _trials(self) -> int:
        """Questions, each counted once: the same documents' questions are the same in all draws."""
        return self.scores.clusters if self.unit == "question" else self.questions

    def _would_have_shown(self, margin: float) -> bool:
        """Whether differences in as many questions as the margin allows would have been met among these."""
        from rmtbench.analysis.stats.power import trials_to_exclude

        return 0 < margin < 1 and self._trials >= trials_to_exclude(margin)


def compare_runs(first: RunRecord, second: RunRecord, metric: str) -> RunComparison:
    """Hold a run against another on the questions that both were asked.

    Args:
        first: What is compared with.
        second: What is compared.
        metric: One that both were scored with.

    Raises:
        UserError: They share no question, one is not scored, or they were scored by different scorers.
    """
    from rmtbench.analysis.stats.paired import pair_by_question

    _check_scored(first, second, metric)
    asked = _asked(first, second)
    where = f"{first.run_id}, {second.run_id}"
    if not asked:
        remedy = "compare runs of the same data set, size and seed"
        raise UserError("the two runs share no question", where=where, remedy=remedy)
    shared = [key for key in asked if key in first.answers and key in second.answers]
    if not shared:
        raise UserError("no question has an answer in both runs yet", where=where, remedy=FINISH)
    awaited = _awaited(first, second), _awaited(second, first)
    before, after = ({key: _value(run, key, metric) for key in shared} for run in (first, second))
    values = [{key: value for key, value in each.items() if value is not None} for each in (before, after)]
    cluster = _clusters(first, second)
    pairs = pair_by_question(*({cluster(key): value for key, value in each.items()} for each in reversed(values)))
    if not pairs.clusters:
        raise UserError(f"{metric} applies to none of the shared questions", where=flag.metric, remedy="choose another")
    both = [pair for each in pairs.clusters for pair in each]
    sums = [
        {place: (math.fsum(pair[side] for pair in each), len(each)) for place, each in enumerate(pairs.clusters)}
        for side in (0, 1)
    ]
    scores = compare_sums(sums, sums[0])[0, 1]
    times, why = _times(first, second, shared)
    return RunComparison(
        first=first.run_id,
        second=second.run_id,
        metric=metric,
        means=(sum(old for _, old in both) / len(both), sum(new for new, _ in both) / len(both)),
        scores=scores,
        test=scores.test,
        questions=len(both),
        valued_alone=(pairs.only_second, pairs.only_first),
        left_out=(len(first.gold) - len(asked) - awaited[1], len(second.gold) - len(asked) - awaited[0]),
        unanswered=(
            sum(key not in first.answers for key in asked) + awaited[0],
            sum(key not in second.answers for key in asked) + awaited[1],
        ),
        other_documents=_other_documents(first, second, shared),
        times=times,
        no_times=why,
        changes=field_changes(first, second),
        flips=tuple(find_flips(first, second, shared, before, after)),
        unit="draw" if "draw" in (unit_of(first), unit_of(second)) else "question",
    )


def check_finished(made: RunComparison) -> None:
    """Refuse to judge by a part of the questions: what is not answered yet may be right or wrong.

    Args:
        made: The comparison.

    Raises:
        UserError: One of the runs lacks answers to questions that the other was asked, too.
    """
    for place, name, count in zip(("second", "first"), (made.second, made.first), made.unanswered[::-1], strict=True):
        if count:
            raise UserError(
                f"the {place} run has yet to answer {many(count, 'question')} that the other is asked, too",
                where=name,
                remedy=f"{FINISH}, or leave out --fail-if-worse",
            )


def as_record(made: RunComparison) -> dict[str, Any]:
    """Return the comparison as JSON values; version 1 has the one interval in two places."""
    from rmtbench.analysis.stats.resampling import RESAMPLES

    scores = made.scores
    interval = {"low": scores.low, "high": scores.high, "level": CONFIDENCE}
    told = {
        "difference": {
            "mean": scores.difference,
            "standard_error": scores.standard_error,
            **interval,
            "values": made.questions,
            "clusters": scores.clusters,
        },
        "bootstrap": None if scores.low is None else {**interval, "resamples": RESAMPLES, "clusters": scores.clusters},
        "test": None if made.test is None else asdict(made.test),
        "detectable": scores.detectable,
        "only_first": made.valued_alone[0],
        "only_second": made.valued_alone[1],
    }
    record = {"schema": 1, **asdict(made), "scores": told}
    return {name: value for name, value in record.items() if name not in ("test", "questions", "valued_alone")}


def _check_scored(first: RunRecord, second: RunRecord, metric: str) -> None:
    for run in (first, second):
        if not run.answers:
            raise UserError("the run has no answer yet", where=run.run_id, remedy=FINISH)
        known = sorted({name for row in run.scores.values() for name in row})
        unscored = sum(answer.error is None and key not in run.scores for key, answer in run.answers.items())
        if metric not in known or unscored:
            told = f"has no {metric}" if not unscored else f"lacks scores of {many(unscored, 'answer')}"
            remedy = f"rmtbench score {quote(str(run.folder.path))} makes them" + (
                f". Known: {', '.join(known)}" if known else ""
            )
            raise UserError(f"the run {told}", where=run.run_id, remedy=remedy)
    if first.scorers.get(metric) != second.scorers.get(metric):
        raise UserError(
            f"{metric} was made by different scorers ({first.scorers.get(metric)}; {second.scorers.get(metric)})",
            where=f"{first.run_id}, {second.run_id}",
            remedy="delete scores.jsonl of both runs and make both alike with rmtbench score",
        )


def _asked(first: RunRecord, second: RunRecord) -> list[Key]:
    """Questions that both were asked, with the same words and the same accepted answers."""
    return [
        key
        for key, gold in first.gold.items()
        if key in second.gold
        and second.gold[key].references == gold.references
        and second.questions[key].text == first.questions[key].text
    ]


def _awaited(run: RunRecord, other: RunRecord) -> int:
    """Questions of the other run in draws that this one has yet to begin, as many of a draw as it is to be asked."""
    begun = {row["draw"] for row in run.corpora}
    counts = Counter(
        key[0] for key in other.gold if key[0] < run.spec.draws and key[0] not in begun and key not in run.gold
    )
    most = run.spec.questions
    return sum(count if most is None else min(count, most) for count in counts.values())


def _value(run: RunRecord, key: Key, metric: str) -> float | None:
    """A failed answer without a score counts as zero, as in every mean."""
    row = run.scores.get(key)
    return 0.0 if row is None else row.get(metric, 0.0)


def _other_documents(first: RunRecord, second: RunRecord, shared: list[Key]) -> int:
    mine, theirs = ({row["draw"]: row["sha256"] for row in run.corpora} for run in (first, second))
    return sum(mine.get(draw) != theirs.get(draw) for draw in {draw for draw, _ in shared})


def _clusters(first: RunRecord, second: RunRecord) -> Callable[[Key], Key]:
    """What puts a question into its cluster: its draw, or one of its own where both runs read all there is."""
    if "draw" in (unit_of(first), unit_of(second)):
        return lambda key: key
    numbers = clusters_of(first)
    return lambda key: (numbers[key], f"{key[0]} {key[1]}")


def _times(first: RunRecord, second: RunRecord, shared: list[Key]) -> tuple[TimeRatio | None, str]:
    from rmtbench.analysis.stats.paired import pair_by_question
    from rmtbench.analysis.stats.times import time_ratio

    mine, theirs = (dict(setting_of(make_run_figures(run))) for run in (first, second))
    if apart := [name for name in TOLD_APART if mine[name] != theirs[name]]:
        return None, f"times are not compared: {', '.join(apart)} differ"
    if NOT_RECORDED in (mine["machine"], mine["threads"]):
        return None, "times are not compared: the machine is not recorded"
    before, after = (
        {
            key: answer.timings.total
            for key in shared
            if (answer := run.answers[key]).error is None and not answer.warmup and answer.timings.total > 0
        }
        for run in (first, second)
    )
    cluster = _clusters(first, second)
    pairs = pair_by_question(*({cluster(key): value for key, value in each.items()} for each in (after, before)))
    return (
        (time_ratio(pairs), "") if pairs.clusters else (None, "times are not compared: no question was timed in both")
    )

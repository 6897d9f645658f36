"""Two runs, or two versions of one, question by question: how they differ, how surely, what changed, what flipped."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass
from difflib import get_close_matches
from pathlib import Path
from shlex import quote
from typing import TYPE_CHECKING, Any

from rmtbench.analysis.pairs import CONFIDENCE, compare_sums
from rmtbench.analysis.run_figures import NOT_RECORDED, make_run_figures
from rmtbench.analysis.sections import setting_of
from rmtbench.analysis.units import FEWEST_UNITS, Unit, clusters_of, unit_of
from rmtbench.errors import UserError
from rmtbench.journal.layout import RunFolder
from rmtbench.journal.record import Key, RunRecord, find_runs
from rmtbench.options.declare import options_of
from rmtbench.options.retrieval import Retrieval
from rmtbench.plural import many

if TYPE_CHECKING:
    from rmtbench.analysis.stats.paired import PairedDifference
    from rmtbench.analysis.stats.resampling import SignFlipTest
    from rmtbench.analysis.stats.times import TimeRatio

RIGHT = 0.5
"""From this value of the metric on an answer counts as right."""
TOLD_APART = ("device", "threads", "machine", "mode")
"""What must agree for times to be compared."""
FINISH = "finish the run with the command that began it, which resumes it"
NOT_USED = "does not apply"
"""In place of a field's value in a run whose system does not use it."""
_RETRIEVAL = {
    f"spec.{'' if option.column else 'options.'}{name}"
    for name, option in options_of(Retrieval).items()
    if option.heeded
}
_PARTS = ("provenance.kernels", "provenance.embedder", "provenance.reranker", "provenance.memory.")
"""What only some systems have."""
_PASSING = {"provenance.started", "provenance.machine.memory_bytes", "provenance.label"}


@dataclass(frozen=True, slots=True)
class FieldChange:
    """A field of the spec or the provenance that differs."""

    field: str
    first: str
    second: str


@dataclass(frozen=True, slots=True)
class Flip:
    """A question that one run has right and the other wrong.

    Attributes:
        draw: Its draw.
        question_id: Its id.
        question: Its text.
        references: The accepted answers.
        first: What the first run answered.
        second: What the second did.
        better: Whether the second is the one that is right.
    """

    draw: int
    question_id: str
    question: str
    references: tuple[str, ...]
    first: str
    second: str
    better: bool


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


def find_run(name: str, results: Path) -> Path:
    """A run's folder.

    Args:
        name: A folder, a run's name under `results` or a beginning of it that no other has, or the hash that ends it.
        results: Where to look.

    Raises:
        UserError: No run, or several, are called so.
    """
    folder = Path(name)
    if RunFolder(folder).spec.is_file():
        return folder
    runs = find_runs(results) if results.is_dir() else []
    exact = [path for path in runs if name in (path.name, path.name.rpartition("-")[2])]
    found = exact or [path for path in runs if path.name.startswith(name)]
    if len(found) == 1:
        return found[0]
    close = get_close_matches(name, [path.name for path in runs], n=1, cutoff=0.4)
    guess = f"did you mean {close[0]}? " if close and not found else ""
    if found:
        guess = f"{', '.join(path.name for path in found[:3])}{', and others' if len(found) > 3 else ''}. "
    several = "several runs are called so" if exact else "several runs begin so"
    raise UserError(
        several if found else "no such run",
        where=name,
        remedy=f"{guess}Name a folder, or one of the {many(len(runs), 'run')} in {results} by its name or hash "
        "(--results)",
    )


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
        raise UserError(f"{metric} applies to none of the shared questions", where="--metric", remedy="choose another")
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
        changes=_changes(first, second),
        flips=tuple(_flips(first, second, shared, before, after)),
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
        "only_first": made.valued_alone[1],
        "only_second": made.valued_alone[0],
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
            remedy="make both alike with rmtbench score",
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


def _changes(first: RunRecord, second: RunRecord) -> tuple[FieldChange, ...]:
    mine, theirs = (
        dict(_flat("spec", asdict(run.spec))) | dict(_flat("provenance", run.provenance)) for run in (first, second)
    )
    names = [
        name for name in dict.fromkeys((*mine, *theirs)) if name not in _PASSING and mine.get(name) != theirs.get(name)
    ]
    told = [
        FieldChange(name, _stated(first, second, mine, name), _stated(second, first, theirs, name)) for name in names
    ]
    return tuple(change for change in told if change.first != change.second)


def _stated(run: RunRecord, other: RunRecord, fields: Mapping[str, str], name: str) -> str:
    """Return a field's value; of a field that only other systems use, that it does not apply."""
    if name in _RETRIEVAL and not run.spec.retrieves:
        return NOT_USED
    absent = NOT_USED if name.startswith(_PARTS) and run.spec.system != other.spec.system else NOT_RECORDED
    return fields.get(name, absent)


def _flat(name: str, value: object) -> Iterator[tuple[str, str]]:
    if isinstance(value, Mapping):
        for inner, each in value.items():
            yield from _flat(f"{name}.{inner}", each)
    else:
        yield name, "none" if value is None else str(value)


def _flips(
    first: RunRecord,
    second: RunRecord,
    shared: list[Key],
    before: Mapping[Key, float | None],
    after: Mapping[Key, float | None],
) -> list[Flip]:
    flips = []
    for key in shared:
        old, new = before[key], after[key]
        if old is None or new is None or (old >= RIGHT) == (new >= RIGHT):
            continue
        flips.append(
            Flip(
                draw=key[0],
                question_id=key[1],
                question=first.questions[key].text,
                references=first.gold[key].references,
                first=_answer(first, key),
                second=_answer(second, key),
                better=new >= RIGHT,
            )
        )
    return sorted(flips, key=lambda flip: flip.better)


def _answer(run: RunRecord, key: Key) -> str:
    answer = run.answers[key]
    return f"(failed: {answer.error})" if answer.error is not None else answer.text

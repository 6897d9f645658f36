"""Score runs together, from their journals: what they share (references, equal answers) is worked out once."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rmtbench.analysis.summary import summarize
from rmtbench.errors import UserError
from rmtbench.journal.lines import encode, refuse_link, write_whole
from rmtbench.journal.packed import packed_of
from rmtbench.journal.record import RunRecord, read_json, read_run
from rmtbench.journal.rows import system_to_row
from rmtbench.plural import many
from rmtbench.scoring.base import Accounting, Item, Metric, MetricKind, Progress
from rmtbench.scoring.kinds import find_metric, is_plugin, judged_names, metric_names
from rmtbench.scoring.plugin import Scored, make_plugin, score_plugin

if TYPE_CHECKING:
    from rmtbench.scoring.judge_model import Judge

DIGITS = 7


@dataclass(frozen=True, slots=True)
class _Made:
    """A metric that was made of its kind."""

    kind: MetricKind
    metric: Metric


@dataclass(slots=True)
class _Row:
    """One answer's values by name, and by metric why it has none."""

    scores: dict[str, float | None] = field(default_factory=dict)
    errors: dict[str, str] = field(default_factory=dict)


def score_runs(
    paths: Sequence[Path],
    metrics: Sequence[str] | None = None,
    scorer_model: str = "minilm",
    progress: Progress = lambda _stage, _done, _total: None,
    judge: Judge | None = None,
) -> list[str]:
    """Write `scores.jsonl` and `summary.json` of each run; a run whose scores stand already is left alone.

    A metric of another package that raises costs its own scores only, and is tried again the next time.

    Args:
        paths: Run folders.
        metrics: Which metrics; None for all that can be made.
        scorer_model: The model of BERTScore.
        progress: Told how far each metric is.
        judge: The model that judges answers; None for none. Its metrics are made beside the others.

    Returns:
        One line for each metric of another package that failed, with the reason.

    Raises:
        UserError: An unknown metric, a missing scorer model or judge, a packed run without these scores, or a damaged
            run.
    """
    names = metric_names() if metrics is None else metrics
    kinds = [find_metric(name) for name in dict.fromkeys((*names, *(judged_names() if judge is not None else ())))]
    judged = {kind.name: kind.judged(judge) for kind in kinds if kind.judged is not None and judge is not None}
    runs = [read_run(path) for path in paths]
    asked = _asked(kinds, judged, scorer_model)
    # A packed run cannot be written: where all metrics are wanted, those that it has are enough.
    enough = scorer_model if metrics is None and judge is None else None
    todo = [run for run in runs if not _stands(run, asked, enough)]
    if packed := next((each for run in todo if (each := packed_of(run.folder.path))), None):
        remedy = f"rmtbench pack {packed} --undo makes a folder of it again"
        raise UserError("this run is packed: see rmtbench pack --undo", where=str(packed), remedy=remedy)
    for run in todo:
        refuse_link(run.folder.path)
    if not todo:
        return []
    made, problems = _make(kinds, judged, scorer_model, chosen=metrics is not None)
    keys = [(run, key) for run in todo for key in run.gold if key in run.answers]
    datasets = {run.run_id: {row["draw"]: row["dataset"] for row in run.corpora} for run in todo}
    items = [
        Item(datasets[run.run_id][key[0]], run.answers[key], run.gold[key], run.spec.retrieves, run.questions[key].text)
        for run, key in keys
    ]
    rows, whole, unscored = _score(made, items, progress)
    places: dict[Path, list[int]] = {}
    for place, (owner, _) in enumerate(keys):
        places.setdefault(owner.folder.path, []).append(place)
    for run in todo:
        own = places.get(run.folder.path, [])
        write_whole(run.folder.scores, b"".join(encode(_line(*keys[place][1], rows[place])) for place in own))
        _write_summary(run.folder.path, made, _asked(whole, judged, scorer_model), [items[place] for place in own])
    return problems + unscored


def _make(
    kinds: Sequence[MetricKind], judged: Mapping[str, Metric], scorer_model: str, *, chosen: bool
) -> tuple[list[_Made], list[str]]:
    """Make the metrics; another package's that fails is left out, unless it was asked for by name."""
    made, problems = [], []
    for kind in kinds:
        try:
            if kind.name in judged:
                made.append(_Made(kind, judged[kind.name]))
                continue
            made.append(_Made(kind, (make_plugin if is_plugin(kind.name) else _make_ours)(kind, scorer_model)))
        except UserError as error:
            if chosen or not is_plugin(kind.name):
                raise
            problems.append(str(error))
    return made, problems


def _make_ours(kind: MetricKind, scorer_model: str) -> Metric:
    metric = kind.make(scorer_model)
    dict(metric.scorers)  # a missing model stops it here
    return metric


def _score(
    made: Sequence[_Made], items: Sequence[Item], progress: Progress
) -> tuple[list[_Row], list[MetricKind], list[str]]:
    """Every answer's values, the kinds that gave all of theirs, and a line for each kind that did not."""
    rows = [_Row() for _ in items]
    whole, unscored = [], []
    for one in made:
        if is_plugin(one.kind.name):
            given = score_plugin(one.kind, one.metric, items, progress)
        else:
            given = [Scored(values) for values in one.metric.score(items, progress)]
        for row, scored in zip(rows, given, strict=True):
            values = scored.values.items()
            row.scores.update({name: None if value is None else round(value, DIGITS) for name, value in values})
            row.errors.update({one.kind.name: scored.error} if scored.error else {})
        failed = [scored.error for scored in given if scored.error]
        if failed:
            count = f"{len(failed)} of {many(len(items), 'answer')}"
            unscored.append(f"{one.kind.name}: {count} without a score ({failed[0]})")
        else:
            whole.append(one.kind)
    return rows, whole, unscored


def _line(draw: int, question: str, row: _Row) -> dict[str, Any]:
    line: dict[str, Any] = {"draw": draw, "question_id": question, "scores": row.scores}
    return line | ({"errors": row.errors} if row.errors else {})


def _asked(kinds: Sequence[MetricKind], judged: Mapping[str, Metric], scorer_model: str) -> str:
    """What the scores of a command are made of, as a run's summary states it; who judges is part of it."""
    parts: list[Any] = [sorted(kind.name for kind in kinds), scorer_model]
    return json.dumps(parts + [dict(judged[kind.name].scorers) for kind in kinds if kind.name in judged])


def _stands(run: RunRecord, asked: str, enough: str | None) -> bool:
    """Whether exactly the answered questions are scored, and by what is asked for now.

    Args:
        run: The run.
        asked: Metrics and scorer model.
        enough: The scorer model with which a packed run stands, whatever its metrics; None for none.
    """
    if set(run.scores) != set(run.answers) or not run.folder.summary.exists():
        return False
    summary = read_json(run.folder.summary)
    before = summary.get("asked")
    if not isinstance(before, str):
        return False
    if enough is not None and packed_of(run.folder.path):
        return bool(json.loads(before)[1] == enough)
    if before == asked:
        # Where a judgement failed it is asked for again, if a judge is asked at all.
        return not any(each.get("not_judged") for each in summary.get("accounts", {}).values())
    return bool(_without_judges(before) == json.loads(asked))


def _without_judges(asked: str) -> list[Any]:
    """What scores were made of, without what judges made: who names no judge now does not lose their verdicts."""
    names, scorer_model, *judges = json.loads(asked)
    known = judged_names() if judges else ()
    return [[name for name in names if name not in known], scorer_model]


def _write_summary(path: Path, made: Sequence[_Made], asked: str, answered: Sequence[Item]) -> None:
    run = read_run(path)
    accounts = {one.kind.name: one.metric.account(answered) for one in made if isinstance(one.metric, Accounting)}
    summary = {
        "run_id": run.run_id,
        "complete": run.complete,
        "scorers": {name: by for one in made for name, by in one.metric.scorers.items()},
        **({} if run.system is None else {"system": system_to_row(run.system)}),
        "values": [asdict(value) for one in made for value in one.kind.values],
        "asked": asked,
        **({"accounts": accounts} if accounts else {}),
        **asdict(summarize(run)),
    }
    pretty = json.dumps(json.loads(encode(summary)), ensure_ascii=False, indent=1)
    write_whole(run.folder.summary, (pretty + "\n").encode())

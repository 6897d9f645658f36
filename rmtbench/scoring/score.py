"""Score runs together, from their journals: what they share (references, equal answers) is worked out once."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rmtbench.analysis.summary import summarize
from rmtbench.errors import UserError
from rmtbench.journal.lines import encode, refuse_link, write_whole
from rmtbench.journal.packed import packed_of
from rmtbench.journal.record import RunRecord, read_run
from rmtbench.journal.rows import system_to_row
from rmtbench.scoring.base import Accounting, Item, Metric, MetricKind, Progress
from rmtbench.scoring.kinds import find_metric, judged_names, metric_names

if TYPE_CHECKING:
    from rmtbench.scoring.judge_model import Judge

DIGITS = 7


def score_runs(
    paths: Sequence[Path],
    metrics: Sequence[str] | None = None,
    scorer_model: str = "minilm",
    progress: Progress = lambda _stage, _done, _total: None,
    judge: Judge | None = None,
) -> None:
    """Write `scores.jsonl` and `summary.json` of each run; a run whose scores stand already is left alone.

    Args:
        paths: Run folders.
        metrics: Which metrics; None for all that can be made.
        scorer_model: The model of BERTScore.
        progress: Told how far each metric is.
        judge: The model that judges answers; None for none. Its metrics are made beside the others.

    Raises:
        UserError: An unknown metric, a missing scorer model or judge, a packed run without these scores, or a damaged
            run.
    """
    names = metric_names() if metrics is None else metrics
    kinds = [find_metric(name) for name in dict.fromkeys((*names, *(judged_names() if judge is not None else ())))]
    made = [_make(kind, scorer_model, judge) for kind in kinds]
    runs = [read_run(path) for path in paths]
    asked = _asked(kinds, made, scorer_model)
    # A packed run cannot be written: where all metrics are wanted, those that it has are enough.
    enough = scorer_model if metrics is None and judge is None else None
    todo = [run for run in runs if not _stands(run, asked, enough)]
    if packed := next((each for run in todo if (each := packed_of(run.folder.path))), None):
        remedy = f"rmtbench pack {packed} --undo makes a folder of it again"
        raise UserError("this run is packed: see rmtbench pack --undo", where=str(packed), remedy=remedy)
    for run in todo:
        refuse_link(run.folder.path)
    if not todo:
        return
    scorers = {name: by for metric in made for name, by in metric.scorers.items()}  # a missing model stops it here
    keys = [(run, key) for run in todo for key in run.gold if key in run.answers]
    datasets = {run.run_id: {row["draw"]: row["dataset"] for row in run.corpora} for run in todo}
    items = [
        Item(datasets[run.run_id][key[0]], run.answers[key], run.gold[key], run.spec.retrieves, run.questions[key].text)
        for run, key in keys
    ]
    rows: list[dict[str, float | None]] = [{} for _ in items]
    for metric in made:
        for row, values in zip(rows, metric.score(items, progress), strict=True):
            row.update({name: None if value is None else round(value, DIGITS) for name, value in values.items()})
    places: dict[Path, list[int]] = {}
    for place, (owner, _) in enumerate(keys):
        places.setdefault(owner.folder.path, []).append(place)
    for run in todo:
        own = places.get(run.folder.path, [])
        lines = [
            encode({"draw": keys[place][1][0], "question_id": keys[place][1][1], "scores": rows[place]})
            for place in own
        ]
        answered = [items[place] for place in own]
        accounts = {
            kind.name: metric.account(answered)
            for kind, metric in zip(kinds, made, strict=True)
            if isinstance(metric, Accounting)
        }
        write_whole(run.folder.scores, b"".join(lines))
        _write_summary(run.folder.path, scorers, asked, kinds, accounts)


def _make(kind: MetricKind, scorer_model: str, judge: Judge | None) -> Metric:
    return kind.make(scorer_model) if kind.judged is None or judge is None else kind.judged(judge)


def _asked(kinds: Sequence[MetricKind], made: Sequence[Metric], scorer_model: str) -> str:
    """What the scores of a command are made of, as a run's summary states it; who judges is part of it."""
    parts: list[Any] = [sorted(kind.name for kind in kinds), scorer_model]
    judged = [metric for kind, metric in zip(kinds, made, strict=True) if kind.judged is not None]
    return json.dumps(parts + [dict(metric.scorers) for metric in judged])


def _stands(run: RunRecord, asked: str, enough: str | None) -> bool:
    """Whether exactly the answered questions are scored, and by what is asked for now.

    Args:
        run: The run.
        asked: Metrics and scorer model.
        enough: The scorer model with which a packed run stands, whatever its metrics; None for none.
    """
    if set(run.scores) != set(run.answers) or not run.folder.summary.exists():
        return False
    summary = json.loads(run.folder.summary.read_bytes())
    before = summary.get("asked")
    if enough is not None and before and packed_of(run.folder.path):
        return bool(json.loads(before)[1] == enough)
    if before == asked:
        # Where a judgement failed it is asked for again, if a judge is asked at all.
        return not any(each.get("not_judged") for each in summary.get("accounts", {}).values())
    return before is not None and _without_judges(before) == json.loads(asked)


def _without_judges(asked: str) -> list[Any]:
    """What scores were made of, without what judges made: who names no judge now does not lose their verdicts."""
    names, scorer_model, *judges = json.loads(asked)
    judged = judged_names() if judges else ()
    return [[name for name in names if name not in judged], scorer_model]


def _write_summary(
    path: Path, scorers: dict[str, str], asked: str, kinds: Sequence[MetricKind], accounts: dict[str, Any]
) -> None:
    run = read_run(path)
    summary = {
        "run_id": run.run_id,
        "complete": run.complete,
        "scorers": scorers,
        **({} if run.system is None else {"system": system_to_row(run.system)}),
        "values": [asdict(value) for kind in kinds for value in kind.values],
        "asked": asked,
        **({"accounts": accounts} if accounts else {}),
        **asdict(summarize(run)),
    }
    pretty = json.dumps(json.loads(encode(summary)), ensure_ascii=False, indent=1)
    write_whole(run.folder.summary, (pretty + "\n").encode())

"""Score runs together, from their journals: what they share (references, equal answers) is worked out once."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

from rmtbench.analysis.summary import summarize
from rmtbench.errors import UserError
from rmtbench.journal.lines import encode, write_whole
from rmtbench.journal.packed import packed_of
from rmtbench.journal.record import RunRecord, read_run
from rmtbench.journal.rows import system_to_row
from rmtbench.scoring.base import Item, MetricKind, Progress
from rmtbench.scoring.kinds import find_metric, metric_names

DIGITS = 7


def score_runs(
    paths: Sequence[Path],
    metrics: Sequence[str] | None = None,
    scorer_model: str = "minilm",
    progress: Progress = lambda _stage, _done, _total: None,
) -> None:
    """Write `scores.jsonl` and `summary.json` of each run; a run whose scores stand already is left alone.

    Args:
        paths: Run folders.
        metrics: Which metrics; None for all that can be made.
        scorer_model: The model of BERTScore.
        progress: Told how far each metric is.

    Raises:
        UserError: An unknown metric, a missing scorer model, a packed run without these scores, or a damaged run.
    """
    kinds = [find_metric(name) for name in (metric_names() if metrics is None else metrics)]
    made = [kind.make(scorer_model) for kind in kinds]
    runs = [read_run(path) for path in paths]
    asked = json.dumps([sorted(kind.name for kind in kinds), scorer_model])
    # A packed run cannot be written: where all metrics are wanted, those that it has are enough.
    enough = scorer_model if metrics is None else None
    todo = [run for run in runs if not _stands(run, asked, enough)]
    if packed := next((each for run in todo if (each := packed_of(run.folder.path))), None):
        remedy = f"rmtbench pack {packed} --undo makes a folder of it again"
        raise UserError("this run is packed: see rmtbench pack --undo", where=str(packed), remedy=remedy)
    if not todo:
        return
    scorers = {name: by for metric in made for name, by in metric.scorers.items()}  # a missing model stops it here
    keys = [(run, key) for run in todo for key in run.gold if key in run.answers]
    datasets = {run.run_id: {row["draw"]: row["dataset"] for row in run.corpora} for run in todo}
    items = [
        Item(datasets[run.run_id][key[0]], run.answers[key], run.gold[key], retrieves=run.spec.retrieves)
        for run, key in keys
    ]
    rows: list[dict[str, float | None]] = [{} for _ in items]
    for metric in made:
        for row, values in zip(rows, metric.score(items, progress), strict=True):
            row.update({name: None if value is None else round(value, DIGITS) for name, value in values.items()})
    for run in todo:
        lines = [
            encode({"draw": draw, "question_id": question, "scores": row})
            for (owner, (draw, question)), row in zip(keys, rows, strict=True)
            if owner is run
        ]
        write_whole(run.folder.scores, b"".join(lines))
        _write_summary(run.folder.path, scorers, asked, kinds)


def _stands(run: RunRecord, asked: str, enough: str | None) -> bool:
    """Whether exactly the answered questions are scored, and by what is asked for now.

    Args:
        run: The run.
        asked: Metrics and scorer model.
        enough: The scorer model with which a packed run stands, whatever its metrics; None for none.
    """
    if set(run.scores) != set(run.answers) or not run.folder.summary.exists():
        return False
    before = json.loads(run.folder.summary.read_bytes()).get("asked")
    if enough is not None and before and packed_of(run.folder.path):
        return bool(json.loads(before)[1] == enough)
    return bool(before == asked)


def _write_summary(path: Path, scorers: dict[str, str], asked: str, kinds: Sequence[MetricKind]) -> None:
    run = read_run(path)
    summary = {
        "run_id": run.run_id,
        "complete": run.complete,
        "scorers": scorers,
        **({} if run.system is None else {"system": system_to_row(run.system)}),
        "values": [asdict(value) for kind in kinds for value in kind.values],
        "asked": asked,
        **asdict(summarize(run)),
    }
    pretty = json.dumps(json.loads(encode(summary)), ensure_ascii=False, indent=1)
    write_whole(run.folder.summary, (pretty + "\n").encode())

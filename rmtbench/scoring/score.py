"""Score runs together, from their journals: what they share (references, equal answers) is worked out once."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import asdict, dataclass, field
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rmtbench.analysis.earlier_systems import system_of
from rmtbench.analysis.run_figures import summarize
from rmtbench.corpora.registry import known_datasets
from rmtbench.errors import UserError, disk_errors
from rmtbench.journal.checks import read_json
from rmtbench.journal.lines import encode, refuse_link, write_whole
from rmtbench.journal.packed import packed_of, refuse_packed
from rmtbench.journal.record import Key, RunRecord, read_run
from rmtbench.journal.rows import system_to_row
from rmtbench.options import flag
from rmtbench.plural import many
from rmtbench.scoring.base import Accounting, Item, Metric, MetricKind, Progress
from rmtbench.scoring.kept_verdicts import KeptVerdicts, kept_verdicts
from rmtbench.scoring.kinds import find_metric, is_plugin, judged_names, metric_names
from rmtbench.scoring.plugin import Scored, account_plugin, make_plugin, no_scores, score_plugin

if TYPE_CHECKING:
    from rmtbench.scoring.judge_model import Judge

DIGITS = 7


@dataclass(frozen=True, slots=True)
class _Made:
    """A metric of its kind, or why another package's could not be made."""

    kind: MetricKind
    metric: Metric | UserError


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
    """Write `scores.jsonl` and `summary.json` of each run; runs whose scores stand already, and agree, are left alone.

    A metric of another package that raises, or that cannot be made and was not asked for by name, costs its own scores
    only: each answer keeps the reason, and the metric is tried again the next time. Where all metrics are wanted and no
    judge is named, verdicts that a run has stay.

    Args:
        paths: Run folders.
        metrics: Which metrics; None for all that can be made.
        scorer_model: The model of BERTScore.
        progress: Told how far each metric is.
        judge: The model that judges answers; None for none. Its metrics are made beside the others.

    Returns:
        One line for each metric of another package that failed, with the reason, and for each run without a judge's
        verdicts because it has new answers.

    Raises:
        UserError: An unknown metric, a missing scorer model or judge, a packed run without these scores, or a damaged
            run, or one on a data set whose rules are not known here.
    """
    chosen = frozenset(metrics or ())
    names = metric_names() if metrics is None else metrics
    kinds = [find_metric(name) for name in dict.fromkeys((*names, *(judged_names() if judge is not None else ())))]
    judged = {
        kind.name: _make(kind, partial(kind.judged, judge), chosen)
        for kind in kinds
        if kind.judged is not None and judge is not None
    }
    runs = [read_run(path) for path in paths]
    asked = _asked(kinds, judged, scorer_model)
    # A packed run cannot be written: where all metrics are wanted, those that it has are enough.
    enough = scorer_model if metrics is None and judge is None else None
    unlike = _made_unlike(runs)
    todo = [run for run in runs if run.folder.path in unlike or not _stands(run, asked, enough)]
    for run in todo:
        refuse_packed(run.folder.path)
        refuse_link(run.folder.path)
    _refuse_unknown_rules(todo)
    if not todo:
        return []
    made = [
        _Made(kind, judged[kind.name] if kind.name in judged else _make(kind, partial(kind.make, scorer_model), chosen))
        for kind in kinds
    ]
    keys = [(run, key) for run in todo for key in run.gold if key in run.answers]
    items = [_item(run, key) for run, key in keys]
    rows, whole, problems = _score(made, items, progress)
    places: dict[Path, list[int]] = {}
    for place, (owner, _) in enumerate(keys):
        places.setdefault(owner.folder.path, []).append(place)
    for run in todo:
        own = places.get(run.folder.path, [])
        kept = kept_verdicts(run) if metrics is None and judge is None else KeptVerdicts()
        problems += _without_verdicts(run, kept)
        for place in own:
            rows[place].scores.update(kept.scores.get(keys[place][1], {}))
        with disk_errors(run.folder.summary, flag.results):
            run.folder.summary.unlink(missing_ok=True)  # it names what made the scores: it must not stand beside others
        write_whole(run.folder.scores, b"".join(encode(_line(*keys[place][1], rows[place])) for place in own))
        accounts, silent = _accounts(made, [items[place] for place in own])
        problems += [f"{name}: it cannot say what it took ({why})" for name, why in silent.items()]
        asked = _asked([kind for kind in whole if kind.name not in silent], judged, scorer_model)
        _write_summary(run.folder.path, made, kept.joined(asked), accounts, kept)
    return list(dict.fromkeys(problems))


def _without_verdicts(run: RunRecord, kept: KeptVerdicts) -> list[str]:
    """Say that a run's verdicts are left out, and what brings them back."""
    if not kept.new:
        return []
    told = f"a judge's verdicts on {run.run_id} are left out, since it lacks {many(kept.new, 'verdict')}"
    return [f"{told}: give the same {flag.judge} again, which is asked for these only"]


def _refuse_unknown_rules(runs: Sequence[RunRecord]) -> None:
    """Refuse runs on a data set of another package that is gone: only the package says whose rules score answers."""
    for run in runs:
        for row in run.corpora:
            if row["source"]["kind"] != "own" and row["dataset"] not in known_datasets():
                what = f"data set '{row['dataset']}' is not known here, so neither are the rules that score its answers"
                remedy = "install the package that it came from, or move the run out of this folder"
                raise UserError(what, where=str(run.folder.path), remedy=remedy)


def _item(run: RunRecord, key: Key) -> Item:
    """An answer of a run with its gold."""
    dataset = next(row["dataset"] for row in run.corpora if row["draw"] == key[0])
    return Item(
        dataset,
        run.answers[key],
        run.gold[key],
        run.spec.retrieves,
        run.questions[key].text,
        takes_notes="notes" in system_of(run).needs,
    )


def _make(kind: MetricKind, make: Callable[[], Metric], chosen: AbstractSet[str]) -> Metric | UserError:
    """Make a metric; or return why another package's, unless it was asked for by name, cannot be made."""
    try:
        if is_plugin(kind.name):
            return make_plugin(kind, make)
        metric = make()
        dict(metric.scorers)  # a missing model stops it here
    except UserError as error:
        if kind.name in chosen or not is_plugin(kind.name):
            raise
        return error
    return metric


def _score(
    made: Sequence[_Made], items: Sequence[Item], progress: Progress
) -> tuple[list[_Row], list[MetricKind], list[str]]:
    """Every answer's values, the kinds that gave all of theirs, and a line for each kind that did not."""
    rows = [_Row() for _ in items]
    whole, problems = [], []
    for one in made:
        if isinstance(one.metric, UserError):
            given = [no_scores(one.kind, str(one.metric))] * len(items)
        elif is_plugin(one.kind.name):
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
            problems.append(f"{one.kind.name}: {count} without a score ({failed[0]})")
        else:
            whole.append(one.kind)
    return rows, whole, problems


def _line(draw: int, question: str, row: _Row) -> dict[str, Any]:
    line: dict[str, Any] = {"draw": draw, "question_id": question, "scores": row.scores}
    return line | ({"errors": row.errors} if row.errors else {})


def _asked(kinds: Sequence[MetricKind], judged: Mapping[str, Metric | UserError], scorer_model: str) -> str:
    """What the scores of a command are made of, as a run's summary states it; who judges is part of it."""
    parts: list[Any] = [sorted(kind.name for kind in kinds), scorer_model]
    judges = (judged[kind.name] for kind in kinds if kind.name in judged)
    return json.dumps(parts + [dict(each.scorers) for each in judges if not isinstance(each, UserError)])


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


def _made_unlike(runs: Sequence[RunRecord]) -> set[Path]:
    """Runs that are scored anew because one scorer made a value of some and another one that of others.

    A value's scorer has another name on a GPU, or with another version of a library. Judges are told apart by what was
    asked for, and a packed run cannot be written.
    """
    judged = {value.name for name in judged_names() for value in find_metric(name).values}
    made: dict[str, dict[str, list[Path]]] = {}
    for run in runs:
        for name, scorer in run.scorers.items():
            if name not in judged and not packed_of(run.folder.path):
                made.setdefault(name, {}).setdefault(scorer, []).append(run.folder.path)
    return {path for by in made.values() if len(by) > 1 for paths in by.values() for path in paths}


def _without_judges(asked: str) -> list[Any]:
    """What scores were made of, without what judges made: who names no judge now does not lose their verdicts."""
    names, scorer_model, *judges = json.loads(asked)
    known = judged_names() if judges else ()
    return [[name for name in names if name not in known], scorer_model]


def _accounts(made: Sequence[_Made], items: Sequence[Item]) -> tuple[dict[str, dict[str, Any]], dict[str, str]]:
    """By metric what it took, where it says so, for the items of one run; and why another package's cannot say it.

    No score is lost by that, and the reason stands in place of the account.
    """
    accounts, silent = {}, {}
    for one in made:
        if not isinstance(one.metric, Accounting):
            continue
        if not is_plugin(one.kind.name):
            accounts[one.kind.name] = one.metric.account(items)
            continue
        try:
            accounts[one.kind.name] = account_plugin(one.metric, items)
        except UserError as error:
            silent[one.kind.name] = error.what
            accounts[one.kind.name] = {"error": error.what}
    return accounts, silent


def _write_summary(
    path: Path, made: Sequence[_Made], asked: str, accounts: Mapping[str, Mapping[str, Any]], kept: KeptVerdicts
) -> None:
    run = read_run(path)
    metrics = [one.metric for one in made if not isinstance(one.metric, UserError)]
    summary = {
        "run_id": run.run_id,
        "complete": run.complete,
        "scorers": {name: by for metric in metrics for name, by in metric.scorers.items()} | dict(kept.scorers),
        **({} if run.system is None else {"system": system_to_row(run.system)}),
        "values": list(map(asdict, (*(value for one in made for value in one.kind.values), *kept.values))),
        "asked": asked,
        **({"accounts": {**accounts, **kept.accounts}} if accounts or kept.accounts else {}),
        **asdict(summarize(run)),
    }
    pretty = json.dumps(json.loads(encode(summary)), ensure_ascii=False, indent=1)
    write_whole(run.folder.summary, (pretty + "\n").encode())

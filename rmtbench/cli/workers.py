"""What `--workers` does: several processes that share a command's draws, and one result."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from rmtbench.cli.judging import say_judgements
from rmtbench.cli.progress import next_report, note
from rmtbench.cli.score import score_and_tell
from rmtbench.errors import UserError
from rmtbench.options.request import all_options
from rmtbench.plural import many

if TYPE_CHECKING:
    from rmtbench.options.request import Request


def check_work(requests: Sequence[Request], *, fresh: bool) -> None:
    """Refuse what several workers cannot do, before anything is done or planned.

    Args:
        requests: What a command asks for.
        fresh: Whether finished runs were to be done again, which the merge could not tell from a second answer.

    Raises:
        UserError: `fresh`, a part of the draws or a limit a minute was asked for.
    """
    if fresh:
        raise UserError(
            "several workers cannot start finished runs again",
            where="--fresh",
            remedy="give another folder with --results, or leave --workers out",
        )
    if any(request.shard is not None for request in requests):
        raise UserError(
            "several workers share all draws", where="--shard", remedy="leave it out, or leave --workers out"
        )
    for name in ("requests_per_minute", "tokens_per_minute"):
        if any(getattr(request, name) is not None for request in requests):
            raise UserError(
                "each process would use up the whole limit",
                where=all_options()[name].flag,
                remedy="leave --workers out, and give --concurrency for several questions at once",
            )


def work(words: Sequence[str], requests: Sequence[Request], workers: int, results: Path) -> int:
    """Do a command in several processes, merge and score what they made; returns the exit code.

    Args:
        words: The command as it was typed, without the program's name.
        requests: What it asks for.
        workers: Processes; no more are started than there are draws.
        results: Folder of all runs.

    Raises:
        UserError: The parts cannot be merged.
    """
    from rmtbench.runs.workers import run_in_workers

    if workers > (most := max(request.draws for request in requests)):
        note(f"{many(most, 'draw')} for {workers} workers: {most} of them {'works' if most == 1 else 'work'}")
        workers = most
    worked = run_in_workers(words, workers, results, note)
    told: set[str] = set()
    code = max([worked.code, *(_score(request, results, told) for request in requests)])
    if worked.merged or code < 2:
        note(next_report(results))
    return code


def _score(request: Request, results: Path, told: set[str]) -> int:
    """Score the runs of a request as one process would have; returns the exit code."""
    from rmtbench.journal.layout import RunFolder, run_id
    from rmtbench.runs.session import open_session
    from rmtbench.scoring.judge_model import find_judge

    try:
        specs = open_session(request, os.environ).specs
    except UserError:
        return 2  # the processes have said why
    folders = [folder.path for spec in specs if (folder := RunFolder(results / run_id(spec))).spec.exists()]
    judge = find_judge(request, os.environ)
    problems = score_and_tell(folders, None, request.scorer, told, judge)
    not_judged = say_judgements(folders) if judge is not None else 0
    return 1 if problems or not_judged else 0

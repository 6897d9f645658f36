"""What `--workers` does: several processes that share a command's draws, and one result."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from rmtbench.cli.progress import next_report, note
from rmtbench.errors import UserError


def work(words: Sequence[str], workers: int, results: Path, scorer: str, *, fresh: bool) -> int:
    """Do a command in several processes, merge and score what they made; returns the exit code.

    Args:
        words: The command as it was typed, without the program's name.
        workers: Processes.
        results: Folder of all runs.
        scorer: What scores the merged runs.
        fresh: Whether finished runs were to be done again, which the merge could not tell from a second answer.

    Raises:
        UserError: `fresh` was asked for, or the parts cannot be merged.
    """
    from rmtbench.cli.score import show_scoring
    from rmtbench.runs.workers import run_in_workers
    from rmtbench.scoring.score import score_runs

    if fresh:
        raise UserError(
            "several workers cannot start finished runs again",
            where="--fresh",
            remedy="give another folder with --results, or leave --workers out",
        )
    worked = run_in_workers(words, workers, results, note)
    if worked.merged:
        with show_scoring() as progress:
            score_runs([run.folder for run in worked.merged], None, scorer, progress)
        note(next_report(results))
    return worked.code

"""`rmtbench merge`: the parts of runs that `--shard` made, as the runs that one process would have made."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from rmtbench.cli.progress import next_report, note
from rmtbench.plural import many


def merge(
    parts: Annotated[list[Path], typer.Argument(help="Results folders of all parts.", show_default=False)],
    results: Annotated[Path, typer.Option(help="Folder for the merged runs.")] = Path("results"),
    scorer: Annotated[str, typer.Option(help="BERTScore model: minilm, roberta-large, or a path.")] = "minilm",
) -> None:
    """Join the parts that runs with --shard have made, and score the whole. The same merge again changes nothing."""
    from rmtbench.cli.score import score_and_tell
    from rmtbench.journal import merge as journal
    from rmtbench.scoring.check import check_scorer

    check_scorer(scorer)
    merged = journal.merge(parts, results)
    incomplete = 0
    for run in merged:
        missing = f", no part has draw {', '.join(map(str, run.missing))}" if run.missing else ""
        unanswered = f", {many(run.unanswered, 'question')} without an answer" if run.unanswered else ""
        incomplete += bool(missing or unanswered)
        note(f"{run.folder.name}: {many(len(run.parts), 'part')}{missing}{unanswered}")
    problems = score_and_tell([run.folder for run in merged], None, scorer)
    note(next_report(results))
    if incomplete:
        note(f"{incomplete} of {many(len(merged), 'run')} incomplete: finish their parts and merge again")
    raise typer.Exit(1 if incomplete or problems else 0)

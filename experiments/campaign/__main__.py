"""The campaign as a command, from the repository's root: ``python -m experiments.campaign`` (``make campaign``).

It prints a table and writes a JSON, one line a trial, and goes on with what a campaign of the same seed has not done.
"""

from __future__ import annotations

import json
import random
import shutil
import subprocess
import sys
import time
from collections.abc import Mapping
from dataclasses import asdict, replace
from pathlib import Path
from typing import Annotated

import typer

from experiments.campaign import clocks, disks, endpoint, kills, mutated, together
from experiments.campaign.child import warm
from experiments.campaign.faults import start_under_layer
from experiments.campaign.table import table
from experiments.campaign.trial import Bench, Kind, Trial
from experiments.campaign.writers import MEMORY, run_of

KINDS: Mapping[str, tuple[Kind, int]] = {
    "kill": (kills.killed, 100),
    "full": (disks.full, 200),
    "tmpfs": (disks.small, 40),
    "unreadable": (disks.unreadable, 80),
    "clock": (clocks.stepped, 40),
    "together": (together.together, 30),
    "endpoint": (endpoint.faulty, 2),
    "mutated": (mutated.mutated, 300),
}
"""Each kind with how many trials a whole campaign has."""


def campaign(
    seed: Annotated[int, typer.Option(help="Decides every fault.")] = 0,
    seconds: Annotated[float, typer.Option(min=1, help="Stop after so long; the same command goes on.")] = 3600,
    trials: Annotated[float, typer.Option(min=0.001, help="Of each kind, as a share of a whole campaign's.")] = 1.0,
    kinds: Annotated[str, typer.Option(help=f"Comma-separated: {', '.join(KINDS)}.")] = ",".join(KINDS),
    out: Annotated[Path, typer.Option(help="Folder of the trials' lines and of all that is made.")] = Path(
        "build/campaign"
    ),
    only: Annotated[int | None, typer.Option(help="Make this trial of the kinds again, and keep its folder.")] = None,
) -> None:
    """Injure every command in every way, and check that nothing is lost, doubled, changed or left lying about."""
    if not start_under_layer(sys.argv[1:], out):
        typer.echo("no C compiler: the file layer that fails cannot be made", err=True)
        raise typer.Exit(2)
    chosen = [name for name in KINDS if name in kinds.split(",")]
    lines = out / f"trials-{seed}.jsonl"
    done = {(row["kind_name"], row["seed"]): row for row in _read(lines)}
    bench = Bench(out.resolve() / "bench")
    if "tmpfs" in chosen and not disks.can_mount(out / "mount"):
        typer.echo("tmpfs: left out, since nothing may be mounted here", err=True)
        chosen.remove("tmpfs")
    warm([run_of("rag-dense,rmt-query-first"), MEMORY], bench.place("warm"))
    plan = _plan(chosen, trials) if only is None else [(name, only) for name in chosen]
    began = time.monotonic()
    for name, number in plan:
        if (name, number) in done and only is None:
            continue
        if time.monotonic() - began > seconds:
            typer.echo(f"{seconds:.0f} s are over; the same command goes on", err=True)
            break
        trial = _make(name, number, seed, bench)
        _tell(name, trial)
        if only is None:
            row = {"kind_name": name, **asdict(trial)}
            done[name, number] = row
            with lines.open("a", encoding="utf-8") as stream:
                stream.write(json.dumps(row) + "\n")
    if only is None:
        shutil.rmtree(bench.folder, ignore_errors=True)
    figures = table(f"seed {seed}", [row for (name, _), row in done.items() if name in chosen])
    typer.echo(figures.text, err=True)
    (out / f"campaign-{seed}.json").write_text(json.dumps(figures.rows, indent=1) + "\n", encoding="utf-8")
    typer.echo(json.dumps(figures.rows))
    raise typer.Exit(0 if all(row["bad"] == 0 for row in figures.rows) else 1)


def _plan(chosen: list[str], share: float) -> list[tuple[str, int]]:
    """Return the trials in an order in which every kind has its share at any time."""
    counts = {name: max(1, round(KINDS[name][1] * share)) for name in chosen}
    places = [((number + 0.5) / count, name, number) for name, count in counts.items() for number in range(count)]
    return [(name, number) for _, name, number in sorted(places)]


def _make(name: str, number: int, seed: int, bench: Bench) -> Trial:
    began = time.monotonic()
    try:
        trial = KINDS[name][0](bench, random.Random(f"{seed} {name} {number}"), number)  # noqa: S311 - no secret
    except (RuntimeError, OSError, subprocess.SubprocessError) as error:  # the campaign's own fault, and no result
        trial = Trial("broken trial", name, number, codes=[-1], said=[f"{type(error).__name__}: {error}"])
    return replace(trial, seconds=round(time.monotonic() - began, 2))


def _tell(name: str, trial: Trial) -> None:
    typer.echo(f"{name} {trial.seed:3} {'ok ' if trial.good else 'BAD'} {trial.seconds:5.1f} s  {trial.name}", err=True)
    if trial.good:
        return
    for field in ("lost", "doubled", "changed", "strays", "codes", "tracebacks"):
        if value := getattr(trial, field):
            typer.echo(f"      {field}: {value if isinstance(value, int) else list(value)[:6]}", err=True)
    for text in trial.said:
        typer.echo("      | " + text[-900:].replace("\n", "\n      | "), err=True)


def _read(lines: Path) -> list[dict[str, object]]:
    if not lines.exists():
        return []
    return [
        json.loads(line) for line in lines.read_text(encoding="utf-8").splitlines(keepends=True) if line[-1] == "\n"
    ]


if __name__ == "__main__":
    app = typer.Typer(pretty_exceptions_enable=False)
    app.command()(campaign)
    app()

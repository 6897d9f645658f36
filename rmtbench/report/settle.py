"""The command that would settle a verdict: the runs that are not told apart, over as many draws as it takes."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from pathlib import PurePath

from rmtbench.analysis.contest import Contest
from rmtbench.analysis.decision import Verdict
from rmtbench.analysis.run_figures import RunFigures
from rmtbench.core import RunSpec

USUAL = {field.name: field.default for field in RunSpec.__dataclass_fields__.values()}
SETTINGS = {("embed_windows", "on")}
"""Settings of runs that nobody has to give."""


def settling_command(contest: Contest, verdict: Verdict, runs: Sequence[RunFigures], *, paths: bool) -> str:
    """Return the command that makes the runs that a verdict lacks; empty where no command can.

    Documents that are read whole need more questions: the command is the same as before, once a person has added them.

    Args:
        contest: What was measured.
        verdict: What the rules made of it.
        runs: The contest's runs.
        paths: Name a folder of one's own by its path on this machine, and not by its name alone, as files do.
    """
    if verdict.kind != "more data" or verdict.units_needed is None:
        return ""
    known = {run.run_id: run for run in runs}
    wanted = [known[contest.candidates[place].run_id].spec for place in verdict.alike]
    if contest.unit == "draw":
        return f"{_command(wanted, paths=paths)} --draws {contest.units + verdict.units_needed}"
    return _command(wanted, paths=paths) if wanted[0].data.partition(":")[0] == "own" else ""


def _command(specs: Sequence[RunSpec], *, paths: bool) -> str:
    """`rmtbench run` for these runs; an ellipsis stands for options that a run only has a label or a word of."""
    first = specs[0]
    dataset = first.dataset if paths else PurePath(first.dataset).name
    words = ["rmtbench run", f"--dataset {shlex.quote(dataset)}", f"--size {first.size}"]
    if first.data.partition(":")[0] == "official":
        words.append("--data-dir FOLDER")
    words.append(f"--model {shlex.quote(first.model)}")
    if first.adapter is not None:
        words.append(f"--adapter {shlex.quote(first.adapter)}")
    words.append(f"--system {','.join(dict.fromkeys(spec.system for spec in specs))}")
    if ks := sorted({spec.top_k for spec in specs if spec.top_k is not None}):
        words.append(f"--top-k {','.join(map(str, ks))}")
    for name in ("chunk_tokens", "batch", "questions", "seed"):
        values = {getattr(spec, name) for spec in specs if name != "chunk_tokens" or spec.retrieves}
        if len(values) == 1 and values != {USUAL[name]}:
            words.append(f"--{name.replace('_', '-')} {values.pop()}")
    if any(set(spec.settings) - SETTINGS for spec in specs):
        words.append("…")
    return " ".join(words)

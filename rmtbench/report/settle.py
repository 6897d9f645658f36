"""The command that would settle a verdict: the runs that are not told apart, over as many draws as it takes."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from pathlib import PurePath

from rmtbench.analysis.contest import Contest
from rmtbench.analysis.decision import Verdict
from rmtbench.analysis.run_figures import RunFigures
from rmtbench.core import SHIPPED_MODELS, RunSpec
from rmtbench.models.endpoint.address import is_endpoint
from rmtbench.options import flag
from rmtbench.options.declare import Option, options_of
from rmtbench.options.identity import RunOptions
from rmtbench.options.request import all_options

NAMED = ("dataset", "size", "model", "adapter", "systems", "top_k", "draws", "questions")
"""Columns of a run's spec that a command names in its own way."""
SETTINGS = {("embed_windows", "on")}
"""Settings of runs that nobody has to give."""
MEMORY = "memory"
"""A run has its memory's name and hash, and not where it is."""


def settling_command(contest: Contest, verdict: Verdict, runs: Sequence[RunFigures], *, paths: bool) -> str:
    """Return the command that makes the runs that a verdict lacks; empty where no command can.

    Of documents that are read whole it asks more questions: a person has to add those that are not there yet.

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
        return command_for(wanted, paths=paths, draws=contest.units + verdict.units_needed)
    if wanted[0].data.partition(":")[0] != "own":
        return ""
    limited = any(spec.questions is not None for spec in wanted)
    return command_for(wanted, paths=paths, questions=contest.units + verdict.units_needed if limited else None)


def command_for(
    specs: Sequence[RunSpec], *, paths: bool, draws: int | None = None, questions: int | None = None
) -> str:
    """`rmtbench run` for these runs; empty if one cannot make them all."""
    first = specs[0]
    dataset = first.dataset if paths else PurePath(first.dataset).name
    words = ["rmtbench run", f"{flag.dataset} {shlex.quote(dataset)}", f"{flag.size} {first.size}"]
    source = first.data.partition(":")[0]
    words += {"official": [f"{flag.data_dir} FOLDER"], "hub": [f"{flag.profile} paper"]}.get(source, [])
    words.append(f"{flag.model} {shlex.quote(first.model)}")
    if first.adapter is not None:
        words.append(f"{flag.adapter} {shlex.quote(first.adapter)}")
    words.append(f"{flag.systems} {','.join(dict.fromkeys(spec.system for spec in specs))}")
    if ks := sorted({spec.top_k for spec in specs if spec.top_k is not None}):
        words.append(f"{flag.top_k} {','.join(map(str, ks))}")
    columns = _columns(specs)
    if columns is None:
        return ""
    words += columns
    if questions is None:
        questions = first.questions
    if questions is not None:
        words.append(f"{flag.questions} {questions}")
    told = _settings(specs)
    if told is None:
        return ""
    words += told if draws is None else [*told, f"{flag.draws} {draws}"]
    return " ".join(words)


def _columns(specs: Sequence[RunSpec]) -> list[str] | None:
    """Flags of what is a field of the runs' specs and not usual; None if two runs differ in one."""
    told = []
    for name, option in all_options().items():
        if not option.column or name in NAMED:
            continue
        heeding = [spec for spec in specs if _heeds(spec, option)]
        values = {getattr(spec, name) for spec in heeding}
        if len(values) > 1:
            return None
        if heeding and (value := values.pop()) != _usual(heeding[0], option):
            told.append(_given(option.flag, str(value)))
    return told


def _heeds(spec: RunSpec, option: Option) -> bool:
    """Whether a run's value of an option was chosen, and is no default that its system does not use."""
    if option.place and is_endpoint(spec.model):
        return False
    return {"retrieves": spec.retrieves, "embeds": spec.embedder is not None}.get(option.heeded, True)


def _usual(spec: RunSpec, option: Option) -> object:
    """What a run has where nobody gives an option, on this machine or one like it."""
    if option.field == "answer_style":
        return "bridge" if spec.model in SHIPPED_MODELS else "direct"
    if option.field == "dtype":
        return "float32" if spec.device == "cpu" else "bfloat16"
    return "cpu" if option.field == "device" else option.default


def _settings(specs: Sequence[RunSpec]) -> list[str] | None:
    """Flags of the runs' further options; None if one of them has no flag, or two runs of one system differ in it."""
    flags = {option.stored or option.field: option.flag for option in options_of(RunOptions).values()}
    told: dict[str, str] = {}
    for spec in specs:
        for name, text in dict(spec.settings).items():
            if (name, text) in SETTINGS:
                continue
            alike = all(dict(each.settings).get(name) == text for each in specs if each.system == spec.system)
            word = f"{flag.rmt} FOLDER" if name == MEMORY else _given(flags[name], text) if name in flags else None
            if word is None or not alike or told.setdefault(name, word) != word:
                return None
    return list(told.values())


def _given(name: str, text: str) -> str:
    """A flag with its value; a rare option's, which has a space in its name, is joined by an equals sign."""
    return f"{name}{'=' if ' ' in name else ' '}{shlex.quote(text)}"

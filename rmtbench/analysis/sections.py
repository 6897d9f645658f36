"""Which runs may stand in one table: those that agree in model, data source, machine and mode. Others never meet.

Also says what produced a section's tables. Knows no table.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from rmtbench.analysis.grid import Grid, make_grids
from rmtbench.analysis.run_figures import NOT_RECORDED, RunFigures

Facts = tuple[tuple[str, str], ...]
"""Names and values, in the order in which they are told."""

IDENTITY = "model identity"
"""Names the hash over weights, adapter, configuration, tokenizer and chat format: see `rmtbench.models.identity`."""


@dataclass(frozen=True)
class Section:
    """Runs that may be compared.

    Attributes:
        title: What sets the section apart, in short.
        setting: What all its runs have in common; no two sections have the same.
        runs: Its runs, by name.
    """

    title: str
    setting: Facts
    runs: tuple[RunFigures, ...]

    @cached_property
    def grids(self) -> tuple[Grid, ...]:
        """Its runs in their places, one grid for each source of each dataset."""
        return make_grids(self.runs)

    @property
    def provenance(self) -> Facts:
        """What produced the section's tables: what its runs have in common, then everything else that is recorded."""
        varied = (
            ("data", [_data(run) for run in self.runs]),
            ("draws", [f"{run.summary.draws} of {run.spec.draws}" for run in self.runs]),
            ("embedders", [_embedder(run) for run in self.runs if run.spec.embedder] or ["none"]),
            (
                "scorers",
                [f"{metric} {made}" for run in self.runs for metric, made in run.scorers.items()] or ["none"],
            ),
            ("versions", [_of_sessions(run, "versions") for run in self.runs]),
            ("code", [_of_sessions(run, "code") for run in self.runs]),
            ("first run started", [min(started(run) for run in self.runs)]),
        )
        return self.setting + tuple((name, "; ".join(sorted(set(values)))) for name, values in varied)


def make_sections(runs: Iterable[RunFigures]) -> tuple[Section, ...]:
    """Set runs apart that must not be pooled.

    Args:
        runs: All runs.

    Returns:
        The sections, those with random weights last, each with at least one run.
    """
    groups: dict[Facts, list[RunFigures]] = {}
    for run in sorted(runs, key=lambda run: run.run_id):
        groups.setdefault(setting_of(run), []).append(run)
    _join_unrecorded(groups)
    ordered = sorted(groups.items(), key=lambda item: (item[1][0].random_weights, item[0]))
    settings = [dict(setting) for setting, _ in ordered]
    return tuple(Section(_title(dict(setting), settings), setting, tuple(members)) for setting, members in ordered)


def _join_unrecorded(groups: dict[Facts, list[RunFigures]]) -> None:
    """Put runs that recorded no identity with those that agree in everything else, where these are of one model."""
    for setting in [each for each in groups if IDENTITY not in dict(each)]:
        known = [each for each in groups if each != setting and _without_identity(each) == setting]
        if len(known) == 1:
            members = groups.pop(setting) + groups[known[0]]
            groups[known[0]] = sorted(members, key=lambda run: run.run_id)


def _without_identity(setting: Facts) -> Facts:
    """A setting without the model's identity, which older runs have not recorded."""
    return tuple(fact for fact in setting if fact[0] != IDENTITY)


def setting_of(run: RunFigures) -> Facts:
    """What a run must have in common with another to be compared with it.

    Args:
        run: The run; one whose processes differ in threads or machine can be compared only with its like.
    """
    spec, model = run.spec, run.model
    label = "random weights" if run.random_weights else model.get("label")
    name = model.get("id") or spec.model
    if spec.concurrency > 1:
        mode = f"throughput ({spec.concurrency} questions at once, each with its own time)"
    else:
        mode = "latency (one question at a time)" if spec.batch == 1 else f"throughput (batches of {spec.batch})"
    return (
        ("model", f"{name} ({label})" if label else str(name)),
        ("revision", _flat(model.get("revision"))),
        ("weights", _flat(model.get("weights_sha256"))),
        ("tokenizer", _flat(model.get("tokenizer") or spec.tokenizer)),
        ("tokenizer hash", _flat(model.get("tokenizer_sha256"))),
        ("prompt contract", _flat(model.get("prompt_contract"))),
        ("data source", run.source_kind),
        ("device", spec.device),
        ("dtype", spec.dtype),
        ("attention", _flat(model.get("attention"))),
        ("threads", _of_sessions(run, "threads")),
        ("machine", _of_sessions(run, "machine")),
        ("mode", mode),
        ("answer style", f"{spec.answer_style}, at most {spec.max_answer_tokens} tokens"),
        ("seed", str(spec.seed)),
        # Of runs that recorded none, nothing is told.
        *([(IDENTITY, str(model["identity"]))] if model.get("identity") else []),
    )


def started(run: RunFigures) -> str:
    """When the run's first process started, as recorded."""
    return _flat(run.provenance.get("started"))


def flat_provenance(run: RunFigures) -> dict[str, str]:
    """What is recorded of a run's making that its section's setting does not tell, for files."""
    return {
        "embedder_sha256": _flat(_mapping(run.provenance.get("embedder")).get("sha256")),
        "scorers": "; ".join(f"{metric} {digest}" for metric, digest in sorted(run.scorers.items())) or NOT_RECORDED,
        "versions": _of_sessions(run, "versions"),
        "code": _of_sessions(run, "code"),
        "started": started(run),
    }


def _title(setting: Mapping[str, str], settings: Sequence[Mapping[str, str]]) -> str:
    """The short title, and after it whatever else tells the section from others of the same short title."""
    short = _short_title(setting)
    alike = [other for other in settings if _short_title(other) == short]
    told = [name for name in setting if len({other.get(name) for other in alike}) > 1]
    values = ", ".join(f"{name} {_short_hash(setting[name])}" for name in told)
    return f"{short}; {values}" if told else short


def _short_hash(value: str) -> str:
    return value[:12] if re.fullmatch("[0-9a-f]{13,}", value) else value


def _short_title(setting: Mapping[str, str]) -> str:
    machine = f"{setting['device']} {setting['dtype']}"
    mode = setting["mode"].removesuffix(" (one question at a time)")
    return f"{setting['model']}, {setting['data source']} data, {machine}, {mode}"


def _data(run: RunFigures) -> str:
    sources = {(row["source"]["name"], row["source"]["sha256"]) for row in run.corpora}
    return f"{run.dataset}: " + (", ".join(f"{name} ({sha})" for name, sha in sorted(sources)) or run.spec.data)


def _embedder(run: RunFigures) -> str:
    recorded = _mapping(run.provenance.get("embedder"))
    return f"{recorded.get('name') or run.spec.embedder} ({_flat(recorded.get('sha256'))})"


def _of_sessions(run: RunFigures, name: str) -> str:
    """What every process of a run recorded under a name, each value once, in the order of the processes."""
    return " then ".join(dict.fromkeys(_flat(session.get(name)) for session in run.sessions))


def _mapping(value: object) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}


def _flat(value: object) -> str:
    """Any JSON value on one line; nothing recorded is said in words."""
    if value is None or value in ("", {}, []):
        return NOT_RECORDED
    if isinstance(value, Mapping):
        # Memory differs by a few pages from one start of the same machine to the next.
        told = {name: part for name, part in value.items() if name != "memory_bytes"}
        return ", ".join(f"{name} {_flat(part)}" for name, part in sorted(told.items()))
    if isinstance(value, list):
        return ", ".join(_flat(part) for part in value)
    return str(value)

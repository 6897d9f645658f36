"""What is recorded of how runs were made, as text for tables and files."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from rmtbench.analysis.run_figures import RunFigures

NOT_RECORDED = "not recorded"

Facts = tuple[tuple[str, str], ...]
"""Names and values, in the order in which they are told."""


def varied_facts(runs: Sequence[RunFigures]) -> Facts:
    """Return what is recorded of runs and may differ from one to another."""
    varied = (
        ("data", [_data(run) for run in runs]),
        ("draws", [f"{run.summary.draws} of {run.spec.draws}" for run in runs]),
        ("embedders", [_embedder(run) for run in runs if run.spec.embedder] or ["none"]),
        (
            "scorers",
            [f"{metric} {made}" for run in runs for metric, made in run.scorers.items()] or ["none"],
        ),
        ("versions", [of_sessions(run, "versions") for run in runs]),
        ("code", [of_sessions(run, "code") for run in runs]),
        ("first run started", [min(started(run) for run in runs)]),
    )
    return tuple((name, "; ".join(sorted(set(values)))) for name, values in varied)


def started(run: RunFigures) -> str:
    """When the run's first process started, as recorded."""
    return flat(run.provenance.get("started"))


def flat_provenance(run: RunFigures) -> dict[str, str]:
    """What is recorded of a run's making that its section's setting does not tell, for files."""
    return {
        "embedder_sha256": flat(_mapping(run.provenance.get("embedder")).get("sha256")),
        "scorers": "; ".join(f"{metric} {digest}" for metric, digest in sorted(run.scorers.items())) or NOT_RECORDED,
        "versions": of_sessions(run, "versions"),
        "code": of_sessions(run, "code"),
        "started": started(run),
    }


def _data(run: RunFigures) -> str:
    sources = {(row["source"]["name"], row["source"]["sha256"]) for row in run.corpora}
    return f"{run.dataset}: " + (", ".join(f"{name} ({sha})" for name, sha in sorted(sources)) or run.spec.data)


def _embedder(run: RunFigures) -> str:
    recorded = _mapping(run.provenance.get("embedder"))
    return f"{recorded.get('name') or run.spec.embedder} ({flat(recorded.get('sha256'))})"


def of_sessions(run: RunFigures, name: str) -> str:
    """What every process of a run recorded under a name, each value once, in the order of the processes."""
    return " then ".join(dict.fromkeys(flat(session.get(name)) for session in run.sessions))


def _mapping(value: object) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}


def flat(value: object) -> str:
    """Any JSON value on one line; nothing recorded is said in words."""
    if value is None or value in ("", {}, []):
        return NOT_RECORDED
    if isinstance(value, Mapping):
        # Memory differs by a few pages from one start of the same machine to the next.
        told = {name: part for name, part in value.items() if name != "memory_bytes"}
        return ", ".join(f"{name} {flat(part)}" for name, part in sorted(told.items()))
    if isinstance(value, list):
        return ", ".join(flat(part) for part in value)
    return str(value)

"""How much of a run's wall time is the harness: everything but model, embedder and retrieval calls.

The run is a real one, into a temporary folder; its own journal says what the calls took.
"""

from __future__ import annotations

import os
import tempfile
import time
from pathlib import Path
from typing import Any

from rmtbench.journal.record import read_run
from rmtbench.options.request import Request
from rmtbench.runs.loading import load_resources
from rmtbench.runs.loop import execute
from rmtbench.runs.session import make_draws, open_session


def run(request: Request) -> dict[str, Any]:
    """Do a request's runs once and take their wall time apart.

    Args:
        request: The runs, such as those of the acceptance command.

    Returns:
        `overhead_fraction` = (wall - calls) / wall, where wall runs from opening the data to the last answer without
        loading (imports, model, embedder: `loading_seconds`), and calls are what the journal says of prefill, decode,
        retrieval and the parts of preparation. `overhead_fraction_with_loading` counts loading as harness, in both.

    Raises:
        UserError: As `rmtbench run`.
    """
    began = time.perf_counter()
    session = open_session(request, os.environ)
    opened = time.perf_counter()
    with tempfile.TemporaryDirectory() as folder:
        tools = load_resources(session.specs, session.device, Path(folder) / "cache")
        loaded = time.perf_counter()
        draws = make_draws(session, tools.model.count_tokens)
        outcomes = execute(session.specs, draws, tools, Path(folder), lambda _event: None)
        ended = time.perf_counter()
        runs = [read_run(outcome.folder) for outcome in outcomes]
    parts: dict[str, float] = {}
    for record in runs:
        for _, prepared in record.prepared:
            for name, seconds in prepared.seconds.items():
                parts[f"prepare {name}"] = parts.get(f"prepare {name}", 0.0) + seconds * (not prepared.shared)
        for answer in record.answers.values():
            for name in ("retrieve", "prefill", "decode"):
                parts[name] = parts.get(name, 0.0) + getattr(answer.timings, name)
    # Chunks are cut once, but stand in the preparation of sparse and of dense retrieval: subtracting them twice would
    # hide harness time, so they are counted as often as they were cut.
    cut = {(record.spec.chunk_tokens, draw): prepared for record in runs for draw, prepared in record.prepared
           if "chunk" in prepared.seconds and not prepared.shared}  # fmt: skip
    if cut:
        parts["prepare chunk"] = sum(prepared.seconds["chunk"] for prepared in cut.values())
    loading = loaded - opened
    wall = ended - began - loading
    calls = sum(parts.values())
    return {
        "overhead_fraction": (wall - calls) / wall,
        "overhead_fraction_with_loading": (wall - calls + loading) / (wall + loading),
        "wall_seconds": wall,
        "loading_seconds": loading,
        "call_seconds": parts,
        "harness_seconds": wall - calls,
        "answers": sum(len(record.answers) for record in runs),
        "runs": [record.run_id for record in runs],
        "model": tools.provenance["model"]["id"],
        "threads": tools.provenance["threads"],
        "versions": tools.provenance["versions"],
    }

"""A server that fails in a fifth of 2,000 calls, in every way that a server has, with 32 asked at once."""

from __future__ import annotations

import json
import os
import random
import signal
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from importlib import import_module
from pathlib import Path
from typing import Any

from experiments.campaign.child import run
from experiments.campaign.compare import compare, facts
from experiments.campaign.trial import Bench, Trial

QUESTIONS, SHARE, AT_ONCE = 500, 0.2, 32
SYSTEMS = "closed-book,full-context,rag-sparse,rag-dense"


def faulty(bench: Bench, chance: random.Random, number: int) -> Trial:
    """Ask four systems 500 questions each through a server with faults, and compare with one without."""
    wanted = bench.place("whole-endpoint")
    found = bench.place()
    ends, seen, port = [], {}, 0
    for place, share in ((wanted, 0.0), (found, SHARE)):
        _documents(place)
        with _server(place, share, chance.randrange(10**6), port) as url:
            port = int(url.rpartition(":")[2].partition("/")[0])  # of both: the address is in the runs' names
            ends.append(run(_words(url), place))
        seen = _told(place)
    differences = compare(facts(found, ()), facts(wanted, ()))
    return Trial(
        "endpoint",
        f"{seen.get('requests')} calls, {', '.join(f'{kind} {count}' for kind, count in sorted(seen['done'].items()))}",
        number,
        faults=sum(seen["done"].values()),
        lost=differences.lost,
        doubled=differences.doubled,
        changed=differences.changed,
        strays=[name for name in differences.strays if not name.startswith("server")],
        tracebacks=sum(end.traceback for end in ends),
        codes=[end.code for end in ends if end.code != 0],
        said=[end.err[-1500:] for end in ends if end.code != 0 or end.traceback],
    )


def _words(url: str) -> Sequence[str]:
    server = ("--model", "openai:mini", "--tokenizer", "mini", "--base-url", url, "--concurrency", str(AT_ONCE))
    more = ("--max-answer-tokens", "8", "--top-k", "1", "--results", "results")
    return ("run", "--system", SYSTEMS, "--dataset", "own", *server, *more)


def _documents(place: Path) -> None:
    folder = place / "own"
    (folder / "documents").mkdir(parents=True)
    for number in range(10):
        (folder / "documents" / f"town-{number}.md").write_text(
            f"# Town {number}\n\nThe mill of town {number} is old.\n"
        )
    rows = [{"question": f"How old is mill {number} of the town?", "answers": ["old"]} for number in range(QUESTIONS)]
    (folder / "questions.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))


def _told(place: Path) -> dict[str, Any]:
    told: dict[str, Any] = json.loads((place / "server.json").read_text())
    return told


@contextmanager
def _server(place: Path, share: float, seed: int, port: int) -> Iterator[str]:
    """Serve from a process of its own, which notes at its end what it did."""
    ready, note = place / "server-url", place / "server.json"
    pid = os.fork()
    if pid == 0:
        try:
            _serve(ready, note, share, seed, port)
        finally:
            os._exit(0)
    try:
        while not ready.exists() or not ready.read_text():
            time.sleep(0.02)
        yield ready.read_text()
    finally:
        os.kill(pid, signal.SIGTERM)
        os.waitpid(pid, 0)


def _serve(ready: Path, note: Path, share: float, seed: int, port: int) -> None:
    import threading

    sys.path.insert(0, str(Path(__file__).parents[2] / "tests"))
    tests: Any = import_module("endpoint_server")  # a real server on a real socket, which the tests use, too
    over = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: over.set())
    plan = tests.Plan(share=share, seed=seed)
    with tests.serve(plan=plan, port=port, caches=False) as server:
        ready.write_text(server.url)
        over.wait()
    note.write_text(json.dumps({"requests": plan.requests, "done": dict(plan.done)}))

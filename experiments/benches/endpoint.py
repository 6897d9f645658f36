"""What a call of a served model costs on this side: the suite's whole way around a server that only waits."""

from __future__ import annotations

import statistics
import time
from typing import Any

from experiments.benches.waiting_server import WORDS, waiting_server
from rmtbench.core import Corpus, Document, Question, RunSpec, Source
from rmtbench.models.endpoint.address import find_address
from rmtbench.models.endpoint.line import LineSettings
from rmtbench.models.endpoint.load import Endpoints, load_endpoint_model
from rmtbench.runs.at_once import answer_in_order
from rmtbench.runs.provenance import surroundings
from rmtbench.systems.base import Resources
from rmtbench.systems.registry import find_system

GOAL_SECONDS = 0.003


def run(*, concurrency: int = 32, calls: int = 960, seconds: float = 0.2) -> dict[str, Any]:
    """Ask so many questions, so many at once.

    Args:
        concurrency: Questions at once.
        calls: Questions in all; as many again as are asked at once go before and are not counted.
        seconds: What the server takes for an answer, by mean.

    Returns:
        `overhead_seconds`: mean of a question's time less mean of the server's own; `overhead_p99_seconds` likewise of
        the 99th percentiles; `throughput_overhead_seconds`: what a question adds to the wall time at this concurrency,
        less the server's time; `processor_seconds_a_call`: of this process alone. `wrong` counts answers that are not
        what the server says.
    """
    corpus = Corpus(
        id="waiting",
        dataset="own",
        size="all",
        draw=0,
        documents=(Document("d", "Arden", "Tam Nedra is its mayor."),),
        questions=tuple(Question(f"q{number}", "Who is the mayor of Arden?") for number in range(calls)),
        source=Source("own", "waiting", "0" * 64),
    )
    spec = RunSpec("closed-book", "own", "all", "openai:waiting", "own:waiting@0")
    with waiting_server(seconds) as server:
        line = LineSettings(find_address(server.url, None, {}))
        model = load_endpoint_model(
            "openai:waiting", Endpoints(line), tokenizer="mini", style="direct", max_answer_tokens=64
        )
        with find_system("closed-book").make(Resources(spec, model)) as system:
            system.prepare(corpus)
            warming = [Question(f"w{number}", "Who?") for number in range(concurrency)]
            for _ in answer_in_order(system, warming, concurrency):
                pass
            server.seconds()
            began, worked = time.perf_counter(), time.process_time()
            answers = list(answer_in_order(system, corpus.questions, concurrency))
            wall, worked = time.perf_counter() - began, time.process_time() - worked
        served = server.seconds()
    wrong = sum(answer.raw != "".join(WORDS) for answer in answers)
    taken = [answer.timings.total for answer in answers]
    own = statistics.fmean(served)
    return {
        "overhead_seconds": statistics.fmean(taken) - own,
        "overhead_p99_seconds": _p99(taken) - _p99(served),
        "throughput_overhead_seconds": wall * min(concurrency, calls) / calls - own,
        "processor_seconds_a_call": worked / calls,
        "goal_seconds": GOAL_SECONDS,
        "server_seconds": own,
        "first_token_overhead_seconds": statistics.fmean(a.timings.first_token or 0.0 for a in answers)
        - own / len(WORDS),
        "wall_seconds": wall,
        "calls": len(answers),
        "wrong": wrong,
        "concurrency": concurrency,
        "chunks_a_call": len(WORDS) + 2,
        "versions": surroundings("cpu")["versions"],
    }


def _p99(values: list[float]) -> float:
    return sorted(values)[int(0.99 * (len(values) - 1))]

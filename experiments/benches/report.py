"""What a report of many runs costs: time and peak memory of the whole command, over results made for it."""

from __future__ import annotations

import resource
import sys
import tempfile
import time
from collections.abc import Iterator
from functools import partial
from itertools import product
from pathlib import Path
from random import Random
from typing import Any

from rmtbench.analysis.metrics import USUAL
from rmtbench.bench.apart import Watch, run_apart
from rmtbench.core import Answer, Corpus, Document, Draw, Gold, Prepared, Question, RunSpec, Source, Span, Timings
from rmtbench.core import TokenCounts as Tokens
from rmtbench.journal.lines import LineWriter, encode, write_whole
from rmtbench.journal.writer import RunWriter
from rmtbench.report.write import write_report

SYSTEMS: tuple[tuple[str, int | None], ...] = (
    ("closed-book", None), ("oracle", None), ("full-context", None), ("cag", None),
    *product(("rag-sparse", "rag-dense"), (1, 3, 5, 10)),
)  # fmt: skip
DATASETS, SIZES, DRAWS = (
    ("hotpotqa", "squad", "triviaqa", "notes", "letters"),
    ("smoke", "small", "medium", "large"),
    10,
)

SCORED = [value.name for value in USUAL if value.of == "answers" and value.order is not None]


def run(*, runs: int = 200, answers: int = 200_000) -> dict[str, Any]:
    """Write results of invented answers, report on them in a process of its own, and remove them.

    Args:
        runs: How many, at most 240.
        answers: Of all runs together, in ten draws each.

    Returns:
        Seconds, and peak resident bytes.
    """
    with tempfile.TemporaryDirectory() as folder:
        for spec in _specs(runs):
            make_run(Path(folder), spec, questions=max(1, answers // runs // DRAWS))
        return {"runs": runs, "answers": runs * max(1, answers // runs // DRAWS) * DRAWS} | run_apart(
            partial(_report, Path(folder))
        )


def make_run(results: Path, spec: RunSpec, *, questions: int) -> None:
    """Write one run of invented, scored answers.

    Args:
        results: The results folder.
        spec: What it pretends to have asked.
        questions: A draw.
    """
    chance = Random(f"{spec.system} {spec.top_k}")  # noqa: S311 (not a secret)
    scores = []
    with RunWriter(results, spec) as written:
        written.begin({"model": {"id": spec.model, "label": ""}, "threads": 1, "machine": "made for a bench"})
        for number in range(spec.draws):
            draw = _draw(spec, number, questions)
            written.add_draw(draw, tokens=1_000 * (1 + SIZES.index(spec.size)))
            written.prepared(Prepared({"prefill": 1.0}, bytes=10**6), draw=number)
            for question in draw.corpus.questions:
                right = chance.random() < 0.7
                times = Timings(0.0, 0.1, 0.1, 0.1, 0.2 + chance.random() / 10)
                text = "yes" if right else "no"
                written.answer(Answer(question.id, text, "eos", text, Tokens(1_000, 900, 3), times), draw=number)
                values = dict.fromkeys(SCORED, float(right))
                scores.append({"draw": number, "question_id": question.id, "scores": values})
        with LineWriter(written.folder.scores) as writer:
            for row in scores:
                writer.append(row)
        made_by = dict.fromkeys(SCORED, "made for a bench")
        write_whole(written.folder.summary, encode({"scorers": made_by}))


def _specs(runs: int) -> Iterator[RunSpec]:
    kinds = list(product(DATASETS, SIZES, SYSTEMS))
    if not 1 <= runs <= len(kinds):
        raise ValueError(f"from 1 to {len(kinds)} runs, not {runs}")
    for dataset, size, (system, top_k) in kinds[:runs]:
        yield RunSpec(system, dataset, size, "made-up", "embedded:made for a bench@0", top_k=top_k, draws=DRAWS)


def _draw(spec: RunSpec, number: int, questions: int) -> Draw:
    documents = tuple(
        Document(f"d{place}", f"Title {place}", f"Sentence {place} of many. " * 20) for place in range(10)
    )
    asked = tuple(
        Question(f"q{place}", f"What does sentence {place} of {spec.size} {spec.dataset}, draw {number}, say?")
        for place in range(questions)
    )
    source = Source("embedded", "made for a bench", "0" * 64)
    corpus = Corpus(f"{spec.dataset}-{number}", spec.dataset, spec.size, number, documents, asked, source)
    spans = (Span(f"d{place % 10}", 0, 10) for place in range(questions))
    gold = tuple(Gold(question.id, ("yes",), ((span,),)) for question, span in zip(asked, spans, strict=True))
    return Draw(corpus, gold)


def _report(results: Path, _watch: Watch) -> dict[str, Any]:
    start = time.perf_counter()
    written = write_report(results)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)
    return {
        "seconds": time.perf_counter() - start,
        "cpu_seconds": time.process_time(),
        "peak_resident_bytes": peak,
        "files": len(written.files),
    }

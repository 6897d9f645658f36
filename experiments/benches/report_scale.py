"""Synthetic results of any size for measuring a report: invented answers, written by the journal's own writer.

The model's label says that they are synthetic, so that every heading of a report says so too.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import islice, product
from pathlib import Path
from random import Random
from typing import Any

from rmtbench.analysis.earlier_systems import traits_of
from rmtbench.analysis.metrics import USUAL
from rmtbench.core import (
    Answer,
    Corpus,
    Document,
    Draw,
    Finish,
    Gold,
    Prepared,
    Question,
    Retrieved,
    RunSpec,
    Source,
    Span,
    Timings,
    TokenCounts,
)
from rmtbench.journal.lines import LineWriter, encode, write_whole
from rmtbench.journal.packed import pack
from rmtbench.journal.writer import RunWriter

SYSTEMS: tuple[tuple[str, int | None], ...] = (
    ("closed-book", None), ("oracle", None), ("full-context", None), ("cag", None),
    *product(("rag-sparse", "rag-dense", "rag-hybrid"), (1, 2, 3, 5, 8, 10, 20)),
)  # fmt: skip
DATASETS = ("synthetic-a", "synthetic-b", "synthetic-c", "synthetic-d", "synthetic-e")
DRAWS: Mapping[str, int] = {"smoke": 40, "small": 25, "medium": 20, "large": 10}
"""Draws of each size: few and many, since tests of few draws try every pattern of signs."""
MODELS = tuple(f"made-up-{letter}" for letter in "abcd")
MOST_RUNS = len(MODELS) * len(DATASETS) * len(DRAWS) * len(SYSTEMS)
PACKED = 5
"""Every so many runs one is packed."""
DOCUMENTS, CHUNKS, CHUNK = 20, 10, 800
"""Documents of a draw, chunks of a document, and characters of a chunk."""
WORDS: Sequence[str] = (  # noqa: SIM905
    "amber anchor archive bridge canal castle clock copper council court delta engine ferry forest garden glass "
    "granite harbour island kingdom lantern letter library market mayor meadow mill mountain museum north opera "
    "orchard palace planet poet queen railway river school seven signal silver spring station theatre thirteen "
    "tower valley village"
).split(" ")
SCORED = {value.name for value in USUAL}
LABEL = "synthetic answers"


@dataclass(frozen=True, slots=True)
class Scale:
    """How much is written.

    Attributes:
        runs: How many, at most `MOST_RUNS`.
        answers: Of each run, at least as many as it has draws.
    """

    runs: int
    answers: int


def write_runs(results: Path, scale: Scale) -> Iterator[Path]:
    """Write synthetic runs of several models, data sets, sizes and systems.

    Args:
        results: The results folder.
        scale: How much.

    Yields:
        The folder, or the packed file, of each run once it is there. A run that is there already is left alone.

    Raises:
        ValueError: There are not so many different runs.
    """
    if not 1 <= scale.runs <= MOST_RUNS:
        raise ValueError(f"from 1 to {MOST_RUNS} runs, not {scale.runs}")
    for number, spec in enumerate(islice(_specs(), scale.runs)):
        yield _write_run(results, spec, scale.answers, packed=number % PACKED == PACKED - 1)


def _specs() -> Iterator[RunSpec]:
    for model, dataset, size, (system, top_k) in product(MODELS, DATASETS, DRAWS, SYSTEMS):
        embedder = "made-up-embedder" if system in ("rag-dense", "rag-hybrid") else None
        data = "miniature:synthetic, made for a bench:0"
        yield RunSpec(system, dataset, size, model, data, top_k=top_k, embedder=embedder, draws=DRAWS[size])


def _write_run(results: Path, spec: RunSpec, answers: int, *, packed: bool) -> Path:
    writer = RunWriter(results, spec)
    file = results / f"{writer.run_id}.zip"
    if file.is_file() or writer.folder.summary.is_file():
        return file if file.is_file() else writer.folder.path
    chance = Random(writer.run_id)  # noqa: S311 (not a secret)
    with writer, LineWriter(writer.folder.scores) as scores:
        model = {"id": spec.model, "label": LABEL, "weights_sha256": f"{LABEL} of {spec.model}"}
        provenance = {"model": model, "threads": 1, "machine": "none: made for a bench", "versions": {"bench": "1"}}
        writer.begin(provenance, traits_of(spec.system))
        for draw in range(spec.draws):
            asked = _draw(spec.dataset, spec.size, draw, max(1, answers // spec.draws))
            writer.add_draw(asked, tokens=1_000 * spec.draws)
            writer.prepared(Prepared(_preparation(spec, chance), bytes=10**6, counts={"chunks": 200}), draw)
            for gold in asked.gold:
                given, row = _answer(spec, gold, chance)
                writer.answer(given, draw)
                scores.append({"draw": draw, "question_id": gold.question_id, "scores": row})
            writer.usage(draw, resident=2 * 10**9, device=None)
    made = {"scorers": dict.fromkeys(sorted(SCORED), LABEL)}
    write_whole(writer.folder.summary, encode(made))
    return pack(writer.folder.path) if packed else writer.folder.path


@lru_cache(maxsize=256)
def _draw(dataset: str, size: str, number: int, questions: int) -> Draw:
    """One draw: the same for all systems and models that are asked about it."""
    chance = Random(f"{dataset} {size} {number}")  # noqa: S311 (not a secret)
    text = " ".join(chance.choices(WORDS, k=CHUNKS * CHUNK // 5))[: CHUNKS * CHUNK]
    documents = tuple(Document(f"{dataset}-{number}-{at}", f"Title {at}", text) for at in range(DOCUMENTS))
    asked, gold = [], []
    for at in range(questions):
        words = chance.choices(WORDS, k=chance.randint(6, 18))
        asked.append(Question(f"{number}-{at:04}", f"What of {' '.join(words)}?", chance.choice(("bridge", "yes-no"))))
        spans = [(Span(chance.choice(documents).id, start, start + 60),) for start in chance.sample(range(7_000), 2)]
        gold.append(Gold(asked[-1].id, (" ".join(words[:2]), words[0]), tuple(spans)))
    source = Source("miniature", "synthetic, made for a bench", "0" * 64)
    return Draw(
        Corpus(f"{dataset}-{size}-{number}", dataset, size, number, documents, tuple(asked), source), tuple(gold)
    )


def _preparation(spec: RunSpec, chance: Random) -> dict[str, float]:
    if spec.system == "cag":
        return {"tokenize": 0.1, "prefill": 5 + chance.random()}
    return {"chunk": 0.01, "index": 0.1 + chance.random() / 10} if spec.top_k else {"tokenize": 0.1}


def _answer(spec: RunSpec, gold: Gold, chance: Random) -> tuple[Answer, dict[str, float | None]]:
    """An answer of varied text and times, and its scores; one of 200 failed."""
    if chance.random() < 0.005:
        failed = Answer(gold.question_id, "", "error", error="out of memory")
        return failed, {name: None if name in _RETRIEVAL and not spec.top_k else 0.0 for name in SCORED}
    skill = 0.3 + 0.05 * SYSTEMS.index((spec.system, spec.top_k)) / 2
    right = chance.random() < min(skill, 0.9)
    text = gold.references[0] if right else " ".join(chance.choices(WORDS, k=chance.randint(1, 6)))
    raw = text if chance.random() < 0.5 else f"{' '.join(chance.choices(WORDS, k=chance.randint(5, 40)))}: {text}"
    ids = tuple(chance.choices(range(49_152), k=2 * len(raw.split())))
    finish: Finish = "length" if chance.random() < 0.02 else "eos"
    total = math.exp(chance.gauss(-1.0, 0.4))
    times = Timings(0.1 * total if spec.top_k else 0.0, 0.3 * total, 0.5 * total, 0.4 * total, total)
    prompt = 100 + 200 * (spec.top_k or 40)
    given = Answer(
        gold.question_id,
        text,
        finish,
        raw,
        TokenCounts(prompt, prompt - 100, len(ids)),
        times,
        _chunks(spec, gold, chance),
        ids,
    )
    return given, _scores(spec, chance, right=right)


def _chunks(spec: RunSpec, gold: Gold, chance: Random) -> tuple[Retrieved, ...]:
    stem = gold.evidence[0][0].document_id.rpartition("-")[0]
    places = chance.sample(range(DOCUMENTS * CHUNKS), spec.top_k or 0)
    found = (divmod(place, CHUNKS) for place in places)
    return tuple(
        Retrieved(f"{stem}-{document}", CHUNK * chunk, CHUNK * (chunk + 1), 10.0 - rank + chance.random())
        for rank, (document, chunk) in enumerate(found)
    )


_RETRIEVAL = {value.name for value in USUAL if value.of == "retrieval"}


def _scores(spec: RunSpec, chance: Random, *, right: bool) -> dict[str, float | None]:
    scores: dict[str, Any] = {name: round(chance.uniform(0.7, 1.0) if right else chance.random(), 6) for name in SCORED}
    scores |= {"em": float(right), "f1": 1.0 if right else chance.choice((0.0, 0.25, 0.4, 0.5))}
    if not spec.top_k:
        scores |= dict.fromkeys(_RETRIEVAL)
    return {name: scores[name] for name in sorted(scores)}

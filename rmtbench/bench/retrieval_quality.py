"""How well each retriever finds the evidence: recall and reciprocal rank on a data set's questions, without a model.

It works on any data whose questions name their evidence. All retrievers search the same chunks.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from statistics import fmean
from typing import Any

from rmtbench.analysis.stats.clustered import clustered_standard_error
from rmtbench.bench.figures import Figures
from rmtbench.core import Answer, Corpus, Draw, Gold, Question, Retrieved
from rmtbench.corpora.base import DrawRequest
from rmtbench.corpora.open import open_dataset
from rmtbench.errors import UserError
from rmtbench.models.base import Reranker
from rmtbench.models.load import load_token_counter, load_tokenizer
from rmtbench.options import flag
from rmtbench.options.benches import QualityBench
from rmtbench.retrieval.base import Chunk, Hit, Index
from rmtbench.retrieval.bm25 import FastBM25Index
from rmtbench.retrieval.chunks import Split, chunk_documents
from rmtbench.retrieval.dense import build_dense
from rmtbench.retrieval.fusion import FusedIndex
from rmtbench.retrieval.rerank import RerankedIndex
from rmtbench.retrieval.words import Words
from rmtbench.runs.provenance import surroundings
from rmtbench.scoring.base import Item
from rmtbench.scoring.retrieval import retrieval_scores

DEPTHS = (1, 3, 5, 10)
"""Numbers of chunks at which recall is measured. Reciprocal ranks are within the last one."""

TOKENIZER = "random:tiny"
"""Model whose tokenizer cuts the chunks: MiniLM's English WordPiece."""
SPLIT: Split = "sentence"
"""Where a chunk may end."""
OVERLAP = 0
"""Tokens that a chunk repeats of the one before."""
LANGUAGE = "english"
"""Language of stems and stop words."""
CANDIDATES = 50
"""Chunks that a reranker judges."""
SEED = 0
"""Seed of the draws."""


@dataclass(frozen=True, slots=True)
class RetrieverRow:
    """What one retriever finds.

    Attributes:
        retriever: Its name.
        recall: Share of a question's facts that are found, by number of chunks.
        mrr: Mean of 1 / rank of the first chunk with evidence, within the last of `DEPTHS`.
        standard_error: Of recall at 5, clustered by draw; None for one draw.
    """

    retriever: str
    recall: Mapping[int, float]
    mrr: float
    standard_error: float | None

    def to_json(self) -> dict[str, Any]:
        """Return the row as JSON values, recall by the name of its depth."""
        recall = {f"recall@{depth}": share for depth, share in self.recall.items()}
        return {"retriever": self.retriever, **recall, "mrr": self.mrr, "recall@5_standard_error": self.standard_error}


@dataclass(frozen=True, slots=True)
class Gain:
    """Recall at 5 of a fusion minus that of its better part, with the standard error by draw."""

    better: str
    difference: float
    standard_error: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class QualityFigures(Figures):
    """What `run` measured.

    Attributes:
        source: Kind, name and hash of the data.
        questions: Number of questions with evidence, in all draws.
        questions_without_evidence: Number of questions that were skipped.
        chunks: Number of chunks in all draws.
        windows: Number of windows that were embedded; None if chunks were not cut.
        rows: One for each retriever.
    """

    dataset: str
    source: str
    size: str
    draws: int
    seed: int
    questions: int
    questions_without_evidence: int
    chunks: int
    windows: int | None
    chunk_tokens: int
    overlap: int
    split: Split
    tokenizer: str
    language: str
    embedder: Mapping[str, Any]
    reranker: Mapping[str, Any] | None
    rows: Sequence[RetrieverRow]
    hybrid_over_better: Gain
    hybrid_stemmed_over_better: Gain

    def to_json(self) -> dict[str, Any]:
        """Return the fields as JSON values."""
        return {**Figures.to_json(self), "rows": [row.to_json() for row in self.rows]}


@dataclass(frozen=True, slots=True)
class _Found:
    """One question's figures by retriever, and its draw."""

    draw: int
    values: dict[str, dict[str, float]]


def run(asked: QualityBench, *, report: Callable[[str], None] = lambda _line: None) -> QualityFigures:
    """Search for the evidence of every question of some draws with every retriever.

    Args:
        asked: A data set that has a miniature is the miniature if no official files are named.
        report: Gets a line for each draw.

    Raises:
        UserError: The data is missing, or no question has evidence.
    """
    from rmtbench.models.embed import load_embedder

    data = open_dataset(asked.dataset, asked.data_dir, os.environ, generated=asked.data_dir is None)
    count, encode = load_token_counter(TOKENIZER), partial(load_tokenizer(TOKENIZER).encode, add_special_tokens=False)
    vectors, judge = load_embedder(asked.embedder), _load_reranker(asked.reranker)
    found: list[_Found] = []
    cut = embedded = without = 0
    for number in range(asked.draws):
        draw = data.draw(DrawRequest(asked.size, number, SEED, asked.questions), count)
        chunks = chunk_documents(draw.corpus.documents, encode, asked.chunk_tokens, OVERLAP, SPLIT)
        dense = build_dense(chunks, vectors, windows=asked.embed_windows)
        measured = _measure(draw, chunks, _indexes(chunks, dense, judge))
        found += measured
        cut, embedded = cut + len(chunks), embedded + dense.vectors
        without += len(draw.corpus.questions) - len(measured)
        report(f"draw {number}: {len(chunks)} chunks, {len(measured)} questions with evidence")
    if not found:
        where = f"{flag.dataset} {asked.dataset}"
        raise UserError("no question has evidence", where=where, remedy="choose data that names it")
    return QualityFigures(
        dataset=asked.dataset,
        source=f"{data.source.kind}:{data.source.name}@{data.source.sha256[:16]}",
        size=asked.size,
        draws=asked.draws,
        seed=SEED,
        questions=len(found),
        questions_without_evidence=without,
        chunks=cut,
        windows=embedded if asked.embed_windows else None,
        chunk_tokens=asked.chunk_tokens,
        overlap=OVERLAP,
        split=SPLIT,
        tokenizer=TOKENIZER,
        language=LANGUAGE,
        embedder={"name": vectors.name, "sha256": vectors.sha256, "max_tokens": vectors.max_tokens},
        reranker=None if judge is None else {"name": judge.name, "sha256": judge.sha256, "candidates": CANDIDATES},
        rows=[_row(name, found) for name in found[0].values],
        hybrid_over_better=_over_better("hybrid", ("sparse", "dense"), found),
        hybrid_stemmed_over_better=_over_better("hybrid, stemmed", ("sparse, stemmed", "dense"), found),
        made_by=surroundings("cpu"),
    )


def _load_reranker(name: str | None) -> Reranker | None:
    if name is None:
        return None
    from rmtbench.models.rerank import CrossEncoder

    return CrossEncoder(name)


def _indexes(chunks: Sequence[Chunk], dense: Index, reranker: Reranker | None) -> dict[str, Index]:
    sparse, stemmed = FastBM25Index(chunks), FastBM25Index(chunks, Words(LANGUAGE, LANGUAGE))
    indexes: dict[str, Index] = {
        "sparse": sparse,
        "sparse, stemmed": stemmed,
        "dense": dense,
        "hybrid": FusedIndex([sparse, dense]),
        "hybrid, stemmed": FusedIndex([stemmed, dense]),
    }
    if reranker is not None:
        indexes["hybrid, reranked"] = RerankedIndex(indexes["hybrid"], chunks, reranker, CANDIDATES)
    return indexes


def _measure(draw: Draw, chunks: Sequence[Chunk], indexes: dict[str, Index]) -> list[_Found]:
    corpus: Corpus = draw.corpus
    told = [(question, gold) for question, gold in zip(corpus.questions, draw.gold, strict=True) if gold.evidence]
    texts = [question.text for question, _ in told]
    ranked = {name: index.search(texts, DEPTHS[-1]) if texts else [] for name, index in indexes.items()}
    found = []
    for number, (question, gold) in enumerate(told):
        values = {name: _values(corpus, question, gold, chunks, hits[number]) for name, hits in ranked.items()}
        found.append(_Found(corpus.draw, values))
    return found


def _values(
    corpus: Corpus, question: Question, gold: Gold, chunks: Sequence[Chunk], hits: Sequence[Hit]
) -> dict[str, float]:
    scores = {}
    for depth in DEPTHS:
        item = Item(corpus.dataset, _answer(question, chunks, hits[:depth]), gold, retrieves=True)
        scores[depth] = retrieval_scores(item)
    values = {f"recall@{depth}": scores[depth]["recall"] or 0.0 for depth in DEPTHS}
    return values | {"mrr": scores[DEPTHS[-1]]["reciprocal_rank"] or 0.0}


def _answer(question: Question, chunks: Sequence[Chunk], hits: Sequence[Hit]) -> Answer:
    """The answer as a run's journal would hold it. Only its chunks count here."""
    found = [(chunks[hit.position], hit.score) for hit in hits]
    spans = tuple(Retrieved(chunk.document_id, chunk.start, chunk.end, score) for chunk, score in found)
    return Answer(question.id, "", "eos", retrieved=spans)


def _row(name: str, found: Sequence[_Found]) -> RetrieverRow:
    values = [each.values[name] for each in found]
    recall = {depth: fmean(each[f"recall@{depth}"] for each in values) for depth in DEPTHS}
    return RetrieverRow(name, recall, fmean(each["mrr"] for each in values), _error(values, found))


def _over_better(name: str, parts: tuple[str, str], found: Sequence[_Found]) -> Gain:
    """Recall at 5 of a fusion minus that of its better part, question by question."""
    means = {part: fmean(each.values[part]["recall@5"] for each in found) for part in parts}
    better = max(parts, key=lambda part: means[part])
    differences = [{"recall@5": each.values[name]["recall@5"] - each.values[better]["recall@5"]} for each in found]
    mean = fmean(each["recall@5"] for each in differences)
    return Gain(better, mean, _error(differences, found))


def _error(values: Sequence[dict[str, float]], found: Sequence[_Found]) -> float | None:
    groups: dict[int, list[float]] = {}
    for value, each in zip(values, found, strict=True):
        groups.setdefault(each.draw, []).append(value["recall@5"])
    return clustered_standard_error(list(groups.values())) if len(groups) > 1 else None

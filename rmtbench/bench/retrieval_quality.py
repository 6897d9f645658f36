"""How well each retrieval finds the evidence: recall and reciprocal rank on a data set's own questions, no model asked.

Works on any data whose questions name their evidence; all retrievers search the same chunks.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from statistics import fmean
from typing import Any

from rmtbench.analysis.stats.clustered import clustered_standard_error
from rmtbench.bench.figures import Figures
from rmtbench.core import Answer, Corpus, Draw, Gold, Question, Retrieved
from rmtbench.corpora.base import DrawRequest
from rmtbench.corpora.open import open_dataset
from rmtbench.errors import UserError
from rmtbench.models.base import Embedder, Reranker
from rmtbench.models.load import load_token_counter, load_tokenizer
from rmtbench.retrieval.base import Chunk, Hit, Index
from rmtbench.retrieval.bm25 import FastBM25Index
from rmtbench.retrieval.chunks import Split, chunk_documents
from rmtbench.retrieval.dense import DenseIndex, embed_chunks
from rmtbench.retrieval.fusion import FusedIndex
from rmtbench.retrieval.rerank import RerankedIndex
from rmtbench.retrieval.windows import cut_chunks, whole_chunks
from rmtbench.retrieval.words import Words
from rmtbench.runs.provenance import surroundings
from rmtbench.scoring.base import Item
from rmtbench.scoring.retrieval import retrieval_scores

DEPTHS = (1, 3, 5, 10)
"""Numbers of chunks at which recall is measured; reciprocal ranks are those within the last."""


@dataclass(frozen=True, slots=True)
class RetrieverRow:
    """What one retriever finds.

    Attributes:
        retriever: Its name.
        recall: Share of a question's facts that are found, by number of chunks.
        mrr: Mean of 1 / rank of the first chunk with evidence, within the deepest number.
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
    """Recall at 5 of a fusion above that of its better part, which is named, with the standard error by draw."""

    better: str
    difference: float
    standard_error: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class QualityFigures(Figures):
    """What `run` measured.

    Attributes:
        source: Kind, name and hash of the data.
        questions: Those with evidence, of all draws.
        questions_without_evidence: Those left out.
        chunks: Of all draws.
        windows: Windows that were embedded; None where chunks were not cut.
        rows: One a retriever.
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
    """One question's figures by retriever, and the draw it belongs to."""

    draw: int
    values: dict[str, dict[str, float]]


def run(  # many: the command's options
    *,
    dataset: str,
    data_dir: Path | None = None,
    generated: bool = False,
    size: str = "small",
    draws: int = 1,
    questions: int | None = None,
    tokenizer: str = "random:tiny",
    chunk_tokens: int = 512,
    overlap: int = 0,
    split: Split = "sentence",
    language: str = "english",
    embedder: str = "minilm",
    windows: bool = True,
    reranker: str | None = None,
    candidates: int = 50,
    seed: int = 0,
    report: Callable[[str], None] = lambda _line: None,
) -> QualityFigures:
    """Search for the evidence of every question of some draws with every retriever.

    Args:
        dataset: As ``--dataset``.
        data_dir: As ``--data-dir``.
        generated: Whether the miniature is meant where no files are named.
        size: Size of a draw.
        draws: How many draws.
        questions: At most so many questions a draw.
        tokenizer: Model whose tokenizer cuts the chunks; that of ``random:tiny`` is MiniLM's English WordPiece.
        chunk_tokens: Longest chunk.
        overlap: Tokens that a chunk repeats of the one before.
        split: Where a chunk may end.
        language: Of stemming and stop words.
        embedder: As ``--embedder``.
        windows: As ``--set embed-windows``.
        reranker: As ``--reranker``; None for none.
        candidates: Chunks that it judges.
        seed: Seed of the draws.
        report: Told a line a draw.

    Raises:
        UserError: The data is missing, or no question has evidence.
    """
    from rmtbench.models.embed import load_embedder

    data = open_dataset(dataset, data_dir, os.environ, generated=generated)
    count, encode = load_token_counter(tokenizer), partial(load_tokenizer(tokenizer).encode, add_special_tokens=False)
    vectors, judge = load_embedder(embedder), _load_reranker(reranker)
    found: list[_Found] = []
    cut = embedded = without = 0
    for number in range(draws):
        draw = data.draw(DrawRequest(size, number, seed, questions), count)
        chunks = chunk_documents(draw.corpus.documents, encode, chunk_tokens, overlap, split)
        dense = _dense_index(chunks, vectors, windows=windows)
        asked = _measure(draw, chunks, _indexes(chunks, dense, Words(language, language), judge, candidates))
        found += asked
        cut, embedded = cut + len(chunks), embedded + dense.vectors
        without += len(draw.corpus.questions) - len(asked)
        report(f"draw {number}: {len(chunks)} chunks, {len(asked)} questions with evidence")
    if not found:
        raise UserError("no question has evidence", where=f"--dataset {dataset}", remedy="choose data that names it")
    return QualityFigures(
        dataset=dataset,
        source=f"{data.source.kind}:{data.source.name}@{data.source.sha256[:16]}",
        size=size,
        draws=draws,
        seed=seed,
        questions=len(found),
        questions_without_evidence=without,
        chunks=cut,
        windows=embedded if windows else None,
        chunk_tokens=chunk_tokens,
        overlap=overlap,
        split=split,
        tokenizer=tokenizer,
        language=language,
        embedder={"name": vectors.name, "sha256": vectors.sha256, "max_tokens": vectors.max_tokens},
        reranker=None if judge is None else {"name": judge.name, "sha256": judge.sha256, "candidates": candidates},
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


def _dense_index(chunks: Sequence[Chunk], embedder: Embedder, *, windows: bool) -> DenseIndex:
    cut = cut_chunks(chunks, embedder) if windows else whole_chunks(chunks)
    return DenseIndex(embed_chunks(cut.parts, embedder), embedder, cut.starts)


def _indexes(
    chunks: Sequence[Chunk], dense: Index, words: Words, reranker: Reranker | None, candidates: int
) -> dict[str, Index]:
    sparse, stemmed = FastBM25Index(chunks), FastBM25Index(chunks, words)
    indexes: dict[str, Index] = {
        "sparse": sparse,
        "sparse, stemmed": stemmed,
        "dense": dense,
        "hybrid": FusedIndex([sparse, dense]),
        "hybrid, stemmed": FusedIndex([stemmed, dense]),
    }
    if reranker is not None:
        indexes["hybrid, reranked"] = RerankedIndex(indexes["hybrid"], chunks, reranker, candidates)
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
    """What a run would have in its journal: the chunks alone count here."""
    found = [(chunks[hit.position], hit.score) for hit in hits]
    spans = tuple(Retrieved(chunk.document_id, chunk.start, chunk.end, score) for chunk, score in found)
    return Answer(question.id, "", "eos", retrieved=spans)


def _row(name: str, found: Sequence[_Found]) -> RetrieverRow:
    values = [each.values[name] for each in found]
    recall = {depth: fmean(each[f"recall@{depth}"] for each in values) for depth in DEPTHS}
    return RetrieverRow(name, recall, fmean(each["mrr"] for each in values), _error(values, found))


def _over_better(name: str, parts: tuple[str, str], found: Sequence[_Found]) -> Gain:
    """Recall@5 of a fusion above the better of its parts, question by question."""
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

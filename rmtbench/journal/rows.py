"""Nouns to JSON rows and back. The field names here are the file format; see `docs/results.md`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from rmtbench.core import (
    Answer,
    Corpus,
    Gold,
    Prepared,
    Question,
    Retrieved,
    RunSpec,
    Span,
    Timings,
    TokenCounts,
)
from rmtbench.errors import UserError


def spec_to_row(spec: RunSpec) -> dict[str, Any]:
    """All fields of a spec as JSON values."""
    return asdict(spec) | {"settings": dict(spec.settings)}


def spec_from_row(row: Mapping[str, Any], where: str) -> RunSpec:
    """A spec from its JSON values.

    Raises:
        UserError: A field is missing, unknown or out of range.
    """
    try:
        settings = tuple(sorted((str(key), str(value)) for key, value in row["settings"].items()))
        return RunSpec(**{**row, "settings": settings})
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise _damaged(where, error) from error


def answer_to_row(answer: Answer, draw: int, session: int) -> dict[str, Any]:
    """One answer as a journal row; `draw` tells its corpus, `session` the process that made it."""
    return {
        "draw": draw,
        "question_id": answer.question_id,
        "text": answer.text,
        "raw": answer.raw,
        "finish": answer.finish,
        "error": answer.error,
        "tokens": asdict(answer.tokens),
        "timings": {name: round(value, 7) for name, value in asdict(answer.timings).items()},
        "retrieved": [[chunk.document_id, chunk.start, chunk.end, chunk.score] for chunk in answer.retrieved],
        "output_ids": list(answer.output_ids),
        "warmup": answer.warmup,
        "session": session,
    }


def answer_from_row(row: Mapping[str, Any], where: str) -> Answer:
    """One answer from a journal row.

    Raises:
        UserError: A field is missing or of the wrong type.
    """
    try:
        return Answer(
            question_id=row["question_id"],
            text=row["text"],
            raw=row["raw"],
            finish=row["finish"],
            error=row["error"],
            tokens=TokenCounts(**row["tokens"]),
            timings=Timings(**row["timings"]),
            retrieved=tuple(Retrieved(*chunk) for chunk in row["retrieved"]),
            output_ids=tuple(row["output_ids"]),
            warmup=row["warmup"],
        )
    except (KeyError, TypeError, ValueError) as error:
        raise _damaged(where, error) from error


def gold_to_row(gold: Gold, question: Question, draw: int) -> dict[str, Any]:
    """A question with its gold, so that rescoring needs no data set."""
    return {
        "draw": draw,
        "question_id": gold.question_id,
        "question": question.text,
        "kind": question.kind,
        "references": list(gold.references),
        "evidence": [[[span.document_id, span.start, span.end] for span in spans] for spans in gold.evidence],
    }


def gold_from_row(row: Mapping[str, Any], where: str) -> tuple[int, Question, Gold]:
    """Draw number, question and gold from their row.

    Raises:
        UserError: A field is missing or of the wrong type.
    """
    try:
        evidence = tuple(tuple(Span(*span) for span in spans) for spans in row["evidence"])
        gold = Gold(row["question_id"], tuple(row["references"]), evidence)
        return row["draw"], Question(row["question_id"], row["question"], row["kind"]), gold
    except (KeyError, TypeError, ValueError) as error:
        raise _damaged(where, error) from error


def corpus_to_row(corpus: Corpus, tokens: int) -> dict[str, Any]:
    """Identity and size of one draw; `tokens` counts its documents with the run's tokenizer."""
    return {
        "id": corpus.id,
        "dataset": corpus.dataset,
        "size": corpus.size,
        "draw": corpus.draw,
        "documents": len(corpus.documents),
        "questions": len(corpus.questions),
        "tokens": tokens,
        "sha256": corpus.sha256,
        "source": asdict(corpus.source),
    }


def prepared_to_row(prepared: Prepared, draw: int, session: int) -> dict[str, Any]:
    """What preparing one draw cost, in one process."""
    return {
        "draw": draw,
        "session": session,
        "seconds": {name: round(value, 7) for name, value in prepared.seconds.items()},
        "bytes": prepared.bytes,
        "tokens": prepared.tokens,
        "shared": prepared.shared,
    }


def prepared_from_row(row: Mapping[str, Any], where: str) -> tuple[int, Prepared]:
    """Draw number and preparation from their row.

    Raises:
        UserError: A field is missing.
    """
    try:
        return row["draw"], Prepared(row["seconds"], row["bytes"], row["tokens"], row["shared"])
    except KeyError as error:
        raise _damaged(where, error) from error


def _damaged(where: str, error: Exception) -> UserError:
    return UserError(
        f"damaged row ({type(error).__name__}: {error})",
        where=where,
        remedy="start that run anew with --fresh",
    )

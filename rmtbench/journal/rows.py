"""Nouns to JSON rows and back. The field names here are the file format; see `docs/reference/files.md`.

Every reader raises a `UserError` with file and line where a field is missing, of the wrong type or out of
range.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, fields
from functools import wraps
from types import NoneType
from typing import Any, TypeVar, cast, get_args

from rmtbench.core import (
    MARKERS,
    Answer,
    Colour,
    Corpus,
    Gold,
    MetricValue,
    Prepared,
    Question,
    Retrieved,
    RunSpec,
    Source,
    Span,
    SystemFamily,
    SystemTraits,
    Timings,
    TokenCounts,
)
from rmtbench.journal.checks import NUMBER, NUMBERS, check_numbers, check_texts, damaged, number_of, text_of
from rmtbench.options.identity import RunOptions

T = TypeVar("T")

_SCORES = NUMBERS | {type(None)}
_KINDS: Mapping[str, tuple[type, ...]] = {
    "str": (str,), "str | None": (str, NoneType), "int": (int,), "int | None": (int, NoneType), "AnswerStyle": (str,),
}  # fmt: skip
_SPEC_TYPES = {each.name: _KINDS[str(each.type)] for each in fields(RunSpec) if str(each.type) in _KINDS}
"""Of each field of a spec, the types that it may have in a file."""
UNKNOWN_TOKENS = frozenset({"cached", "reasoning"})
UNKNOWN_TIMES = frozenset({"prefill", "first_token", "decode"})
"""Counts and times of an answer that are null where a server does not tell them."""


def _checked(read: Callable[[Mapping[str, Any]], T]) -> Callable[[Mapping[str, Any], str], T]:
    """Return a reader of rows that also gets file and line, and names them where a row makes no sense."""

    @wraps(read)
    def named(row: Mapping[str, Any], where: str) -> T:
        try:
            return read(row)
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise damaged(where, error) from error

    return named


def spec_to_row(spec: RunSpec) -> dict[str, Any]:
    """All fields of a spec as JSON values; `adapter` only where there is one, so that other runs keep their names."""
    row = {name: value for name, value in asdict(spec).items() if name != "options"}
    row["settings"] = dict(spec.settings)
    if spec.adapter is None:
        del row["adapter"]
    return row


@_checked
def spec_from_row(row: Mapping[str, Any]) -> RunSpec:
    """A spec from its JSON values."""
    given = {name: value for name, value in row.items() if name != "settings"}
    _check_types(given)
    return RunSpec(**given, options=RunOptions.read(dict(row["settings"].items())))


def _check_types(given: Mapping[str, Any]) -> None:
    for name, value in given.items():
        if name in _SPEC_TYPES and type(value) not in _SPEC_TYPES[name]:
            raise TypeError(f"field {name!r} is {type(value).__name__}")


def answer_to_row(answer: Answer, draw: int, session: int) -> dict[str, Any]:
    """One answer as a journal row; `draw` tells its corpus, `session` the process that made it."""
    return {
        "draw": draw,
        "question_id": answer.question_id,
        "text": answer.text,
        "raw": answer.raw,
        "reasoning": answer.reasoning,
        "finish": answer.finish,
        "finish_reason": answer.finish_reason,
        "error": answer.error,
        "tokens": asdict(answer.tokens),
        "timings": {name: None if value is None else round(value, 7) for name, value in asdict(answer.timings).items()},
        "retrieved": [[chunk.document_id, chunk.start, chunk.end, chunk.score] for chunk in answer.retrieved],
        "output_ids": list(answer.output_ids),
        "warmup": answer.warmup,
        "session": session,
        **({"notes": list(answer.notes), "note_heads": answer.note_heads} if answer.notes else {}),
    }


@_checked
def answer_from_row(row: Mapping[str, Any]) -> Answer:
    """One answer from a journal row."""
    return Answer(
        question_id=text_of(row, "question_id"),
        text=text_of(row, "text"),
        raw=row["raw"],
        finish=row["finish"],
        error=row["error"],
        tokens=TokenCounts(**check_numbers(row["tokens"], may_be_unknown=UNKNOWN_TOKENS)),
        timings=Timings(**check_numbers(row["timings"], may_be_unknown=UNKNOWN_TIMES)),
        retrieved=tuple(Retrieved(*chunk) for chunk in row["retrieved"]),
        output_ids=tuple(row["output_ids"]),
        warmup=row["warmup"],
        reasoning=text_of(row, "reasoning") if "reasoning" in row else "",  # absent in older rows
        finish_reason=row.get("finish_reason"),
        notes=tuple(map(str, row.get("notes", ()))),
        note_heads=number_of(row, "note_heads") if "note_heads" in row else 1,
    )


@_checked
def key_from_row(row: Mapping[str, Any]) -> tuple[int, str]:
    """Draw number and question id, which name one answer within a run."""
    return number_of(row, "draw"), text_of(row, "question_id")


@_checked
def scores_from_row(row: Mapping[str, Any]) -> dict[str, float | None]:
    """Metric values of one answer."""
    values: dict[str, float | None] = dict(row["scores"])
    if not _SCORES.issuperset(map(type, values.values())):
        check_numbers({metric: value for metric, value in values.items() if value is not None})
    return values


@_checked
def value_from_row(row: Mapping[str, Any]) -> MetricValue:
    """What one of the metrics' values is; fields that a later version adds are passed over."""
    order = row.get("order")
    return MetricValue(
        name=text_of(row, "name"),
        label=text_of(row, "label"),
        order=None if order is None else number_of(row, "order"),
        of="retrieval" if row.get("of") == "retrieval" else "answers",
        beside=text_of(row, "beside") if "beside" in row else "",
        missing=text_of(row, "missing") if "missing" in row else "",
    )


def system_to_row(system: SystemTraits) -> dict[str, Any]:
    """What tables must know of a system, as JSON values."""
    return asdict(system) | {"needs": sorted(system.needs)}


@_checked
def system_from_row(row: Mapping[str, Any]) -> SystemTraits:
    """What tables must know of a system; what a later version adds to fields or values is passed over."""
    order = row.get("order")
    family, colour, marker = row.get("family"), row.get("colour"), str(row.get("marker") or "")
    return SystemTraits(
        name=text_of(row, "name"),
        needs=frozenset(str(need) for need in row.get("needs", ())),
        label=text_of(row, "label") if "label" in row else "",
        order=None if order is None else number_of(row, "order"),
        family=cast("SystemFamily", family) if family in get_args(SystemFamily) else "other",
        colour=cast("Colour", colour) if colour in get_args(Colour) else "black",
        marker=marker if marker and marker in MARKERS else "d",
        twin=text_of(row, "twin") if "twin" in row else "",
    )


def accounts_from_row(row: Mapping[str, Any], where: str) -> dict[str, Mapping[str, Any]]:
    """What making some metrics took, by metric; nothing in a summary that was written without."""
    accounts = row.get("accounts", {})
    if not isinstance(accounts, dict) or not all(isinstance(each, dict) for each in accounts.values()):
        raise damaged(where, "field 'accounts' holds something else than an object for each metric")
    return accounts


def gold_to_row(gold: Gold, question: Question, draw: int, positions: Sequence[float] = ()) -> dict[str, Any]:
    """A question with its gold, so that rescoring needs no data set; `positions` are those of `evidence_positions`."""
    return {
        "draw": draw,
        "question_id": gold.question_id,
        "question": question.text,
        "kind": question.kind,
        "references": list(gold.references),
        "evidence": [[[span.document_id, span.start, span.end] for span in spans] for spans in gold.evidence],
        "positions": list(positions),
    }


@_checked
def gold_from_row(row: Mapping[str, Any]) -> tuple[int, Question, Gold]:
    """Draw number, question and gold from their row."""
    evidence = tuple(tuple(Span(*span) for span in spans) for spans in row["evidence"])
    check_texts("references", row["references"])
    gold = Gold(text_of(row, "question_id"), tuple(row["references"]), evidence)
    return number_of(row, "draw"), Question(gold.question_id, text_of(row, "question"), row["kind"]), gold


def positions_from_row(row: Mapping[str, Any], where: str) -> tuple[float, ...]:
    """Where a question's facts stand in its corpus; none in a row that was written before positions were kept."""
    positions = row.get("positions", [])
    if not isinstance(positions, list) or not all(isinstance(each, NUMBER) and 0 <= each <= 1 for each in positions):
        raise damaged(where, f"positions are shares from 0 to 1, not {positions!r}")
    return tuple(map(float, positions))


def evidence_positions(corpus: Corpus, gold: Gold) -> tuple[float, ...]:
    """Where the first span of each supporting fact begins: from 0, the corpus's first character, to 1, its last.

    Args:
        corpus: The documents in the order in which a system reads them; titles are not counted.
        gold: Evidence within them.

    Returns:
        One share a fact; none where a span names no document of the corpus.
    """
    starts: dict[str, int] = {}
    total = 0
    for document in corpus.documents:
        starts[document.id] = total
        total += len(document.text)
    if not all(spans[0].document_id in starts for spans in gold.evidence):
        return ()
    return tuple(round((starts[spans[0].document_id] + spans[0].start) / max(total, 1), 4) for spans in gold.evidence)


def corpus_to_row(corpus: Corpus, tokens: int | None) -> dict[str, Any]:
    """Identity and size of one draw; `tokens` counts its documents with the run's tokenizer, None without one."""
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


@_checked
def corpus_from_row(row: Mapping[str, Any]) -> dict[str, Any]:
    """Identity and size of one draw, its fields checked; the documents themselves are not kept with a run."""
    for name in ("draw", "documents", "questions"):
        number_of(row, name)
    if row["tokens"] is not None:  # no tokenizer counted them
        number_of(row, "tokens")
    for name in ("id", "sha256"):
        text_of(row, name)
    Source(**row["source"])
    check_texts("source", row["source"].values())
    return dict(row)


def prepared_to_row(prepared: Prepared, draw: int, session: int) -> dict[str, Any]:
    """What preparing one draw cost, in one process."""
    return {
        "draw": draw,
        "session": session,
        "seconds": {name: round(value, 7) for name, value in prepared.seconds.items()},
        "bytes": prepared.bytes,
        "tokens": prepared.tokens,
        "shared": prepared.shared,
        "counts": dict(prepared.counts),
    }


@_checked
def prepared_from_row(row: Mapping[str, Any]) -> tuple[int, Prepared]:
    """Draw number and preparation from their row."""
    seconds, counts = (check_numbers(dict(row[name])) for name in ("seconds", "counts"))
    return number_of(row, "draw"), Prepared(
        seconds, number_of(row, "bytes"), number_of(row, "tokens"), row["shared"], counts
    )


@_checked
def provenance_from_row(row: Mapping[str, Any]) -> dict[str, Any]:
    """Provenance of one process."""
    return dict(row["provenance"])


@_checked
def usage_from_row(row: Mapping[str, Any]) -> tuple[int | None, int | None]:
    """Most bytes taken during one draw, resident and on the device; None where not measured."""
    resident, device = (
        None if row[name] is None else number_of(row, name) for name in ("peak_resident_bytes", "peak_device_bytes")
    )
    return resident, device

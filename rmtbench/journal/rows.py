"""Nouns to JSON rows and back. The field names here are the file format; see `docs/reference/files.md`."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, fields
from types import NoneType
from typing import Any, cast, get_args

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
from rmtbench.errors import UserError
from rmtbench.options.identity import RunOptions

_NUMBER = (int, float)  # made once: `int | float` would be made anew for every value of every row
_NUMBERS = frozenset((int, float, bool))  # truth values are whole numbers
_SCORES = _NUMBERS | {type(None)}
_KINDS: Mapping[str, tuple[type, ...]] = {
    "str": (str,), "str | None": (str, NoneType), "int": (int,), "int | None": (int, NoneType), "AnswerStyle": (str,),
}  # fmt: skip
_SPEC_TYPES = {each.name: _KINDS[str(each.type)] for each in fields(RunSpec) if str(each.type) in _KINDS}
"""Of each field of a spec, the types that it may have in a file."""
UNKNOWN_TOKENS = frozenset({"cached", "reasoning"})
UNKNOWN_TIMES = frozenset({"prefill", "first_token", "decode"})
"""Counts and times of an answer that are null where a server does not tell them."""


def spec_to_row(spec: RunSpec) -> dict[str, Any]:
    """All fields of a spec as JSON values; `adapter` only where there is one, so that other runs keep their names."""
    row = {name: value for name, value in asdict(spec).items() if name != "options"}
    row["settings"] = dict(spec.settings)
    if spec.adapter is None:
        del row["adapter"]
    return row


def spec_from_row(row: Mapping[str, Any], where: str) -> RunSpec:
    """A spec from its JSON values.

    Raises:
        UserError: A field is missing, unknown or out of range.
    """
    try:
        given = {name: value for name, value in row.items() if name != "settings"}
        _check_types(given)
        return RunSpec(**given, options=RunOptions.read(dict(row["settings"].items())))
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise damaged(where, error) from error


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


def answer_from_row(row: Mapping[str, Any], where: str) -> Answer:
    """One answer from a journal row.

    Raises:
        UserError: A field is missing or of the wrong type.
    """
    try:
        return Answer(
            question_id=_text(row, "question_id"),
            text=_text(row, "text"),
            raw=row["raw"],
            finish=row["finish"],
            error=row["error"],
            tokens=TokenCounts(**_check_numbers(row["tokens"], may_be_unknown=UNKNOWN_TOKENS)),
            timings=Timings(**_check_numbers(row["timings"], may_be_unknown=UNKNOWN_TIMES)),
            retrieved=tuple(Retrieved(*chunk) for chunk in row["retrieved"]),
            output_ids=tuple(row["output_ids"]),
            warmup=row["warmup"],
            reasoning=_text(row, "reasoning") if "reasoning" in row else "",  # absent in older rows
            finish_reason=row.get("finish_reason"),
            notes=tuple(map(str, row.get("notes", ()))),
            note_heads=_number(row, "note_heads") if "note_heads" in row else 1,
        )
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise damaged(where, error) from error


def key_from_row(row: Mapping[str, Any], where: str) -> tuple[int, str]:
    """Draw number and question id, which name one answer within a run.

    Raises:
        UserError: One of them is missing or of the wrong type.
    """
    try:
        return _number(row, "draw"), _text(row, "question_id")
    except (KeyError, TypeError) as error:
        raise damaged(where, error) from error


def scores_from_row(row: Mapping[str, Any], where: str) -> dict[str, float | None]:
    """Metric values of one answer.

    Raises:
        UserError: The field is missing, or a value is neither a number nor null.
    """
    try:
        values: dict[str, float | None] = dict(row["scores"])
        if not _SCORES.issuperset(map(type, values.values())):
            _check_numbers({metric: value for metric, value in values.items() if value is not None})
    except (KeyError, TypeError, ValueError) as error:
        raise damaged(where, error) from error
    return values


def value_from_row(row: Mapping[str, Any], where: str) -> MetricValue:
    """What one of the metrics' values is; fields that a later version adds are passed over.

    Raises:
        UserError: Name or label is missing, or a field is of the wrong type.
    """
    try:
        order = row.get("order")
        return MetricValue(
            name=_text(row, "name"),
            label=_text(row, "label"),
            order=None if order is None else _number(row, "order"),
            of="retrieval" if row.get("of") == "retrieval" else "answers",
            beside=_text(row, "beside") if "beside" in row else "",
            missing=_text(row, "missing") if "missing" in row else "",
        )
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise damaged(where, error) from error


def system_to_row(system: SystemTraits) -> dict[str, Any]:
    """What tables must know of a system, as JSON values."""
    return asdict(system) | {"needs": sorted(system.needs)}


def system_from_row(row: Mapping[str, Any], where: str) -> SystemTraits:
    """What tables must know of a system; fields, families, colours and markers that a later version adds are ignored.

    Raises:
        UserError: The name is missing, or a field is of the wrong type.
    """
    try:
        order = row.get("order")
        family, colour, marker = row.get("family"), row.get("colour"), str(row.get("marker") or "")
        return SystemTraits(
            name=_text(row, "name"),
            needs=frozenset(str(need) for need in row.get("needs", ())),
            label=_text(row, "label") if "label" in row else "",
            order=None if order is None else _number(row, "order"),
            family=cast("SystemFamily", family) if family in get_args(SystemFamily) else "other",
            colour=cast("Colour", colour) if colour in get_args(Colour) else "black",
            marker=marker if marker and marker in MARKERS else "d",
            twin=_text(row, "twin") if "twin" in row else "",
        )
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise damaged(where, error) from error


def accounts_from_row(row: Mapping[str, Any], where: str) -> dict[str, Mapping[str, Any]]:
    """What making some metrics took, by metric; nothing in a summary that was written without.

    Raises:
        UserError: It is no object of objects.
    """
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


def gold_from_row(row: Mapping[str, Any], where: str) -> tuple[int, Question, Gold]:
    """Draw number, question and gold from their row.

    Raises:
        UserError: A field is missing or of the wrong type.
    """
    try:
        evidence = tuple(tuple(Span(*span) for span in spans) for spans in row["evidence"])
        _check_texts("references", row["references"])
        gold = Gold(_text(row, "question_id"), tuple(row["references"]), evidence)
        return _number(row, "draw"), Question(gold.question_id, _text(row, "question"), row["kind"]), gold
    except (KeyError, TypeError, ValueError) as error:
        raise damaged(where, error) from error


def positions_from_row(row: Mapping[str, Any], where: str) -> tuple[float, ...]:
    """Where a question's facts stand in its corpus; none in a row that was written before positions were kept.

    Raises:
        UserError: A position is not from 0 to 1.
    """
    positions = row.get("positions", [])
    if not isinstance(positions, list) or not all(isinstance(each, _NUMBER) and 0 <= each <= 1 for each in positions):
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


def corpus_from_row(row: Mapping[str, Any], where: str) -> dict[str, Any]:
    """Identity and size of one draw, its fields checked; the documents themselves are not kept with a run.

    Raises:
        UserError: A field is missing or of the wrong type.
    """
    try:
        for name in ("draw", "documents", "questions"):
            _number(row, name)
        if row["tokens"] is not None:  # no tokenizer counted them
            _number(row, "tokens")
        for name in ("id", "sha256"):
            _text(row, name)
        Source(**row["source"])
        _check_texts("source", row["source"].values())
        return dict(row)
    except (KeyError, TypeError) as error:
        raise damaged(where, error) from error


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


def prepared_from_row(row: Mapping[str, Any], where: str) -> tuple[int, Prepared]:
    """Draw number and preparation from their row.

    Raises:
        UserError: A field is missing or of the wrong type.
    """
    try:
        seconds, counts = (_check_numbers(dict(row[name])) for name in ("seconds", "counts"))
        return _number(row, "draw"), Prepared(
            seconds, _number(row, "bytes"), _number(row, "tokens"), row["shared"], counts
        )
    except (KeyError, TypeError, ValueError) as error:
        raise damaged(where, error) from error


def provenance_from_row(row: Mapping[str, Any], where: str) -> dict[str, Any]:
    """Provenance of one process.

    Raises:
        UserError: The field is missing or of the wrong type.
    """
    try:
        return dict(row["provenance"])
    except (KeyError, TypeError, ValueError) as error:
        raise damaged(where, error) from error


def usage_from_row(row: Mapping[str, Any], where: str) -> tuple[int | None, int | None]:
    """Most bytes taken during one draw, resident and on the device; None where not measured.

    Raises:
        UserError: A field is missing or of the wrong type.
    """
    try:
        resident, device = (
            None if row[name] is None else _number(row, name) for name in ("peak_resident_bytes", "peak_device_bytes")
        )
    except (KeyError, TypeError) as error:
        raise damaged(where, error) from error
    return resident, device


def damaged(where: str, error: Exception | str) -> UserError:
    """The error for a row that is JSON of the right version and still makes no sense.

    Args:
        where: File and line.
        error: What reading it raised, or the reason in words.
    """
    if isinstance(error, KeyError):
        reason = f"field {error} is missing"
    elif isinstance(error, Exception):
        reason = f"{type(error).__name__}: {error}"
    else:
        reason = error
    return UserError(f"damaged row ({reason})", where=where, remedy="start that run anew with --fresh")


def _check_texts(name: str, values: Iterable[object]) -> None:
    if not all(isinstance(value, str) for value in values):
        raise TypeError(f"field {name!r} holds something else than texts")


def _text(row: Mapping[str, Any], name: str) -> str:
    value = row[name]
    if not isinstance(value, str):
        raise TypeError(f"field {name!r} is {type(value).__name__}, not a text")
    return value


def _number(row: Mapping[str, Any], name: str) -> int:
    value = row[name]
    if not isinstance(value, int):
        raise TypeError(f"field {name!r} is {type(value).__name__}, not a whole number")
    return value


def _check_numbers(values: dict[str, Any], may_be_unknown: frozenset[str] = frozenset()) -> dict[str, Any]:
    if _NUMBERS.issuperset(map(type, values.values())):
        return values
    for name, value in values.items():
        if not isinstance(value, _NUMBER) and not (value is None and name in may_be_unknown):
            raise TypeError(f"field {name!r} is {type(value).__name__}, not a number")
    return values

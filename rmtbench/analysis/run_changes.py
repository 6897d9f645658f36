"""What changed from one run to another: fields of spec and provenance, and questions that flipped."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass

from rmtbench.analysis.recorded import NOT_RECORDED
from rmtbench.journal.record import Key, RunRecord
from rmtbench.options.declare import options_of
from rmtbench.options.retrieval import Retrieval

RIGHT = 0.5
"""From this value of the metric on an answer counts as right."""
NOT_USED = "does not apply"
"""In place of a field's value in a run whose system does not use it."""
_RETRIEVAL = {
    f"spec.{'' if option.column else 'options.'}{name}"
    for name, option in options_of(Retrieval).items()
    if option.heeded
}
_PARTS = ("provenance.kernels", "provenance.embedder", "provenance.reranker", "provenance.memory.")
"""What only some systems have."""
_PASSING = {"provenance.started", "provenance.machine.memory_bytes", "provenance.label"}


@dataclass(frozen=True, slots=True)
class FieldChange:
    """A field of the spec or the provenance that differs."""

    field: str
    first: str
    second: str


@dataclass(frozen=True, slots=True)
class Flip:
    """A question that one run has right and the other wrong.

    Attributes:
        draw: Its draw.
        question_id: Its id.
        question: Its text.
        references: The accepted answers.
        first: What the first run answered.
        second: What the second did.
        better: Whether the second is the one that is right.
    """

    draw: int
    question_id: str
    question: str
    references: tuple[str, ...]
    first: str
    second: str
    better: bool


def field_changes(first: RunRecord, second: RunRecord) -> tuple[FieldChange, ...]:
    """Return the fields of spec and provenance that differ, but for those that differ every time."""
    mine, theirs = (
        dict(_flat("spec", asdict(run.spec))) | dict(_flat("provenance", run.provenance)) for run in (first, second)
    )
    names = [
        name for name in dict.fromkeys((*mine, *theirs)) if name not in _PASSING and mine.get(name) != theirs.get(name)
    ]
    told = [
        FieldChange(name, _stated(first, second, mine, name), _stated(second, first, theirs, name)) for name in names
    ]
    return tuple(change for change in told if change.first != change.second)


def _stated(run: RunRecord, other: RunRecord, fields: Mapping[str, str], name: str) -> str:
    """Return a field's value; of a field that only other systems use, that it does not apply."""
    if name in _RETRIEVAL and not run.spec.retrieves:
        return NOT_USED
    absent = NOT_USED if name.startswith(_PARTS) and run.spec.system != other.spec.system else NOT_RECORDED
    return fields.get(name, absent)


def _flat(name: str, value: object) -> Iterator[tuple[str, str]]:
    if isinstance(value, Mapping):
        for inner, each in value.items():
            yield from _flat(f"{name}.{inner}", each)
    else:
        yield name, "none" if value is None else str(value)


def find_flips(
    first: RunRecord,
    second: RunRecord,
    shared: list[Key],
    before: Mapping[Key, float | None],
    after: Mapping[Key, float | None],
) -> list[Flip]:
    """Return the questions that one run has right and the other wrong, those that became wrong first.

    Args:
        first: What is compared with.
        second: What is compared.
        shared: Questions with an answer in both.
        before: The metric's values in the first run; None where it does not apply.
        after: The same of the second.
    """
    flips = []
    for key in shared:
        old, new = before[key], after[key]
        if old is None or new is None or (old >= RIGHT) == (new >= RIGHT):
            continue
        flips.append(
            Flip(
                draw=key[0],
                question_id=key[1],
                question=first.questions[key].text,
                references=first.gold[key].references,
                first=_answer(first, key),
                second=_answer(second, key),
                better=new >= RIGHT,
            )
        )
    return sorted(flips, key=lambda flip: flip.better)


def _answer(run: RunRecord, key: Key) -> str:
    answer = run.answers[key]
    return f"(failed: {answer.error})" if answer.error is not None else answer.text

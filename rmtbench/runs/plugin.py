"""Systems of other packages in the run loop. Their exceptions fail a question or a draw, never the whole command."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from types import TracebackType
from typing import Any, Self

from rmtbench.core import Answer, Corpus, Prepared, Question, RunSpec
from rmtbench.errors import PLUGIN_FAULTS, AnswerError, UserError, first_line
from rmtbench.journal.lines import encode
from rmtbench.journal.rows import answer_from_row, answer_to_row
from rmtbench.models.base import LanguageModel
from rmtbench.models.batches import failed
from rmtbench.systems.base import System, SystemKind, make_answer
from rmtbench.systems.resources import Resources


class PrepareError(Exception):
    """A plugin cannot prepare a draw. Its questions stay unanswered, and the same command tries again."""


class Guarded:
    """A plugin's system, made, entered, prepared, asked and left.

    A `UserError` passes: a server that is gone, for one, is no fault of the plugin's.

    Args:
        kind: The plugin's.
        resources: What its system gets.
        notice: Told what goes wrong when the block is left.

    Raises:
        PrepareError: The plugin cannot make its system.
    """

    def __init__(self, kind: SystemKind, resources: Resources, notice: Callable[[str], None]) -> None:
        self._name, self._notice, self._prepared = kind.name, notice, False
        self._made: System = _tried(lambda: kind.make(resources))
        self._system = self._made

    def __enter__(self) -> Self:
        self._system = _tried(self._made.__enter__)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            self._made.__exit__(kind, error, trace)
        except UserError:
            raise
        except PLUGIN_FAULTS as fault:
            self._notice(f"{self._name} cannot be closed ({first_line(fault)}); its answers are kept")

    def prepare(self, corpus: Corpus) -> Prepared:
        """Prepare the system.

        Raises:
            PrepareError: The plugin raised something, or returned something else.
        """
        prepared = _tried(lambda: self._system.prepare(corpus))
        if not isinstance(prepared, Prepared):
            raise PrepareError(f"prepare returned {type(prepared).__name__}, not Prepared")
        self._prepared = True
        return prepared

    def answer(self, questions: Sequence[Question]) -> Iterator[Answer]:
        """Answer in order. A question whose answer raises fails, and the plugin is asked for the rest.

        Raises:
            RuntimeError: `prepare` was not called.
        """
        if not self._prepared:
            raise RuntimeError("answer before prepare")
        left = list(questions)
        while left:
            try:
                for answer in self._system.answer(tuple(left)):
                    if why := _fault(answer, left):
                        break
                    yield answer
                    left.pop(0)
                else:
                    why = "the plugin gave no answer"
            except UserError:
                raise
            except PLUGIN_FAULTS as error:
                why = str(error) if isinstance(error, AnswerError) else first_line(error)
            if left:
                yield make_answer(left.pop(0), failed(AnswerError(why)), 0.0)


def kernels_of(kind: SystemKind, model: LanguageModel, spec: RunSpec, *, plugin: bool) -> dict[str, Any]:
    """What a kind says of the attention that it reads with; a plugin's fault, where that raises one."""
    try:
        return dict((kind.kernels(model, spec) if kind.kernels is not None else None) or {})
    except PLUGIN_FAULTS as error:
        if not plugin:
            raise
        return {"error": first_line(error)}


def _tried(call: Callable[[], Any]) -> Any:  # noqa: ANN401 - whatever a package returns
    """The result of a plugin's call.

    Raises:
        PrepareError: It raised something.
    """
    try:
        return call()
    except UserError:
        raise
    except PLUGIN_FAULTS as error:
        raise PrepareError(first_line(error)) from error


def _fault(answer: object, left: Sequence[Question]) -> str:
    """What is wrong with what a plugin gave for the first of its questions; empty if nothing is."""
    if not isinstance(answer, Answer):
        return f"the plugin gave {type(answer).__name__}, not Answer"
    if not left or answer.question_id != left[0].id:
        return "the plugin's answers are not those of its questions, in their order"
    try:
        row = json.loads(encode(answer_to_row(answer, 0, 0)))
        for chunk in answer_from_row(row, "answer").retrieved:
            _ = chunk.span  # raises an error if it is none
    except (UserError, TypeError, ValueError, AttributeError) as error:
        return f"the plugin's answer cannot be kept ({first_line(error)})"
    return ""

"""Systems of other packages in the run loop. Their exceptions fail a question or a draw, never the whole command."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from rmtbench.core import Answer, Corpus, Prepared, Question
from rmtbench.errors import AnswerError, UserError, first_line
from rmtbench.models.batches import failed
from rmtbench.systems.base import System, make_answer


class PrepareError(Exception):
    """A plugin cannot prepare a draw. Its questions stay unanswered, and the same command tries again."""


class Guarded:
    """A plugin's system whose exceptions do not end the command.

    A `UserError` is not caught: it is not the plugin's fault if, for example, a server is gone.
    """

    def __init__(self, system: System) -> None:
        self._system = system

    def prepare(self, corpus: Corpus) -> Prepared:
        """Prepare the system.

        Raises:
            PrepareError: The plugin raised something, or returned something else.
        """
        try:
            prepared = self._system.prepare(corpus)
        except UserError:
            raise
        except Exception as error:
            raise PrepareError(first_line(error)) from error
        if not isinstance(prepared, Prepared):
            raise PrepareError(f"prepare returned {type(prepared).__name__}, not Prepared")
        return prepared

    def answer(self, questions: Sequence[Question]) -> Iterator[Answer]:
        """Answer in order. If an answer raises an exception, its question fails and the others are still asked."""
        left = list(questions)
        while left:
            try:
                for answer in self._system.answer(tuple(left)):
                    if not left or getattr(answer, "question_id", None) != left[0].id:
                        why = "the plugin's answers are not those of its questions, in their order"
                        break
                    yield answer
                    left.pop(0)
                else:
                    why = "the plugin gave no answer"
            except UserError:
                raise
            except Exception as error:  # noqa: BLE001 - any exception of another package is the reason
                why = str(error) if isinstance(error, AnswerError) else first_line(error)
            if left:
                yield make_answer(left.pop(0), failed(AnswerError(why)), 0.0)

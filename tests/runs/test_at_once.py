"""Several questions at once: as many as asked for, answers in the questions' order, an error where it belongs."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator, Sequence
from typing import Self

import pytest

from rmtbench.core import Answer, Corpus, Prepared, Question
from rmtbench.errors import UserError
from rmtbench.runs.at_once import AHEAD, answer_in_order

QUESTIONS = [Question(f"q{number}", "Why?") for number in range(40)]


class Slow:
    """A system whose even questions take longer, and which counts who is inside; the first ones wait for each other."""

    def __init__(self, fails_at: str = "", together: int = 1) -> None:
        self._gate = threading.Barrier(together)
        self._waiting = {question.id for question in QUESTIONS[:together]}
        self.inside = self.most = 0
        self.begun: list[str] = []
        self._fails_at, self._lock = fails_at, threading.Lock()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None: ...

    def prepare(self, corpus: Corpus) -> Prepared:
        return Prepared()

    def answer(self, questions: Sequence[Question]) -> Iterator[Answer]:
        for question in questions:
            with self._lock:
                self.begun.append(question.id)
                self.inside += 1
                self.most = max(self.most, self.inside)
            if question.id in self._waiting:
                self._gate.wait(timeout=30)
            time.sleep(0.02 if int(question.id[1:]) % 2 == 0 else 0.002)
            with self._lock:
                self.inside -= 1
            if question.id == self._fails_at:
                raise UserError("the server is gone")
            yield Answer(question.id, question.id, "eos")


def ids(answers: Iterator[Answer]) -> list[str]:
    return [answer.question_id for answer in answers]


@pytest.mark.parametrize("at_once", [1, 2, 7, 64, 10**12])
def test_answers_come_in_questions_order_with_so_many_in_flight(at_once: int) -> None:
    system = Slow(together=min(at_once, len(QUESTIONS)))
    assert ids(answer_in_order(system, QUESTIONS, at_once)) == [question.id for question in QUESTIONS]
    assert system.most == min(at_once, len(QUESTIONS))
    assert sorted(system.begun) == sorted(question.id for question in QUESTIONS)


def test_what_stops_run_is_raised_after_all_answers_before_it() -> None:
    answers = answer_in_order(Slow(fails_at="q20"), QUESTIONS, 4)
    given = [next(answers).question_id for _ in range(20)]
    assert given == [f"q{number}" for number in range(20)]
    with pytest.raises(UserError, match="gone"):
        ids(answers)


@pytest.mark.parametrize("end", [UserError("the server is gone"), KeyboardInterrupt()])
def test_answers_complete_behind_a_missing_one_are_kept(end: BaseException) -> None:
    others = threading.Semaphore(0)

    class FirstFails(Slow):
        def answer(self, questions: Sequence[Question]) -> Iterator[Answer]:
            if questions[0].id == "q0":
                for _ in range(6):
                    others.acquire()
                time.sleep(0.05)  # the last one's result is set after its release
                raise end
            yield Answer(questions[0].id, "blue", "eos")
            others.release()

    given: list[str] = []
    with pytest.raises(type(end)):
        given += (answer.question_id for answer in answer_in_order(FirstFails(), QUESTIONS[:7], 2))
    assert given == [f"q{number}" for number in range(1, 7)]


def test_no_question_is_begun_far_ahead_of_answers_nor_after_end() -> None:
    system = Slow()
    answers = answer_in_order(system, QUESTIONS, 2)
    next(answers)
    time.sleep(0.3)
    assert len(system.begun) <= 2 * AHEAD + 1
    answers.close()  # type: ignore[attr-defined]
    begun = len(system.begun)
    time.sleep(0.1)
    assert len(system.begun) == begun

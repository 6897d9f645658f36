"""Several questions at once, for models behind a server. The answers come in the order of the questions.

Threads, because they wait for a socket. Daemon threads, because an interruption must not wait for a server.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import Future
from queue import SimpleQueue
from typing import TYPE_CHECKING, Protocol

from rmtbench.core import Answer, Question
from rmtbench.models.base import Embedder, Role

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

AHEAD = 4
"""Questions begun before the oldest is answered, in multiples of those at once, so that a slow reply stops no other."""


class Answering(Protocol):
    """What can be asked, such as a prepared `System`."""

    def answer(self, questions: Sequence[Question]) -> Iterator[Answer]:
        """Answer in order, as `System.answer` does."""
        ...


_Task = tuple[Question, "Future[Answer]"]


def answer_in_order(system: Answering, questions: Sequence[Question], at_once: int) -> Iterator[Answer]:
    """Yield the system's answers, with several questions in flight at the same time.

    Args:
        system: A prepared system that may be asked from several threads.
        questions: All questions.
        at_once: Most questions in flight. Each is asked in a call of its own.

    Yields:
        One answer for each question, in order, as soon as it and all before it are complete. Where an interruption or
        an error ends the run, those that are complete behind the missing one come before it is raised: a server that
        was paid for them need not be asked again.
    """
    tasks: SimpleQueue[_Task | None] = SimpleQueue()
    stop = threading.Event()
    threads = min(at_once, len(questions))
    for _ in range(threads):
        threading.Thread(target=_work, args=(system, tasks, stop), daemon=True).start()
    waiting: deque[Future[Answer]] = deque()
    try:
        for question in questions:
            future: Future[Answer] = Future()
            waiting.append(future)
            tasks.put((question, future))
            if len(waiting) >= AHEAD * at_once:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
    except (Exception, KeyboardInterrupt):
        yield from [future.result() for future in waiting if future.done() and future.exception() is None]
        raise
    finally:
        stop.set()
        for _ in range(threads):
            tasks.put(None)


def _work(system: Answering, tasks: SimpleQueue[_Task | None], stop: threading.Event) -> None:
    while (task := tasks.get()) is not None and not stop.is_set():
        question, future = task
        try:
            [answer] = system.answer([question])
        except BaseException as error:  # noqa: BLE001 - raised again by `Future.result`
            future.set_exception(error)
        else:
            future.set_result(answer)


class OneAtATime:
    """An embedder on this machine that several threads may use. Its tokenizer is not thread-safe."""

    def __init__(self, embedder: Embedder) -> None:
        self._embedder = embedder
        self._lock = threading.Lock()
        self.name, self.sha256 = embedder.name, embedder.sha256
        self.dimension, self.max_tokens = embedder.dimension, embedder.max_tokens

    def prompt(self, role: Role) -> str:
        """Return the embedder's prompt of a role."""
        return self._embedder.prompt(role)

    def embed(self, texts: Sequence[str], role: Role = "passage") -> NDArray[np.float32]:
        """Embed texts, for one caller at a time."""
        with self._lock:
            return self._embedder.embed(texts, role)

    def windows(self, texts: Sequence[str], heads: Sequence[str]) -> list[list[tuple[int, int]]]:
        """Return the embedder's windows of each text, for one caller at a time."""
        with self._lock:
            return self._embedder.windows(texts, heads)

    def truncated(self, texts: Sequence[str]) -> int:
        """Return how many texts the embedder truncates, for one caller at a time."""
        with self._lock:
            return self._embedder.truncated(texts)

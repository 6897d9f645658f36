"""One measurement in a process of its own, so that its peak memory is its own; progress and errors come back."""

from __future__ import annotations

import multiprocessing
import signal
from collections.abc import Callable
from multiprocessing.connection import Connection
from typing import Any, TypeVar

from rmtbench.errors import UserError

Result = TypeVar("Result")
Watch = Callable[[int], None]
Job = Callable[[Watch], Result]


class ProcessEndedError(Exception):
    """The process ended without a result; a negative code is the number of the signal that ended it."""

    def __init__(self, code: int | None) -> None:
        super().__init__(f"the process ended with code {code}")
        self.code = code


def run_apart(job: Job[Result], watch: Watch = lambda _done: None) -> Result:
    """Run a job in a new process and return its result.

    Args:
        job: A function of a module (or a `functools.partial` of one), so that it can be pickled. It gets `watch`.
        watch: Gets the progress that the job reports.

    Raises:
        UserError: The job raised it.
        ProcessEndedError: The process ended in another way, such as for lack of memory. Its traceback is on stderr.
    """
    context = multiprocessing.get_context("spawn")
    receiving, sending = context.Pipe(duplex=False)
    process = context.Process(target=_work, args=(job, sending), daemon=True)
    process.start()
    sending.close()
    try:
        while True:
            kind, value = receiving.recv()
            if kind == "done":
                result: Result = value
                return result
            if kind == "mistake":
                raise value
            watch(value)
    except EOFError as error:
        process.join()
        raise ProcessEndedError(process.exitcode) from error
    finally:
        process.terminate()
        process.join()
        receiving.close()


def _work(job: Job[Any], sending: Connection) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent is interrupted too, and ends this process
    try:
        result = job(lambda done: sending.send(("progress", done)))
    except UserError as mistake:
        sending.send(("mistake", mistake))
    else:
        sending.send(("done", result))
    sending.close()

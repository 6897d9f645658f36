"""Work for several processes at once, its results in order."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import TypeVar

from rmtbench.errors import UserError

MOST_PROCESSES = 8

Task = TypeVar("Task")
Result = TypeVar("Result")


def usual_processes() -> int:
    """Return how many processes a command works with: one a processor that it may use, up to `MOST_PROCESSES`."""
    own = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return min(MOST_PROCESSES, own)


def use_one_thread() -> None:
    """Limit NumPy's matrix products to one thread, if NumPy is not loaded yet and the user has set nothing else.

    For a command whose work `mapped` shares among processes: a second thread waits in a loop for the next small
    product, on a core that another process needs.
    """
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")


@contextmanager
def mapped(work: Callable[[Task], Result], tasks: Sequence[Task], processes: int) -> Iterator[Iterator[Result]]:
    """Do the same with every task; yields the results, in the order of the tasks.

    Args:
        work: A function of a module, or a `functools.partial` of one: it is sent to the other processes.
        tasks: What it is called with.
        processes: At most so many work at once. One is this process; more are others, which import its main module.

    Raises:
        UserError: A process was killed, or `work` raised it.
    """
    processes = min(processes, len(tasks))
    if processes < 2:
        yield map(work, tasks)
        return
    from concurrent.futures import ProcessPoolExecutor
    from concurrent.futures.process import BrokenProcessPool
    from multiprocessing import get_context

    pool = ProcessPoolExecutor(processes, mp_context=get_context("spawn"), initializer=_leave_interrupts)
    try:
        yield pool.map(work, tasks)
    except BrokenProcessPool as error:
        raise UserError(
            "one of the processes that share the work was killed, probably for want of memory",
            remedy="give the command again with more memory; nothing on disk has changed",
        ) from error
    finally:
        pool.shutdown(cancel_futures=True)


def _leave_interrupts() -> None:
    """Ctrl-C ends the process that asked; the others end with it, in silence."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)

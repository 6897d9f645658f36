"""A job apart: another process does it, what it tells and finds comes back, and its end is not taken for a result."""

from __future__ import annotations

import os

import pytest

from rmtbench.bench.apart import ProcessEndedError, run_apart
from rmtbench.errors import UserError


def grow_and_tell(watch) -> tuple[int, int]:
    """A process's own id and a number, after some progress."""
    watch(3)
    watch(5)
    return os.getpid(), 7


def complain(watch) -> None:
    """As a job does whose input is wrong."""
    raise UserError("no task 'detekt'", where="--task", remedy="did you mean 'detect'?")


def die(watch) -> None:
    os._exit(9)


def test_job_apart_runs_in_another_process_and_tells_progress() -> None:
    told = []
    pid, result = run_apart(grow_and_tell, told.append)
    assert pid != os.getpid()
    assert (result, told) == (7, [3, 5])


def test_a_process_that_dies_is_no_result() -> None:
    with pytest.raises(ProcessEndedError) as caught:
        run_apart(die)
    assert caught.value.code == 9


def test_a_mistake_in_the_process_comes_back_as_it_was() -> None:
    with pytest.raises(UserError) as caught:
        run_apart(complain)
    mistake = caught.value
    assert (mistake.what, mistake.where) == ("no task 'detekt'", "--task")
    assert mistake.remedy == "did you mean 'detect'?"

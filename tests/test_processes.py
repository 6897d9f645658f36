"""Work shared by processes: results in order, and a killed process is an error that says so."""

import os
import signal

import pytest

from rmtbench.errors import UserError
from rmtbench.processes import mapped


def square(number: int) -> tuple[int, int]:
    return number * number, os.getpid()


def die(number: int) -> int:
    if number == 2:
        os.kill(os.getpid(), signal.SIGKILL)
    return number


def refuse(number: int) -> int:
    raise UserError(f"no {number}", where="a file", remedy="give another one")


@pytest.mark.parametrize("processes", [1, 2])
def test_results_come_in_the_order_of_the_tasks(processes):
    with mapped(square, range(9), processes) as found:
        results = list(found)
    assert [result for result, _ in results] == [number * number for number in range(9)]
    assert (os.getpid() in {process for _, process in results}) == (processes == 1)


def test_a_killed_process_is_named_as_the_reason():
    with pytest.raises(UserError, match="was killed"), mapped(die, range(6), 2) as found:
        list(found)


@pytest.mark.parametrize("processes", [1, 2])
def test_a_mistake_comes_back_whole(processes):
    with pytest.raises(UserError) as caught, mapped(refuse, [7, 8], processes) as found:
        list(found)
    assert (caught.value.what, caught.value.where, caught.value.remedy) == ("no 7", "a file", "give another one")

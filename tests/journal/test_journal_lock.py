"""One writer a run, whatever becomes of the other."""

import os
import subprocess
import sys

import pytest

from rmtbench.errors import UserError
from rmtbench.journal.lock import only_writer

HOLDER = """
import sys
from pathlib import Path
from rmtbench.journal.lock import only_writer
with only_writer(Path(sys.argv[1])):
    print("held", flush=True)
    sys.stdin.read()
"""


@pytest.fixture
def holder(tmp_path):
    """Another process that holds the lock until its input ends."""
    command = [sys.executable, "-c", HOLDER, str(tmp_path / ".lock")]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout.readline() == "held\n"
        yield process
        process.kill()


def test_a_second_writer_is_refused_and_told_who_the_first_is(tmp_path, holder):
    with pytest.raises(UserError) as caught, only_writer(tmp_path / ".lock"):
        pass
    assert caught.value.what == f"another process (pid {holder.pid}) is writing this run"
    assert caught.value.where == str(tmp_path)
    assert caught.value.remedy == "wait for it to end, or choose another folder with --results"


def test_a_killed_writer_leaves_no_lock_behind(tmp_path, holder):
    holder.kill()
    holder.wait()
    with only_writer(tmp_path / ".lock"):
        assert f"pid={os.getpid()}" in (tmp_path / ".lock.lease").read_text()
    assert [path.name for path in tmp_path.iterdir()] == [".lock"]


def test_the_lock_is_free_again_after_block_even_after_an_error(tmp_path):
    with pytest.raises(ZeroDivisionError), only_writer(tmp_path / ".lock"):
        raise ZeroDivisionError
    with only_writer(tmp_path / ".lock"):
        pass

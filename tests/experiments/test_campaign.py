"""The campaign sees what is wrong, so that zeros in its table mean something, and injects what it is asked to."""

from __future__ import annotations

import json
import os
import random
import shutil
import subprocess
import sys
import time
from dataclasses import asdict
from pathlib import Path

import pytest

from experiments.campaign.compare import compare, facts
from experiments.campaign.faults import SOURCE
from experiments.campaign.mutated import ANY, TEXT
from experiments.campaign.table import table
from experiments.campaign.trial import Trial

RUN = Path("results") / "cag"


def answer(draw: int, question: str, text: str = "yes", seconds: float = 1.0) -> str:
    row = {"draw": draw, "question_id": question, "text": text, "timings": {"total": seconds}, "session": 0}
    return json.dumps(row) + "\n"


def place(folder: Path, *lines: str) -> Path:
    (folder / RUN).mkdir(parents=True)
    (folder / RUN / "answers.jsonl").write_text("".join(lines))
    return folder


def test_lost_doubled_changed_and_stray_are_told_apart(tmp_path: Path) -> None:
    wanted = facts(place(tmp_path / "whole", answer(0, "a"), answer(0, "b"), answer(0, "c")), ())
    found = place(tmp_path / "found", answer(0, "a", seconds=2.0), answer(0, "b", "no"), answer(0, "a", seconds=2.0))
    (found / RUN / ".spec.json.1.tmp").touch()
    differences = compare(facts(found, ()), wanted)
    assert differences.lost == [f"{RUN}/answers.jsonl 0 c"]
    assert differences.doubled == [f"{RUN}/answers.jsonl 0 a"]
    assert differences.changed == [f"{RUN}/answers.jsonl 0 b"]
    assert differences.strays == [f"{RUN}/.spec.json.1.tmp"]
    assert not compare(wanted, wanted)


def test_torn_last_line_is_lost_and_no_other_row(tmp_path: Path) -> None:
    wanted = facts(place(tmp_path / "whole", answer(0, "a"), answer(0, "b")), ())
    found = facts(place(tmp_path / "found", answer(0, "a"), answer(0, "b")[:9]), ())
    assert compare(found, wanted).lost == [f"{RUN}/answers.jsonl 0 b"]


def test_a_kind_adds_up_its_trials() -> None:
    trials = [Trial("SIGKILL", "run", 0, faults=2), Trial("SIGKILL", "run", 1, faults=1, lost=["a", "b"], tracebacks=1)]
    [row] = table("", [asdict(trial) for trial in trials]).rows
    assert (row["trials"], row["faults"], row["lost"], row["tracebacks"], row["bad"]) == (2, 3, 2, 1, 1)


@pytest.mark.parametrize("how", [*ANY, *TEXT])
def test_every_mutation_changes_the_file_by_its_seed(tmp_path: Path, how: str) -> None:
    made = []
    for name in ("one", "other"):
        path = tmp_path / name / "x.json"
        path.parent.mkdir()
        path.write_text(json.dumps({"a": [1, {"b": "c"}], "d": None}, indent=1))
        {**ANY, **TEXT}[how](path, random.Random(5))
        made.append(path.read_bytes() if path.is_file() else path.exists())
    assert made[0] == made[1]
    assert made[0] != json.dumps({"a": [1, {"b": "c"}], "d": None}, indent=1).encode()


LAYER = """
import os, sys
from pathlib import Path
from experiments.campaign.faults import Fault, arm, counts
place = Path(sys.argv[1])
arm(place, Fault(sys.argv[2], int(sys.argv[3]), float(sys.argv[4])))
for number in range(3):
    try:
        with (place / "file").open("ab", buffering=0) as stream:
            stream.write(b"x" * 90)
    except OSError as error:
        print(error.errno)
    print((place / "file").read_bytes().count(b"x"))
import time
print(round(time.time() - time.monotonic()) - int(sys.argv[5]), counts().injected)
"""


def through_layer(tmp_path: Path, what: str, at: int, size: float = 0) -> tuple[int, list[str]]:
    library = tmp_path / "layer.so"
    subprocess.run(["cc", "-shared", "-fPIC", "-D_LARGEFILE64_SOURCE", "-o", library, SOURCE, "-ldl"], check=True)
    (tmp_path / "place").mkdir()
    usual = str(round(time.time() - time.monotonic()))
    words = [sys.executable, "-u", "-c", LAYER, str(tmp_path / "place"), what, str(at), str(size), usual]
    environ = {**os.environ, "LD_PRELOAD": str(library), "PYTHONPATH": str(Path(__file__).parents[2])}
    ended = subprocess.run(words, env=environ, capture_output=True, text=True, check=False)
    return ended.returncode, ended.stdout.splitlines()


@pytest.mark.skipif(shutil.which("cc") is None, reason="no cc")
@pytest.mark.parametrize(
    ("what", "at", "size", "code", "said"),
    [
        ("count", 0, 0, 0, ["90", "180", "270", "0 0"]),
        ("full", 3, 0, 0, ["90", "28", "90", "28", "90", "0 2"]),  # the first write is the making of the file
        ("kill", 4, 0, -9, ["90", "180"]),
        ("clock", 1, 3600, 0, ["90", "180", "270", "3600 1"]),
    ],
)
def test_the_layer_fails_where_it_is_asked_to(
    tmp_path: Path, what: str, at: int, size: float, code: int, said: list[str]
) -> None:
    assert through_layer(tmp_path, what, at, size) == (code, said)
    if what == "kill":  # in the middle of its write
        assert (tmp_path / "place" / "file").stat().st_size == 90 + 90 + 45

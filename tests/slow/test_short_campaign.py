"""Five minutes of the campaign: nothing is lost, doubled, changed or left lying about."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("cc") is None, reason="needs a C compiler")
def test_five_minutes_of_the_campaign_lose_nothing(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "experiments.campaign", "--seed", "1", "--seconds", "300", "--out", str(tmp_path)]
    ended = subprocess.run(command, cwd=Path(__file__).parents[2], capture_output=True, text=True, check=False)
    print(ended.stderr)
    rows = json.loads(ended.stdout.splitlines()[-1])
    assert sum(row["trials"] for row in rows) >= 10
    assert [row for row in rows if row["bad"]] == []
    assert ended.returncode == 0

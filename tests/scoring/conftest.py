"""Tests of scoring score the same made runs as those of the report."""

import sys
from pathlib import Path

sys.path += [str(Path(__file__).parents[1] / "report")]

"""Tests of the analysis read the same made runs as those of the journal and of the report."""

import sys
from pathlib import Path

TESTS = Path(__file__).parents[1]
sys.path += [str(TESTS / "report"), str(TESTS / "journal")]

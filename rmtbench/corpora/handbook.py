"""The handbook that comes with the package: a folder like a user's own, of invented documents."""

from __future__ import annotations

from pathlib import Path

from rmtbench.corpora.base import Dataset, DatasetKind
from rmtbench.corpora.own import read_folder

HANDBOOK = Path(__file__).parent.parent / "assets" / "handbook"


def _open() -> Dataset:
    return read_folder(HANDBOOK, "handbook", "embedded")


DATASET = DatasetKind(
    name="handbook",
    label="Handbook",
    order=4,
    embedded=_open,
    default_size="4k",
    sizes=("2k", "4k", "8k", "all"),
)

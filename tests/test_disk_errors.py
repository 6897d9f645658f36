"""A full disk gives the same error, whichever library was writing."""

from __future__ import annotations

import errno
import os
import resource
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from safetensors import SafetensorError

from rmtbench.errors import UserError, disk_errors


@pytest.fixture
def small_files() -> Iterator[None]:
    """No file can grow beyond 64 kB, as on a disk with no more room."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (65536, before[1]))
    yield
    resource.setrlimit(resource.RLIMIT_FSIZE, before)


def test_torch_on_a_full_disk_is_no_fault_of_ours(tmp_path: Path, small_files: None) -> None:
    with pytest.raises(UserError, match="the disk is full"), disk_errors(tmp_path, "--out"):
        torch.save({"weight": torch.zeros(100_000)}, tmp_path / "tensors.pt")


@pytest.mark.parametrize("said", ["basic_ios::clear: iostream error", "PytorchStreamWriter failed writing file data/0"])
def test_other_words_of_torch_for_it_are_known(tmp_path: Path, said: str) -> None:
    with pytest.raises(UserError, match="the disk is full"), disk_errors(tmp_path, "--out"):
        raise RuntimeError(said)


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT])
def test_safetensors_on_a_full_disk_is_no_fault_of_ours(tmp_path: Path, number: int) -> None:
    said = f"Error while serializing: I/O error: {os.strerror(number)} (os error {number})"  # as its Rust code words it
    with pytest.raises(UserError, match="the disk is full"), disk_errors(tmp_path, "--out"):
        raise SafetensorError(said)


def test_errors_that_are_none_of_the_disk_pass(tmp_path: Path) -> None:
    for error in (RuntimeError("loss is not a number"), KeyError("x"), OSError(5, "Input/output error")):
        with pytest.raises(type(error)), disk_errors(tmp_path, "--out"):
            raise error

"""The GGUF files that llama.cpp is measured on hold the weights of the one that is given, in another type."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import gguf
import numpy as np
import pytest
from gguf.quants import dequantize
from small_models import write_gguf

from experiments.smollm2_speed import rewrite
from rmtbench.models.load import load_model


@pytest.mark.parametrize("kind", ["F32", "Q8_0"])
def test_matrices_have_the_type_and_all_else_stays(tmp_path: Path, kind: Literal["F32", "Q8_0"]) -> None:
    source, target = write_gguf(tmp_path / "small.gguf"), tmp_path / "again.gguf"
    rewrite(source, target, kind)
    before, after = (gguf.GGUFReader(path) for path in (source, target))
    assert set(before.fields) - {"GGUF.kv_count"} <= set(after.fields) | {"general.file_type"}
    assert [each.name for each in after.tensors] == [each.name for each in before.tensors]
    for old, new in zip(before.tensors, after.tensors, strict=True):
        assert new.tensor_type.name == (kind if len(new.shape) > 1 else "F32")
        was, now = (dequantize(each.data, each.tensor_type) for each in (old, new))
        step = np.abs(was).max() / 127 if kind == "Q8_0" and was.ndim > 1 else 0
        assert np.abs(was - now).max() <= 0.51 * step


def test_a_rewritten_file_is_a_model(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RMTBENCH_CACHE", str(tmp_path / "cache"))
    rewrite(write_gguf(tmp_path / "small.gguf"), tmp_path / "again.gguf", "Q8_0")
    assert load_model(str(tmp_path / "again.gguf")).provenance["weights"]["source"] == "gguf"

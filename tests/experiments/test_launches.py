"""Operators of a decode step are counted without numbers, and a static step never asks for one."""

from __future__ import annotations

import pytest
import torch

from experiments.launches import Count, as_on_a_gpu, main, measure


def test_what_computes_or_copies_is_counted_and_views_are_not() -> None:
    numbers, weight = torch.empty(2, 3, 4, device="meta"), torch.empty(5, 4, device="meta", dtype=torch.float64)
    with torch.inference_mode(), Count() as count:
        numbers.view(6, 4).transpose(0, 1)[:2]
        numbers.transpose(0, 1).contiguous()
        torch.nn.functional.linear(numbers.double(), weight)
        torch.empty_like(numbers)
    assert dict(count.found) == {"clone": 1, "_to_copy": 1, "mm": 1}


def test_a_replay_is_one_start_and_no_number_is_read_back() -> None:
    """Tensors without numbers raise where one is read back."""
    rows = {(row.way, row.batch): row for row in measure("tiny", [1, 8])}
    assert [way for way, batch in rows if batch == 8] == ["forward", "static, torch", "static, Triton", "CUDA graph"]
    for batch in (1, 8):
        assert rows["static, Triton", batch].operators < rows["forward", batch].operators
        assert rows["CUDA graph", batch].host_starts == 1
        assert rows["CUDA graph", batch].operators == rows["static, Triton", batch].operators
    with as_on_a_gpu(), pytest.raises(RuntimeError, match="meta"):
        torch.empty(1, device="meta").item()


def test_the_table_has_a_line_for_each_way_and_batch(capsys: pytest.CaptureFixture[str]) -> None:
    main(["--geometry", "tiny", "--batches", "1"])
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "| decode step | batch | operators on the device | started by the host |"
    assert [line.split(" | ")[0] for line in lines[2:]] == [
        "| forward",
        "| static, torch",
        "| static, Triton",
        "| CUDA graph",
    ]

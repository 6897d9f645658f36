"""The bench of kept caches really loads what it claims to load, leaves nothing behind, and reads its words strictly."""

from pathlib import Path

import pytest

from experiments.benches.kv_store import Context, _measure, parse_contexts
from experiments.benches.tables import kv_store_table
from rmtbench.errors import UserError


def test_computing_and_loading_are_measured_apart(tmp_path: Path) -> None:
    row = _measure(Context("random:tiny", 2500), tmp_path, None, "cpu", print)
    layers, heads, width, keys_and_values, float32 = 2, 2, 16, 2, 4
    assert row["bytes"] == 2500 * layers * heads * width * keys_and_values * float32
    assert min(row[f"{part}_seconds"] for part in ("compute", "save", "cold_load", "warm_load", "map_only")) > 0
    assert row["compute_over_warm_load"] == row["compute_seconds"] / row["warm_load_seconds"]
    assert row["peak_bytes"] > row["bytes"]
    assert list(tmp_path.iterdir()) == []
    table = kv_store_table(
        {"rows": [row], "damage": {"detected": 99, "damaged": 100, "missed": ["truncation, number 3"]}}
    )
    assert table.rows[0][:2] == ("random:tiny", "2,500")
    assert table.notes == ("damaged caches detected: 99 of 100", "truncation, number 3")


def test_contexts_are_models_with_lengths() -> None:
    assert parse_contexts("mini=21k, random:llama-0.1b=4k") == [
        Context("mini", 21000), Context("random:llama-0.1b", 4000),
    ]  # fmt: skip


@pytest.mark.parametrize("text", ["mini", "mini=", "=4k", "mini=many", ""])
def test_anything_else_is_refused(text: str) -> None:
    with pytest.raises(UserError) as caught:
        parse_contexts(text)
    assert caught.value.where == "--contexts"

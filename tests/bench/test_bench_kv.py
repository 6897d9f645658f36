"""The bench of cached contexts: every promised figure is there, the ways agree, and what was not measured is None."""

import json

import pytest
import torch

from rmtbench.bench import kv
from rmtbench.bench.roofline import Bandwidths, measure_bandwidths, roofline, weights_read
from rmtbench.models.load import load_model
from rmtbench.options.benches import KvBench


def asked(lengths, batches):
    return KvBench(models=("random:tiny",), lengths=lengths, batches=batches, device="cpu")


@pytest.fixture(scope="module")
def figures():
    told = []
    result = kv.run(asked((40, kv.SMALL // 100), (1, 3)), report=told.append)
    assert len(told) == len(result.rows)
    return result.to_json()


def test_every_way_stands_beside_the_others_at_each_length(figures):
    ways = [(row["prefix_tokens"], row["way"], row["batch"]) for row in figures["rows"]]
    expected = [("shared", 1), ("shared", 3), ("no cache", 1), ("loop", 1), ("deepcopy", 1)]
    assert ways == [(length, *way) for length in (40, 210) for way in expected]


def test_all_ways_write_the_same_tokens(figures):
    assert [row["agreement"] for row in figures["rows"]] == [1] * 10
    assert figures["bfloat16"][0]["geometry"] == "random:tiny"
    assert 0 <= figures["bfloat16"][0]["agreement"] <= 1
    assert figures["bfloat16"][0]["largest_logit_difference"] > 0


def test_rows_hold_times_that_fit_together(figures):
    for row in figures["rows"]:
        assert row["questions_per_second"] * row["seconds"] == pytest.approx(row["questions"])
        assert row["first_token_seconds"] > 0 < row["step_seconds"]
        rounds = row["questions"] / row["batch"]
        told = rounds * (row["first_token_seconds"] + (kv.ANSWER_TOKENS - 1) * row["step_seconds"])
        assert told == pytest.approx(row["seconds"], rel=0.5)
        assert row["peak_bytes"] > row["cache_bytes"] > 0
    assert {(row["way"], row["batch"]): row["rounds"] for row in figures["rows"]} == {
        ("shared", 1): 8, ("shared", 3): 3, ("no cache", 1): 3, ("loop", 1): 8, ("deepcopy", 1): 8
    }  # fmt: skip
    loops = [row for row in figures["rows"] if row["way"] == "loop"]
    assert {row["speedup_vs_loop"] for row in loops} == {1}
    kept = {row["batch"]: row["cache_bytes"] for row in figures["rows"] if row["way"] == "shared"}
    layers, heads, width, keys_and_values, float32 = 2, 2, 16, 2, 4
    assert kept[3] - kept[1] == 2 * (24 + 8) * layers * heads * width * keys_and_values * float32


def test_figures_of_sizes_that_were_not_measured_are_none(figures):
    for name in ("speedup_vs_loop_21k_batch32", "speedup_vs_full_context_large"):
        assert figures[name] is None
        assert figures[f"{name}_by_geometry"] == {"random:tiny": None}
    assert figures["roofline_fraction_decode"] is None
    assert figures["roofline"] is None


def test_figures_that_stand_by_themselves_are_those_of_their_row(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(kv, "SMALL", 60)
    monkeypatch.setattr(kv, "LARGE", 70)
    result = kv.run(asked((60, 70), (1, 32))).to_json()
    rows = {(row["prefix_tokens"], row["way"], row["batch"]): row for row in result["rows"]}
    assert result["speedup_vs_loop_21k_batch32"] == rows[60, "shared", 32]["speedup_vs_loop"]
    assert result["speedup_vs_full_context_large"] == rows[70, "shared", 1]["speedup_vs_no_cache"]


def test_the_figures_say_what_made_them_and_are_json(figures):
    assert (figures["device"], figures["dtype"]) == ("cpu", "float32")
    assert figures["versions"]["torch"]
    assert figures["threads"] >= 1
    assert figures["machine"]
    assert json.loads(json.dumps(figures)) == figures


def test_a_roofline_names_both_limits_and_counts_what_is_read():
    model = load_model("random:tiny").model
    embedding = model.get_input_embeddings().weight
    everything = sum(each.nbytes for each in model.parameters())
    tied = model.get_output_embeddings().weight is embedding
    assert weights_read(model) == everything - (0 if tied else embedding.nbytes)
    model.lm_head.weight = torch.nn.Parameter(embedding.detach().clone())
    untied = sum(each.nbytes for each in model.parameters())
    assert weights_read(model) == untied - embedding.nbytes
    found = roofline("tiny", 21_000, 32, 600, 2.0, Bandwidths(400.0, 300.0))
    assert (found.fraction_of_read, found.fraction_of_copy) == (0.75, 1.0)
    assert (found.read_bytes_per_second, found.copy_bytes_per_second) == (400.0, 300.0)


def test_bandwidths_of_a_device_are_measured():
    found = measure_bandwidths("cpu", 1 << 20)
    assert found.read_bytes_per_second > 0 < found.copy_bytes_per_second


@pytest.mark.gpu
def test_on_a_gpu_no_step_beats_the_limit_of_reading():
    result = kv.run(KvBench(models=("random:tiny",), lengths=(2000,), batches=(1,), device="cuda"))
    assert result.roofline is not None
    assert 0 < result.roofline_fraction_decode == result.roofline.fraction_of_read < 1

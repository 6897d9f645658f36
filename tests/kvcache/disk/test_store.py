"""The store gives back, bit for bit, what was computed; it computes only what it has not, and says what it did."""

from __future__ import annotations

import json
import os
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from small_models import save_adapter, save_model
from stored_caches import CHUNK, Shop, context, equal

from rmtbench.errors import UserError
from rmtbench.kvcache.base import PrefixKV
from rmtbench.kvcache.disk.eviction import check, remove
from rmtbench.kvcache.disk.identity import differences, model_identity
from rmtbench.kvcache.disk.manifest import FILE, IDS_FILE, read_manifest
from rmtbench.kvcache.disk.store import Wanted, load, publish, unfinished_folder
from rmtbench.kvcache.disk.unfinished import UnfinishedCache
from rmtbench.kvcache.exact.prefill import prefill
from rmtbench.kvcache.watching import NOBODY
from rmtbench.models.load import load_model
from rmtbench.models.local import LocalModel


@pytest.fixture
def shop(tmp_path: Path) -> Shop:
    return Shop(tmp_path / "store")


def computed(model: LocalModel, ids: list[int]) -> object:
    return prefill(model.model, ids, chunk_tokens=CHUNK)


def test_what_was_saved_is_loaded_bit_for_bit_and_not_computed(tiny_model: LocalModel, shop: Shop) -> None:
    ids = context()
    made = shop.get(tiny_model, ids)
    assert (made.reused_tokens, shop.read[-1], list(shop.seconds)) == (0, 75, ["load", "save", "prefill"])
    loaded = shop.get(tiny_model, ids)
    assert equal(loaded.tensors, made.tensors)
    assert equal(loaded.tensors, computed(tiny_model, ids))
    assert (loaded.reused_tokens, shop.read, list(shop.seconds)) == (75, [], ["load"])
    assert shop.said == [f"kv cache {shop.folders[0].name}: 75 tokens loaded, not computed"]


@pytest.mark.parametrize("dtype", ["bfloat16", "float16"])
def test_half_precision_is_kept_bit_for_bit(shop: Shop, dtype: str) -> None:
    model = load_model("random:tiny", dtype=dtype)
    made = shop.get(model, context())
    loaded = shop.get(model, context())
    assert loaded.reused_tokens == 75
    assert loaded.tensors.keys[0].dtype is getattr(torch, dtype)
    assert equal(loaded.tensors, made.tensors)


def test_layers_of_several_shapes_are_given_back(shop: Shop) -> None:
    """As Gemma 4 has them: full attention with wider heads, and fewer of them."""
    sides = [tuple(torch.randn(heads, 32, width) for heads, width in ((2, 4), (1, 6))) for _ in range(2)]
    context, store = PrefixKV(sides[0], sides[1], tuple(range(32))), shop.store
    wanted = Wanted({"model": "four", "chunk_tokens": CHUNK}, context.token_ids)
    made = UnfinishedCache(unfinished_folder(store, wanted), wanted.ids, lambda _: store.folder.mkdir())
    made.keep(0, context.cut(0, CHUNK))
    again = UnfinishedCache(made.folder, wanted.ids, lambda _: None)
    assert equal(again.ready(), context.cut(0, CHUNK))
    again.keep(CHUNK, context.cut(CHUNK, 32))
    publish(store, wanted, again, context, {}, 0)
    assert equal(load(store, wanted, NOBODY), context)


def test_loaded_tensors_are_contiguous_and_private(tiny_model: LocalModel, shop: Shop) -> None:
    shop.get(tiny_model, context())
    loaded = shop.get(tiny_model, context()).tensors
    assert all(part.is_contiguous() and part.data_ptr() % 64 == 0 for part in (*loaded.keys, *loaded.values))
    loaded.keys[0].zero_()
    assert check(shop.folders[0]) == []


def test_an_appended_document_costs_its_own_tokens(tiny_model: LocalModel, shop: Shop) -> None:
    shop.get(tiny_model, context(64))
    longer = [*context(64), *context(30, seed=1)]
    extended = shop.get(tiny_model, longer)
    assert extended.reused_tokens == 64
    assert shop.read == [80, 94]
    assert f"{shop.folders[0].name}: its first 64 of 94 tokens are reused" in shop.said[0]
    assert equal(extended.tensors, computed(tiny_model, longer))
    assert [check(folder) for folder in shop.folders] == [[], []]


@pytest.mark.parametrize(("changed", "reused"), [(0, 0), (15, 0), (16, 16), (40, 32), (74, 64)])
def test_a_change_in_the_middle_costs_what_follows_it(
    tiny_model: LocalModel, shop: Shop, changed: int, reused: int
) -> None:
    shop.get(tiny_model, context())
    other = [*context()]
    other[changed] += 1
    found = shop.get(tiny_model, other)
    assert found.reused_tokens == reused
    assert equal(found.tensors, computed(tiny_model, other))


def test_leaving_last_documents_out_computes_only_broken_chunk(tiny_model: LocalModel, shop: Shop) -> None:
    shop.get(tiny_model, context())
    for tokens, reused, read in ((48, 48, []), (40, 32, [40])):
        shorter = shop.get(tiny_model, context()[:tokens])
        assert (shorter.reused_tokens, shop.read) == (reused, read)
        assert equal(shorter.tensors, computed(tiny_model, context()[:tokens]))


def test_of_several_beginnings_the_longest_is_taken(tiny_model: LocalModel, shop: Shop) -> None:
    for tokens in (32, 64, 48):
        shop.get(tiny_model, [*context()[:tokens], 5])
    assert shop.get(tiny_model, context()).reused_tokens == 64


@pytest.mark.parametrize("stop_at", [16, 48, 75])
def test_an_interrupted_reading_goes_on_and_ends_in_same_bits(tiny_model: LocalModel, shop: Shop, stop_at: int) -> None:
    with pytest.raises(KeyboardInterrupt):
        shop.get(tiny_model, context(), stop_at)
    assert shop.folders == []
    resumed = shop.get(tiny_model, context())
    assert resumed.reused_tokens == stop_at
    assert shop.read == [done for done in (16, 32, 48, 64, 75) if done > stop_at]
    assert f"goes on behind {stop_at} tokens of an interrupted reading" in shop.said[0]
    assert equal(resumed.tensors, computed(tiny_model, context()))
    assert check(shop.folders[0]) == []
    assert list(shop.store.folder.glob(".unfinished-*")) == []


@pytest.mark.parametrize("place", [0.3, 0.6, 0.95])
def test_damaged_chunk_and_all_after_it_are_read_again(tiny_model: LocalModel, shop: Shop, place: float) -> None:
    with pytest.raises(KeyboardInterrupt):
        shop.get(tiny_model, context(), 48)
    [file] = shop.store.folder.glob(".unfinished-*/layer-001.safetensors")
    data = bytearray(file.read_bytes())
    head_bytes, header = 75 * 16 * 4, len(data) - 2 * 2 * 75 * 16 * 4
    data[header + int(place * 48 * 16 * 4)] ^= 1
    assert header + int(place * 48 * 16 * 4) < header + head_bytes
    file.write_bytes(data)
    resumed = shop.get(tiny_model, context())
    assert resumed.reused_tokens == int(place * 48) // 16 * 16
    assert equal(resumed.tensors, computed(tiny_model, context()))


def test_a_torn_last_line_costs_its_chunk_alone(tiny_model: LocalModel, shop: Shop) -> None:
    with pytest.raises(KeyboardInterrupt):
        shop.get(tiny_model, context(), 48)
    [lines] = shop.store.folder.glob(".unfinished-*/chunks.jsonl")
    lines.write_bytes(lines.read_bytes()[:-9])
    assert shop.get(tiny_model, context()).reused_tokens == 32
    assert check(shop.folders[0]) == []


def test_damaged_cache_is_told_by_file_made_anew_and_good_again(tiny_model: LocalModel, shop: Shop) -> None:
    made = shop.get(tiny_model, context())
    file = shop.folders[0] / "layer-000.safetensors"
    file.write_bytes(file.read_bytes()[:-1] + b"?")
    again = shop.get(tiny_model, context())
    assert again.reused_tokens == 0
    assert shop.said[0].endswith("is not used, and made anew: layer-000.safetensors: its bytes have changed")
    assert equal(again.tensors, made.tensors)
    assert shop.get(tiny_model, context()).reused_tokens == 75
    assert check(shop.folders[0]) == []


def test_a_damaged_cache_is_no_beginning_of_another(tiny_model: LocalModel, shop: Shop) -> None:
    shop.get(tiny_model, context(64))
    (shop.folders[0] / "layer-001.safetensors").write_bytes(b"")
    longer = [*context(64), 1, 2, 3]
    found = shop.get(tiny_model, longer)
    assert found.reused_tokens == 0
    assert "layer-001.safetensors: 0 bytes in place of" in shop.said[0]
    assert equal(found.tensors, computed(tiny_model, longer))


@pytest.mark.parametrize(
    ("field", "value"),
    [("weights_sha256", "1" * 64), ("tokenizer_sha256", "2" * 64), ("dtype", "bfloat16"), ("id", "another")],
)
def test_another_model_or_tokenizer_is_a_miss_that_is_told(
    tiny_model: LocalModel, shop: Shop, field: str, value: str
) -> None:
    shop.get(tiny_model, context())
    other = replace(tiny_model, provenance={**tiny_model.provenance, field: value})
    assert shop.get(other, context()).reused_tokens == 0
    assert shop.said[0].endswith(f"made with another {'model' if field == 'id' else field}")


def test_other_rope_settings_are_a_miss_that_is_told(tiny_model: LocalModel, shop: Shop) -> None:
    shop.get(tiny_model, context())
    other = load_model("random:tiny")
    other.model.config.rope_parameters = {**other.model.config.rope_parameters, "rope_theta": 1000.0}
    assert shop.get(other, context()).reused_tokens == 0
    assert "made with another config_sha256" in shop.said[0]


def test_another_scale_of_an_adapter_is_a_miss_that_is_told(tmp_path: Path, shop: Shop) -> None:
    base = save_model(tmp_path / "base")
    adapter = save_adapter(base, tmp_path / "mine")
    shop.get(load_model(str(base), adapter=str(adapter)), context())
    path = adapter / "adapter_config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"lora_alpha": 800}))
    other = load_model(str(base), adapter=str(adapter))
    found = shop.get(other, context())
    assert found.reused_tokens == 0
    assert "made with another weights_sha256" in shop.said[0]
    assert equal(found.tensors, computed(other, context()))


def test_another_chat_format_is_a_miss_that_is_told(tiny_model: LocalModel, shop: Shop) -> None:
    shop.get(tiny_model, context())
    other = replace(tiny_model, provenance={**tiny_model.provenance, "identity": "3" * 64})
    assert shop.get(other, context()).reused_tokens == 0
    assert "made with another identity" in shop.said[0]


def test_caches_of_two_kinds_of_card_are_two(tiny_model: LocalModel, monkeypatch: pytest.MonkeyPatch) -> None:
    there = SimpleNamespace(
        config=tiny_model.model.config, device=torch.device("cuda", 1), named_buffers=tiny_model.model.named_buffers
    )
    identities = []
    for card in ("A100", "H200"):
        monkeypatch.setattr(torch.cuda, "get_device_name", lambda device, card=card: f"{card} as {device}")
        identities.append(model_identity(replace(tiny_model, model=there), 1024))
    assert differences(*identities) == ["card"]
    assert [each["card"] for each in identities] == ["A100 as cuda:1", "H200 as cuda:1"]


def test_caches_of_two_kinds_of_processor_are_two(
    tiny_model: LocalModel, shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    shop.get(tiny_model, context())
    monkeypatch.setattr(torch.backends.cpu, "get_cpu_capability", lambda: "another")
    assert shop.get(tiny_model, context()).reused_tokens == 0
    assert shop.said[0].endswith("made with another processor")


def test_other_rotary_frequencies_are_a_miss_that_is_told(shop: Shop) -> None:
    shop.get(load_model("random:tiny"), context())
    other = load_model("random:tiny")
    rotary = other.model.model.rotary_emb
    rotary.inv_freq = rotary.inv_freq.bfloat16()  # no weight file and no configuration tells
    found = shop.get(other, context())
    assert found.reused_tokens == 0
    assert shop.said[0].endswith("made with another buffers_sha256")
    assert equal(found.tensors, computed(other, context()))


def test_a_file_is_made_where_no_call_claims_its_room(
    tiny_model: LocalModel, shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delattr(os, "posix_fallocate")
    made = shop.get(tiny_model, context())
    assert equal(shop.get(tiny_model, context()).tensors, made.tensors)
    assert check(shop.folders[0]) == []


def test_weights_without_a_hash_are_refused(tiny_model: LocalModel, shop: Shop) -> None:
    unknown = replace(tiny_model, provenance={**tiny_model.provenance, "weights_sha256": "not recorded"})
    with pytest.raises(UserError, match="could not be hashed"):
        shop.get(unknown, context())


def test_the_manifest_tells_what_the_cache_is_and_what_it_cost(tiny_model: LocalModel, shop: Shop) -> None:
    shop.get(tiny_model, context())
    [folder] = shop.folders
    manifest = read_manifest(folder)
    values = json.loads((folder / "manifest.json").read_text())
    assert values["schema"] == 1
    assert set(manifest.identity) == {
        "model", "revision", "class", "weights_sha256", "config_sha256", "rope", "buffers_sha256", "context_limit",
        "tokenizer_sha256", "dtype", "device", "processor", "attention", "linear", "chunk_tokens", "identity",
        "versions",
    }  # fmt: skip
    assert set(manifest.files) == {"layer-000.safetensors", "layer-001.safetensors", IDS_FILE}
    assert manifest.tokens == 75
    assert manifest.bytes == sum((folder / name).stat().st_size for name in manifest.files)
    assert set(manifest.seconds) == {"load", "prefill", "save"}
    assert manifest.seconds["prefill"] > 0


def test_the_files_are_safetensors_that_anyone_can_read(tiny_model: LocalModel, shop: Shop) -> None:
    from safetensors.torch import load_file

    made = shop.get(tiny_model, context()).tensors
    for layer, (keys, values) in enumerate(zip(made.keys, made.values, strict=True)):
        stored = load_file(shop.folders[0] / f"layer-{layer:03d}.safetensors")
        assert torch.equal(stored["keys"], keys)
        assert torch.equal(stored["values"], values)


def test_an_unfinished_cache_that_lost_a_file_is_begun_anew(tiny_model: LocalModel, shop: Shop) -> None:
    for name in ("layer-001.safetensors", "layer-000.safetensors", "token-ids.u32", "chunks.jsonl"):
        with pytest.raises(KeyboardInterrupt):
            shop.get(tiny_model, context(), 48)
        [unfinished] = shop.store.folder.glob(".unfinished-*")
        (unfinished / name).unlink()
        made = shop.get(tiny_model, context())
        assert made.reused_tokens == 0
        assert equal(made.tensors, computed(tiny_model, context()))
        assert check(shop.folders[0]) == []
        remove(shop.folders[0])


def test_why_a_cache_is_not_used_is_said_once(tiny_model: LocalModel, shop: Shop) -> None:
    shop.get(tiny_model, context())
    (shop.folders[0] / "layer-000.safetensors").unlink()
    shop.get(tiny_model, context())
    assert shop.said == [f"kv cache {shop.folders[0].name} is not used, and made anew: layer-000.safetensors: missing"]


def test_damaged_cache_is_reported_only_to_possible_users(tiny_model: LocalModel, shop: Shop) -> None:
    shop.get(tiny_model, context())
    [damaged] = shop.folders
    (damaged / FILE).write_text("{}")
    shop.get(tiny_model, context(seed=1))
    assert shop.said == []
    shop.get(tiny_model, [*context(CHUNK), *context(20, seed=2)])
    assert shop.said == [f"kv cache {damaged.name} is not used: {FILE}: cannot be understood (KeyError)"]

"""BERTScore runs on every kind of encoder: long answers are read, and layers are cut where the package cuts them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
import transformers
from transformers import AutoModel, AutoTokenizer

from rmtbench.errors import UserError
from rmtbench.models.embed_files import model_folder
from rmtbench.models.weights import weights_hash
from rmtbench.scoring.bertscore import BertScorer, device_note, score_pairs

LONG = " ".join(f"word {number} of a line" for number in range(60))
PAIRS = [(LONG, LONG), ("the blue mill", "a mill"), ("Orle", "the river Orle")]

WIDE = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 64}
HALVES = {
    "d_model": 32,
    "encoder_layers": 2,
    "decoder_layers": 2,
    "encoder_attention_heads": 2,
    "decoder_attention_heads": 2,
    "encoder_ffn_dim": 64,
    "decoder_ffn_dim": 64,
}
POSITIONS = {"max_position_embeddings": 64, "pad_token_id": 0}
FNET = {name: value for name, value in WIDE.items() if name != "num_attention_heads"}
NARROW = {"embedding_size": 16, "intra_bottleneck_size": 16, "true_hidden_size": 16}
FLOWS = {"emb_dim": 32, "n_layers": 2, "n_heads": 2, "max_position_embeddings": 64, "pad_index": 0}
PROPHET = {
    "hidden_size": 32,
    "num_encoder_layers": 2,
    "num_decoder_layers": 2,
    "num_encoder_attention_heads": 2,
    "num_decoder_attention_heads": 2,
    "encoder_ffn_dim": 64,
    "decoder_ffn_dim": 64,
}
# Family, configuration, most tokens of one text (None: no limit).
FAMILIES = {
    "Albert": ({**WIDE, **POSITIONS, "embedding_size": 16}, 64),
    "Bart": ({**HALVES, **POSITIONS}, 64),
    "Bert": ({**WIDE, **POSITIONS}, 64),
    "BigBird": ({**WIDE, **POSITIONS}, 64),
    "Camembert": ({**WIDE, **POSITIONS}, 63),
    "ConvBert": ({**WIDE, **POSITIONS, "embedding_size": 32}, 64),
    "Data2VecText": ({**WIDE, **POSITIONS}, 63),
    "Deberta": ({**WIDE, **POSITIONS}, 64),
    "DebertaV2": ({**WIDE, **POSITIONS}, 64),
    "DistilBert": ({"dim": 32, "n_layers": 2, "n_heads": 2, "hidden_dim": 64, "max_position_embeddings": 64}, 64),
    "Electra": ({**WIDE, **POSITIONS, "embedding_size": 32}, 64),
    "Ernie": ({**WIDE, **POSITIONS}, 64),
    "Esm": ({**WIDE, **POSITIONS, "mask_token_id": 103, "position_embedding_type": "absolute"}, 63),
    "FNet": ({**FNET, **POSITIONS}, 64),
    "Flaubert": (FLOWS, 64),
    "GPT2": ({"n_embd": 32, "n_layer": 2, "n_head": 2, "n_positions": 64}, 64),
    "IBert": ({**WIDE, **POSITIONS}, 63),
    "LED": (
        {**HALVES, "pad_token_id": 0, "max_encoder_position_embeddings": 64, "attention_window": 8},
        64,
    ),
    "Longformer": ({**WIDE, **POSITIONS, "attention_window": 8}, 63),
    "Luke": ({**WIDE, **POSITIONS, "entity_vocab_size": 10}, 63),
    "MBart": ({**HALVES, **POSITIONS}, 64),
    "MPNet": ({**WIDE, "max_position_embeddings": 64}, 62),
    "MegatronBert": ({**WIDE, **POSITIONS}, 64),
    "MobileBert": ({**WIDE, **POSITIONS, **NARROW, "intermediate_size": 32}, 64),
    "ModernBert": ({**WIDE, **POSITIONS}, 64),
    "Nystromformer": ({**WIDE, **POSITIONS}, 64),
    "Pegasus": ({**HALVES, **POSITIONS}, 64),
    "ProphetNet": ({**PROPHET, **POSITIONS}, 64),
    "RemBert": ({**WIDE, **POSITIONS}, 64),
    "Roberta": ({**WIDE, **POSITIONS}, 63),
    "RobertaPreLayerNorm": ({**WIDE, **POSITIONS}, 63),
    "SqueezeBert": ({**WIDE, **POSITIONS, "embedding_size": 32}, 64),
    "T5": ({"d_model": 32, "d_kv": 16, "d_ff": 64, "num_layers": 2, "num_heads": 2}, None),
    "XLM": (FLOWS, 64),
    "XLMRoberta": ({**WIDE, **POSITIONS}, 63),
    "XLMRobertaXL": ({**WIDE, **POSITIONS}, 63),
    "XLNet": ({"d_model": 32, "n_layer": 2, "n_head": 2, "d_inner": 64}, None),
    "Xmod": ({**WIDE, **POSITIONS, "languages": ["en_XX"], "default_language": "en_XX"}, 63),
}

Save = Callable[[str], Path]


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> Save:
    """Saves a tiny model of a family, with MiniLM's words and no limit of the tokenizer's own."""
    words = AutoTokenizer.from_pretrained(model_folder("minilm"), model_max_length=10**30)

    def save(family: str) -> Path:
        folder = tmp_path_factory.mktemp(f"family{len(family)}") / family.lower()
        config = getattr(transformers, f"{family}Config")(vocab_size=len(words), **FAMILIES[family][0])
        torch.manual_seed(0)
        AutoModel.from_config(config).save_pretrained(folder)
        words.save_pretrained(folder)
        return folder

    return save


@pytest.mark.parametrize("family", FAMILIES)
def test_a_long_answer_is_read_up_to_the_limit(family: str, saved: Save) -> None:
    scorer = BertScorer(str(saved(family)))
    values = score_pairs(scorer, PAIRS)
    assert values[LONG, LONG] == pytest.approx((1, 1, 1), abs=1e-4)
    assert all(0 <= value < 1 + 1e-5 for triple in values.values() for value in triple)
    limit = FAMILIES[family][1]
    length = len(scorer.embed([LONG])[LONG].matrix)
    assert length == limit if limit else length > 250


@pytest.mark.parametrize(
    "family", ["Albert", "Bart", "Bert", "DistilBert", "MPNet", "ProphetNet", "T5", "XLM", "XLNet"]
)
@pytest.mark.parametrize("layers", [1, 2])
def test_layers_are_cut_where_the_package_cuts_them(family: str, layers: int, saved: Save) -> None:
    import bert_score

    folder = saved(family)
    short = PAIRS[1:]
    words = AutoTokenizer.from_pretrained(folder, model_max_length=60)  # the package gives no limit on
    words.save_pretrained(folder)
    ours = score_pairs(BertScorer(str(folder), layers), short)
    # To the package, padding is a token of similarity 0: a longer text beside each pair gives both sides some.
    for pair in short:
        theirs = bert_score.score([pair[0], LONG], [pair[1], LONG], model_type=str(folder), num_layers=layers)
        assert ours[pair] == pytest.approx([float(value[0]) for value in theirs], abs=1e-5)


def test_more_layers_than_the_model_has_are_refused(saved: Save) -> None:
    with pytest.raises(UserError, match="has 2 layers") as error:
        BertScorer(str(saved("Bert")), 5)
    assert error.value.where == "--scorer"


def test_weights_stored_in_16_bits_score_in_float32(saved: Save, tmp_path: Path) -> None:
    folder, wide = saved("Bert"), tmp_path / "wide"
    AutoModel.from_pretrained(folder).bfloat16().save_pretrained(folder)
    AutoModel.from_pretrained(folder).float().save_pretrained(wide)
    AutoTokenizer.from_pretrained(folder).save_pretrained(wide)
    found, expected = (score_pairs(BertScorer(str(place), device="cpu"), PAIRS) for place in (folder, wide))
    assert found == expected


def test_a_scorers_name_tells_the_device_only_off_the_cpu(saved: Save) -> None:
    told = {device: device_note(device) for device in ("cpu", "cuda", "cuda:1", "mps")}
    assert told == {"cpu": "", "cuda": " on cuda", "cuda:1": " on cuda", "mps": " on mps"}
    folder = str(saved("Bert"))
    assert BertScorer(folder, device="cpu").name.endswith(f"sha256:{weights_hash(folder)[:16]}")
    with pytest.raises(UserError, match="no device 'cuda:99' here"):
        BertScorer(folder, device="cuda:99")


@pytest.mark.gpu
def test_a_gpu_scores_as_the_cpu(saved: Save) -> None:
    folder = str(saved("Bert"))
    scorer = BertScorer(folder)
    assert scorer.name.endswith(" on cuda")
    found, expected = score_pairs(scorer, PAIRS), score_pairs(BertScorer(folder, device="cpu"), PAIRS)
    for pair in PAIRS:
        assert found[pair] == pytest.approx(expected[pair], abs=1e-5)

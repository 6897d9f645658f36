"""A cross-encoder scores question and text together; its folder is named by hash, and what is none is refused."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from safetensors.torch import load_file, save_file

from rmtbench.errors import UserError
from rmtbench.models.rerank import CrossEncoder, reranker_label

TEXTS = ["the mill by the river", "a market", "", "the mayor of Arden is Tam Nedra " * 40, "the mill by the river"]


def test_scores_follow_texts_and_ignore_neighbours(cross_encoder: Path) -> None:
    judge = CrossEncoder(str(cross_encoder))
    together = judge.score("Where is the mill?", TEXTS)
    assert together == pytest.approx([judge.score("Where is the mill?", [text])[0] for text in TEXTS], abs=1e-5)
    assert together[0] == pytest.approx(together[4], abs=1e-6)
    assert len({round(score, 4) for score in together}) == 4
    assert judge.score("Who is the mayor?", TEXTS)[0] != pytest.approx(together[0], abs=1e-4)
    assert judge.score("Who?", []) == []


def test_a_mark_such_as_sep_in_a_text_is_text(cross_encoder: Path) -> None:
    marked, spelt = CrossEncoder(str(cross_encoder)).score("Which [CLS]?", ["one [SEP] two", "one [sep] two"])
    assert marked == pytest.approx(spelt, abs=1e-6)


def test_it_is_named_by_its_folder_and_the_hash_of_its_files(cross_encoder: Path, tmp_path: Path) -> None:
    copy = tmp_path / "elsewhere" / cross_encoder.name
    shutil.copytree(cross_encoder, copy)
    assert reranker_label(str(copy)) == reranker_label(str(cross_encoder)) == CrossEncoder(str(copy)).name
    assert CrossEncoder(str(copy)).sha256 == CrossEncoder(str(cross_encoder)).sha256
    (copy / "config.json").write_text((copy / "config.json").read_text() + "\n")
    assert reranker_label(str(copy)) != reranker_label(str(cross_encoder))
    assert reranker_label("nobody/hub-id") == "nobody/hub-id"


def test_what_is_no_cross_encoder_is_refused_with_what_to_do(
    cross_encoder: Path, two_scores: Path, tmp_path: Path
) -> None:
    broken = tmp_path / "broken"
    shutil.copytree(cross_encoder, broken)
    next(broken.glob("*.safetensors")).write_bytes(b"torn")
    headless = tmp_path / "headless"
    shutil.copytree(cross_encoder, headless)
    file = next(headless.glob("*.safetensors"))
    weights = load_file(file)
    save_file({name: each for name, each in weights.items() if name != "classifier.weight"}, file)
    with pytest.raises(UserError, match=r"lack 1 tensors .* such as classifier\.weight"):
        CrossEncoder(str(headless))
    for folder, what in (
        (tmp_path, "weights are missing"),
        (two_scores, "gives 2 scores"),
        (broken, "cannot be loaded"),
    ):
        with pytest.raises(UserError, match=what) as caught:
            CrossEncoder(str(folder))
        assert caught.value.where.startswith("--reranker")
        assert "cross-encoder" in caught.value.remedy

"""Windows: every word of a long text is read, each window to its end, and neighbours overlap by about a quarter."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import PreTrainedTokenizerBase, PreTrainedTokenizerFast

from rmtbench.errors import UserError
from rmtbench.models.embed import TransformersEmbedder, load_embedder
from rmtbench.models.embed_windows import OVERLAP, cut_windows, reads
from rmtbench.models.load import load_tokenizer

ENGLISH = "Marla Quist founded the Harrow works beside the old mill, and naïve café-goers (東京 🙂) admired it. "
TEXTS = {
    "english": ENGLISH * 8,
    "one word": "x" * 3000,
    "emoji": "🙂🙃" * 300,
    "chinese": "東京都は日本の首都である" * 40,
    "mixed": ENGLISH + "abc1234567890" * 90 + " \n\t " + ENGLISH * 3 + "   ",
}


def trained(kind: str) -> PreTrainedTokenizerBase:
    """A small tokenizer of another kind than WordPiece."""
    corpus = [ENGLISH * 20]
    if kind == "unigram":
        words = Tokenizer(models.Unigram())
        words.pre_tokenizer = pre_tokenizers.Metaspace()
        words.train_from_iterator(
            corpus, trainers.UnigramTrainer(vocab_size=60, unk_token="<u>", special_tokens=["<u>"])
        )
    else:
        words = Tokenizer(models.BPE())
        words.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
        words.decoder = decoders.ByteLevel()
        alphabet = pre_tokenizers.ByteLevel.alphabet()
        words.train_from_iterator(corpus, trainers.BpeTrainer(vocab_size=300, initial_alphabet=alphabet))
    return PreTrainedTokenizerFast(tokenizer_object=words)


@pytest.fixture(scope="module", params=["wordpiece", "byte-level", "unigram"])
def tokenizer(request: pytest.FixtureRequest) -> PreTrainedTokenizerBase:
    return load_tokenizer("random:tiny") if request.param == "wordpiece" else trained(request.param)


def check(tokenizer: PreTrainedTokenizerBase, text: str, head: str, prompt: str, limit: int) -> list[tuple[int, int]]:
    """Cut a text and assert all that windows promise, by nothing but the tokenizer."""
    [spans] = cut_windows(reads(tokenizer, prompt), [text], [head], limit)
    whole = len(tokenizer(prompt + head + text, verbose=False)["input_ids"])
    if whole <= limit:
        assert spans == [(0, len(text))]
        return spans
    assert len(spans) > 1
    assert (spans[0][0], spans[-1][1]) == (0, len(text))
    for start, end in spans:
        assert start < end
        assert len(tokenizer(prompt + head + text[start:end], verbose=False)["input_ids"]) <= limit
    for (start, end), (following, last) in pairwise(spans):
        assert start < following
        assert end < last
        assert following <= end or not text[end:following].strip(), "what lies between two windows is read by none"
        shared = tokenizer(text[following:end], add_special_tokens=False, verbose=False)["input_ids"]
        assert len(shared) <= limit // OVERLAP + 4, "cut out of its text, a part may have a few more tokens"
    return spans


@pytest.mark.parametrize("text", TEXTS.values(), ids=TEXTS)
@pytest.mark.parametrize("limit", [24, 64, 100_000])
def test_every_character_is_in_a_window_that_is_read_to_its_end(
    text: str, limit: int, tokenizer: PreTrainedTokenizerBase
) -> None:
    check(tokenizer, text, "Harrow\n", "", limit)
    check(tokenizer, text, "", "passage: ", limit)


@given(st.text(alphabet="ab .,é東🙂\n", min_size=1, max_size=400), st.integers(16, 60))
@settings(max_examples=60, deadline=None)
def test_any_text_is_covered(text: str, limit: int) -> None:
    check(load_once(), text, "T\n", "", limit)


_loaded: list[PreTrainedTokenizerBase] = []


def load_once() -> PreTrainedTokenizerBase:
    if not _loaded:
        _loaded.append(load_tokenizer("random:tiny"))
    return _loaded[0]


def test_word_windows_are_full_and_overlap_by_quarter() -> None:
    words = load_once()
    text = " ".join(["river"] * 300)
    spans = check(words, text, "", "", 42)  # 40 words beside two special tokens
    counts = [len(text[start:end].split()) for start, end in spans]
    assert counts[:-1] == [40] * (len(spans) - 1)
    assert [start % 6 for start, _ in spans] == [0] * len(spans)
    assert {(end + 1 - following) // 6 for (_, end), (following, _) in pairwise(spans)} == {10}


def test_a_text_is_cut_from_the_first_token_on_that_is_not_read() -> None:
    words = load_once()
    assert len(check(words, " ".join(["river"] * 40), "", "", 42)) == 1
    assert len(check(words, " ".join(["river"] * 41), "", "", 42)) == 2
    assert len(check(words, " ".join(["river"] * 40), "mill\n", "", 42)) == 2
    assert len(check(words, " ".join(["river"] * 40), "", "mill ", 42)) == 2


def test_embedder_reads_its_windows_to_their_end_and_not_whole() -> None:
    minilm = load_embedder("minilm")
    assert isinstance(minilm, TransformersEmbedder)
    text = ENGLISH * 20
    [spans] = minilm.windows([text], ["Harrow\n"])
    assert len(spans) > 2
    assert minilm.truncated(["Harrow\n" + text]) == 1
    assert minilm.truncated(["Harrow\n" + text[start:end] for start, end in spans]) == 0
    assert minilm.windows([], []) == []
    assert minilm.windows(["short", text], ["", "Harrow\n"]) == [[(0, 5)], spans]


def test_a_title_that_leaves_no_room_is_refused() -> None:
    with pytest.raises(UserError, match="a title takes 32 of the 42 tokens") as caught:
        cut_windows(reads(load_once(), ""), ["river " * 100], ["mill " * 30], 42)
    assert caught.value.where.startswith("the document 'mill mill")
    assert "embed-windows=off" in caught.value.remedy
    assert cut_windows(reads(load_once(), ""), ["river"], ["mill " * 30], 42) == [[(0, 5)]]


class Slow:
    """A tokenizer in Python, which gives no offsets."""

    is_fast = False

    def __call__(self, texts: Sequence[str], **_options: object) -> dict[str, list[list[str]]]:
        return {"input_ids": [text.split() for text in texts]}


def test_tokenizer_without_offsets_is_refused_only_to_cut() -> None:
    how = reads(Slow(), "")  # type: ignore[arg-type]
    assert cut_windows(how, ["one two"], [""], 5) == [[(0, 7)]]
    assert cut_windows(how, ["one " * 50], [""], None) == [[(0, 200)]]
    with pytest.raises(UserError, match="does not say where its tokens lie") as caught:
        cut_windows(how, ["one " * 50], [""], 5)
    assert "embed-windows=off" in caught.value.remedy

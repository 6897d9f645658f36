"""What BM25 counts as a word, by setting."""

from __future__ import annotations

import typing
import unicodedata

import pytest

from rmtbench.options.retrieval import STOP_WORDS as OFFERED
from rmtbench.retrieval.words import PLAIN, STOP_WORDS, Words, words

TEXT = "The Millers' rivers weren't RUNNING by 3 mills"


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        (PLAIN, "the millers rivers weren t running by 3 mills"),
        (Words(stop_words="english"), "millers rivers weren running 3 mills"),
        (Words(stemming="english"), "the miller river weren t run by 3 mill"),
        (Words("english", "english"), "miller river weren run 3 mill"),
        (Words(stemming="german"), None),
    ],
)
def test_each_setting_makes_its_own_words(settings: Words, expected: str | None) -> None:
    found = settings.tokenizer()(TEXT)
    assert " ".join(found) == expected if expected else found != words(TEXT)


def test_stop_words_are_left_out_before_stems_are_made() -> None:
    assert Words("english", "english").tokenizer()("doing being once") == []


def test_no_two_settings_have_one_identity() -> None:
    made = [Words(stem, stop) for stem in (None, "english", "german") for stop in (None, "english")]
    assert len({each.identity for each in made}) == 6
    assert "PyStemmer" in made[2].identity


def test_the_door_offers_the_languages_that_there_are() -> None:
    assert set(OFFERED) == set(STOP_WORDS)
    assert typing.get_type_hints(Words)["stemming"] == str | None


def test_an_accent_is_part_of_its_letter_however_it_is_spelt() -> None:
    assert words("Sa\u0303o Paulo") == words("S\u00e3o Paulo") == ["s\u00e3o", "paulo"]


@pytest.mark.parametrize(
    "text",
    ["हिन्दी में पुस्तक", "தமிழ் மொழி", "বাংলা ভাষা", "كِتَابٌ جَدِيدٌ", "שָׁלוֹם עוֹלָם"],
    ids=["hindi", "tamil", "bengali", "arabic", "hebrew"],
)
def test_a_vowel_sign_is_part_of_its_word(text: str) -> None:
    assert words(text) == [unicodedata.normalize("NFC", word) for word in text.split()]


def test_a_sentence_without_spaces_is_no_single_word() -> None:
    assert len(words("ที่นี่คือกรุงเทพ")) > 1


def test_the_look_of_an_emoji_is_no_word() -> None:
    assert words("I \u2764\ufe0f step 1\ufe0f\u20e3") == ["i", "step", "1"]

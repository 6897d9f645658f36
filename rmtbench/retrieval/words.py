"""What BM25 counts as a word: the pattern, and by wish stems in place of words, and no stop words.

Stems are Snowball's, from PyStemmer; the English stop words are a short list of function words.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from importlib.metadata import version

from rmtbench.scripts import is_unspaced

Tokenizer = Callable[[str], list[str]]

# Pronouns, forms of to be, have and do, auxiliaries, articles, conjunctions, prepositions, common adverbs.
_ENGLISH = (
    "i me my myself we our ours ourselves you your yours yourself yourselves he him his himself she her hers "
    "herself it its itself they them their theirs themselves what which who whom this that these those am is "
    "are was were be been being have has had having do does did doing would should could ought cannot a an the "
    "and but if or because as until while of at by for with about against between into through during before "
    "after above below to from up down in out on off over under again further then once here there when where "
    "why how all any both each few more most other some such no nor not only own same so than too very s t d m "
    "ll re ve"
)
STOP_WORDS = {"english": frozenset(_ENGLISH.split())}
"""Stop words by language; the last seven are what the word pattern leaves of contractions."""


@dataclass(frozen=True, slots=True)
class Words:
    """How texts become words. The default is the plainest: every word as it stands, in lower case.

    Attributes:
        stemming: Language of Snowball's stemmer; None for whole words.
        stop_words: Language of the words that are left out; None for none.
    """

    stemming: str | None = None
    stop_words: str | None = None

    @property
    def identity(self) -> str:
        """All that decides the words of a text, the stemmer's version included."""
        stemmer = f"PyStemmer {version('PyStemmer')} {self.stemming}" if self.stemming else "none"
        return f"pattern=\\w+ with marks nfc lower stemming={stemmer} stop_words={self.stop_words or 'none'}"

    def tokenizer(self) -> Tokenizer:
        """Make the function from a text to its words: all in lower case, stop words out, then stemmed.

        Raises:
            KeyError: A language is not known.
        """
        if self.stemming is None and self.stop_words is None:
            return words
        left_out = STOP_WORDS[self.stop_words] if self.stop_words else frozenset()
        if self.stemming is None:
            return lambda text: [word for word in words(text) if word not in left_out]
        from Stemmer import Stemmer

        stem = Stemmer(self.stemming).stemWords
        return lambda text: stem([word for word in words(text) if word not in left_out])


PLAIN = Words()


def words(text: str) -> list[str]:
    r"""The words of a text as BM25 counts them by default: every ``\w+`` with the marks on its letters, in lower case.

    Letters with accents count as one character (Unicode NFC), however a question or a document spells them. What no
    letter composes with, such as a vowel sign of Hindi or Tamil, is part of the word too.
    """
    if text.isascii():
        return re.findall(r"\w+", text.lower())
    return _marked_words().findall(unicodedata.normalize("NFC", text).lower())


@cache
def _marked_words() -> re.Pattern[str]:
    r"""``\w+``, which in Python has no marks, with those of all scripts that put spaces between words.

    In the other scripts a mark stays a border: without any, a sentence of Thai would be one word. So do those that only
    choose the look of an emoji.
    """
    signs = (chr(code) for code in range(0x300, 0x20000) if unicodedata.category(chr(code)) in ("Mn", "Mc"))
    marks = (sign for sign in signs if not is_unspaced(sign) and "VARIATION" not in unicodedata.name(sign, ""))
    return re.compile(rf"\w[\w{''.join(marks)}]*")

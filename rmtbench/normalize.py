"""Answers in the normal form in which each data set's official evaluator compares them.

Sources: SQuAD `evaluate-v1.1.py`, HotpotQA `hotpot_evaluate_v1.py`, TriviaQA `triviaqa_evaluation.py`.
"""

from __future__ import annotations

import re
import string

_ARTICLES = re.compile(r"\b(a|an|the)\b", re.UNICODE)
_PUNCTUATION = frozenset(string.punctuation)
_TRIVIAQA_PUNCTUATION = frozenset(string.punctuation + "‘’´`")
_TRIVIAQA_WORD = re.compile(rf"[^\s{re.escape(''.join(sorted(_TRIVIAQA_PUNCTUATION)))}]+")


def normalize_squad(text: str) -> str:
    """Lower case, without ASCII punctuation, without English articles, single spaces: in this order."""
    bare = "".join(character for character in text.lower() if character not in _PUNCTUATION)
    return " ".join(_ARTICLES.sub(" ", bare).split())


def normalize_triviaqa(text: str) -> str:
    """As SQuAD's, but underscores and punctuation (curly quotes too) become spaces instead of vanishing.

    The official order counts: underscores, lower case, punctuation, articles, white space.
    """
    spaced = "".join(
        " " if character in _TRIVIAQA_PUNCTUATION else character for character in text.replace("_", " ").lower()
    )
    return " ".join(_ARTICLES.sub(" ", spaced).split()).strip()


def triviaqa_words(text: str) -> list[tuple[str, int, int]]:
    """The words of TriviaQA's normal form, and where each begins and ends in the text itself."""
    found = ((match[0].lower(), *match.span()) for match in _TRIVIAQA_WORD.finditer(text))
    return [word for word in found if not _ARTICLES.fullmatch(word[0])]

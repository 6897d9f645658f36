"""Answers in the normal form in which each data set's official evaluator compares them.

Sources: SQuAD `evaluate-v1.1.py`, HotpotQA `hotpot_evaluate_v1.py`, TriviaQA `triviaqa_evaluation.py`.
"""

from __future__ import annotations

import re
import string

_ARTICLES = re.compile(r"\b(a|an|the)\b", re.UNICODE)
_PUNCTUATION = frozenset(string.punctuation)
_TRIVIAQA_PUNCTUATION = frozenset(string.punctuation + "‘’´`")


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

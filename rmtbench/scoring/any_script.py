"""Exact match and token F1 for text in any script, beside the official rules, which know English in ASCII.

Normal form: Unicode NFKC, without case, punctuation and symbols of any script, English articles and spare white space.
Of scripts that put no spaces between words each character is a token, so that F1 has something to count.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence
from itertools import chain, pairwise

from rmtbench.core import MetricValue
from rmtbench.scoring.answers import f1_of_tokens
from rmtbench.scoring.base import EachItem, Item, MetricKind
from rmtbench.scripts import is_unspaced

_ARTICLES = re.compile(r"\b(a|an|the)\b")


def tokens(text: str) -> list[str]:
    """The words of a text in its normal form; single characters of scripts without spaces.

    Args:
        text: An answer or a reference.
    """
    form = unicodedata.normalize("NFKC", text).casefold()
    bare = "".join(each for each in form if each.isspace() or unicodedata.category(each)[0] not in "PSC")
    letters = _ARTICLES.sub(" ", unicodedata.normalize("NFKC", bare))
    return "".join(f" {each}" if _begins_token(each) else each for each in _apart(letters)).split()


def exact_match(prediction: str, references: Sequence[str]) -> float:
    """1 if the answer's tokens are those of a reference, else 0."""
    return float(any(tokens(prediction) == tokens(reference) for reference in references))


def token_f1(prediction: str, references: Sequence[str]) -> float:
    """Harmonic mean of token precision and recall, best over the references, in [0, 1]."""
    words = tokens(prediction)
    return max((f1_of_tokens(words, tokens(reference)) for reference in references), default=0.0)


def any_script_metric(_scorer_model: str) -> EachItem:
    """`exact_match` and `token_f1` as a metric; a failed answer is wrong, whatever the reference."""

    def values(item: Item) -> dict[str, float | None]:
        if item.answer.error is not None:
            return {"em_unicode": 0.0, "f1_unicode": 0.0}
        references = item.gold.references
        return {"em_unicode": exact_match(item.text, references), "f1_unicode": token_f1(item.text, references)}

    return EachItem(dict.fromkeys(("em_unicode", "f1_unicode"), "any script v1"), values)


def _apart(text: str) -> str:
    """The text with a space at every border between a script without spaces and any other."""
    if not text:
        return ""
    borders = ("" if is_unspaced(one) == is_unspaced(other) else " " for one, other in pairwise(text))
    return "".join(chain.from_iterable(zip(text, [*borders, ""], strict=True)))


def _begins_token(character: str) -> bool:
    """Whether it is a token of its own; marks, such as vowels of Thai, go with the character before."""
    return is_unspaced(character) and unicodedata.category(character)[0] != "M"


METRIC = MetricKind(
    "any_script",
    (
        MetricValue("em_unicode", "EM, any script", order=30, beside="em"),
        MetricValue("f1_unicode", "F1, any script", order=40, beside="f1"),
    ),
    any_script_metric,
)

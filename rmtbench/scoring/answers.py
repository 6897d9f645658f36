"""The metrics `em` and `f1`: exact match and token F1 by the official rules of SQuAD v1.1, HotpotQA and TriviaQA.

A user's own folder is scored by SQuAD's rules. The best of all references counts.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence

from rmtbench.core import MetricValue
from rmtbench.corpora.registry import known_datasets
from rmtbench.normalize import normalize_squad, normalize_triviaqa
from rmtbench.scoring.base import EachItem, Item, MetricKind

_NORMALIZE: Mapping[str, Callable[[str], str]] = {
    "squad": normalize_squad,
    "hotpotqa": normalize_squad,  # its evaluator took it over
    "triviaqa": normalize_triviaqa,
}
_WHOLE_ANSWERS = frozenset({"yes", "no", "noanswer"})
"""HotpotQA: an answer that is one of these, or should be, is right or wrong as a whole."""


def exact_match(prediction: str, references: Sequence[str], dataset: str) -> float:
    """1 if the answer's normal form is that of a reference, else 0.

    Args:
        prediction: The answer; even an empty one equals a reference without a normal form, such as "The".
        references: All accepted answers.
        dataset: Decides the normal form.
    """
    normalize = normal_form(dataset)
    form = normalize(prediction)
    return float(any(form == normalize(reference) for reference in references))


def token_f1(prediction: str, references: Sequence[str], dataset: str) -> float:
    """Harmonic mean of token precision and recall of the normal forms, best over the references, in [0, 1]."""
    normalize = normal_form(dataset)
    form = normalize(prediction)
    return max((_f1(form, normalize(reference), dataset) for reference in references), default=0.0)


def exact_match_metric(_scorer_model: str) -> EachItem:
    """`exact_match` as a metric; a failed answer is wrong, whatever the reference."""

    def value(item: Item) -> dict[str, float | None]:
        failed = item.answer.error is not None
        return {"em": 0.0 if failed else exact_match(item.text, item.gold.references, item.dataset)}

    return EachItem({"em": "official rules v1"}, value)


def token_f1_metric(_scorer_model: str) -> EachItem:
    """`token_f1` as a metric."""
    return EachItem(
        {"f1": "official rules v1"},
        lambda item: {"f1": token_f1(item.text, item.gold.references, item.dataset)},
    )


def normal_form(dataset: str) -> Callable[[str], str]:
    """What brings an answer into the normal form that a data set's official rules compare."""
    return _NORMALIZE[_rules(dataset)]


def _rules(dataset: str) -> str:
    """The data set whose official rules apply: the one that another package's names, and SQuAD for own folders."""
    kind = known_datasets().get(dataset)
    return "squad" if kind is None else kind.normal_form


def _f1(prediction: str, reference: str, dataset: str) -> float:
    if _rules(dataset) == "hotpotqa" and prediction != reference and {prediction, reference} & _WHOLE_ANSWERS:
        return 0.0
    return f1_of_tokens(prediction.split(), reference.split())


def f1_of_tokens(words: Sequence[str], truth: Sequence[str]) -> float:
    """Harmonic mean of the precision and recall of tokens, as often as each stands, in [0, 1]."""
    common = (Counter(words) & Counter(truth)).total()
    if common == 0:
        return 0.0
    precision, recall = common / len(words), common / len(truth)
    return 2 * precision * recall / (precision + recall)


METRIC = (
    MetricKind("em", (MetricValue("em", "EM", order=10),), exact_match_metric),
    MetricKind("f1", (MetricValue("f1", "F1", order=20),), token_f1_metric),
)

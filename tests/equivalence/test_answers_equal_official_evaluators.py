"""Exact match and F1 are those of the official evaluators: by hand here, and beside their scripts where these are."""

import importlib.util
import itertools
import json
import os
import random
import sys
from pathlib import Path
from types import ModuleType

import pytest

from rmtbench.scoring.answers import exact_match, token_f1

SCRIPTS = {
    "squad": "evaluate-v1.1.py",
    "hotpotqa": "hotpot_evaluate_v1.py",
    "triviaqa": "triviaqa_evaluation.py",
}
ALL = tuple(SCRIPTS)

# Data sets, prediction, references, exact match and F1, the last two worked out by hand from the published rules.
CASES = [
    (ALL, "The Blue Mill!", ["blue mill"], 1, 1),
    (ALL, "  blue \t\n mill ", ["Blue Mill"], 1, 1),
    (ALL, "blue mill on the hill", ["blue mill"], 0, 2 / 3),  # 2 of 4 words, 2 of 2
    (ALL, "mill mill", ["mill"], 0, 2 / 3),  # a word counts as often as both sides have it
    (ALL, "mill blue", ["blue mill"], 0, 1),  # F1 is blind to order
    (ALL, "red barn", ["blue mill"], 0, 0),
    (ALL, "theatre", ["atre"], 0, 0),  # an article is a whole word
    (("squad", "triviaqa"), "mill", ["blue mill", "old water mill", "Mill."], 1, 1),
    (("squad", "triviaqa"), "water mill", ["blue mill house", "old water mill"], 0, 4 / 5),  # the best, not the first
    # Nothing left on one side or both.
    (ALL, "", ["blue mill"], 0, 0),
    (ALL, "the", ["blue mill"], 0, 0),
    (ALL, "", ["The"], 1, 0),
    (ALL, "an", ["A"], 1, 0),
    (ALL, "?!", ["..."], 1, 0),
    # Letters beyond ASCII.
    (ALL, "CAFÉ", ["café"], 1, 1),
    (ALL, "cafe\u0301", ["caf\u00e9"], 0, 0),  # no Unicode normalization
    (ALL, "STRASSE", ["straße"], 0, 0),  # lower case, not case folding
    (ALL, "blue\u00a0mill", ["blue mill"], 1, 1),
    (ALL, "blue\u200bmill", ["blue mill"], 0, 0),
    (ALL, "東京", ["東京"], 1, 1),
    (ALL, "東京 tower", ["東京"], 0, 2 / 3),
    # Punctuation vanishes in SQuAD and HotpotQA and becomes a space in TriviaQA.
    (("squad", "hotpotqa"), "O'Neil", ["ONeil"], 1, 1),
    (("triviaqa",), "O'Neil", ["ONeil"], 0, 0),
    (("squad", "hotpotqa"), "1,000", ["1000"], 1, 1),
    (("triviaqa",), "1,000", ["1000"], 0, 0),
    (("squad", "hotpotqa"), "end-of-the-line", ["end of line"], 0, 0),
    (("triviaqa",), "end-of-the-line", ["end of line"], 1, 1),
    (("squad", "hotpotqa"), "A.A.", ["AA"], 1, 1),
    (("triviaqa",), "A.A.", ["AA"], 0, 0),  # two articles, so nothing is left
    (("squad", "hotpotqa"), "blue_mill", ["blue mill"], 0, 0),
    (("triviaqa",), "blue_mill", ["blue mill"], 1, 1),
    (("squad", "hotpotqa"), "the_end", ["end"], 0, 0),
    (("triviaqa",), "the_end", ["end"], 1, 1),
    # Curly quotes, acute and grave accents count as punctuation in TriviaQA only; the grave one is ASCII.
    (("squad", "hotpotqa"), "O’Neil", ["O'Neil"], 0, 0),
    (("triviaqa",), "O’Neil", ["O'Neil"], 1, 1),
    (("triviaqa",), "‘mill´", ["mill"], 1, 1),
    (("squad", "hotpotqa"), "‘mill’", ["mill"], 0, 0),
    (ALL, "`mill`", ["mill"], 1, 1),
    (ALL, "“mill”", ["mill"], 0, 0),
    # HotpotQA gives no part of a point where either side is yes, no or noanswer.
    (ALL, "Yes.", ["yes"], 1, 1),
    (ALL, "no", ["yes"], 0, 0),
    (("hotpotqa",), "yes it is", ["yes"], 0, 0),
    (("squad", "triviaqa"), "yes it is", ["yes"], 0, 1 / 2),
    (("hotpotqa",), "no", ["no way"], 0, 0),
    (("squad", "triviaqa"), "no", ["no way"], 0, 2 / 3),
    (("hotpotqa",), "noanswer", ["noanswer at all"], 0, 0),
    (("hotpotqa",), "yes sir", ["yes madam"], 0, 1 / 2),  # neither is the bare word
    (("hotpotqa",), "the no", ["No!"], 1, 1),
]


@pytest.mark.parametrize(
    ("dataset", "prediction", "references", "match", "f1"),
    [(dataset, *case[1:]) for case in CASES for dataset in case[0]],
)
def test_crafted_answers_get_the_values_that_follow_from_rules(dataset, prediction, references, match, f1):
    assert exact_match(prediction, references, dataset) == match
    assert token_f1(prediction, references, dataset) == pytest.approx(f1, abs=1e-12)


def test_a_data_set_without_rules_of_its_own_is_scored_as_squad():
    assert token_f1("yes it is", ["yes"], "my-folder") == token_f1("yes it is", ["yes"], "squad") == pytest.approx(0.5)
    assert exact_match("O'Neil", ["ONeil"], "my-folder") == 1


@pytest.fixture
def official(monkeypatch):
    """The three official scripts as modules by data set, from the folder that RMTBENCH_OFFICIAL_EVALUATORS names."""
    folder = os.environ.get("RMTBENCH_OFFICIAL_EVALUATORS", "")
    if not folder or not all((Path(folder) / name).is_file() for name in SCRIPTS.values()):
        pytest.skip(f"RMTBENCH_OFFICIAL_EVALUATORS names no folder with {', '.join(SCRIPTS.values())}")
    # What they import only to read and write files.
    monkeypatch.setitem(sys.modules, "ujson", json)
    for name in ("utils", "utils.dataset_utils", "utils.utils"):
        monkeypatch.setitem(sys.modules, name, ModuleType(name))
    modules = {}
    for dataset, name in SCRIPTS.items():
        spec = importlib.util.spec_from_file_location(f"official_{dataset}", Path(folder) / name)
        modules[dataset] = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(modules[dataset])
    return modules


PIECES = [
    *("the", "The", "a", "An", "yes", "Yes.", "NO", "noanswer", "no answer", "blue", "Blue!", "theatre", "and", "a's"),
    *("café", "e\u0301", "İstanbul", "straße", "ΣΑΣ", "東京", "🙂", "x²", "½", "٣", "\u00a0", "\u2003", "\u200b", "\t"),
    *("_", "the_end", "__a__", "O'Neil", "O’Neil", "‘quoted’", "“double”", "´", "`", "3.14", "3,14", "-", "—", "(the)"),
]


def crafted_pairs():
    """Predictions with their references: the cases, all pairs of pieces, every character to U+30FF, random phrases."""
    yield from ((prediction, references) for _, prediction, references, _, _ in CASES)
    yield from ((prediction, [reference]) for prediction, reference in itertools.product(["", *PIECES], repeat=2))
    yield from ((f"the{chr(code)}a x", ["x", "thea x", f"the {chr(code)} x"]) for code in range(0x3100))
    chance = random.Random(0)

    def phrase():
        return chance.choice([" ", " ", "", "  ", "_", "-"]).join(chance.choices(PIECES, k=chance.randint(0, 5)))

    yield from ((phrase(), [phrase() for _ in range(chance.randint(1, 4))]) for _ in range(5000))


@pytest.mark.parametrize("dataset", ALL)
def test_the_official_script_gives_the_same_values(dataset, official):
    module = official[dataset]

    def theirs(prediction, references):
        """The best over the references, which HotpotQA's script leaves to us: it knows only one."""
        match = max(module.exact_match_score(prediction, reference) for reference in references)
        values = [module.f1_score(prediction, reference) for reference in references]
        return float(match), max(value[0] if isinstance(value, tuple) else value for value in values)

    different = [
        (prediction, references)
        for prediction, references in crafted_pairs()
        if theirs(prediction, references)
        != (exact_match(prediction, references, dataset), token_f1(prediction, references, dataset))
    ]
    assert not different, f"{len(different)} differ, first {different[0]!r}"

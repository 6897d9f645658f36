"""Scoring several systems at once beside as many calls of the bert-score package, with one model, in one process."""

from __future__ import annotations

import random
import statistics
import time
import warnings
from collections.abc import Callable
from typing import Any

from rmtbench.corpora.open import SAMPLE
from rmtbench.models.embed_files import MINILM, model_folder
from rmtbench.runs.provenance import surroundings
from rmtbench.scoring.bertscore import BertScorer, score_pairs

ROUNDS = 3
LONGEST_REFERENCE, LONGEST_ANSWER = 8, 16


def run(answers: int = 1000, systems: int = 4) -> dict[str, Any]:
    """Time both on distinct phrases of the sample corpus (answers to 16 words, references to 8), warmed up, in turn, median of three rounds.

    Args:
        answers: Answers of each system, and references.
        systems: Systems.

    Returns:
        `speedup`: seconds of `systems` calls of ``bert_score.score`` over ours, each with its own loading of the model.
        `speedup_without_loading`: the same with one loaded model each. `speedup_when_systems_agree`: as `speedup`, half
        of the answers being the same in all systems. `max_abs_difference` over precision, recall and F1, and how many pairs differ by
        more than 1e-5 (the package's values can depend on the batch); seconds.
    """
    references, distinct = _texts(answers, systems, agreeing=0.0)
    _, agreeing = _texts(answers, systems, agreeing=0.5)
    package = _package(references)
    loaded = BertScorer(MINILM)
    package.one_call(distinct[0])  # both are warm from here on
    loaded.embed(references)
    jobs: dict[str, Callable[[], Any]] = {
        "package": lambda: [package.one_call(texts) for texts in distinct],
        "ours": lambda: _ours(BertScorer(MINILM), distinct, references),
        "package_loaded": lambda: [package.loaded_call(texts) for texts in distinct],
        "ours_loaded": lambda: _ours(loaded, distinct, references),
        "package_agreeing": lambda: [package.one_call(texts) for texts in agreeing],
        "ours_agreeing": lambda: _ours(BertScorer(MINILM), agreeing, references),
    }
    seconds: dict[str, list[float]] = {name: [] for name in jobs}
    values: dict[str, Any] = {}
    for _ in range(ROUNDS):
        for name, job in jobs.items():
            start = time.perf_counter()
            values[name] = job()
            seconds[name].append(time.perf_counter() - start)
    median = {name: statistics.median(times) for name, times in seconds.items()}
    differences = [
        max(abs(ours[place] - float(theirs[place][row])) for place in range(3))
        for system, theirs in zip(values["ours"], values["package"], strict=True)
        for row, ours in enumerate(system)
    ]
    facts = surroundings("cpu")
    return {
        "speedup": median["package"] / median["ours"],
        "speedup_without_loading": median["package_loaded"] / median["ours_loaded"],
        "speedup_when_systems_agree": median["package_agreeing"] / median["ours_agreeing"],
        "max_abs_difference": max(differences),
        "pairs_beyond_1e-5": sum(difference > 1e-5 for difference in differences),
        "seconds": median,
        "answers": answers,
        "longest_answer_words": LONGEST_ANSWER,
        "longest_reference_words": LONGEST_REFERENCE,
        "systems": systems,
        "scorer": loaded.name,
        "threads": facts["threads"],
        "versions": facts["versions"],
    }


class _package:  # noqa: N801 - a closure with two functions
    """The bert-score package with our default model, called as its README says."""

    def __init__(self, references: list[str]) -> None:
        self._references = references
        self._settings = {"model_type": str(model_folder(MINILM)), "num_layers": 6}
        from bert_score import BERTScorer

        self._scorer = BERTScorer(**self._settings)
        # Without a limit of its own the tokenizer overflows in the package: see docs/method.md.
        self._scorer._tokenizer.model_max_length = 512  # noqa: SLF001

    def one_call(self, texts: list[str]) -> Any:  # noqa: ANN401 - a tuple of tensors
        import bert_score

        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return bert_score.score(texts, self._references, **self._settings)

    def loaded_call(self, texts: list[str]) -> Any:  # noqa: ANN401 - a tuple of tensors
        return self._scorer.score(texts, self._references)


def _ours(scorer: BertScorer, systems: list[list[str]], references: list[str]) -> list[list[tuple[float, ...]]]:
    values = score_pairs(scorer, [pair for texts in systems for pair in zip(texts, references, strict=True)])
    return [[values[pair] for pair in zip(texts, references, strict=True)] for texts in systems]


def _texts(answers: int, systems: int, agreeing: float) -> tuple[list[str], list[list[str]]]:
    words = [word for path in sorted((SAMPLE / "documents").glob("*.md")) for word in path.read_text("utf-8").split()]
    chance = random.Random(f"{answers}/{systems}")  # noqa: S311 - no secret
    taken: set[str] = set()

    def phrase(near: int | None, longest: int) -> tuple[int, str]:
        """Some words in a row, never the same twice; `near` a place, as an answer taken from the text would be."""
        while True:
            length = chance.randint(1, longest)
            start = chance.randrange(len(words) - length)
            if near is not None:
                start = min(max(0, near + chance.randint(-length, 4)), len(words) - length)
            text = " ".join(words[start : start + length]).strip(".,;:#()")
            if len(taken) % 7 == 6:
                text += f" {chance.randint(2, 9999)}"
            if text and text not in taken:
                taken.add(text)
                return start, text

    placed = [phrase(None, LONGEST_REFERENCE) for _ in range(answers)]
    common = [phrase(start, LONGEST_ANSWER)[1] for start, _ in placed[: int(agreeing * answers)]]
    rest = placed[len(common) :]
    each = [common + [phrase(start, LONGEST_ANSWER)[1] for start, _ in rest] for _ in range(systems)]
    return [text for _, text in placed], each

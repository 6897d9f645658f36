"""Scoring several systems at once beside as many calls of the bert-score package, with one model, in one process."""

from __future__ import annotations

import random
import statistics
import time
import warnings
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from rmtbench.corpora.handbook import HANDBOOK
from rmtbench.models.embed_files import MINILM, model_folder
from rmtbench.runs.provenance import surroundings
from rmtbench.scoring.bertscore import BertScorer, Triple, score_pairs

if TYPE_CHECKING:
    import torch

ROUNDS = 3
PACKAGE_BATCH = 64
"""Pairs in a batch of ``bert_score.score``, by its default."""
LONGEST_REFERENCE, LONGEST_ANSWER = 8, 16


def run(answers: int = 1000, systems: int = 4) -> dict[str, Any]:
    """Time both on distinct phrases of the handbook: warmed up, in turn, median of three rounds.

    The package lets the padding of a batch count as similarity 0, so that the longest pair of a batch, which has none,
    can get another value there than anywhere else. Values are therefore compared where every pair is padded.

    Args:
        answers: Answers of each system, to 16 words, and references, to 8 words.
        systems: Systems.

    Returns:
        `speedup`: seconds of `systems` calls of ``bert_score.score`` over ours, each with its own loading of the model.
        `speedup_without_loading`: the same with one loaded model each. `speedup_when_systems_agree`: as `speedup`, half
        of the answers being the same in all systems. `max_abs_difference`: over precision, recall and F1, every pair
        padded. `as_batched`: the same over the timed calls, where it is not, and how many pairs differ by more than
        1e-5. Seconds, and what produced them.
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
    padded = [package.padded_call(texts) for texts in distinct]
    as_batched = _differences(values["ours"], values["package"])
    facts = surroundings("cpu")
    return {
        "speedup": median["package"] / median["ours"],
        "speedup_without_loading": median["package_loaded"] / median["ours_loaded"],
        "speedup_when_systems_agree": median["package_agreeing"] / median["ours_agreeing"],
        "max_abs_difference": max(_differences(values["ours"], padded)),
        "as_batched": {
            "max_abs_difference": max(as_batched),
            "pairs_beyond_1e-5": sum(difference > 1e-5 for difference in as_batched),
        },
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
        # Without a limit of its own the tokenizer overflows in the package: see docs/explanation/method.md.
        self._scorer._tokenizer.model_max_length = 512  # noqa: SLF001

    def one_call(self, texts: list[str]) -> list[Triple]:
        import bert_score

        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return _rows(bert_score.score(texts, self._references, **self._settings))

    def loaded_call(self, texts: list[str]) -> list[Triple]:
        return _rows(self._scorer.score(texts, self._references))

    def padded_call(self, texts: list[str]) -> list[Triple]:
        """One call in which the longest pair of each batch is one of ours, left out again afterwards."""
        longest = " ".join(["long"] * (2 * LONGEST_ANSWER))
        step = PACKAGE_BATCH - 1
        candidates: list[str] = []
        references: list[str] = []
        for start in range(0, len(texts), step):
            candidates += [*texts[start : start + step], longest]
            references += [*self._references[start : start + step], longest]
        values = self._scorer.score(candidates, references, batch_size=PACKAGE_BATCH)
        return [row for row, text in zip(_rows(values), candidates, strict=True) if text != longest]


def _rows(values: Sequence[torch.Tensor]) -> list[Triple]:
    """The package's three columns as one triple a pair."""
    precision, recall, f1 = (column.tolist() for column in values)
    return list(zip(precision, recall, f1, strict=True))


def _differences(ours: list[list[Triple]], theirs: list[list[Triple]]) -> list[float]:
    """The largest difference of each pair."""
    return [
        max(abs(one - other) for one, other in zip(our, their, strict=True))
        for our_system, their_system in zip(ours, theirs, strict=True)
        for our, their in zip(our_system, their_system, strict=True)
    ]


def _ours(scorer: BertScorer, systems: list[list[str]], references: list[str]) -> list[list[Triple]]:
    values = score_pairs(scorer, [pair for texts in systems for pair in zip(texts, references, strict=True)])
    return [[values[pair] for pair in zip(texts, references, strict=True)] for texts in systems]


def _texts(answers: int, systems: int, agreeing: float) -> tuple[list[str], list[list[str]]]:
    words = [
        word for path in sorted((HANDBOOK / "documents").rglob("*.md")) for word in path.read_text("utf-8").split()
    ]
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

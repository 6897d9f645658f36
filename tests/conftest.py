"""Small real things that tests of several rooms need: a tiny model, a corpus, a folder of real rows."""

from __future__ import annotations

import os
import signal
from dataclasses import replace
from pathlib import Path

import pytest
from cross_encoders import save_cross_encoder

from rmtbench.core import Corpus, Document, Draw, Gold, Question, Source, Span
from rmtbench.files import cache_folder
from rmtbench.models.load import load_model
from rmtbench.models.local import LocalModel
from rmtbench.models.native.build import SETTING

os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
os.environ.setdefault(SETTING, str(cache_folder() / "native"))  # compiled once, and not in each test's cache
os.environ.pop("COLUMNS", None)  # pytest-xdist sets it, and tables would be drawn as wide
# A shell starts a command in the background with SIGINT ignored, and children inherit that: tests that interrupt a
# process would wait for ever.
signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Skip what needs a GPU where there is none."""
    wanting = [item for item in items if item.get_closest_marker("gpu")]
    if not wanting:
        return
    import torch

    if not torch.cuda.is_available():
        for item in wanting:
            item.add_marker(pytest.mark.skip(reason="needs a GPU"))


@pytest.fixture(scope="session")
def tiny_model() -> LocalModel:
    """A real Llama with random weights, whose answers depend on what it reads."""
    return replace(load_model("random:tiny"), max_answer_tokens=8)


@pytest.fixture
def real_data() -> Path:
    """The folder of real rows named by RMTBENCH_DATA."""
    folder = os.environ.get("RMTBENCH_DATA")
    if not folder or not Path(folder).is_dir():
        pytest.skip("RMTBENCH_DATA names no folder of real rows")
    return Path(folder)


@pytest.fixture(scope="session")
def cross_encoder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a reranker with random weights, whose scores depend on question and text."""
    return save_cross_encoder(tmp_path_factory.mktemp("rerankers") / "tiny-cross-encoder")


@pytest.fixture(scope="session")
def two_scores(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a classifier that gives two scores, and so is no reranker."""
    return save_cross_encoder(tmp_path_factory.mktemp("rerankers") / "two-scores", labels=2)


TOWNS = ("Arden", "Belmo", "Corvin", "Dunmere", "Elstow", "Farley")


@pytest.fixture
def towns() -> Draw:
    """Six documents of two paragraphs, and a question about each; the gold is the second paragraph's first sentence."""
    documents, questions, golds = [], [], []
    for number, town in enumerate(TOWNS):
        first = f"{town} lies on the river Oss, {number + 3} miles from the sea. Its market is held on Fridays."
        second = f"The mayor of {town} is Tam {town[::-1].title()}. The office is filled every {number + 2} years."
        documents.append(Document(f"{town}.md", town, f"{first}\n\n{second}"))
        questions.append(Question(f"q{number}", f"Who is the mayor of {town}{', please' * number}?", "single"))
        start = len(first) + 2
        span = Span(f"{town}.md", start, start + second.index(".") + 1)
        golds.append(Gold(f"q{number}", (f"Tam {town[::-1].title()}",), ((span,),)))
    corpus = Corpus(
        id="towns-all-seed0-draw0",
        dataset="towns",
        size="all",
        draw=0,
        documents=tuple(documents),
        questions=tuple(questions),
        source=Source("own", "towns", "0" * 64),
    )
    return Draw(corpus, tuple(golds))

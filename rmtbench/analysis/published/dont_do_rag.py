"""The tables of "Don't Do RAG" beside the means of its authors' own logs, which differ in three cells.

Their "BERT-Score" is the cosine of two all-MiniLM-L6-v2 embeddings, answer and first reference: our `minilm_cosine`.
"""

from __future__ import annotations

from dataclasses import dataclass

PAPER = "Chan et al., Don't Do RAG (arXiv 2412.15605v1)"
MODEL = "meta-llama/Llama-3.1-8B-Instruct"
SIZES = ("small", "medium", "large")


@dataclass(frozen=True, slots=True)
class PublishedCorpus:
    """A row of table 1.

    Attributes:
        dataset: As `rmtbench run --dataset` calls it.
        size: As `--size` does.
        documents: In a draw: rows of HotPotQA (of ten paragraphs each), articles of SQuAD.
        tokens: In a draw, about.
        questions: In all.
        draws: Choices of documents: of HotPotQA as many as give the questions, one a row; of SQuAD one.
        note: What the logs have otherwise; may be empty.
    """

    dataset: str
    size: str
    documents: int
    tokens: int
    questions: int
    draws: int
    note: str = ""


@dataclass(frozen=True, slots=True)
class PublishedScore:
    """A cell of table 2.

    Attributes:
        dataset: As `rmtbench run --dataset` calls it.
        size: As `--size` does.
        system: As `--system` calls what it compares with.
        top_k: None where nothing is retrieved.
        published: In the paper; None for what it leaves out.
        logged: Mean of the authors' logs.
        wrong: What the published figure really is, where it is not this cell's; else empty.
    """

    dataset: str
    size: str
    system: str
    top_k: int | None
    published: float | None
    logged: float
    wrong: str = ""


@dataclass(frozen=True, slots=True)
class PublishedTime:
    """A cell of table 3: mean seconds a question, preparation left out.

    Attributes:
        dataset: As `rmtbench run --dataset` calls it.
        size: As `--size` does.
        system: `cag` or `full-context`.
        seconds: As published.
        preparation: Seconds of making the cache, by the authors' logs; None where they were not read.
    """

    dataset: str
    size: str
    system: str
    seconds: float
    preparation: float | None


CORPORA = (
    PublishedCorpus("hotpotqa", "small", 16, 21_000, 1_392, 87),
    PublishedCorpus("hotpotqa", "medium", 32, 43_000, 1_056, 33),
    PublishedCorpus("hotpotqa", "large", 64, 85_000, 1_344, 21),
    PublishedCorpus("squad", "small", 3, 21_000, 500, 1),
    PublishedCorpus("squad", "medium", 4, 32_000, 500, 1, "5 articles in the logs"),
    PublishedCorpus("squad", "large", 7, 50_000, 500, 1),
)

_PREPARATION_TIME = "BM25's preparation time (0.0674 s) in the score's column"
_TOP_20 = "the value of top-20"
_WRONG = {
    ("hotpotqa", "small", "rag-sparse", 1): _PREPARATION_TIME,
    ("hotpotqa", "small", "rag-sparse", 3): _PREPARATION_TIME,
    ("squad", "small", "rag-sparse", 10): _TOP_20,
}

# Published and logged at each size.
_SCORES: dict[tuple[str, str, int | None], tuple[tuple[float | None, float], ...]] = {
    ("hotpotqa", "rag-sparse", 1): ((0.0673, 0.6664), (0.6652, 0.6653), (0.6567, 0.6568)),
    ("hotpotqa", "rag-sparse", 3): ((0.0673, 0.7560), (0.7619, 0.7619), (0.7424, 0.7425)),
    ("hotpotqa", "rag-sparse", 5): ((0.7549, 0.7550), (0.7616, 0.7617), (0.7495, 0.7495)),
    ("hotpotqa", "rag-sparse", 10): ((0.7461, 0.7461), (0.7238, 0.7238), (0.7358, 0.7359)),
    ("hotpotqa", "rag-sparse", 20): ((None, 0.7648), (None, 0.7452), (None, 0.7538)),
    ("hotpotqa", "rag-dense", 1): ((0.7079, 0.7080), (0.7135, 0.7135), (0.6969, 0.6970)),
    ("hotpotqa", "rag-dense", 3): ((0.7509, 0.7510), (0.7464, 0.7465), (0.7426, 0.7427)),
    ("hotpotqa", "rag-dense", 5): ((0.7414, 0.7414), (0.7278, 0.7279), (0.7300, 0.7300)),
    ("hotpotqa", "rag-dense", 10): ((0.7516, 0.7516), (0.7451, 0.7451), (0.7398, 0.7398)),
    ("hotpotqa", "cag", None): ((0.7759, 0.7759), (0.7696, 0.7696), (0.7527, 0.7528)),
    ("hotpotqa", "full-context", None): ((None, 0.7702), (None, 0.7603), (None, 0.7564)),
    ("squad", "rag-sparse", 1): ((0.7469, 0.7469), (0.7036, 0.7036), (0.7135, 0.7135)),
    ("squad", "rag-sparse", 3): ((0.7999, 0.7999), (0.7471, 0.7471), (0.7510, 0.7510)),
    ("squad", "rag-sparse", 5): ((0.8022, 0.8022), (0.7467, 0.7466), (0.7543, 0.7543)),
    ("squad", "rag-sparse", 10): ((0.8191, 0.8040), (0.7420, 0.7420), (0.7548, 0.7548)),
    ("squad", "rag-sparse", 20): ((None, 0.8191), (None, 0.7583), (None, 0.7781)),
    ("squad", "rag-dense", 1): ((0.6445, 0.6445), (0.6188, 0.6188), (0.6057, 0.6057)),
    ("squad", "rag-dense", 3): ((0.7304, 0.7304), (0.6869, 0.6868), (0.6908, 0.6908)),
    ("squad", "rag-dense", 5): ((0.7583, 0.7583), (0.7047, 0.7047), (0.7169, 0.7169)),
    ("squad", "rag-dense", 10): ((0.8035, 0.8035), (0.7350, 0.7350), (0.7499, 0.7499)),
    ("squad", "cag", None): ((0.8265, 0.8265), (0.7512, 0.7512), (0.7640, 0.7640)),
    ("squad", "full-context", None): ((None, 0.8219), (None, 0.7488), (None, 0.7664)),
}

# Seconds of cag and of full-context, and of making the cache, at each size.
_TIMES: dict[str, tuple[tuple[float, float, float | None], ...]] = {
    "hotpotqa": ((0.85292, 9.24734, 11.3), (1.66132, 28.81642, 33.8), (2.32667, 94.34917, 105.0)),
    "squad": ((1.06509, 10.29533, None), (1.73114, 13.35784, None), (2.40577, 31.08368, None)),
}

SCORES = tuple(
    PublishedScore(dataset, size, system, top_k, *pair, _WRONG.get((dataset, size, system, top_k or 0), ""))
    for (dataset, system, top_k), pairs in _SCORES.items()
    for size, pair in zip(SIZES, pairs, strict=True)
)

TIMES = tuple(
    PublishedTime(dataset, size, system, seconds, preparation)
    for dataset, rows in _TIMES.items()
    for size, (cached, uncached, made) in zip(SIZES, rows, strict=True)
    for system, seconds, preparation in (("cag", cached, made), ("full-context", uncached, None))
)


def published_score(dataset: str, size: str, system: str, top_k: int | None) -> PublishedScore | None:
    """The cell of table 2 that a run compares with; None where there is none."""
    asked = (dataset, size, system, top_k)
    return next((each for each in SCORES if (each.dataset, each.size, each.system, each.top_k) == asked), None)


def published_time(dataset: str, size: str, system: str) -> PublishedTime | None:
    """The cell of table 3 that a run compares with; None where there is none."""
    return next((each for each in TIMES if (each.dataset, each.size, each.system) == (dataset, size, system)), None)


def published_corpus(dataset: str, size: str) -> PublishedCorpus | None:
    """The row of table 1 that a run compares with; None where there is none."""
    return next((each for each in CORPORA if (each.dataset, each.size) == (dataset, size)), None)

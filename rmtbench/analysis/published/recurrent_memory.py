"""What others have published of recurrent memory by length of text.

Other models, other languages and other texts than ours: they tell where a curve falls, not who is better.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

BERT_SEGMENT = 499
"""Tokens of text in a segment of the BERT experiments."""


@dataclass(frozen=True, slots=True)
class PublishedPoint:
    """One accuracy at one length.

    Attributes:
        system: Model, as its authors call it.
        task: Its task, as they call it.
        tokens: Length of the text, in tokens of that model; nominal (1K = 1,000) for BABILong.
        accuracy: From 0 to 1.
        source: Where it stands, and how exactly it can be read there.
    """

    system: str
    task: str
    tokens: int
    accuracy: float
    source: str


_SCALING = "Bulatov et al., AAAI 2024 (arXiv 2304.11062), read off the figure to 0.003; trained to 7 segments"
_BABILONG = "Kuratov et al., NeurIPS 2024 (arXiv 2406.10149), mean of qa1 to qa5"
_RMT = "RMT (BERT, 10 memory tokens)"

_SEGMENTS = (64, 128, 256, 512, 1024, 2048, 4096)
_BY_SEGMENTS = {
    "memorize": (98.3, 96.6, 95.3, 93.2, 92.7, 90.5, 90.6),
    "detect and memorize": (99.8, 98.9, 98.5, 98.6, 97.1, 97.1, 96.1),
    "reasoning": (89.3, 87.4, 87.6, 84.9, 83.5, 83.5, 81.9),
}

_LENGTHS = (
    0, 1_000, 2_000, 4_000, 8_000, 16_000, 32_000, 64_000, 128_000, 512_000, 1_000_000, 10_000_000,
)  # fmt: skip
_BY_LENGTH: dict[str, Sequence[float | None]] = {
    "RMT (GPT-2 137M, tuned)": (99, 97, 95, 92, 90, 86, 78, 70, 59, 46, 43, 34),
    "ARMT (GPT-2 137M, tuned)": (99, 96, 98, 98, 98, 98, 98, 98, 97, 95, 93, 77),
    "ChatQA-1.5-8B + RAG": (48, 48, 47, 46, 45, 45, 44, 42, 45, 42, 39, 37),
    "Gemini 1.5 Pro 002": (92, 88, 82, 78, 75, 72, 68, 64, 59, 51, 42, None),
}

_THEIR_NAMES = {"memorize": "memorize", "detect": "detect and memorize", "two-hop": "reasoning"}
"""Our tasks, and those of the BERT experiments that they follow; every other task is read beside BABILong."""


def published_for(task: str) -> tuple[PublishedPoint, ...]:
    """The published points that stand beside one of our tasks.

    Args:
        task: Name of our task. `memorize`, `detect` and `two-hop` follow tasks of the BERT experiments; all others
            stand beside BABILong, whose questions take one to three facts out of running text.

    Returns:
        Points in the order of systems, then of lengths.
    """
    name = _THEIR_NAMES.get(task)
    return tuple(_bert_points(name)) if name else on_running_text()


def on_running_text() -> tuple[PublishedPoint, ...]:
    """BABILong's points, beside which answers about whole documents stand, in the order of systems, then of lengths."""
    return tuple(_babilong_points())


def _bert_points(task: str) -> Iterator[PublishedPoint]:
    for segments, percent in zip(_SEGMENTS, _BY_SEGMENTS[task], strict=True):
        yield PublishedPoint(_RMT, task, segments * BERT_SEGMENT, round(percent / 100, 3), _SCALING)


def _babilong_points() -> Iterator[PublishedPoint]:
    for system, values in _BY_LENGTH.items():
        for tokens, percent in zip(_LENGTHS, values, strict=True):
            if percent is not None:
                yield PublishedPoint(system, "BABILong", tokens, percent / 100, _BABILONG)

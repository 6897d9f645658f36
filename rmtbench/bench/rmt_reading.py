"""Read texts of one length and answer one question about each: with a recurrent memory, or with its base model.

It measures accuracy, seconds and peak memory. The peak is a length's own only in a process of its own.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import chain, islice
from typing import Any

import torch

from rmtbench.analysis.stats.clustered import clustered_standard_error
from rmtbench.bench.rmt_texts import Texts
from rmtbench.errors import AnswerError, UserError
from rmtbench.measure import Stopwatch, peak_device_bytes, peak_resident_bytes, reset_peak_memory, synchroniser
from rmtbench.models.base import Generation
from rmtbench.models.local import LocalModel
from rmtbench.models.readers import OwnPrompts
from rmtbench.options import flag
from rmtbench.rmt.base import Ids, Step
from rmtbench.rmt.decoder import RecurrentDecoder
from rmtbench.rmt.streaming import read_to_ends
from rmtbench.rmt.tasks.base import Sample
from rmtbench.scoring.answers import exact_match

REPORT_SECONDS = 0.2
WARM_SEGMENTS = 2
"""Segments that are read before the clock starts."""


def read_by_memory(
    local: LocalModel,
    model: RecurrentDecoder,
    texts: Texts,
    *,
    batch: int,
    query_first: bool = False,
    watch: Callable[[int], None] = lambda _tokens: None,
) -> dict[str, Any]:
    """Read texts segment by segment, at most `batch` of them side by side, and answer each one's question from memory.

    `query_first` ends every segment with the question. `watch` gets the number of tokens read so far.

    Returns:
        A row: see `rmtbench.bench.rmt.RmtFigures`.

    Raises:
        UserError: A text is too short for the task, or an answer does not fit the model.
    """
    batch = min(batch, texts.length.samples)
    samples = [texts.sample(number) for number in range(-batch, 0)]
    # Everything is done once before the clock starts: kernels are chosen, caches filled, threads started.
    started = read_to_ends(
        model, [islice(_stream(sample, sample.segments, query_first), WARM_SEGMENTS) for sample in samples]
    )
    _ask(local, model, started, samples)
    return _measured(local, texts, _by_memory(local, model, texts, batch, query_first, _Count(watch)), batch)


def read_in_full(
    local: LocalModel, texts: Texts, *, watch: Callable[[int], None] = lambda _tokens: None
) -> dict[str, Any]:
    """Read the same texts in full, one by one, in the prompts of the contract.

    Returns:
        A row like that of `read_by_memory`. If the text or its keys and values do not fit, it has `error` in place
        of figures.

    Raises:
        UserError: A text is too short for the task.
    """
    blank = {"length": texts.length.label, "tokens": texts.tokens, "samples": 0, "accuracy": None, "error": None}
    limit = local.context_limit
    if limit is not None and not texts.rows and texts.tokens + local.max_answer_tokens > limit:
        return blank | {"error": f"longer than the model's context of {limit} tokens"}
    try:
        warm = texts.sample(-1)
        _read_whole(local, warm, islice(warm.segments, WARM_SEGMENTS))  # as a memory's bench does
        return _measured(local, texts, _in_full(local, texts, watch), 1)
    except AnswerError as error:
        return blank | {"error": str(error)}
    except (MemoryError, RuntimeError) as error:
        if not isinstance(error, MemoryError | torch.OutOfMemoryError) and "allocate memory" not in str(error):
            raise
        return blank | {"error": "not enough memory"}


@dataclass(slots=True)
class _Done:
    """Result of one batch: tokens of all texts, seconds by part, and the kind and correctness of each text."""

    tokens: int
    seconds: Mapping[str, float]
    text_seconds: float
    answers: Sequence[tuple[str, bool, bool]]


@dataclass(slots=True)
class _Supply:
    """Yields a text's segments and measures the seconds of making them."""

    segments: Iterable[Ids]
    seconds: float = 0.0
    tokens: int = 0

    def __iter__(self) -> Iterator[Ids]:
        source = iter(self.segments)
        while True:
            start = time.perf_counter()
            segment = next(source, None)
            self.seconds += time.perf_counter() - start
            if segment is None:
                return
            self.tokens += len(segment)
            yield segment


@dataclass(slots=True)
class _Count:
    """Adds up tokens and reports the sum from time to time."""

    watch: Callable[[int], None]
    tokens: int = 0
    told: float = field(default_factory=time.monotonic)

    def add(self, tokens: int) -> None:
        self.tokens += tokens
        if time.monotonic() - self.told > REPORT_SECONDS:
            self.told = time.monotonic()
            self.watch(self.tokens)

    def step(self, step: Step) -> None:
        self.add(sum(map(len, step.segments)))


def _stream(sample: Sample, segments: Iterable[Ids], query_first: bool) -> Iterator[Ids]:
    """The segments as the memory reads them."""
    for segment in segments:
        yield [*segment, *sample.question] if query_first else segment


def _by_memory(
    local: LocalModel, model: RecurrentDecoder, texts: Texts, batch: int, query_first: bool, count: _Count
) -> Iterator[_Done]:
    for first in range(0, texts.length.samples, batch):
        samples = [texts.sample(number) for number in range(first, min(first + batch, texts.length.samples))]
        supplies = [_Supply(sample.segments) for sample in samples]
        streams = [_stream(sample, supply, query_first) for sample, supply in zip(samples, supplies, strict=True)]
        clock = Stopwatch(synchroniser(local.device))
        with clock.part("read"):
            memory = read_to_ends(model, streams, count.step)
        with clock.part("answer"):
            answers = _ask(local, model, memory, samples)
        tokens, text_seconds = sum(supply.tokens for supply in supplies), sum(supply.seconds for supply in supplies)
        yield _Done(tokens, clock.seconds, text_seconds, _graded(local, samples, answers))


def _in_full(local: LocalModel, texts: Texts, watch: Callable[[int], None]) -> Iterator[_Done]:
    count = _Count(watch)
    for number in range(texts.length.samples):
        sample = texts.sample(number)
        supply = _Supply(sample.segments)
        answer, seconds = _read_whole(local, sample, supply)
        count.add(supply.tokens)
        yield _Done(supply.tokens, seconds, supply.seconds, _graded(local, [sample], [answer]))


def _read_whole(local: LocalModel, sample: Sample, segments: Iterable[Ids]) -> tuple[Generation, Mapping[str, float]]:
    """Return the answer to a text's question behind some of its segments, and the seconds by part."""
    clock, head = Stopwatch(synchroniser(local.device)), local.context_ids([])
    with clock.part("read"):
        text = list(chain.from_iterable(segments))
        local.check_length(len(head) + len(text) + len(sample.question))
        reader = OwnPrompts(local.model, [([*head, *text], sample.question)], local.max_answer_tokens)
    [answer] = local.decode(reader, [len(text)], [0], 0.0)
    return answer, {
        "read": clock.seconds["read"] + (answer.prefill_seconds or 0.0),
        "answer": answer.decode_seconds,
    }


def _ask(
    local: LocalModel, model: RecurrentDecoder, memory: torch.Tensor | list[torch.Tensor], samples: Sequence[Sample]
) -> list[Generation]:
    questions = [sample.question for sample in samples]
    try:
        reader = model.prompts(memory, questions, local.max_answer_tokens)
    except AnswerError as error:
        raise UserError(
            f"a question cannot be asked from this memory ({error})",
            where=flag.memory,
            remedy="name a memory of a base model with more positions",
        ) from error
    return local.decode(reader, list(map(len, questions)), [0] * len(questions), 0.0)


def _graded(
    local: LocalModel, samples: Sequence[Sample], answers: Sequence[Generation]
) -> list[tuple[str, bool, bool]]:
    """Return for each text the kind of its question, whether the answer is right, and whether it ended."""
    graded = []
    for sample, answer in zip(samples, answers, strict=True):
        raw: str = local.contract.tokenizer.decode(list(sample.answer), skip_special_tokens=True)
        reference = local.contract.final_answer(raw)
        if not reference:  # an empty answer would then count as right
            raise ValueError(f"the task's answer {raw!r} has no final answer in style '{local.contract.style}'")
        exact = exact_match(answer.final, (reference,), "squad") == 1
        right = bool(answer.final) and (exact if sample.judge is None else sample.judge(answer.final))
        graded.append((sample.kind, right, answer.finish != "length"))
    return graded


def _measured(local: LocalModel, texts: Texts, batches: Iterator[_Done], batch: int) -> dict[str, Any]:
    """Run the batches and add them up. Peak memory is measured here, including the loaded model."""
    reset_peak_memory(local.device)
    loaded = peak_resident_bytes()
    tokens, text, seconds = 0, 0.0, {"read": 0.0, "answer": 0.0}
    answers: list[tuple[str, bool, bool]] = []
    for done in batches:
        tokens += done.tokens
        text += done.text_seconds
        answers += done.answers
        seconds = {part: seconds[part] + done.seconds[part] for part in seconds}
    resident, device = peak_resident_bytes(), peak_device_bytes(local.device)
    kinds = dict.fromkeys(kind for kind, _, _ in answers)
    mean = tokens // texts.length.samples
    return {
        "length": texts.length.label,
        "tokens": mean,
        "segments": -(-mean // texts.piece),
        "batch": batch,
        **accuracy([right for _, right, _ in answers]),
        "by_kind": {name: accuracy([right for kind, right, _ in answers if kind == name]) for name in kinds},
        "unfinished": sum(not ended for _, _, ended in answers),
        "seconds": seconds["read"] + seconds["answer"],
        "read_seconds": seconds["read"],
        "answer_seconds": seconds["answer"],
        "text_seconds": text,
        "tokens_per_second": tokens / seconds["read"],
        "seconds_per_token": seconds["read"] / tokens,
        "peak_memory_bytes": resident if device is None else device,
        "peak_resident_bytes": resident,
        "loaded_resident_bytes": loaded,
        "error": None,
    }


def accuracy(right: Sequence[bool]) -> dict[str, Any]:
    """Return the share of right answers, with its standard error and Wilson's 95 % interval.

    At an accuracy of 0 or 1 the standard error is 0, however few the texts. The interval is wider than 0.

    Args:
        right: Whether each text was right; at least one.

    Returns:
        `accuracy`, `standard_error` (None for one text), `low`, `high`, `samples`.
    """
    count, share, z = len(right), sum(right) / len(right), 1.959964
    middle = (share + z * z / (2 * count)) / (1 + z * z / count)
    half = z * math.sqrt(share * (1 - share) / count + z * z / (4 * count * count)) / (1 + z * z / count)
    return {
        "accuracy": share,
        "standard_error": clustered_standard_error([[float(value)] for value in right]),
        "low": max(0.0, middle - half),
        "high": min(1.0, middle + half),
        "samples": count,
    }

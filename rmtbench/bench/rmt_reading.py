"""Texts of one length, each read once and asked about once: by a recurrent memory, or in full by its base model.

Measured are what was right, seconds, and the peak of memory: a length's own only in a process of its own.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from itertools import chain, islice
from typing import Any

import torch

from rmtbench.analysis.stats.clustered import clustered_standard_error
from rmtbench.bench.rmt_texts import DRAWS, Length, chance_of, draw
from rmtbench.errors import AnswerError, UserError
from rmtbench.measure import Stopwatch, peak_device_bytes, peak_resident_bytes, reset_peak_memory, synchroniser
from rmtbench.models.base import Generation
from rmtbench.models.local import LocalModel
from rmtbench.models.readers import OwnPrompts
from rmtbench.rmt.base import Ids, Step
from rmtbench.rmt.decoder import RecurrentDecoder
from rmtbench.rmt.streaming import read_streams
from rmtbench.rmt.tasks.base import Sample, Task
from rmtbench.scoring.answers import exact_match

REPORT_SECONDS = 0.2


def read_by_memory(  # many: what is read, by whom, and how
    local: LocalModel,
    model: RecurrentDecoder,
    task: Task,
    piece: int,
    length: Length,
    *,
    batch: int,
    query_first: bool = False,
    seed: int = 0,
    watch: Callable[[int], None] = lambda _tokens: None,
) -> dict[str, Any]:
    """Read texts segment by segment and ask each text's question from memory alone.

    Args:
        local: Asks and decodes.
        model: Reads.
        task: Makes the texts.
        piece: Tokens of a segment of `task`: see `rmtbench.bench.rmt_texts.make_pieces`.
        length: How many, how long.
        batch: Texts read side by side, at most.
        query_first: Append the question to every segment, so that memory knows what it is for.
        seed: With the text's number it decides the text, whatever the batch.
        watch: Told the tokens read so far.

    Returns:
        A row: see `rmtbench.bench.rmt.run`.

    Raises:
        UserError: The task cannot be told in so short a text, or an answer does not fit the model.
    """
    segments = length.segments(piece)
    batch = min(batch, length.samples)
    reading = _Reading(local, model, task, piece, length, segments, batch, query_first, seed, _Count(watch))
    samples = [reading.sample(number) for number in range(-batch, 0)]
    # Before the clock starts, everything has been done once: kernels chosen, caches filled, threads begun.
    started = read_streams(model, [islice(reading.stream(sample, sample.segments), 2) for sample in samples])
    _ask(local, model, started, samples)
    return _measured(local, length, segments, reading.batches(), batch)


def read_in_full(
    local: LocalModel,
    task: Task,
    piece: int,
    length: Length,
    *,
    seed: int = 0,
    watch: Callable[[int], None] = lambda _tokens: None,
) -> dict[str, Any]:
    """Let a model read the same texts whole, one by one, with the prompt contract around them.

    Args:
        local: Reads and answers.
        task: Makes the texts.
        piece: Tokens of a segment of `task`.
        length: How many, how long.
        seed: As for `read_by_memory`.
        watch: As for `read_by_memory`.

    Returns:
        A row like that of `read_by_memory`; with `error` in place of figures where the text or its keys and values
        do not fit.

    Raises:
        UserError: The task cannot be told in so short a text.
    """
    segments = length.segments(piece)
    blank = {"length": length.label, "tokens": segments * piece, "samples": 0, "accuracy": None, "error": None}
    limit = local.context_limit
    if limit is not None and segments * piece + local.max_answer_tokens > limit:
        return blank | {"error": f"longer than the model's context of {limit} tokens"}
    try:
        return _measured(local, length, segments, _in_full(local, task, length, segments, seed, watch), 1)
    except AnswerError as error:
        return blank | {"error": str(error)}
    except (MemoryError, RuntimeError) as error:
        if not isinstance(error, MemoryError | torch.OutOfMemoryError) and "allocate memory" not in str(error):
            raise
        return blank | {"error": "not enough memory"}


@dataclass(slots=True)
class _Done:
    """What one batch gave: tokens of all its texts, seconds by part, and of each text kind and whether it was right."""

    tokens: int
    seconds: Mapping[str, float]
    text_seconds: float
    answers: Sequence[tuple[str, bool, bool]]


@dataclass(slots=True)
class _Supply:
    """Hands a text's segments out and keeps how long it took to make them."""

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
    """Adds up tokens and passes their sum on, now and then."""

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


@dataclass(frozen=True, slots=True)
class _Reading:
    """One length, read by memory."""

    local: LocalModel
    model: RecurrentDecoder
    task: Task
    piece: int
    length: Length
    segments: int
    batch: int
    query_first: bool
    seed: int
    count: _Count

    def sample(self, number: int) -> Sample:
        chance = chance_of(self.task, self.segments, self.seed, number)
        for _ in range(DRAWS):
            sample = draw(self.task, self.segments, chance, self.length)
            if len(sample.question) <= self._most():
                return sample
        raise UserError(
            f"questions of task '{self.task.name}' do not fit a segment of {self.model.config.segment_tokens} tokens",
            where="--memory",
            remedy="name a memory with longer segments",
        )

    def stream(self, sample: Sample, segments: Iterable[Ids]) -> Iterator[Ids]:
        for segment in segments:
            yield [*segment, *sample.question] if self.query_first else segment

    def _most(self) -> int:
        """Tokens of the longest question that can be asked; a longer one is drawn anew, as in training."""
        size = self.model.config.segment_tokens
        return size - self.piece if self.query_first else size

    def batches(self) -> Iterator[_Done]:
        for first in range(0, self.length.samples, self.batch):
            numbers = range(first, min(first + self.batch, self.length.samples))
            samples = [self.sample(number) for number in numbers]
            supplies = [_Supply(sample.segments) for sample in samples]
            streams = [self.stream(sample, supply) for sample, supply in zip(samples, supplies, strict=True)]
            clock = Stopwatch(synchroniser(self.local.device))
            with clock.part("read"):
                memory = read_streams(self.model, streams, watch=self.count.step)
            with clock.part("answer"):
                answers = _ask(self.local, self.model, memory, samples)
            yield _Done(
                sum(supply.tokens for supply in supplies),
                clock.seconds,
                sum(supply.seconds for supply in supplies),
                _graded(self.local, samples, answers),
            )


def _in_full(
    local: LocalModel, task: Task, length: Length, segments: int, seed: int, watch: Callable[[int], None]
) -> Iterator[_Done]:
    count, head = _Count(watch), local.context_ids([])
    for number in range(length.samples):
        sample = draw(task, segments, chance_of(task, segments, seed, number), length)
        supply = _Supply(sample.segments)
        clock = Stopwatch(synchroniser(local.device))
        with clock.part("read"):
            text = list(chain.from_iterable(supply))
            local.check_length(len(head) + len(text) + len(sample.question))
            reader = OwnPrompts(local.model, [([*head, *text], sample.question)], local.max_answer_tokens)
        answers = local.decode(reader, [len(text)], [0], 0.0)
        seconds = {
            "read": clock.seconds["read"] + (answers[0].prefill_seconds or 0.0),
            "answer": answers[0].decode_seconds,
        }
        count.add(len(text))
        yield _Done(len(text), seconds, supply.seconds, _graded(local, [sample], answers))


def _ask(
    local: LocalModel, model: RecurrentDecoder, memory: torch.Tensor, samples: Sequence[Sample]
) -> list[Generation]:
    questions = [sample.question for sample in samples]
    try:
        reader = model.prompts(memory, questions, local.max_answer_tokens)
    except AnswerError as error:
        raise UserError(
            f"a question cannot be asked from this memory ({error})",
            where="--memory",
            remedy="name a memory of a base model with more positions",
        ) from error
    return local.decode(reader, list(map(len, questions)), [0] * len(questions), 0.0)


def _graded(
    local: LocalModel, samples: Sequence[Sample], answers: Sequence[Generation]
) -> list[tuple[str, bool, bool]]:
    """Of each text: the kind of its question, whether the final answer is right, and whether it came to an end."""
    graded = []
    for sample, answer in zip(samples, answers, strict=True):
        raw: str = local.contract.tokenizer.decode(list(sample.answer), skip_special_tokens=True)
        reference = local.contract.final_answer(raw)
        if not reference:  # nothing would then be as good as the answer
            raise ValueError(f"the task's answer {raw!r} has no final answer in style '{local.contract.style}'")
        judge = sample.judge or partial(_exactly, reference)
        right = bool(answer.final) and judge(answer.final)
        graded.append((sample.kind, right, answer.finish != "length"))
    return graded


def _exactly(reference: str, answer: str) -> bool:
    return exact_match(answer, (reference,), "squad") == 1


def _measured(local: LocalModel, length: Length, segments: int, batches: Iterator[_Done], batch: int) -> dict[str, Any]:
    """Run the batches and add them up; the peak of memory is of what happens here, the loaded model included."""
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
    return {
        "length": length.label,
        "tokens": tokens // length.samples,
        "segments": segments,
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
    """Share that is right, with its standard error and Wilson's 95 % interval.

    The standard error of an accuracy of 0 or 1 is 0, however few the texts; the interval is not.

    Args:
        right: Of each text, at least one.

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

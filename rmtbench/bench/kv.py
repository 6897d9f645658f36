"""How fast questions over one cached context are answered: the shared prefix beside three other ways.

All ways run in one process, one after the other, on the same keys, values and token ids. Their answers are compared.
Each way warms up with a whole batch first, and its times are those of the median round.
"""

from __future__ import annotations

import statistics
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from rmtbench.bench.figures import Figures
from rmtbench.bench.kv_ways import (
    ANSWER_TOKENS,
    LEAST_QUESTIONS,
    QUESTION_TOKENS,
    Ids,
    by_copies,
    by_loop,
    by_own_attention,
    by_shared_prefix,
    random_ids,
    rounds_of,
    without_cache,
)
from rmtbench.bench.roofline import Roofline, measure_bandwidths, roofline, weights_read
from rmtbench.options.benches import KvBench
from rmtbench.runs.provenance import surroundings

if TYPE_CHECKING:
    import torch

    from rmtbench.kvcache.base import PrefixKV
    from rmtbench.models.local import LocalModel

SMALL, LARGE = 21_000, 85_000
"""Prefix lengths of the two summary figures."""
AGREEMENT_QUESTIONS, AGREEMENT_TOKENS = 8, 1000
"""Size of the comparison in bfloat16."""


@dataclass(frozen=True, slots=True)
class KvRow:
    """One way over one prefix.

    Attributes:
        geometry: The model.
        prefix_tokens: Tokens of the prefix.
        way: ``shared``; ``loop``, transformers' DynamicCache, cut back after each question; ``deepcopy``, a copy of it
            for each question; ``no cache``.
        batch: Questions at once.
        questions: Questions in all, over the rounds.
        seconds: Of all questions: the median round's, times the rounds.
        first_token_seconds: Until a question's first token, in the median round.
        step_seconds: Of one decode step of the whole batch, in the median round.
        peak_bytes: Peak memory: the device's where there is one, else resident.
        cache_bytes: Of the prefix and of what the questions add to it.
        weights_bytes: Of the model.
        rounds: How many rounds were timed.
        agreement: Share of answers equal to the loop's, token for token.
        speedup_vs_loop: Questions a second, divided by the loop's.
        speedup_vs_no_cache: Questions a second, divided by those without a cache.
    """

    geometry: str
    prefix_tokens: int
    way: str
    batch: int
    questions: int
    seconds: float
    seconds_per_question: float
    questions_per_second: float
    first_token_seconds: float
    step_seconds: float
    peak_bytes: int
    cache_bytes: int
    weights_bytes: int
    agreement: float
    speedup_vs_loop: float
    speedup_vs_no_cache: float
    rounds: int


@dataclass(frozen=True, slots=True)
class HalfPrecision:
    """In bfloat16: share of cached answers equal to those of the model's own attention, and how far logits differ."""

    geometry: str
    prefix_tokens: int
    questions: int
    agreement: float
    largest_logit_difference: float


@dataclass(frozen=True, slots=True, kw_only=True)
class KvFigures(Figures):
    """What `run` measured.

    Attributes:
        speedup_vs_loop_21k_batch32: Of the first geometry; None if not measured.
        speedup_vs_full_context_large: Of the first geometry at batch 1 and 85k; None if not measured.
        roofline_fraction_decode: Time to read weights and cache once at the card's measured bandwidth of reading, over
            the time of a step, in the last row of the shared way; None without a GPU.
        roofline: That row beside both bandwidths, of reading and of copying; None without a GPU.
        rows: One a geometry, length, way and batch.
        bfloat16: One a geometry.
    """

    speedup_vs_loop_21k_batch32: float | None
    speedup_vs_loop_21k_batch32_by_geometry: Mapping[str, float | None]
    speedup_vs_full_context_large: float | None
    speedup_vs_full_context_large_by_geometry: Mapping[str, float | None]
    roofline_fraction_decode: float | None
    roofline: Roofline | None
    rows: Sequence[KvRow]
    bfloat16: Sequence[HalfPrecision]
    question_tokens: int
    answer_tokens: int
    dtype: str
    device: str


def run(asked: KvBench, *, report: Callable[[str], None] = lambda _line: None) -> KvFigures:
    """Time every way for every model, prefix length and batch.

    Args:
        asked: Only the shared prefix answers several questions at once; the other ways answer one at a time.
        report: Gets a line for each row.

    Raises:
        UserError: A model cannot be loaded or served, or there is no such device or dtype.
    """
    from rmtbench.kvcache.exact.trial import try_steps
    from rmtbench.kvcache.exact.warm_up import warm_up
    from rmtbench.models.load import choose_device, choose_dtype, load_model

    geometries, device = asked.models, choose_device(asked.device)
    dtype = choose_dtype(asked.dtype, device)
    rows: list[KvRow] = []
    halves, weights = [], 0
    for geometry in geometries:
        model = try_steps(load_model(geometry, dtype=dtype, device=device))
        for way, why in model.inexact.items():
            report(f"{geometry}: no {way} ({why})")
        warm_up(model)  # the first calls set kernels up, which no row should include
        weights = weights_read(model.model)
        for length in asked.lengths:
            measured = _measure(model, geometry, length, asked.batches)
            rows += measured
            for row in measured:
                report(
                    f"{geometry}, {length:,} tokens, {row.way}, batch {row.batch}: "
                    f"{row.questions_per_second:.3g} questions/s, {row.step_seconds * 1000:.3g} ms a step"
                )
        del model
        halves.append(_agreement(try_steps(load_model(geometry, dtype="bfloat16", device=device)), geometry))
    loop = _of_geometries(rows, geometries, "speedup_vs_loop", SMALL, 32)
    full = _of_geometries(rows, geometries, "speedup_vs_no_cache", LARGE, 1)
    limit = _roofline(rows, weights, device)
    return KvFigures(
        speedup_vs_loop_21k_batch32=loop[geometries[0]],
        speedup_vs_loop_21k_batch32_by_geometry=loop,
        speedup_vs_full_context_large=full[geometries[0]],
        speedup_vs_full_context_large_by_geometry=full,
        roofline_fraction_decode=None if limit is None else limit.fraction_of_read,
        roofline=limit,
        rows=rows,
        bfloat16=halves,
        question_tokens=QUESTION_TOKENS,
        answer_tokens=ANSWER_TOKENS,
        dtype=dtype,
        device=device,
        made_by=surroundings(device),
    )


def _measure(model: LocalModel, geometry: str, length: int, batches: Sequence[int]) -> list[KvRow]:
    """All ways over one prefix."""
    uncached, prefix = without_cache(model, random_ids(model, length, 0), random_ids(model, QUESTION_TOKENS, 1))
    count = max(rounds_of(batch) * batch for batch in (1, *batches))
    questions = [random_ids(model, QUESTION_TOKENS, 1 + number) for number in range(count)]
    few = questions[:LEAST_QUESTIONS]
    others = {"no cache": uncached, "loop": by_loop(model, prefix, few), "deepcopy": by_copies(model, prefix, few)}
    loop = others["loop"]
    timed = [
        ("shared", batch, by_shared_prefix(model, prefix, questions[: rounds_of(batch) * batch], batch))
        for batch in batches
    ]
    timed += [(way, 1, found) for way, found in others.items()]
    weights = sum(parameter.nbytes for parameter in model.model.parameters())
    return [
        KvRow(
            geometry=geometry,
            prefix_tokens=length,
            way=way,
            batch=batch,
            questions=found.batch * found.rounds,
            seconds=found.seconds * found.rounds,
            seconds_per_question=found.per_question,
            questions_per_second=1 / found.per_question,
            first_token_seconds=found.first,
            step_seconds=found.step,
            peak_bytes=found.peak,
            cache_bytes=found.cache,
            weights_bytes=weights,
            agreement=statistics.mean(a == b for a, b in zip(found.answers, loop.answers, strict=False)),
            speedup_vs_loop=loop.per_question / found.per_question,
            speedup_vs_no_cache=uncached.per_question / found.per_question,
            rounds=found.rounds,
        )
        for way, batch, found in timed
    ]


def _of_geometries(
    rows: Sequence[KvRow], geometries: Sequence[str], name: str, length: int, batch: int
) -> dict[str, float | None]:
    wanted = ("shared", length, batch)
    found = {row.geometry: getattr(row, name) for row in rows if (row.way, row.prefix_tokens, row.batch) == wanted}
    return {geometry: found.get(geometry) for geometry in geometries}


def _roofline(rows: Sequence[KvRow], weights: int, device: str) -> Roofline | None:
    """The last row of the shared way: longest prefix, largest batch, last geometry. None without a GPU."""
    if not device.startswith("cuda"):
        return None
    row = [row for row in rows if row.way == "shared"][-1]
    read = weights + row.cache_bytes
    return roofline(row.geometry, row.prefix_tokens, row.batch, read, row.step_seconds, measure_bandwidths(device))


def _agreement(model: LocalModel, geometry: str) -> HalfPrecision:
    """Compare cached answers, all in one batch, with those of the model's own attention over whole prompts."""
    context = random_ids(model, AGREEMENT_TOKENS, 0)
    questions = [random_ids(model, QUESTION_TOKENS, 1 + number) for number in range(AGREEMENT_QUESTIONS)]
    prefix = without_cache(model, context, questions[0])[1]
    plain = [by_own_attention(model, context, question) for question in questions]
    cached = by_shared_prefix(model, prefix, questions, len(questions)).answers
    difference = (_first_logits(model, prefix, questions) - _first_logits(model, None, questions, context)).abs().max()
    return HalfPrecision(
        geometry=geometry,
        prefix_tokens=AGREEMENT_TOKENS,
        questions=len(questions),
        agreement=statistics.mean(a == b for a, b in zip(cached, plain, strict=True)),
        largest_logit_difference=float(difference),
    )


def _first_logits(
    model: LocalModel, prefix: PrefixKV | None, questions: Sequence[Ids], context: Ids = ()
) -> torch.Tensor:
    import torch

    from rmtbench.kvcache.exact.shared_places import SharedPlaces
    from rmtbench.kvcache.exact.suffixes import Suffixes
    from rmtbench.models.readers import OwnPrompts

    if prefix is not None:
        places = SharedPlaces(model, prefix, Suffixes(prefix, len(questions), QUESTION_TOKENS))
        return places.advance([], [], list(enumerate(questions))).float()
    return torch.cat([OwnPrompts(model.model, [(context, question)], 1).read() for question in questions]).float()

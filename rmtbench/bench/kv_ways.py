"""The ways in which `rmtbench bench kv` answers questions over one context: their answers, times and memory."""

from __future__ import annotations

import copy
import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from rmtbench.measure import peak_device_bytes, peak_resident_bytes, reset_peak_memory, synchroniser

if TYPE_CHECKING:
    from transformers import DynamicCache

    from rmtbench.kvcache.base import PrefixKV
    from rmtbench.models.local import LocalModel


QUESTION_TOKENS, ANSWER_TOKENS = 24, 8
LEAST_QUESTIONS = 8
"""Fewest questions that each way answers, whatever its batch. With fewer, ratios differed by half between runs."""
ROUNDS = 3
"""Fewest rounds of a way, each of a whole batch, so that there is a median."""
LONG_SECONDS = 10.0
"""Without a cache, no further round begins after so many seconds: long rounds differ little."""


Ids = Sequence[int]


@dataclass(frozen=True)
class Measured:
    """Times and memory of one way, each time the median round's; `step` is one decode step of the whole batch.

    A round asks `batch` questions; without a cache all rounds ask the same one, whose answer is there once.
    """

    answers: list[tuple[int, ...]]
    batch: int
    rounds: int
    seconds: float
    first: float
    step: float
    peak: int
    cache: int

    @property
    def per_question(self) -> float:
        """Seconds."""
        return self.seconds / self.batch


Round = tuple[float, float, float]
"""Seconds of a round, until its first token, and of a step."""


def _timed(answers: list[tuple[int, ...]], batch: int, rounds: Sequence[Round], peak: int, cache: int) -> Measured:
    seconds, first, step = (statistics.median(part) for part in zip(*rounds, strict=True))
    return Measured(answers, batch, len(rounds), seconds, first, step, peak, cache)


def rounds_of(batch: int) -> int:
    """Return how many rounds of a batch are timed."""
    return max(ROUNDS, -(-LEAST_QUESTIONS // batch))


def random_ids(model: LocalModel, count: int, seed: int) -> list[int]:
    """Return random token ids. Times do not depend on which tokens they are.

    Args:
        model: Its vocabulary has the ids.
        count: Number of ids.
        seed: Decides the ids.
    """
    import torch

    generator = torch.Generator().manual_seed(seed)
    return torch.randint(10, model.model.config.vocab_size, (count,), generator=generator).tolist()


def by_shared_prefix(model: LocalModel, prefix: PrefixKV, questions: Sequence[Ids], batch: int) -> Measured:
    """Answer over the shared prefix, as `cag` does."""
    from rmtbench.kvcache.exact.shared import greedy_continuous
    from rmtbench.kvcache.exact.shared_places import make_places
    from rmtbench.kvcache.exact.static_places import choose_step
    from rmtbench.kvcache.exact.suffixes import Suffixes
    from rmtbench.models.decode import never

    suffixes = Suffixes(prefix, batch, QUESTION_TOKENS + ANSWER_TOKENS)
    places = make_places(model, prefix, suffixes, choose_step(model, plain=True, no_graphs="")[0])

    def ask(some: Sequence[Ids]) -> tuple[list[tuple[int, ...]], Round]:
        start = time.perf_counter()
        ended = dict(greedy_continuous(places, iter(enumerate(some)), batch, never, ANSWER_TOKENS))
        first = sum(row.prefill_seconds for row in ended.values())  # all questions of a round begin together
        step = sum(row.decode_seconds for row in ended.values()) / (ANSWER_TOKENS - 1)
        return [ended[number].ids for number in sorted(ended)], (time.perf_counter() - start, first, step)

    ask(questions[:batch])
    reset_peak_memory(model.device)
    told = [ask(questions[first : first + batch]) for first in range(0, len(questions), batch)]
    answers = [ids for each, _ in told for ids in each]
    return _timed(answers, batch, [times for _, times in told], _peak(model.device), prefix.bytes + suffixes.bytes)


def by_loop(model: LocalModel, prefix: PrefixKV, questions: Sequence[Ids]) -> Measured:
    """Answer one question after the other with transformers' growing cache, which is cut back after each."""
    cache = _dynamic(prefix)

    def ask(question: Ids) -> tuple[tuple[int, ...], float, float]:
        answer = _by_transformers(model, cache, question)
        cache.crop(prefix.tokens - cache.get_seq_length())
        return answer

    return _one_by_one(model, questions, ask, prefix.bytes)


def by_copies(model: LocalModel, prefix: PrefixKV, questions: Sequence[Ids]) -> Measured:
    """Answer each question with a copy of the whole cache, as transformers' documentation shows."""
    cache = _dynamic(prefix)

    def ask(question: Ids) -> tuple[tuple[int, ...], float, float]:
        start = time.perf_counter()
        copied = copy.deepcopy(cache)
        before = time.perf_counter() - start
        ids, first, step = _by_transformers(model, copied, question)
        return ids, before + first, step

    return _one_by_one(model, questions, ask, 2 * prefix.bytes)


def _one_by_one(
    model: LocalModel, questions: Sequence[Ids], ask: Callable[[Ids], tuple[tuple[int, ...], float, float]], cache: int
) -> Measured:
    ask(questions[0])
    reset_peak_memory(model.device)
    answers: list[tuple[int, ...]] = []
    rounds: list[Round] = []
    for question in questions:
        start = time.perf_counter()
        ids, first, step = ask(question)
        answers.append(ids)
        rounds.append((time.perf_counter() - start, first, step))
    return _timed(answers, 1, rounds, _peak(model.device), cache)


def without_cache(model: LocalModel, context: Ids, question: Ids) -> tuple[Measured, PrefixKV]:
    """Answer one question by reading its whole context, as `full-context` does. Return the context's cache too."""
    from rmtbench.kvcache.base import PrefixKV
    from rmtbench.kvcache.exact.prefill import prefill
    from rmtbench.kvcache.exact.shared import FOR_FEW, greedy_continuous
    from rmtbench.kvcache.exact.shared_places import make_places
    from rmtbench.kvcache.exact.static_places import choose_step
    from rmtbench.kvcache.exact.suffixes import Suffixes
    from rmtbench.models.decode import never

    how, _ = choose_step(model, plain=True, no_graphs=FOR_FEW)
    wait, rounds = synchroniser(model.device), list[Round]()
    reset_peak_memory(model.device)
    begun, read = time.perf_counter(), None
    while len(rounds) < ROUNDS and (not rounds or time.perf_counter() - begun < LONG_SECONDS):
        del read  # else two contexts would be held at once
        start = time.perf_counter()
        read = prefill(model.model, context)
        wait()
        before = time.perf_counter() - start
        suffixes = Suffixes(read, 1, len(question) + ANSWER_TOKENS)
        places = make_places(model, read, suffixes, how)
        [(_, row)] = greedy_continuous(places, iter([(0, question)]), 1, never, ANSWER_TOKENS)
        step = row.decode_seconds / (ANSWER_TOKENS - 1)
        rounds.append((time.perf_counter() - start, before + row.prefill_seconds, step))
        kept = read.bytes + suffixes.bytes
        del places
    assert read is not None  # noqa: S101 - there was a round
    timed = _timed([row.ids], 1, rounds, _peak(model.device), kept)
    keys, values = (tuple(tensor.contiguous() for tensor in side) for side in (read.keys, read.values))
    return timed, PrefixKV(keys, values, read.token_ids)


def by_own_attention(model: LocalModel, context: Ids, question: Ids) -> tuple[int, ...]:
    """Answer with the model's own attention over one prompt and no cache of ours: the reference of all ways."""
    from rmtbench.models.decode import greedy, never
    from rmtbench.models.readers import OwnPrompts

    reader = OwnPrompts(model.model, [(context, question)], ANSWER_TOKENS)
    return greedy(reader, 1, never, ANSWER_TOKENS)[0].ids


def _dynamic(prefix: PrefixKV) -> DynamicCache:
    from transformers import DynamicCache

    cache = DynamicCache()
    for layer, (key, value) in enumerate(zip(prefix.keys, prefix.values, strict=True)):
        cache.update(key[None], value[None], layer)
    return cache


def _by_transformers(model: LocalModel, cache: DynamicCache, question: Ids) -> tuple[tuple[int, ...], float, float]:
    """Decode with a plain loop. Return the answer's tokens, the seconds to the first token, and those of a step."""
    import torch

    start = time.perf_counter()
    ids: list[int] = []
    fed = torch.tensor([list(question)], device=model.model.device)
    with torch.inference_mode():
        for _ in range(ANSWER_TOKENS):
            logits = model.model(fed, past_key_values=cache, use_cache=True, logits_to_keep=1).logits
            fed = logits[:, -1].argmax(-1)[None]
            ids.append(int(fed))
            if len(ids) == 1:
                first = time.perf_counter() - start
    return tuple(ids), first, (time.perf_counter() - start - first) / (ANSWER_TOKENS - 1)


def _peak(device: str) -> int:
    on_device = peak_device_bytes(device)
    return peak_resident_bytes() if on_device is None else on_device

"""How well the next token of long text is predicted: with memory, without it, and by the base model with a window.

All readers read the same tokens and are scored on all but a text's first. Memory does not grow with the text.
"""

from __future__ import annotations

import math
import random
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from itertools import chain, islice
from pathlib import Path
from typing import Any

import torch

from experiments.benches.options import PerplexityBench
from rmtbench.analysis.stats.clustered import clustered_standard_error
from rmtbench.bench.rmt import LengthProgress, described, open_by, parse_tokens
from rmtbench.bench.rmt_texts import load_base, load_memory
from rmtbench.errors import UserError
from rmtbench.models.local import LocalModel
from rmtbench.rmt.base import Step
from rmtbench.rmt.decoder import RecurrentDecoder
from rmtbench.rmt.segments import cut
from rmtbench.rmt.storage import read_stored
from rmtbench.rmt.streaming import read_streams
from rmtbench.rmt.tasks.registry import make_task
from rmtbench.runs.provenance import surroundings

Watch = Callable[[int], None]


@dataclass(slots=True)
class Surprise:
    """Sum of the negative log-likelihoods of tokens.

    Attributes:
        nats: The sum.
        tokens: Number of scored tokens.
    """

    nats: float = 0.0
    tokens: int = 0

    def add(self, logits: torch.Tensor, ids: Sequence[int]) -> None:
        """Score tokens ``[n]`` by the logits ``[n, vocabulary]`` before each."""
        target = torch.tensor(ids, device=logits.device)
        loss = torch.nn.functional.cross_entropy(logits.float(), target, reduction="sum")
        self.nats += float(loss)
        self.tokens += len(ids)


@dataclass(slots=True)
class _Listener:
    """Scores each segment by the states before its tokens, and its first token by the last state before it."""

    model: RecurrentDecoder
    watch: Watch
    surprise: Surprise = field(default_factory=Surprise)
    last: torch.Tensor | None = None
    read: int = 0

    def step(self, step: Step) -> None:
        [ids], states = step.segments, step.read.text[0]
        before = states[:-1] if self.last is None else torch.cat([self.last, states[:-1]])
        scored = ids[1:] if self.last is None else ids
        if len(scored):
            self.surprise.add(self.model.logits(before), scored)
        self.last = step.read.cue
        self.read += len(ids)
        self.watch(self.read)


def with_memory(
    model: RecurrentDecoder, ids: Iterable[int], *, forget: bool = False, watch: Watch = lambda _read: None
) -> Surprise:
    """Read one text by segments.

    Args:
        model: Reads.
        ids: Token ids; an iterator is enough.
        forget: Whether every segment starts with the initial memory.
        watch: Gets the number of tokens read so far.
    """
    listener, segments = _Listener(model, watch), cut(ids, model.config.segment_tokens)
    with torch.inference_mode():
        for stream in ([segment] for segment in segments) if forget else (segments,):
            read_streams(model, [stream], watch=listener.step)
    return listener.surprise


@torch.inference_mode()
def with_window(
    local: LocalModel, ids: Iterable[int], window: int, stride: int, watch: Watch = lambda _read: None
) -> Surprise:
    """Read one text by windows that do not see what is before them.

    Args:
        local: Reads.
        ids: Token ids; an iterator is enough.
        window: Maximum tokens that are read at once.
        stride: Number of new tokens in a window; the others were scored before, and give context. If it equals the
            window, windows do not overlap, and the end of one predicts the first token of the next.
        watch: Gets the number of tokens read so far.

    Raises:
        ValueError: The stride is not between 1 and the window.
    """
    if not 1 <= stride <= window:
        raise ValueError(f"a stride of {stride} in a window of {window}")
    surprise, last, kept, read = Surprise(), None, list[int](), 0
    head = local.model.get_output_embeddings()
    for new in cut(ids, stride):
        inputs = torch.tensor([[*kept, *new]], device=local.model.device)
        states = local.model.base_model(input_ids=inputs, use_cache=False).last_hidden_state[0]
        before = states[max(len(kept) - 1, 0) : -1]
        if not kept and last is not None:
            before = torch.cat([last, before])
        scored = new if len(before) == len(new) else new[1:]
        if scored:
            surprise.add(head(before), scored)
        last = states[-1:]
        kept = [*kept, *new][-(window - stride) :] if stride < window else []
        read += len(new)
        watch(read)
    return surprise


def run(asked: PerplexityBench, *, report: Callable[[LengthProgress], None] = lambda _progress: None) -> dict[str, Any]:
    """Compare what predicts long text.

    Args:
        asked: A file is one text, which may be shorter than `tokens`.
        report: Gets the progress of each reader.

    Returns:
        `rows`: `reader` (`memory`; `memory forgotten`, each segment with the first memory; `base`, windows end to end;
        `base sliding`, windows that overlap by half), `perplexity`, `nll` (nats a token) with `standard_error` over
        texts (null for one), `nll_above_memory` and its error (paired by text), `tokens` scored, `tokens_per_second`
        of text. Also what produced them.

    Raises:
        UserError: Memory, model, task, length, window or a file is wrong.
    """
    length, stored = parse_tokens(asked.tokens, "--tokens"), read_stored(asked.memory)
    size = stored.config.segment_tokens
    span = asked.window or size
    opening = open_by(asked, asked.memory, stored)
    base = load_base(opening)
    if base.context_limit is not None and span > base.context_limit:
        raise UserError(
            f"a window of {span} tokens exceeds the model's context of {base.context_limit}",
            where="--window",
            remedy=f"give at most {base.context_limit}",
        )
    _, recurrent = load_memory(opening)
    sources = _file_texts(asked.text, base, length) if asked.text else _task_texts(asked, base, size, length)
    readers: Mapping[str, Callable[[Iterable[int], Watch], Surprise]] = {
        "memory": lambda ids, watch: with_memory(recurrent, ids, watch=watch),
        "memory forgotten": lambda ids, watch: with_memory(recurrent, ids, forget=True, watch=watch),
        "base": lambda ids, watch: with_window(base, ids, span, span, watch),
        "base sliding": lambda ids, watch: with_window(base, ids, span, max(1, span // 2), watch),
    }
    found, seconds = dict[str, list[Surprise]](), dict[str, float]()
    for name, read in readers.items():
        found[name], seconds[name] = [], 0.0
        read(islice(sources[0](), 2 * span), lambda _read: None)  # the first call sets kernels up
        for number, make in enumerate(sources):
            ids = list(make())
            start = time.perf_counter()
            found[name].append(read(ids, _told(name, number, length, report)))
            seconds[name] += time.perf_counter() - start
    if any(not one.tokens for one in found["memory"]):
        raise UserError("a text of fewer than two tokens", where="--text", remedy="name longer texts")
    return {
        "rows": [_row(name, ours, found["memory"], seconds[name]) for name, ours in found.items()],
        "text": [file.name for file in asked.text] or asked.task,
        "texts": len(sources),
        "window": span,
        "names": asked.names,
        "seed": asked.seed,
        "memory": described(stored),
        "model": dict(base.provenance),
        **surroundings(opening.device),
    }


def _row(name: str, ours: Sequence[Surprise], memory: Sequence[Surprise], seconds: float) -> dict[str, Any]:
    means = [one.nats / one.tokens for one in ours]
    above = [mean - one.nats / one.tokens for mean, one in zip(means, memory, strict=True)]
    tokens = sum(one.tokens for one in ours)
    nll = sum(one.nats for one in ours) / tokens
    return {
        "reader": name,
        "perplexity": math.exp(nll),
        "nll": nll,
        "standard_error": clustered_standard_error([[mean] for mean in means]),
        "nll_above_memory": sum(above) / len(above),
        "nll_above_memory_standard_error": clustered_standard_error([[value] for value in above]),
        "tokens": tokens,
        "seconds": seconds,
        "tokens_per_second": tokens / seconds,
    }


def _told(name: str, number: int, length: int, report: Callable[[LengthProgress], None]) -> Watch:
    return lambda read: report(LengthProgress(f"{name}, text {number + 1}", read, max(length, read)))


def _task_texts(asked: PerplexityBench, local: LocalModel, size: int, length: int) -> list[Callable[[], Iterator[int]]]:
    task = make_task(asked.task, local.contract, size, names=asked.names)

    def make(number: int) -> Iterator[int]:
        chance = random.Random(f"{asked.seed}/perplexity/{number}")  # noqa: S311 - no secret
        try:
            sample = task.sample(-(-length // size), chance)
        except ValueError as error:
            raise UserError(
                f"task '{asked.task}' cannot be told in {length} tokens ({error})",
                where="--tokens",
                remedy="ask for longer texts",
            ) from error
        return islice(chain.from_iterable(sample.segments), length)

    return [partial(make, number) for number in range(asked.texts)]


def _file_texts(files: Sequence[Path], local: LocalModel, length: int) -> list[Callable[[], Iterator[int]]]:
    def make(file: Path) -> Iterator[int]:
        with file.open(encoding="utf-8") as stream:
            try:
                yield from islice(chain.from_iterable(map(local.token_ids, stream)), length)
            except UnicodeDecodeError as error:
                raise UserError(f"no text in UTF-8 ({error})", where=str(file), remedy="convert it to UTF-8") from error

    for file in files:
        if not file.is_file():
            raise UserError("no such file", where=f"--text {file}", remedy="name a plain text in UTF-8")
    return [partial(make, file) for file in files]

"""A text is read from an iterator, with a list's result, and takes memory that its length does not change."""

from __future__ import annotations

import gc
import itertools
import random
import tracemalloc
import weakref
from collections.abc import Iterator

import pytest
import torch
from rmt_models import GEOMETRIES, IDENTITY, SEGMENT, base_model, close, settings, words, wrapped
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from rmtbench.rmt.segments import cut
from rmtbench.rmt.storage import wrap
from rmtbench.rmt.streaming import read_streams
from rmtbench.rmt.walk import read_rows

LENGTHS = (3 * SEGMENT, 5, 2 * SEGMENT + 1, 0)


def read_tokens(model, streams, memory=None, watch=lambda _step: None):
    """What a model remembers of token ids that are cut into its segments as they are read."""
    return read_streams(model, [cut(stream, model.config.segment_tokens) for stream in streams], memory, watch)


@pytest.mark.parametrize("name", GEOMETRIES)
@pytest.mark.parametrize("given", [False, True])
def test_streams_give_the_memory_that_their_segments_give(name: str, given: bool) -> None:
    model, texts = wrapped(name), [words(length, length) for length in LENGTHS]
    memory = torch.randn(4, *model.initial_memory(1).shape[1:]) if given else None
    streamed = read_tokens(model, [iter(text) for text in texts], memory)
    close(streamed, read_rows(model, [list(cut(text, SEGMENT)) for text in texts], memory))
    assert torch.equal(streamed[3], (model.initial_memory(4) if memory is None else memory)[3])


def test_segments_that_were_cut_by_others_are_read_as_they_are() -> None:
    model, rows = wrapped("llama"), [[words(4, 1), words(9, 2)], [words(2, 3)]]
    close(read_streams(model, [iter(row) for row in rows]), read_rows(model, rows))


def test_every_step_is_told_with_its_texts_and_their_segments() -> None:
    model, told = wrapped("llama"), []
    read_tokens(model, [words(length, length) for length in LENGTHS], watch=told.append)
    assert [(step.rows, step.numbers) for step in told] == [((0, 1, 2), (0, 0, 0)), ((0, 2), (1, 1)), ((0, 2), (2, 2))]
    assert [[len(segment) for segment in step.segments] for step in told] == [[12, 5, 12], [12, 12], [12, 1]]


def test_no_more_is_taken_from_a_stream_than_is_read() -> None:
    taken = itertools.count()
    lead = []

    def endless() -> Iterator[int]:
        while next(taken) < 1000:  # enough for this test, and no machine's end if it fails
            yield 1

    def stop(step) -> None:
        lead.append(next(taken) - SEGMENT * (step.numbers[0] + 1) - len(lead))
        if step.numbers[0] == 3:
            raise InterruptedError

    with pytest.raises(InterruptedError):
        read_tokens(wrapped("llama"), [endless()], watch=stop)
    assert lead == [0, 0, 0, 0]


class LiveTensors(TorchDispatchMode):
    """Counts the bytes of all tensors made inside that are still alive, and their peak."""

    def __init__(self) -> None:
        super().__init__()
        self.now = self.peak = 0
        self.seen: set[int] = set()

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        result = func(*args, **(kwargs or {}))
        for tensor in tree_leaves(result):
            if isinstance(tensor, torch.Tensor):
                self.count(tensor.untyped_storage())
        return result

    def count(self, storage: torch.UntypedStorage) -> None:
        key = storage._cdata
        if key not in self.seen:
            self.seen.add(key)
            self.now += storage.nbytes()
            self.peak = max(self.peak, self.now)
            weakref.finalize(storage, self.forget, key, storage.nbytes())

    def forget(self, key: int, size: int) -> None:
        self.seen.discard(key)
        self.now -= size


def sweep(_step: object) -> None:
    """Have Python give back what it keeps of freed objects for new ones, such as tuples by the thousand."""
    gc.collect()


def peaks(model, tokens: int) -> tuple[int, int]:
    """Peak bytes of tensors and of Python objects while a text is read."""
    chance = random.Random(0)
    stream = (chance.randrange(90) for _ in range(tokens))
    gc.freeze()  # what is there already is not looked through at every step
    tracemalloc.start()
    with LiveTensors() as live:
        read_tokens(model, [stream], watch=sweep)
    python = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    gc.unfreeze()
    return live.peak, python


@pytest.mark.parametrize("name", ["gpt2", "bert"])
def test_reading_64k_tokens_takes_no_more_memory_than_8k(name: str) -> None:
    limit = {"n_positions": 512} if name == "gpt2" else {"max_position_embeddings": 512}
    model = wrap(base_model(name, **limit), settings(name, segment_tokens=500), IDENTITY).eval()
    peaks(model, 1200)  # what is made once, such as masks and imports, is made here
    (short, short_python), (long, long_python) = peaks(model, 8_000), peaks(model, 64_000)
    assert short > 500 * 32 * 4, "a segment's states must be seen, or nothing is"
    assert long <= short * 1.01
    assert long_python <= short_python + 200_000, "a pointer to each token alone would be 448 kB"

"""Try each way of reading a prompt on a short text, against the model's own forward without any cache of ours.

A model whose logits differ is refused with the reason. Nothing is assumed of its architecture.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING

import torch

from rmtbench.errors import first_line
from rmtbench.kvcache.exact.prefill import fill, prefill
from rmtbench.kvcache.exact.shared_places import SharedPlaces, make_places
from rmtbench.kvcache.exact.static_places import GRAPHS, STATIC, How, StaticPlaces
from rmtbench.kvcache.exact.suffixes import Suffixes
from rmtbench.models.decode import Ids, Reader
from rmtbench.models.readers import OwnPrompts, SharedPrefix
from rmtbench.models.slots import SlotCache

if TYPE_CHECKING:
    from transformers import PretrainedConfig, PreTrainedModel

    from rmtbench.models.local import LocalModel

OWN = "own prompt"
OWN_BATCH = "own prompts in a batch"
PLAIN = "plain prefix"
PLAIN_BATCH = "plain prefix in a batch"
SHARED = "shared prefix"
SHARED_BATCH = "shared prefix in a batch"
EMBEDDED = "embeddings in place of tokens"

CONTEXT, TAILS, STEPS = 16, (7, 4), 2
"""Tokens of the text: the context, the two questions, and the answer of each, which is fixed."""
CHUNK = 9
"""Tokens of the context that are read at once, so that it has two chunks."""
WINDOW = 6
"""Tokens of a sliding window during the trial, so that the text is longer than the window."""

TOLERANCES = {torch.float32: 1e-3, torch.float16: 0.1, torch.bfloat16: 0.6}
"""Largest difference of a logit that is rounding, in standard deviations of the logits."""
STRAY = {torch.float32: 0.0, torch.float16: 0.25, torch.bfloat16: 0.25}
"""Share of positions that may differ by more: in half precision a router can send a token to another expert."""

Logits = Sequence[torch.Tensor]
"""Of each row, after its prompt and after each token of its answer: ``[1 + STEPS, vocabulary]``."""


@dataclass(frozen=True)
class Text:
    """The text of a trial; both questions continue the same context.

    Attributes:
        context: Token ids.
        tails: Token ids of each question.
        answers: Token ids that follow each question.
    """

    context: Ids
    tails: tuple[Ids, ...]
    answers: tuple[Ids, ...]

    def whole(self, row: int) -> list[int]:
        """Context, question and answer of a row."""
        return [*self.context, *self.tails[row], *self.answers[row]]


def try_ways(model: LocalModel, ways: Sequence[str]) -> dict[str, str]:
    """Compare ways of reading with the model's own forward.

    Args:
        model: The model.
        ways: Names of the ways.

    Returns:
        Why each way cannot be used, by its name; empty where it is exact.
    """
    text = make_text(model)
    with torch.inference_mode(), _short_window(model.model.config):
        try:
            expected = [_own_forward(model.model, text.whole(row)) for row in range(len(text.tails))]
        except (torch.OutOfMemoryError, MemoryError):
            raise
        except Exception as error:  # noqa: BLE001 - code of any architecture
            return dict.fromkeys(ways, f"the model's own forward fails ({first_line(error)})")
        if difference([expected[0][:CONTEXT]], [expected[1][:CONTEXT]]):
            return dict.fromkeys(ways, "what it computes for a token changes with the tokens behind it")
        wanted = [logits[-STEPS - 1 :] for logits in expected]
        return {way: _try(_WAYS[way], model, text, wanted) for way in ways}


def try_steps(model: LocalModel) -> LocalModel:
    """Return the model with what its trial found against the decode steps of a GPU; on the CPU there is none to try."""
    if not model.device.startswith("cuda"):
        return model
    found = {way: why for way, why in try_ways(model, [STATIC, GRAPHS]).items() if why}
    return replace(model, inexact={**model.inexact, **found})


def make_text(model: LocalModel) -> Text:
    """The text of a model's trial: the same token ids each time, none of them special."""
    tokenizer = model.contract.tokenizer
    special = {
        *tokenizer.all_special_ids,
        *tokenizer.added_tokens_decoder,
        getattr(model.model.config, "pad_token_id", None),
    }
    rows = model.model.get_input_embeddings().weight.shape[0]
    plain = [token for token in range(min(len(tokenizer), rows)) if token not in special]
    ids = iter(random.Random(0).choices(plain or range(rows), k=CONTEXT + sum(TAILS) + STEPS * len(TAILS)))  # noqa: S311

    def take(count: int) -> list[int]:
        return [next(ids) for _ in range(count)]

    return Text(take(CONTEXT), tuple(take(count) for count in TAILS), tuple(take(STEPS) for _ in TAILS))


def difference(found: Logits, expected: Logits) -> str:
    """Describe how logits differ; empty where they are equal but for rounding.

    Args:
        found: By a way of reading, row by row.
        expected: By the model's own forward. Where it is not finite, nothing is compared.
    """
    dtype = expected[0].dtype
    have, want = (torch.cat([*rows]).float() for rows in (found, expected))
    if have.shape != want.shape:
        return f"logits of shape {tuple(have.shape)} where {tuple(want.shape)} are expected"
    known = want.isfinite().all(-1)
    have, want = have[known], want[known]
    if not len(want):
        return ""
    spread = want.std(-1).max().clamp_min(1e-12)
    off = ((have - want).abs().amax(-1) / spread).nan_to_num(torch.inf, torch.inf)
    beyond = off > TOLERANCES[dtype]
    if float(beyond.float().mean()) <= STRAY[dtype]:
        return ""
    words = int((have.argmax(-1) != want.argmax(-1)).sum())
    return f"logits differ by up to {float(off.max()):.2g} standard deviations, the next token at {words} of {len(off)}"


Way = Callable[["LocalModel", Text], Iterator[tuple[int, torch.Tensor]]]
"""Reads a text; yields rows of the text and, in the order of the row, one ``[vocabulary]`` of logits each time."""


def _try(way: Way, model: LocalModel, text: Text, wanted: Logits) -> str:
    read: dict[int, list[torch.Tensor]] = {}
    try:
        for row, logits in way(model, text):
            read.setdefault(row, []).append(logits)
    except (torch.OutOfMemoryError, MemoryError):
        raise
    except Exception as error:  # noqa: BLE001 - code of any architecture
        return first_line(error)
    found = {row: torch.stack(logits) for row, logits in read.items()}
    return difference([*found.values()], [wanted[row][: len(logits)] for row, logits in found.items()])


def _own_forward(model: PreTrainedModel, ids: Ids) -> torch.Tensor:
    """Logits of all positions, ``[tokens, vocabulary]``."""
    logits: torch.Tensor = model(input_ids=torch.tensor([list(ids)], device=model.device), use_cache=False).logits
    return logits[0]


def _fed(reader: Reader, text: Text, rows: Sequence[int]) -> Iterator[tuple[int, torch.Tensor]]:
    """Feed each row its answer; the first row ends one token before the others, as rows of a batch do."""
    yield from zip(rows, first := reader.read(), strict=True)
    device = first.device
    for step in range(STEPS):
        live = [place for place in range(len(rows)) if place or step < STEPS - 1 or len(rows) == 1]
        tokens = torch.tensor([text.answers[rows[place]][step] for place in live], device=device)
        yield from zip([rows[place] for place in live], reader.step(live, tokens), strict=True)


def _own(model: LocalModel, text: Text) -> Iterator[tuple[int, torch.Tensor]]:
    yield from _fed(OwnPrompts(model.model, [(text.context, text.tails[0])], STEPS), text, [0])


def _embedded(model: LocalModel, text: Text) -> Iterator[tuple[int, torch.Tensor]]:
    """The way in which memory tokens reach a model."""
    ids = torch.tensor([text.whole(0)], device=model.model.device)
    inputs = model.model.get_input_embeddings()(ids)
    logits = model.model(inputs_embeds=inputs, use_cache=False).logits[0]
    yield from ((0, each) for each in logits[-STEPS - 1 :])


def _own_batch(model: LocalModel, text: Text) -> Iterator[tuple[int, torch.Tensor]]:
    pairs = [(text.context, tail) for tail in text.tails]
    yield from _fed(OwnPrompts(model.model, pairs, STEPS), text, range(len(pairs)))


def _over_plain(model: LocalModel, text: Text, *batches: Sequence[int]) -> Iterator[tuple[int, torch.Tensor]]:
    net, start = model.model, len(text.context)
    cache = SlotCache(net.config.num_hidden_layers, rows=1, capacity=start + sum(TAILS) + len(TAILS) * STEPS)
    fill(cache, prefill(net, text.context, chunk_tokens=CHUNK), net.device)
    for rows in batches:
        yield from _fed(SharedPrefix(net, cache, start, [text.tails[row] for row in rows]), text, rows)


def _plain(model: LocalModel, text: Text) -> Iterator[tuple[int, torch.Tensor]]:
    yield from _over_plain(model, text, [0], [1])


def _plain_batch(model: LocalModel, text: Text) -> Iterator[tuple[int, torch.Tensor]]:
    yield from _over_plain(model, text, [0, 1])


def _shared(model: LocalModel, text: Text) -> Iterator[tuple[int, torch.Tensor]]:
    places = _places(model, text, 1)
    yield 0, places.advance([], [], [(0, text.tails[0])])[0]
    for token in text.answers[0]:
        yield 0, places.advance([0], [token], [])[0]
    yield 1, places.advance([], [], [(0, text.tails[1])])[0]


def _shared_batch(model: LocalModel, text: Text) -> Iterator[tuple[int, torch.Tensor]]:
    """Both enter at once and go on together; then one begins again while the other goes on."""
    places, (first, second) = _places(model, text, 2), text.answers
    yield from enumerate(places.advance([], [], [(0, text.tails[0]), (1, text.tails[1])]))
    yield from enumerate(places.advance([0, 1], [first[0], second[0]], []))
    other, _again = places.advance([1], [second[1]], [(0, text.tails[0])])
    yield 1, other


def _static(model: LocalModel, text: Text, how: How = "static") -> Iterator[tuple[int, torch.Tensor]]:
    """Both enter one after the other and go on together; then one goes on alone."""
    places, (first, second) = _places(model, text, 2, how), text.answers
    yield 1, places.advance([], [], [(1, text.tails[1])])[0]
    yield from zip((1, 0), places.advance([1], [second[0]], [(0, text.tails[0])]), strict=True)
    yield from enumerate(places.advance([0, 1], [first[0], second[1]], []))
    yield 0, places.advance([0], [first[1]], [])[0]


def _places(model: LocalModel, text: Text, count: int, how: How = "forward") -> SharedPlaces | StaticPlaces:
    tensors = prefill(model.model, text.context, chunk_tokens=CHUNK)
    return make_places(model, tensors, Suffixes(tensors, count, max(TAILS) + STEPS), how)


_WAYS: Mapping[str, Way] = {
    OWN: _own,
    OWN_BATCH: _own_batch,
    PLAIN: _plain,
    PLAIN_BATCH: _plain_batch,
    SHARED: _shared,
    SHARED_BATCH: _shared_batch,
    STATIC: _static,
    GRAPHS: partial(_static, how="graphs"),
    EMBEDDED: _embedded,
}


@contextmanager
def _short_window(config: PretrainedConfig) -> Iterator[None]:
    """Shorten a sliding window for the block, for our readers and the model's own forward alike."""
    window = getattr(config, "sliding_window", None)
    if not isinstance(window, int) or window <= WINDOW:
        yield
        return
    config.sliding_window = WINDOW
    try:
        yield
    finally:
        config.sliding_window = window

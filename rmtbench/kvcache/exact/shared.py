"""The shared prefix: one stored copy, read once a step for all rows; questions are admitted as places get free.

Exact: what it answers is what the model answers without a cache.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from types import TracebackType
from typing import Self

import torch

from rmtbench.errors import AnswerError
from rmtbench.kvcache.base import PrefixKV
from rmtbench.kvcache.disk.obtain import ReadContext, read_in_chunks
from rmtbench.kvcache.exact.shared_attention import NAME
from rmtbench.kvcache.exact.suffixes import Suffixes, plan_round
from rmtbench.measure import Stopwatch, synchroniser
from rmtbench.models.architecture import attention_of, check_shared_prefix
from rmtbench.models.base import Generation, Passage
from rmtbench.models.decode import Decoded, Ids, greedy_continuous
from rmtbench.models.local import LocalModel


class SharedPlaces:
    """The rows' places over one prefix, as `rmtbench.models.decode.Places`."""

    def __init__(self, model: LocalModel, prefix: PrefixKV, suffixes: Suffixes) -> None:
        self._model, self._prefix, self._suffixes = model.model, prefix, suffixes

    @torch.inference_mode()
    def advance(self, stepping: Sequence[int], tokens: Ids, entering: Sequence[tuple[int, Ids]]) -> torch.Tensor:
        """One forward over all these tokens in a line: see the protocol."""
        reading = plan_round(self._prefix, self._suffixes, stepping, [(place, len(tail)) for place, tail in entering])
        line = [*tokens, *(token for _, tail in entering for token in tail)]
        model, device = self._model, self._model.device
        with attention_of(model, NAME):
            logits: torch.Tensor = model(
                input_ids=torch.tensor([line], device=device),
                position_ids=(reading.slots + self._prefix.tokens)[None],
                # A mask of four dimensions is passed on as it is, so that transformers makes none of its own.
                attention_mask=torch.ones((1, 1, 1, 1), dtype=torch.bool, device=device),
                use_cache=False,
                logits_to_keep=reading.last,
                reading=reading,
            ).logits
        return logits[0]

    def clear(self, place: int) -> None:
        """Forget a failed row: see the protocol."""
        for tensor in (*self._suffixes.keys, *self._suffixes.values):
            tensor[place] = 0


class SharedPrefixCache:
    """A `PrefixCache` over `PrefixKV`; made by `shared_prefix`."""

    def __init__(
        self, model: LocalModel, tensors: PrefixKV, longest: int, seconds: Mapping[str, float], batch: int
    ) -> None:
        self._model, self._batch, self._longest, self._seconds = model, batch, longest, seconds
        self._tokens = tensors.tokens
        self._turn: object = None
        self._held: tuple[PrefixKV, Suffixes] | None = (
            tensors,
            Suffixes(tensors, batch, longest + model.max_new_tokens),
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._held = self._turn = None

    @property
    def tokens(self) -> int:
        """Tokens held."""
        return self._tokens

    @property
    def bytes(self) -> int:
        """Bytes held, the room for questions and answers included."""
        return sum(part.bytes for part in self._held) if self._held is not None else 0

    @property
    def seconds(self) -> Mapping[str, float]:
        """Wall seconds of what was done to make it, by part."""
        return self._seconds

    def generate(self, questions: Sequence[str]) -> list[Generation]:
        """Answer questions that continue the context, as many at once as there are places.

        Args:
            questions: Any number.

        Raises:
            AnswerError: A question is longer than the room kept for it, or than the model's context.
            RuntimeError: The prefix was closed.
        """
        generations = list(self.stream(questions))
        for generation in generations:
            if generation.error is not None:
                raise AnswerError(generation.error)
        return generations

    def stream(self, questions: Sequence[str]) -> Iterator[Generation]:
        """Answer questions in order; one that ended before an earlier one waits for it.

        Args:
            questions: Any number; when one ends, the next takes its place.

        Yields:
            One result a question. `error` says why there is none: the others are answered all the same. Seconds are
            the question's share of the forwards: see `greedy_continuous`.

        Raises:
            RuntimeError: The prefix was closed, or other questions were asked before all of these were answered: there
                is one set of places.
        """
        if self._held is None:
            raise RuntimeError("the prefix is closed")
        model, done = self._model, dict[int, Generation]()
        lengths: dict[int, int] = {}
        self._turn = turn = object()

        def prompts() -> Iterator[tuple[int, Ids]]:
            for number, question in enumerate(questions):
                tail = model.question_ids(question)
                try:
                    self._check(tail)
                except AnswerError as error:
                    done[number] = Generation("", "", "error", (), 0, 0, 0.0, 0.0, str(error))
                    continue
                lengths[number] = self._tokens + len(tail)
                yield number, tail

        following = 0
        for number, decoded in self._decode(prompts()):
            done[number] = model.generation(
                decoded, lengths[number], self._tokens, decoded.prefill_seconds, decoded.decode_seconds
            )
            while following in done:
                yield done.pop(following)
                following += 1
                if self._turn is not turn:
                    raise RuntimeError("the prefix was closed, or other questions were asked meanwhile")
        yield from (done[number] for number in sorted(done))

    def _decode(self, prompts: Iterator[tuple[int, Ids]]) -> Iterator[tuple[int, Decoded]]:
        if self._held is None:
            raise RuntimeError("the prefix is closed")
        model = self._model
        places = SharedPlaces(model, *self._held)
        return greedy_continuous(places, prompts, self._batch, model.finish, model.max_new_tokens)

    def _check(self, tail: Ids) -> None:
        needed, room = (count + self._model.max_new_tokens for count in (len(tail), self._longest))
        if needed > room:
            raise AnswerError(f"question and answer of {needed} tokens exceed the {room} kept for them")
        self._model.check_length(self._tokens + len(tail))


def shared_prefix(
    model: LocalModel, tensors: PrefixKV, *, longest: int, batch: int, seconds: Mapping[str, float]
) -> SharedPrefixCache:
    """Make a context's keys and values ready for questions; they are not copied.

    Args:
        model: The model that read it.
        tensors: What it read.
        longest: Tokens of the longest question: room for it and its answer is kept `batch` times over.
        batch: Most questions at once.
        seconds: What making the tensors cost, by part.

    Raises:
        UserError: The model has attention of another kind.
    """
    check_shared_prefix(model.model)
    return SharedPrefixCache(model, tensors, longest, seconds, batch)


def read_shared(
    model: LocalModel,
    passages: Sequence[Passage],
    questions: Sequence[str],
    batch: int,
    read: ReadContext = read_in_chunks,
) -> SharedPrefixCache:
    """Read a context once and keep its keys and values.

    Args:
        model: The model that reads it.
        passages: The context.
        questions: Those that will be asked: room for the longest is kept `batch` times over.
        batch: Most questions asked at once.
        read: Reads the context, or has it already.

    Returns:
        The prefix, its cost by part (tokenize, and what `read` adds) inside.

    Raises:
        UserError: The model has attention of another kind.
        AnswerError: The context leaves no room for an answer.
    """
    check_shared_prefix(model.model)
    watch = Stopwatch(synchroniser(model.device))
    with watch.part("tokenize"):
        ids = model.context_ids(passages)
        longest = max((len(model.question_ids(question)) for question in questions), default=0)
    model.check_length(len(ids) + longest)
    tensors = read(model, ids, watch.seconds)
    return shared_prefix(model, tensors, longest=longest, batch=batch, seconds=watch.seconds)

"""The shared prefix: one stored copy, read once a step for all rows; questions are admitted as places get free.

Exact: what it answers is what the model answers without a cache.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from itertools import chain
from typing import Self

from rmtbench.errors import AnswerError, out_of_memory
from rmtbench.kvcache.base import PrefixKV
from rmtbench.kvcache.exact.reading import ReadContext, read_in_chunks, tokenise
from rmtbench.kvcache.exact.shared_places import SharedPlaces, make_places
from rmtbench.kvcache.exact.static_places import StaticPlaces, Tokens, choose_step, is_plain
from rmtbench.kvcache.exact.suffixes import Suffixes
from rmtbench.kvcache.watching import NOBODY
from rmtbench.measure import Timed, add_seconds, free_memory
from rmtbench.models.architecture import check_shared_prefix
from rmtbench.models.base import Generation, Passage
from rmtbench.models.batches import failed, no_room
from rmtbench.models.decode import Decoded, Finishes, Forward, GreedyRows, Ids
from rmtbench.models.local import LocalModel


class SharedPrefixCache:
    """A `PrefixCache` over `PrefixKV`; made by `shared_prefix`.

    Args:
        model: The model that read the context.
        tensors: The context's keys and values; they are not copied.
        longest: Tokens of the longest question.
        batch: Most questions at once: places that are kept for them. If memory is missing, half of them.
        notice: Gets a line when places were halved, and where graphs may be used and cannot.
        no_graphs: Why decode steps are not replayed as CUDA graphs; empty where they may be: see `choose_step`.
    """

    def __init__(
        self,
        model: LocalModel,
        tensors: PrefixKV,
        *,
        longest: int,
        batch: int,
        notice: Callable[[str], None] = NOBODY.notice,
        no_graphs: str = "",
    ) -> None:
        self._model, self._batch, self._longest, self._notice = model, batch, longest, notice
        self._tokens = tensors.tokens
        self._turn: object = None
        self._how, why = choose_step(model, plain=is_plain(tensors), no_graphs=no_graphs)
        if why and not no_graphs and model.device.startswith("cuda"):
            notice(f"decode steps are not replayed as CUDA graphs: {why}")
        self._held: tuple[PrefixKV, Suffixes] | None = None
        self._places: SharedPlaces | StaticPlaces | None = None
        self._hold(tensors)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_error: object) -> None:
        self._held = self._places = self._turn = None

    @property
    def tokens(self) -> int:
        """Tokens held."""
        return self._tokens

    @property
    def bytes(self) -> int:
        """Bytes held, the room for questions and answers included."""
        return sum(part.bytes for part in self._held) if self._held is not None else 0

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

    def answers(self, questions: Sequence[str], batch: int) -> Iterator[Timed[Generation]]:  # noqa: ARG002
        """Answer questions as `stream` does, each with its share of the forwards' seconds.

        Args:
            questions: Any number.
            batch: Not used: the places were counted when the prefix was made.
        """
        return (Timed(found, {"total": found.seconds}) for found in self.stream(questions))

    def stream(self, questions: Sequence[str]) -> Iterator[Generation]:
        """Answer questions in order; one that ended before an earlier one waits for it.

        Args:
            questions: Any number; when one ends, the next takes its place.

        Yields:
            One result a question. `error` says why there is none: the others are answered all the same. Seconds are
            the question's share of the forwards: see `GreedyRows`.

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
                    done[number] = failed(error)
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
        """Answer prompts as they end. If memory is missing, halve the places and begin the unfinished ones again.

        With one place, the question that it held fails, and the others go on.
        """
        begun: dict[int, Ids] = {}
        finish, most = self._model.finish, self._model.max_new_tokens

        def watched(some: Iterator[tuple[int, Ids]]) -> Iterator[tuple[int, Ids]]:
            for number, tail in some:
                begun[number] = tail
                yield number, tail

        while True:
            if self._places is None:
                raise RuntimeError("the prefix is closed")
            again = list(begun.items())  # those that were in their places when memory was missing
            try:
                rows = watched(chain(again, prompts))
                for number, decoded in greedy_continuous(self._places, rows, self._batch, finish, most):
                    del begun[number]
                    yield number, decoded
            except (RuntimeError, MemoryError) as error:
                lacking = out_of_memory(error)
                if not lacking:
                    raise
            else:
                return
            free_memory()
            if self._batch > 1:
                self._halve()
                continue
            number = next(iter(begun))
            del begun[number]
            yield number, Decoded((), "error", 0.0, 0.0, no_room(1, lacking))

    def _hold(self, prefix: PrefixKV) -> None:
        """Take the rows' places and get their steps ready; if memory is missing, half as many until they fit."""
        while self._held is None:
            try:
                self._held, self._places = self._take(prefix)
            except (RuntimeError, MemoryError) as error:
                if self._batch == 1 or not out_of_memory(error):
                    raise
            else:
                return
            self._fewer()

    def _take(self, prefix: PrefixKV) -> tuple[tuple[PrefixKV, Suffixes], SharedPlaces | StaticPlaces]:
        suffixes = Suffixes(prefix, self._batch, self._longest + self._model.max_new_tokens)
        return (prefix, suffixes), make_places(self._model, prefix, suffixes, self._how)

    def _halve(self) -> None:
        """Keep half of the places, for all questions from now on."""
        if self._held is None:
            raise RuntimeError("the prefix is closed")
        prefix, self._held, self._places = self._held[0], None, None  # lets go of the larger buffers first
        self._fewer()
        self._hold(prefix)

    def _fewer(self) -> None:
        before, self._batch = self._batch, self._batch // 2
        free_memory()
        self._notice(f"out of memory with {before} questions at once; now {self._batch} at once")

    def _check(self, tail: Ids) -> None:
        needed, room = (count + self._model.max_new_tokens for count in (len(tail), self._longest))
        if needed > room:
            raise AnswerError(f"question and answer of {needed} tokens exceed the {room} kept for them")
        self._model.check_length(self._tokens + len(tail))


def greedy_continuous(
    places: SharedPlaces | StaticPlaces,
    prompts: Iterator[tuple[int, Ids]],
    count: int,
    finish: Finishes,
    max_tokens: int,
) -> Iterator[tuple[int, Decoded]]:
    """Answer greedily as many prompts as there come: when a row ends, the next prompt takes its place.

    Over places that are `behind`, a forward begins before the tokens of the one before it are known. So a row that ends
    by a token, and not by `max_tokens`, has read one token in vain.

    Args:
        places: Holds what all prompts continue.
        prompts: A key and what is left to read, at least one token, of each; asked for when a place is free.
        count: How many places there are.
        finish: Tells from a row's tokens so far whether it has ended.
        max_tokens: Most tokens of an answer.

    Yields:
        Key and result of each row as it ends, while no forward runs. Seconds are its shares: see `GreedyRows`.
    """
    rows, running = GreedyRows(prompts, count, finish, max_tokens), deque[tuple[Forward, Tokens]]()
    while True:
        if (begun := rows.ask()) is not None:
            running.append((begun, places.start(begun)))
            if places.behind and len(running) == 1:
                continue
        if not running:
            return
        forward, tokens = running.popleft()
        for place in rows.take(forward, tokens()):
            places.clear(place)
        if not running:
            for row in rows.ended():
                yield row.key, row.decoded(row.prefill, row.decode)


def shared_prefix(
    model: LocalModel,
    context: PrefixKV,
    *,
    longest: int,
    batch: int,
    notice: Callable[[str], None] = NOBODY.notice,
    no_graphs: str = "",
) -> SharedPrefixCache:
    """Make a context's keys and values ready for questions; they are not copied.

    Args:
        model: The model that read it.
        context: What it read.
        longest: Tokens of the longest question: room for it and its answer is kept `batch` times over.
        batch: Most questions at once.
        notice: Gets a line when memory was missing and fewer are answered at once, and where graphs cannot be used.
        no_graphs: Why decode steps are not replayed as CUDA graphs; empty where they may be.

    Raises:
        UserError: The model has attention of another kind.
    """
    check_shared_prefix(model.model)
    return SharedPrefixCache(model, context, longest=longest, batch=batch, notice=notice, no_graphs=no_graphs)


FOR_FEW = "the context is read for one question"
"""Why no CUDA graph is recorded where a context is not kept: each recording runs the step several times."""


def read_shared(
    model: LocalModel,
    passages: Sequence[Passage],
    questions: Sequence[str],
    batch: int,
    read: ReadContext = read_in_chunks,
) -> Timed[SharedPrefixCache]:
    """Read a context once and keep its keys and values, for few questions: no CUDA graph is recorded for them.

    Args:
        model: The model that reads it.
        passages: The context.
        questions: Those that will be asked: room for the longest is kept `batch` times over.
        batch: Most questions asked at once.
        read: Reads the context, or has it already.

    Returns:
        The prefix with its seconds: ``tokenize`` and the parts of `read`.

    Raises:
        UserError: The model has attention of another kind.
        ContextTooLongError: The context leaves no room for an answer.
    """
    check_shared_prefix(model.model)
    tokens = tokenise(model, passages, questions)
    context = read(model, tokens.value.ids)
    prefix = shared_prefix(model, context.value, longest=tokens.value.longest, batch=batch, no_graphs=FOR_FEW)
    return Timed(prefix, add_seconds(tokens.seconds, context.seconds))

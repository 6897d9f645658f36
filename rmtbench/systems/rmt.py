"""The recurrent memory transformer: a corpus is read segment by segment into a few memory tokens, and only they stay.

`rmt-memory` reads it once, before any question. `rmt-query-first` reads it for each question, with the question in
every segment. Both answer only from memory, with the prompt contract and decode loop of all other systems.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING

from rmtbench.core import Answer, Corpus, Prepared, Question
from rmtbench.errors import AnswerError, UserError
from rmtbench.measure import Stopwatch, synchroniser
from rmtbench.models.base import Generation
from rmtbench.options import flag
from rmtbench.options.identity import RunOptions
from rmtbench.systems.base import Closing, Resources, SystemKind, answer_batch, batches, generate_apart

if TYPE_CHECKING:
    import torch

    from rmtbench.models.local import LocalModel
    from rmtbench.rmt.decoder import RecurrentDecoder


class FromMemory(Closing):
    """A `System` that reads the corpus once and keeps only the memory."""

    def __init__(self, resources: Resources) -> None:
        self._resources = resources
        self._model, trained = _readers(resources)
        self._reading, self._decoder = _used_as(resources.spec.options, trained)
        self._memory: torch.Tensor | None = None

    def close(self) -> None:
        """Let go of what was prepared."""
        self._memory = None

    def prepare(self, corpus: Corpus) -> Prepared:
        """Read the corpus, however long it is, into one memory, or each document into its own.

        Raises:
            UserError: The tokenizer does not tell which characters a token is, what is kept exceeds the model's
                positions, or the memory's layers cannot be run apart.
        """
        watch = Stopwatch(synchroniser(self._model.device))
        with watch.part("tokenize"):
            texts = [text for text in map(list, self._texts(corpus)) if text]
        with watch.part("prefill"):
            self._memory = self._read(texts)
        segments = [segment for text in texts for segment in text]
        counts = {"segments": len(segments), "read_tokens": sum(map(len, segments))}
        if self._reading.config.by_gradient:
            counts["gradient_steps"] = len(segments) * self._reading.config.form.inner_steps
        tokens = self._decoder.tokens_of(self._memory).shape[1]
        return Prepared(watch.seconds, self._memory.nbytes, tokens, counts=counts)

    def _texts(self, corpus: Corpus) -> Iterator[Iterator[list[int]]]:
        """Segments of what is read into one memory: the corpus, or each of its documents."""
        from rmtbench.systems.sentences import packed_ids

        apart = self._resources.spec.options.rmt_kind == "per-document"
        parts = [replace(corpus, documents=(each,)) for each in corpus.documents] if apart else [corpus]
        for part in parts:
            yield packed_ids(_sentences(part, self._model), self._decoder.config.segment_tokens)

    def _read(self, texts: Sequence[Sequence[Sequence[int]]]) -> torch.Tensor:
        """One memory of all texts, ``[1, kept tokens, hidden]``: those of several stand side by side, in order."""
        import torch

        from rmtbench.rmt.diagonal import read_diagonally
        from rmtbench.rmt.streaming import read_streams

        read = read_diagonally if self._resources.spec.options.rmt_schedule == "diagonal" else read_streams
        parts = [read(self._reading, [text]) for text in texts] or [self._reading.initial_memory(1)]
        memory = parts[0] if len(parts) == 1 else torch.cat(parts, dim=1)
        limit, longest = self._model.context_limit, self._model.max_new_tokens
        if self._decoder.config.accumulates and limit is not None and memory.shape[1] + longest >= limit:
            last = f"{flag.rmt_last}=N, or " if self._reading.config.accumulates else ""
            raise UserError(
                f"memory of {memory.shape[1]} tokens and an answer of {longest} exceed the model's context of {limit}",
                where=f"{flag.systems} {self._resources.spec.system}",
                remedy=f"keep less: {last}{flag.rmt_kind}=constant",
            )
        return memory

    def answer(self, questions: Sequence[Question]) -> Iterator[Answer]:
        """Answer each question from the memory, which does not change.

        Raises:
            RuntimeError: `prepare` was not called.
        """
        if self._memory is None:
            raise RuntimeError("answer before prepare")
        for batch in batches(questions, self._resources.spec.batch):
            started = time.perf_counter()
            texts = [question.text for question in batch]
            yield from answer_batch(
                batch, partial(generate_apart, partial(self._generate, self._memory), texts), started
            )

    def _generate(self, memory: torch.Tensor, texts: Sequence[str]) -> list[Generation]:
        start = time.perf_counter()
        tails = [_question_ids(self._model, self._decoder, text) for text in texts]
        reader = self._decoder.prompts(memory.expand(len(tails), -1, -1), tails, self._model.max_new_tokens)
        kept = self._decoder.tokens_of(memory).shape[1]
        prompt_tokens = [kept + len(tail) for tail in tails]
        return self._model.decode(reader, prompt_tokens, [kept] * len(tails), time.perf_counter() - start)


class QueryFirst(Closing):
    """A `System` that reads the corpus again for each question, which follows the text of every segment."""

    def __init__(self, resources: Resources) -> None:
        self._resources = resources
        self._model, self._decoder = _readers(resources)
        self._sentences: list[list[int]] | None = None

    def close(self) -> None:
        """Let go of what was prepared."""
        self._sentences = None

    def prepare(self, corpus: Corpus) -> Prepared:
        """Tokenise the corpus. It is cut later, because the segments depend on the question.

        Raises:
            UserError: The tokenizer does not give the characters of a token.
        """
        watch = Stopwatch()
        with watch.part("tokenize"):
            self._sentences = _sentences(corpus, self._model)
        return Prepared(watch.seconds)

    def answer(self, questions: Sequence[Question]) -> Iterator[Answer]:
        """Read all segments with each question, then answer it from the memory.

        Raises:
            RuntimeError: `prepare` was not called.
        """
        if self._sentences is None:
            raise RuntimeError("answer before prepare")
        for batch in batches(questions, self._resources.spec.batch):
            started = time.perf_counter()
            texts = [question.text for question in batch]
            generate = partial(self._generate, self._sentences)
            yield from answer_batch(batch, partial(generate_apart, generate, texts), started)

    def _generate(self, sentences: Sequence[Sequence[int]], texts: Sequence[str]) -> list[Generation]:
        from rmtbench.rmt.streaming import read_to_ends
        from rmtbench.systems.sentences import packed_ids

        start = time.perf_counter()
        size = self._decoder.config.segment_tokens
        tails = [_question_ids(self._model, self._decoder, text, beside=1) for text in texts]
        rows = [[[*pack, *tail] for pack in packed_ids(sentences, size - len(tail))] for tail in tails]
        memory = read_to_ends(self._decoder, rows)  # questions of unequal length leave unequal numbers of segments
        reader = self._decoder.prompts(memory, tails, self._model.max_new_tokens)
        prompt_tokens = [sum(map(len, row)) + len(tail) for row, tail in zip(rows, tails, strict=True)]
        synchroniser(self._model.device)()
        return self._model.decode(reader, prompt_tokens, [0] * len(tails), time.perf_counter() - start)


def _readers(resources: Resources) -> tuple[LocalModel, RecurrentDecoder]:
    """Return the model, and the same model with a trained memory around its own copy of the weights."""
    system = f"{flag.systems} {resources.spec.system}"
    if resources.local is None:
        raise UserError(
            "this model cannot be given memory tokens", where=system, remedy="use a local model, or rmt-text"
        )
    if resources.memory is None:
        raise UserError(
            f"no trained memory for '{resources.spec.model}'",
            where=system,
            remedy=f"train one with `rmtbench train rmt`, and name its folder with {flag.rmt}",
        )
    return resources.local, resources.memory.decoder


def _used_as(options: RunOptions, decoder: RecurrentDecoder) -> tuple[RecurrentDecoder, RecurrentDecoder]:
    """Return the trained memory as a run asks for it: what reads a text, and what is asked of all that is kept.

    Raises:
        UserError: An option of the run has no effect on this memory, or the memory cannot have that form.
    """
    form, kind = decoder.config.form, options.rmt_kind
    kept = kind if kind in ("constant", "accumulate") else form.memory
    if options.rmt_last is not None and kept != "accumulate":
        raise UserError(
            "means nothing where only the last segment's memory is kept",
            where=flag.rmt_last,
            remedy=f"give {flag.rmt_kind}=accumulate, or leave it out",
        )
    if options.rmt_inner_steps is not None and form.write != "gradient":
        raise UserError(
            "means nothing for a memory that is written forward", where=flag.rmt_inner_steps, remedy="leave it out"
        )
    last = form.memory_last if options.rmt_last is None and kept == "accumulate" else options.rmt_last
    form = replace(form, memory=kept, memory_last=last)
    if options.rmt_inner_steps is not None:
        form = replace(form, inner_steps=options.rmt_inner_steps)
    reading = decoder if form == decoder.config.form else decoder.with_form(form)
    if kind != "per-document":
        return reading, reading
    return reading, reading.with_form(replace(form, memory="accumulate", memory_last=None))


def _sentences(corpus: Corpus, model: LocalModel) -> list[list[int]]:
    from rmtbench.systems.sentences import sentence_ids

    tokenizer, marks = model.contract.tokenizer, model.contract.marks
    return [sentence for document in corpus.documents for sentence in sentence_ids(document, tokenizer, marks)]


def _question_ids(model: LocalModel, decoder: RecurrentDecoder, text: str, beside: int = 0) -> list[int]:
    """Return the token ids of a question and the answer's cue.

    Raises:
        AnswerError: With `beside` tokens of text they exceed a segment.
    """
    ids, size = model.question_ids(text), decoder.config.segment_tokens
    if len(ids) + beside > size:
        rest = f" and {beside} of text" if beside else ""
        raise AnswerError(f"a question of {len(ids)} tokens{rest} exceed a segment of {size}")
    return ids


KIND = (
    SystemKind(
        "rmt-memory",
        "the corpus read once into memory tokens, which alone are kept",
        FromMemory,
        needs={"memory"},
        order=80,
        family="recurrent memory",
        colour="sky",
        marker="P",
    ),
    SystemKind(
        "rmt-query-first",
        "the corpus read into memory tokens for every question, which stands in each segment",
        QueryFirst,
        needs={"query-first-memory"},
        order=90,
        family="recurrent memory",
        colour="sky",
        marker="X",
    ),
)

"""A bounded memory of words: the model rewrites its notes section by section, then answers only from the notes.

This needs no weights, so a model behind a server can do it. The scheme is that of MemAgent (arXiv 2507.02259). The
words are ours, and the model is not trained for it.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from rmtbench.core import Answer, Corpus, Finish, Prepared, Question, TokenCounts
from rmtbench.errors import UserError
from rmtbench.models.base import Generation, LanguageModel, Passage, Prompt
from rmtbench.models.prompt import CUE, INSTRUCTION, PromptContract
from rmtbench.options import flag
from rmtbench.systems.base import Closing, Resources, SystemKind, answer_batch, batches, generate_apart

if TYPE_CHECKING:
    from rmtbench.models.endpoint.model import EndpointModel
    from rmtbench.models.local import LocalModel

NOTES = "Notes"
NO_NOTES = "There are no notes yet."
NOTES_INSTRUCTION = (
    "You read long documents section by section to answer one question later, and only your notes will be left of "
    "them. You are given the notes so far and the next section. Write new notes, which replace the old ones: keep what "
    "still helps, add what the section tells about the question or about what leads to its answer, and leave out the "
    "rest. Do not answer yet."
)


OTHER_NOTES = "Other notes"
HEADS_INSTRUCTION = (
    f' Passages called "{OTHER_NOTES}" are notes too, and stay as they are: do not write again what they say.'
)


class NotesContract(PromptContract):
    """The prompt contract for writing notes. They may have many lines, and end where the model ends them."""

    def finish(self, ids: Sequence[int], end_ids: frozenset[int]) -> Finish | None:
        """Return ``eos`` at an end-of-sequence token, else None."""
        return "eos" if ids[-1] in end_ids else None

    def stop_at(self, _text: str) -> None:
        """Return None: no text ends the notes."""

    def final_answer(self, raw: str) -> str:
        """Return all that was written."""
        return raw.strip()


def note_writer(model: LocalModel | EndpointModel, memory_tokens: int, heads: int = 1) -> LanguageModel:
    """Return the same model under the contract that writes notes.

    Args:
        model: The model that answers the questions.
        memory_tokens: Most tokens of all notes.
        heads: Parts of the notes, of which one is written at a time.

    Raises:
        UserError: A part has no token.
    """
    if memory_tokens < heads:
        raise UserError(
            f"{heads} parts of notes of {memory_tokens} tokens have less than a token each",
            where=flag.rmt_heads,
            remedy=f"choose fewer parts, or more tokens with {flag.rmt_memory_tokens}",
        )
    given = model.contract
    # A prompt that ends inside an open reasoning block has no cue.
    tail = given.tail if given.reasoning.opened else f"{given.tail.removesuffix(CUE[given.style])}{NOTES}:"
    contract = NotesContract(
        tokenizer=given.tokenizer,
        style="direct",
        head=given.head.replace(INSTRUCTION[given.style], NOTES_INSTRUCTION + HEADS_INSTRUCTION * (heads > 1)),
        bridge=given.bridge,
        tail=tail,
        reasoning=given.reasoning,
    )
    return replace(model, contract=contract, max_answer_tokens=memory_tokens // heads)


@dataclass(slots=True)
class _Row:
    """The state of one question: its notes, what they have cost, and why it has failed, if it has."""

    question: str
    heads: int = 1
    notes: list[str] = field(default_factory=list)  # after each section, in order
    seconds: float = 0.0
    read: int = 0
    cached: int | None = None
    written: int = 0
    reasoning: int | None = 0
    failed: Generation | None = None

    def add(self, generation: Generation) -> None:
        self.seconds += generation.seconds
        self.read += generation.prompt_tokens
        self.written += generation.written_tokens
        thought = generation.reasoning_tokens
        self.reasoning = None if self.reasoning is None or thought is None else self.reasoning + thought
        if generation.cached_tokens is not None:
            self.cached = (self.cached or 0) + generation.cached_tokens

    @property
    def left(self) -> list[str]:
        """The latest notes of every head that has any, the one written longest ago first."""
        return self.notes[-self.heads :]

    def passages(self) -> list[Passage]:
        """What the next notes are written from: those of other heads, then those that will be replaced."""
        full = len(self.left) == self.heads
        others = self.left[1:] if full else self.left
        shown = [Passage(f"{OTHER_NOTES} {number}", text) for number, text in enumerate(others, start=1)]
        return [*shown, Passage(NOTES, self.left[0] if full else NO_NOTES)]

    @property
    def tokens(self) -> TokenCounts:
        return TokenCounts(self.read, self.cached, self.written, reasoning=self.reasoning)


class TextMemory(Closing):
    """A `System` whose memory is a text. It reads the sections for each question, which decides what is noted."""

    def __init__(self, resources: Resources) -> None:
        self._resources = resources
        options = resources.spec.options
        if options.rmt_chunk_tokens is None or options.rmt_memory_tokens is None:
            raise ValueError("the spec says nothing of the length of sections and notes")
        self._chunk, self._notes = options.rmt_chunk_tokens, options.rmt_memory_tokens
        self._heads = options.rmt_heads
        self._sections: list[str] | None = None

    def close(self) -> None:
        """Let go of what was prepared."""
        self._sections = None

    def prepare(self, corpus: Corpus) -> Prepared:
        """Cut the corpus into sections. `calls_a_question` counts the model calls for each question.

        Raises:
            UserError: A section with the notes is longer than the model's context, or the model cannot write notes.
        """
        from rmtbench.systems.sentences import packed_texts, sentence_texts

        self._check_room()
        started = time.perf_counter()
        sentences = [text for document in corpus.documents for text in sentence_texts(document)]
        self._sections = packed_texts(sentences, self._resources.model.count_tokens, self._chunk)
        counts = {"sections": len(self._sections), "calls_a_question": len(self._sections) + 1}
        return Prepared({"tokenize": time.perf_counter() - started}, counts=counts)

    def answer(self, questions: Sequence[Question]) -> Iterator[Answer]:
        """Take notes of all sections for each question, then answer it. Token counts include the notes.

        Raises:
            RuntimeError: `prepare` was not called.
        """
        if self._sections is None:
            raise RuntimeError("answer before prepare")
        for batch in batches(questions, self._resources.spec.batch):
            started = time.perf_counter()
            rows = [_Row(question.text, self._heads) for question in batch]
            self._take_notes(rows, self._sections)
            generations = self._answer_from_notes(rows)
            given = answer_batch(batch, generations.copy, started)
            for answer, row in zip(given, rows, strict=True):
                yield replace(answer, tokens=row.tokens, notes=tuple(row.notes), note_heads=row.heads)

    def _take_notes(self, rows: Sequence[_Row], sections: Sequence[str]) -> None:
        """Rewrite a head of every row's notes section by section, the one written longest ago.

        After a failed call, a row gets no more calls.
        """
        writer = self._writer()
        for number, section in enumerate(sections, start=1):
            live = [row for row in rows if row.failed is None]
            title = f"Section {number} of {len(sections)}"
            prompts = [Prompt((*row.passages(), Passage(title, section)), row.question) for row in live]
            for row, generation in zip(live, generate_apart(writer.generate, prompts) if live else [], strict=True):
                row.add(generation)
                if generation.error is not None:
                    row.failed = replace(generation, error=f"{title}: {generation.error}")
                else:
                    row.notes.append(generation.final)

    def _answer_from_notes(self, rows: Sequence[_Row]) -> list[Generation]:
        live = [row for row in rows if row.failed is None]
        prompts = [Prompt(tuple(Passage(NOTES, text) for text in row.left), row.question) for row in live]
        answers = iter(generate_apart(self._resources.model.generate, prompts) if live else [])
        generations = []
        for row in rows:
            if row.failed is None:
                last, before = next(answers), row.seconds
                row.add(last)
                generations.append(last.after(before))
            else:
                generations.append(row.failed)
        return generations

    def _writer(self) -> LanguageModel:
        if self._resources.writer is None:
            raise UserError(
                "this model cannot write notes", where=f"{flag.systems} rmt-text", remedy="use a local model"
            )
        return self._resources.writer

    def _check_room(self) -> None:
        writer = self._writer()
        limit = writer.context_limit
        # The context holds the notes twice: the old ones, and the new ones after the reasoning.
        new = getattr(writer, "max_new_tokens", self._notes)
        if limit is not None and self._chunk + self._notes + new >= limit:
            raise UserError(
                f"a section of {self._chunk} tokens and notes of {self._notes}, old and new, exceed the model's "
                f"context of {limit}",
                where=flag.rmt_chunk_tokens,
                remedy=f"choose fewer tokens with {flag.rmt_chunk_tokens}, or with {flag.rmt_memory_tokens}",
            )


KIND = SystemKind(
    "rmt-text",
    "notes rewritten section by section for every question, by any model that takes texts",
    TextMemory,
    needs={"notes", "many-calls"},
    order=100,
    family="recurrent memory",
    colour="yellow",
    marker="h",
)

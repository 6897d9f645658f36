"""What a recurrent memory learns: to answer from memory alone, after a text's last segment and along the way.

Before the text has told the answer, the right one is that it is unknown: what memory must keep is learnt at every
segment, and not only from the end.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch

from rmtbench.rmt.batches import Batch, ClosedTask, Query, draw_batch
from rmtbench.rmt.decoder import RecurrentDecoder
from rmtbench.rmt.encoder import RecurrentEncoder
from rmtbench.rmt.segments import stacked
from rmtbench.rmt.storage import save_pretrained
from rmtbench.rmt.tasks.base import Task
from rmtbench.rmt.walk import walk
from rmtbench.training.base import Stage, share_right

HEAD = "head.safetensors"
"""An encoder's head, beside its memory."""
RECOMPUTE_ABOVE = 8
"""Beyond so many segments with gradient, each is read again for it: what a step keeps then hardly grows with them."""

Notes = Callable[[], Mapping[str, Any]]
"""What to keep beside the weights, asked for when they are written."""


class AnswerFromMemory:
    """An `Objective` for decoders: cross entropy over the tokens of answers that continue ``[memory | question]``."""

    def __init__(
        self, model: RecurrentDecoder, task: Task, notes: Notes = dict, *, mixed_precision: bool = True
    ) -> None:
        self._model, self._task, self._notes, self._mixed_precision = model, task, notes, mixed_precision

    @property
    def module(self) -> torch.nn.Module:
        """The recurrent decoder."""
        return self._model

    def sample(self, stage: Stage, chance: random.Random) -> Batch:
        """Draw texts with their questions: see `draw_batch`."""
        return draw_batch(self._task, stage, self._model.config.segment_tokens, chance)

    def loss(self, batch: Batch) -> tuple[torch.Tensor, Mapping[str, float], int]:
        """Read the rows and ask; figures are shares of answers without an error, which greedy decoding would give."""
        model = self._model
        with precision(model, mixed=self._mixed_precision):
            groups = memory_groups(model, batch)
            states = [answer_states(model, memory, asked) for memory, asked in groups]
            logits = model.logits(states[0] if len(states) == 1 else torch.cat(states)).float()
        queries = [query for _, asked in groups for query in asked]
        expected = torch.tensor([token for query in queries for token in query.answer], device=model.device)
        loss = torch.nn.functional.cross_entropy(logits, expected)
        right = torch.split(logits.argmax(-1) == expected, [len(query.answer) for query in queries])
        return loss, _figures(queries, [bool(each.all()) for each in right]), batch.tokens

    def export(self, folder: Path) -> None:
        """Write what `rmtbench.rmt.storage.from_pretrained` reads, a base model that trained in bfloat16."""
        save_pretrained(self._model, folder, self._notes(), compact=True)


class ChooseFromMemory:
    """An `Objective` for encoders: a linear head over the cue of the question, onto a closed set of answers."""

    def __init__(
        self,
        model: RecurrentEncoder,
        task: ClosedTask,
        notes: Notes = dict,
        *,
        mixed_precision: bool = True,
    ) -> None:
        self._model, self._task, self._notes, self._mixed_precision = model, task, notes, mixed_precision
        self._labels = {tuple(answer): label for label, answer in enumerate(task.answers)}
        self._module = Choosing(model, len(task.answers))

    @property
    def module(self) -> torch.nn.Module:
        """The recurrent encoder with its head."""
        return self._module

    def sample(self, stage: Stage, chance: random.Random) -> Batch:
        """Draw texts with their questions: see `draw_batch`."""
        return draw_batch(self._task, stage, self._model.config.segment_tokens, chance)

    def loss(self, batch: Batch) -> tuple[torch.Tensor, Mapping[str, float], int]:
        """Read the rows and choose; figures are shares of right choices."""
        model = self._model
        with precision(model, mixed=self._mixed_precision):
            [(memory, queries)] = memory_groups(model, batch)
            cue = model.read_segment(memory, [query.question for query in queries]).cue
            logits = self._module.head(cue).float()
        expected = torch.tensor([self._labels[tuple(query.answer)] for query in queries], device=model.device)
        loss = torch.nn.functional.cross_entropy(logits, expected)
        return loss, _figures(queries, (logits.argmax(-1) == expected).tolist()), batch.tokens

    def export(self, folder: Path) -> None:
        """Write the encoder as for `from_pretrained`, beside ``head.safetensors``; notes hold the answers in order."""
        from safetensors.torch import save_file

        notes = {**self._notes(), "answers": [list(answer) for answer in self._task.answers]}
        save_pretrained(self._model, folder, notes)
        save_file({name: weight.contiguous() for name, weight in self._module.head.state_dict().items()}, folder / HEAD)


class Head(torch.nn.Linear):
    """From a cue to answers."""

    by_adamw = True


class Choosing(torch.nn.Module):
    """A recurrent encoder and the head that chooses."""

    def __init__(self, model: RecurrentEncoder, answers: int) -> None:
        super().__init__()
        self.reader = model
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(model.config.seed)
            self.head = Head(model.memory.tokens.embedding_dim, answers).to(model.device)


def memory_groups(model: RecurrentDecoder | RecurrentEncoder, batch: Batch) -> list[tuple[torch.Tensor, list[Query]]]:
    """Read a batch, and return the memories that its questions are asked from, those of equal length together.

    Returns:
        Of each group ``[questions, kept tokens, hidden]``, and its questions in that order. Only memory that
        accumulates has more than one group.
    """
    wanted = dict[tuple[int, int], list[Query]]()
    for query in batch.queries:
        wanted.setdefault((query.row, query.after), []).append(query)
    longest = max(map(len, batch.rows))
    depth = min(longest, model.config.backprop_segments or longest)
    # The steps of a gradient cannot be recomputed within another one's.
    recompute = depth > RECOMPUTE_ABOVE and not model.config.by_gradient
    groups: dict[int, tuple[list[torch.Tensor], list[Query]]] = {}
    for step in walk(model, batch.rows, recompute=recompute):
        asked = [wanted.get(key, []) for key in zip(step.rows, step.numbers, strict=True)]
        here = [place for place, each in enumerate(asked) for _ in each]
        if here:
            memories, queries = groups.setdefault(step.read.memory.shape[1], ([], []))
            memories.append(step.read.memory[here])
            queries += [query for each in asked for query in each]
    return [(torch.cat(memories), queries) for memories, queries in groups.values()]


def answer_states(model: RecurrentDecoder, memory: torch.Tensor, queries: Sequence[Query]) -> torch.Tensor:
    """Last hidden states that predict the answers' tokens.

    Nothing is written behind an answer, as in decoding: padding behind it is hidden by causality alone, and needs no
    mask.

    Args:
        model: Reads.
        memory: Of each question, ``[questions, memory tokens, hidden]``.
        queries: The questions.

    Returns:
        ``[answer tokens of all questions, hidden]``.
    """
    ids, _ = stacked([[*query.question, *query.answer[:-1]] for query in queries], model.device)
    tokens = model.tokens_of(memory)
    inputs = model.joined(tokens, model.embed(ids))
    with model.using(memory):
        states: torch.Tensor = model.base.base_model(inputs_embeds=inputs, use_cache=False).last_hidden_state
    predicting: list[int] = []
    for number, query in enumerate(queries):
        first = number * inputs.shape[1] + tokens.shape[1] + len(query.question) - 1
        predicting += range(first, first + len(query.answer))
    return states.flatten(0, 1)[torch.tensor(predicting, device=model.device)]


def _figures(queries: Sequence[Query], right: Sequence[bool]) -> dict[str, float]:
    """Shares of right answers by figure and, where there are several kinds, by kind at the end of full rows."""
    figures = share_right([query.figure for query in queries], right)
    if len({query.kind for query in queries}) > 1:
        ends = [(query.kind, each) for query, each in zip(queries, right, strict=True) if query.figure == "accuracy"]
        figures |= share_right(*zip(*ends, strict=True)) if ends else {}
    return figures


def precision(model: RecurrentDecoder | RecurrentEncoder, *, mixed: bool) -> torch.autocast:
    """Return the context of a loss: if mixed, matrix products in bfloat16; weights, memory and loss stay float32."""
    # Weights that are cast where no gradient is kept must not be taken again where one is.
    kept = model.config.backprop_segments is None
    return torch.autocast(model.device.type, torch.bfloat16, enabled=mixed, cache_enabled=kept)

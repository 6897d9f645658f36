"""Recurrent memory around a causal language model: ``[memory | text | places to write]``, in causal order.

Text has the same positions in every segment, and so have the written places: a short segment leaves a gap of positions
before them, and moves nothing. Only accumulated memory moves them, by its length: see `RecurrentModule.kept`.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

import torch

from rmtbench.core import Finish
from rmtbench.errors import AnswerError, UserError
from rmtbench.models.architecture import check_batch, check_supported, sliding_window
from rmtbench.models.decode import Decoded, greedy
from rmtbench.models.readers import OwnPrompts
from rmtbench.options import flag
from rmtbench.options.memory import MemoryForm
from rmtbench.rmt.base import BaseIdentity, Ids, SegmentRead
from rmtbench.rmt.config import RmtConfig
from rmtbench.rmt.gradient import write_by_gradient
from rmtbench.rmt.module import RecurrentModule
from rmtbench.rmt.segments import stacked
from rmtbench.rmt.walk import read_rows, read_rows_apart

if TYPE_CHECKING:
    from transformers import PreTrainedModel


class RecurrentDecoder(RecurrentModule):
    """A `Recurrent` over any causal language model of transformers whose layers are attention."""

    def __init__(self, model: PreTrainedModel, config: RmtConfig, identity: BaseIdentity) -> None:
        """Wrap a model, which is changed in place: weights are frozen, or given adapters.

        Raises:
            UserError: The model has too few positions for a segment, or cannot be read through.
        """
        check_supported(model)
        positions: int | None = getattr(model.config, "max_position_embeddings", None)
        config.check_room(positions)
        _check_window(model, config)
        _check_head(model.eval())
        _check_hidden(model)
        super().__init__(model, config, identity)
        # A sliding window must reach from the last token back to the memory.
        self._positions = min(filter(None, (positions, sliding_window(model))), default=None)

    def with_form(self, form: MemoryForm) -> RecurrentDecoder:
        """The same decoder, of whose form only what decides use differs: what is kept, and the gradient steps.

        Args:
            form: Another one for the same weights.

        Raises:
            UserError: A full segment does not fit the model's positions, or this memory cannot have that form.
        """
        config = replace(self.config, form=form)
        config.check_room(self._positions)
        made = copy.copy(self)  # shares weights and hooks
        made.config = config
        return made

    def read_segment(self, memory: torch.Tensor, segments: Sequence[Ids]) -> SegmentRead:
        """Read one segment a row, and write its memory.

        Args:
            memory: ``[rows, memory tokens, hidden]``.
            segments: Token ids of each row, from one to the configured number.

        Raises:
            UserError: Accumulated memory leaves no room for a segment in the model's positions.
            ValueError: A segment is empty or too long.
        """
        own = [len(segment) for segment in segments]
        self.check_lengths(own)
        self._check_kept(memory)
        if self.config.by_gradient:
            return write_by_gradient(self, memory, segments)
        ids, lengths = stacked(segments, self.device)
        tokens = self.tokens_of(memory)
        start, end = tokens.shape[1], tokens.shape[1] + ids.shape[1]
        inputs = self.joined(tokens, self.embed(ids), self.memory.written(self.newest_of(memory)))
        mask = positions = None
        if min(own) < self.config.segment_tokens:
            # Without a mask, transformers would take the gap in the positions for the seam of packed sequences.
            mask = torch.ones(inputs.shape[:2], dtype=torch.long, device=self.device)
            mask[:, start:end] = torch.arange(ids.shape[1], device=self.device) < lengths[:, None]
            positions = torch.arange(inputs.shape[1], device=self.device)[None]
            positions[:, end:] += start + self.config.segment_tokens - end
        with self.using(memory, self.config.memory_tokens) as passed:
            states: torch.Tensor = self.base.base_model(
                inputs_embeds=inputs, attention_mask=mask, position_ids=positions, use_cache=False
            ).last_hidden_state
        text = states[:, start:end]
        rows = torch.arange(len(own), device=self.device)
        return SegmentRead(self.renewed(memory, states[:, end:], passed), text, text[rows, lengths - 1])

    def logits(self, states: torch.Tensor) -> torch.Tensor:
        """The head alone: ``[..., vocabulary]`` for last hidden states ``[..., hidden]``."""
        logits: torch.Tensor = self.base.get_output_embeddings()(states)
        return logits

    def prompts(
        self, memory: torch.Tensor | Sequence[torch.Tensor], segments: Sequence[Ids], max_tokens: int
    ) -> MemoryPrompts:
        """Prepare answers that continue a last segment: a `Reader` for any decode loop. No memory is written.

        Args:
            memory: Before that segment, ``[rows, memory tokens, hidden]``, or each row's own where lengths differ.
            segments: The last segment of each row, up to where the answer begins.
            max_tokens: Most tokens of an answer.

        Raises:
            AnswerError: Segment and answer exceed the model's positions.
            UserError: The model cannot serve a batch.
            ValueError: A segment is empty or too long.
        """
        self.check_lengths([len(segment) for segment in segments])
        check_batch(self.base, len(segments))
        kept = [self.tokens_of(row[None]).shape[1] for row in memory]
        needed = max(own + len(segment) for own, segment in zip(kept, segments, strict=True)) + max_tokens
        if self._positions is not None and needed > self._positions:
            raise AnswerError(
                f"memory, last segment and answer of {needed} tokens exceed the model's {self._positions} positions"
            )
        return MemoryPrompts(self, memory, segments, max_tokens)

    @torch.inference_mode()
    def generate(
        self, rows: Sequence[Sequence[Ids]], finish: Callable[[Sequence[int]], Finish | None], max_tokens: int
    ) -> list[Decoded]:
        """Read each row's segments and continue the last one greedily, keeping its keys and values.

        Args:
            rows: Segments of each row, at least one.
            finish: Tells from a row's answer tokens so far whether it has ended.
            max_tokens: Most tokens of an answer.

        Raises:
            AnswerError: As for `prompts`.
            UserError: As for `prompts`.
        """
        before = [row[:-1] for row in rows]
        memory = read_rows_apart(self, before) if self.config.accumulates else read_rows(self, before)
        return greedy(self.prompts(memory, [row[-1] for row in rows], max_tokens), len(rows), finish, max_tokens)

    def _check_kept(self, memory: torch.Tensor) -> None:
        """Refuse to read beyond the model's positions."""
        own = self.config.memory_tokens
        needed = memory.shape[1] + self.config.segment_tokens + own
        if not self.config.accumulates or self._positions is None or needed <= self._positions:
            return
        most = (self._positions - self.config.segment_tokens) // own - 1
        raise UserError(
            f"the memories of {memory.shape[1] // own} segments and the next one exceed the model's "
            f"{self._positions} positions",
            where="memory_last",
            remedy=f"keep the last {most}: {flag.memory_last}={most} in training, {flag.rmt_last}={most} in a run",
        )


class MemoryPrompts(OwnPrompts):
    """Rows that begin with memory instead of tokens, and go on as any others do."""

    def __init__(
        self,
        decoder: RecurrentDecoder,
        memory: torch.Tensor | Sequence[torch.Tensor],
        segments: Sequence[Ids],
        most: int,
    ) -> None:
        # A row's context is its memory: what stands for it here only counts.
        contexts = [range(decoder.tokens_of(row[None]).shape[1]) for row in memory]
        super().__init__(decoder.base, list(zip(contexts, segments, strict=True)), most)
        self._decoder, self._memory = decoder, memory

    @torch.inference_mode()
    def read(self) -> torch.Tensor:
        """Memory and last segment, row by row: the arithmetic of a row does not depend on its neighbours."""
        window = self._cache.window
        logits = []
        for row, (_, segment) in enumerate(self._prompts):
            ids, _ = stacked([segment], self._decoder.device)
            memory = self._memory[row][None]
            inputs = self._decoder.joined(self._decoder.tokens_of(memory), self._decoder.embed(ids))
            window.row = row
            window.first = window.next = self._longest - inputs.shape[1]
            positions = torch.arange(inputs.shape[1], device=inputs.device)[None]
            with self._decoder.using(memory):
                read = self._model(
                    inputs_embeds=inputs,
                    position_ids=positions,
                    past_key_values=self._cache,
                    use_cache=True,
                    logits_to_keep=1,
                )
            window.next += inputs.shape[1]
            logits.append(read.logits[:, -1])
        window.row, window.first = None, 0
        return torch.cat(logits)

    def step(self, rows: Sequence[int], tokens: torch.Tensor) -> torch.Tensor:
        """One token a row, its layers reading from its own memory."""
        if not isinstance(self._memory, torch.Tensor):  # of unequal lengths: there are no associations
            return super().step(rows, tokens)
        with self._decoder.using(self._memory):
            return super().step(rows, tokens)


def _check_window(model: PreTrainedModel, config: RmtConfig) -> None:
    """Refuse a sliding window that hides the memory from a segment's end."""
    window = sliding_window(model)
    if window is not None and window < config.segment_tokens + config.around:
        raise UserError(
            f"the model's sliding window of {window} tokens hides the memory from the end of a segment",
            where="segment_tokens",
            remedy=f"set segment_tokens to at most {window - config.around}, or choose another base model",
        )


@torch.inference_mode()
def _check_head(model: PreTrainedModel) -> None:
    """Refuse a model that does more to its last hidden states than its head: logits are computed without it."""
    ids = torch.tensor([[0, 1, 2]], device=model.device)
    whole = model(input_ids=ids, use_cache=False).logits
    alone = model.get_output_embeddings()(model.base_model(input_ids=ids, use_cache=False).last_hidden_state)
    if not torch.allclose(whole, alone, rtol=1e-4, atol=1e-5):
        raise UserError(
            f"{type(model).__name__} changes its logits after the head",
            where=flag.base,
            remedy="choose a base model whose logits are its head's alone, such as a GPT-2 or a Llama",
        )


@torch.inference_mode()
def _check_hidden(model: PreTrainedModel) -> None:
    """Refuse a model that counts hidden places: what a text leaves would depend on the longer ones beside it."""
    text, place, hidden = [0, 1, 2], [3], [0] * 8
    positions = torch.tensor([[0, 1, 2, 11]], device=model.device)
    alone = _last_state(model, [*text, *place], [1, 1, 1, 1], positions)
    positions = torch.arange(12, device=model.device)[None]
    beside = _last_state(model, [*text, *hidden, *place], [1, 1, 1, *hidden, 1], positions)
    if (alone - beside).abs().max() > 0.05 * alone.abs().max():  # far above what rounding does in bfloat16
        raise UserError(
            f"{type(model).__name__} ignores the positions that it is given, and counts hidden places",
            where=flag.base,
            remedy="choose a base model with rotary or learned positions, such as a GPT-2 or a Llama",
        )


def _last_state(model: PreTrainedModel, ids: list[int], mask: list[int], positions: torch.Tensor) -> torch.Tensor:
    inputs = model.get_input_embeddings()(torch.tensor([ids], device=model.device))
    seen = torch.tensor([mask], device=model.device)
    read = model.base_model(inputs_embeds=inputs, attention_mask=seen, position_ids=positions, use_cache=False)
    states: torch.Tensor = read.last_hidden_state
    return states[0, -1]

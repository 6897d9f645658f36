"""Recurrent memory around a BERT-style encoder: ``[CLS] memory [SEP] text [SEP]``, memory read and written in place."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import torch

from rmtbench.errors import UserError
from rmtbench.rmt.base import BaseIdentity, Ids, SegmentRead
from rmtbench.rmt.config import RmtConfig
from rmtbench.rmt.module import RecurrentModule
from rmtbench.rmt.segments import stacked

if TYPE_CHECKING:
    from transformers import PreTrainedModel


class RecurrentEncoder(RecurrentModule):
    """A `Recurrent` over a bidirectional model of transformers, as `AutoModel` loads it, or with a head on top.

    Memory stands before the text, so that a short segment moves no position; padding is behind it, and masked.
    """

    def __init__(self, model: PreTrainedModel, config: RmtConfig, identity: BaseIdentity) -> None:
        """Wrap a model, which is changed in place: weights are frozen, or given adapters.

        Raises:
            UserError: The model has too few positions for a segment, or is a decoder.
        """
        if getattr(model.config, "is_decoder", False) or model.config.is_encoder_decoder or model.can_generate():
            raise UserError(
                f"{type(model).__name__} is no encoder", where="kind", remedy="wrap it with kind 'decoder' instead"
            )
        config.check_room(_positions(model))
        super().__init__(model, config, identity)

    def read_segment(self, memory: torch.Tensor, segments: Sequence[Ids]) -> SegmentRead:
        """Read one segment a row, and renew its memory.

        Args:
            memory: ``[rows, memory tokens, hidden]``.
            segments: Token ids of each row without special tokens, from one to the configured number.

        Raises:
            ValueError: A segment is empty or too long.
        """
        own = [len(segment) for segment in segments]
        self.check_lengths(own)
        assert self.config.special_ids is not None  # noqa: S101 - the config has checked it
        cls, sep = self.config.special_ids
        ids, lengths = stacked([[*segment, sep] for segment in segments], self.device)
        rows, start = len(own), memory.shape[1] + 2
        special = self.embed(torch.tensor([[cls], [sep]], device=self.device))[:, None].expand(-1, rows, -1, -1)
        inputs = self.joined(special[0], memory, special[1], self.embed(ids))
        mask = None
        if min(own) < max(own):
            mask = torch.ones(inputs.shape[:2], dtype=torch.long, device=self.device)
            mask[:, start:] = torch.arange(ids.shape[1], device=self.device) < lengths[:, None]
        states: torch.Tensor = self.base.base_model(inputs_embeds=inputs, attention_mask=mask).last_hidden_state
        return SegmentRead(self.renewed(memory, states[:, 1 : start - 1]), states[:, start:-1], states[:, 0])


def _positions(model: PreTrainedModel) -> int | None:
    """Positions that a text can have; RoBERTa and its kin keep the first ones for padding."""
    limit: int | None = getattr(model.config, "max_position_embeddings", None)
    for name, child in model.named_modules():
        if limit is not None and name.endswith("position_embeddings"):
            padding = getattr(child, "padding_idx", None)
            limit -= 0 if padding is None else padding + 1
    return limit

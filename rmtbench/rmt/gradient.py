"""Memory written by gradient, after GradMem (Kuratov et al., 2026, arXiv:2603.13875): steps that make it tell a text.

The loss is the cross entropy of a segment's tokens given the memory; its gradient moves memory tokens and no weight.
Training goes back through these steps, so that weights and first memory become such that few of them are enough.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch

from rmtbench.rmt.base import Ids, SegmentRead
from rmtbench.rmt.memory import GradientMemory
from rmtbench.rmt.segments import cut, stacked

if TYPE_CHECKING:
    from rmtbench.rmt.module import RecurrentModule


@dataclass(frozen=True, slots=True)
class TokenWindows:
    """Segments of several rows, cut into windows that are reconstructed each by itself.

    Attributes:
        ids: ``[windows, longest]``, filled up with 0.
        lengths: Tokens of each, ``[windows]``.
        row_of: The row that each belongs to, ``[windows]``.
    """

    ids: torch.Tensor
    lengths: torch.Tensor
    row_of: torch.Tensor

    @property
    def real(self) -> torch.Tensor:
        """Which places hold a token, ``[windows, longest]``."""
        return torch.arange(self.ids.shape[1], device=self.ids.device) < self.lengths[:, None]


def windows_of(segments: Sequence[Ids], size: int | None, device: torch.device) -> TokenWindows:
    """Cut each row's segment.

    Args:
        segments: Token ids of each row.
        size: Tokens of a window; None for whole segments.
        device: Where the tensors go.
    """
    pieces = [list(cut(segment, size)) if size else [segment] for segment in segments]
    ids, lengths = stacked([piece for row in pieces for piece in row], device)
    row_of = torch.tensor([row for row, own in enumerate(pieces) for _ in own], device=device)
    return TokenWindows(ids, lengths, row_of)


def write_by_gradient(model: RecurrentModule, memory: torch.Tensor, segments: Sequence[Ids]) -> SegmentRead:
    """Write one segment a row: ``tokens <- tokens - rate * d(nats of the segment given the memory) / d(tokens)``.

    The steps begin with the memory that is passed in; where memory accumulates, with the learned one, and what is kept
    already is read before it. A row's steps do not depend on the other rows. Whether the result can be differentiated
    is the caller's gradient mode; with `first_order` the inner gradients count as constants then.

    Args:
        model: Reads the text. Its weights do not change.
        memory: Before the segment, ``[rows, memory tokens, hidden]``.
        segments: Token ids of each row.

    Returns:
        The new memory; of the text the states before the first step, which know the memory that was passed in.
    """
    form = model.config.form
    outer = torch.is_grad_enabled() and not torch.is_inference_mode_enabled()
    second = outer and not form.first_order
    text = None
    # Whatever the mode outside; nothing that was made in inference mode can take part.
    with torch.inference_mode(mode=False), torch.enable_grad():
        windows = windows_of(segments, form.window_tokens, model.device)
        memory = memory if outer else memory.clone()
        before, tokens = _start(model, memory)
        rates = _memory(model).rates
        for _ in range(form.inner_steps):
            if not second:
                before = before.detach()
            leaf = tokens if second and tokens.requires_grad else tokens.detach().requires_grad_()
            nats, states = reconstruction(model, torch.cat([before, leaf], dim=1), windows)
            [slope] = torch.autograd.grad(nats.sum(), leaf, create_graph=second)
            tokens = tokens - rates * slope
            text = states.detach() if text is None else text
        before, _ = _start(model, memory)
        kept = model.kept(before, tokens)
    assert text is not None  # noqa: S101 - there is at least one step
    lengths = [len(segment) for segment in segments]
    text = _in_rows(text, windows, lengths)
    cue = text[torch.arange(len(lengths), device=text.device), torch.tensor(lengths, device=text.device) - 1]
    return SegmentRead(kept if outer else kept.detach(), text, cue)


def reconstruction(
    model: RecurrentModule, tokens: torch.Tensor, windows: TokenWindows
) -> tuple[torch.Tensor, torch.Tensor]:
    """How surprising a text is to a model that knows the memory alone.

    Args:
        model: Reads.
        tokens: Memory tokens, ``[rows, memory tokens, hidden]``.
        windows: The text. A token is foretold from the memory and from the tokens before it in its own window.

    Returns:
        Nats of each row's tokens, added up, ``[rows]``; and the last hidden states ``[windows, longest, hidden]``.
    """
    before, states = states_after(model, tokens, windows.ids, windows.row_of)
    foretelling = torch.cat([before[:, None], states[:, :-1]], dim=1)
    real = windows.real
    own = _memory(model).head
    head = model.base.get_output_embeddings() if own is None else own
    if bool(real.all()):
        chosen, expected = foretelling.flatten(0, 1), windows.ids.flatten()
    else:
        chosen, expected = foretelling[real], windows.ids[real]
    logits = head(chosen.to(head.weight.dtype))
    logits = logits if logits.dtype == torch.float64 else logits.float()
    nats = torch.nn.functional.cross_entropy(logits, expected, reduction="none")
    row_of = windows.row_of[:, None].expand_as(windows.ids)[real]
    return nats.new_zeros(len(tokens)).index_add(0, row_of, nats), states


def states_after(
    model: RecurrentModule,
    tokens: torch.Tensor,
    ids: torch.Tensor,
    row_of: torch.Tensor,
    memory: torch.Tensor | None = None,
) -> tuple[torch.Tensor, torch.Tensor]:
    """Read sequences that each continue a row's memory; the memory is read once for all sequences of its row.

    Args:
        model: Reads.
        tokens: Memory tokens, ``[rows, memory tokens, hidden]``.
        ids: ``[sequences, longest]``; causality hides what stands behind a sequence's end.
        row_of: The row of each sequence, ``[sequences]``.
        memory: A memory whose associations the layers read, ``[rows, ..., hidden]``; None where there are none.

    Returns:
        Last hidden states: of the last memory token of each sequence's row, ``[sequences, hidden]``, and of its tokens,
        ``[sequences, longest, hidden]``.
    """
    from transformers import DynamicCache

    base = model.base.base_model
    held = tokens if memory is None else memory
    with model.using(held):
        read = base(inputs_embeds=model.joined(tokens), use_cache=True)
    layers = [(layer.keys[row_of], layer.values[row_of]) for layer in read.past_key_values.layers]
    first = tokens.shape[1]
    with model.using(held[row_of]):
        states: torch.Tensor = base(
            inputs_embeds=model.joined(model.embed(ids)),
            past_key_values=DynamicCache(layers),
            position_ids=torch.arange(first, first + ids.shape[1], device=ids.device)[None],
            use_cache=True,
        ).last_hidden_state
    return read.last_hidden_state[row_of, -1], states


def _start(model: RecurrentModule, memory: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """What is read before the tokens that the steps move, and where these begin."""
    if model.config.accumulates:
        return memory, model.memory.initial(len(memory))
    return memory[:, :0], memory


def _in_rows(states: torch.Tensor, windows: TokenWindows, lengths: Sequence[int]) -> torch.Tensor:
    """States of windows as those of rows, ``[rows, longest, hidden]``."""
    if len(lengths) == len(states):
        return states
    rows = states.new_zeros(len(lengths), max(lengths), states.shape[-1])
    real = windows.real
    places = [place for length in lengths for place in range(length)]
    owners = windows.row_of[:, None].expand_as(windows.ids)[real]
    rows[owners, torch.tensor(places, device=states.device)] = states[real]
    return rows


def _memory(model: RecurrentModule) -> GradientMemory:
    assert isinstance(model.memory, GradientMemory)  # noqa: S101 - for the type checker
    return model.memory

"""The rows' places over one prefix that is stored once: a forward reads the tokens of all rows in one line."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from rmtbench.kvcache.base import PrefixKV
from rmtbench.kvcache.exact.shared_attention import NAME
from rmtbench.kvcache.exact.static_places import How, StaticPlaces, Tokens
from rmtbench.kvcache.exact.suffixes import Suffixes, plan_round
from rmtbench.models.architecture import attention_of
from rmtbench.models.decode import Forward, Ids, likeliest, tokens_of
from rmtbench.models.llama_step import find_step
from rmtbench.models.local import LocalModel


class SharedPlaces:
    """The rows' places over one prefix. The host chooses each token."""

    behind = False

    def __init__(self, model: LocalModel, prefix: PrefixKV, suffixes: Suffixes) -> None:
        self._model, self._prefix, self._suffixes = model.model, prefix, suffixes
        self._step = find_step(model.model)

    def start(self, forward: Forward) -> Tokens:
        """Run a forward, and return what gives the tokens that its rows get."""
        logits = self.advance(forward.stepping, forward.last, forward.entering)
        chosen = tokens_of(likeliest(logits).tolist())
        return lambda: chosen

    @torch.inference_mode()
    def advance(
        self, stepping: Sequence[int], tokens: Ids | torch.Tensor, entering: Sequence[tuple[int, Ids]]
    ) -> torch.Tensor:
        """One forward over all these tokens in a line.

        Args:
            stepping: Places whose rows go on, ascending.
            tokens: Their next tokens; may be on the device.
            entering: Places where rows begin, and what is left to read of their prompts.

        Returns:
            The next logits of the stepping rows, then of those that entered, ``[rows, vocabulary]``.
        """
        reading = plan_round(self._prefix, self._suffixes, stepping, [(place, len(tail)) for place, tail in entering])
        model, device = self._model, self._model.device
        read = [token for _, tail in entering for token in tail]
        line = torch.cat([torch.as_tensor(each, dtype=torch.long, device=device) for each in (tokens, read)])
        if self._step is not None and not entering:
            return self._step(line, reading.slots + self._prefix.tokens, reading.step)
        with attention_of(model, NAME):
            logits: torch.Tensor = model(
                input_ids=line[None],
                position_ids=(reading.slots + self._prefix.tokens)[None],
                # A mask of four dimensions is passed on as it is, so that transformers makes none of its own.
                attention_mask=torch.ones((1, 1, 1, 1), dtype=torch.bool, device=device),
                use_cache=False,
                logits_to_keep=reading.last,
                reading=reading,
            ).logits
        return logits[0]

    def clear(self, place: int) -> None:
        """Forget what a failed row left in its place."""
        self._suffixes.clear(place)


def make_places(model: LocalModel, prefix: PrefixKV, suffixes: Suffixes, how: How) -> SharedPlaces | StaticPlaces:
    """Return the rows' places over a prefix, whose steps are computed in a certain way: see `choose_step`."""
    places = SharedPlaces(model, prefix, suffixes)
    if how == "forward":
        return places
    return StaticPlaces(model, prefix, suffixes, places.advance, graphs=how == "graphs")

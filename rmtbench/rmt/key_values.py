"""Key-value pairs, the test of GradMem (Kuratov et al., 2026): pairs are read, and values are asked from memory alone.

A pair is two symbols of 62 for its key and two of 62 others for its value; keys of a text differ. There is nothing else
in it, so that a text of n pairs holds n times 11.9 bits to recall, under keys of as many.
"""

from __future__ import annotations

import hashlib
import random
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import torch

from rmtbench.errors import UserError
from rmtbench.models.weights import add_weights
from rmtbench.options import flag
from rmtbench.plural import many
from rmtbench.rmt.base import BaseIdentity
from rmtbench.rmt.decoder import RecurrentDecoder
from rmtbench.rmt.gradient import states_after
from rmtbench.rmt.learning import Notes, precision
from rmtbench.rmt.segments import cut
from rmtbench.rmt.storage import save_pretrained
from rmtbench.rmt.walk import read_rows
from rmtbench.training.base import Stage

if TYPE_CHECKING:
    from transformers import PreTrainedModel

KEY_VALUES = "key-values"
SYMBOLS = 62
"""Letters of both cases and digits, as many as in the paper; values have others than keys."""
PAIR = 4
"""Tokens of a pair: ``key key value value``."""
KEYS = SYMBOLS**2
POSITIONS = 1024
WIDTH_OF_A_HEAD = 32


@dataclass(frozen=True, slots=True)
class Pairs:
    """Texts of pairs.

    Attributes:
        written: All pairs in their order, ``[texts, pairs, tokens of a pair]``.
        asked: Those whose values are right at the end, ``[texts, keys, tokens of a pair]``.
    """

    written: torch.Tensor
    asked: torch.Tensor


@dataclass(frozen=True, slots=True)
class PairTask:
    """A task over pairs.

    Attributes:
        name: What stands after ``--task``.
        draw: Draws so many texts of so many pairs.
        key_tokens: Tokens of a key, which a pair begins with.
        pair_tokens: Tokens of a pair.
        most: Most pairs of a text, whose keys differ.
        apart: Whether each pair is a segment; else segments are of `RmtConfig.segment_tokens`.
    """

    name: str
    draw: Callable[[int, int, random.Random], Pairs]
    key_tokens: int
    pair_tokens: int
    most: int
    apart: bool = False

    def check(self, pairs: int, where: str) -> None:
        """Refuse texts of no pair, or of more than there are keys for.

        Args:
            pairs: Of a text.
            where: The option that says how many.

        Raises:
            UserError: There are no such texts.
        """
        if not 1 <= pairs <= self.most:
            raise UserError(
                f"{many(pairs, 'pair')} in a text of {self.name}, which has {self.most:,} at most",
                where=where,
                remedy=f"give 1 to {self.most}",
            )

    def read(self, model: RecurrentDecoder, pairs: Pairs, times: int = 1) -> torch.Tensor:
        """Return the memory after texts, ``[texts, kept tokens, hidden]``.

        Args:
            model: Reads.
            pairs: The texts.
            times: How often each text is read, each time with the memory of the time before.
        """
        size = self.pair_tokens if self.apart else model.config.segment_tokens
        return read_rows(model, [list(cut(text, size)) * times for text in pairs.written.flatten(1).tolist()])


def build_base(name: str, seed: int) -> tuple[PreTrainedModel, BaseIdentity]:
    """Make a GPT-2 of random weights that knows the symbols of pairs and nothing else.

    Args:
        name: ``random:LAYERSxWIDTH``; the paper's is ``random:4x128``, with four heads.
        seed: Of the weights; the caller's random state is left as it was.

    Raises:
        UserError: The name is none such.
    """
    from transformers import AutoModelForCausalLM, GPT2Config

    found = re.fullmatch(r"random:(\d{1,2})x(\d{2,4})", name)
    if found is None or int(found[1]) < 1 or int(found[2]) % WIDTH_OF_A_HEAD:
        raise UserError(
            f"'{name}' does not know the symbols of {KEY_VALUES}",
            where=flag.base,
            remedy=f"give random:LAYERSxWIDTH, such as random:4x128; a width is a multiple of {WIDTH_OF_A_HEAD}",
        )
    layers, width = int(found[1]), int(found[2])
    config = GPT2Config(
        vocab_size=2 * SYMBOLS,
        n_positions=POSITIONS,
        n_embd=width,
        n_layer=layers,
        n_head=width // WIDTH_OF_A_HEAD,
        activation_function="gelu",
        initializer_range=width**-0.5,  # with GPT-2's own, keys hardly move the attention, and all values are mixed
        resid_pdrop=0.0,
        embd_pdrop=0.0,
        attn_pdrop=0.0,
        tie_word_embeddings=False,
        bos_token_id=None,
        eos_token_id=None,
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model: PreTrainedModel = AutoModelForCausalLM.from_config(config, attn_implementation="eager").eval()
    digest = hashlib.sha256(name.encode())
    add_weights(digest, model)
    return model, BaseIdentity(name, digest.hexdigest())


def draw_pairs(texts: int, pairs: int, chance: random.Random) -> Pairs:
    """Draw texts.

    Args:
        texts: How many.
        pairs: Of each text, at most `KEYS`.
        chance: Random numbers.
    """
    drawn = []
    for _ in range(texts):
        for key, value in zip(chance.sample(range(KEYS), pairs), chance.choices(range(KEYS), k=pairs), strict=True):
            drawn += [*divmod(key, SYMBOLS), *(SYMBOLS + each for each in divmod(value, SYMBOLS))]
    written = torch.tensor(drawn).view(texts, pairs, PAIR)
    return Pairs(written, written)


def recall(
    model: RecurrentDecoder, memory: torch.Tensor, pairs: torch.Tensor, key_tokens: int = PAIR // 2
) -> tuple[torch.Tensor, torch.Tensor]:
    """Ask every value by its key, from memory alone.

    Args:
        model: Reads.
        memory: Of each text, ``[texts, kept tokens, hidden]``.
        pairs: ``[texts, pairs, tokens of a pair]``.
        key_tokens: Tokens of a key.

    Returns:
        Mean nats of a value's symbol, and which values are right in all symbols, ``[texts, pairs]``: those that greedy
        decoding would write.
    """
    texts, count, _ = pairs.shape
    ids = pairs.flatten(0, 1).to(model.device)
    row_of = torch.arange(texts, device=model.device).repeat_interleave(count)
    _, states = states_after(model, model.tokens_of(memory), ids[:, :-1], row_of, memory)
    logits = model.logits(states[:, key_tokens - 1 :]).float()  # [texts * pairs, tokens of a value, vocabulary]
    expected = ids[:, key_tokens:]
    nats = torch.nn.functional.cross_entropy(logits.flatten(0, 1), expected.flatten())
    return nats, (logits.argmax(-1) == expected).all(-1).view(texts, count)


KEY_VALUE_TASK = PairTask(KEY_VALUES, draw_pairs, key_tokens=PAIR // 2, pair_tokens=PAIR, most=KEYS)


class RecallPairs:
    """An `Objective`: cross entropy of every key's value, asked after the whole text."""

    def __init__(
        self,
        model: RecurrentDecoder,
        notes: Notes = dict,
        *,
        task: PairTask = KEY_VALUE_TASK,
        mixed_precision: bool = True,
    ) -> None:
        self._model, self._notes, self._task, self._mixed_precision = model, notes, task, mixed_precision

    @property
    def module(self) -> torch.nn.Module:
        """The recurrent decoder."""
        return self._model

    def sample(self, stage: Stage, chance: random.Random) -> tuple[Pairs, bool]:
        """Draw texts.

        Args:
            stage: Settings `pairs`, `rows`, and `mixed`, the share of steps whose texts have fewer pairs.
            chance: Random numbers.

        Returns:
            Their pairs, and whether there are as many as the stage says.
        """
        full, rows = int(stage.settings["pairs"]), int(stage.settings["rows"])
        fewer = full > 1 and chance.random() < stage.settings["mixed"]
        return self._task.draw(rows, chance.randrange(1, full) if fewer else full, chance), not fewer

    def loss(self, batch: tuple[Pairs, bool]) -> tuple[torch.Tensor, Mapping[str, float], int]:
        """Read the texts and ask; the figure is the share of values without an error."""
        pairs, full = batch
        with precision(self._model, mixed=self._mixed_precision):
            memory = self._task.read(self._model, pairs)
            loss, right = recall(self._model, memory, pairs.asked, self._task.key_tokens)
        return loss, {"accuracy" if full else "shorter": float(right.float().mean())}, pairs.written.numel()

    def export(self, folder: Path) -> None:
        """Write what `rmtbench.rmt.storage.from_pretrained` reads, in float32."""
        save_pretrained(self._model, folder, self._notes())

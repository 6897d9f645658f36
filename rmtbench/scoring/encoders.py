"""Encoders whose token states BERTScore compares: loaded, cut to a layer and limited to the tokens that they can read.

Layers are cut as bert-score cuts them, so that a last norm stays. How many tokens a model reads is tried, because
position tables begin at 0, at 1, after the padding index, or not at all.
"""

from __future__ import annotations

import pickle
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from rmtbench.errors import UserError, first_line
from rmtbench.hub import look_for_hub
from rmtbench.options import flag

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

NO_LIMIT = 10**6
"""Tokens; tokenizers without a limit say a far larger number."""
STACKS = ("layer", "layers", "block", "h")
"""What families call their list of layers."""


@dataclass(frozen=True)
class Encoder:
    """An encoder that is ready to embed tokens.

    Attributes:
        model: Cut to `layers`; for an encoder-decoder the encoder alone.
        tokenizer: Its tokenizer.
        layers: How many layers run.
        limit: Most tokens of one text; None if there is no limit.
    """

    model: PreTrainedModel
    tokenizer: PreTrainedTokenizerBase
    layers: int
    limit: int | None


def load_encoder(place: str, named: str, layers: int | None, device: str = "cpu") -> Encoder:
    """Load a model, in float32, and its tokenizer.

    Args:
        place: Folder or hub id.
        named: What the user calls it.
        layers: How many layers run; None for all.
        device: A torch device name.

    Raises:
        UserError: It cannot be loaded, has fewer layers, or does not run.
    """
    import torch
    from transformers import AutoModel, AutoTokenizer

    if not Path(place).is_dir():
        look_for_hub()
    try:
        tokenizer = AutoTokenizer.from_pretrained(place, trust_remote_code=False)
        if "roberta" in type(tokenizer).__name__.lower():
            # Asked for at every call by bert-score, where transformers 5 ignores it: the first word would differ.
            tokenizer = AutoTokenizer.from_pretrained(place, add_prefix_space=True, trust_remote_code=False)
        # Without a type, transformers 5 takes that of the file, in which 16 bits would score otherwise.
        model = AutoModel.from_pretrained(place, dtype=torch.float32, trust_remote_code=False).eval()
    except (OSError, ValueError, pickle.UnpicklingError) as error:
        raise UserError(
            f"scorer model '{named}' cannot be loaded ({type(error).__name__})",
            where=flag.scorer,
            remedy="use minilm, a folder with config.json, tokenizer and weights, or a hub id within reach",
        ) from error
    if model.config.is_encoder_decoder:
        model = model.get_encoder()
    used = _cut(model, layers, named)
    limit = _limit(model, tokenizer, named)  # before it moves: a position that is not there would break a GPU's context
    return Encoder(model.to(device), tokenizer, used, limit)


def _cut(model: PreTrainedModel, layers: int | None, named: str) -> int:
    """Leave the first layers; how many there are then."""
    owner: object
    if hasattr(model, "n_layers"):  # XLM, FlauBERT
        owner, name, count = model, "n_layers", int(model.n_layers)
    elif hasattr(getattr(model, "encoder", None), "albert_layer_groups"):
        owner, name, count = model.encoder.config, "num_hidden_layers", int(model.encoder.config.num_hidden_layers)
    else:
        found = _stack(model)
        if found is None:
            if layers is None:
                return int(model.config.num_hidden_layers)
            raise UserError(f"'{named}' has no list of layers to cut", where=flag.scorer, remedy="use a BERT model")
        owner, name = found
        count = len(getattr(owner, name))
    if layers is None or layers == count:
        return count
    if not 0 < layers < count:
        raise UserError(
            f"'{named}' has {count} layers, and bert-score compares layer {layers} of a model of this name",
            where=flag.scorer,
            remedy="rename the folder, or use the model that the name stands for",
        )
    whole = getattr(owner, name)
    setattr(owner, name, layers if isinstance(whole, int) else whole[:layers])
    return layers


def _stack(model: PreTrainedModel) -> tuple[object, str] | None:
    """The module that holds the list of layers, and the list's name; the one that is nearest to the top."""
    from torch.nn import ModuleList

    nearest = sorted(model.named_modules(), key=lambda each: each[0].count(".") + bool(each[0]))
    for _, module in nearest:
        for name in STACKS:
            if isinstance(getattr(module, name, None), ModuleList):
                return module, name
    return None


def _limit(model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, named: str) -> int | None:
    """Most tokens that the model reads: what tokenizer and configuration say, or less where that fails."""
    word = tokenizer("word", add_special_tokens=False)["input_ids"][0]  # no padding, which has no position of its own
    names = ("max_position_embeddings", "max_encoder_position_embeddings", "n_positions")
    said = [int(tokenizer.model_max_length), *(getattr(model.config, name, None) or NO_LIMIT for name in names)]
    most = min(said)
    if most <= 0 or most >= NO_LIMIT:
        _try(model, 1, word, named)
        return None
    if _reads(model, most, word):
        return most
    # RoBERTa and its kin count positions from the padding index on.
    after_padding = most - (getattr(model.config, "pad_token_id", None) or 0) - 1
    if after_padding > 0 and _reads(model, after_padding, word) and not _reads(model, after_padding + 1, word):
        return after_padding
    _try(model, 1, word, named)
    short, long = 1, most  # the first can be read, the second cannot
    while long - short > 1:
        middle = (short + long) // 2
        short, long = (middle, long) if _reads(model, middle, word) else (short, middle)
    return short


def _reads(model: PreTrainedModel, tokens: int, word: int) -> bool:
    try:
        _run(model, tokens, word)
    except (IndexError, RuntimeError):
        return False
    return True


def _try(model: PreTrainedModel, tokens: int, word: int, named: str) -> None:
    try:
        _run(model, tokens, word)
    except Exception as error:  # code of any architecture
        raise UserError(
            f"scorer model '{named}' does not run on text ({first_line(error)})",
            where=flag.scorer,
            remedy="use a model of text, such as a BERT",
        ) from error


def _run(model: PreTrainedModel, tokens: int, word: int) -> None:
    import torch

    with torch.inference_mode():
        model(input_ids=torch.full((1, tokens), word))

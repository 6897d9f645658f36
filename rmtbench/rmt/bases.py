"""Base models to give a memory to: a private copy of the weights, the prompt contract, and what they are known by."""

from __future__ import annotations

import pickle
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from rmtbench.core import AnswerStyle
from rmtbench.errors import UserError, first_line
from rmtbench.models.embed_files import MINILM, model_folder
from rmtbench.models.load import check_complete, load_model, tokenizer_hash
from rmtbench.models.prompt import PromptContract, make_contract
from rmtbench.models.weights import weights_hash
from rmtbench.options import flag
from rmtbench.rmt.base import BaseIdentity
from rmtbench.rmt.config import Kind

if TYPE_CHECKING:
    from transformers import PreTrainedModel


@dataclass(frozen=True, slots=True)
class Base:
    """A loaded base model.

    Attributes:
        model: Its weights, this caller's own.
        contract: Its prompts.
        identity: Its hashes.
        kind: What it is.
        special_ids: [CLS] and [SEP] of an encoder.
    """

    model: PreTrainedModel
    contract: PromptContract
    identity: BaseIdentity
    kind: Kind
    special_ids: tuple[int, int] | None


def load_base(name: str, kind: Kind, device: str, *, style: AnswerStyle = "bridge", seed: int = 0) -> Base:
    """Load a base model in float32.

    Args:
        name: As for `load_model`; of an encoder a folder, a hub id or ``minilm``.
        kind: ``encoder`` loads it without any head, and answers in the ``direct`` style.
        device: A torch device name.
        style: Answer style of a decoder's prompts.
        seed: Seed of random weights.

    Raises:
        UserError: It is missing or cannot serve.
    """
    if kind == "encoder":
        return _load_encoder(name, device)
    try:
        loaded = load_model(name, style=style, device=device, seed=seed)
    except UserError as error:
        where = error.where.replace(flag.model, flag.base)
        raise UserError(error.what, where=where, remedy=error.remedy) from error
    return Base(loaded.model, loaded.contract, BaseIdentity.of(loaded.provenance), kind, None)


def _load_encoder(name: str, device: str) -> Base:
    from safetensors import SafetensorError
    from transformers import AutoModel, AutoTokenizer

    path = str(model_folder(MINILM)) if name == MINILM else name
    try:
        model, found = AutoModel.from_pretrained(
            path, attn_implementation="sdpa", output_loading_info=True, trust_remote_code=False
        )
        words = AutoTokenizer.from_pretrained(path, trust_remote_code=False)
    except (OSError, ValueError, KeyError, RuntimeError, SafetensorError, pickle.UnpicklingError) as error:
        raise UserError(
            f"encoder '{name}' cannot be loaded ({first_line(error)})",
            where=flag.base,
            remedy=f"give a folder with config.json, tokenizer and weights, or {MINILM}",
        ) from error
    check_complete(found, name, flag.base, unread="pooler")
    model = model.float().to(device)
    if words.cls_token_id is None or words.sep_token_id is None:
        raise UserError(
            f"the tokenizer of '{name}' has no [CLS] and [SEP]", where=flag.base, remedy="choose a BERT-style encoder"
        )
    words.model_max_length = int(1e30)  # its own limit is for whole texts
    known = Path(name).name if Path(name).is_dir() else name  # a memory holds no path of this machine
    identity = BaseIdentity(known, weights_hash(path), tokenizer_hash(words))
    words.eos_token = words.eos_token or words.sep_token  # what ends an answer
    special = (int(words.cls_token_id), int(words.sep_token_id))
    return Base(model, make_contract(words, "direct"), identity, "encoder", special)

"""Load a causal language model by hub id, path or ``random:GEOMETRY``, and record exactly what was loaded."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from difflib import get_close_matches
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rmtbench.core import AnswerStyle
from rmtbench.errors import UserError, first_line
from rmtbench.hub import NEEDS
from rmtbench.models.adapters import check_base, find_adapter, merge_adapter
from rmtbench.models.architecture import check_supported, context_limit
from rmtbench.models.control_tokens import control_marks, count_tokens
from rmtbench.models.end_of_turn import end_ids
from rmtbench.models.gguf import gguf_tokenizer
from rmtbench.models.identity import identity_of, tokenizer_source
from rmtbench.models.local import LocalModel
from rmtbench.models.prompt import CONTRACT_VERSION, ChatSettings, chat_facts, make_contract, think_budget
from rmtbench.models.random_geometry import build_random, geometry, is_random
from rmtbench.models.sources import PACKAGED, SHIPPED, Source, find_source, folder_name, to_convert
from rmtbench.models.weights import add_weights, weights_hash
from rmtbench.options import flag
from rmtbench.options.model import Weights

if TYPE_CHECKING:
    import torch
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

DTYPES = ("float32", "bfloat16", "float16")
RANDOM_LABEL = "random weights"
ANSWER_TOKENS = 64
"""Most tokens of an answer. For another limit, use `dataclasses.replace(model, max_answer_tokens=...)`."""


def choose_device(device: str) -> str:
    """Return the device to use: for ``auto`` the accelerator if there is one, else the CPU.

    Raises:
        UserError: The named device does not exist.
    """
    import torch

    if device == "auto":
        return "cuda" if torch.cuda.is_available() else "cpu"
    kind = device.partition(":")[0]
    there = {"cpu": True, "cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available()}
    if not there.get(kind, False):
        ready = ", ".join(name for name, found in there.items() if found)
        raise UserError(f"no device '{device}' here", where=flag.device, remedy=f"devices found: {ready}")
    number = device.partition(":")[2]
    count = torch.cuda.device_count() if kind == "cuda" else 1
    if number and not (number.isdecimal() and int(number) < count):
        numbered = f"{kind}:0 to {kind}:{count - 1}" if count > 1 else f"{kind}:0"
        raise UserError(f"no device '{device}' here", where=flag.device, remedy=f"devices found: {numbered}")
    return "cpu" if kind == "cpu" else device


def choose_dtype(dtype: str, device: str) -> str:
    """Return the data type to use: for ``auto`` float32 on the CPU and bfloat16 elsewhere.

    Raises:
        UserError: The name is not one of `DTYPES`.
    """
    if dtype == "auto":
        return "float32" if device == "cpu" else "bfloat16"
    if dtype not in DTYPES:
        raise UserError(f"no dtype '{dtype}'", where=flag.dtype, remedy=f"choose one of auto, {', '.join(DTYPES)}")
    return dtype


def load_model(  # many: all that decides what a model answers
    name: str,
    *,
    adapter: str | None = None,
    tokenizer: str | None = None,
    style: AnswerStyle = "direct",
    dtype: str = "float32",
    weights: Weights = "native",
    device: str = "cpu",
    seed: int = 0,
    chat: ChatSettings | None = None,
) -> LocalModel:
    """Load weights and tokenizer. The model's answers have at most `ANSWER_TOKENS` tokens.

    Args:
        name: Hub id, path of a folder or GGUF file, one of `SHIPPED` or `PACKAGED`, or ``random:GEOMETRY``.
        adapter: Folder or shipped name of a PEFT adapter, which is merged into the weights; None for none.
        tokenizer: Another tokenizer's id or path; None for the model's own.
        style: Answer style of its prompts.
        dtype: One of `DTYPES`.
        weights: ``int8`` quantises the linear layers, after an adapter was merged: see `rmtbench.models.int8`.
        device: A torch device name.
        seed: Seed of random weights.
        chat: Settings of the chat; None for the defaults.

    Raises:
        UserError: The model or tokenizer is missing or cannot serve.
    """
    import torch
    from transformers.utils import logging

    import rmtbench.models.readers  # noqa: F401 - now, and not within the first answer's time
    from rmtbench.models.int8 import check_dtype
    from rmtbench.models.llama_step import find_step

    check_dtype(weights, dtype)
    logging.disable_progress_bar()  # it would break our own bars
    kind = getattr(torch, dtype)
    source = find_source(name, adapter)
    model, known = _weights(source, kind, device, seed)
    check_supported(model)
    known["parameters"] = model.num_parameters()
    known |= _choose_linear(model, weights)
    step = find_step(model)  # joins and compiles now, and not within the first answer's time
    if step is not None:
        known["decode_steps"] = step.code
    words = _tokenizer(source, tokenizer)
    _check_vocabulary(model, words, flag.tokenizer if tokenizer else flag.model)
    limit = context_limit(model.config)
    identity = identity_of(source, tokenizer, seed, weights)
    contract, ends = make_contract(words, style, chat), end_ids(model, words)
    provenance = {
        **known,
        "identity": identity.sha256,
        "identity_parts": dict(identity.parts),
        "class": type(model).__name__,
        "tokenizer": _tokenizer_name(source, tokenizer),
        "tokenizer_sha256": tokenizer_hash(words),
        "dtype": dtype,
        "device": device,
        "attention": model.config._attn_implementation,  # noqa: SLF001 - the only place that tells
        **_without_cudnn(device),
        "context_limit": limit,
        "prompt_contract": CONTRACT_VERSION,
        **chat_facts(contract, ends, chat),
    }
    return LocalModel(
        model=model,
        contract=contract,
        end_ids=ends,
        context_limit=limit,
        max_answer_tokens=ANSWER_TOKENS,
        provenance=provenance,
        think_tokens=think_budget(contract, chat),
    )


def _choose_linear(model: PreTrainedModel, weights: Weights) -> dict[str, Any]:
    """Choose what a model's linear layers hold and who multiplies, and return that for the provenance."""
    from rmtbench.models.int8 import use_int8
    from rmtbench.models.linear import onednn_serves, use_onednn

    if weights == "native":
        return {"linear": use_onednn(model)}
    multiplies = "oneDNN" if onednn_serves(model) else "torch"
    return {"quantised": use_int8(model), "linear": f"{multiplies}, by blocks of int8"}


def _without_cudnn(device: str) -> dict[str, str]:
    """Switch cuDNN's attention off on a GPU, and return that for the provenance.

    It makes a plan for each new length of a prompt, which would make prompts of all lengths, such as RAG's, look slow.
    """
    import torch

    if not device.startswith("cuda"):
        return {}
    torch.backends.cuda.enable_cudnn_sdp(False)
    return {"cudnn_attention": "off"}


def load_tokenizer(model: str, tokenizer: str | None = None, adapter: str | None = None) -> PreTrainedTokenizerBase:
    """Load a model's tokenizer, or another that is named.

    Random geometries have no tokenizer of their own: they read MiniLM's English WordPiece. An adapter's own tokenizer
    comes before its base model's. That of a GGUF file is read without converting the weights.

    Raises:
        UserError: The tokenizer is missing.
    """
    if tokenizer is not None:
        if adapter is not None:
            find_adapter(adapter)
        return _tokenizer(Source(model, model, model), tokenizer)
    if is_random(model):
        geometry(model)
    if (file := to_convert(model)) is None:
        return _tokenizer(find_source(model, adapter), None)
    source = find_source(model, adapter, fetch=False)
    if tokenizer_source(source, None, fetch=False).path != source.path:
        return _tokenizer(source, None)  # the adapter's own
    return _without_limit(gguf_tokenizer(file))


def _tokenizer(source: Source, tokenizer: str | None) -> PreTrainedTokenizerBase:
    from transformers import AutoTokenizer

    if tokenizer is not None and (file := to_convert(tokenizer)) is not None:
        return _without_limit(gguf_tokenizer(file, flag.tokenizer))
    path = tokenizer_source(source, tokenizer).path
    try:
        words: PreTrainedTokenizerBase = AutoTokenizer.from_pretrained(path, trust_remote_code=False)
    except Exception as error:  # files of others can fail in any way; the tokenizers package raises a plain Exception
        named = tokenizer or source.name
        raise _missing("tokenizer", named, flag.tokenizer if tokenizer else flag.model, error) from error
    return _without_limit(words)


def _without_limit(words: PreTrainedTokenizerBase) -> PreTrainedTokenizerBase:
    # Its own limit is a training length. Every prompt is checked against the model's limit instead.
    words.model_max_length = int(1e30)
    return words


def load_token_counter(
    model: str, tokenizer: str | None = None, adapter: str | None = None
) -> Callable[[Sequence[str]], list[int]]:
    """Return a function that counts each text's tokens with a model's tokenizer. It does not load the weights.

    Raises:
        UserError: The tokenizer is missing.
    """
    words = load_tokenizer(model, tokenizer, adapter)
    marks = control_marks(words)
    return lambda texts: count_tokens(words, texts, marks)


def tokenizer_hash(tokenizer: PreTrainedTokenizerBase) -> str:
    """Return the SHA-256 of the fast tokenizer's whole definition and the chat format."""
    backend = getattr(tokenizer, "backend_tokenizer", None)
    definition = backend.to_str() if backend is not None else repr(sorted(tokenizer.get_vocab().items()))
    return hashlib.sha256(f"{definition}\n{tokenizer.chat_template or ''}".encode()).hexdigest()


def _weights(source: Source, kind: torch.dtype, device: str, seed: int) -> tuple[PreTrainedModel, dict[str, Any]]:
    """Return the model in evaluation mode with its adapter merged, and what the provenance records of its weights."""
    import torch

    # An adapter is merged in float32 and rounded once.
    wanted = kind if source.adapter is None else torch.float32
    if is_random(source.path):
        geometry(source.path)
        model = build_random(source.path, seed, wanted, device)
        known: dict[str, Any] = {"id": source.public, "revision": f"seed {seed}", "label": RANDOM_LABEL}
        known["weights_sha256"] = _random_hash(model, source.path, seed)
    else:
        model = _from_pretrained(source.path, wanted, device)
        known = {"id": source.public, "revision": getattr(model.config, "_commit_hash", None), "label": ""}
        known["weights_sha256"] = source.sha256 or weights_hash(source.path, known["revision"])
    known |= {"weights": dict(source.facts)} if source.facts else {}
    if source.adapter is None:
        return model, known
    base = known["weights_sha256"]
    check_base(source.adapter, source.name, base)
    model = merge_adapter(model, source.adapter)
    for weight in model.parameters():  # and no buffer: rounded rotary frequencies would move every position
        weight.data = weight.data.to(kind)
    known["adapter"] = source.adapter.facts
    known["base"] = {"id": source.base, "weights_sha256": base}
    if len(base) == 64:  # without it, the hash of base and adapter would say nothing
        known["weights_sha256"] = hashlib.sha256(f"{base} {source.adapter.sha256}".encode()).hexdigest()
    return model, known


def _from_pretrained(name: str, dtype: torch.dtype, device: str) -> PreTrainedModel:
    import torch

    try:
        ends = Path(name).expanduser() / "generation_config.json"
        if ends.is_file():
            json.loads(ends.read_bytes())  # transformers would go on without the end tokens of a damaged file
        model, found = _by_attention(name, dtype)
        check_complete(found, name, flag.model)
        _check_unread(model, found, name)
        loaded: PreTrainedModel = model.to(device).eval()
    except (UserError, MemoryError, torch.OutOfMemoryError):
        raise
    except Exception as error:  # files of others can fail in any way, in the code of any architecture
        raise _missing("model", name, flag.model, error) from error
    return loaded


def _by_attention(path: str, dtype: torch.dtype) -> tuple[PreTrainedModel, Mapping[str, Any]]:
    """Return the model with torch's fused attention, or with the plain one, and transformers' report on its weights.

    The default of transformers would follow the configuration file, which may ask for a CUDA package.
    """
    from transformers import AutoModelForCausalLM

    for attention in ("sdpa", "eager"):
        try:
            model, found = AutoModelForCausalLM.from_pretrained(
                path, dtype=dtype, attn_implementation=attention, output_loading_info=True, trust_remote_code=False
            )
        except (ValueError, ImportError) as error:
            if attention == "sdpa" and "scaled_dot_product_attention" in str(error):
                continue  # the architecture has no fused attention, and nothing was read yet
            raise
        return model, found
    raise AssertionError("the last attention was tried")  # pragma: no cover


def check_complete(found: Mapping[str, Any], name: str, option: str, *, unread: str = "\0") -> None:
    """Refuse weights that lack a tensor, which transformers would fill with random numbers.

    Args:
        found: Transformers' report on the loading.
        name: The model.
        option: The option that named it, for messages.
        unread: Part of the names of tensors that are never used. They may be missing.

    Raises:
        UserError: A tensor is missing.
    """
    lacking = sorted(key for key in found["missing_keys"] if unread not in key)
    if lacking:
        raise UserError(
            f"the weights of '{name}' lack {len(lacking)} tensors of its architecture, such as {lacking[0]}",
            where=option,
            remedy="fetch all of its files again"
            + ("; an embedder or encoder is no model that answers" if option == flag.model else ""),
        )


def _check_unread(model: PreTrainedModel, found: Mapping[str, Any], name: str) -> None:
    """Refuse a bias, or a scale of weights, that the configuration leaves out: answers would be another model's."""
    import torch

    layers = dict(model.named_modules())
    for key in sorted(found["unexpected_keys"]):
        place, _, tensor = key.rpartition(".")
        if isinstance(layers.get(place), torch.nn.Linear) and tensor.startswith(("bias", "weight_")):
            raise UserError(
                f"the model made of the configuration of '{name}' has no place for its tensor {key}",
                where=flag.model,
                remedy="fetch config.json again: it must be that of these weights",
            )


def _check_vocabulary(model: PreTrainedModel, words: PreTrainedTokenizerBase, option: str) -> None:
    """Refuse a tokenizer with ids that the model has no embedding for."""
    rows, ids = model.get_input_embeddings().weight.shape[0], len(words)
    if ids > rows:
        raise UserError(
            f"the tokenizer has {ids:,} tokens, the model embeddings for {rows:,}",
            where=option,
            remedy="give the tokenizer that belongs to the model",
        )


def _missing(noun: str, name: str, option: str, error: Exception) -> UserError:
    if "gated repo" in str(error).lower() or "401" in str(error):
        return UserError(
            f"{noun} '{name}' needs a licence or a token",
            where=option,
            remedy="accept its licence on the hub and set HF_TOKEN",
        )
    if "custom code" in str(error):
        return UserError(
            f"{noun} '{name}' needs code of its own, which is not run here",
            where=option,
            remedy="choose a model whose architecture is part of transformers",
        )
    if isinstance(error, ImportError):
        return UserError(
            f"{noun} '{name}' cannot be loaded ({first_line(error)})",
            where=option,
            remedy="install the package that it names, or give weights that are not quantised",
        )
    close = get_close_matches(name.lower(), [*SHIPPED, *PACKAGED], n=1, cutoff=0.6)
    guess = f"did you mean '{close[0]}'? Or " if close and close[0] != name else ""
    return UserError(
        f"{noun} '{name}' cannot be loaded ({first_line(error)})",
        where=option,
        remedy=f"{guess}give a folder with config.json, tokenizer and weights, or random:tiny; {NEEDS}",
    )


def _public_name(name: str) -> str:
    """Return a hub id as it is, and only the last part of a path: results hold no path of this machine."""
    return folder_name(Path(name)) if Path(name).expanduser().exists() else name


def _tokenizer_name(source: Source, tokenizer: str | None) -> str:
    return _public_name(tokenizer) if tokenizer is not None else tokenizer_source(source, None).public


def _random_hash(model: PreTrainedModel, name: str, seed: int) -> str:
    """Return the hash of the weights where that is quick, else of what determines them."""
    digest = hashlib.sha256(f"{name}\n{seed}".encode())
    if model.num_parameters() <= 200_000_000:
        add_weights(digest, model)
    return digest.hexdigest()

"""Convert a GGUF file once into a folder that transformers loads quickly, or refuse it with the reason.

The weights are dequantised to float32, so that no number is rounded. A file that transformers would read only in part
(rope scaling, another attention, an unknown pre-tokenizer) is refused: its answers would be another model's.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rmtbench.errors import UserError, disk_errors
from rmtbench.files import cache_folder, file_sha256
from rmtbench.locks import take_turn
from rmtbench.options import flag

if TYPE_CHECKING:
    from transformers import PretrainedConfig, PreTrainedModel, PreTrainedTokenizerBase

FACTS = "gguf.json"
"""What a converted folder was made from. It is written last, before the folder gets its name."""

VERSION = 1
"""Part of a converted folder's name: raise it when the conversion changes."""

GPT2_SPLIT = frozenset({"gpt-2", "gpt2", "default", "phi-2", "olmo", "dolma"})
"""Values of `tokenizer.ggml.pre` that mean GPT-2's own pattern (llama.cpp, src/llama-vocab.cpp)."""

CONTROL = 3
"""The type of a control token in a GGUF file."""

DIGITS_SPLIT = frozenset({"smollm", "starcoder", "refact", "command-r", "codeshell"})
"""Values that mean single digits first, then GPT-2's pattern (same source)."""

WHOLE_WORDS = frozenset(
    {"llama3", "llama-v3", "llama-bpe", "falcon3", "falcon-h1", "pixtral", "midm-2.0", "lfm2", "jina-v5-nano", "tekken"}
)
"""Values with which a word of the vocabulary is one token whatever the merges are, and a text begins with the start
token if the file does not say (same source)."""

_NEUTRAL = {"logit_scale": 1.0, "residual_scale": 1.0, "embedding_scale": 1.0, "attention.scale": 0.0}
"""Scales that change nothing at these values; 0 stands for "the usual one"."""


@dataclass(frozen=True, slots=True)
class Header:
    """What a GGUF file states of itself.

    Attributes:
        metadata: Its keys; long arrays of strings are left out or counted.
        tensors: Name of the ggml type by the tensor's name.
    """

    metadata: Mapping[str, Any]
    tensors: Mapping[str, str]

    @property
    def architecture(self) -> str:
        """llama.cpp's name of the architecture."""
        return str(self.metadata["general.architecture"])

    def stated(self, key: str) -> Any:  # noqa: ANN401 - numbers, texts and lists
        """The value of an architecture's own key; None where the file does not state it."""
        return self.metadata.get(f"{self.architecture}.{key}")


@dataclass(frozen=True, slots=True)
class Converted:
    """A GGUF file as a folder.

    Attributes:
        folder: `config.json`, tokenizer and float32 safetensors.
        sha256: Hash of the GGUF file.
        facts: For the provenance: file, hash, tensors by quantisation, and how they are read.
    """

    folder: Path
    sha256: str
    facts: Mapping[str, Any]


def is_gguf(name: str) -> bool:
    """Return whether a model's name is the path of a GGUF file."""
    return name.lower().endswith(".gguf")


def convert(path: Path, option: str = flag.model, *, fetch: bool = True) -> Converted:
    """Return a GGUF file as a folder that `from_pretrained` loads, converting it if that was not done before.

    The folder is named after the file's hash and the conversion's version. One process converts, others wait. The
    folder gets its name only when it is complete.

    Args:
        path: The file.
        option: What the user named it with, for errors.
        fetch: Whether it may be converted now; without, the folder that it would be is returned.

    Raises:
        UserError: It is no GGUF file of a causal language model that transformers reads exactly.
    """
    if not path.is_file():
        raise UserError("no such file", where=f"{option} {path}", remedy="give the path of a GGUF file")
    try:
        digest = file_sha256(path)
    except OSError as error:
        raise UserError(
            f"cannot be read ({error.strerror})", where=str(path), remedy="check the file's permissions"
        ) from error
    store = cache_folder() / "gguf"
    slug = re.sub(r"[^a-z0-9.]+", "-", path.stem.lower()).strip("-.")[:60]
    folder = store / f"{slug}-{digest[:16]}-v{VERSION}"
    if not fetch:
        return Converted(folder, digest, {})
    with disk_errors(folder, "RMTBENCH_CACHE"):
        if not _whole(folder, digest):
            with take_turn(store / f".{folder.name}.lock", lambda _: None):
                if not _whole(folder, digest):
                    _make(path, digest, folder, option)
    made = json.loads((folder / FACTS).read_text(encoding="utf-8"))
    facts = {"file": path.name, "sha256": digest, "tensors": made["tensors"], "read_as": made["read_as"]}
    return Converted(folder, digest, facts)


def gguf_tokenizer(path: Path, option: str = flag.model) -> PreTrainedTokenizerBase:
    """Return the tokenizer that a converted file would have, without converting the weights.

    Args:
        path: The file.
        option: What the user named it with, for errors.

    Raises:
        UserError: It is no GGUF file of a causal language model, or its tokenizer cannot be read exactly.
    """
    header = read_header(path, option)
    _check_kind(header, path, option)
    return _tokenizer(path, header, option)


def gguf_context_limit(path: Path, option: str = flag.model) -> int | None:
    """Return the positions that a file states; None where it states none.

    Args:
        path: The file.
        option: What the user named it with, for errors.

    Raises:
        UserError: It is no whole GGUF file.
    """
    stated = read_header(path, option).stated("context_length")
    return None if stated is None else int(stated)


def is_converted(path: Path) -> bool:
    """Return whether a GGUF file has been converted before, so that loading it is quick."""
    try:
        made = convert(path, fetch=False)
    except UserError:
        return False
    return _whole(made.folder, made.sha256)


def read_header(path: Path, option: str = flag.model) -> Header:
    """Read a GGUF file's metadata and tensor types, without its tensors.

    Raises:
        UserError: It is no GGUF file, or cut off.
    """
    import struct

    from gguf import GGMLQuantizationType
    from transformers.integrations.gguf.reader import (  # the package gguf's own reader takes seconds for a vocabulary
        _mapped,
        _read_metadata,
        _read_tensor_table,
    )

    try:
        blob = _mapped(str(path))
        metadata, count, position = _read_metadata(blob, str(path))
        entries, _ = _read_tensor_table(blob, count, position)
        tensors = {name: GGMLQuantizationType(kind).name for name, _, kind, _ in entries}
    except (ValueError, OSError, struct.error) as error:
        raise UserError(
            f"'{path.name}' is no whole GGUF file ({str(error).splitlines()[0]})",
            where=option,
            remedy="fetch the file again",
        ) from error
    return Header(metadata, tensors)


def _whole(folder: Path, digest: str) -> bool:
    """Whether the folder was converted from this file, no tensor left out, and has all its files in their length."""
    try:
        made = json.loads((folder / FACTS).read_text(encoding="utf-8"))
        files: Mapping[str, int] = made["files"]
        known: bool = made["sha256"] == digest and made["left_out"] == 0 and made["words"] == "as llama.cpp"
        return known and all((folder / name).stat().st_size == files[name] for name in files)
    except (OSError, ValueError, KeyError):
        return False


def _make(path: Path, digest: str, folder: Path, option: str) -> None:
    """Convert into a hidden folder beside the final one, then rename it."""
    import shutil
    from importlib.metadata import version

    header = read_header(path, option)
    _check_kind(header, path, option)
    part = folder.with_name(f".making-{folder.name}")
    shutil.rmtree(part, ignore_errors=True)
    part.mkdir(parents=True)
    try:
        tokenizer = _tokenizer(path, header, option)
        _save(_model(path, header, option), tokenizer, part)
        facts = {
            "file": path.name,
            "sha256": digest,
            "tensors": dict(Counter(header.tensors.values()).most_common()),
            "read_as": "dequantised to float32",
            "left_out": 0,  # folders of before this was looked at do not say so, and are made again
            "words": "as llama.cpp",  # nor how texts are cut
            "made_by": {name: version(name) for name in ("gguf", "transformers", "tokenizers")},
            "files": {file.name: file.stat().st_size for file in sorted(part.iterdir())},
        }
        (part / FACTS).write_text(json.dumps(facts, indent=1) + "\n", encoding="utf-8")
        shutil.rmtree(folder, ignore_errors=True)  # files of it are missing, else it would have been used
        part.rename(folder)
    finally:
        shutil.rmtree(part, ignore_errors=True)


def _check_kind(header: Header, path: Path, option: str) -> None:
    """Refuse what is no whole causal language model with a tokenizer."""
    from transformers.modeling_gguf_pytorch_utils import GGUF_SUPPORTED_ARCHITECTURES

    known = {str(name).replace("_", "").replace("-", "") for name in GGUF_SUPPORTED_ARCHITECTURES}
    known -= {"general", "tokenizer"}
    architecture = header.architecture
    kind = header.metadata.get("general.type", "model")
    reasons = {
        f"'{path.name}' is a GGUF of type '{kind}', not a model": kind != "model",
        f"transformers reads no GGUF of architecture '{architecture}'": architecture.replace("_", "").replace("-", "")
        not in known,
        f"'{path.name}' is an embedding model (it states a pooling)": header.stated("pooling_type") not in (None, 0),
        f"'{path.name}' is no causal model": header.stated("attention.causal") is False,
        f"'{path.name}' is one of several parts": int(header.metadata.get("split.count", 0)) > 1,
        f"'{path.name}' has no tokenizer": "tokenizer.ggml.tokens" not in header.metadata,
    }
    found = next((reason for reason, holds in reasons.items() if holds), None)
    if found is not None:
        raise UserError(
            found,
            where=option,
            remedy="give one whole GGUF of a chat or base model with its tokenizer, or the original model's folder",
        )


def _tokenizer(path: Path, header: Header, option: str) -> PreTrainedTokenizerBase:
    """Build the tokenizer, with the pre-tokenizer that the file names."""
    from transformers import AutoTokenizer
    from transformers.integrations.gguf.gguf_tokenizer_mapping import GGUF_PRE_TOKENIZER_SPLITS

    kind, named = header.metadata.get("tokenizer.ggml.model"), header.metadata.get("tokenizer.ggml.pre")
    if kind == "gpt2" and named not in {*GPT2_SPLIT, *DIGITS_SPLIT, *GGUF_PRE_TOKENIZER_SPLITS}:
        raise UserError(
            f"'{path.name}' names the pre-tokenizer {named!r}, which transformers does not know",
            where=option,
            remedy="give the original model's folder or hub id: texts would be cut into other tokens",
        )
    try:
        words: PreTrainedTokenizerBase = AutoTokenizer.from_pretrained(
            str(path.parent), gguf_file=path.name, trust_remote_code=False
        )
    except Exception as error:
        raise _unreadable(path, "tokenizer", error, option) from error
    if kind == "gpt2" and named in DIGITS_SPLIT:
        from tokenizers import pre_tokenizers

        words.backend_tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
            [pre_tokenizers.Digits(individual_digits=True), pre_tokenizers.ByteLevel(add_prefix_space=False)]
        )
    if kind == "gpt2" and named in WHOLE_WORDS:
        words.backend_tokenizer.model.ignore_merges = True
        if "tokenizer.ggml.add_bos_token" not in header.metadata:
            words.add_bos_token = True
    _check_control_tokens(path, words, option)
    return words


def _check_control_tokens(path: Path, words: PreTrainedTokenizerBase, option: str) -> None:
    """Refuse a tokenizer that would cut control tokens of the chat format, or a start or end token, into pieces."""
    from transformers.integrations.gguf import get_gguf_tokenizer

    stated = get_gguf_tokenizer(str(path))[1]
    named = {stated.get("bos_token_id"), stated.get("eos_token_id")}
    for number, (token, kind) in enumerate(zip(stated["tokens"], stated.get("token_type") or (), strict=False)):
        used = kind == CONTROL and (number in named or token in str(words.chat_template))
        if used and words.convert_tokens_to_ids(token) != number:
            raise UserError(
                f"transformers does not read the control token {token} of '{path.name}' as one token",
                where=option,
                remedy="give the original model's folder or hub id: prompts would be cut into other tokens",
            )


def _model(path: Path, header: Header, option: str) -> PreTrainedModel:
    """Load and dequantise the weights, and refuse a file that was read only in part."""
    import torch
    from transformers import AutoModelForCausalLM

    try:
        model, found = AutoModelForCausalLM.from_pretrained(
            str(path.parent),
            gguf_file=path.name,
            dtype=torch.float32,
            output_loading_info=True,
            trust_remote_code=False,
        )
    except Exception as error:
        raise _unreadable(path, "model", error, option) from error
    _give_llama3_rope(path, header, model.config)
    unread = _unread(header, model.config)
    lacking = sorted(found["missing_keys"])
    unread += [f"tensor {name} of the architecture is missing" for name in lacking[:1]]
    unread += [f"the model read has no place for its tensor {name}" for name in _left_out(header, model)[:1]]
    if unread:
        raise UserError(
            f"transformers does not read '{path.name}' exactly: {'; '.join(unread)}",
            where=option,
            remedy="give the original model's folder or hub id: from this file, its answers would be another model's",
        )
    loaded: PreTrainedModel = model.eval()
    return loaded


def _give_llama3_rope(path: Path, header: Header, config: PretrainedConfig) -> None:
    """Write Llama 3.1's rope scaling into the configuration, if the file's factors are those.

    llama.cpp stores the factor of each rotary frequency as a tensor; transformers computes them from four numbers and
    does not read the tensor. Of the four numbers, three are the same in every Llama 3 model, and the largest factor of
    the tensor is the fourth. Other factors change nothing here, and the file is then refused.
    """
    import numpy as np
    from transformers.integrations.gguf.reader import GgufHeader, load_gguf_state_dict

    if header.architecture != "llama" or header.tensors.get("rope_freqs.weight") != "F32":
        return
    stated = load_gguf_state_dict(GgufHeader.from_file(str(path)))["rope_freqs.weight"][...].numpy()  # [head_dim / 2]
    theta, factor = float(config.rope_parameters["rope_theta"]), float(stated.max())
    low, high, original = 1.0, 4.0, 8192
    lengths = 2 * np.pi * theta ** (np.arange(len(stated)) / len(stated))  # tokens a turn, of each frequency
    share = (original / lengths - low) / (high - low)
    between = 1 / ((1 - share) / factor + share)
    expected = np.where(lengths < original / high, 1.0, np.where(lengths > original / low, factor, between))
    if np.allclose(stated, expected, rtol=1e-4):
        config.rope_parameters = {
            "rope_type": "llama3",
            "rope_theta": theta,
            "factor": factor,
            "low_freq_factor": low,
            "high_freq_factor": high,
            "original_max_position_embeddings": original,
        }


def _unread(header: Header, config: PretrainedConfig) -> list[str]:
    """What the file states and the model's configuration does not have, as sentences without a full stop."""
    rope = getattr(config, "rope_parameters", None) or {}
    has = {
        "rope.freq_base": rope.get("rope_theta", getattr(config, "rope_theta", None)),
        "rope.scaling.type": str(rope.get("rope_type", "default")).replace("default", "none").replace("llama3", "none"),
        "attention.key_length": getattr(config, "head_dim", None),
        "attention.sliding_window": getattr(config, "sliding_window", None),
        "attn_logit_softcapping": getattr(config, "attn_logit_softcapping", None),
        "final_logit_softcapping": getattr(config, "final_logit_softcapping", None),
        "block_count": getattr(config, "num_hidden_layers", None),
        "attention.head_count": getattr(config, "num_attention_heads", None),
    }
    if header.stated("rope.scaling.type") not in (None, "none"):
        has["rope.scaling.factor"] = rope.get("factor", 1.0)
    unread = []
    for key, value in has.items():
        stated = header.stated(key)
        if isinstance(stated, int | float | str) and stated not in (0, value):
            unread.append(f"it states {key} {stated}, the model read has {value}")
    for key, neutral in _NEUTRAL.items():
        stated = header.stated(key)
        if stated not in (None, 0, neutral):
            unread.append(f"it states {key} {stated}")
    factors = [name for name in header.tensors if re.match(r"rope_(freqs|factors)", name.rpartition("blk.")[2])]
    if factors and rope.get("rope_type", "default") == "default":
        unread.append(f"it scales rotary positions ({factors[0]})")
    return unread


def _left_out(header: Header, model: PreTrainedModel) -> list[str]:
    """Names of the file's tensors that transformers left out without a word, such as biases of a Llama."""
    from transformers.integrations.gguf.gguf_config_mapping import GGUF_CONFIG_ARCHS
    from transformers.modeling_gguf_pytorch_utils import TENSOR_PROCESSORS, TensorProcessor, get_gguf_hf_weights_map

    if header.architecture in GGUF_CONFIG_ARCHS:  # read in another way, in which the loading report is whole
        return []
    processor = TENSOR_PROCESSORS.get(header.architecture, TensorProcessor)()
    places = get_gguf_hf_weights_map(model, processor)
    # Experts' places have no ending. Rotary factors are compared with the configuration: see `_unread`.
    named = {place.removesuffix(".weight") for place in places}
    return [
        name
        for name in header.tensors
        if name.removesuffix(".weight") not in named and not re.search(r"rope_(freqs|factors)|attn_rot_embd", name)
    ]


def _save(model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, folder: Path) -> None:
    """Write configuration, weights and tokenizer as an ordinary folder."""
    from transformers import GenerationConfig

    config = model.config
    for name in ("quantization_config", "_model_name_or_path"):
        if hasattr(config, name):
            delattr(config, name)
    config._name_or_path = ""  # noqa: SLF001 - results hold no path of this machine
    model.hf_quantizer = None  # the weights are plain float32 now, and transformers would not save them otherwise
    ends = {name: getattr(tokenizer, name) for name in ("eos_token_id", "bos_token_id", "pad_token_id")}
    for name, token in ends.items():
        if getattr(config, name, None) is None:
            setattr(config, name, token)
    model.generation_config = GenerationConfig(**{name: getattr(config, name) for name in ends})
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)


def _unreadable(path: Path, noun: str, error: Exception, option: str) -> UserError:
    reason = str(error).strip().splitlines() or [type(error).__name__]
    return UserError(
        f"transformers cannot read the {noun} of '{path.name}' ({type(error).__name__}: {reason[0][:160]})",
        where=option,
        remedy="give the original model's folder or hub id, or another GGUF of it",
    )


def gguf_identity(sha256: str) -> str:
    """Return the hash that stands for weights, configuration and tokenizer of a converted file alike."""
    return hashlib.sha256(f"gguf {sha256} conversion {VERSION}".encode()).hexdigest()

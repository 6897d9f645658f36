"""The door: what a user may ask for, checked before anything is loaded. Inside, only frozen specs pass."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, ValidationInfo, field_validator

from rmtbench.core import SHIPPED_MODELS, AnswerStyle, token_budget, with_adapter
from rmtbench.errors import UserError, nearest

SIZES = {"smoke": "about 1k tokens", "small": "21k", "medium": "32-43k", "large": "50-85k", "all": "own documents"}

PROFILES: Mapping[str, Mapping[str, Any]] = {
    "mini": {"dataset": "hotpotqa", "scorer": "minilm", "generated": True},
    "paper": {"model": "meta-llama/Llama-3.1-8B-Instruct", "dataset": "hotpotqa", "scorer": "roberta-large"},
}
"""A profile is a set of defaults and nothing else. One without a model takes its reader from `READERS`."""

READERS: Mapping[str, Mapping[str, str]] = {
    "generated": {"model": "mini"},
    "real": {"model": "smollm2", "adapter": "reading"},
}
"""Default model by data: `mini` was trained on the generated corpora and reads nothing else."""

DATA_VARIABLE = "RMTBENCH_DATA"
"""Environment variable: folder of official files, where ``--data-dir`` gives none."""

GENERATED = ("squad", "hotpotqa", "triviaqa")
"""Data sets that have a generated corpus in their style."""

DEFAULT_SIZES: Mapping[str, str] = {"squad": "small", "hotpotqa": "small", "triviaqa": "small", "handbook": "4k"}
"""The size of a data set if the user names none. All of a user's own folder is read then."""

PREFIXES = ("shared", "plain", "composed")
"""How `cag` keeps the corpus: stored once and shared by all rows, in one buffer with the questions behind it, or shared
and put together of its documents' caches, which is not exact."""

STOP_WORDS = ("english",)
"""Languages with a list of stop words for BM25."""

RARE = (
    "chunk_overlap", "candidates", "sparse_backend", "dense_index", "qdrant", "embed_windows", "kv_bits", "kv_place",
    "recompute", "chunk_cache_limit", "requests_per_minute", "tokens_per_minute", "deadline", "attempts",
    "embedder_base_url", "embedder_key_variable", "embed_batch", "system_prompt", "think_tokens", "reasoning_effort",
)  # fmt: skip
"""Fields of a request without an option of their own: given as ``--set NAME=VALUE``."""

Positive = Annotated[int, Field(ge=1)]


class Request(BaseModel):
    """One command's worth of runs: every system in every setting over one dataset and size."""

    model_config = ConfigDict(extra="forbid", frozen=True, protected_namespaces=())

    systems: Annotated[tuple[str, ...], Field(min_length=1)]
    dataset: str
    size: str = "small"
    model: str
    adapter: str | None = None  # a PEFT adapter that is merged into the model's weights: a folder, or a shipped name
    tokenizer: str | None = None
    data_dir: Path | None = None
    generated: bool = False  # data sets of which no files are named are the miniature's, not the hub's
    top_k: Annotated[tuple[Positive, ...], Field(min_length=1)] = (1, 3, 5, 10)
    embedder: str = "minilm"
    embed_windows: Literal["on", "off"] = "on"  # a chunk longer than its embedder reads: see retrieval/windows.py
    scorer: str = "minilm"
    answer_style: AnswerStyle = "direct"
    max_answer_tokens: Positive = 64  # without reasoning
    think_tokens: Annotated[int, Field(ge=0)] | None = None  # most tokens of reasoning: see models/reasoning.py
    system_prompt: str | None = None  # a text, or @ and the file that holds it; else what the chat format does
    batch: Positive = 1
    chunk_tokens: Positive = 512
    chunk_overlap: Annotated[int, Field(ge=0)] = 0
    split: Literal["sentence", "token"] = "sentence"
    top_tokens: Positive | None = None  # in place of top_k
    chunk_order: Literal["rank", "document"] = "rank"
    stemming: str | None = None
    stop_words: str | None = None
    reranker: str | None = None
    candidates: Positive = 50  # that a reranker judges
    index: Path | None = None  # where indexes are kept; else they are made in memory
    sparse_backend: Literal["fast", "llama-index"] = "fast"  # see retrieval/bm25.py, retrieval/llama_bm25.py
    dense_index: Literal["auto", "flat", "pq", "ivf", "hnsw"] = "auto"  # of an index that is kept
    qdrant: str | None = None  # a server's URL, or "memory": embeddings are kept there
    prefix: str = PREFIXES[0]
    recompute: Annotated[float, Field(gt=0, le=1)] | None = None  # share of a composed cache that is read again
    kv_bits: Positive | None = None  # of a number in the prefix; else all that the model computes
    kv_place: Literal["device", "host"] = "device"  # where the prefix is between its uses: see kvcache/exact
    chunk_cache: bool = False  # chunks come to the prompt with their caches made
    chunk_cache_limit: str = "2GB"
    kv_cache: str | None = None  # a folder, or "on" for the one beside the embeddings; else caches are not kept
    cache_limit: str = "20GB"  # see kvcache/disk/eviction.py for why
    rmt: Path | None = None  # else the trained memory that is shipped for the model
    rmt_chunk_tokens: Positive = 5000  # as MemAgent has it, and the next too
    rmt_memory_tokens: Positive = 1024
    seed: Annotated[int, Field(ge=0)] = 0
    draws: Positive = 1
    questions: Positive | None = None
    dtype: str = "auto"
    device: str = "auto"
    base_url: str | None = None  # of the server of an openai: model; else OpenAI's own
    key_variable: str | None = None
    api: Literal["chat", "completions"] = "chat"
    concurrency: Positive = 1
    prices: Path | None = None
    requests_per_minute: Positive | None = None
    tokens_per_minute: Positive | None = None
    deadline: Annotated[float, Field(gt=0)] = 600.0
    attempts: Positive = 8
    embedder_base_url: str | None = None  # else the model's server
    embedder_key_variable: str | None = None
    embed_batch: Positive = 128  # texts in one request; see models/endpoint/embedder.py
    reasoning_effort: Annotated[str, Field(min_length=1)] | None = None  # the server's word: low, high, none, ...

    @property
    def model_name(self) -> str:
        """As `RunSpec.model_name`."""
        return with_adapter(self.model, self.adapter)

    @field_validator("chunk_overlap")
    @classmethod
    def _below_chunk(cls, overlap: int, info: ValidationInfo) -> int:
        if overlap >= info.data.get("chunk_tokens", overlap + 1):
            raise ValueError("must be smaller than a chunk; choose fewer tokens than --chunk-tokens")
        return overlap

    @field_validator("top_tokens")
    @classmethod
    def _room_for_a_chunk(cls, budget: int | None, info: ValidationInfo) -> int | None:
        if budget is not None and budget < info.data.get("chunk_tokens", budget):
            raise ValueError("leaves no room for a chunk; choose at least as many tokens as --chunk-tokens")
        return budget

    @field_validator("stemming")
    @classmethod
    def _has_stemmer(cls, language: str | None) -> str | None:
        if language is not None:
            from Stemmer import algorithms

            if language not in algorithms():
                raise ValueError(f"no stemmer for '{language}'; {nearest(language, algorithms())}")
        return language

    @field_validator("stop_words")
    @classmethod
    def _has_stop_words(cls, language: str | None) -> str | None:
        if language is not None and language not in STOP_WORDS:
            raise ValueError(f"no stop words for '{language}'; {nearest(language, STOP_WORDS)}")
        return language

    @field_validator("system_prompt")
    @classmethod
    def _text_of_file(cls, given: str | None) -> str | None:
        if given is None or not given.startswith("@"):
            text = given
        else:
            try:
                text = Path(given[1:]).expanduser().read_text(encoding="utf-8")
            except (OSError, UnicodeDecodeError) as error:
                reason = f"no text can be read from '{given[1:]}' ({type(error).__name__})"
                raise ValueError(f"{reason}; give @ and the path of a text file, or the text itself") from None
        if text is not None and not text.strip():
            raise ValueError("is empty; leave it out for what the chat format does by itself")
        return None if text is None else text.strip()

    @field_validator("kv_bits")
    @classmethod
    def _few(cls, bits: int | None) -> int | None:
        if bits not in (None, 4, 8):
            raise ValueError("must be 8 or 4; leave it out for an exact cache")
        return bits

    @field_validator("size")
    @classmethod
    def _known_size(cls, size: str) -> str:
        if size not in SIZES and token_budget(size) is None:
            raise ValueError(f"no size '{size}'; {nearest(size, SIZES)}")
        return size

    @field_validator("kv_cache", mode="before")
    @classmethod
    def _on_or_a_folder(cls, given: object) -> object:
        words = {True: "on", False: None, "off": None}  # YAML reads on and off as truth values
        return words[given] if isinstance(given, bool | str) and given in words else given

    @field_validator("embed_windows", mode="before")
    @classmethod
    def _on_or_off(cls, given: object) -> object:
        return {True: "on", False: "off"}[given] if isinstance(given, bool) else given

    @field_validator("prefix")
    @classmethod
    def _known_prefix(cls, prefix: str) -> str:
        if prefix not in PREFIXES:
            raise ValueError(f"no prefix '{prefix}'; {nearest(prefix, PREFIXES)}")
        return prefix


def make_request(profile: str, given: Mapping[str, Any], environ: Mapping[str, str] | None = None) -> Request:
    """Lay what the user gave over a profile's defaults.

    Args:
        profile: One of `PROFILES`.
        given: Option values by field; None means not given.
        environ: Environment variables, for `DATA_VARIABLE`; None for none.

    Raises:
        UserError: An unknown profile, field or value: which option, and what would be right.
    """
    values = {**profile_defaults(profile), **{name: value for name, value in given.items() if value is not None}}
    if "size" not in given or given["size"] is None:
        values["size"] = DEFAULT_SIZES.get(values["dataset"], "all")
    values = {**default_reader(values, environ or {}), **values}
    _check_together(values)
    values.setdefault("answer_style", "bridge" if values["model"] in SHIPPED_MODELS else "direct")
    try:
        return Request(**values)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        option = option_name(str(first["loc"][0]) if first["loc"] else "")
        what, _, remedy = _in_words(first["type"], first["msg"]).partition("; ")
        raise UserError(
            f"{what} (given: {first['input']!r})",
            where=option,
            remedy=remedy or f"see rmtbench run --help for what {option} takes",
        ) from error


def default_reader(values: Mapping[str, Any], environ: Mapping[str, str]) -> Mapping[str, str]:
    """Return the model, and adapter, that read some data if the user and the profile name none.

    Args:
        values: A profile's defaults and what was given: `dataset`, and where there are any `model`, `data_dir` and
            `generated`.
        environ: Environment variables, for `DATA_VARIABLE`.
    """
    if "model" in values:
        return {}
    files = values.get("data_dir") is not None or bool(environ.get(DATA_VARIABLE))
    real = values["dataset"] not in GENERATED or files or not values.get("generated", False)
    return READERS["real" if real else "generated"]


def option_name(field: str) -> str:
    """A field of a request as a person writes it, such as ``--top-k`` or ``--set deadline``."""
    name = {"systems": "system"}.get(field, field).replace("_", "-")
    return f"--set {name}" if field in RARE else f"--{name}"


def _check_together(values: Mapping[str, Any]) -> None:
    """Refuse options that contradict each other, or that mean nothing without another."""
    if "top_tokens" in values and "top_k" in values:
        raise UserError(
            "chunks are chosen by number or by tokens, not by both", where="--top-tokens", remedy="leave --top-k out"
        )
    if "recompute" in values and values.get("prefix") != "composed":
        raise UserError(
            "an exact cache has nothing to read again",
            where="--set recompute",
            remedy="give --prefix composed, or leave it out",
        )
    if "kv_bits" in values and values.get("prefix") == "plain":
        raise UserError("the plain prefix holds exact numbers", where="--set kv-bits", remedy="leave one of both out")
    if values.get("kv_place") == "host" and ("kv_bits" in values or values.get("prefix") == "plain"):
        raise UserError(
            "only the exact shared or composed prefix is kept in the host's memory",
            where="--set kv-place",
            remedy="leave it out, or --set kv-bits and --prefix plain",
        )
    if values.get("sparse_backend") == "llama-index":
        for name in ("stemming", "stop_words", "index"):
            if name in values:
                raise UserError(
                    "LlamaIndex's BM25Retriever has words of its own and is kept in memory",
                    where=f"--{name.replace('_', '-')}",
                    remedy="leave it out, or leave --set sparse-backend out",
                )
    if "qdrant" in values and "index" in values:
        raise UserError(
            "embeddings are kept in files or by Qdrant, not by both", where="--set qdrant", remedy="leave --index out"
        )
    needs = (
        ("candidates", "reranker"),
        ("dense_index", "index"),
        ("chunk_cache_limit", "chunk_cache"),
        ("cache_limit", "kv_cache"),
    )
    for name, needed in needs:
        if name in values and not values.get(needed):
            other = option_name(needed)
            raise UserError(
                f"means nothing without {other}", where=option_name(name), remedy=f"give {other}, or leave it out"
            )


def rare_settings(words: Sequence[str]) -> dict[str, str]:
    """The fields that ``--set NAME=VALUE`` gives.

    Raises:
        UserError: A word is not of that form, or there is no such name.
    """
    settings = {}
    for word in words:
        name, given, value = word.partition("=")
        name = name.strip().replace("-", "_")
        if name not in RARE or not given:
            # The value is not repeated: a URL may hold a password.
            known = [rare.replace("_", "-") for rare in RARE]
            what = f"no rare setting '{name}'" if name not in RARE else f"{name} is given no value"
            raise UserError(what, where="--set", remedy=nearest(name.replace("_", "-"), known))
        settings[name] = value.strip()
    return settings


def profile_defaults(profile: str) -> Mapping[str, Any]:
    """The defaults that a profile stands for.

    Raises:
        UserError: There is no such profile.
    """
    if profile not in PROFILES:
        raise UserError(f"no profile '{profile}'", where="--profile", remedy=nearest(profile, PROFILES))
    return PROFILES[profile]


def _in_words(kind: str, message: str) -> str:
    """What pydantic found, for someone who does not know it."""
    if kind == "too_short":
        return "names nothing"
    if kind == "int_parsing":
        return "must be a whole number"
    return (
        message.removeprefix("Value error, ")
        .replace("Input should", "must")
        .replace("greater than or equal to", "at least")
    )

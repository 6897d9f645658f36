"""The door: what a user may ask for, checked before anything is loaded. Inside, only frozen specs pass."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError, ValidationInfo, field_validator

from rmtbench.core import AnswerStyle
from rmtbench.errors import UserError, nearest

SIZES = {"smoke": "about 1k tokens", "small": "21k", "medium": "32-43k", "large": "50-85k", "all": "own documents"}

PROFILES: Mapping[str, Mapping[str, Any]] = {
    "mini": {"model": "mini", "dataset": "hotpotqa", "scorer": "minilm", "generated": True},
    "paper": {"model": "meta-llama/Llama-3.1-8B-Instruct", "dataset": "hotpotqa", "scorer": "roberta-large"},
}
"""A profile is a set of defaults and nothing else."""

DRAWN = ("squad", "hotpotqa", "triviaqa")
"""Data sets that come in sizes; of a user's own folder all is read where no size is named."""

SHIPPED_MODELS = ("mini", "mini-short")
"""Models that come with the package. They answer by the `bridge` style alone, which is therefore their default."""

Positive = Annotated[int, Field(ge=1)]


class Request(BaseModel):
    """One command's worth of runs: every system in every setting over one dataset and size."""

    model_config = ConfigDict(extra="forbid", frozen=True, protected_namespaces=())

    systems: Annotated[tuple[str, ...], Field(min_length=1)]
    dataset: str
    size: str = "small"
    model: str
    tokenizer: str | None = None
    data_dir: Path | None = None
    generated: bool = False  # data sets of which no files are named are the miniature's, not the hub's
    top_k: Annotated[tuple[Positive, ...], Field(min_length=1)] = (1, 3, 5, 10)
    embedder: str = "minilm"
    scorer: str = "minilm"
    answer_style: AnswerStyle = "direct"
    max_answer_tokens: Positive = 64
    batch: Positive = 1
    chunk_tokens: Positive = 512
    chunk_overlap: Annotated[int, Field(ge=0)] = 0
    rmt: Path | None = None  # else the trained memory that is shipped for the model
    rmt_chunk_tokens: Positive = 5000  # as MemAgent has it, and the next too
    rmt_memory_tokens: Positive = 1024
    seed: Annotated[int, Field(ge=0)] = 0
    draws: Positive = 1
    questions: Positive | None = None
    dtype: str = "auto"
    device: str = "auto"

    @field_validator("chunk_overlap")
    @classmethod
    def _below_chunk(cls, overlap: int, info: ValidationInfo) -> int:
        if overlap >= info.data.get("chunk_tokens", overlap + 1):
            raise ValueError("must be smaller than a chunk; choose fewer tokens than --chunk-tokens")
        return overlap

    @field_validator("size")
    @classmethod
    def _known_size(cls, size: str) -> str:
        if size not in SIZES:
            raise ValueError(f"no size '{size}'; {nearest(size, SIZES)}")
        return size


def make_request(profile: str, given: Mapping[str, Any]) -> Request:
    """Lay what the user gave over a profile's defaults.

    Args:
        profile: One of `PROFILES`.
        given: Option values by field; None means not given.

    Raises:
        UserError: An unknown profile, field or value: which option, and what would be right.
    """
    values = {**profile_defaults(profile), **{name: value for name, value in given.items() if value is not None}}
    if "size" not in given or given["size"] is None:
        values["size"] = "small" if values["dataset"] in DRAWN else "all"
    values.setdefault("answer_style", "bridge" if values["model"] in SHIPPED_MODELS else "direct")
    try:
        return Request(**values)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        option = str(first["loc"][0]).replace("_", "-") if first["loc"] else ""
        option = {"systems": "system"}.get(option, option)
        what, _, remedy = _in_words(first["type"], first["msg"]).partition("; ")
        raise UserError(
            f"{what} (given: {first['input']!r})",
            where=f"--{option}",
            remedy=remedy or f"see rmtbench run --help for what --{option} takes",
        ) from error


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

"""The door: what a user may ask for, checked before anything is loaded. Inside, only frozen specs pass."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from rmtbench.core import SHIPPED_MODELS
from rmtbench.corpora.open import DATA_VARIABLE
from rmtbench.corpora.registry import known_datasets
from rmtbench.errors import UserError, nearest
from rmtbench.measure import parse_bytes
from rmtbench.options import flag
from rmtbench.options.check import checked
from rmtbench.options.request import Request as Request  # noqa: PLC0414 - what the door lets in
from rmtbench.options.request import all_options
from rmtbench.options.rules import check_chunks, check_together

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
        kind = known_datasets().get(values["dataset"])
        values["size"] = "all" if kind is None else kind.default_size  # all of a user's own folder
    values = {**default_reader(values, environ or {}), **values}
    check_together(values)
    values.setdefault("answer_style", "bridge" if values["model"] in SHIPPED_MODELS else "direct")
    request = checked(values)
    check_chunks(request)
    parse_bytes(request.cache_limit, flag.cache_limit)
    parse_bytes(request.chunk_cache_limit, flag.chunk_cache_limit)
    return request


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
    kind = known_datasets().get(values["dataset"])
    if kind is None:
        return READERS["real"]
    miniature = kind.miniature and not files and values.get("generated", False)
    return READERS["generated" if miniature else kind.reader]


def rare_options(words: Sequence[str]) -> dict[str, str]:
    """Return the fields that ``--set NAME=VALUE`` gives.

    Raises:
        UserError: A word is not of that form, or there is no such name.
    """
    rare = {field: option for field, option in all_options().items() if option.rare}
    settings = {}
    for word in words:
        name, given, value = word.partition("=")
        name = name.strip().replace("-", "_")
        # A value is not repeated: a URL may hold a password.
        if name not in rare:
            known = [each.replace("_", "-") for each in rare]
            raise UserError(f"no rare option '{name}'", where="--set", remedy=nearest(name.replace("_", "-"), known))
        if not given:
            option = rare[name]
            raise UserError("is given no value", where=option.flag, remedy=f"give {option.flag}=VALUE: {option.help}")
        settings[name] = value.strip()
    return settings


def profile_defaults(profile: str) -> Mapping[str, Any]:
    """The defaults that a profile stands for.

    Raises:
        UserError: There is no such profile.
    """
    if profile not in PROFILES:
        raise UserError(f"no profile '{profile}'", where=flag.profile, remedy=nearest(profile, PROFILES))
    return PROFILES[profile]

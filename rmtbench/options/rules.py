"""Which options go together, and with which systems, models and machines. All such rules are here or on the fields.

The fields state what holds for a single option (`Option.needs`, `heeded`, `place`, `not_served`); this file says what
these words mean, and holds the rules between several options.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from collections.abc import Set as AbstractSet
from typing import Any, Protocol

from rmtbench.errors import UserError
from rmtbench.options import flag
from rmtbench.options.declare import Heeded, Option, Place
from rmtbench.options.request import Request, all_options


class Kind(Protocol):
    """What the rules ask of a system."""

    @property
    def name(self) -> str:
        """As in `--system`."""
        ...

    @property
    def needs(self) -> AbstractSet[str]:
        """What it needs, as `rmtbench.systems.base.NEEDS` names it."""
        ...

    @property
    def memory(self) -> str | None:
        """How it reads with a trained memory, if it does."""
        ...


HEEDED: Mapping[Heeded, AbstractSet[str]] = {
    "retrieves": {"chunks"},
    "counts words": {"words"},
    "embeds": {"embedder"},
    "keeps a cache": {"prefix-cache"},
    "keeps a memory": {"memory"},
    "reads with a memory": {"memory", "query-first-memory"},
    "writes notes": {"notes"},
}
"""What a system that uses an option needs: one of these."""

UNHEEDED = {"kv_cache": "no system here has a cache to keep"}
"""What is said of an option that no system uses, if not the usual."""

PLACES: Mapping[Place, tuple[str, str]] = {
    "a server": ("means nothing where model and embedder are on this machine", f"give {flag.model} openai:NAME"),
    "a served model": ("means nothing for a model on this machine", f"give {flag.model} openai:NAME"),
    "a served embedder": ("means nothing where no server embeds", f"give {flag.embedder} openai:NAME"),
    "a local model": ("means nothing for a model behind a server", "give a model on this machine"),
    "this machine": ("means nothing where servers compute all", "give a model on this machine"),
}
"""What is wrong with an option where there is no such place, and what would give it one."""

INSTEAD = {"concurrency": f"use {flag.batch}", "batch": f"use {flag.concurrency}"}
"""Options that do the same in the other place."""


def is_used(option: Option, kind: Kind, *, served: bool) -> bool:
    """Whether a system uses an option, with a model behind a server or a local one."""
    return _heeds(kind, option) and (served or option.place != "a served model")


def check_together(values: Mapping[str, Any]) -> None:
    """Refuse options that contradict each other, or that mean nothing without another.

    Args:
        values: By field, as they were given.

    Raises:
        UserError: The first such option.
    """
    for contradicts, field, what, remedy in _CONTRADICTIONS:
        if contradicts(values):
            raise UserError(what, where=all_options()[field].flag, remedy=remedy)
    if values.get("sparse_backend") == "llama-index":
        for field in ("stemming", "stop_words", "index"):
            if field in values:
                what = "LlamaIndex's BM25Retriever has words of its own and is kept in memory"
                remedy = f"leave it out, or leave {flag.sparse_backend} out"
                raise UserError(what, where=all_options()[field].flag, remedy=remedy)
    for field, option in all_options().items():
        if option.needs and field in values and not values.get(option.needs):
            other = all_options()[option.needs].flag
            raise UserError(
                f"means nothing without {other}", where=option.flag, remedy=f"give {other}, or leave it out"
            )


_CONTRADICTIONS: Sequence[tuple[Callable[[Mapping[str, Any]], bool], str, str, str]] = (
    (
        lambda given: "top_tokens" in given and "top_k" in given,
        "top_tokens",
        "chunks are chosen by number or by tokens, not by both",
        f"leave {flag.top_k} out",
    ),
    (
        lambda given: "recompute" in given and given.get("cache_layout") != "composed",
        "recompute",
        "an exact cache has nothing to read again",
        f"give {flag.cache_layout} composed, or leave it out",
    ),
    (
        lambda given: "kv_bits" in given and given.get("cache_layout") == "plain",
        "kv_bits",
        "the plain layout holds exact numbers",
        "leave one of both out",
    ),
    (
        lambda given: "prune" in given and "keep" not in given,
        "prune",
        "it needs the share of tokens to keep",
        f"give such as {flag.keep}=0.2, too",
    ),
    (
        lambda given: "prune" in given and given.get("cache_layout", "shared") != "shared",
        "prune",
        "only a cache in the shared layout is pruned",
        f"leave {flag.cache_layout} out",
    ),
    (
        lambda given: (
            given.get("kv_place") == "host"
            and ("kv_bits" in given or "prune" in given or given.get("cache_layout") == "plain")
        ),
        "kv_place",
        "only an exact cache in the shared or composed layout is kept in the host's memory",
        f"leave it out, or {flag.kv_bits}, {flag.prune} and {flag.cache_layout} plain",
    ),
    (
        lambda given: "qdrant" in given and "index" in given,
        "qdrant",
        "embeddings are kept in files or by Qdrant, not by both",
        f"leave {flag.index} out",
    ),
)
"""When options contradict each other, which one is named, and with what words."""


def check_chunks(request: Request) -> None:
    """Refuse an overlap or a budget that does not go with the length of a chunk.

    Raises:
        UserError: The overlap is as long as a chunk, or the budget shorter.
    """
    tokens, overlap, budget = request.chunk_tokens, request.chunk_overlap, request.top_tokens
    if overlap >= tokens:
        what, remedy = "must be smaller than a chunk", f"choose fewer tokens than {flag.chunk_tokens}"
        raise UserError(f"{what} (given: {overlap})", where=flag.chunk_overlap, remedy=remedy)
    if budget is not None and budget < tokens:
        what, remedy = "leaves no room for a chunk", f"choose at least as many tokens as {flag.chunk_tokens}"
        raise UserError(f"{what} (given: {budget})", where=flag.top_tokens, remedy=remedy)


def check_places(
    given: frozenset[str], *, served: bool, embedded: bool, computes_here: bool, judged: bool = False
) -> None:
    """Refuse every option that was given and has no effect where model, embedder and judge are.

    Args:
        given: Fields of a request.
        served: Whether the model is behind a server.
        embedded: Whether an embedder behind a server is used.
        computes_here: Whether anything runs on a device of this machine.
        judged: Whether a judge behind a server is used.

    Raises:
        UserError: The first such option.
    """
    there = {
        "a server": served or embedded or judged,
        "a served model": served,
        "a served embedder": embedded,
        "a local model": not served,
        "this machine": computes_here,
    }
    for field, option in all_options().items():
        if option.place and field in given and not there[option.place]:
            what, remedy = PLACES[option.place]
            raise UserError(what, where=option.flag, remedy=f"leave it out, or {INSTEAD.get(field, remedy)}")


def _heeds(kind: Kind, option: Option) -> bool:
    return not option.heeded or not HEEDED[option.heeded].isdisjoint(kind.needs)


def check_heeded(request: Request, kinds: Sequence[Kind], known: Iterable[Kind]) -> None:
    """Refuse an option that none of the systems uses.

    Args:
        request: What was asked.
        kinds: The request's systems.
        known: Systems that the user may name instead, the simplest first.

    Raises:
        UserError: The first such option, and a system that uses it.
    """
    for field, option in all_options().items():
        if not any(_heeds(kind, option) for kind in kinds) and getattr(request, field) != option.default:
            what = UNHEEDED.get(field, "no system here has use for it")
            example = next((f", or name {kind.name}" for kind in known if _heeds(kind, option)), "")
            raise UserError(what, where=option.flag, remedy=f"leave it out{example}")


def check_server(request: Request, kind: Kind) -> None:
    """Refuse what a model behind a server cannot do for a system.

    Raises:
        UserError: The system needs the model's weights, or an option needs a local model.
    """
    if kind.memory is not None:
        raise UserError(
            "a recurrent memory needs the model's weights, and a server gives none",
            where=f"{flag.systems} {kind.name} with {flag.model} {request.model}",
            remedy="use rmt-text, which needs texts alone, or a local model",
        )
    for field, option in all_options().items():
        value = getattr(request, field)
        if option.not_served and _heeds(kind, option) and value != option.default:
            where = f"{option.flag} {value}" if field == "cache_layout" else option.flag
            raise UserError(option.not_served, where=where, remedy="leave it out")


def check_device(request: Request, device: str) -> None:
    """Refuse what the device cannot do.

    Args:
        request: What was asked.
        device: The device, chosen.

    Raises:
        UserError: A cache in the host's memory, and the device is no GPU.
    """
    if request.kv_place == "host" and not device.startswith("cuda"):
        remedy = f"leave it out, or give {flag.device} cuda"
        raise UserError(f"it needs a GPU, and the device is '{device}'", where=f"{flag.kv_place}=host", remedy=remedy)

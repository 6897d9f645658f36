"""From a request to the specs of its runs: which systems, in which settings, over which data."""

from __future__ import annotations

from collections.abc import Sequence

from rmtbench.core import RunSpec, Source
from rmtbench.errors import UserError
from rmtbench.runs.memories import memory_folder, memory_label
from rmtbench.spec import Request
from rmtbench.systems.base import SystemKind
from rmtbench.systems.registry import find_system, system_names


def plan_runs(request: Request, source: Source, *, device: str, dtype: str) -> list[RunSpec]:
    """One spec for every system, and for every top-k of a system that takes one.

    Args:
        request: What the user asked.
        source: The opened data, for its name and hash.
        device: The device, chosen.
        dtype: The dtype, chosen.

    Raises:
        UserError: A system does not exist, or the trained memory that it needs.
    """
    specs = []
    for name in _names(request):
        kind = find_system(name)
        top_ks: Sequence[int | None] = sorted(set(request.top_k)) if kind.takes_top_k else [None]
        specs += [
            RunSpec(
                system=name,
                dataset=request.dataset,
                size=request.size,
                model=request.model,
                data=f"{source.kind}:{source.name}@{source.sha256[:16]}",
                tokenizer=request.tokenizer,
                top_k=top_k,
                embedder=request.embedder if kind.needs_embedder else None,
                answer_style=request.answer_style,
                max_answer_tokens=request.max_answer_tokens,
                batch=request.batch,
                # Chunking is part of a spec only where there is any: it would make two runs of one.
                chunk_tokens=request.chunk_tokens if kind.takes_top_k else RunSpec.chunk_tokens,
                chunk_overlap=request.chunk_overlap if kind.takes_top_k else RunSpec.chunk_overlap,
                seed=request.seed,
                draws=request.draws,
                questions=request.questions,
                dtype=dtype,
                device=device,
                settings=_settings(kind, request),
            )
            for top_k in top_ks
        ]
    return specs


def left_out_of_all(request: Request) -> list[str]:
    """Systems that ``all`` does not mean in this request: they must be named, or lack a trained memory."""
    kinds = [find_system(name) for name in system_names()]
    return [
        kind.name
        for kind in kinds
        if not kind.in_all or (kind.memory and memory_folder(request.rmt, request.model, kind.memory) is None)
    ]


def _names(request: Request) -> list[str]:
    left_out = left_out_of_all(request) if "all" in request.systems else []
    everything = [name for name in system_names() if name not in left_out]
    wanted = [name for given in request.systems for name in (everything if given == "all" else [given])]
    return list(dict.fromkeys(wanted))


def _settings(kind: SystemKind, request: Request) -> tuple[tuple[str, str], ...]:
    """What only some systems have, by name, in order."""
    settings = {}
    if kind.memory is not None:
        folder = memory_folder(request.rmt, request.model, kind.memory)
        if folder is None:
            raise UserError(
                f"no trained memory for '{request.model}'",
                where=f"--system {kind.name}",
                remedy="train one with `rmtbench train rmt`, and name its folder with --rmt",
            )
        settings["memory"] = memory_label(folder)
    if kind.writes_notes:
        settings["chunk_tokens"] = str(request.rmt_chunk_tokens)
        settings["memory_tokens"] = str(request.rmt_memory_tokens)
    return tuple(sorted(settings.items()))

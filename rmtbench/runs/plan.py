"""From a request to the specs of its runs: which systems, in which settings, over which data."""

from __future__ import annotations

from collections.abc import Sequence

from rmtbench.core import RunSpec, Source
from rmtbench.spec import Request
from rmtbench.systems.registry import find_system, system_names


def plan_runs(request: Request, source: Source, *, device: str, dtype: str) -> list[RunSpec]:
    """One spec for every system, and for every top-k of a system that takes one.

    Args:
        request: What the user asked.
        source: The opened data, for its name and hash.
        device: The device, chosen.
        dtype: The dtype, chosen.

    Raises:
        UserError: A system does not exist.
    """
    specs = []
    for name in _names(request.systems):
        kind = find_system(name)
        settings: Sequence[int | None] = sorted(set(request.top_k)) if kind.takes_top_k else [None]
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
            )
            for top_k in settings
        ]
    return specs


def _names(systems: Sequence[str]) -> list[str]:
    wanted = [name for given in systems for name in (system_names() if given == "all" else [given])]
    return list(dict.fromkeys(wanted))

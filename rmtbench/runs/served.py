"""Check, before anything is read, that the model is exact in every way in which the runs will read it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from rmtbench.core import RunSpec
from rmtbench.errors import UserError
from rmtbench.options import flag
from rmtbench.systems.registry import find_system

if TYPE_CHECKING:
    from rmtbench.models.local import LocalModel


def check_served(model: LocalModel, specs: Sequence[RunSpec], folder: Path) -> LocalModel:
    """Try a model in the ways in which runs will read it, and refuse a way that is not exact.

    Args:
        model: The model.
        specs: The runs.
        folder: Where verdicts are kept.

    Returns:
        The model with the ways that were tried and are inexact. A system that has a choice uses another way.

    Raises:
        UserError: No way of a system is exact. The remedy names a way that is.
    """
    from rmtbench.kvcache.exact.verdict import verdicts

    inexact: dict[str, str] = {}
    for spec in specs:
        choices = _ways(model, spec)
        for ways in choices:
            found = {way: why for way, why in verdicts(model, ways, folder).items() if why}
            inexact |= found
            if not found:
                break
        else:
            raise _refused(model, spec, choices[0], inexact, folder)
    return replace(model, inexact=inexact)


def _ways(model: LocalModel, spec: RunSpec) -> list[list[str]]:
    """Return the choices of a run, each a list of ways that it uses together. The run takes the first exact choice.

    Raises:
        UserError: A way is not exact for this architecture.
    """
    from rmtbench.kvcache.exact.trial import EMBEDDED, OWN, OWN_BATCH, PLAIN, PLAIN_BATCH, SHARED, SHARED_BATCH
    from rmtbench.kvcache.exact.uncached import prefix_for
    from rmtbench.models.architecture import check_batch, check_shared_prefix

    kind, options, many = find_system(spec.system), spec.options, spec.batch > 1
    if "prefix-cache" in kind.needs:
        if options.cache_layout == "plain":
            check_batch(model.model, spec.batch)
            return [[PLAIN, PLAIN_BATCH] if many else [PLAIN]]
        check_shared_prefix(model.model)
        return _with_steps(model, [SHARED, SHARED_BATCH] if many else [SHARED], graphs=options.cuda_graphs == "on")
    if "whole-corpus" in kind.needs:
        return [[PLAIN]] if prefix_for(model)[0] == "plain" else [*_with_steps(model, [SHARED]), [PLAIN]]
    if options.chunk_cache is not None:
        return _with_steps(model, [SHARED])
    check_batch(model.model, spec.batch)
    own = [OWN, OWN_BATCH] if many else [OWN]
    return [[*own, EMBEDDED] if kind.memory is not None else own]


def _with_steps(model: LocalModel, ways: list[str], *, graphs: bool = False) -> list[list[str]]:
    """Return the choices of decode steps over a shared prefix, the fastest first; on the CPU there is one."""
    from rmtbench.kvcache.exact.static_places import GRAPHS, STATIC

    if not model.device.startswith("cuda"):
        return [ways]
    return [*([[*ways, STATIC, GRAPHS]] if graphs else []), [*ways, STATIC], ways]


def _refused(model: LocalModel, spec: RunSpec, ways: Sequence[str], inexact: dict[str, str], folder: Path) -> UserError:
    """Return the error. Its remedy was tried before."""
    from rmtbench.kvcache.exact.trial import OWN, PLAIN, SHARED
    from rmtbench.kvcache.exact.verdict import verdicts

    way = next(way for way in ways if way in inexact)
    batch = [single for single in (OWN, PLAIN, SHARED) if way.startswith(single) and way != single]
    if batch and not inexact.get(batch[0]):
        remedy = f"use {flag.batch} 1 with this model"
    elif way.startswith(SHARED) and not verdicts(model, [PLAIN], folder)[PLAIN]:
        remedy = f"leave {flag.chunk_cache} out" if spec.options.chunk_cache else f"use {flag.cache_layout} plain"
        remedy = f"{remedy} with this model"
    else:
        remedy = "choose another model, or leave this system out"
    return UserError(
        f"{type(model.model).__name__} is not read exactly ({way}: {inexact[way]})",
        where=f"{flag.systems} {spec.system}",
        remedy=remedy,
    )

"""Which runs answered from keys and values that the model would not have computed, and which run is the exact one."""

from __future__ import annotations

from rmtbench.core import RunSpec

INEXACT = ("chunk_cache", "keep", "kv_bits", "prune", "recompute")
"""Settings by which a cache is not exact, whatever their value; and of `prefix`, the value below."""

COMPOSED = ("prefix", "composed")


def exact_settings(spec: RunSpec) -> tuple[tuple[str, str], ...]:
    """The settings of the run that differs in nothing but an exact cache."""
    return tuple(pair for pair in spec.settings if pair[0] not in INEXACT and pair != COMPOSED)


def is_exact(spec: RunSpec) -> bool:
    """Whether the run's cache, if it has one, holds what the model computes of the whole prompt."""
    return exact_settings(spec) == spec.settings

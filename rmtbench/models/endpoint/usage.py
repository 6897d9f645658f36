"""The token counts in a server's `usage`. Servers use different names for one count, and leave counts out.

A count that is missing is None, never 0: the server does not say.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

PROMPT = ("prompt_tokens", "input_tokens")
OUTPUT = ("completion_tokens", "output_tokens")
CACHED = ("prompt_cache_hit_tokens", "cache_read_input_tokens", "cached_tokens", "num_cached_tokens")
"""Names of the cached tokens outside the details: DeepSeek's, Anthropic's, Moonshot's and others'."""
PROMPT_DETAILS = ("prompt_tokens_details", "input_tokens_details")
OUTPUT_DETAILS = ("completion_tokens_details", "output_tokens_details")


@dataclass(frozen=True, slots=True)
class Usage:
    """Tokens of one reply by the server's count; None where it does not say.

    Attributes:
        prompt: Read, those from the server's cache included.
        cached: Of these, how many came from its cache.
        output: Written, reasoning included.
        reasoning: Of these, how many were reasoning.
    """

    prompt: int | None = None
    cached: int | None = None
    output: int | None = None
    reasoning: int | None = None


def read_usage(usage: Mapping[str, Any]) -> Usage:
    """Read the counts of a reply.

    A prompt count of 0 is no count, because no prompt is empty; beside it, neither is 0 written. Some proxies send 0
    under each name that they know, so of two names for one count the larger one holds. Where more tokens are cached
    than read, or the total holds those cached beside those read, the server counts the two apart, and the cached ones
    are added to the prompt. What the total has beyond both counts was written as reasoning: xAI and Google do not count
    it as output, and it is paid for.

    Args:
        usage: The ``usage`` object of a reply; may be empty.

    Raises:
        TypeError: A count is not a whole number from 0.
    """
    prompt, output, total = _most(PROMPT, usage) or None, _most(OUTPUT, usage), _most(("total_tokens",), usage)
    if prompt is None:
        output = output or None
    within = _most(("cached_tokens",), *_details(usage, PROMPT_DETAILS))
    cached = _most(CACHED, usage, {} if within is None else {"cached_tokens": within})
    reasoning = _most(("reasoning_tokens",), *_details(usage, OUTPUT_DETAILS))
    beyond = 0 if prompt is None or total is None else total - prompt - (output or 0)
    if prompt is not None and cached and (cached > prompt or (not within and beyond == cached)):
        prompt += cached
    elif beyond > 0 and (within is not None or not cached) and (output is None or reasoning in (None, 0, beyond)):
        output, reasoning = (output or 0) + beyond, reasoning if output is None else beyond
    return Usage(prompt, cached, output, reasoning)


def _details(usage: Mapping[str, Any], names: Sequence[str]) -> list[Mapping[str, Any]]:
    return [usage[name] for name in names if isinstance(usage.get(name), Mapping)]


def _most(names: Sequence[str], *places: Mapping[str, Any]) -> int | None:
    """The largest count of these names in these places; None where there is none."""
    found = [(name, place[name]) for place in places for name in names if place.get(name) is not None]
    for name, value in found:
        if not isinstance(value, int) or isinstance(value, bool) or value < 0:
            raise TypeError(f"{name} is no count")
    return max((value for _, value in found), default=None)

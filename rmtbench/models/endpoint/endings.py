"""What a server's word for the end of an answer means. The words are an open list: an unknown one is a normal end."""

from __future__ import annotations

from rmtbench.core import Finish
from rmtbench.errors import AnswerError
from rmtbench.models.endpoint.faults import TransientError

BY_CAP = frozenset(
    {"length", "max_tokens", "max_length", "max_output_tokens", "model_length", "model_context_window_exceeded"}
)
"""The answer reached the cap of tokens, or the end of the model's context."""
INTERRUPTED = frozenset(
    {"abort", "aborted", "cancelled", "error", "insufficient_system_resource", "network_error", "timeout"}
)
"""The server gave up: the same request can be made again."""
WITHHELD = frozenset(
    {
        "blocklist", "content_filter", "content_filtered", "function_call", "guardrail_intervened",
        "prohibited_content", "recitation", "refusal", "safety", "sensitive", "spii", "tool_calls", "tool_use",
    }
)  # fmt: skip
"""What was written is no answer: a filter or a refusal ended it, or a call of a function that nobody offered."""


def ended_by_cap(reason: str | None) -> bool:
    """Whether a reason means that the cap of tokens was reached."""
    return (reason or "").lower() in BY_CAP


def check_not_interrupted(reason: str | None) -> None:
    """Refuse an answer that the server gave up.

    Raises:
        TransientError: Asking again is right.
    """
    if (reason or "").lower() in INTERRUPTED:
        raise TransientError(f"the server ended the answer with '{reason}'")


def finish_of(reason: str | None) -> Finish:
    """Why a whole answer ended, in our words.

    Args:
        reason: In the server's word; empty or None where it gave none.

    Raises:
        AnswerError: What was written is no answer.
    """
    if (reason or "").lower() in WITHHELD:
        raise AnswerError(f"the server ended the answer for another reason: {reason}")
    return "length" if ended_by_cap(reason) else "eos"

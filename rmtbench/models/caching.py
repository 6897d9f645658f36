"""The seam of models that can hold one context ready for many questions, here or on a server."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Protocol

from rmtbench.measure import Timed
from rmtbench.models.base import HeldPrefix, Passage

if TYPE_CHECKING:
    from rmtbench.models.local import HoldHere


class PrefixCaching(Protocol):
    """A model that can hold a context ready for questions."""

    def hold_context(self, passages: Sequence[Passage], hold_here: HoldHere, /) -> Timed[HeldPrefix]:
        """Read a context once.

        Args:
            passages: The context.
            hold_here: Called by a model whose weights are on this machine. A served model does not call it: its
                server reads the context and holds it in its own cache.

        Raises:
            ContextTooLongError: The context does not fit the model.
            AnswerError: The server gives no reply.
        """
        ...

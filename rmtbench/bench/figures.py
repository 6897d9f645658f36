"""What a bench returns: frozen figures that become one JSON object."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any


@dataclass(frozen=True, slots=True, kw_only=True)
class Figures:
    """Base of every bench's result.

    Attributes:
        made_by: Machine, versions and threads, and the model where there is one.
    """

    made_by: Mapping[str, Any]

    def to_json(self) -> dict[str, Any]:
        """Return the fields as JSON values, those of `made_by` beside them at the end."""
        fields = asdict(self)
        made_by = fields.pop("made_by")
        return {**fields, **made_by}

"""Options of what does the draws: this process, several on this machine, or the workers of a Ray cluster."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal

from rmtbench.errors import UserError
from rmtbench.options.declare import option


@dataclass(frozen=True, kw_only=True)
class Engine:
    """What does the draws. They belong to the command: an experiment's file has none of them."""

    TITLE: ClassVar[str] = "Engine"

    engine: Literal["local", "ray"] = option(
        "local", "What does the draws: local (this machine) or ray (a cluster; pip install 'rmtbench[ray]')."
    )
    workers: int | None = option(
        None, "Processes that share the draws.", at_least=1, shown="1; with ray as many as there is room for"
    )
    cpus: float | None = option(
        None, "CPUs of each Ray worker, and its threads.", rare=True, above=0, shown="its share of the node's"
    )
    gpus: float | None = option(
        None, "GPUs of each Ray worker.", rare=True, at_least=0, shown="1 with --device cuda, else 0"
    )


def is_shared(asked: Engine) -> bool:
    """Whether several processes of this machine share the draws."""
    return asked.engine == "local" and (asked.workers or 1) > 1


def check_engine(asked: Engine) -> None:
    """Refuse shares of a cluster where there is none.

    Raises:
        UserError: CPUs or GPUs of a Ray worker were given, and the engine is another one.
    """
    if asked.engine == "ray":
        return
    for name in ("cpus", "gpus"):
        if getattr(asked, name) is not None:
            what = "means nothing without --engine ray"
            raise UserError(what, where=f"--set {name}", remedy="give --engine ray, or leave it out")

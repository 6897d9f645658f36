"""Train the mini model, from the repository's root: ``python -m experiments.training --out DIR``.

An interrupted training resumes with the same command.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from rmtbench.cli.train import train_and_tell
from rmtbench.errors import UserError


def lm(
    out: Annotated[Path, typer.Option(help="Folder for checkpoint, log, snapshots and model.")],
    recipe: Annotated[str, typer.Option(help="Name of the recipe.")] = "mini",
    threads: Annotated[int | None, typer.Option(min=1, help="CPU threads (default: torch's own choice).")] = None,
    device: Annotated[str, typer.Option(help="auto, cpu, cuda.")] = "auto",
) -> None:
    """Train the small language model."""
    import torch

    from experiments.training.mini_lm import make

    if threads is not None:
        torch.set_num_threads(threads)
    train_and_tell(*make(recipe, device), out)


def main() -> None:
    """Run the command; exit with 2 and two lines on stderr where its input is wrong."""
    try:
        typer.run(lm)
    except UserError as error:
        typer.echo(f"error: {error.where}: {error.what}\n  {error.remedy}", err=True)
        sys.exit(2)


if __name__ == "__main__":
    main()

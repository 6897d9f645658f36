"""Our recurrent decoder beside the original wrapper: the same weights, ids, segments and memory, in one process.

    git clone https://github.com/booydar/recurrent-memory-transformer ORIGINAL
    python experiments/beside_original_rmt.py OUT.json --original ORIGINAL [--model mini] [--threads 1]

Both read the same rows without gradient; then, not timed, the loss of every token is asked of both. The two take turns,
round by round, so that what else the machine does meets both.
"""

from __future__ import annotations

import argparse
import copy
import importlib
import json
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import torch
    from transformers import PreTrainedModel

    from rmtbench.rmt.decoder import RecurrentDecoder

SETTINGS = ((128, 16), (499, 10))
"""Tokens of a segment, and memory tokens: this suite's own, and those of the paper's experiments."""


def original_wrapper(
    folder: Path, model: PreTrainedModel, segment_tokens: int, memory: torch.Tensor
) -> torch.nn.Module:
    """The original's decoder around a model, with a memory of ours.

    Args:
        folder: A clone of its repository.
        model: A causal language model of its own.
        segment_tokens: Tokens of a segment.
        memory: ``[memory tokens, hidden]``.
    """
    import torch

    sys.path.insert(0, str(folder))
    theirs = importlib.import_module("modeling_rmt.language_modeling")
    cell = theirs.MemoryCell(model, memory.shape[0])
    with torch.no_grad():
        cell.memory.copy_(memory)
    wrapper: torch.nn.Module = theirs.RecurrentWrapper(cell, segment_size=segment_tokens).eval()
    return wrapper


def loss_of(model: RecurrentDecoder, rows: Sequence[Sequence[Sequence[int]]], ids: torch.Tensor) -> float:
    """Mean loss of every token but the first of each row, as the original has it."""
    import torch

    from rmtbench.rmt.walk import walk

    with torch.inference_mode():
        logits = torch.cat([model.logits(step.read.text) for step in walk(model, rows)], dim=1)
        return float(torch.nn.functional.cross_entropy(logits[:, :-1].flatten(0, 1), ids[:, 1:].flatten()))


def measure(arguments: argparse.Namespace, segment_tokens: int, memory_tokens: int) -> dict[str, Any]:
    """One setting: tokens a second of both, and their losses."""
    import torch

    from rmtbench.rmt.bases import load_base
    from rmtbench.rmt.config import RmtConfig
    from rmtbench.rmt.decoder import RecurrentDecoder
    from rmtbench.rmt.walk import read_rows

    base = load_base(arguments.model, "decoder", "cpu")
    twin = copy.deepcopy(base.model)
    config = RmtConfig(
        kind="decoder", segment_tokens=segment_tokens, memory_tokens=memory_tokens, update="overwrite", trained="memory"
    )
    ours = RecurrentDecoder(base.model, config, base.identity).eval()
    theirs = original_wrapper(arguments.original, twin, segment_tokens, ours.memory.tokens.weight)
    torch.manual_seed(0)
    ids = torch.randint(8, base.model.config.vocab_size, (arguments.rows, arguments.segments * segment_tokens))
    rows = [list(row.split(segment_tokens)) for row in ids]
    segments = [[part.tolist() for part in row] for row in rows]

    def read_ours() -> None:
        with torch.inference_mode():
            ours.logits(read_rows(ours, segments)[:, -1])

    def read_theirs() -> None:
        with torch.inference_mode():
            theirs(ids)

    def their_loss() -> float:
        with torch.inference_mode():
            return float(theirs(ids, labels=ids).loss)

    ways: dict[str, Callable[[], object]] = {"rmtbench": read_ours, "original": read_theirs}
    seconds: dict[str, list[float]] = {name: [] for name in ways}
    for number in range(arguments.rounds + 1):
        for name, read in ways.items():
            began = time.perf_counter()
            read()
            if number:  # the first round sets buffers up
                seconds[name].append(time.perf_counter() - began)
    speed = {name: ids.numel() / statistics.median(times) for name, times in seconds.items()}
    return {
        "segment_tokens": segment_tokens,
        "memory_tokens": memory_tokens,
        "rows": arguments.rows,
        "segments": arguments.segments,
        "seconds_a_round": seconds,
        "tokens_per_second": speed,
        "times_the_original": speed["rmtbench"] / speed["original"],
        "loss": {"rmtbench": loss_of(ours, segments, ids), "original": their_loss()},
    }


def main(arguments: argparse.Namespace) -> None:
    """Measure, print and write."""
    import torch
    import typer

    from rmtbench.runs.provenance import surroundings

    torch.set_num_threads(arguments.threads)
    made = [measure(arguments, *setting) for setting in SETTINGS]
    for row in made:
        speed, loss = row["tokens_per_second"], row["loss"]
        typer.echo(
            f"segments of {row['segment_tokens']}, memory {row['memory_tokens']}: {speed['rmtbench']:,.0f} and "
            f"{speed['original']:,.0f} tokens/s, {row['times_the_original']:.2f} times; "
            f"loss {loss['rmtbench']:.6f} and {loss['original']:.6f}"
        )
    asked = ["git", "-C", str(arguments.original), "rev-parse", "HEAD"]
    commit = subprocess.run(asked, capture_output=True, text=True, check=False).stdout.strip()  # noqa: S603 - fixed words
    record = {"settings": made, "model": arguments.model, "original_commit": commit or None, **surroundings("cpu")}
    arguments.out.write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", type=Path)
    parser.add_argument("--original", type=Path, required=True)
    parser.add_argument("--model", default="mini")
    parser.add_argument("--rows", type=int, default=8)
    parser.add_argument("--segments", type=int, default=8)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--threads", type=int, default=1)
    main(parser.parse_args())

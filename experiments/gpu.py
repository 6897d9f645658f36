"""Everything that one GPU can show in ten minutes: `make gpu`, or on the CPU `make gpu DEVICE=cpu GEOMETRY=tiny`.

    python -m experiments.gpu results/gpu --device cuda --geometry llama-3.1-8b

Each step writes one JSON file as soon as it ends. The same command again does the steps that have none. A step that
fails writes its reason and the next one begins. `docs/` says what each step shows.
"""

from __future__ import annotations

import argparse
import json
import platform
import statistics
import subprocess
import sys
import time
import traceback
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from rmtbench.errors import UserError
from rmtbench.files import write_atomically
from rmtbench.measure import free_memory, peak_device_bytes, peak_resident_bytes, reset_peak_memory, synchroniser

if TYPE_CHECKING:
    from rmtbench.kvcache.base import PrefixKV
    from rmtbench.kvcache.exact.static_places import How
    from rmtbench.models.local import LocalModel

ROUNDS = 3
QUESTION_TOKENS, ANSWER_TOKENS = 24, 32


@dataclass(frozen=True)
class Bench:
    """What the steps share.

    Attributes:
        device: A torch device name.
        geometry: Name of the random model's geometry.
        lengths: Tokens of the prefixes, ascending.
        batches: Questions at once.
    """

    device: str
    geometry: str
    lengths: Sequence[int]
    batches: Sequence[int]

    @property
    def about(self) -> Mapping[str, Any]:
        """What decides every step's figures."""
        return {"device": self.device, "geometry": self.geometry, "lengths": self.lengths, "batches": self.batches}

    @property
    def dtype(self) -> torch.dtype:
        """Of weights and caches."""
        return torch.float32 if self.device == "cpu" else torch.bfloat16

    @cached_property
    def model(self) -> LocalModel:
        """Random weights of the geometry, made on the device; and which decode steps are not exact with them."""
        from rmtbench.kvcache.exact.trial import try_steps
        from rmtbench.models.load import load_model

        dtype = str(self.dtype).partition(".")[2]
        return try_steps(load_model(f"random:{self.geometry}", dtype=dtype, device=self.device))

    def let_go(self) -> None:
        """Let go of the model and of the memory that torch keeps, so that another process has the device to itself."""
        self.__dict__.pop("model", None)
        free_memory()

    @property
    def ways(self) -> Sequence[How]:
        """How decode steps can be computed here: by a forward laid out on the host, in fixed buffers, as a graph."""
        from rmtbench.kvcache.exact.static_places import GRAPHS, STATIC

        if STATIC in self.model.inexact:
            return ("forward",)
        graphs = self.device.startswith("cuda") and GRAPHS not in self.model.inexact
        return ("forward", "static", "graphs") if graphs else ("forward", "static")

    def ids(self, count: int, seed: int = 0) -> list[int]:
        """Random tokens."""
        from rmtbench.bench.kv_ways import random_ids

        return random_ids(self.model, count, seed)

    def time(self, work: Callable[[], object], rounds: int = ROUNDS) -> float:
        """Median seconds of several rounds after one that warms up."""
        wait, found = synchroniser(self.device), []
        work()
        for _ in range(rounds):
            wait()
            began = time.perf_counter()
            work()
            wait()
            found.append(time.perf_counter() - began)
        return statistics.median(found)


def machine(bench: Bench) -> Mapping[str, Any]:
    """Versions, the card, and the two bandwidths that a roofline can be divided by: reading, and copying."""
    import transformers

    size = 1 << (30 if bench.device != "cpu" else 26)
    source = torch.ones(size // 4, device=bench.device)
    target = torch.empty_like(source)
    side = 4096 if bench.device != "cpu" else 512
    square = torch.randn(side, side, device=bench.device, dtype=bench.dtype)
    facts: dict[str, Any] = {
        "torch": torch.__version__,
        "transformers": transformers.__version__,
        "python": platform.python_version(),
        "read_bytes_per_second": size / bench.time(source.sum),
        "copy_bytes_per_second": 2 * size / bench.time(lambda: target.copy_(source)),
        "matmul_flop_per_second": 2 * side**3 / bench.time(lambda: square @ square),
    }
    if bench.device.startswith("cuda"):
        card = torch.cuda.get_device_properties(bench.device)
        pinned = torch.empty(size // 4, pin_memory=True)
        host = size / bench.time(lambda: source.copy_(pinned, non_blocking=True))
        facts |= {
            "card": card.name,
            "memory_bytes": card.total_memory,
            "capability": f"{card.major}.{card.minor}",
            "cuda": torch.version.cuda,
            "host_to_device_bytes_per_second": host,
        }
    return facts


def marked_tests(bench: Bench) -> Mapping[str, Any]:
    """The tests that need a GPU; without one, how many wait for it."""
    bench.let_go()
    ended = subprocess.run(
        [sys.executable, "-m", "pytest", "-m", "gpu", "-q", "-rs", "-p", "no:cacheprovider", "--no-header"],
        capture_output=True,
        text=True,
        check=False,
    )
    tail = ended.stdout.splitlines()[-30:]
    if ended.returncode:
        raise RuntimeError(f"pytest ended with code {ended.returncode}: {' | '.join(tail)}")
    return {"code": 0, "tail": tail}


def operators(bench: Bench) -> Mapping[str, Any]:
    """Attention over a prefix and over ragged suffixes: error against float64, and milliseconds."""
    from rmtbench.kvcache.exact.attention import attend, attend_to_prefix

    heads, kv_heads, width = 32, 8, 128
    rows = []
    for keys in bench.lengths:
        key, value = (torch.randn(kv_heads, keys, width, device=bench.device, dtype=bench.dtype) for _ in range(2))
        for batch in bench.batches:
            query = torch.randn(heads, batch, width, device=bench.device, dtype=bench.dtype)
            out, lse = attend_to_prefix(query, key, value, width**-0.5)
            # [kv heads, group x batch, width] against the keys of its head, head by head in float64
            folded = query.reshape(kv_heads, -1, width).double()
            wide = [
                ((folded[head] @ key[head].double().T) * width**-0.5, value[head].double()) for head in range(kv_heads)
            ]
            exact = torch.stack([scores.softmax(-1) @ states for scores, states in wide])
            sums = torch.stack([scores.logsumexp(-1) for scores, _ in wide])
            rows.append(
                {
                    "what": "prefix",
                    "keys": keys,
                    "rows": batch,
                    "output_error": float((out.transpose(0, 1).reshape(exact.shape) - exact).abs().max()),
                    "lse_error": float((lse.t().reshape(sums.shape) - sums).abs().max()),
                    "seconds": bench.time(partial(attend_to_prefix, query, key, value, width**-0.5)),
                }
            )
    for batch in bench.batches:
        query = torch.randn(batch, heads, 1, width, device=bench.device, dtype=bench.dtype)
        key, value = (torch.randn(batch, kv_heads, 64, width, device=bench.device, dtype=bench.dtype) for _ in range(2))
        lengths = torch.arange(64 - batch, 64, device=bench.device).clamp(min=1)
        hidden = torch.arange(64, device=bench.device) >= lengths[:, None]
        bias = torch.zeros(hidden.shape, device=bench.device, dtype=bench.dtype).masked_fill_(hidden, -torch.inf)
        bias = bias[:, None, None]
        out, lse = attend(query, key, value, width**-0.5, bias=bias)
        parts = [each.double().cpu() for each in (query, key, value)]
        exact, sums = attend(parts[0], parts[1], parts[2], width**-0.5, bias=bias.double().cpu())
        rows.append(
            {
                "what": "ragged",
                "keys": 64,
                "rows": batch,
                "output_error": float((out.double().cpu() - exact).abs().max()),
                "lse_error": float((lse.double().cpu() - sums).abs().max()),
                "seconds": bench.time(partial(attend, query, key, value, width**-0.5, bias=bias)),
            }
        )
    return {"dtype": str(bench.dtype), "rows": rows}


def offload_stress(bench: Bench) -> Mapping[str, Any]:
    """Prefixes that are dropped while a layer travels, beside others that are checked by their sums."""
    from rmtbench.kvcache.base import PrefixKV
    from rmtbench.kvcache.exact.offloaded import offload

    tokens = bench.lengths[0]
    made = torch.randn(8, 8, tokens, 128, dtype=bench.dtype)
    whole = PrefixKV(tuple(made[:4]), tuple(made[4:]), tuple(range(tokens)))
    wrong = 0
    for _ in range(30):
        dropped = offload(whole, torch.device(bench.device))
        dropped.keys[0]
        del dropped
        kept = offload(whole, torch.device(bench.device))
        wrong += sum(not torch.equal(kept.keys[layer].cpu(), whole.keys[layer]) for layer in range(4))
    return {"rounds": 30, "layers_wrong": wrong}


def prefills(bench: Bench) -> Mapping[str, Any]:
    """Reading each prefix: the first time in the process, and again."""
    from rmtbench.kvcache.exact.prefill import prefill

    wait, rows = synchroniser(bench.device), []
    for length in bench.lengths:
        ids, seconds = bench.ids(length), []
        for _ in range(2):
            wait()
            began = time.perf_counter()
            prefill(bench.model.model, ids)
            wait()
            seconds.append(time.perf_counter() - began)
        rows.append({"tokens": length, "first_seconds": seconds[0], "again_seconds": seconds[1]})
    return {"rows": rows}


def decode(bench: Bench) -> Mapping[str, Any]:
    """A decode step over each prefix and batch, with and without CUDA graphs, beside the bytes that it must read."""
    from rmtbench.bench.roofline import weights_read
    from rmtbench.kvcache.exact.prefill import prefill
    from rmtbench.kvcache.exact.static_step import find_attention

    read = machine(bench)["read_bytes_per_second"]
    inner = bench.model.model
    weights = weights_read(inner)
    rows = []
    for length in bench.lengths:
        prefix = prefill(inner, bench.ids(length))
        for batch in bench.batches:
            limit = (weights + prefix.bytes) / read
            for way in bench.ways:
                step = _step_seconds(bench, prefix, batch, way)
                about = {"tokens": length, "batch": batch, "way": way}
                rows.append({**about, "step_seconds": step, "read_limit_seconds": limit})
    return {
        "weights_bytes_read": weights,
        "read_bytes_per_second": read,
        "suffix_attention": find_attention(inner.device)[1],
        "not_exact": dict(bench.model.inexact),
        "rows": rows,
    }


def _step_seconds(bench: Bench, prefix: PrefixKV, batch: int, way: How | None = None) -> float:
    """Median of several answers, each `ANSWER_TOKENS` long, as the shared prefix gives them."""
    ask = _asking(bench, prefix, batch, way)
    ask()
    return statistics.median(ask() for _ in range(ROUNDS))


def _asking(bench: Bench, prefix: PrefixKV, batch: int, way: How | None) -> Callable[[], float]:
    """Return what answers a batch and gives the seconds of a step; the way is that of `cag` where none is named."""
    from rmtbench.kvcache.exact.shared import greedy_continuous
    from rmtbench.kvcache.exact.shared_places import make_places
    from rmtbench.kvcache.exact.static_places import choose_step, is_plain
    from rmtbench.kvcache.exact.suffixes import Suffixes

    if way is None:
        way, _ = choose_step(bench.model, plain=is_plain(prefix), no_graphs="")
    places = make_places(bench.model, prefix, Suffixes(prefix, batch, QUESTION_TOKENS + ANSWER_TOKENS), way)
    questions = [bench.ids(QUESTION_TOKENS, seed) for seed in range(1, batch + 1)]

    def ask() -> float:
        ended = list(greedy_continuous(places, iter(enumerate(questions)), batch, lambda _ids: None, ANSWER_TOKENS))
        return sum(row.decode_seconds for _, row in ended) / (ANSWER_TOKENS - 1)

    return ask


def decode_profile(bench: Bench) -> Mapping[str, Any]:
    """Operators of one answer at batch 1, by their own time; and how often a step makes the host start something."""
    from rmtbench.kvcache.exact.prefill import prefill

    prefix = prefill(bench.model.model, bench.ids(bench.lengths[0]))
    return {"ways": [{"way": way, **_profile(bench, prefix, way)} for way in bench.ways]}


STARTS = ("cudaLaunchKernel", "cudaLaunchKernelExC", "cuLaunchKernel", "cuLaunchKernelEx", "cudaGraphLaunch")
"""Calls of the host that start work on a GPU, as the profiler names them."""


def _profile(bench: Bench, prefix: PrefixKV, way: How) -> Mapping[str, Any]:
    from torch.profiler import ProfilerActivity, profile

    ask = _asking(bench, prefix, 1, way)
    ask()
    cuda = bench.device.startswith("cuda")
    kinds = [ProfilerActivity.CPU, *([ProfilerActivity.CUDA] if cuda else [])]
    with profile(activities=kinds) as found:
        ask()
    events = found.key_averages()
    starts = sum(event.count for event in events if event.key in STARTS)
    own = "self_device_time_total" if cuda else "self_cpu_time_total"
    top = sorted(events, key=lambda event: getattr(event, own), reverse=True)[:20]
    rows = [{"operator": event.key, "calls": event.count, "microseconds": getattr(event, own)} for event in top]
    # The first token's forward reads the question, and starts about as much as a step that is laid out on the host.
    return {"starts_of_an_answer": starts if cuda else None, "answer_tokens": ANSWER_TOKENS, "rows": rows}


def prompts_of_new_lengths(bench: Bench) -> Mapping[str, Any]:
    """RAG's prompts: eight lengths that the process has not met, with cuDNN's attention off and on."""
    from rmtbench.models.readers import OwnPrompts

    wait, rows = synchroniser(bench.device), []
    for on in (False, True) if bench.device.startswith("cuda") else (False,):
        torch.backends.cuda.enable_cudnn_sdp(on)
        for number in range(8):
            ids = bench.ids(max(8, bench.lengths[0] // 16) + 37 * number + (11 if on else 0))
            wait()
            began = time.perf_counter()
            OwnPrompts(bench.model.model, [(ids[:-4], ids[-4:])], 1).read()
            wait()
            rows.append({"cudnn_attention": on, "tokens": len(ids), "seconds": time.perf_counter() - began})
    torch.backends.cuda.enable_cudnn_sdp(False)
    return {"rows": rows}


def other_places(bench: Bench) -> Mapping[str, Any]:
    """The longest prefix on the host, in 8 bits and in 4: seconds a step, and peaks of memory."""
    from rmtbench.kvcache.approximate.quantised import quantise
    from rmtbench.kvcache.exact.offloaded import offload
    from rmtbench.kvcache.exact.prefill import prefill

    ids, inner = bench.ids(bench.lengths[-1]), bench.model.model
    ways: Mapping[str, Callable[[], PrefixKV]] = {
        "device": lambda: prefill(inner, ids),
        "host": lambda: offload(prefill(inner, ids, host=True), inner.device),
        "8 bits": lambda: quantise(prefill(inner, ids), 8),
        "4 bits": lambda: quantise(prefill(inner, ids), 4),
    }
    rows = []
    for name, make in ways.items():
        reset_peak_memory(bench.device)
        prefix = make()
        rows.append(
            {
                "way": name,
                "kept_bytes": prefix.bytes,
                "step_seconds": _step_seconds(bench, prefix, 1),
                "peak_device_bytes": peak_device_bytes(bench.device),
                "peak_resident_bytes": peak_resident_bytes(),
            }
        )
        del prefix
    return {"tokens": len(ids), "rows": rows}


def recurrent_memory(bench: Bench) -> Mapping[str, Any]:
    """The shipped memory over long texts: seconds a token, which should not grow with the length."""
    lengths = "4k" if bench.device == "cpu" else "32k,2M"
    return _command(bench, "bench", "rmt", "--lengths", lengths, "--samples", "1", "--device", bench.device)


def diagonal_batching(bench: Bench) -> Mapping[str, Any]:
    """A per-layer memory over 128 segments of several lengths: one after the other, and diagonally."""
    from experiments.benches.diagonal import measure
    from experiments.benches.options import DiagonalBench

    short = bench.device == "cpu"
    asked = DiagonalBench(
        segment_tokens=(16, 32) if short else (128, 512, 1024),
        segments=(4,) if short else (128,),
        memory_tokens=4 if short else 16,
        rounds=ROUNDS,
    )
    return measure(bench.model, asked)


def paper_times(bench: Bench) -> Mapping[str, Any]:
    """Table 3 of "Don't Do RAG" in time: with and without the cache, by size, random weights of the true geometry."""
    if bench.geometry != "llama-3.1-8b":
        return {"skipped": "it is the table of llama-3.1-8b"}
    return _command(bench, "sweep", "experiments/table3-timing.yaml", "--results", "results/table3-timing")


def _command(bench: Bench, *words: str) -> Mapping[str, Any]:
    """Run `rmtbench` and keep the end of what it says."""
    bench.let_go()
    command = [sys.executable, "-m", "rmtbench", *words]
    ended = subprocess.run(command, capture_output=True, text=True, check=False)  # noqa: S603 - our own words
    if ended.returncode:
        raise RuntimeError(f"rmtbench {' '.join(words)}: code {ended.returncode}: {ended.stderr[-300:]}")
    return {"command": ["rmtbench", *words], "says": (ended.stdout + ended.stderr).splitlines()[-30:]}


STEPS: Mapping[str, Callable[[Bench], Mapping[str, Any]]] = {
    "machine": machine,
    "tests": marked_tests,
    "operators": operators,
    "offload": offload_stress,
    "prefill": prefills,
    "decode": decode,
    "profile": decode_profile,
    "prompts": prompts_of_new_lengths,
    "places": other_places,
    "diagonal": diagonal_batching,
    "rmt": recurrent_memory,
    "table3": paper_times,
}
"""In the order in which they are done: what everything else rests on comes first."""


def check_folder(bench: Bench, out: Path) -> None:
    """Refuse a folder with results of another device, geometry, length or batch: they would count as done.

    Raises:
        UserError: It holds such results.
    """
    for path in sorted(out.glob("*.json")):
        found = json.loads(path.read_bytes())
        other = [f"{name} {found[name]}" for name, value in bench.about.items() if found.get(name, value) != value]
        if other:
            raise UserError(f"holds results of {', '.join(other)}", where=str(path), remedy="name another folder")


def run(bench: Bench, out: Path, steps: Sequence[str]) -> Iterator[str]:
    """Do the steps that have no result yet.

    Args:
        bench: What they share.
        out: Folder of the results.
        steps: Their names.

    Yields:
        One line a step.
    """
    out.mkdir(parents=True, exist_ok=True)
    for name in steps:
        path = out / f"{name}.json"
        if path.exists() and "error" not in json.loads(path.read_bytes()):
            yield f"{name}: done before"
            continue
        began = time.perf_counter()
        try:
            found: Mapping[str, Any] = STEPS[name](bench)
        except Exception as error:  # noqa: BLE001 - whatever it is, the other steps can still be done
            traceback.print_exc()
            found = {"error": f"{type(error).__name__}: {error}"}
        seconds = time.perf_counter() - began
        free_memory()
        row = {**bench.about, "step_seconds": seconds, **found}
        write_atomically(path, (json.dumps(row, indent=1) + "\n").encode())
        yield f"{name}: {'failed' if 'error' in found else 'done'} in {seconds:.1f} s"


def main(words: Sequence[str] | None = None) -> None:
    """Do the steps that have no result yet, and say how each went.

    Raises:
        SystemExit: A step has failed, or the folder holds results of other settings.
    """
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("out", type=Path, help="folder of the results")
    parser.add_argument("--device", default="cuda", help="torch device (default: cuda)")
    parser.add_argument("--geometry", default="llama-3.1-8b", help="random:GEOMETRY (default: llama-3.1-8b)")
    parser.add_argument("--lengths", default="21000,43000,85000", help="tokens of the prefixes")
    parser.add_argument("--batches", default="1,8,32", help="questions at once")
    parser.add_argument("--steps", default=",".join(STEPS), help=f"of {', '.join(STEPS)}")
    given = parser.parse_args(words)
    lengths, batches = ([int(each) for each in text.split(",")] for text in (given.lengths, given.batches))
    bench = Bench(given.device, given.geometry, lengths, batches)
    try:
        check_folder(bench, given.out)
    except UserError as error:
        parser.error(f"{error.where} {error.what}: {error.remedy}, such as make gpu RESULTS=OTHER")
    failed = False
    for line in run(bench, given.out, given.steps.split(",")):
        sys.stdout.write(f"{line}\n")
        sys.stdout.flush()
        failed |= ": failed in " in line
    if failed:
        raise SystemExit(1)


if __name__ == "__main__":
    main()

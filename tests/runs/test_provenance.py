"""Every run says what produced its numbers, in JSON, without a path of the machine."""

from __future__ import annotations

import json
import re
from datetime import UTC, datetime, timedelta
from importlib.metadata import version
from pathlib import Path

import pytest
import torch

import rmtbench
from rmtbench.core import RunSpec
from rmtbench.models.embed_files import embedder_files_hash
from rmtbench.runs.loading import load_resources
from rmtbench.runs.provenance import PACKAGES, surroundings
from rmtbench.systems.resources import Resources


@pytest.fixture(scope="module")
def tools(tmp_path_factory: pytest.TempPathFactory) -> Resources:
    """What a run of dense retrieval is given."""
    spec = RunSpec("rag-dense", "squad", "smoke", "random:tiny", "official:x@0", top_k=1, embedder="minilm")
    return load_resources([spec], "cpu", tmp_path_factory.mktemp("cache"))


def test_run_records_models_versions_machine_code_and_start(tools: Resources) -> None:
    assert set(tools.provenance) == {"model", "embedder", "versions", "threads", "machine", "code", "started"}


def test_the_model_is_told_by_name_hashes_and_the_way_it_runs(tools: Resources) -> None:
    model = tools.provenance["model"]
    assert set(model) >= {"id", "revision", "label", "weights_sha256", "tokenizer", "tokenizer_sha256", "dtype",
                          "device", "attention", "context_limit", "prompt_contract"}  # fmt: skip
    assert (model["id"], model["dtype"], model["device"], model["attention"]) == (
        "random:tiny",
        "float32",
        "cpu",
        "sdpa",
    )
    assert re.fullmatch("[0-9a-f]{64}", model["weights_sha256"])
    assert re.fullmatch("[0-9a-f]{64}", model["tokenizer_sha256"])


def test_the_embedder_is_told_by_name_hash_and_what_it_reads(tools: Resources) -> None:
    assert tools.embedder is not None
    assert tools.provenance["embedder"] == {
        "name": "minilm",
        "sha256": tools.embedder.sha256,
        "max_tokens": tools.embedder.max_tokens,
        "files_sha256": embedder_files_hash("minilm"),
    }


def test_no_embedder_is_loaded_or_told_where_none_is_asked_for(tmp_path: Path) -> None:
    given = load_resources([RunSpec("cag", "squad", "smoke", "random:tiny", "official:x@0")], "cpu", tmp_path)
    assert "embedder" not in given.provenance
    assert given.embedder is given.document_embedder is None


def test_the_surroundings_are_those_of_this_process() -> None:
    facts = surroundings("cpu")
    assert facts["versions"].keys() <= {"python", *PACKAGES}
    assert facts["versions"]["torch"] == version("torch")
    assert facts["versions"]["transformers"] == version("transformers")
    assert facts["threads"] == torch.get_num_threads()
    assert set(facts["machine"]) == {"system", "architecture", "processor", "cores", "memory_bytes"}
    assert facts["machine"]["memory_bytes"] > 2**28
    assert abs(datetime.fromisoformat(facts["started"]) - datetime.now(UTC)) < timedelta(minutes=1)


def test_code_is_recorded_by_version_commit_and_changes() -> None:
    code = surroundings("cpu")["code"]
    assert set(code) == {"version", "commit", "dirty"}
    assert code["version"] == rmtbench.__version__
    if (Path(rmtbench.__file__).parents[1] / ".git").exists():
        assert re.fullmatch("[0-9a-f]{40}", code["commit"])
        assert isinstance(code["dirty"], bool)
    else:
        assert code["commit"] is code["dirty"] is None


def test_all_of_it_is_json_and_names_no_path_of_this_machine(tools: Resources) -> None:
    text = json.dumps(tools.provenance, allow_nan=False)
    assert json.loads(text) == tools.provenance
    for path in (Path.home(), Path(rmtbench.__file__).parents[1], Path.cwd()):
        assert path == Path("/") or str(path) not in text

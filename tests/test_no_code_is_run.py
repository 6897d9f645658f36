"""No file from elsewhere is run or unpickled: held by the package's syntax trees, and shown with a hostile file."""

from __future__ import annotations

import ast
import json
import pickle
import shutil
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest
import torch
from small_models import save_model

import rmtbench
from rmtbench.errors import UserError
from rmtbench.models.load import load_model, load_tokenizer

PACKAGE = Path(rmtbench.__file__).parent
UNPICKLERS = {"pickle", "_pickle", "cPickle", "dill", "cloudpickle", "joblib", "shelve", "marshal", "jsonpickle"}
"""Modules that run code while they read; of pickle the package uses an exception's name, and nothing else."""
SHELLS = {"os.system", "os.popen", "subprocess.getoutput", "subprocess.getstatusoutput", "pty.spawn"}
SAFE_LOADERS = {"yaml.SafeLoader", "yaml.CSafeLoader", "SafeLoader", "_Loader"}
"""`_Loader` is the sweep's own, which derives from SafeLoader."""
LOADERS = ("AutoConfig", "AutoTokenizer", "AutoModel", "AutoProcessor")
"""How names of transformers' classes begin that can run code which lies beside weights."""


def offences(path: str, source: str) -> Iterator[str]:
    """What a module does that could run somebody else's code."""
    tree = ast.parse(source)
    for node in ast.walk(tree):
        if isinstance(node, ast.Import | ast.ImportFrom):
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else [node.module or ""]
            found = [name for name in names if name.partition(".")[0] in UNPICKLERS - {"pickle"}]
            found += ["from pickle"] if isinstance(node, ast.ImportFrom) and node.module == "pickle" else []
            yield from (f"{path}: imports {name}" for name in found)
        if isinstance(node, ast.Attribute) and ast.unparse(node.value) == "pickle" and node.attr != "UnpicklingError":
            yield f"{path}: pickle.{node.attr}"
        if isinstance(node, ast.Call):
            yield from (f"{path}: {told}" for told in _of_call(node))


def _of_call(call: ast.Call) -> Iterator[str]:
    name = ast.unparse(call.func)
    given = {each.arg: ast.unparse(each.value) for each in call.keywords if each.arg is not None}
    if name in ("eval", "exec", "compile", "__import__"):
        yield f"{name}()"
    if name in SHELLS or given.get("shell", "False") != "False":
        yield f"{name} runs a shell"
    if name.endswith("torch.load") and given.get("weights_only") != "True":
        yield "torch.load without weights_only=True"
    if given.get("allow_dangerous_deserialization", "False") != "False":
        yield "allow_dangerous_deserialization"
    if given.get("allow_pickle", "False") != "False":
        yield "allow_pickle"
    if given.get("trust_remote_code", "False") != "False":
        yield "trust_remote_code"
    if name in ("yaml.load", "yaml.load_all", "yaml.unsafe_load", "yaml.full_load"):
        loader = given.get("Loader", ast.unparse(call.args[1]) if len(call.args) > 1 else "")
        if loader not in SAFE_LOADERS:
            yield f"{name} without a safe loader"
    loads = name.endswith(".from_pretrained") and name.partition(".")[0].startswith(LOADERS)
    if loads and given.get("trust_remote_code") != "False":
        yield f"{name} without trust_remote_code=False"


def test_the_package_runs_and_unpickles_nothing() -> None:
    paths = {path.relative_to(PACKAGE).as_posix(): path for path in PACKAGE.rglob("*.py")}
    assert len(paths) > 100
    found = [told for name, path in paths.items() for told in offences(name, path.read_text(encoding="utf-8"))]
    assert found == []


@pytest.mark.parametrize(
    "line",
    [
        "pickle.load(stream)",
        "pickle.loads(data)",
        "from pickle import load",
        "import joblib",
        "import dill",
        "torch.load(path)",
        "torch.load(path, weights_only=False)",
        "FAISS.load_local(folder, embeddings, allow_dangerous_deserialization=True)",
        "np.load(path, allow_pickle=True)",
        "yaml.load(text)",
        "yaml.load(text, Loader=yaml.Loader)",
        "yaml.unsafe_load(text)",
        "eval(text)",
        "exec(text)",
        "subprocess.run(command, shell=True)",
        "os.system(command)",
        "AutoModel.from_pretrained(path)",
        "AutoModelForCausalLM.from_pretrained(path, trust_remote_code=True)",
        "AutoConfig.from_pretrained(path, trust_remote_code=None)",
    ],
)
def test_each_way_to_run_code_would_be_seen(line: str) -> None:
    assert list(offences("x.py", line))


@pytest.mark.parametrize(
    "line",
    [
        "torch.load(path, map_location='cpu', weights_only=True)",
        "yaml.load(text, Loader=yaml.SafeLoader)",
        "yaml.safe_load(text)",
        "model.eval()",
        "re.compile(text)",
        "subprocess.run([command])",
        "np.load(path)",
        "AutoModel.from_pretrained(path, trust_remote_code=False)",
        "pickle.UnpicklingError",
    ],
)
def test_what_is_safe_is_free(line: str) -> None:
    assert list(offences("x.py", line)) == []


# Hostile files


class Bomb:
    """What an attacker pickles: unpickling it writes a file."""

    def __init__(self, mark: Path) -> None:
        self._mark = str(mark)

    def __reduce__(self) -> tuple:
        return (open, (self._mark, "w"))


def test_the_bomb_goes_off_where_it_is_unpickled(tmp_path: Path) -> None:
    pickle.loads(pickle.dumps(Bomb(tmp_path / "mark"))).close()
    assert (tmp_path / "mark").exists()


@pytest.fixture
def mark(tmp_path: Path) -> Path:
    return tmp_path / "mark"


def test_pickled_weights_of_a_model_are_refused_and_not_run(tmp_path: Path, mark: Path) -> None:
    folder = save_model(tmp_path / "model")
    for weights in folder.glob("*.safetensors"):
        weights.unlink()
    torch.save({"model.embed_tokens.weight": Bomb(mark)}, folder / "pytorch_model.bin")
    with pytest.raises(UserError, match="cannot be loaded"):
        load_model(str(folder))
    assert not mark.exists()


def test_code_beside_weights_is_refused_and_not_run(tmp_path: Path, mark: Path) -> None:
    folder = save_model(tmp_path / "model")
    code = f"open({str(mark)!r}, 'w')\nclass X:\n    pass\n"
    (folder / "evil.py").write_text(code, encoding="utf-8")
    config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    config |= {"model_type": "never-heard-of", "auto_map": {
        "AutoConfig": "evil.X", "AutoModelForCausalLM": "evil.X", "AutoModel": "evil.X",
        "AutoTokenizer": ["evil.X", "evil.X"],
    }}  # fmt: skip
    (folder / "config.json").write_text(json.dumps(config), encoding="utf-8")
    with pytest.raises(UserError) as caught:
        load_model(str(folder))
    assert "not run here" in str(caught.value) or "cannot be loaded" in str(caught.value)
    assert not mark.exists()


def test_code_of_a_tokenizer_is_refused_and_not_run(tmp_path: Path, mark: Path) -> None:
    folder = save_model(tmp_path / "model")
    (folder / "evil.py").write_text(f"open({str(mark)!r}, 'w')\n", encoding="utf-8")
    settings = json.loads((folder / "tokenizer_config.json").read_text(encoding="utf-8"))
    settings |= {"tokenizer_class": "X", "auto_map": {"AutoTokenizer": ["evil.X", "evil.X"]}}
    (folder / "tokenizer_config.json").write_text(json.dumps(settings), encoding="utf-8")
    with suppress(UserError):  # whether it is refused or read without its code is for transformers
        load_tokenizer(str(folder))
    assert not mark.exists()


def test_pickled_weights_of_an_adapter_are_refused_and_not_run(tmp_path: Path, mark: Path) -> None:
    from small_models import save_adapter

    base = save_model(tmp_path / "base")
    adapter = save_adapter(base, tmp_path / "adapter")
    for weights in adapter.glob("*.safetensors"):
        weights.unlink()
    torch.save({"base_model.model.x": Bomb(mark)}, adapter / "adapter_model.bin")
    with pytest.raises(UserError):
        load_model(str(base), adapter=str(adapter))
    assert not mark.exists()


@pytest.mark.parametrize("kind", ["scorer", "embedder", "reranker"])
def test_pickled_weights_of_other_models_are_refused_and_not_run(
    tmp_path: Path, mark: Path, cross_encoder: Path, kind: str
) -> None:
    from rmtbench.models.embed import load_embedder
    from rmtbench.models.embed_files import MINILM, model_folder
    from rmtbench.models.rerank import CrossEncoder
    from rmtbench.scoring.encoders import load_encoder

    folder = tmp_path / kind
    shutil.copytree(cross_encoder if kind == "reranker" else model_folder(MINILM), folder)
    for weights in (*folder.rglob("*.safetensors"), *folder.rglob("*.onnx")):
        weights.unlink()
    torch.save({"embeddings.word_embeddings.weight": Bomb(mark)}, folder / "pytorch_model.bin")
    load = {
        "scorer": lambda: load_encoder(str(folder), str(folder), None),
        "embedder": lambda: load_embedder(str(folder)),
        "reranker": lambda: CrossEncoder(str(folder), "cpu"),
    }[kind]
    with pytest.raises(UserError, match="cannot be loaded"):
        load()
    assert not mark.exists()


def test_arrays_of_objects_are_not_unpickled(tmp_path: Path, mark: Path) -> None:
    import numpy as np

    np.save(tmp_path / "rows.npy", np.array([Bomb(mark)], dtype=object), allow_pickle=True)
    with pytest.raises(ValueError, match="allow_pickle=False"):
        np.load(tmp_path / "rows.npy")
    assert not mark.exists()

"""Inputs with one thing wrong: files of data, sweeps, results, caches, indexes, adapters, memories and plugins.

A command must then do its work, or say in two lines what is wrong and end with 2; a cache must not change an answer.
"""

from __future__ import annotations

import json
import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from experiments.campaign.child import run
from experiments.campaign.compare import compare, facts
from experiments.campaign.trial import Bench, Trial
from experiments.campaign.writers import MEMORY, SWEEP, Words, Writer, run_of

OFFICIAL = {"squad": "dev-v1.1.json", "hotpotqa": "hotpot_dev_distractor_v1.json", "triviaqa": "wikipedia-dev.json"}
PLUGIN = """
from rmtbench.systems.base import SystemKind
from rmtbench.systems.registry import find_system

class Mine:
    def __init__(self, resources):
        self.inner = find_system("closed-book").make(resources)
    def __enter__(self):
        return self
    def __exit__(self, *error):
        return None
    def prepare(self, corpus):
        return self.inner.prepare(corpus)
    def answer(self, questions):
        yield from self.inner.answer(questions)

KIND = SystemKind("mine", "a plugin", Mine)
"""
INSTALLED = {
    "site/mine.py": PLUGIN,
    "site/mine-1.dist-info/METADATA": "Metadata-Version: 2.1\nName: mine\nVersion: 1\n",
    "site/mine-1.dist-info/entry_points.txt": "[rmtbench.systems]\nmine = mine:KIND\n",
}
OWN = {
    "own/documents/mill.md": "# The mill\n\nThe mill stands by the Oss. It is old.\n",
    "own/documents/bridge.txt": "The bridge over the Oss was built in 1707.\n",
    "own/questions.jsonl": '{"question": "Where is the mill?", "answers": ["by the Oss"], "evidence": ["mill.md"]}\n'
    '{"question": "When was the bridge built?", "answers": ["1707", "in 1707"]}\n',
}


def _adapter(place: Path) -> None:
    from peft import LoraConfig, get_peft_model
    from transformers import AutoModelForCausalLM

    import rmtbench

    base = AutoModelForCausalLM.from_pretrained(Path(rmtbench.__file__).parent / "assets" / "models" / "mini")
    config = LoraConfig(r=2, target_modules=["q_proj", "v_proj"], init_lora_weights=False, task_type="CAUSAL_LM")
    get_peft_model(base, config).save_pretrained(str(place / "adapter"))


@dataclass(frozen=True, slots=True)
class Input:
    """Something that a command reads.

    Attributes:
        writer: Makes it (by its commands before) and reads it.
        pattern: The files that are spoiled.
        kept: Whether it only spares work, so that the answers must be those of an undisturbed run.
    """

    writer: Writer
    pattern: str
    kept: bool = False


def _small(*more: str) -> Words:
    return run_of("closed-book", *more)


INPUTS: Sequence[Input] = (
    Input(Writer("own folder", run_of("rag-sparse", "--dataset", "own", "--size", "all"), files=OWN), "own/**/*.*"),
    Input(Writer("plugin", run_of("mine"), files=INSTALLED), "site/**/*.*"),
    Input(Writer("adapter", run_of("closed-book", "--adapter", "adapter"), make=_adapter), "adapter/adapter*"),
    *(
        Input(
            Writer(
                f"{name} file",
                (*_small("--dataset", name), "--data-dir", "data"),
                before=[("data", "export", "--dataset", name, "--size", "smoke", "--out", "data")],
            ),
            "data/**/*.*",
        )
        for name in OFFICIAL
    ),
    Input(Writer("sweep file", ("sweep", "two.yaml", "--results", "results"), files={"two.yaml": SWEEP}), "two.yaml"),
    Input(
        Writer("results, reported", ("report", "results"), before=[run_of("closed-book,rag-sparse")]),
        "results/*/*.json*",
    ),
    Input(
        Writer("results, scored", ("score", "results"), before=[run_of("closed-book,rag-sparse")]), "results/*/*.json*"
    ),
    Input(
        Writer(
            "results, resumed",
            run_of("closed-book", "--questions", "3"),
            before=[run_of("closed-book", "--questions", "3")],
        ),
        "results/*/*.json*",
    ),
    Input(
        Writer(
            "results, merged",
            ("merge", "one", "two", "--results", "results"),
            before=[
                _small("--draws", "2", "--questions", "2", "--shard", f"{part}/2", "--results", name)
                for part, name in ((1, "one"), (2, "two"))
            ],
        ),
        "*/*/*.json*",
    ),
    Input(
        Writer(
            "kv cache",
            run_of("cag", "--kv-cache", "store"),
            before=[(*run_of("cag", "--kv-cache", "store"), "--results", "before")],
        ),
        "store/*/*",
        kept=True,
    ),
    Input(
        Writer(
            "index, sparse",
            run_of("rag-sparse", "--index", "indexes"),
            before=[(*run_of("rag-sparse", "--index", "indexes"), "--results", "before")],
        ),
        "indexes/**/*.*",
    ),
    Input(
        Writer(
            "index, dense",
            run_of("rag-dense", "--index", "indexes"),
            before=[(*run_of("rag-dense", "--index", "indexes"), "--results", "before")],
        ),
        "indexes/**/*.*",
    ),
    Input(
        Writer(
            "embeddings, hashes and verdicts",
            run_of("rag-dense"),
            before=[(*run_of("rag-dense"), "--results", "before")],
        ),
        "cache/**/*.*",
        kept=True,
    ),
    Input(
        Writer(
            "memory",
            (*run_of("rmt-memory"), "--rmt", "trained/model", "--model", "random:tiny"),
            before=[(*MEMORY, "--mode", "memory")],
        ),
        "trained/model/*",
    ),
    Input(Writer("checkpoint", MEMORY, before=[MEMORY]), "trained/**/*.*"),
)


def mutated(bench: Bench, chance: random.Random, number: int) -> Trial:
    """Spoil one file of one input, and give the command."""
    given = INPUTS[number % len(INPUTS)]
    place = bench.begin(given.writer)
    files = [path for path in sorted(place.glob(given.pattern)) if path.is_file() and not path.name.startswith(".")]
    path = chance.choice(files)
    how = chance.choice([*ANY, *(TEXT if path.suffix in (".json", ".jsonl", ".yaml", ".md", ".txt") else ())])
    detail = {**ANY, **TEXT}[how](path, chance)
    ended = run(given.writer.words, place)
    name = f"{given.writer.name}: {how} in {path.relative_to(place)}{f' ({detail})' if detail else ''}"
    lines = [line for line in ended.err.splitlines() if line]
    silent = ended.code == 2 and not any(line.startswith("error: ") for line in lines)
    changed: Sequence[str] = ()
    if given.kept and ended.code == 0:
        found = compare(facts(place, ()), bench.undisturbed(given.writer).facts)
        changed = [*found.lost, *found.doubled, *found.changed]
    wrong = ended.code not in (0, 1, 2) or silent
    return Trial(
        "mutated input",
        name,
        number,
        1,
        changed=changed,
        tracebacks=int(ended.traceback),
        codes=[ended.code] if wrong else [],
        said=[ended.err[-1500:]] if wrong or ended.traceback or changed else [],
    )


def _flip(path: Path, chance: random.Random) -> str:
    data = bytearray(path.read_bytes() or b"x")
    place = chance.randrange(len(data))
    data[place] ^= 1 << chance.randrange(8)
    path.write_bytes(data)
    return f"byte {place}"


def _cut(path: Path, chance: random.Random) -> str:
    data = path.read_bytes()
    keep = chance.randrange(len(data) or 1)
    path.write_bytes(data[:keep])
    return f"{keep} of {len(data)} bytes"


def _empty(path: Path, _chance: random.Random) -> str:
    path.write_bytes(b"")
    return ""


def _remove(path: Path, _chance: random.Random) -> str:
    path.unlink()
    return ""


def _folder(path: Path, _chance: random.Random) -> str:
    path.unlink()
    path.mkdir()
    return ""


def _noise(path: Path, chance: random.Random) -> str:
    path.write_bytes(chance.randbytes(chance.randint(1, 4000)))
    return ""


INSERTED = (b"\x00", b"\xff\xfe", b"\xef\xbb\xbf", b"\r\n", b"{" * 100_000, b"\xed\xa0\x80")


def _insert(path: Path, chance: random.Random) -> str:
    data, what = path.read_bytes(), chance.choice(INSERTED)
    place = chance.choice([0, chance.randrange(len(data) + 1)])
    path.write_bytes(data[:place] + what + data[place:])
    return f"{what[:4]!r} at {place}"


def _lines(path: Path, chance: random.Random) -> str:
    lines = path.read_bytes().splitlines(keepends=True) or [b""]
    place, how = chance.randrange(len(lines)), chance.choice(["dropped", "doubled", "moved"])
    line = lines[place]
    if how != "doubled":
        del lines[place]
    if how != "dropped":
        lines.insert(chance.randrange(len(lines) + 1), line)
    path.write_bytes(b"".join(lines))
    return f"line {place + 1} {how}"


ODD: Sequence[Any] = (
    None,
    True,
    -1,
    0,
    1.5,
    1e308,
    10**30,
    "",
    "x",
    "\x1b[2J\u202e",
    "../../etc/passwd",
    [],
    {},
    [[]],
    [None],
    "NaN",
)


def _value(path: Path, chance: random.Random) -> str:
    """Put something odd in place of one value of a JSON file, or of one line."""
    text = path.read_text(encoding="utf-8")
    lines = [text] if path.suffix != ".jsonl" else text.splitlines()
    number = chance.randrange(len(lines) or 1)
    try:
        tree = json.loads(lines[number])
    except (ValueError, IndexError):
        return _flip(path, chance)
    places = list(_places(tree))
    if not places:
        return _cut(path, chance)
    holder, key = chance.choice(places)
    odd = chance.choice(ODD)
    if isinstance(holder, dict) and chance.random() < 0.2:
        del holder[key]
        odd = "removed"
    else:
        holder[key] = odd
    lines[number] = json.dumps(tree, indent=1 if path.suffix == ".json" else None)
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return f"line {number + 1}, {key!r}: {odd!r}"


def _places(tree: Any) -> list[tuple[Any, Any]]:  # noqa: ANN401 - any JSON
    if not isinstance(tree, dict | list):
        return []
    keys = list(tree) if isinstance(tree, dict) else list(range(len(tree)))
    return [(tree, key) for key in keys] + [place for key in keys for place in _places(tree[key])]


Mutate = Callable[[Path, random.Random], str]
ANY: Mapping[str, Mutate] = {
    "a bit flipped": _flip,
    "cut": _cut,
    "emptied": _empty,
    "removed": _remove,
    "a folder in its place": _folder,
    "noise": _noise,
    "bytes inserted": _insert,
}
TEXT: Mapping[str, Mutate] = {"lines": _lines, "a value": _value, "another value": _value, "one more value": _value}

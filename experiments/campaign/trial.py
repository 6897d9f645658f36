"""One trial: what was done to which command, and what is wrong afterwards. And the bench on which trials are made."""

from __future__ import annotations

import random
import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path

from experiments.campaign.child import Ended, in_child, run
from experiments.campaign.compare import Differences, Facts, compare, facts
from experiments.campaign.faults import Counts
from experiments.campaign.writers import WRITERS, Writer

CODES = (0, 1, 2, 130)
"""What `docs/reference/errors.md` promises of a command that nobody killed (141 is a pipe's)."""


@dataclass(frozen=True, slots=True)
class Trial:
    """The outcome.

    Attributes:
        kind: Of fault.
        name: Of the command, and of what was done to it.
        seed: With kind and seed the same trial is made again.
        faults: How many were injected.
        lost: Answers, scores or files that an undisturbed run has.
        doubled: Rows that stand twice.
        changed: Rows or files that differ.
        tracebacks: Of all processes.
        codes: Exit codes that are not those documented.
        strays: Files that an undisturbed run does not leave.
        said: What explains it, for people.
        seconds: How long it took.
    """

    kind: str
    name: str
    seed: int
    faults: int = 0
    lost: Sequence[str] = ()
    doubled: Sequence[str] = ()
    changed: Sequence[str] = ()
    tracebacks: int = 0
    codes: Sequence[int] = ()
    strays: Sequence[str] = ()
    said: Sequence[str] = ()
    seconds: float = 0.0

    @property
    def good(self) -> bool:
        """Whether nothing is wrong."""
        return not (self.lost or self.doubled or self.changed or self.tracebacks or self.codes or self.strays)


@dataclass(frozen=True, slots=True)
class Undisturbed:
    """What a command does if nothing happens to it."""

    begun: Path
    whole: Path
    facts: Facts
    counts: Counts
    seconds: float


@dataclass
class Bench:
    """Where trials are made: a folder, with the undisturbed run of each command, made when it is first needed."""

    folder: Path
    _known: dict[str, Undisturbed] = field(default_factory=dict)

    def undisturbed(self, writer: Writer) -> Undisturbed:
        """Return a command's undisturbed run.

        Raises:
            RuntimeError: It fails by itself.
        """
        if writer.name not in self._known:
            self._known[writer.name] = self._make(writer)
        return self._known[writer.name]

    def _make(self, writer: Writer) -> Undisturbed:
        name = "".join(letter if letter.isalnum() else "-" for letter in writer.name)
        begun, whole = self.folder / "begun" / name, self.place(f"whole-{name}")
        shutil.rmtree(begun, ignore_errors=True)
        begun.mkdir(parents=True)
        for file, text in writer.files.items():
            (begun / file).parent.mkdir(parents=True, exist_ok=True)
            (begun / file).write_text(text, encoding="utf-8")
        if writer.make is not None:
            in_child(partial(writer.make, begun))
        # All commands see the same paths: some files are named after them.
        shutil.copytree(begun, whole, dirs_exist_ok=True)
        for words in writer.before:
            _must(run(words, whole), writer)
        for pattern in writer.remove:
            for path in whole.glob(pattern):
                path.unlink()
        shutil.rmtree(begun)
        shutil.copytree(whole, begun)
        ended = _must(run(writer.words, whole), writer)
        return Undisturbed(begun, whole, facts(whole, writer.same), ended.counts, ended.seconds)

    def place(self, name: str = "place") -> Path:
        """Return an empty folder."""
        place = self.folder / name
        shutil.rmtree(place, ignore_errors=True)
        place.mkdir(parents=True)
        return place

    def begin(self, writer: Writer, name: str = "place") -> Path:
        """Return a folder with what a command needs before."""
        place = self.place(name)
        shutil.copytree(self.undisturbed(writer).begun, place, dirs_exist_ok=True)
        return place


Kind = Callable[[Bench, random.Random, int], Trial]
"""Makes one trial; the number is its place in the campaign, for taking turns."""


def turn(number: int, writers: Sequence[Writer] = WRITERS) -> Writer:
    """Return the command whose turn it is."""
    return writers[number % len(writers)]


def judge(trial: Trial, bench: Bench, writer: Writer, place: Path, ends: Sequence[Ended], *, last: Ended) -> Trial:
    """Say what is wrong after a command was disturbed and then given again.

    Args:
        trial: What was done.
        bench: Has the undisturbed run.
        writer: The command.
        place: Its folder.
        ends: Of the disturbed processes.
        last: Of the undisturbed one after them.
    """
    found = compare(facts(place, writer.same), bench.undisturbed(writer).facts) if last.code != -9 else Differences()
    wrong = [end.code for end in ends if end.code not in (*CODES, -9)] + ([last.code] if last.code != 0 else [])
    every = (*ends, last)
    said = [end.err[-1500:] for end in every if end.traceback or end.code not in (0, -9)]
    return replace(
        trial,
        lost=found.lost,
        doubled=found.doubled,
        changed=found.changed,
        strays=found.strays,
        tracebacks=sum(end.traceback for end in every),
        codes=wrong,
        said=said[-3:],
    )


def _must(ended: Ended, writer: Writer) -> Ended:
    if ended.code != 0:
        raise RuntimeError(f"{writer.name} fails by itself with {ended.code}:\n{ended.err}")
    return ended

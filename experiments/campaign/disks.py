"""A disk that is full from some write on, by a failing file layer or a small tmpfs; and one that cannot be read."""

from __future__ import annotations

import random
import shutil
import subprocess
from pathlib import Path

from experiments.campaign.child import Ended, run
from experiments.campaign.faults import Fault
from experiments.campaign.trial import Bench, Trial, judge, turn
from experiments.campaign.writers import WRITERS

ALONE = [writer for writer in WRITERS if not writer.children]


def full(bench: Bench, chance: random.Random, number: int) -> Trial:
    """Refuse every write from a random one on, as a full disk does; then there is room again."""
    writer = turn(number, ALONE)
    usual, place = bench.undisturbed(writer), bench.begin(writer)
    at = chance.randint(1, usual.counts.writes + 1)
    first = run(writer.words, place, Fault("full", at))
    last = run(writer.words, place)
    trial = Trial("ENOSPC", f"{writer.name}: from write {at} of {usual.counts.writes}", number, first.counts.injected)
    return judge(trial, bench, writer, place, [first], last=last)


def small(bench: Bench, chance: random.Random, number: int) -> Trial:
    """Give a command a tmpfs that is too small, then a large one: mapped files and child processes meet it too."""
    writer = turn(number)
    usual = bench.undisturbed(writer)
    mount = bench.place("tmpfs")
    before, after = (_bytes(bench.folder / name) for name in (usual.begun, usual.whole))
    room = before + int(chance.random() * (after - before))
    _mount(mount, f"size={room}")
    try:
        place = mount / "place"
        shutil.copytree(usual.begun, place, symlinks=True)
        first = run(writer.words, place)
        _mount(mount, "remount,size=2g")
        last = run(writer.words, place)
        trial = Trial(
            "small tmpfs",
            f"{writer.name}: {room - before:,} of {after - before:,} bytes free",
            number,
            int(first.code != 0),
        )
        return judge(trial, bench, writer, place, [first], last=last)
    finally:
        _unmount(mount)
        shutil.rmtree(mount.with_name("place.logs"), ignore_errors=True)


def can_mount(folder: Path) -> bool:
    """Return whether a tmpfs may be mounted here."""
    folder.mkdir(parents=True, exist_ok=True)
    command = ["mount", "-t", "tmpfs", "-o", "size=64k", "none", str(folder)]
    if subprocess.run(command, check=False, capture_output=True).returncode:  # noqa: S603 - our own words
        return False
    _unmount(folder)
    return True


def unreadable(bench: Bench, chance: random.Random, number: int) -> Trial:
    """Answer EIO to one read, or to all from a random one on; then the disk is well again."""
    writer = turn(number, ALONE)
    usual, place = bench.undisturbed(writer), bench.begin(writer)
    at, count = chance.randint(1, max(1, usual.counts.reads)), chance.choice([0, 1])
    first: Ended = run(writer.words, place, Fault("unreadable", at, count))
    last = run(writer.words, place)
    which = "one read" if count else "all reads"
    trial = Trial("EIO", f"{writer.name}: {which} from {at} of {usual.counts.reads}", number, first.counts.injected)
    return judge(trial, bench, writer, place, [first], last=last)


def _mount(folder: Path, options: str) -> None:
    subprocess.run(["mount", "-t", "tmpfs", "-o", options, "none", str(folder)], check=True)  # noqa: S603, S607


def _unmount(folder: Path) -> None:
    subprocess.run(["umount", "-l", str(folder)], check=True)  # noqa: S603, S607 - our own mount


def _bytes(folder: Path) -> int:
    return sum(-(-path.stat().st_size // 4096) * 4096 + 4096 for path in folder.rglob("*"))

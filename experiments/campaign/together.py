"""Two to eight processes at once: on one results folder, one cache store, one index."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import replace

from experiments.campaign.child import Child, run
from experiments.campaign.trial import Bench, Trial, judge
from experiments.campaign.writers import WRITERS, Words

_BY_NAME = {writer.name: writer for writer in WRITERS}
SHARED = (
    "run, two draws",
    "cache store",
    "index, sparse",
    "index, dense",
    "sweep",
    "merge",
    "report",
    "score",
    "train",
)
REFUSED = "another process (pid"


def together(bench: Bench, chance: random.Random, number: int) -> Trial:
    """Start the same command several times at once; then once more, which must find all done."""
    writer = _BY_NAME[SHARED[number % len(SHARED)]]
    bench.undisturbed(writer)
    place, count = bench.begin(writer), chance.randint(2, 8)
    apart = writer.name.startswith(("cache", "index"))
    words = [_apart(writer.words, member) if apart and member else writer.words for member in range(count)]
    children = [Child(each, place, name=str(member)) for member, each in enumerate(words)]
    ends = [child.end() for child in children]
    last = run(writer.words, place)
    trial = Trial("writers at once", f"{writer.name}: {count} of them", number, count)
    judged = judge(trial, bench, writer, place, ends, last=last)
    # Those that share only a store or an index must all succeed; of those that share a run, one may refuse the others.
    wrong = [end.code for end in ends if end.code != 0 and (apart or REFUSED not in end.err)]
    strays = [name for name in judged.strays if not name.startswith("results-")]
    return replace(judged, codes=[*judged.codes, *wrong], strays=strays)


def _apart(words: Words, member: int) -> Sequence[str]:
    return [f"results-{member}" if word == "results" else word for word in words]

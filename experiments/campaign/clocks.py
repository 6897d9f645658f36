"""The wall clock steps, backward or forward, in the middle of a command."""

from __future__ import annotations

import random
from dataclasses import replace

from experiments.campaign.child import run
from experiments.campaign.disks import ALONE
from experiments.campaign.faults import Fault
from experiments.campaign.trial import Bench, Trial, judge, turn

HOUR, YEAR = 3600.0, 365.25 * 86400


def stepped(bench: Bench, chance: random.Random, number: int) -> Trial:
    """Step the clock once at a random look at it; the command must end as if nothing were."""
    writer = turn(number, ALONE)
    place = bench.begin(writer)
    seconds = chance.choice([-1, 1]) * chance.choice([2.0, 90.0, HOUR, 26 * HOUR, 10 * YEAR])
    at = int(10 ** chance.uniform(0, 4))
    first = run(writer.words, place, Fault("clock", at, seconds))
    last = run(writer.words, place)
    trial = Trial("clock", f"{writer.name}: {seconds:+.0f} s at look {at}", number, first.counts.injected)
    judged = judge(trial, bench, writer, place, [first], last=last)
    return judged if first.code == 0 else replace(judged, codes=[*judged.codes, first.code])

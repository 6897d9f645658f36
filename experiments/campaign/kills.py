"""SIGKILL at random moments, and in the middle of a random write; then the same command again."""

from __future__ import annotations

import random

from experiments.campaign.child import Child, Ended, run
from experiments.campaign.faults import Fault
from experiments.campaign.trial import Bench, Trial, judge, turn


def killed(bench: Bench, chance: random.Random, number: int) -> Trial:
    """Kill a command one to three times, then let it end."""
    writer = turn(number)
    usual, place = bench.undisturbed(writer), bench.begin(writer)
    ends: list[Ended] = []
    said = []
    for _ in range(chance.randint(1, 3)):
        if chance.random() < 0.6 and not writer.children and usual.counts.writes:
            at = chance.randint(1, usual.counts.writes)
            said.append(f"in write {at}")
            ends.append(run(writer.words, place, Fault("kill", at)))
            continue
        child = Child(writer.words, place)
        seconds = chance.uniform(0, 1.1 * usual.seconds)
        group = not writer.children or chance.random() < 0.5
        said.append(f"after {seconds:.3f} s" + ("" if group else ", its workers not"))
        ended = child.wait(seconds)
        if ended is None:
            child.kill(group=group)
            ended = child.end()
        ends.append(ended)
    last = run(writer.words, place)
    trial = Trial("SIGKILL", f"{writer.name}: {'; '.join(said)}", number, faults=sum(end.code == -9 for end in ends))
    return judge(trial, bench, writer, place, ends, last=last)

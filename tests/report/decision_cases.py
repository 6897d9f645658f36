"""Contests made by hand: each system's scores by draw, its cost and its needs are the caller's."""

import random

from rmtbench.analysis.contest import Candidate, Contest, Family, Terms
from rmtbench.analysis.stats.leader import against_each
from rmtbench.analysis.stats.multiple import holm
from rmtbench.analysis.stats.paired import paired_differences

GIB = 2.0**30


def candidate(
    name,
    *,
    score=None,
    preparation=0.0,
    seconds=1.0,
    slow=None,
    memory=GIB,
    unfit="",
    tokens=(0.0, 0.0, 0.0),
    spared=False,
):
    return Candidate(
        name=name, run_id=f"run-{name}", unfit=unfit, score=score, error=None, preparation=preparation, seconds=seconds,
        slow=slow or seconds, memory=memory, kept=0.0, tokens=tokens, prepared_tokens=tokens[1],
        spared=spared,
    )  # fmt: skip


def contest(systems, *, questions=10, seed=0, unit="draw", all_pairs=False):
    """A contest of ``name: (right answers in each draw, options)``; every draw has so many questions."""
    made, sums, places = [], [], []
    for place, (name, (rights, options)) in enumerate(systems.items()):
        score = None if options.get("unfit") else sum(rights) / (len(rights) * questions)
        made.append(candidate(name, score=score, **options))
        if not options.get("unfit"):
            sums.append([float(right) for right in rights])
            places.append(place)
    draws = len(sums[0]) if sums else 0
    found = paired_differences(sums, [questions] * draws, seed=seed, resamples=2000) if sums else {}
    pairs = {(places[first], places[second]): pair for (first, second), pair in found.items()}
    return Contest(
        section="section", dataset="hotpotqa", size="small", model="m", metric="em", unit=unit, units=draws,
        questions=questions * draws, candidates=tuple(made),
        pairs=pairs, family=all_of(pairs) if all_pairs else each_of(sums, places),
    )  # fmt: skip


def each_of(sums, places):
    """Each system against each other."""
    found = against_each(sums, seed=0)
    return Family(max(1, len(places) - 1), {(places[one], places[two]): p for (one, two), p in found.items()})


def all_of(pairs):
    """All pairs as one family of tests."""
    adjusted = dict(zip(pairs, holm([pair.p for pair in pairs.values()]), strict=True))
    return Family(len(pairs), adjusted | {(two, one): p for (one, two), p in adjusted.items()}, all_pairs=True)


def random_contest(chance: random.Random) -> Contest:
    """A contest with anything in it: unfit systems, missing times, equal scores, few draws and many."""
    draws, systems = chance.choice((1, 2, 5, 6, 8, 20, 60)), {}
    common = [chance.randint(0, 10) for _ in range(draws)]
    for number in range(chance.randint(1, 7)):
        skill = chance.choice((-3, -1, 0, 0, 0, 1, 4))
        rights = [min(10, max(0, right + skill + chance.choice((0, 0, 0, 1, -1)))) for right in common]
        options = {
            "preparation": chance.choice((0.0, 0.5, chance.uniform(0, 100))),
            "seconds": None if chance.random() < 0.05 else chance.uniform(0.001, 9),
            "memory": chance.choice((None, chance.uniform(1e6, 4e10))),
            "tokens": (chance.uniform(0, 3e4), chance.choice((0.0, 2e4)), 12.5),
            "unfit": chance.choice(("", "", "", "", "incomplete: 3 of 24 questions answered")),
        }  # fmt: skip
        if options["seconds"] is None:
            options["unfit"] = "no timed answer, only warm-ups: ask more than 1 question, or more draws"
        options["slow"] = (options["seconds"] or 1.0) * chance.uniform(1, 3)
        systems[f"system-{number}"] = (rights, options)
    unit = "draw" if chance.random() < 0.7 else "question"
    return contest(systems, seed=chance.randint(0, 9), unit=unit, all_pairs=chance.random() < 0.2)


def random_terms(chance: random.Random) -> Terms:
    return Terms(
        questions=chance.choice((1, 20, 200, 5000, 1_000_000)),
        max_seconds=chance.choice((None, None, chance.uniform(0.1, 12))),
        max_memory=chance.choice((None, None, chance.uniform(1e7, 3e10))),
        price_per_hour=chance.choice((0.0, 2.5, 40.0)),
        price_input=chance.choice((0.0, 0.15)),
        price_cached=chance.choice((0.0, 0.075)),
        price_output=chance.choice((0.0, 0.6)),
        margin=chance.choice((0.005, 0.02, 0.05, 0.25)),
    )

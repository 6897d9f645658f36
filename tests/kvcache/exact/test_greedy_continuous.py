"""The loop over places on a device: one forward ahead of the host, and no second that is lost or counted twice."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from rmtbench.core import Finish
from rmtbench.kvcache.exact.shared import greedy_continuous
from rmtbench.kvcache.exact.static_places import Tokens
from rmtbench.models.decode import Decoded, Finishes, Forward, Ids

CAP = 6


class Ticking:
    """Each forward takes one second of its own clock, from where it is waited for; row k answers k, k + 1, ..."""

    behind = True

    def __init__(self) -> None:
        self.clock, self.begun, self.waited = 0.0, 0, 0
        self.most_ahead = 0
        self.next: dict[int, int] = {}
        self.read: list[int] = []
        self.cleared: list[int] = []

    def start(self, forward: Forward) -> Tokens:
        stepping, entering = forward.stepping, forward.entering
        self.begun += 1
        self.most_ahead = max(self.most_ahead, self.begun - self.waited)
        self.read.append(len(stepping) + sum(len(tail) for _, tail in entering))
        for place in stepping:
            self.next[place] += 1
        self.next |= {place: tail[0] for place, tail in entering}
        chosen = [self.next[place] for place in (*stepping, *(place for place, _ in entering))]

        def wait() -> list[int | None]:
            self.waited += 1
            self.clock += 1
            return [None if token == 99 else token for token in chosen]

        return wait

    def clear(self, place: int) -> None:
        self.cleared.append(place)


def answers(
    places: Ticking, prompts: list[tuple[int, list[int]]], count: int, finish: Finishes
) -> Iterator[tuple[int, Decoded]]:
    return greedy_continuous(places, iter(prompts), count, finish, CAP)  # type: ignore[arg-type]


def ends_at_a_third(ids: Ids) -> Finish | None:
    return "eos" if ids[-1] % 3 == 0 else None


@pytest.fixture
def places(monkeypatch: pytest.MonkeyPatch) -> Ticking:
    made = Ticking()
    monkeypatch.setattr("time.perf_counter", lambda: made.clock)
    return made


@pytest.mark.parametrize("count", [1, 2, 5])
def test_every_second_of_the_forwards_is_some_rows(places: Ticking, count: int) -> None:
    """A second in which a row that had ended was read is that row's; those of whoever takes results are nobody's."""
    prompts = [(number, [10 * number + 1, 0]) for number in range(7)]
    total = 0.0
    for _, row in answers(places, prompts, count, ends_at_a_third):
        assert places.begun == places.waited, "a forward ran while a result was taken"
        total += row.prefill_seconds + row.decode_seconds
        places.clock += 100
    assert total == pytest.approx(places.waited)
    assert places.most_ahead == 2


def test_rows_end_as_they_would_without_the_head_start(places: Ticking) -> None:
    prompts = [(0, [1]), (1, [3]), (2, [97]), (3, [200])]
    found = dict(answers(places, prompts, 2, lambda ids: "eos" if ids[-1] in (3, 5) else None))
    assert {key: (row.ids, row.finish) for key, row in found.items()} == {
        0: ((1, 2), "eos"),
        1: ((), "eos"),
        2: ((), "error"),
        3: (tuple(range(200, 206)), "length"),
    }
    assert found[2].error == "the model's logits are not finite (NaN or infinite) after 2 tokens of the answer"
    assert len(places.cleared) == 1


def test_a_row_reads_one_token_in_vain_only_after_an_end_token(places: Ticking) -> None:
    list(answers(places, [(0, [1])], 1, lambda _ids: None))
    assert sum(places.read) == CAP, "the last token of the answer is read by nobody"
    places.read.clear()
    list(answers(places, [(0, [1])], 1, ends_at_a_third))
    assert sum(places.read) == 3 + 1

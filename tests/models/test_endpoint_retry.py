"""Asking again, by a clock that nobody has to wait for: how long, how often, and when a server counts as gone."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import pytest

from rmtbench.errors import AnswerError, ServerGoneError
from rmtbench.models.endpoint.faults import TransientError
from rmtbench.models.endpoint.limits import BURST_SECONDS, MinuteLimit
from rmtbench.models.endpoint.retry import Clock, Patience, Retrying

BUSY = TransientError("status 503")
NOBODY = TransientError("no connection", unreachable=True)


@dataclass
class Time:
    """A clock that goes on by being slept on."""

    at: float = 100.0
    slept: list[float] = field(default_factory=list)

    def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.at += seconds

    def clock(self, chance: float = 1.0) -> Clock:
        return Clock(now=lambda: self.at, sleep=self.sleep, chance=lambda: chance)


def retrying(
    time: Time, chance: float = 1.0, requests: int | None = None, tokens: int | None = None, **patience: float
):
    buckets = [MinuteLimit(limit) if limit else None for limit in (requests, tokens)]
    return Retrying("host", Patience(**patience), time.clock(chance), *buckets)


def failing(*faults: TransientError, then: str = "yes") -> Callable[[float], str]:
    left = list(faults)

    def send(_seconds: float) -> str:
        if left:
            raise left.pop(0)
        return then

    return send


def call(retries: Retrying, send: Callable[[float], str], tokens: int = 0) -> str:
    return retries.call(send, lambda: tokens)


def test_waits_double_up_to_the_longest(time: Time) -> None:
    assert call(retrying(time, longest_wait=3.0), failing(*[BUSY] * 5)) == "yes"
    assert time.slept == [0.5, 1.0, 2.0, 3.0, 3.0]


@pytest.mark.parametrize(("chance", "wait"), [(0.0, 0.25), (0.5, 0.375)])
def test_half_of_each_wait_is_chance(time: Time, chance: float, wait: float) -> None:
    call(retrying(time, chance), failing(BUSY))
    assert time.slept == [wait]


def test_server_may_ask_for_a_longer_wait_and_not_for_a_shorter(time: Time) -> None:
    call(retrying(time), failing(TransientError("status 429", 40.0), TransientError("status 429", 0.0)))
    assert time.slept == [40.0, 1.0]


def test_a_wait_beyond_the_deadline_is_not_begun(time: Time) -> None:
    with pytest.raises(AnswerError, match=r"host: status 429, 1 request in 0 s"):
        call(retrying(time, deadline=30.0), failing(TransientError("status 429", 40.0)))
    assert time.slept == []


def test_a_server_closed_for_the_day_fails_no_question(time: Time) -> None:
    retries = retrying(time)
    assert call(retries, failing()) == "yes"
    for send in (failing(TransientError("status 429", 7200.0)), failing()):
        with pytest.raises(ServerGoneError, match=r"status 429; it asks to wait 7,200 s") as caught:
            call(retries, send)
    assert "resumes" in caught.value.remedy
    assert time.slept == []


def test_each_request_is_told_what_is_left_of_the_deadline(time: Time) -> None:
    told: list[float] = []
    send = failing(BUSY, BUSY)

    def noted(seconds: float) -> str:
        told.append(seconds)
        time.at += 2
        return send(seconds)

    call(retrying(time, deadline=30.0), noted)
    assert told == [30.0, 27.5, 24.5]


def test_first_whole_reply_is_kept_and_no_further_request_made(time: Time) -> None:
    made: list[str] = []

    def send(_seconds: float) -> str:
        made.append(f"reply {len(made)}")
        if len(made) < 3:
            raise BUSY
        return made[-1]

    assert call(retrying(time), send) == "reply 2"
    assert len(made) == 3


def test_one_question_that_always_fails_fails_alone(time: Time) -> None:
    retries = retrying(time, attempts=2)
    for _ in range(5):
        with pytest.raises(AnswerError, match="status 503, 2 requests"):
            call(retries, failing(*[BUSY] * 2))
        assert call(retries, failing()) == "yes"


def test_server_failing_three_times_is_gone_for_all(time: Time) -> None:
    retries = retrying(time, attempts=2)
    for _ in range(2):
        with pytest.raises(AnswerError):
            call(retries, failing(*[BUSY] * 2))
    for send in (failing(*[BUSY] * 2), failing()):
        with pytest.raises(ServerGoneError, match=r"does not answer any more \(status 503\)") as caught:
            call(retries, send)
    assert "resumes" in caught.value.remedy


def test_without_a_server_the_first_question_given_up_is_last(time: Time) -> None:
    retries = retrying(time, attempts=3)
    with pytest.raises(ServerGoneError):
        call(retries, failing(*[NOBODY] * 3))


def test_success_of_another_question_keeps_server_alive(time: Time) -> None:
    retries = retrying(time, attempts=3)
    send = failing(*[NOBODY] * 3)

    def beside(seconds: float) -> str:
        if len(time.slept) == 1:
            call(retries, failing())
        return send(seconds)

    with pytest.raises(AnswerError):
        call(retries, beside)


def test_a_server_never_heard_of_is_knocked_at_less_often(time: Time) -> None:
    with pytest.raises(ServerGoneError):
        retrying(time).call(failing(*[NOBODY] * 3), lambda: 0, 3)
    assert len(time.slept) == 2


def test_requests_a_minute_are_kept_after_a_short_burst(time: Time) -> None:
    retries, began = retrying(time, requests=60), time.at
    for _ in range(30):
        call(retries, failing())
    assert time.at - began == pytest.approx(30 - BURST_SECONDS)


def test_token_rate_limit_allows_one_larger_request(time: Time) -> None:
    retries, began = retrying(time, tokens=600), time.at
    for _ in range(4):
        call(retries, failing(), tokens=200)
    assert time.at - began == pytest.approx((800 - 50) / 10)


def test_requests_made_again_count_for_the_limit(time: Time) -> None:
    bucket_waits = retrying(time, requests=6, first_wait=0.001)
    call(bucket_waits, failing(*[BUSY] * 3))
    assert max(time.slept) == pytest.approx(10, abs=0.1)


def test_waiting_for_limit_is_not_servers_time(time: Time) -> None:
    told: list[float] = []
    retries, began = retrying(time, tokens=60, deadline=20.0), time.at

    def noted(seconds: float) -> str:
        told.append(seconds)
        return "yes"

    assert call(retries, noted, tokens=500) == "yes"
    assert time.at - began == pytest.approx(495)
    assert told == [20.0]
    assert call(retries, noted, tokens=10) == "yes"
    assert time.at - began == pytest.approx(555), "nothing else within its minute"


@pytest.fixture
def time() -> Time:
    return Time()


def test_a_limit_never_gives_more_than_its_rate_over_an_hour() -> None:
    bucket, now, given = MinuteLimit(120), 0.0, 0
    amounts: Sequence[int] = (1, 7, 2, 30, 1)
    while now < 3600:
        amount = amounts[given % len(amounts)]
        now += bucket.take(amount, now) + 0.01
        given += amount
    assert given <= 2 * 3600 + max(amounts), "the last one may come after the hour"
    assert given >= 2 * 3600 - 60


@pytest.mark.parametrize("limit", [1, 7, 60, 500])
def test_no_minute_has_more_requests_than_its_limit(limit: int) -> None:
    pace, asked = MinuteLimit(limit), 3 * limit + 1
    times = [pace.take(1, 0.0) for _ in range(asked)]
    assert times == sorted(times)
    most = max(sum(begin <= at < begin + 60 for at in times) for begin in times)
    assert most == limit
    assert times[-1] == pytest.approx(180), "and it is used up"


def test_requests_of_a_new_line_pass_in_a_short_burst() -> None:
    pace = MinuteLimit(120)
    waits = [pace.take(1, 0.0) for _ in range(12)]
    assert waits[:10] == [0.0] * int(2 * BURST_SECONDS)
    assert waits[10:] == pytest.approx([0.5, 1.0])

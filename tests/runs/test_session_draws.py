"""Draws that were made before the model was loaded are used again, and the others are made."""

from __future__ import annotations

from collections.abc import Sequence

from rmtbench.cli.running import FirstDraws
from rmtbench.runs.session import make_draws, make_one_draw, open_session
from rmtbench.spec import make_request


def words(texts: Sequence[str]) -> list[int]:
    return [len(text.split()) for text in texts]


def test_draws_that_were_made_are_not_made_again() -> None:
    request = make_request(
        "mini", {"systems": ("oracle",), "dataset": "handbook", "model": "random:tiny", "draws": 2}, {}
    )
    session = open_session(request, {})
    first = make_one_draw(session, 0, words)
    draws = make_draws(session, words, [first])
    assert draws[0] is first
    assert [draw.corpus.draw for draw in draws] == [0, 1]
    assert draws == make_draws(session, words)


def test_draws_before_the_model_are_made_as_far_as_asked() -> None:
    request = make_request(
        "mini", {"systems": ("oracle",), "dataset": "handbook", "model": "random:tiny", "draws": 2}, {}
    )
    session = open_session(request, {})
    draws = FirstDraws(session)
    assert draws.made == []
    first = next(iter(draws))
    assert draws.made == [first]
    assert make_draws(session, words, draws.made)[0] is first

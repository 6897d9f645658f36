"""What all draws have in common: ids, order, and chance that depends on the request alone."""

import pytest

from rmtbench.core import Source
from rmtbench.corpora.base import DrawRequest
from rmtbench.corpora.draws import DocumentIds, choose_size, generator, make_draw, shuffled, too_small
from rmtbench.errors import UserError

SIZES = {"smoke": 1, "small": 16, "large": 64}


def test_ids_are_titles_numbered_only_where_one_was_taken() -> None:
    ids = DocumentIds()
    given = [ids.new(title) for title in ("Quay", "Quay", " Quay ", "Quay (2)", "", " ", "Quay (2)")]
    assert given[:3] == ["Quay", "Quay (2)", "Quay (3)"]
    assert given[4:6] == ["untitled", "untitled (2)"]
    assert len(set(given)) == len(given)


def test_shuffling_leaves_the_argument_as_it_is() -> None:
    items = list(range(50))
    mixed = shuffled(items, generator("squad", DrawRequest("small", 0)))
    assert items == list(range(50)) == sorted(mixed) != mixed


def test_chance_depends_only_on_data_seed_and_draw() -> None:
    first = generator("squad", DrawRequest("small", 3, seed=7)).random()
    assert generator("squad", DrawRequest("large", 3, seed=7, questions=2)).random() == first
    others = [("hotpotqa", 3, 7), ("squad", 4, 7), ("squad", 3, 8), ("squad", 7, 3)]
    numbers = {generator(name, DrawRequest("small", draw, seed)).random() for name, draw, seed in others}
    assert len(numbers | {first}) == 5
    assert first == 0.3061241430954744, "what was drawn must be drawn again by every later version"


def test_an_unknown_size_is_told_with_the_nearest() -> None:
    with pytest.raises(UserError) as caught:
        choose_size(SIZES, "smal")
    error = caught.value
    assert (str(error), error.remedy) == (
        "--size: no size 'smal' here",
        "did you mean 'small'? Known: large, small, smoke",
    )


@pytest.mark.parametrize(
    ("there", "fitting", "remedy"),
    [
        (20, None, "use more data, or --size smoke or small"),
        (0, None, "use more data: no size fits"),
        (20, ["smoke"], "use more data, or --size smoke"),
        (20, [], "use more data: no size fits"),
    ],
)
def test_too_little_is_told_with_the_sizes_that_fit(there: int, fitting: list[str] | None, remedy: str) -> None:
    error = too_small(SIZES, "large", there, "rows", Source("official", "mine.json", "0"), fitting)
    assert (str(error), error.remedy) == (f"mine.json: size 'large' needs 64 rows; there are {there}", remedy)


def test_the_id_of_a_draw_says_all_that_decides_it() -> None:
    source = Source("official", "mine.json", "0")
    made = make_draw(dataset="squad", request=DrawRequest("small", 3, seed=7), source=source, documents=[], asked=[])
    assert made.corpus.id == "squad-small-seed7-draw3"

"""The scoring bench: every promised figure is there, and both sides give the same values."""

import json

from experiments.benches.scoring import LONGEST_ANSWER, LONGEST_REFERENCE, _texts, run


def test_small_bench_gives_figures_and_equal_values(monkeypatch):
    monkeypatch.setattr("experiments.benches.scoring.ROUNDS", 1)  # times are not what is tested
    result = run(answers=8, systems=2)
    assert result["max_abs_difference"] <= 1e-5
    assert set(result["seconds"]) == {
        *("package", "ours", "package_loaded", "ours_loaded", "package_agreeing", "ours_agreeing"),
    }
    assert all(seconds > 0 for seconds in result["seconds"].values())
    for speedup, slow, fast in (
        ("speedup", "package", "ours"),
        ("speedup_without_loading", "package_loaded", "ours_loaded"),
        ("speedup_when_systems_agree", "package_agreeing", "ours_agreeing"),
    ):
        assert result[speedup] == result["seconds"][slow] / result["seconds"][fast]
    assert set(result["as_batched"]) == {"max_abs_difference", "pairs_beyond_1e-5"}
    assert 0 <= result["as_batched"]["pairs_beyond_1e-5"] <= 16
    assert (result["answers"], result["systems"]) == (8, 2)
    assert (result["longest_answer_words"], result["longest_reference_words"]) == (16, 8)
    assert "weights sha256:" in result["scorer"]
    assert result["threads"] >= 1
    assert result["versions"]["torch"]
    assert json.loads(json.dumps(result)) == result


def test_invented_answers_are_seeded_distinct_and_sized():
    references, systems = _texts(60, 3, agreeing=0.0)
    assert (references, systems) == _texts(60, 3, agreeing=0.0)
    everything = [*references, *(text for system in systems for text in system)]
    assert len(set(everything)) == len(everything) == 4 * 60
    assert (
        max(len(text.split()) for text in references) <= LONGEST_REFERENCE + 1
    )  # some carry a number that sets them apart
    assert max(len(text.split()) for system in systems for text in system) <= LONGEST_ANSWER + 1


def test_agreeing_systems_share_the_stated_part_of_their_answers():
    references, systems = _texts(60, 3, agreeing=0.5)
    assert references == _texts(60, 3, agreeing=0.0)[0]
    agreed = [len(set(answers)) == 1 for answers in zip(*systems, strict=True)]
    assert agreed == [True] * 30 + [False] * 30

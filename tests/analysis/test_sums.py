"""Sums by cluster in little memory: they read as a mapping, and survive being sent to another process."""

import pickle

from rmtbench.analysis.sums import compact, sum_clusters


def test_sums_read_as_a_mapping_of_sum_and_number():
    sums = sum_clusters({"em": {3: [1.0, 0.0, 1.0], 1: [0.5]}, "f1": {3: [0.1] * 10, 1: []}})
    assert sums["em"] == {3: (2.0, 3), 1: (0.5, 1)}
    assert list(sums["em"]) == [3, 1]
    assert sums["f1"][3] == (1.0, 10)  # exact, where adding one after the other gives 0.9999999999999999
    assert sums["em"] != sums["f1"]


def test_sums_come_back_from_another_process_as_they_were():
    sums = compact({7: (0.25, 2), 0: (1.0, 1)})
    assert pickle.loads(pickle.dumps(sums)) == sums == {7: (0.25, 2), 0: (1.0, 1)}

"""Quantiles of resampled means: the same bits as numpy's, however the values are spread."""

import numpy as np
import pytest

from rmtbench.analysis.stats.resampling import _quantile

SPREADS = {
    "normal": lambda chance, many: chance.normal(size=many),
    "skewed": lambda chance, many: chance.exponential(size=many),
    "few values": lambda chance, many: chance.integers(3, size=many) / 7,
    "one value": lambda _chance, many: np.full(many, 0.3),
    "sorted": lambda chance, many: np.sort(chance.normal(size=many)),
    "end hidden from the sample": lambda _chance, many: np.where(np.arange(many) % 64 == 1, -1.0, 1.0),
}


@pytest.mark.parametrize("name", SPREADS)
@pytest.mark.parametrize("many", [1, 2, 63, 1_000, 10_000])
def test_a_quantile_has_the_bits_of_numpys(name, many):
    chance = np.random.default_rng(5)
    for share in (0.0001, 0.013, 0.0251, 0.2, 0.5, 0.7, 0.9773, 0.99, 0.9999):
        values = SPREADS[name](chance, many)
        assert _quantile(values, share) == float(np.quantile(values, share))

"""The clustered error and Holm's correction are those of statsmodels."""

import numpy as np
import pytest
from statsmodels.regression.linear_model import OLS
from statsmodels.stats.multitest import multipletests

from rmtbench.analysis.stats.intervals import estimate_mean
from rmtbench.analysis.stats.multiple import holm


@pytest.mark.parametrize("clusters", [2, 5, 40])
def test_mean_is_cluster_robust_regression_on_constant(clusters):
    chance = np.random.default_rng(clusters)
    listed = [(chance.normal() + chance.normal(size=size)).tolist() for size in chance.integers(1, 9, size=clusters)]
    values = [value for cluster in listed for value in cluster]
    groups = [number for number, cluster in enumerate(listed) for _ in cluster]
    fit = OLS(values, np.ones(len(values))).fit(cov_type="cluster", cov_kwds={"groups": np.array(groups)}, use_t=True)
    estimate = estimate_mean(listed)
    assert (estimate.mean, estimate.standard_error) == pytest.approx((fit.params[0], fit.bse[0]), rel=1e-9)
    assert (estimate.low, estimate.high) == pytest.approx(tuple(fit.conf_int()[0]), rel=1e-9)


def test_adjusted_p_values_are_the_same():
    p_values = np.random.default_rng(0).random(30) ** 3
    assert holm(p_values.tolist()) == pytest.approx(tuple(multipletests(p_values, method="holm")[1]), abs=1e-12)

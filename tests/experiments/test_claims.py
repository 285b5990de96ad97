"""A claim about a trend is judged by its own scatter: against SciPy's test on slopes computed by hand."""

import numpy as np
import pytest
import scipy.stats

from globalmin.experiments.claims import falls

WIDTHS = [100, 200, 400]


@pytest.mark.parametrize(("drop", "noise"), [(0.1, 0.01), (0.02, 0.05), (0.0, 0.05), (-0.1, 0.01), (0.05, 0.05)])
def test_falls_is_students_test_of_the_slopes(drop, noise):
    draw = np.random.default_rng(3)
    values = np.exp(-drop * np.arange(3)[:, None] + draw.normal(size=6) + noise * draw.normal(size=(3, 6)))
    # Least squares at three equidistant points: half the difference of the ends.
    slopes = (np.log(values[2]) - np.log(values[0])) / 2
    p = scipy.stats.ttest_1samp(slopes, 0, alternative="less").pvalue  # pyright: ignore
    claim = falls("it falls", WIDTHS, values)
    assert claim.passed is bool(p < 0.05)
    assert f"{100 * slopes.mean():+.2f} ± {100 * scipy.stats.sem(slopes):.2f}% a doubling" in claim.measured
    assert "6 seeds" in claim.measured


def test_what_seeds_share_cancels_and_pure_noise_seldom_passes():
    """A common factor of e^±3 per seed hides nothing; of 400 experiments without a trend about 5% pass."""
    draw = np.random.default_rng(0)
    common = np.exp(3 * draw.normal(size=5))
    assert falls(
        "it falls", WIDTHS, common * np.array([[1.0], [0.9], [0.81]]) * (1 + 1e-3 * draw.normal(size=(3, 5)))
    ).passed
    passed = sum(falls("noise", WIDTHS, np.exp(draw.normal(size=(3, 5)))).passed for _ in range(400))
    # 20 expected, four binomial deviations of 4.4 each way.
    assert 3 <= passed <= 38


def test_one_seed_or_one_width_proves_nothing():
    for widths, values in ((WIDTHS, np.array([[3.0], [2.0], [1.0]])), ([100], np.array([[3.0, 2.0]]))):
        claim = falls("it falls", widths, values)
        assert not claim.passed
        assert "two widths and two seeds" in claim.asked
        assert "nan" not in claim.measured

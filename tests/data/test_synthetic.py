import math

import numpy as np
import pytest
from scipy import stats

from globalmin.data import synthetic


def makers(n, d, seed):
    x = synthetic.sphere(n, d, seed=seed)
    return {
        "sphere": x,
        "gaussian": synthetic.gaussian(n, d, seed=seed),
        "nearly_parallel": synthetic.nearly_parallel(n, d, angle=1e-3, seed=seed),
        "normal_labels": synthetic.normal_labels(n, seed=seed),
        "sign_labels": synthetic.sign_labels(n, seed=seed),
        "teacher_labels": synthetic.teacher_labels(x, seed=seed),
    }


def test_a_seed_decides_every_byte():
    first, again, other = makers(9, 4, 5), makers(9, 4, 5), makers(9, 4, 6)
    for name in first:
        np.testing.assert_array_equal(first[name], again[name])
        assert not np.array_equal(first[name], other[name]), name


@pytest.mark.parametrize("radius", [1.0, math.sqrt(50)])
def test_sphere_has_its_radius_and_is_uniform(radius):
    n, d = 4000, 50
    x = synthetic.sphere(n, d, seed=1, radius=radius)
    norms = [math.sqrt(math.fsum(v * v for v in row)) for row in x]
    np.testing.assert_allclose(norms, radius, rtol=1e-15)
    # The first coordinate t of a uniform point: (t + 1)/2 ~ Beta((d−1)/2, (d−1)/2).
    p = stats.kstest((x[:, 0] / radius + 1) / 2, stats.beta((d - 1) / 2, (d - 1) / 2).cdf).pvalue
    assert p > 1e-4
    second = x.T @ x / n  # E x xᵀ = (radius²/d) I; an entry deviates by at most about radius²/d √(2/n)
    np.testing.assert_allclose(second * d / radius**2, np.eye(d), rtol=0, atol=5 * math.sqrt(2 / n))


def test_gaussian_rows_and_labels():
    x = synthetic.gaussian(400, 30, seed=2)
    assert stats.kstest(x.ravel(), "norm").pvalue > 1e-4
    y = synthetic.normal_labels(5000, seed=2)
    assert stats.kstest(y, "norm").pvalue > 1e-4
    signs = synthetic.sign_labels(5000, seed=2)
    assert set(signs) == {-1.0, 1.0}
    assert abs(signs.mean()) < 5 / math.sqrt(5000)
    # With one seed, inputs and labels are independent: a shared stream would give correlation 1.
    flat = synthetic.gaussian(5000, 1, seed=2)[:, 0]
    assert abs(np.corrcoef(flat, y)[0, 1]) < 5 / math.sqrt(5000)


@pytest.mark.parametrize("angle", [1e-9, 1e-4, 1.0, math.pi / 2, math.pi])
@pytest.mark.parametrize("n", [6, 7])
def test_pairs_enclose_the_angle(angle, n):
    x = synthetic.nearly_parallel(n, 5, angle=angle, seed=3)
    assert x.shape == (n, 5)
    np.testing.assert_allclose(np.linalg.norm(x, axis=1), 1.0, rtol=1e-15)
    for k in range(0, n - 1, 2):
        chord = np.linalg.norm(x[k] - x[k + 1])
        # 1e-15: the entries of both rows are rounded at 1e-16 each.
        assert abs(chord - 2 * math.sin(angle / 2)) < 1e-15
    assert np.linalg.norm(x[0] - x[2]) > 0.1


def test_teacher_is_a_relu_network_of_its_width():
    x = synthetic.sphere(3, 4, seed=1)
    np.testing.assert_allclose(  # positively homogeneous
        synthetic.teacher_labels(3 * x, seed=2), 3 * synthetic.teacher_labels(x, seed=2), rtol=1e-13
    )
    draws = np.array([synthetic.teacher_labels(x[:1], seed=s, width=3)[0] for s in range(4000)])
    # y² has mean E max(g, 0)² = 1/2 and a standard deviation below √E y⁴ ≤ √1.5.
    assert abs((draws**2).mean() - 0.5) < 5 * math.sqrt(1.5 / 4000)
    assert abs(draws.mean()) < 5 * math.sqrt(0.5 / 4000)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: synthetic.sphere(0, 3, seed=0), "n: an integer of at least 1 expected, 0 came"),
        (lambda: synthetic.sphere(3, 0, seed=0), "d: an integer of at least 1 expected, 0 came"),
        (lambda: synthetic.sphere(3, 3, seed=0, radius=-1.0), "radius: a positive number expected, -1.0 came"),
        (lambda: synthetic.gaussian(3, 3, seed=-2), "seed: an integer of at least 0 expected, -2 came"),
        (lambda: synthetic.nearly_parallel(4, 1, angle=0.1, seed=0), "d: an integer of at least 2 expected, 1 came"),
        (lambda: synthetic.nearly_parallel(4, 3, angle=0.0, seed=0), "angle: radians in .* expected, 0.0 came"),
        (lambda: synthetic.normal_labels(0, seed=0), "n: an integer of at least 1"),
        (lambda: synthetic.sign_labels(0, seed=0), "n: an integer of at least 1"),
        (lambda: synthetic.teacher_labels(np.ones((2, 2)), seed=0, width=0), "width: an integer of at least 1"),
    ],
)
def test_bad_input(call, message):
    with pytest.raises(ValueError, match=message):
        call()


def test_ackley_labels():
    """The stated values; and one row by its sum."""
    x = np.random.default_rng(0).standard_normal((100, 200))
    np.testing.assert_allclose(synthetic.ackley_labels(x)[:3], [-34.07785012, -70.46119012, 16.93197529], atol=1e-8)
    x /= np.linalg.norm(x, axis=1, keepdims=True)
    np.testing.assert_allclose(synthetic.ackley_labels(x)[:3], [-2.23570519, 1.48398634, -2.18846266], atol=1e-8)
    with pytest.raises(ValueError, match="without zero entries"):
        synthetic.ackley_labels(np.zeros((1, 2)))

"""Eigenvalue bounds against Sylvester's law of inertia in exact rational arithmetic: never above λ_min, never below λ_max."""

from fractions import Fraction

import numpy as np
import pytest

from globalmin.rigorous import Enclosure, spectrum


def positive_definite(a, shift, sign=1):
    """Whether sign·A − shift·I is positive definite, by pivots in rational arithmetic."""
    n = len(a)
    rows = [[sign * Fraction(v) for v in row] for row in a.tolist()]
    for i in range(n):
        rows[i][i] -= Fraction(shift)
    for k in range(n):
        if not rows[k][k] > 0:
            return False
        for i in range(k + 1, n):
            factor = rows[i][k] / rows[k][k]
            for j in range(k + 1, n):
                rows[i][j] -= factor * rows[k][j]
    return True


def gram(g, kind, n):
    factors = g.integers(-1000, 1000, (n, n + 2)) / 64.0
    if kind == "duplicate rows" and n > 1:
        factors[-1] = factors[0]
    if kind == "nearly duplicate" and n > 1:
        factors[-1] = factors[0] * (1 + 2.0**-30)
    if kind == "indefinite":
        return (factors[:, :n] + factors[:, :n].T) / 2
    return factors @ factors.T


@pytest.fixture(params=["eigenvectors", "Cholesky"])
def route(request, monkeypatch):
    if request.param == "Cholesky":
        monkeypatch.setattr(spectrum, "EIGEN_LIMIT", 0)
    return request.param


@pytest.mark.parametrize("kind", ["generic", "duplicate rows", "nearly duplicate", "indefinite"])
def test_bounds_are_on_the_right_side(route, kind):
    g = np.random.default_rng(2)
    for n in (1, 2, 3, 8):
        a = gram(g, kind, n)
        low, high = spectrum.extreme_eigenvalues(Enclosure.exact(a))
        assert positive_definite(a, low.lower)
        assert not positive_definite(a, low.upper)
        assert positive_definite(a, -high.upper, sign=-1)
        assert not positive_definite(a, -high.lower, sign=-1)
        # Sharp to a few units of n eps ‖A‖: the bound proves what rounding allows to be proven.
        assert high.upper - high.lower + low.upper - low.lower <= 200 * (n + 2) * 2.0**-53 * np.abs(a).sum(1).max()
        if kind == "duplicate rows" and n > 1:
            assert low.lower <= 0 <= low.upper


def test_radii_enter_by_weyl(route):
    g = np.random.default_rng(3)
    a = gram(g, "generic", 6)
    radius = 1e-3 * np.ones_like(a)
    low, high = spectrum.extreme_eigenvalues(Enclosure(a, radius))
    for sign in (-1, 1):
        inside = a + sign * radius
        assert positive_definite(inside, low.lower)
        assert positive_definite(inside, -high.upper, sign=-1)


@pytest.mark.parametrize("scale", [1e-140, 1e-308, 1e140])
def test_scales(route, scale):
    a = gram(np.random.default_rng(4), "generic", 5) * scale
    low, high = spectrum.extreme_eigenvalues(Enclosure.exact(a))
    assert positive_definite(a, low.lower)
    assert positive_definite(a, -high.upper, sign=-1)


def test_large_matrices_against_lapack():
    g = np.random.default_rng(5)
    a = g.standard_normal((330, 340))
    low, high = spectrum.extreme_eigenvalues(Enclosure.exact(a @ a.T))
    values = np.linalg.eigvalsh(a @ a.T)
    # LAPACK is off by n eps ‖A‖ at most.
    error = 330 * 2.0**-52 * values[-1]
    assert low.lower <= values[0] + error
    assert values[0] - error <= low.upper
    assert high.lower <= values[-1] + error
    assert values[-1] - error <= high.upper
    assert low.upper - low.lower < 1e-6 * values[0]


@pytest.mark.parametrize("shape", [(3, 7), (7, 3), (1, 1)])
def test_operator_norm(shape):
    a = np.random.default_rng(6).integers(-99, 99, shape) / 8.0
    found = spectrum.operator_norm(Enclosure.exact(a))
    short = a if shape[0] <= shape[1] else a.T
    exact = short @ short.T  # small integers over 64: exact in doubles
    assert positive_definite(exact, -(Fraction(found.upper) ** 2), sign=-1)
    assert not positive_definite(exact, -(Fraction(found.lower) ** 2), sign=-1)
    assert spectrum.operator_norm(Enclosure.exact(np.zeros(shape))).upper == 0

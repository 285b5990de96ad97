"""Local constants of a two-layer network: against loops and an ODE solver, the bound against descents."""

from typing import Any

import numpy as np
import pytest
import scipy.integrate
import scipy.linalg

from globalmin import Estimate
from globalmin.theory.curvature.two_layer_local import local_drift, tabulate


class Tanh:
    """m^{-1/2} Σ a_r tanh(w_r·x) in NumPy."""

    def __init__(self, seed, n=5, d=3, m=40, size=1.0):
        g = np.random.default_rng(seed)
        self.x = g.standard_normal((n, d)) + 1.0  # correlated rows
        self.x *= size / np.linalg.norm(self.x, axis=1, keepdims=True)
        self.w, self.a, self.y = g.standard_normal((m, d)), g.uniform(-1, 1, m), g.standard_normal(n)
        # Labels near the outputs: descent then ends within reach of the table.
        self.y = self.y * 0.02 + np.tanh(self.x @ self.w.T) @ self.a / np.sqrt(m)

    def slopes(self, w):
        return 1 - np.tanh(self.x @ w.T) ** 2

    def bends(self, w):
        return -2 * np.tanh(self.x @ w.T) * self.slopes(w)

    def jacobian(self, w):
        rows = self.slopes(w) * self.a / np.sqrt(len(w))
        return (rows[:, :, None] * self.x[:, None, :]).reshape(len(self.x), -1)

    def residual(self, w):
        return np.tanh(self.x @ w.T) @ self.a / np.sqrt(len(w)) - self.y

    def constants(self) -> tuple[Any, ...]:
        j = self.jacobian(self.w)
        k = j @ j.T
        low = np.linalg.eigvalsh(k)[0]
        return k, Estimate(float(low), 1e-13), self.x, self.slopes(self.w), self.bends(self.w), self.a, 2.0

    def root(self):
        """K^{-1/2}."""
        j = self.jacobian(self.w)
        values, vectors = np.linalg.eigh(j @ j.T)
        return vectors / np.sqrt(values) @ vectors.T


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("share", [0.1, 1.0])
def test_along_a_descent_the_jacobian_moves_no_more_than_the_table_says(seed, share):
    net = Tanh(seed, size=1.0 + seed % 3)
    drift = local_drift(*net.constants())
    assert drift is not None
    root, first = net.root(), net.jacobian(net.w)
    eta = share / np.linalg.norm(first, 2) ** 2
    w, path, tightest = net.w, 0.0, 0.0
    for _ in range(300):
        step = eta * (net.jacobian(w).T @ net.residual(w)).reshape(w.shape)
        if path + np.linalg.norm(step) > drift.lengths[-1]:
            break
        w, path = w - step, path + float(np.linalg.norm(step))
        moved = np.linalg.norm(root @ (net.jacobian(w) - first), 2)
        bound = drift.drift(path) / drift.sigma
        assert moved <= bound * (1 + 1e-9)
        tightest = max(tightest, moved / bound)
        # What the certificate takes from it: the smallest singular value.
        lowest = np.linalg.svd(net.jacobian(w), compute_uv=False)[-1]
        assert lowest >= np.sqrt(net.constants()[1].value) - drift.drift(path) - 1e-12
    assert tightest > 0.02


def test_the_three_constants_are_those_of_single_neurons():
    """By loops over neurons: worst Frobenius norms over |u| = 1 from an n × n eigenproblem are below the traces used."""
    net = Tanh(3)
    drift = local_drift(*net.constants())
    assert drift is not None
    root, (n, d), m = net.root(), net.x.shape, len(net.a)
    alpha = upsilon = 0.0
    for r in range(m):
        # u ↦ A(K^{-1/2}u) as a d² × n matrix.
        forms = np.stack([np.outer(x, x).ravel() * b for x, b in zip(net.x, net.bends(net.w)[:, r], strict=True)], 1)
        alpha = max(alpha, abs(net.a[r]) / np.sqrt(m) * np.linalg.norm(forms @ root))
        block = net.jacobian(net.w).reshape(n, m, d)[:, r]
        upsilon = max(upsilon, float(np.linalg.norm(root @ block)))
    gram = net.x @ net.x.T
    kappa = np.abs(net.a).max() / np.sqrt(m) * np.sqrt(np.linalg.eigvalsh(gram**3)[-1] / net.constants()[1].value)
    lengths, deltas = tabulate(alpha, upsilon, kappa)
    # The code's constants are these and a doubt that is far below 1e-6 here.
    np.testing.assert_allclose(drift.lengths, lengths, rtol=1e-6)
    np.testing.assert_allclose(drift.deltas, deltas, rtol=1e-6)


@pytest.mark.parametrize(
    ("alpha", "upsilon", "kappa"), [(1.0, 0.5, 10.0), (0.1, 0.1, 0.0), (0.0, 0.3, 2.0), (2.0, 0.0, 1.0)]
)
def test_the_table_is_above_the_differential_equation_and_near_it(alpha, upsilon, kappa):
    lengths, deltas = tabulate(alpha, upsilon, kappa)
    assert deltas[-1] < 1
    assert deltas[-1] > 0.4
    wanted = lengths[deltas < 0.7]

    def slope(length, q):
        return (upsilon + alpha * q + kappa * q**2) / (1 - length * (alpha + kappa * q))

    solved = scipy.integrate.solve_ivp(slope, (0, wanted[-1]), [0.0], t_eval=wanted, rtol=1e-11, atol=1e-13)
    exact = wanted * (alpha + kappa * solved.y[0])
    assert (deltas[: len(wanted)] >= exact * (1 - 1e-9)).all()
    np.testing.assert_allclose(deltas[: len(wanted)], exact, rtol=0.02, atol=1e-9)  # 400 nodes, first order


def test_the_integral_is_the_drifts():
    drift = local_drift(*Tanh(1).constants())
    assert drift is not None
    for length in drift.lengths[-1] * np.array([0.0, 1e-4, 0.31, 0.5003, 1.0]):
        # Linear between its nodes, so that the trapezoid rule on them is exact.
        nodes = np.append(drift.lengths[drift.lengths < length], length)
        expected = np.trapezoid([drift.drift(float(node)) for node in nodes], nodes)
        assert drift.drift_integral(float(length)) == pytest.approx(expected, rel=1e-12, abs=1e-15)
    assert drift.drift(2 * drift.lengths[-1]) == drift.drift_integral(2 * drift.lengths[-1]) == np.inf


def test_a_singular_gram_has_no_local_drift():
    net = Tanh(0)
    net.x[1] = net.x[0]
    k, _, *rest = net.constants()
    assert local_drift(k, Estimate(0.0, 1e-13), *rest) is None

"""Lemmas 2.1-2.3 and 3.2-3.4, about the first iterate: by hand, by sampling, by quadrature."""

import dataclasses
import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from globalmin._core import Estimate
from globalmin.theory.gao2022 import (
    Contraction,
    FeatureRadius,
    FeatureRadiusPrinted,
    GeometricLimit,
    InitialGramChernoff,
    InitialGramEntrywise,
    InitialGramMeasured,
    InitialGramPrinted,
    InitialNorms,
    OneSided,
    PositiveLimit,
    hermite_square,
)

from .problems import FAILS, GRAM, HOLDS, UNDECIDED, Network, promise, row


@pytest.mark.parametrize(("n", "d", "m", "factor"), [(100, 100, 200, 1.1), (200, 200, 400, 1.5), (400, 300, 800, 2.0)])
def test_a3_the_relu_is_not_lipschitz_in_operator_norm(n, d, m, factor):
    draw = np.random.default_rng(0)
    x = draw.normal(size=(n, d))
    x /= np.linalg.norm(x, axis=1, keepdims=True)
    w = draw.normal(size=(m, d))
    features = np.linalg.norm(np.maximum(x @ w.T, 0), 2)
    norms = float(np.linalg.norm(x, 2)), float(np.linalg.norm(w, 2))
    assert features > factor * norms[0] * norms[1]
    moved = 0.1 * w  # W = 1.1W₀: the difference of the features scales as they do
    change = np.maximum(x @ (w + moved).T, 0) - np.maximum(x @ w.T, 0)
    assert np.linalg.norm(change, 2) > factor * norms[0] * np.linalg.norm(moved, 2)
    assert np.linalg.norm(change) <= norms[0] * np.linalg.norm(moved)
    printed = FeatureRadiusPrinted(m, 0.1, norms[0], norms[1], float(features) / (norms[0] * norms[1]))
    assert row(printed, "step of the proof").verdict is FAILS
    assert printed.verdict is FAILS


@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 10**6), n=st.integers(1, 5), m=st.sampled_from([6, 20, 60]), share=st.floats(0.0, 1.0))
def test_the_corrected_radius_keeps_the_gram_matrix(seed, n, m, share):
    """Also in the direction that lowers σ_min(Φ) fastest."""
    net = Network.draw(seed, n, 4, m)
    floor = float(np.linalg.eigvalsh(net.phi @ net.phi.T)[0])
    if floor < 1e-9:
        return
    certificate = FeatureRadius(m, 10.0, floor, float(np.linalg.norm(net.x, 2)))
    assert certificate.verdict is HOLDS
    assert certificate.level == pytest.approx(4 * floor / 3)
    left, _, right = np.linalg.svd(net.phi, full_matrices=False)
    steepest = -(net.open * left[:, -1][:, None] * right[-1]).T @ net.x
    for direction in (steepest, np.random.default_rng(seed).normal(size=net.w.shape)):
        w = net.w + share * certificate.radius * direction / np.linalg.norm(direction)
        phi = np.maximum(net.x @ w.T, 0) / math.sqrt(m)
        assert np.linalg.eigvalsh(phi @ phi.T)[0] >= certificate.level / 2 * (1 - 1e-9)
        assert promise(certificate, "lambda_min_features").limit == pytest.approx(certificate.level / 2)


def test_the_corrected_radius_is_sharp_for_one_neuron():
    """m = n = 1: σ_min(Φ) loses exactly ‖X‖‖W − W(0)‖_F/√m, so a radius larger by 1% is too large."""
    certificate = FeatureRadius(1, 0.4, 0.3, 1.0)  # w = √0.3, x = 1: λ_min(G(0)) = 3λ₀/4
    assert (math.sqrt(0.3) - certificate.radius) ** 2 == pytest.approx(0.2, rel=1e-12)
    assert (math.sqrt(0.3) - 1.01 * certificate.radius) ** 2 < 0.2
    assert dataclasses.replace(certificate, distance=1.01 * certificate.radius).verdict is FAILS
    assert certificate.radius == pytest.approx(0.1589186225 * math.sqrt(0.4), rel=1e-9)


def test_initial_norms_by_sampling():
    """δ = 0.2 at m = 40: both norms are inside at least as often as promised (the bound is loose, so always)."""
    certificate, draw = InitialNorms(20, 40, 0.1, 0.2), np.random.default_rng(0)
    assert certificate.verdict is HOLDS
    assert certificate.c == pytest.approx(2 + math.sqrt(2 * math.log(20) / 40))
    bad = 0
    for _ in range(100):
        norms = np.linalg.norm(draw.normal(size=(40, 40)), 2), np.linalg.norm(draw.normal(size=(40, 20)), 2)
        bad += max(norms) > certificate.c * math.sqrt(40)
    assert bad <= 20
    assert InitialNorms(41, 40, 0.1, 0.2).verdict is FAILS
    assert InitialNorms(20, 40, 0.13, 0.2).verdict is FAILS


def test_contraction_and_its_linear_rate():
    """Lemma 2.2: ‖z^l − z‖ ≤ q^l‖φ‖/(1 − q); Lemma 2.3: σ_min(I − gDA) ≥ 1 − q."""
    net = Network.draw(0, 4, 5, 50, 0.2)
    q = net.g * float(np.linalg.norm(net.a, 2))
    assert Contraction(q).verdict is HOLDS
    z = np.zeros_like(net.z)
    for depth in range(30):
        gap = np.linalg.norm(z - net.z, axis=1)
        assert (gap <= q**depth * np.linalg.norm(net.phi, axis=1) / (1 - q) + 1e-15).all()
        z = np.maximum(net.g * z @ net.a.T + net.phi, 0)
    draw = np.random.default_rng(1)
    for _ in range(20):
        inverse = np.eye(50) - net.g * draw.uniform(size=50)[:, None] * net.a
        assert np.linalg.svd(inverse, compute_uv=False)[-1] >= 1 - q
    assert Contraction(1.0).verdict is FAILS
    assert Contraction(0.6, slope=2.0).verdict is FAILS
    assert Contraction(Estimate(0.99, 0.02)).verdict is UNDECIDED
    assert Contraction(0.4, slope=2.0).promises()[0].limit == 0.5


def test_one_sided_well_posedness():
    assert OneSided(0.99).verdict is HOLDS
    assert OneSided(1.0).verdict is FAILS
    assert OneSided(0.5, slope01=False).verdict is FAILS
    assert OneSided(Estimate(0.99, 0.02)).verdict is UNDECIDED
    assert OneSided(0.5).promises()[0].quantity == "one_sided_norm"


def test_positive_limit():
    assert PositiveLimit(0.1, 0.04, (1, 2)).verdict is HOLDS
    assert "rows 1 and 2; computed λ₀ = 0.04" in row(PositiveLimit(0.1, 0.04, (1, 2)), "parallel").note
    assert PositiveLimit(0.0, 0.04).verdict is FAILS
    assert PositiveLimit(0.1, 0.04, activation="tanh").verdict is FAILS
    assert PositiveLimit(Estimate(1e-9, 1e-8), 0.04).verdict is UNDECIDED


def test_hermite_coefficients_against_quadrature():
    """By the trapezoidal rule on [0, 14] with the recurrence of the orthonormal polynomials; error about h² = 1e-8."""
    z = np.linspace(0, 14, 140001)
    weight = z * np.exp(-(z**2) / 2) / math.sqrt(2 * math.pi)
    previous, here = np.zeros_like(z), np.ones_like(z)
    for k in range(13):
        a = np.trapezoid(weight * here, z)
        assert hermite_square(k) == pytest.approx(a**2, abs=1e-8), k
        previous, here = here, (z * here - math.sqrt(k) * previous) / math.sqrt(k + 1)
    # Σ a_k² = E relu² = ½, up to a tail of about k^{−3/2}/(2π)^{3/2}·... < 1e-4.
    assert sum(hermite_square(k) for k in range(3000)) == pytest.approx(0.5, abs=1e-4)
    # Across the change of formula, and from below.
    assert hermite_square(1004) / hermite_square(1002) == pytest.approx((1002 / 1004) ** 2.5, rel=1e-3)
    assert hermite_square(1002) > hermite_square(1004) > hermite_square(1006)


@settings(max_examples=80, deadline=None)
@given(seed=st.integers(0, 10**6), n=st.integers(1, 8), d=st.integers(2, 10), close=st.floats(1e-4, 1.0))
def test_the_geometric_bound_is_below_the_true_eigenvalue(seed, n, d, close):
    draw = np.random.default_rng(seed)
    x = draw.normal(size=(n, d))
    if n > 1:
        x[1] = x[0] + close * x[1]
    x /= np.linalg.norm(x, axis=1, keepdims=True)
    gram = np.clip(x @ x.T, -1, 1)
    rho = float(abs(gram - np.eye(n)).max())
    certificate = GeometricLimit(n, rho)
    true = np.linalg.eigvalsh((np.sqrt(1 - gram**2) + (np.pi - np.arccos(gram)) * gram) / (2 * np.pi))[0]
    power, bound = certificate.best
    assert bound <= true + 1e-9  # arccos near 1 costs half of the digits, on entries of order 1e-4 at least
    assert power == 1 or power % 2 == 0
    if rho < 1 - 1e-9:
        assert certificate.verdict is HOLDS
        # Not worse than any power of a list.
        values = [hermite_square(k) * (1 - (n - 1) * rho**k) for k in (1, 2, 4, 8, 16, 64, 256)]
        assert bound >= 0.9 * max(values)


def test_geometric_bound_by_hand():
    assert GeometricLimit(4, 0.1).best == (1, pytest.approx(0.25 * 0.7))
    # The four unit vectors of the tests: λ₀ = 0.04023463.
    power, bound = GeometricLimit(4, 0.86568542).best
    assert power == 10
    assert bound == pytest.approx(hermite_square(10) * (1 - 3 * 0.86568542**10))
    assert bound < 0.04023463
    assert GeometricLimit(4, 1.0).verdict is FAILS
    assert GeometricLimit(4, 0.5, activation="tanh").verdict is FAILS
    assert GeometricLimit(4, 0.5, norm_deviation=0.1).verdict is FAILS
    assert GeometricLimit(4, Estimate(1.0 - 1e-6, 1e-5)).verdict is UNDECIDED
    assert GeometricLimit(50, 1 - 1e-9).verdict is HOLDS
    with pytest.raises(ValueError, match="at least 1"):
        GeometricLimit(0, 0.5)


def gram(cls, changes) -> Any:
    return cls(**(GRAM | changes))


def test_lemma_3_3_by_hand():
    certificate = InitialGramEntrywise(**GRAM)
    assert certificate.needed_width == pytest.approx(56 * 1e4 * math.log(11000))
    needed = math.ceil(certificate.needed_width)
    assert gram(InitialGramEntrywise, {"width": needed}).verdict is HOLDS
    assert gram(InitialGramEntrywise, {"width": needed - 1}).verdict is FAILS
    assert gram(InitialGramEntrywise, {"width": needed + 1, "lambda_0": Estimate(0.1, 0.01)}).verdict is UNDECIDED
    assert row(gram(InitialGramChernoff, {"kappa": 12.0}), "32κ").rhs == pytest.approx(384 * math.log(1000))
    assert gram(InitialGramChernoff, {"width": 2653, "kappa": 12.0}).verdict is HOLDS
    assert gram(InitialGramChernoff, {"width": 2652, "kappa": 12.0}).verdict is FAILS
    assert gram(InitialGramChernoff, {"width": 2653, "kappa": Estimate(12.0, 0.1)}).verdict is UNDECIDED
    assert InitialGramChernoff(**GRAM).verdict is UNDECIDED
    assert InitialGramPrinted(**GRAM).verdict is UNDECIDED
    assert row(InitialGramPrinted(**GRAM, width_constant=2.0), "m ≥").rhs == pytest.approx(2e4 * math.log(1000))
    assert InitialGramPrinted(**GRAM, width_constant=1e9).verdict is FAILS


@pytest.mark.parametrize("cls", [InitialGramEntrywise, InitialGramChernoff, InitialGramPrinted])
@pytest.mark.parametrize("changes", [{"lambda_0": 0.0}, {"activation": "tanh"}])
def test_lemma_3_3_must_not_pass(cls, changes):
    assert gram(cls, changes).verdict is FAILS


def test_lemma_3_3_by_sampling():
    """Two inputs at 60°: at the width of each bound the conclusion is broken no more often than δ = 0.2 allows."""
    x = np.array([[1.0, 0.0], [0.5, math.sqrt(0.75)]])
    rho = x @ x.T
    limit = (np.sqrt(1 - np.minimum(rho, 1) ** 2) + (np.pi - np.arccos(np.minimum(rho, 1))) * rho) / (2 * np.pi)
    lam = float(np.linalg.eigvalsh(limit)[0])
    draw = np.random.default_rng(0)
    s = np.maximum(draw.normal(size=(200000, 2)) @ x.T, 0)
    values, vectors = np.linalg.eigh(limit)
    whitened = s @ (vectors / np.sqrt(values)) @ vectors.T
    kappa = float(np.linalg.eigvalsh((whitened * (whitened**2).sum(1)[:, None]).T @ whitened / len(s))[-1])
    width = math.ceil(32 * kappa * math.log(2 / 0.2))
    assert InitialGramChernoff(2, width, lam, 0.2, kappa).verdict is HOLDS
    entrywise = math.ceil(InitialGramEntrywise(2, width, lam, 0.2).needed_width)
    for m, strong in ((width, False), (entrywise, True)):
        bad = 0
        for _ in range(50):
            phi = np.maximum(x @ draw.normal(size=(2, m)), 0)
            gap = phi @ phi.T / m - limit
            bad += np.linalg.norm(gap) > lam / 4 if strong else np.linalg.eigvalsh(gap + limit / 4)[0] < 0
        assert bad <= 10


@pytest.mark.parametrize(
    ("features", "lam", "verdict"),
    [
        (0.031, 0.04, HOLDS),
        (0.029, 0.04, FAILS),
        (Estimate(0.031, 0.002), 0.04, UNDECIDED),
        (0.031, Estimate(0.04, 0.002), UNDECIDED),
        (0.0, 0.0, FAILS),
    ],
)
def test_the_conclusion_of_lemma_3_3_is_measured(features, lam, verdict):
    assert InitialGramMeasured(features, lam).verdict is verdict


def test_lemma_3_4_verdicts():
    printed = FeatureRadiusPrinted(100, 0.04, 2.0, 20.0)  # c = 2: R = 10·0.04/(16·2·4)
    assert printed.radius == pytest.approx(0.4 / 128)
    assert printed.verdict is UNDECIDED
    assert dataclasses.replace(printed, stretch=Estimate(0.9)).verdict is HOLDS
    assert dataclasses.replace(printed, stretch=Estimate(1.1)).verdict is FAILS
    assert dataclasses.replace(printed, distance=Estimate(0.01), stretch=Estimate(0.9)).verdict is FAILS
    assert dataclasses.replace(printed, lambda_0=Estimate(0.0), stretch=Estimate(0.9)).verdict is FAILS
    assert FeatureRadius(100, 0.04, 0.03, 2.0).verdict is HOLDS
    assert FeatureRadius(100, 0.04, 0.0, 2.0).verdict is FAILS
    # The corrected radius is the larger one: √λ₀ and no 16c‖X‖.
    assert FeatureRadius(100, 0.04, 0.03, 2.0).radius > 10 * printed.radius


def test_the_first_hermite_squares_by_hand():
    # E relu(z) = 1/√(2π), E relu(z) z = 1/2, E relu(z)(z² − 1)/√2 = 1/√(4π); odd k ≥ 3 vanish.
    assert [hermite_square(k) for k in range(4)] == pytest.approx([1 / (2 * math.pi), 1 / 4, 1 / (4 * math.pi), 0.0])

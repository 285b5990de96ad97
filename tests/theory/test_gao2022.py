"""The theorems on implicit ReLU networks against numbers put by hand, and against small networks in NumPy."""

import dataclasses
import inspect
import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from globalmin._core import Estimate
from globalmin.theory import ERRATA, AbstractCertificate, Verdict, gao2022
from globalmin.theory.gao2022 import (
    BlockFlow,
    Contraction,
    FeatureRadius,
    FeatureRadiusPrinted,
    GeometricLimit,
    GradientDescentPrinted,
    GradientFlow,
    GradientFlowPrinted,
    InitialGramChernoff,
    InitialGramEntrywise,
    InitialGramMeasured,
    InitialGramPrinted,
    InitialNorms,
    OneSided,
    PositiveLimit,
    Start,
    TwoRateDescent,
    ZeroReadout,
    hermite_square,
)

HOLDS, FAILS, UNDECIDED = Verdict.HOLDS, Verdict.FAILS, Verdict.UNDECIDED

QUANTITIES = {
    "loss",
    "lambda_min",
    "lambda_min_features",
    "operator_norm",
    "one_sided_norm",
    "hidden_norm",
    "readout_norm",
    "skip_norm",
    "distance",
    "distance_hidden",
    "distance_implicit",
}

# A width of 10¹² and a small residual: numbers that every theorem which can hold likes. c = 2.
GOOD: dict[str, Any] = {
    "n": 4,
    "width": 10**12,
    "gamma": 0.1,
    "lambda_0": 0.04,
    "features_0": 0.04,
    "rho_0": 2.0,
    "operator_norm": 0.2,
    "one_sided": 0.15,
    "norm_w": 1e6,
    "norm_u": 1e6,
    "norm_v": 1e6,
    "norm_x": 1.5,
}
ZERO = {"norm_u": 0.0, "norm_v": 0.0}


def start(**changes):
    return Start(**(GOOD | changes))


def row(certificate, part) -> Any:
    (found,) = [h for h in certificate.hypotheses() if part in h.name]
    return found


def promise(certificate, quantity) -> Any:
    return next(p for p in certificate.promises() if p.quantity == quantity)


def settle(certificate) -> Any:
    return certificate.settled()


# --- A network of the paper's form, small enough for dense algebra ---


class Network:
    """z = relu(gAz + φ), φ = relu(Wx)/√m, f = u·z + v·φ; inputs are the rows of x."""

    def __init__(self, a, w, u, v, x, gamma):
        self.a, self.w, self.u, self.v, self.x, self.gamma = a, w, u, v, x, gamma
        m = len(u)
        self.g = gamma / math.sqrt(m)
        self.phi = np.maximum(x @ w.T, 0) / math.sqrt(m)
        z = np.zeros_like(self.phi)
        for _ in range(200):  # g‖A‖ ≤ 0.5 in these tests: 0.5^60 is below rounding
            new = np.maximum(self.g * z @ a.T + self.phi, 0)
            if abs(new - z).max() < 1e-16:
                break
            z = new
        self.z, self.f = z, z @ u + self.phi @ v
        gates = (self.g * z @ a.T + self.phi > 0).astype(float)
        self.r = np.stack([np.linalg.solve(np.eye(m) - self.g * k[:, None] * a.T, k * u) for k in gates])
        self.open = x @ w.T > 0

    @classmethod
    def draw(cls, seed, n, d, m, gamma=0.1, readout=1.0):
        draw = np.random.default_rng(seed)
        x = draw.normal(size=(n, d))
        x /= np.linalg.norm(x, axis=1, keepdims=True)
        u, v = readout * draw.choice([-1.0, 1.0], (2, m))
        return cls(draw.normal(size=(m, m)), draw.normal(size=(m, d)), u, v, x, gamma)

    def start(self, y, lambda_0=None, **changes):
        rho = np.clip(self.x @ self.x.T, -1, 1)
        limit = (np.sqrt(1 - rho**2) + (np.pi - np.arccos(rho)) * rho) / (2 * np.pi)
        numbers = {
            "n": len(y),
            "width": len(self.u),
            "gamma": self.gamma,
            "lambda_0": float(np.linalg.eigvalsh(limit)[0]) if lambda_0 is None else lambda_0,
            "features_0": float(np.linalg.eigvalsh(self.phi @ self.phi.T)[0]),
            "rho_0": float(np.linalg.norm(self.f - y)),
            "operator_norm": self.g * float(np.linalg.norm(self.a, 2)),
            "one_sided": self.g * float(np.linalg.eigvalsh((self.a + self.a.T) / 2)[-1]),
            "norm_w": float(np.linalg.norm(self.w, 2)),
            "norm_u": float(np.linalg.norm(self.u)),
            "norm_v": float(np.linalg.norm(self.v)),
            "norm_x": float(np.linalg.norm(self.x, 2)),
        }
        return Start(**(numbers | changes))

    def stepped(self, y, alpha, tau=1.0):
        r = self.f - y
        root = math.sqrt(len(self.u))
        grad_a = self.g * (self.r * r[:, None]).T @ self.z
        grad_w = (self.open * (self.r + self.v) * r[:, None]).T @ self.x / root
        return Network(
            self.a - tau * alpha * grad_a,
            self.w - tau * alpha * grad_w,
            self.u - alpha * self.z.T @ r,
            self.v - alpha * self.phi.T @ r,
            self.x,
            self.gamma,
        )

    def watch(self, first, y):
        moved = [getattr(self, k) - getattr(first, k) for k in ("a", "w", "u", "v")]
        features = self.phi @ self.phi.T
        skip = self.open * (self.r + self.v) / math.sqrt(len(self.u))
        full = features + self.z @ self.z.T + self.g**2 * (self.r @ self.r.T) * (self.z @ self.z.T)
        full += (skip @ skip.T) * (self.x @ self.x.T)
        return {
            "loss": (self.f - y) @ (self.f - y) / 2,
            "lambda_min": np.linalg.eigvalsh(full)[0],
            "lambda_min_features": np.linalg.eigvalsh(features)[0],
            "operator_norm": self.g * np.linalg.norm(self.a, 2),
            "one_sided_norm": self.g * np.linalg.eigvalsh((self.a + self.a.T) / 2)[-1],
            "hidden_norm": np.linalg.norm(self.w, 2),
            "readout_norm": np.linalg.norm(self.u),
            "skip_norm": np.linalg.norm(self.v),
            "distance": math.sqrt(sum((c**2).sum() for c in moved)),
            "distance_hidden": np.linalg.norm(moved[1]),
            "distance_implicit": np.linalg.norm(moved[0]),
        }


def attack(certificate, first, y, alpha, tau, steps, unit=1.0):
    """Run descent and hold every promise of a certificate that HOLDS against every iterate."""
    assert certificate.verdict is HOLDS, [(h.name, h.lhs, h.rhs) for h in certificate.hypotheses()]
    promises = certificate.promises()
    assert {"loss", "lambda_min_features", "operator_norm", "distance_hidden"} <= {p.quantity for p in promises}
    net = first
    for k in range(steps):
        seen = net.watch(first, y)
        for p in promises:
            assert p.kept(k * unit, seen[p.quantity], 1e-8), (k, p.name, seen[p.quantity], p.at(k * unit))
        net = net.stepped(y, alpha, tau)
    return net


@pytest.mark.parametrize("seed", range(3))
def test_the_gradient_of_the_test_network(seed):
    """The network of this file against central differences of its own loss."""
    net = Network.draw(seed, 3, 4, 12, 0.3)
    y, h = np.ones(3), 1e-6
    after = net.stepped(y, 1.0)
    draw = np.random.default_rng(seed)
    for name in ("a", "w", "u", "v"):
        here = {k: getattr(net, k) for k in ("a", "w", "u", "v")}
        direction = draw.normal(size=here[name].shape)
        losses = []
        for sign in (1, -1):
            other = Network(**(here | {name: here[name] + sign * h * direction}), x=net.x, gamma=net.gamma)
            losses.append(((other.f - y) ** 2).sum() / 2)
        step = getattr(net, name) - getattr(after, name)
        assert (step * direction).sum() == pytest.approx((losses[0] - losses[1]) / (2 * h), rel=1e-5, abs=1e-8)


@pytest.mark.parametrize(("seed", "m"), [(0, 60), (1, 100), (2, 160)])
def test_block_flow_on_networks(seed, m):
    """A-GF2 against descent with steps so small that it follows the flow.

    It stays behind the flow by a factor 1 + O(αλ_max): 1 − αλ ≤ exp(−αλ) at equal λ, and λ_min(H) is well above σ_∞².
    """
    first = Network.draw(seed, 3, 4, m)
    draw = np.random.default_rng(seed)
    y = first.f + draw.normal(size=3)
    s = first.start(y)
    # Nine tenths of the largest residual that (2.4) allows.
    y = first.f + (y - first.f) * 0.9 * s.features_0.value * s.root / (2 * s.norm_x.value * s.rho_0.value)
    certificate = BlockFlow(first.start(y))
    alpha = 0.02 / np.linalg.norm(np.hstack([first.z, first.phi]), 2) ** 2
    last = attack(certificate, first, y, alpha, 1.0, 150, unit=float(alpha))
    assert np.linalg.norm(last.f - y) < 0.5 * np.linalg.norm(first.f - y)
    beyond = first.f + (y - first.f) * 1.2
    assert row(BlockFlow(first.start(beyond)), "2ℓ").verdict is FAILS


@pytest.mark.parametrize("seed", range(2))
def test_repaired_gradient_flow_on_networks(seed):
    """A-GF1 needs a residual that is small for so narrow a network."""
    first = Network.draw(seed, 2, 6, 120)
    s = first.start(first.f)
    lam = s.level
    rho = 0.9 * math.sqrt(120 / max(64 * 2 * s.c**2 / lam**2, 5702 * s.norm_x.value**4 / lam**3))
    y = first.f + rho * np.array([0.6, -0.8])
    alpha = 0.05 * s.largest_step_size
    attack(GradientFlow(first.start(y)), first, y, alpha, 1.0, 100, unit=alpha)
    assert GradientFlow(first.start(first.f + (y - first.f) * 1.2)).verdict is FAILS


@pytest.mark.parametrize(("seed", "n", "m"), [(0, 1, 40), (1, 2, 60), (2, 4, 80)])
def test_two_rate_descent_on_networks(seed, n, m):
    """A-GD holds for the paper's read-outs, at any width, with its own largest ratio and step."""
    first = Network.draw(seed, n, 5, m)
    y = np.random.default_rng(seed + 50).normal(size=n)
    certificate = settle(TwoRateDescent(first.start(y)))
    assert 0 < certificate.tau < 1 / 72
    last = attack(certificate, first, y, certificate.step_size, certificate.tau, 200)
    assert np.linalg.norm(last.f - y) < np.linalg.norm(first.f - y)
    assert TwoRateDescent(first.start(y), 1.01 * certificate.tau).verdict is FAILS
    assert TwoRateDescent(first.start(y), 1.0).verdict is FAILS


@pytest.mark.parametrize("seed", range(2))
def test_zero_readouts_on_networks(seed):
    """From u = v = 0, with labels as small as the width asks for, plain descent keeps every promise."""
    first = Network.draw(seed, 2, 5, 80, readout=0.0)
    s = first.start(first.f)
    b2 = s.level / (36 * s.norm_x.value**2 + 32)
    size = 0.99 * math.sqrt(80 * s.level**2 * b2 / (512 * s.c**2))
    y = size * np.array([0.8, -0.6])
    certificate = settle(ZeroReadout(first.start(y)))
    last = attack(certificate, first, y, certificate.step_size, 1.0, 200)
    assert np.linalg.norm(last.f - y) < 0.9 * size
    assert ZeroReadout(first.start(1.02 * y)).verdict is FAILS
    # The closed form is a case of the general theorem: same b, τ = 1 allowed.
    general = TwoRateDescent(first.start(y))
    assert general.largest_tau >= 1
    assert general.b <= certificate.b


@settings(max_examples=60, deadline=None)
@given(
    n=st.integers(1, 60),
    lam=st.floats(1e-4, 0.5),
    x=st.floats(1.0, 8.0),
    rho=st.floats(1e-3, 1e3),
    c=st.floats(1.0, 2.5),
    spare=st.floats(1.001, 1e6),
)
def test_the_closed_form_implies_the_general_theorem(n, lam, x, rho, c, spare):
    b2 = lam / (36 * x**2 + 16 * n)
    width = math.ceil(spare * 256 * c**2 * n * rho**2 / (lam**2 * b2)) + 1
    s = start(
        n=n, lambda_0=lam, features_0=lam, norm_x=x, rho_0=rho, width=width, operator_norm=0.1 * c, norm_w=0.0, **ZERO
    )
    assert ZeroReadout(s).verdict is HOLDS
    assert TwoRateDescent(s).b ** 2 <= b2 * (1 + 1e-9)
    assert TwoRateDescent(s).largest_tau >= 1 - 1e-9


# --- A4 and A3 ---


@settings(max_examples=200, deadline=None)
@given(
    n=st.integers(1, 1000),
    lam=st.floats(1e-9, 0.5),
    x=st.floats(1.0, 100.0),
    rho=st.floats(1e-6, 1e6),
    c=st.floats(0.1, 10.0),
    exponent=st.floats(0, 30),
)
def test_a4_the_two_printed_conditions_exclude_each_other(n, lam, x, rho, c, exponent):
    width = int(10**exponent)
    s = start(n=n, lambda_0=lam, features_0=lam, norm_x=x, rho_0=rho, width=width, operator_norm=0.1 * c, norm_w=0.0)
    printed = GradientFlowPrinted(s, width_constant=1e-30)
    assert printed.least_width >= 64 * printed.most_width > 0
    # The exact numbers of the proof.
    assert printed.most_width == pytest.approx(64 * s.c**2 * n * rho**2 / lam**2, rel=1e-12)
    assert printed.least_width == pytest.approx(2048 * s.c**2 * n * x**2 * rho**2 / lam**3, rel=1e-12)
    assert not printed.least_width <= width <= printed.most_width
    assert printed.verdict is FAILS
    assert "never starts" in row(printed, "some m").note


def test_a4_the_first_iterate_breaks_the_printed_bound_where_the_width_is_met():
    s = start(rho_0=0.01)
    printed = GradientFlowPrinted(s, width_constant=1.0)
    assert row(printed, "m ≥ 2048").verdict is HOLDS
    claim = promise(printed, "readout_norm")
    assert not claim.kept(0, s.norm_u.value)
    assert promise(GradientFlow(s), "readout_norm").kept(0, s.norm_u.value)
    assert GradientFlow(s).verdict is HOLDS


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


# --- By hand ---


def test_repaired_gradient_flow_by_hand():
    certificate = GradientFlow(start())
    assert start().c == 2.0
    assert row(certificate, "64c²").rhs == pytest.approx(64 * 4 * 4 * 4 / 0.0016)
    assert row(certificate, "24/(").rhs == pytest.approx(5702 * 1.5**4 * 4 / 0.04**3, rel=1e-4)
    assert row(certificate, "γ ≤").rhs == 0.125
    assert certificate.verdict is HOLDS
    assert promise(certificate, "loss").limit == 2.0
    assert promise(certificate, "loss").factor == pytest.approx(math.exp(-0.04))
    assert promise(certificate, "lambda_min_features").limit == pytest.approx(0.02)
    assert promise(certificate, "operator_norm").limit == pytest.approx(0.4)
    assert promise(certificate, "hidden_norm").limit == pytest.approx(4e6)
    assert promise(certificate, "readout_norm").limit == promise(certificate, "skip_norm").limit == 2e6
    moved = [p for p in certificate.promises() if p.name.startswith(("‖W − W(0)‖_F ≤ 12", "‖A − A"))]
    assert [p.limit for p in moved] == pytest.approx([12 * 1.5 * 2 / 0.04, 8 * 2 * 2 / 0.04])
    assert not any(p.conclusion for p in moved)


def test_an_unlucky_gram_matrix_lowers_the_level():
    s = start(features_0=0.015)
    assert s.level == pytest.approx(0.02)
    assert promise(GradientFlow(s), "lambda_min_features").limit == pytest.approx(0.01)
    assert start(lambda_0=3.0, features_0=3.0).level == 0.5


def test_block_flow_by_hand():
    # ℓ = 2/√10⁴ = 0.02, ‖r₀‖ = 4: σ_∞² = 0.25 − 0.16 = 0.09, R_* = (0.5 − 0.3)/0.02 = 10, gR_* = 0.1·10/100.
    s = start(width=10**4, features_0=0.25, rho_0=4.0, norm_x=2.0)
    certificate = BlockFlow(s)
    assert certificate.path == pytest.approx(10)
    assert certificate.verdict is HOLDS
    assert row(certificate, "γ(").lhs == pytest.approx(0.21)
    assert promise(certificate, "loss").factor == pytest.approx(math.exp(-0.18))
    assert promise(certificate, "lambda_min_features").limit == pytest.approx(0.09)
    assert promise(certificate, "operator_norm").limit == pytest.approx(0.21)
    assert promise(certificate, "one_sided_norm").limit == pytest.approx(0.16)
    assert promise(certificate, "distance").limit == pytest.approx(10)
    # (2.4) is met for ‖r₀‖ < 0.25/(2·0.02), and at this residual for √m > 2·2·4/0.25.
    note = row(certificate, "2ℓ").note
    assert "6.25" in note
    assert "4096" in note
    assert BlockFlow(dataclasses.replace(s, rho_0=6.25)).verdict is FAILS
    assert BlockFlow(dataclasses.replace(s, rho_0=6.24)).verdict is HOLDS
    assert BlockFlow(dataclasses.replace(s, width=4097)).verdict is HOLDS
    assert BlockFlow(dataclasses.replace(s, width=4095)).verdict is FAILS
    # Twice the slope is twice ℓ.
    assert BlockFlow(dataclasses.replace(s, slope=2.0)).verdict is FAILS


def test_two_rate_descent_by_hand():
    s = start(rho_0=0.01, width=10**8, norm_w=1e4, norm_u=1e4, norm_v=0.0)
    certificate = settle(TwoRateDescent(s))
    # ‖u‖ ≤ 10⁴ + 16·2·2·0.01/0.04 = 10⁴ + 16.
    assert certificate.b == pytest.approx(1.0016)
    fed_back = 0.01 * 16 * 4 * 4
    bounds = (
        0.04 / (4 * 1.0016**2 * (9 * 2.25 + 4 * fed_back)),
        0.04 * s.radius / (12 * 1.0016 * 1.5 * 0.01),
        0.04 * 2 * 1e4 / (8 * 1.0016 * math.sqrt(fed_back) * 0.01),
    )
    assert certificate.tau == pytest.approx(min(bounds))
    assert certificate.step_size == pytest.approx(1 / (20 * 4 * 4))
    assert promise(certificate, "loss").factor == pytest.approx((1 - 0.01 / 320) ** 2)
    hidden = next(p for p in certificate.promises() if "12τb" in p.name)
    assert hidden.limit == pytest.approx(certificate.tau * 12 * 1.0016 * 1.5 * 0.01 / 0.04)
    implicit = promise(certificate, "distance_implicit")
    assert implicit.limit == pytest.approx(certificate.tau * 8 * 1.0016 * math.sqrt(fed_back) * 0.01 / 0.04)
    # Each of the three bounds is the smallest somewhere.
    large = dataclasses.replace(s, rho_0=1e6, norm_u=0.0)
    assert TwoRateDescent(large).largest_tau == pytest.approx(
        min(
            0.04 / (4 * TwoRateDescent(large).b ** 2 * (9 * 2.25 + 4 * fed_back)),
            0.04 * large.radius / (12 * TwoRateDescent(large).b * 1.5 * 1e6),
            0.04 * 2 * 1e4 / (8 * TwoRateDescent(large).b * math.sqrt(fed_back) * 1e6),
        )
    )


def test_zero_readout_by_hand():
    certificate = settle(ZeroReadout(start(**ZERO)))
    assert certificate.b**2 == pytest.approx(0.04 / (36 * 2.25 + 64))
    assert row(certificate, "256").rhs == pytest.approx(256 * 4 * 4 * 4 / (0.0016 * certificate.b**2))
    assert certificate.verdict is HOLDS
    assert certificate.step_size == pytest.approx(1 / 320)


def test_printed_descent_by_hand():
    certificate = GradientDescentPrinted(start(), 1e-6, width_constant=1.0, step_constant=1.0)
    assert row(certificate, "m ≥").rhs == pytest.approx(16 / 0.04 * math.log(40))
    assert row(certificate, "α ≤").rhs == pytest.approx(0.04 / 16)
    assert row(certificate, "C₀").rhs == 16.0
    assert certificate.verdict is FAILS
    assert {h.name for h in certificate.hypotheses() if h.verdict is not HOLDS} == {"λ₀/2 ≥ C₀c²n"}
    assert row(GradientDescentPrinted(start(), 1e-6), "α ≤").verdict is UNDECIDED
    assert promise(certificate, "loss").factor == 1 - 1e-6 * 0.02
    assert promise(GradientDescentPrinted(start(), 1e9), "lambda_min").limit == pytest.approx(0.02)


@settings(max_examples=60, deadline=None)
@given(n=st.integers(1, 100), lam=st.floats(1e-6, 0.5), c=st.floats(0.1, 5.0), constant=st.floats(0.2501, 1e3))
def test_a6_no_step_size_closes_the_printed_descent(n, lam, c, constant):
    s = start(n=n, lambda_0=lam, features_0=lam, operator_norm=0.1 * c, norm_w=0.0)
    for step in (1e-12, 1e-3):
        printed = GradientDescentPrinted(s, step, proof_constant=constant)
        assert row(printed, "C₀").verdict is FAILS


# --- What holds, and what must not ---

MAKE = {
    "flow": lambda s: GradientFlow(s),
    "block": lambda s: BlockFlow(s),
    "two-rate": lambda s: TwoRateDescent(s),
    "zero": lambda s: ZeroReadout(dataclasses.replace(s, norm_u=Estimate(0.0), norm_v=Estimate(0.0))),
    "printed flow": lambda s: GradientFlowPrinted(s, width_constant=1.0),
    "printed descent": lambda s: GradientDescentPrinted(s, 1e-6, width_constant=1.0, step_constant=1.0),
}


@pytest.mark.parametrize("name", ["flow", "block", "two-rate", "zero"])
def test_good_numbers_hold(name):
    certificate = MAKE[name](start())
    assert certificate.verdict is HOLDS, [(h.name, h.lhs, h.rhs) for h in certificate.hypotheses()]
    told = certificate.evaluate().to_dict()
    assert told["verdict"] == "HOLDS"
    assert {p["quantity"] for p in told["promises"]} <= QUANTITIES


SPOILED = [
    ("flow", {"rho_0": 1e4}, "64c²"),
    ("flow", {"rho_0": 1e4}, "24/("),
    ("flow", {"norm_u": 1.1e6}, "‖u(0)‖"),
    ("flow", {"norm_v": 1.1e6}, "‖v(0)‖"),
    ("flow", {"gamma": 0.3}, "γ ≤"),
    ("flow", {"activation": "tanh"}, "ReLU"),
    ("flow", {"norm_deviation": 1e-3}, "‖x_i‖"),
    ("flow", {"lambda_0": 0.0}, "λ > 0"),
    ("flow", {"features_0": 0.0}, "λ > 0"),
    ("block", {"rho_0": 1e5}, "2ℓ"),
    ("block", {"operator_norm": 1.0}, "γ("),
    ("block", {"features_0": 0.0}, "λ_min(G(0)) > 0"),
    ("block", {"slope": 6.0}, "γ("),
    ("two-rate", {"gamma": 0.6, "operator_norm": 0.6}, "γ ≤"),
    ("two-rate", {"features_0": -1.0}, "λ > 0"),
    ("two-rate", {"activation": "softplus"}, "ReLU"),
    ("zero", {"rho_0": 1e4}, "256"),
    ("zero", {"lambda_0": -1e-9}, "λ > 0"),
    ("zero", {"norm_w": 4e6}, "γ ≤"),
    ("printed flow", {}, "some m"),
    ("printed flow", {"width": 100}, "m ≥ 2048"),
    ("printed flow", {"width": 100}, "K (n²"),
    ("printed flow", {"gamma": 0.6, "operator_norm": 0.6}, "γ ≤"),
    ("printed descent", {"width": 100}, "K (n²"),
    ("printed descent", {"activation": "elu"}, "ReLU"),
]


@pytest.mark.parametrize(("name", "changes", "part"), SPOILED)
def test_inputs_that_must_not_pass(name, changes, part):
    certificate = MAKE[name](start(**changes))
    assert certificate.verdict is FAILS
    assert row(certificate, part).verdict is FAILS
    assert row(MAKE[name](start()), part).verdict is HOLDS or (name, part) == ("printed flow", "some m")


@pytest.mark.parametrize(
    ("certificate", "part"),
    [
        (lambda s: TwoRateDescent(s, step_size=1.0), "α ≤"),
        (lambda s: TwoRateDescent(s, step_size=0.0), "α > 0"),
        (lambda s: TwoRateDescent(s, tau=1.0), "τ ≤"),
        (lambda s: TwoRateDescent(s, tau=-1.0), "τ ≥"),
        (lambda s: ZeroReadout(dataclasses.replace(s, **ZERO), 1.0), "α ≤"),
        (lambda s: ZeroReadout(dataclasses.replace(s, **ZERO), 0.0), "α > 0"),
        (lambda s: ZeroReadout(dataclasses.replace(s, **(ZERO | {"norm_u": 1e-3}))), "u(0)"),
        (lambda s: ZeroReadout(dataclasses.replace(s, **(ZERO | {"norm_v": 1e-3}))), "v(0)"),
    ],
)
def test_choices_that_must_not_pass(certificate, part):
    found = certificate(start())
    assert found.verdict is FAILS
    assert row(found, part).verdict is FAILS


@pytest.mark.parametrize("gamma", [0.0, 1.0, -0.1, 2.0, math.nan])
def test_gamma_outside_its_interval_is_refused(gamma):
    with pytest.raises(ValueError, match="gamma"):
        start(gamma=gamma)
    with pytest.raises(ValueError, match="gamma"):
        InitialNorms(10, 100, gamma, 0.1)


def test_other_bad_input():
    for changes in ({"n": 0}, {"width": 0}):
        with pytest.raises(ValueError, match="at least 1"):
            start(**changes)
    for cls in (InitialGramPrinted, InitialGramEntrywise, InitialGramChernoff):
        with pytest.raises(ValueError, match="probability"):
            cls(4, 100, 0.1, 1.0)


# --- Estimates ---

ESTIMATED = [f.name for f in dataclasses.fields(Start) if isinstance(getattr(start(), f.name), Estimate)]
HELPS = {"lambda_0", "features_0"}


@settings(max_examples=120, deadline=None)
@given(
    data=st.data(),
    name=st.sampled_from(sorted(MAKE)),
    field=st.sampled_from(ESTIMATED),
    factor=st.floats(1.0, 30.0),
)
def test_a_worse_number_never_helps(data, name, field, factor):
    """Slacks of hypotheses shrink, limits of promises loosen, when one estimate moves to its worse side."""
    scale = data.draw(st.fixed_dictionaries({f: st.floats(-1.5, 1.5) for f in ESTIMATED}))
    numbers = {f: GOOD[f] * 10 ** scale[f] for f in ESTIMATED}
    worse = numbers | {field: numbers[field] / factor if field in HELPS else numbers[field] * factor}
    here, there = MAKE[name](start(**numbers)), MAKE[name](start(**worse))
    fixed = {} if name != "two-rate" else {"tau": 1e-6, "step_size": 1e-9}
    here, there = dataclasses.replace(here, **fixed), dataclasses.replace(there, **fixed)
    if name == "zero":
        here, there = dataclasses.replace(here, step_size=1e-9), dataclasses.replace(there, step_size=1e-9)
    for a, b in zip(here.inequalities(), there.inequalities(), strict=True):
        if a.slack is not None and b.slack is not None:
            # The sides are sums and products of a few numbers.
            assert b.slack <= a.slack + 1e-9 * abs(a.slack), a.name
    if here.verdict is FAILS:
        assert there.verdict is FAILS


@pytest.mark.parametrize("name", ["flow", "block", "two-rate", "zero"])
def test_uncertain_numbers_leave_it_undecided(name):
    assert MAKE[name](start(lambda_0=Estimate(0.04, 0.001), features_0=Estimate(0.04, 0.001))).verdict is HOLDS
    assert MAKE[name](start(features_0=Estimate(0.04, 0.05))).verdict is UNDECIDED
    key = {"flow": "norm_u", "block": "rho_0", "two-rate": "operator_norm", "zero": "rho_0"}[name]
    value = {"flow": 1e6, "block": 1.3e4, "two-rate": 0.25, "zero": 1e3}[name]
    nearly = start(**{key: Estimate(value, value)})
    assert MAKE[name](nearly).verdict is UNDECIDED


def test_the_promises_are_those_of_the_worst_ends():
    s = start(lambda_0=Estimate(0.04, 0.01), features_0=Estimate(0.04, 0.001), rho_0=Estimate(2.0, 1.0))
    assert promise(GradientFlow(s), "lambda_min_features").limit == pytest.approx(0.015)
    assert promise(GradientFlow(s), "loss").limit == pytest.approx(4.5)
    assert promise(GradientFlow(s), "loss").factor == pytest.approx(math.exp(-0.03))
    ell = 1.5e-6
    assert promise(BlockFlow(s), "lambda_min").limit == pytest.approx(0.039 - 2 * ell * 3)
    fixed = TwoRateDescent(s, 1e-6, 1e-3)
    assert promise(fixed, "loss").factor == pytest.approx((1 - 1e-3 * 0.03 / 4) ** 2)
    for cls in (GradientFlow, GradientFlowPrinted, BlockFlow, TwoRateDescent, ZeroReadout):
        assert cls(start(lambda_0=0.0, features_0=0.0)).promises() == ()
    uncertain = FeatureRadius(100, Estimate(0.04, 0.01), Estimate(0.04, 0.0), Estimate(1.0, 1.0))
    assert promise(uncertain, "distance_hidden").limit == pytest.approx(0.1589186225 * math.sqrt(3.0) / 2, rel=1e-9)
    assert FeatureRadius(100, 0.0, 0.04, 1.0).promises() == ()


# --- Lemmas about the first iterate ---


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


GRAM: dict[str, Any] = {"n": 10, "width": 10**9, "lambda_0": 0.1, "delta": 0.01}


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


# --- Errata ---

CERTIFICATES = [
    cls
    for _, cls in inspect.getmembers(gao2022, inspect.isclass)
    if issubclass(cls, AbstractCertificate) and not inspect.isabstract(cls)
]


@pytest.mark.parametrize("cls", CERTIFICATES, ids=lambda c: c.__name__)
def test_certificates_name_existing_errata(cls):
    assert all(id in ERRATA for id in cls.errata_ids)
    assert cls.source
    assert cls.statement
    assert cls.method in ("any", "flow", "descent", "two-rate descent")


def test_every_correction_is_listed_and_used():
    ids = {f"gao2022-A{k}" for k in range(1, 11)}
    assert ids <= set(ERRATA)
    assert {id for cls in CERTIFICATES for id in cls.errata_ids} == ids


def test_a1_the_printed_factor_is_not_symmetric():
    """With A in place of its transpose the Gram matrix misses that of the true gradients; A2's witness besides."""
    net = Network.draw(0, 4, 5, 50, 0.4)
    gates = (net.g * net.z @ net.a.T + net.phi > 0).astype(float)
    wrong = np.stack([np.linalg.solve(np.eye(50) - net.g * k[:, None] * net.a, net.u) * k for k in gates])
    left, right = net.open * (wrong + net.v), net.open * (net.r + net.v)
    printed, true = left @ right.T / 50, right @ right.T / 50
    assert abs(printed - printed.T).max() > 1e-3
    assert abs(printed - true).max() > 1e-3 * abs(true).max()
    assert np.linalg.svd(np.array([[1, -0.9], [0, 1]]), compute_uv=False)[-1] == pytest.approx(0.647, abs=5e-4)

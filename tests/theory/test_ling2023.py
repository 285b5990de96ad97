"""The equilibrium theorems against numbers put by hand, against searches, and against small networks in NumPy."""

import dataclasses
import math
import warnings
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from globalmin._core import Estimate
from globalmin.theory import Verdict
from globalmin.theory.ling2023 import (
    ConditionOnePrinted,
    DepthGap,
    GradientDescent,
    GradientFlow,
    HiddenNorm,
    HiddenNormPrinted,
    InitialGram,
    InitialGramMeasured,
    InitialGramPrinted,
    SmallReadout,
    Start,
    Theorem1Printed,
    TwoRateDescent,
)

HOLDS, FAILS, UNDECIDED = Verdict.HOLDS, Verdict.FAILS, Verdict.UNDECIDED

# Numbers that every theorem likes: a tiny residual and read-out, a large λ₀. No network has them all.
GOOD: dict[str, Any] = {
    "n": 2,
    "width": 100,
    "lambda_0": 100.0,
    "rho_0": 1e-6,
    "norm_w": 0.5,
    "norm_u": 2.0,
    "norm_a": 1e-3,
    "norm_x": 3.0,
    "norm_z": 12.0,
    "norm_zx": 15.0,
    "one_sided": 0.4,
    "sigma_w2": 0.05,
}


def start(**changes):
    return Start(**(GOOD | changes))


def settle(certificate) -> Any:
    """With its free numbers filled in, so no longer optional."""
    return certificate.settled()


def row(certificate, part) -> Any:
    (found,) = [h for h in certificate.hypotheses() if part in h.name]
    return found


# --- A network of the paper's form, small enough for dense algebra ---


class Network:
    """Z = relu(WZ + UX), f = aᵀZ; inputs are the columns of x."""

    def __init__(self, w, u, a, x):
        self.w, self.u, self.a, self.x = w, u, a, x
        z = np.zeros((len(w), x.shape[1]))
        for _ in range(400):  # ‖W‖ ≤ 0.9 in these tests: 0.9^400 = 5e-19
            z = np.maximum(w @ z + u @ x, 0)
        self.z = z
        self.f = a @ z

    @classmethod
    def draw(cls, seed, n, d, m, sigma_w2, readout=1.0):
        draw = np.random.default_rng(seed)
        x = draw.normal(size=(d, n))
        x *= math.sqrt(d) / np.linalg.norm(x, axis=0)
        w = draw.normal(size=(m, m)) * math.sqrt(2 * sigma_w2 / m)
        return cls(w, draw.normal(size=(m, d)) * math.sqrt(2 / d), readout * draw.normal(size=m) / math.sqrt(m), x)

    def start(self, y, sigma_w2=0.02):
        zx = np.vstack([self.z, self.x])
        return Start(
            n=len(y),
            width=len(self.a),
            lambda_0=float(np.linalg.eigvalsh(self.z.T @ self.z)[0]),
            rho_0=float(np.linalg.norm(self.f - y)),
            norm_w=float(np.linalg.norm(self.w, 2)),
            norm_u=float(np.linalg.norm(self.u, 2)),
            norm_a=float(np.linalg.norm(self.a)),
            norm_x=float(np.linalg.norm(self.x)),
            norm_z=float(np.linalg.norm(self.z, 2)),
            norm_zx=float(np.linalg.norm(zx, 2)),
            one_sided=float(np.linalg.eigvalsh((self.w + self.w.T) / 2)[-1]),
            sigma_w2=sigma_w2,
        )

    def stepped(self, y, eta, tau=1.0):
        """Gradient descent with step η for a and τη for (W, U); the adjoint by dense solves."""
        r = self.f - y
        gate = self.w @ self.z + self.u @ self.x > 0
        rows = np.stack(
            [np.linalg.solve(np.eye(len(self.a)) - g[:, None] * self.w.T, g * self.a) for g in gate.T.astype(float)], 1
        )
        rw = rows * r
        moved = self.w - tau * eta * rw @ self.z.T, self.u - tau * eta * rw @ self.x.T, self.a - eta * self.z @ r
        return Network(*moved, self.x)

    def watch(self, first, y):
        changes = (self.w - first.w, self.u - first.u, self.a - first.a)
        sigma = np.linalg.svd(self.z, compute_uv=False)[-1]
        return {
            "loss": (self.f - y) @ (self.f - y) / 2,
            "operator_norm": np.linalg.norm(self.w, 2),
            "one_sided_norm": np.linalg.eigvalsh((self.w + self.w.T) / 2)[-1],
            "sigma_min_features": sigma,
            "lambda_min_features": sigma**2,
            "distance": math.sqrt(sum((c**2).sum() for c in changes)),
        }


def attack(certificate, first, y, eta, tau, steps, unit=1.0):
    """Run descent and hold every promise of a certificate that HOLDS against every iterate."""
    assert certificate.verdict is HOLDS
    promises = certificate.promises()
    assert {"loss", "distance"} <= {p.quantity for p in promises} or isinstance(certificate, SmallReadout)
    net = first
    for k in range(steps):
        seen = net.watch(first, y)
        for p in promises:
            assert p.kept(k * unit, seen[p.quantity], 1e-8), (k, p.name, seen[p.quantity], p.at(k * unit))
        net = net.stepped(y, eta, tau)
    return net


@pytest.mark.parametrize(("seed", "n", "m"), [(0, 1, 40), (1, 2, 60), (2, 3, 80)])
def test_two_rate_descent_on_networks(seed, n, m):
    """B-TR holds for the paper's read-out and labels of order one; its rate is kept and the ball never left."""
    first = Network.draw(seed, n, 4, m, 0.02)
    y = np.random.default_rng(seed + 100).normal(size=n)
    certificate = settle(TwoRateDescent(first.start(y)))
    assert 0 < certificate.tau < 1
    last = attack(certificate, first, y, certificate.step_size, certificate.tau, 150)
    assert np.linalg.norm(last.f - y) < 1e-2 * np.linalg.norm(first.f - y)
    # A hundred times that ratio is not certified.
    assert TwoRateDescent(first.start(y), 100 * certificate.tau).verdict is FAILS


def test_plain_descent_with_a_small_residual():
    """With r₀ and a(0) small B-TR allows τ = 1: plain descent of a ReLU network, certified."""
    first = Network.draw(5, 2, 4, 80, 0.02, readout=0.02)
    y = first.f + np.array([1e-3, -1e-3])
    certificate = settle(TwoRateDescent(first.start(y), tau=1.0))
    attack(certificate, first, y, certificate.step_size, 1.0, 150)


@pytest.mark.parametrize("seed", range(2))
def test_gradient_flow_on_networks(seed):
    """B-GF against descent with steps so small that it follows the flow.

    It stays behind the flow by a factor 1 + O(ηλ_max): 1 − ηλ ≤ exp(−ηλ) at equal λ, and λ is twice σ_∞² at least.
    """
    first = Network.draw(seed, 2, 4, 80, 0.02)
    y = first.f + 0.02 * np.random.default_rng(seed).normal(size=2)
    certificate = GradientFlow(first.start(y))
    eta = 0.01 / np.linalg.norm(first.z, 2) ** 2
    attack(certificate, first, y, eta, 1.0, 120, unit=float(eta))


@pytest.mark.parametrize("seed", range(2))
def test_small_readout_and_repaired_descent_on_networks(seed):
    """With a(0) = 0 and tiny labels both hold, and plain descent keeps the conclusions of Theorem 1."""
    first = Network.draw(seed, 2, 4, 60, 0.02, readout=0.0)
    y = 1e-4 * np.array([1.0, -2.0])
    for cls in (SmallReadout, GradientDescent):
        certificate = settle(cls(first.start(y)))
        attack(certificate, first, y, certificate.step_size, 1.0, 60)


def test_depth_gap_on_networks():
    for seed in range(5):
        net = Network.draw(seed, 3, 4, 60, 0.08)
        z, first = np.zeros_like(net.z), 0.0
        for depth in range(1, 9):
            z = np.maximum(net.w @ z + net.u @ net.x, 0)
            if depth == 1:
                first = float(np.linalg.norm(z, axis=0).max())
            gap = abs(net.z.T @ net.z - z.T @ z).max() / 60
            certificate = DepthGap(60, depth, float(np.linalg.norm(net.w, 2)), first, 1.0)
            assert gap <= certificate.bound


# --- (9) as printed ---


@settings(max_examples=30, deadline=None)
@given(
    seed=st.integers(0, 10**6),
    n=st.integers(1, 6),
    d=st.integers(2, 12),
    m=st.sampled_from([20, 50, 120]),
    share=st.floats(0.0, 1.0),
)
def test_condition_nine_fails_for_every_network(seed, n, d, m, share):
    """B5: at no seed, width or δ. Unlucky draws with ‖W‖ ≥ 0.9 or ‖a‖ < 1/2 are not the paper's."""
    net = Network.draw(seed, n, d, m, 0.08)
    if np.linalg.norm(net.w, 2) >= 0.9 or np.linalg.norm(net.a) < 0.5:
        return
    s = net.start(np.random.default_rng(seed).normal(size=n), 0.08)
    # The two inequalities of the argument.
    room = 1 - s.norm_w.value
    delta = share * room * 0.999 + 1e-6 * room
    pw, pu, pa = s.norm_w.value + delta, s.norm_u.value + delta, s.norm_a.value + delta
    c_w, c_u, c_a = pu * pa / (1 - pw) ** 2, pa / (1 - pw), pu / (1 - pw)
    assert s.lambda_0.value <= np.sum(net.z**2) / n * (1 + 1e-9) <= c_a**2 * s.norm_x.value**2 / n * (1 + 1e-8)
    assert 4 * (c_w**2 + c_u**2) * s.norm_x.value**2 > s.lambda_0.value
    for certificate in (ConditionOnePrinted(s), ConditionOnePrinted(s, delta), Theorem1Printed(s, 1e-6)):
        nine = row(certificate, "(9)")
        assert nine.verdict is FAILS or s.lambda_0.value <= 1e-12
        assert "cannot hold" in nine.note
        assert certificate.verdict is FAILS
    assert row(ConditionOnePrinted(s, delta), "(9)").rhs == pytest.approx(
        4 * (c_w**2 + c_u**2) * s.norm_x.value**2, rel=1e-12
    )


def test_the_misses_of_condition_nine_are_those_measured():
    """B5's witness: right over left side 7e3 at n = 1, whatever the width; an order of magnitude is compared."""
    misses = []
    for m in (300, 600):
        s = Network.draw(3, 1, 10, m, 0.08).start(np.ones(1), 0.08)
        nine = row(ConditionOnePrinted(s), "(9)")
        misses.append(nine.rhs / nine.lhs)
        assert "whatever δ" in nine.note
    assert all(1e3 < miss < 1e5 for miss in misses)


def test_condition_one_by_hand():
    s = start(norm_w=0.25, norm_u=1.75, norm_a=0.75, norm_x=2.0, rho_0=0.5)
    c = ConditionOnePrinted(s, 0.25)  # ρ̄ = (1/2, 2, 1): c_w = 8, c_u = 2, c_a = 4
    assert row(c, "(7)").rhs == pytest.approx(16 * 8 * 2 * 0.5)
    assert row(c, "(8)").lhs == pytest.approx(1000)
    assert row(c, "(8)").rhs == pytest.approx(4 * (2 + math.sqrt(2)) * 68 * 4 * 0.5)
    assert row(c, "(9)").rhs == pytest.approx(4 * 68 * 4)
    ten = row(Theorem1Printed(s, 1e-3, 0.25), "(10)")
    assert ten.rhs == pytest.approx(min(2 / 100, 2 * 68 / (84**2 * 4)))
    b = GradientDescent(s, 1e-3, 0.25, 0.25, 0.25)
    assert row(b, "c_w/δ_w").rhs == pytest.approx(16 * 8 * 2 * 0.5)
    assert row(b, "c_u/δ_u").rhs == pytest.approx(16 * 2 * 2 * 0.5)
    assert row(b, "c_a/δ_a").rhs == pytest.approx(16 * 4 * 2 * 0.5)
    assert row(b, "(8′)").rhs == pytest.approx(row(c, "(8)").rhs)
    assert row(b, "(9′)").rhs == pytest.approx(8 * 68 * 4)
    assert row(b, "η ≤").rhs == pytest.approx(min(2 / 100, 100 / (4 * (84 * 4) ** 2)))
    assert [p.limit for p in b.promises()[:2]] == [1.0, 0.5]


def test_a_small_readout_is_not_told_that_it_cannot_hold():
    assert row(ConditionOnePrinted(start(norm_a=1e-3)), "(9)").note == ""
    assert row(GradientDescent(start(norm_a=1e-3)), "(9′)").note == ""
    assert "cannot hold" in row(GradientDescent(start(norm_a=1.0)), "(9′)").note


def test_gradient_flow_by_hand():
    # R = 0.1 and μ = 0.4: T = 2, Y = 15·1.2 = 18, L_Z = 36; with ‖r₀‖ = 0.5, σ_∞² = 100 − 36 = 64.
    certificate = GradientFlow(start(rho_0=0.5), radius=0.1)
    assert row(certificate, "2L_Z").lhs == pytest.approx(36)
    assert row(certificate, "R_* ≤ R").lhs == pytest.approx((10 - 8) / 36)
    assert certificate.verdict is HOLDS
    promised = {p.quantity: p for p in certificate.promises()}
    assert promised["loss"].limit == 0.125
    assert promised["loss"].factor == pytest.approx(math.exp(-128))
    assert promised["sigma_min_features"].limit == pytest.approx(8)
    assert promised["distance"].limit == pytest.approx(2 / 36)
    assert promised["one_sided_norm"].limit == pytest.approx(0.4 + 2 / 36)


def test_the_best_delta_beats_a_grid():
    def missed(certificate):
        return max(h.rhs / h.lhs for h in certificate.hypotheses() if h.name.startswith("("))

    s = start(rho_0=1.0, norm_a=0.9)
    best = missed(ConditionOnePrinted(s))
    grid = [missed(ConditionOnePrinted(s, float(delta))) for delta in np.geomspace(1e-6, 0.499, 200)]
    assert best <= min(grid) * (1 + 1e-4)


# --- What holds, and what must not ---

MAKE = {
    "condition": lambda s: ConditionOnePrinted(s),
    "printed": lambda s: Theorem1Printed(s, 1e-9),
    "repaired": lambda s: GradientDescent(s),
    "flow": lambda s: GradientFlow(s),
    "two-rate": lambda s: TwoRateDescent(s),
    "small": lambda s: SmallReadout(s),
}


@pytest.mark.parametrize("name", MAKE)
def test_good_numbers_hold(name):
    s = start(norm_a=0.0) if name == "small" else start(norm_a=1e-3, norm_x=0.5, norm_u=1.0)
    certificate = MAKE[name](s)
    assert certificate.verdict is HOLDS, [(h.name, h.lhs, h.rhs) for h in certificate.hypotheses()]
    assert certificate.evaluate().to_dict()["verdict"] == "HOLDS"


SPOILED = [
    ("condition", {"norm_a": 9.0}, "(9)"),
    ("condition", {"rho_0": 1e3}, "(7)"),
    ("condition", {"lambda_0": 1e-3, "rho_0": 1.0}, "(8)"),
    ("condition", {"norm_w": 1.0}, "‖W(0)‖ + δ"),
    ("condition", {"activation": "tanh"}, "ReLU"),
    ("condition", {"lambda_0": 0.0}, "λ₀ > 0"),
    ("printed", {"norm_a": 9.0}, "(9)"),
    ("printed", {"sigma_w2": 0.125}, "σ_w²"),
    ("printed", {"norm_deviation": 1e-2}, "√d"),
    ("printed", {"activation": "erf"}, "ReLU"),
    ("repaired", {"norm_a": 9.0}, "(9′)"),
    ("repaired", {"rho_0": 1e4}, "c_a/δ_a"),
    ("repaired", {"norm_w": 1.1}, "‖W(0)‖"),
    ("repaired", {"lambda_0": -1.0}, "λ₀ > 0"),
    ("repaired", {"activation": "gelu"}, "ReLU"),
    ("flow", {"rho_0": 10.0}, "2L_Z"),
    ("flow", {"one_sided": 1.0}, "λ_max"),
    ("flow", {"lambda_0": 0.0}, "σ_min(Z(0)) > 0"),
    ("flow", {"slope01": False, "activation": "gelu"}, "φ′"),
    ("two-rate", {"one_sided": 1.2}, "λ_max"),
    ("two-rate", {"lambda_0": 0.0}, "σ_b > 0"),
    ("two-rate", {"slope01": False}, "φ′"),
    ("small", {"norm_a": 1e-3}, "a(0)"),
    ("small", {"rho_0": 10.0, "norm_a": 0.0}, "(3.5)"),
    ("small", {"norm_w": 1.0, "norm_a": 0.0}, "‖W(0)‖ < 1"),
    ("small", {"activation": "tanh", "norm_a": 0.0}, "ReLU"),
    ("small", {"n": 1, "norm_u": 1e-3, "norm_a": 0.0}, "8n"),
]


@pytest.mark.parametrize(("name", "changes", "part"), SPOILED)
def test_inputs_that_must_not_pass(name, changes, part):
    certificate = MAKE[name](start(**({"norm_x": 0.5, "norm_u": 1.0} | changes)))
    assert certificate.verdict is FAILS
    assert row(certificate, part).verdict is FAILS


@pytest.mark.parametrize(
    ("certificate", "part"),
    [
        (lambda s: GradientDescent(s, 1.0), "η ≤"),
        (lambda s: GradientDescent(s, 0.0), "η > 0"),
        (lambda s: Theorem1Printed(s, 1.0), "(10)"),
        (lambda s: SmallReadout(dataclasses.replace(s, norm_a=0.0), 1.0), "η ≤"),
        (lambda s: TwoRateDescent(s, step_size=1.0), "η ≤"),
        (lambda s: TwoRateDescent(s, tau=1e9), "τ ≤"),
        (lambda s: TwoRateDescent(s, tau=-1.0), "τ ≥"),
        (lambda s: TwoRateDescent(s, radius=0.5, radius_a=1e-12), "R_a"),
        (lambda s: GradientFlow(s, radius=1e-12), "R_* ≤ R"),
    ],
)
def test_choices_that_must_not_pass(certificate, part):
    found = certificate(start(norm_x=0.5, norm_u=1.0))
    assert found.verdict is FAILS
    assert row(found, part).verdict is FAILS


@pytest.mark.parametrize("name", ["repaired", "flow", "two-rate"])
def test_uncertain_numbers_leave_it_undecided(name):
    s = start(norm_x=0.5, norm_u=1.0, lambda_0=Estimate(100.0, 101.0))
    assert MAKE[name](s).verdict is UNDECIDED
    assert MAKE[name](start(norm_x=0.5, norm_u=1.0, lambda_0=Estimate(100.0, 1.0))).verdict is HOLDS
    certificate = MAKE[name](start(norm_x=0.5, norm_u=1.0, norm_w=Estimate(0.5, 0.6), one_sided=Estimate(0.4, 0.7)))
    assert certificate.verdict is UNDECIDED


def test_the_promises_are_those_of_the_worst_ends():
    s = start(norm_x=0.5, norm_u=1.0, lambda_0=Estimate(100.0, 1.0), rho_0=Estimate(1e-6, 1e-7))
    loss, kept = (
        next(p for p in GradientDescent(s, 1e-9).promises() if p.quantity == q) for q in ("loss", "lambda_min_features")
    )
    assert loss.limit == pytest.approx(1.1e-6**2 / 2)
    assert kept.limit == pytest.approx(49.5)
    assert loss.factor == 1 - 1e-9 * 99 / 2
    assert GradientFlow(start(rho_0=10.0)).promises() == ()
    assert TwoRateDescent(start(one_sided=2.0)).promises() == ()
    assert Theorem1Printed(start(), 1.0).promises()[-1].quantity == "lambda_min_features"  # η too large for a rate


# --- The free numbers are the best ones ---


@settings(max_examples=10, deadline=None)
@given(
    w=st.floats(0.0, 0.95),
    u=st.floats(0.1, 50.0),
    a=st.floats(0.0, 1.5),
    lam=st.floats(1e-3, 1e6),
    rho=st.floats(1e-6, 10.0),
    seed=st.integers(0, 1000),
)
def test_the_best_radii_beat_random_ones(w, u, a, lam, rho, seed):
    def worst(certificate):
        rows = [h for h in certificate.hypotheses() if h.name.startswith("(")]
        return max(math.log(h.rhs / h.lhs) for h in rows)

    s = start(norm_w=w, norm_u=u, norm_a=a, lambda_0=lam, rho_0=rho)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        best = worst(GradientDescent(s))
    draw = np.random.default_rng(seed)
    radii = (1 - w) * draw.uniform(size=20), u * 10 ** draw.uniform(-3, 1, 20), 10 ** draw.uniform(-4, 1, 20)
    for dw, du, da in zip(*radii, strict=True):
        assert best <= worst(GradientDescent(s, 1e-9, float(dw), float(du), float(da))) + 1e-3


@settings(max_examples=40, deadline=None)
@given(
    n=st.integers(1, 20),
    w=st.floats(0.0, 0.95),
    u=st.floats(0.1, 50.0),
    x=st.floats(0.5, 20.0),
    fill=st.floats(1e-3, 1.0),
    spare=st.floats(1.001, 10.0),
)
def test_the_closed_form_implies_the_repaired_theorem(n, w, u, x, fill, spare):
    """(3.5) with λ₀ ≤ c_a²‖X‖_F²/n, as every network has it, gives (7′)-(9′) at its radii."""
    k = (1 - w) / 2
    lam = fill * (1.1 * u * x / k) ** 2 / n
    rho = math.sqrt(lam**3 * k**6 / (128 * x**4 * (1.1 * u) ** 2 * ((1.1 * u) ** 2 + k**2))) / spare
    s = start(n=n, norm_w=w, norm_u=u, norm_a=0.0, norm_x=x, lambda_0=lam, rho_0=rho)
    small = settle(SmallReadout(s))
    if n == 1 and row(small, "8n").verdict is not HOLDS:
        return
    assert small.verdict is HOLDS
    beyond = dataclasses.replace(s, rho_0=rho * spare * 1.001)
    assert row(SmallReadout(beyond), "(3.5)").verdict is FAILS
    # The largest radius of (9′), a hair inside it.
    a = math.sqrt(lam / 8) * k**2 / (x * math.sqrt((1.1 * u) ** 2 + k**2)) * (1 - 1e-9)
    full = GradientDescent(s, small.step_size * (1 - 1e-6), k, 0.1 * u, a)
    assert full.verdict is HOLDS, [(h.name, h.lhs, h.rhs) for h in full.hypotheses()]


@pytest.mark.parametrize("rho", [0.05, 0.3, 0.9, 1.1, 3.0])
def test_gradient_flow_holds_exactly_where_some_radius_serves(rho):
    """Against all radii of a grid; ‖r₀‖ is a multiple of the largest that the grid allows."""

    def t(radius):
        return 1 / (1 - 0.4 - radius)

    grid = np.linspace(1e-4, 0.5999, 20000)
    gain = 10 * grid - t(grid) * 15 * (1 + t(grid) * grid) * grid**2 / 2
    s = start(rho_0=float(rho * gain.max()))
    certificate = GradientFlow(s)
    assert certificate.verdict is (HOLDS if rho < 1 else FAILS)
    serves = []
    for radius in grid[::200]:
        slope = t(radius) * 15 * (1 + t(radius) * radius)
        square = 100 - 2 * slope * s.rho_0.value
        if square > 0 and (10 - math.sqrt(square)) / slope <= radius:
            serves.append(radius)
    assert bool(serves) == (rho < 1)
    if serves:
        assert certificate.settled().radius <= min(serves)
        assert f"{gain.max():.3g}"[:3] in row(certificate, "2L_Z").note


def test_the_largest_ratio_beats_a_grid():
    s = start(rho_0=0.7, norm_a=1.0)
    best = settle(TwoRateDescent(s)).tau
    found = []
    for radius in np.geomspace(1e-9, 0.24, 4000):
        t = 1 / (1 - 0.4 - radius)
        y, sigma = 15 * (1 + t * radius), 10 - t * radius * 15
        if sigma <= 0:
            continue
        alpha = 1.0 + 2 * y * 0.7 / sigma**2
        found.append(min(sigma**2 / (2 * alpha**2 * t**2 * y**2), radius * sigma**2 / (2 * t * alpha * y * 0.7)))
    assert max(found) * (1 - 1e-9) <= best <= max(found) * 1.01
    # A smaller ratio is certified at a smaller radius, hence at a better rate.
    lower = settle(TwoRateDescent(s, tau=best / 10))
    assert lower.verdict is HOLDS
    assert lower.radius < settle(TwoRateDescent(s)).radius


# --- At initialisation ---


def test_lemma_1_by_sampling():
    """B2: with 60 draws at m = 60 the printed bound is broken by some, the corrected one at δ = 0.01 by hardly any."""
    corrected = HiddenNorm(60, 0.08, 0.01)
    draw = np.random.default_rng(1)
    norms = [np.linalg.norm(draw.normal(size=(60, 60)) * math.sqrt(0.16 / 60), 2) for _ in range(60)]
    printed = [HiddenNormPrinted(60, 0.08, float(v)).hypotheses()[-1].verdict for v in norms]
    assert 1 <= printed.count(FAILS) <= 30  # about 0.15 of them: 9 ± 3
    # P(Bin(60, 0.01) > 5) < 1e-4.
    assert sum(v > corrected.bound for v in norms) <= 5
    assert corrected.bound == pytest.approx(0.4 * (2 + math.sqrt(2 * math.log(200) / 60)))


def test_lemma_1_verdicts():
    assert HiddenNorm(1000, 0.08, 0.01).verdict is HOLDS
    assert HiddenNorm(4, 0.08, 0.01).verdict is FAILS
    assert HiddenNorm(1000, 0.125, 0.01).verdict is FAILS
    assert "0.79" in row(HiddenNorm(1000, 0.08, 0.01, 0.79), "2 + t").note
    assert HiddenNormPrinted(1000, 0.08, 0.79).verdict is UNDECIDED
    assert HiddenNormPrinted(1000, 0.2).verdict is FAILS
    with pytest.raises(ValueError, match="probability"):
        HiddenNorm(10, 0.08, 1.0)


def gram(**changes):
    numbers: dict[str, Any] = {
        "n": 10,
        "width": 10**12,
        "sigma_w2": 0.08,
        "lambda_star": 0.25,
        "norm_w": 0.8,
        "delta": 0.1,
    }
    return InitialGram(**(numbers | changes))


def test_theorem_2_width():
    """The depth makes w^l ≤ (1 − w)²λ_*/(15n) for the first time; the width is what the two nets cost."""
    certificate = gram()
    depth = int(certificate.depth)
    target = 0.2**2 * 0.25 / 150
    assert 0.8**depth <= target < 0.8 ** (depth - 1)
    cost = math.log(110 * depth / 0.1) + 4 * depth * math.log(1 + 14400 / 0.25)
    assert certificate.needed_width == pytest.approx(cost * 6075 * 1600 + cost * 7200, rel=1e-12)
    # "For n = 10, σ_w² = 0.08 it asks for 4e10", at a λ_* that is not stated.
    assert 1e10 < certificate.needed_width < 1e11
    assert certificate.verdict is HOLDS


@pytest.mark.parametrize(
    ("changes", "part"),
    [
        ({"width": 1000}, "6075"),
        ({"norm_w": 1.0}, "‖W(0)‖"),
        ({"lambda_star": 0.0}, "λ_* > 0"),
        ({"sigma_w2": 0.2}, "σ_w²"),
        ({"norm_deviation": 0.1}, "√d"),
        ({"activation": "tanh"}, "ReLU"),
    ],
)
def test_theorem_2_must_not_pass(changes, part):
    certificate = gram(**changes)
    assert certificate.verdict is FAILS
    assert row(certificate, part).verdict is FAILS


def test_theorem_2_estimates_and_bad_input():
    needed = math.ceil(gram().needed_width)
    assert gram(width=needed).verdict is HOLDS
    assert gram(width=needed - 1).verdict is FAILS
    assert gram(width=needed + 1, lambda_star=Estimate(0.25, 0.01)).verdict is UNDECIDED
    assert gram(norm_w=0.0).depth == 1
    with pytest.raises(ValueError, match="probability"):
        gram(delta=0.0)


def test_theorem_2_printed_is_an_order():
    numbers: dict[str, Any] = {"n": 10, "width": 10**6, "sigma_w2": 0.08, "lambda_star": 0.25, "delta": 0.1}
    assert InitialGramPrinted(**numbers).verdict is UNDECIDED
    assert row(InitialGramPrinted(**numbers, width_constant=1.0), "m ≥ c").rhs == pytest.approx(1600 * math.log(400))
    assert InitialGramPrinted(**numbers, width_constant=1.0).verdict is HOLDS
    assert InitialGramPrinted(**numbers, width_constant=1e3).verdict is FAILS
    singular: dict[str, Any] = numbers | {"lambda_star": 0.0}
    assert InitialGramPrinted(**singular).verdict is FAILS


@pytest.mark.parametrize(
    ("lambda_0", "lambda_star", "verdict"),
    [
        (12.6, 0.25, HOLDS),
        (12.4, 0.25, FAILS),
        (Estimate(12.6, 0.2), 0.25, UNDECIDED),
        (12.6, Estimate(0.25, 0.01), UNDECIDED),
        (0.0, 0.0, FAILS),
    ],
)
def test_the_conclusion_of_theorem_2_is_measured(lambda_0, lambda_star, verdict):
    assert InitialGramMeasured(100, lambda_0, lambda_star).verdict is verdict


def test_theorem_4():
    certificate = DepthGap(width=100, depth=3, norm_w=0.5, first_norm=10.0, tolerance=1.0)
    assert certificate.bound == pytest.approx(2 * 0.125 / 0.25)
    assert certificate.verdict is HOLDS
    assert dataclasses.replace(certificate, tolerance=0.99).verdict is FAILS
    assert dataclasses.replace(certificate, norm_w=1.0).verdict is FAILS
    assert dataclasses.replace(certificate, activation="elu").verdict is FAILS
    assert dataclasses.replace(certificate, first_norm=Estimate(10.0, 0.1)).verdict is UNDECIDED


@pytest.mark.parametrize("changes", [{"n": 0}, {"width": 0}])
def test_bad_input(changes):
    with pytest.raises(ValueError, match="at least 1"):
        start(**changes)

"""The certificate attacked: where it says HOLDS, gradient descent must do what it says; just outside it must not say it."""

import dataclasses
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from globalmin import Estimate
from globalmin.theory import Verdict
from globalmin.theory.curvature import TwoLayerCurvature
from globalmin.theory.kantorovich import Block, Comparison, Curvature, certify

from ..helpers import given as given_number


class Tanh:
    """A two-layer tanh network in NumPy, with its Jacobian by hand: shares no code with the library."""

    bend = 4 / (3 * math.sqrt(3))

    def __init__(self, seed, n, d, m, scale=1.0):
        g = np.random.default_rng(seed)
        self.x = g.standard_normal((n, d))
        self.x /= np.linalg.norm(self.x, axis=1, keepdims=True)
        self.w = scale * g.standard_normal((m, d))
        self.a = g.choice([-1.0, 1.0], m)
        self.y = g.standard_normal(n)

    def outputs(self, w):
        return np.tanh(self.x @ w.T) @ self.a / math.sqrt(len(self.a))

    def jacobian(self, w):
        slopes = (1 - np.tanh(self.x @ w.T) ** 2) * self.a / math.sqrt(len(self.a))
        return (slopes[:, :, None] * self.x[:, None, :]).reshape(len(self.x), -1)

    def rounding(self, w):
        """Bound on the rounding error of the residual's norm: m + d terms an output, each off by eps of its size.

        A pre-activation is off by eps of the sum of |x_k w_k|, which may cancel, and so does the step that made w; |tanh′| ≤ 1.
        """
        terms = np.abs(np.tanh(self.x @ w.T)) + np.abs(self.x) @ np.abs(w.T)
        terms = terms.sum(1) / math.sqrt(len(self.a)) + np.abs(self.y)
        return float((sum(w.shape) + 2) * np.finfo(float).eps * np.linalg.norm(terms))

    def lipschitz(self):
        spread = math.sqrt(np.linalg.eigvalsh((self.x @ self.x.T) ** 2)[-1])
        bound = TwoLayerCurvature(
            1.0, self.bend, 1.0, float(np.linalg.norm(self.x, 2)), spread * (1 + 1e-12), len(self.a)
        )
        return bound.lipschitz

    def certificate(self, w, step_size=None, **keywords):
        s = singular_values(self.jacobian(w))
        # Rounding of an SVD: a few eps of the norm.
        error = 1e-13 * s[0]
        rho = float(np.linalg.norm(self.outputs(w) - self.y))
        block = Block("all", Estimate(float(s[-1]), error), self.lipschitz())
        curvature = Curvature(Estimate(float(s[0]), error), self.lipschitz(), "test")
        return certify(Estimate(rho, 1e-13), [block], curvature, step_size=step_size, **keywords)

    def fitted(self, w, steps=2):
        """Gauss-Newton steps by pseudo-inverses, and where they lead."""
        for _ in range(steps):
            w = w - (np.linalg.pinv(self.jacobian(w)) @ (self.outputs(w) - self.y)).reshape(w.shape)
        return w

    def displaced(self, w, step_size=None, point=None, **keywords):
        """The displacement form: every constant at another point, by default the Gauss-Newton point."""
        point = self.fitted(w) if point is None else point
        s = singular_values(self.jacobian(point))
        error = 1e-13 * s[0]
        rho = float(np.linalg.norm(self.outputs(w) - self.y))
        left = float(np.linalg.norm(self.outputs(point) - self.y))
        comparison = Comparison(Estimate(float(np.linalg.norm(point - w)), 1e-14), Estimate(left, 1e-13))
        block = Block("all", Estimate(float(s[-1]), error), self.lipschitz())
        curvature = Curvature(Estimate(float(s[0]), error), self.lipschitz(), "test")
        return certify(Estimate(rho, 1e-13), [block], curvature, step_size=step_size, comparison=comparison, **keywords)

    def step(self, w, eta):
        j, r = self.jacobian(w), self.outputs(w) - self.y
        return w - eta * (j.T @ r).reshape(w.shape)


def singular_values(j):
    """All n of them: with fewer parameters than samples the last ones are 0."""
    found = np.linalg.svd(j, compute_uv=False)
    return np.concatenate([found, np.zeros(len(j) - len(found))])


def run_to_certificate(net, eta_share, most=20_000):
    """Plain descent until the certificate holds for its own step size."""
    w = net.w
    eta = eta_share / np.linalg.norm(net.jacobian(w), 2) ** 2
    certificate = net.certificate(w, eta)
    for k in range(most):
        if k % max(10, k // 20 * 10) == 0:  # ever more rarely: the check costs as much as ten steps
            certificate = net.certificate(w, eta)
            if certificate.verdict is Verdict.HOLDS:
                return w, eta, certificate
        w = net.step(w, eta)
    return w, eta, certificate


def assert_promises_kept(net, w, eta, certificate, steps):
    start, path = w, 0.0
    rho = np.linalg.norm(net.outputs(w) - net.y)
    for k in range(steps):
        new = net.step(w, eta)
        path += float(np.linalg.norm(new - w))
        w, before, rho = new, rho, np.linalg.norm(net.outputs(new) - net.y)
        if rho < 100 * net.rounding(w):  # from here on rounding decides
            break
        assert rho <= certificate.rate * before + 2 * net.rounding(w), k
        assert path <= certificate.path * (1 + 1e-9), k
        assert np.linalg.norm(w - start) <= certificate.radius * (1 + 1e-9), k
        sigma = singular_values(net.jacobian(w))[-1]
        assert sigma >= certificate.sigma_star * (1 - 1e-9), k
    assert np.linalg.norm(w - start) <= certificate.radius


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize(("n", "d", "m", "share"), [(3, 4, 60, 0.9), (5, 5, 200, 0.5), (2, 2, 30, 1.5)])
def test_where_it_holds_descent_obeys(seed, n, d, m, share):
    net = Tanh(seed, n, d, m)
    w, eta, certificate = run_to_certificate(net, share)
    assert certificate.verdict is Verdict.HOLDS, certificate.reason
    assert_promises_kept(net, w, eta, certificate, 400)


PROBLEMS = {
    "seed": st.integers(0, 10**6),
    "n": st.integers(1, 4),
    "d": st.integers(1, 4),
    "m": st.integers(1, 40),
    "scale": st.sampled_from([1e-3, 0.3, 1.0, 5.0]),
    "closeness": st.sampled_from([1e-8, 1e-3, 0.05, 0.3, 1.0]),
}


def attack(seed, n, d, m, scale, closeness):
    """Labels near the outputs, so that some certify and some do not; the step size is the certificate's own limit."""
    net = Tanh(seed, n, d, m, scale)
    net.y = net.outputs(net.w) + closeness * net.y
    for certificate in (net.certificate(net.w), net.displaced(net.w)):
        if certificate.verdict is Verdict.HOLDS:
            assert_promises_kept(net, net.w, certificate.step_size, certificate, 60)


@settings(max_examples=60, deadline=None)
@given(**PROBLEMS)
def test_random_problems_with_the_largest_step_it_allows(**problem):
    attack(**problem)


@pytest.mark.slow
@settings(max_examples=5000, deadline=None)
@given(**PROBLEMS)
def test_many_random_problems_with_the_largest_step_it_allows(**problem):
    attack(**problem)


@pytest.mark.parametrize("seed", range(4))
def test_the_displacement_certifies_earlier_and_descent_obeys(seed):
    """Descent to the first iterate at which only the displacement form holds: its promises are kept from there on."""
    net = Tanh(seed, 6, 6, 150)
    w, eta = net.w, 0.5 / np.linalg.norm(net.jacobian(net.w), 2) ** 2
    certificate = net.displaced(w, eta)
    for _ in range(2000):
        if certificate.verdict is Verdict.HOLDS:
            break
        w = net.step(w, eta)
        certificate = net.displaced(w, eta)
    assert certificate.verdict is Verdict.HOLDS
    assert net.certificate(w, eta).verdict is not Verdict.HOLDS  # the first form is still silent here
    assert_promises_kept(net, w, eta, certificate, 400)


@pytest.mark.parametrize("seed", range(3))
def test_a_point_that_fits_badly_serves_too(seed):
    """The theorem asks nothing of θ_c: with a point half way, or another one at random, what is promised is still kept."""
    net = Tanh(seed, 3, 4, 60)
    net.y = net.outputs(net.w) + 0.02 * net.y
    away = net.fitted(net.w)
    held = 0
    for point in (net.w, (net.w + away) / 2, away + 0.3 * (away - net.w), away + 1e-3 * np.sin(away)):
        certificate = net.displaced(net.w, point=point)
        if certificate.verdict is Verdict.HOLDS:
            held += 1
            assert_promises_kept(net, net.w, certificate.step_size, certificate, 100)
    assert held >= 2


def test_the_displacement_forms_threshold():
    """Flow with σ = Λ = 1 at a point that fits exactly: b = D²/2, max E = (1 − D)²/2, so h < 1/2 means D < 1/2."""
    block, curvature = (
        Block("θ", Estimate(1.0), lambda radius: 1.0), Curvature(Estimate(1.0), lambda radius: 1.0, "exact")
    )  # fmt: skip

    def about(distance, left=0.0, **keywords):
        comparison = Comparison(Estimate(distance), Estimate(left))
        return certify(Estimate(5.0), [block], curvature, comparison=comparison, **keywords)

    assert about(0.5 * (1 - 1e-9), flow=True).verdict is Verdict.HOLDS
    assert about(0.5 * (1 + 1e-9), flow=True).verdict is Verdict.FAILS
    inside = about(0.3, flow=True)
    assert inside.h == pytest.approx(0.045 / (2 * 0.245), rel=1e-9)
    # After phase one 0.7 q − q²/2 = 0.045; before it the path is at most (5 − 0.045)/0.7.
    more = 0.7 - math.sqrt(0.49 - 0.09)
    assert inside.path == pytest.approx(more + (5 - 0.045) / 0.7, rel=1e-6)
    assert inside.radius == pytest.approx(0.6 + more, rel=1e-6)
    assert inside.sigma_star == pytest.approx(0.7 - more, rel=1e-6)
    # What the point leaves of the residual counts in full: 0.2 more brings h to (0.045 + 0.2)/0.49 = 1/2.
    assert about(0.3, 0.2 * (1 - 1e-6), flow=True).verdict is Verdict.HOLDS
    assert about(0.3, 0.2 * (1 + 1e-6), flow=True).verdict is Verdict.FAILS
    # Descent: b = 0.045/c₁ at β = 1.3; before it c = c₁ − 5η/2, after it c(p) = 1 − ηβ(p)²/2 − ηb/2 with β = 1.3 + p.
    step, eta = about(0.3, step_size=0.01), 0.01
    first = 1 - eta * 1.3**2 / 2
    assert step.c == pytest.approx(first - eta * 5 / 2, rel=1e-12)
    b, p = 0.045 / first, np.linspace(0.0, 0.7, 20_001)
    c = 1 - eta * (1.3 + p) ** 2 / 2 - eta * b / 2
    most = float(np.max(np.cumsum(c * (0.7 - p)) * p[1]))
    assert b / (2 * most) <= given_number(step.h) <= 1.003 * b / (2 * most)  # the table takes c at the farther node


def test_c_is_charged_where_the_path_is():
    """Descent with Λ = σ = ‖J‖ = 1: ∫ c E′ with c(p) = 1 − η(1 + p)²/2 − ηρ/2, against a fine sum."""
    block, curvature = (
        Block("θ", Estimate(1.0), lambda radius: 1.0),
        Curvature(Estimate(1.0), lambda radius: 1.0, "exact"),
    )
    eta, rho = 0.6, 0.15
    p = np.linspace(0.0, 1.0, 100_001)
    c = 1 - eta * (1 + p) ** 2 / 2 - eta * rho / 2
    gains = np.cumsum(c * (1 - p)) * p[1]
    exact = float(p[np.argmax(gains >= rho)])
    found = certify(Estimate(rho), [block], curvature, step_size=eta)
    assert found.verdict is Verdict.HOLDS
    assert rho > float((c * (p - p**2 / 2)).max())  # with one c, that of the end of the path, nothing would hold
    assert exact - 1e-4 <= given_number(found.radius) <= 1.01 * exact
    assert given_number(found.c) == pytest.approx(1 - eta * (1 + exact) ** 2 / 2 - eta * rho / 2, rel=0.02)
    assert given_number(found.h) == pytest.approx(rho / (2 * float(gains.max())), rel=0.01)


def test_the_envelope_of_two_blocks():
    """σ_min ≥ max(1 − 2p, 0.5 − 0.2p): E is the area under both; each alone has 1/4 and 5/8."""
    steep, flat = (
        Block(name, Estimate(sigma), lambda radius, slope=slope: slope)
        for name, sigma, slope in (("steep", 1.0, 2.0), ("flat", 0.5, 0.2))
    )
    # They cross at p = 5/18, where both are 4/9: 1 − 2p up to there, then 0.5 − 0.2p down to 0 at p = 2.5.
    most = 5 / 18 * (1 + 4 / 9) / 2 + (2.5 - 5 / 18) * 4 / 9 / 2
    for share, verdict in ((0.99, Verdict.HOLDS), (1.0, Verdict.FAILS)):
        found = certify(Estimate(share * most), [steep, flat], None, flow=True)
        assert found.verdict is verdict
        # A sum with ψ at the farther of 512 nodes loses half an interval of the whole fall: 2.5/1024 of 0.694.
        assert share / 2 <= given_number(found.h) <= 1.004 * share / 2
    assert certify(Estimate(0.95 * most), [flat], None, flow=True).verdict is Verdict.FAILS
    # An error of σ counts: what one end certifies and the other does not is undecided.
    doubtful = dataclasses.replace(steep, sigma=Estimate(1.0, 0.05))
    assert certify(Estimate(most), [doubtful, flat], None, flow=True).verdict is Verdict.UNDECIDED


def parabola(rho, step_size=None, **keywords):
    """f(θ) = θ − θ²/2 from θ = 0, σ₀ = Λ = 1: its values end at 1/2, so a zero of f − ρ exists up to ρ = 1/2 only."""
    block = Block("θ", Estimate(1.0), lambda radius: 1.0)
    return certify(
        Estimate(rho), [block], Curvature(Estimate(1.0), lambda radius: 1.0, "exact"), step_size=step_size, **keywords
    )


def test_just_outside_one_half_there_is_no_zero_and_no_certificate():
    assert parabola(0.5 * (1 + 1e-9), flow=True).verdict is Verdict.FAILS
    assert parabola(0.5, flow=True).verdict is Verdict.FAILS  # h < 1/2 is strict
    inside = parabola(0.5 * (1 - 1e-9), flow=True)
    assert inside.verdict is Verdict.HOLDS
    # The zero nearest to 0 is 1 − √(1 − 2ρ), which is R_* exactly.
    assert inside.radius == pytest.approx(1 - math.sqrt(1 - 2 * inside.rho_0), rel=1e-6)


def test_descent_on_the_parabola_at_the_largest_step():
    certificate = parabola(0.3)
    assert certificate.verdict is Verdict.HOLDS
    eta, rate, radius = certificate.step_size, certificate.rate, certificate.radius
    assert eta is not None
    assert rate is not None
    assert radius is not None
    theta, path = 0.0, 0.0
    for _ in range(200):
        residual = theta - theta**2 / 2 - 0.3
        if abs(residual) < 1e-14:
            break
        new = theta - eta * (1 - theta) * residual
        path += abs(new - theta)
        theta = new
        now = abs(theta - theta**2 / 2 - 0.3)
        assert now <= rate * abs(residual) + 1e-15
    assert path <= radius
    assert parabola(0.3, 1.05 * eta).verdict is Verdict.FAILS


def tilted(rho, *, apart=True, step_size=None, **keywords):
    """f(v, h) = (1 − h)v + h from 0, whose ∂f/∂v = 1 − h only h moves: σ₀ = Λ_* = 1. Its ridge v = h ends at f = 1."""
    block = Block("v", Estimate(1.0), lambda radius: 1.0, apart=apart)
    curvature = Curvature(Estimate(math.sqrt(2)), lambda radius: 1.0, "exact")
    return certify(Estimate(rho), [block], curvature, step_size=step_size, **keywords)


def test_where_c_is_negative_the_shown_numbers_belong_together():
    """η = 3 at ‖J‖ = 1: no block has c > 0, and h is its limit at small steps, of the block that is best there."""
    blocks = [
        Block(name, Estimate(1.0), lambda radius, s=slope: s) for name, slope in (("worse", 4.0), ("better", 1.0))
    ]
    curvature = Curvature(Estimate(1.0), lambda radius: 4.0, "exact")
    found = certify(Estimate(0.7), blocks, curvature, step_size=3.0)
    assert found.verdict is Verdict.FAILS
    assert found.block == "better"
    assert given_number(found.c) <= 0
    # The last of 128 nodes with σ > 0 is 1/128 before σ₀/Λ, where G is a parabola.
    assert found.h == pytest.approx(
        given_number(found.lipschitz) * 0.7 / given_number(found.sigma_0) ** 2, rel=128**-2 * 1.01
    )


def test_half_the_path_ends_where_the_ridge_does():
    """The bound is sharp: both parameters move alike, and at ρ₀ = σ₀²/Λ_* the flow ends in the saddle v = h = 1."""
    assert tilted(1 - 1e-9, flow=True).verdict is Verdict.HOLDS
    assert tilted(1.0, flow=True).verdict is Verdict.FAILS
    assert tilted(0.51, flow=True, apart=False).verdict is Verdict.FAILS  # what the whole path would ask for
    inside = tilted(0.99, flow=True)
    # On the ridge f = 2v − v², so the zero is at v = h = 1 − √(1 − ρ), and 2v bounds the path of length √2 v.
    assert inside.path == pytest.approx(2 * (1 - math.sqrt(0.01)), rel=1e-6)
    assert inside.sigma_star == pytest.approx(0.1, rel=1e-6)
    v = h = 0.0
    for _ in range(4000):  # outside the flow stops: ‖∇f‖ → 0 while a residual of 0.1 stays
        r = (1 - h) * v + h - 1.1
        v, h = v - 0.1 * (1 - h) * r, h - 0.1 * (1 - v) * r
    assert (1 - h) * v + h - 1.1 == pytest.approx(-0.1, abs=1e-9)
    assert abs(1 - h) < 1e-6


@pytest.mark.parametrize("lean", [0.0, 0.3, 1.0, 3.0])
def test_half_the_path_and_descent(lean):
    """f = (1 − h)v + lean · h, every step of descent at the largest step size: path, rate and σ_min as promised."""
    block = Block("v", Estimate(1.0), lambda radius: 1.0, apart=True)
    curvature = Curvature(Estimate(math.hypot(1.0, lean)), lambda radius: 1.0, "exact")
    for rho in (-0.6, 0.55, 0.8):
        found = certify(Estimate(abs(rho)), [block], curvature)
        assert found.verdict is Verdict.HOLDS
        eta, rate, path = (given_number(a) for a in (found.step_size, found.rate, found.path))
        v, h, length = 0.0, 0.0, 0.0
        for _ in range(400):
            r = (1 - h) * v + lean * h - rho
            if abs(r) < 1e-13:
                break
            slopes = np.array([1 - h, lean - v])
            assert np.linalg.norm(slopes) >= given_number(found.sigma_star)
            v, h = v - eta * slopes[0] * r, h - eta * slopes[1] * r
            length += eta * float(np.linalg.norm(slopes)) * abs(r)
            assert abs((1 - h) * v + lean * h - rho) <= rate * abs(r) + 1e-15
        assert length <= path


@pytest.mark.parametrize("seed", range(8))
def test_half_the_path_against_an_adversary(seed):
    """Any motion that the bounds admit: at each moment an adversary picks ‖J_vᵀr‖ = aρ ≥ V(p)ρ and the rest's share bρ.

    S(l)² ≤ a² + b² for all of J, V(p) ≤ a for the block, dρ = −(a² + b²)ρ dt, dp = bρ dt, dl = (a² + b²)^{1/2}ρ dt. While the
    residual is left, p and l must stay below what is certified, whatever the adversary does.
    """
    g = np.random.default_rng(seed)
    v_0, s_slope, v_slope = 1.0, float(g.uniform(0.0, 20)), float(g.uniform(0.2, 2))
    s_0 = float(g.uniform(1.0, 4.0))
    whole = Block("all", Estimate(s_0), lambda radius: s_slope)
    part = Block("part", Estimate(v_0), lambda radius: v_slope, apart=True)
    rho_0 = 1.0
    while certify(Estimate(rho_0), [whole, part], None, flow=True).verdict is Verdict.HOLDS:
        rho_0 *= 1.01
    while (found := certify(Estimate(rho_0), [whole, part], None, flow=True)).verdict is not Verdict.HOLDS:
        rho_0 *= 0.999
    most, least = given_number(found.path), given_number(found.sigma_star)
    step = rho_0 / 4000

    for policy in range(8):
        rho, p, length = rho_0, 0.0, 0.0
        fixed = g.uniform(0, 3)
        while rho > 0:
            s, v = max(s_0 - s_slope * length, 0.0), max(v_0 - v_slope * p, 0.0)
            a = v
            rest = math.sqrt(max(s * s - a * a, 0.0))
            if policy == 0:  # as far as possible for the rest: b = a or what S asks for
                b = max(rest, a)
            elif policy == 1:
                b = rest
            elif policy == 2:
                b = max(rest, fixed)
            elif policy == 3 and length < fixed * most / 3:  # first v alone, then the rest
                a, b = max(s, v), 0.0
            elif policy < 6:
                b = max(rest, a * g.uniform(0.5, 2))
            else:
                a, b = (max(s, v), 0.0) if g.random() < 0.5 else (v, max(rest, v * g.uniform(0.7, 1.5)))
            gone = max(a * a + b * b, 1e-300)
            fall = min(step, rho)
            p, length, rho = p + b / gone * fall, length + fall / math.sqrt(gone), rho - fall
            # Euler's rule with 4,000 steps: what it is off by is below the slopes' change over a step.
            assert length <= most * 1.01
            assert max(s_0 - s_slope * length, v_0 - v_slope * p) >= least - 0.01


def test_half_the_path_after_another_block():
    """All of J serves with 3 − 10p up to 1/9, where it is twice the block's 1 − p/2; from there 1 − (p + 1/9)/4."""
    whole = Block("all", Estimate(3.0), lambda radius: 10.0)
    part = Block("part", Estimate(1.0), lambda radius: 0.5, apart=True)
    start, outside = 1 / 9, 0.5  # how far the rest moves in the end
    rho = 3 * start - 5 * start**2 + 2 * (outside - outside**2 / 4 - start + start**2 / 4)
    found = certify(Estimate(rho), [whole, part], None, flow=True)
    assert found.verdict is Verdict.HOLDS
    # The table of the best of both loses half an interval of a fall by 3: 2/1024 of it in G, and that over E′ = 0.75 in p.
    assert found.path == pytest.approx(2 * outside - start, abs=3 * 2 / 1024 / 0.75)
    assert found.sigma_star == pytest.approx(1 - outside / 2, abs=3 * 2 / 1024 / 0.75 / 4)


def test_half_the_path_about_a_point_that_fits():
    """The displacement form charges ψ(D + p/2): with ψ = p and D given, G(R) = R(1 − D) − R²/4 against a fine grid."""
    distance, left = 0.2, 0.5
    block = Block("v", Estimate(1.0), lambda radius: 1.0, apart=True)
    curvature = Curvature(Estimate(1.0), lambda radius: 0.1, "exact")
    comparison = Comparison(Estimate(distance), Estimate(left))
    found = certify(Estimate(10.0), [block], curvature, flow=True, comparison=comparison)
    b = left + 0.1 * distance**2 / 2
    p = np.linspace(0.0, 2 * (1 - distance), 1_000_001)
    gains = p * (1 - distance) - p**2 / 4
    assert found.verdict is Verdict.HOLDS
    assert given_number(found.h) == pytest.approx(b / (2 * gains.max()), rel=1e-9)
    exact = float(p[np.argmax(gains >= b)])
    assert given_number(found.sigma_star) == pytest.approx(1 - distance - exact / 2, abs=2e-6)


def test_a_linear_model_needs_no_ball_constant():
    """Λ = 0: R_* = ρ₀/(cσ₀), and every step size below 2/β² serves."""
    block = Block("θ", Estimate(2.0), lambda radius: 0.0)
    curvature = Curvature(Estimate(3.0), lambda radius: 0.0, "linear")
    certificate = certify(Estimate(5.0), [block], curvature, step_size=0.1)
    c = 1 - 0.1 * 9 / 2
    assert certificate.verdict is Verdict.HOLDS
    assert certificate.radius == pytest.approx(5 / (c * 2), rel=1e-9)
    assert certificate.rate == pytest.approx(1 - c * 0.1 * 4, rel=1e-9)
    assert certify(Estimate(5.0), [block], curvature, step_size=2 / 9).verdict is Verdict.FAILS


def test_the_general_drift_agrees_with_the_lipschitz_form_and_with_a_cubic_one():
    """Theorem C with ψ(p) = Λp is the theorem; with ψ(p) = p², σR − R³/3 = ρ by its own root."""
    slope = 0.7
    plain = certify(Estimate(0.4), [Block("a", Estimate(1.0), lambda r: slope)], None, flow=True)
    rich = certify(
        Estimate(0.4),
        [Block("a", Estimate(1.0), drift=lambda p: slope * p, drift_integral=lambda p: slope * p * p / 2)],
        None,
        flow=True,
    )
    assert rich.verdict is plain.verdict is Verdict.HOLDS
    assert rich.radius == pytest.approx(plain.radius, rel=1e-9)
    assert rich.h == pytest.approx(plain.h, rel=1e-9)
    cubic = certify(
        Estimate(0.4),
        [Block("a", Estimate(1.0), drift=lambda p: p * p, drift_integral=lambda p: p**3 / 3)],
        None,
        flow=True,
    )
    root = min(z.real for z in np.roots([-1 / 3, 0, 1, -0.4]) if z.real > 0)
    assert cubic.radius == pytest.approx(root, rel=1e-9)
    assert certify(
        Estimate(2 / 3 * 1.001), [Block("a", Estimate(1.0), drift=lambda p: p * p, drift_integral=lambda p: p**3 / 3)],
        None, flow=True,
    ).verdict is Verdict.FAILS  # fmt: skip


def test_a_constant_that_grows_with_the_ball_is_charged_where_the_path_is():
    """Λ(R) = 1 + 3R: ψ(p) = p + 3p², E(p) = p − p²/2 − p³, largest where 3p² + p = 1; the table is from above, by 1/128."""
    block = Block("a", Estimate(1.0), lambda radius: 1 + 3 * radius)
    top = (-1 + math.sqrt(13)) / 6
    most = top - top**2 / 2 - top**3
    for share, verdict in ((0.98, Verdict.HOLDS), (1.0, Verdict.FAILS)):
        found = certify(Estimate(share * most), [block], None, flow=True)
        assert found.verdict is verdict
        assert share / 2 <= given_number(found.h) <= 1.015 * share / 2
    held = certify(Estimate(0.2), [block], None, flow=True)
    exact = min(z.real for z in np.roots([-1, -0.5, 1, -0.2]) if z.real > 0)
    assert exact <= given_number(held.radius) <= 1.01 * exact
    sigma_star = given_number(held.sigma_star)
    assert sigma_star <= 1 - exact - 3 * exact**2
    assert sigma_star == pytest.approx(1 - exact - 3 * exact**2, abs=0.02)


def test_the_best_block_is_taken():
    weak = Block("weak", Estimate(1.0), lambda r: 10.0)
    strong = Block("strong", Estimate(0.9), lambda r: 0.1)
    certificate = certify(Estimate(0.3), [weak, strong], None, flow=True)
    assert certificate.block == "strong"
    assert certificate.verdict is Verdict.HOLDS


def test_a_number_inside_its_error_is_undecided_not_held():
    """h = 0.5 ± error: no verdict either way."""
    block = Block("θ", Estimate(1.0, 0.05), lambda radius: 1.0)
    certificate = certify(Estimate(0.48), [block], None, flow=True)
    assert certificate.verdict is Verdict.UNDECIDED
    assert certificate.hypotheses()[-1].verdict is Verdict.UNDECIDED
    assert certificate.promises() == ()


@pytest.mark.parametrize(
    ("sigma", "rho"),
    [(Estimate(0.0), 1.0), (Estimate(1e-8, 1e-7), 1.0), (Estimate(1.0), 1e300), (Estimate(1.0), math.inf)],
)
def test_degenerate_numbers_never_certify(sigma, rho):
    certificate = certify(Estimate(rho), [Block("θ", sigma, lambda radius: 1.0)], None, flow=True)
    assert certificate.verdict is not Verdict.HOLDS
    assert certificate.sentence().startswith("silent")


def test_nothing_proven_is_said_in_words():
    certificate = certify(Estimate(1.0), [], None, missing="ReLU has no sup|φ″|")
    assert certificate.verdict is Verdict.FAILS
    assert "ReLU" in certificate.sentence()
    assert certificate.summary()["h"] is None


def test_what_is_needed_is_what_certifies():
    """Scaled to the residual that the advice names (just inside it), the same constants hold."""
    failed = parabola(0.8, flow=True)
    assert failed.needed is not None
    needed = failed.needed["residual"]
    assert parabola(needed * (1 - 1e-9), flow=True).verdict is Verdict.HOLDS
    assert parabola(needed * (1 + 1e-9), flow=True).verdict is Verdict.FAILS

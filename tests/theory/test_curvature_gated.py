"""ψ, Λ and the certificate of multilinear networks attacked with Jacobians by NumPy, one sample at a time."""

import itertools
import math

import numpy as np
import pytest

from globalmin._core import Estimate
from globalmin.theory import Verdict, certify
from globalmin.theory.curvature import GatedCurvature
from globalmin.theory.curvature import gated as bounds
from globalmin.theory.kantorovich import Curvature

from ..gated_reference import Network, build
from ..helpers import given


def measured(net, **options):
    features = np.array(net.h[:-1])
    adjoints = np.array([net.f[k + 1] for k in range(1, net.depth + 1)])
    masks = np.array(net.d[1:]) > 0
    return bounds.measure(features, adjoints, bounds.path_norms(net.w, masks), **options)


def network(seed, n=4, d=3, dy=1, m=7, depth=3, inputs=False):
    parts = build(seed, n, d, dy, m, depth, inputs)
    return parts[1], Network(parts[0], *parts[2:])


def certificate_of(net, y, step_size=None, flow=False):
    found = measured(net)
    values = np.linalg.eigvalsh(net.jacobian @ net.jacobian.T)
    error = 1e-13 * values[-1]  # n eps of a 20 × 20 matrix, with room
    low, high = Estimate(float(values[0]), error).sqrt(), Estimate(float(values[-1]), error).sqrt()
    rho = Estimate(float(np.linalg.norm(net.outputs - y)), 1e-12)
    return certify(
        rho, [found.block("all", low)], Curvature(high, found.lipschitz, "M(R)"), step_size=step_size, flow=flow
    ), found


def test_check_values_of_three_layers():
    y, net = network(0, 6, 5, 2, 24, 3)
    found, bound = certificate_of(net, y, flow=True)
    # The stated value, 4.83748472453, has one wrong digit: an SVD of the Jacobian gives this one.
    assert given(found.sigma_0) == pytest.approx(4.83748472253, rel=1e-10)
    assert found.rho_0 == pytest.approx(8.01503433215, rel=1e-11)
    assert bound.m2 == pytest.approx(37.0400718223, rel=1e-11)
    assert bound.beta[0] == pytest.approx(16.39000759 / math.sqrt(27), rel=1e-9)
    assert bound.drift(0.126512424245) == pytest.approx(4.83748472253, rel=1e-10)
    assert 0.5 / given(found.h) == pytest.approx(0.0385768102950, rel=1e-9)
    assert found.outcome is Verdict.FAILS
    pairs = {(1, 2): 12.64144289, (1, 3): 27.47814313, (2, 3): 13.96848115}
    matrix = np.zeros((3, 3))
    for (a, b), value in pairs.items():
        matrix[a - 1, b - 1] = matrix[b - 1, a - 1] = value
    assert bound.m2 == pytest.approx(np.linalg.norm(matrix, 2), rel=1e-9)


@pytest.mark.parametrize(
    ("sizes", "numbers"),
    [((1, 50, 100, 1, 500, 2), (49.1701, 165.2552, 24.5452, 0.298)), ((1, 20, 100, 1, 200, 4), None)],
)
def test_check_values_at_width_500(sizes, numbers):
    y, net = network(*sizes)
    found, bound = certificate_of(net, y, flow=True)
    if numbers is None:  # of a table with three digits
        assert 0.5 / given(found.h) == pytest.approx(0.236, abs=6e-4)
        return
    sigma, m2, rho, q = numbers
    assert given(found.sigma_0) == pytest.approx(sigma, abs=6e-5)
    assert bound.m2 == pytest.approx(m2, abs=6e-5)
    assert found.rho_0 == pytest.approx(rho, abs=6e-5)
    assert 0.5 / given(found.h) == pytest.approx(q, abs=6e-4)


CASES = [
    {}, {"depth": 2}, {"depth": 4, "m": 6}, {"dy": 2}, {"inputs": True, "depth": 4}, {"n": 1}, {"m": 3}, {"n": 9, "d": 2}
]  # fmt: skip


@pytest.mark.parametrize("case", CASES, ids=str)
def test_psi_bounds_the_change_of_the_jacobian(case):
    """Random, rank-one and adversarial directions, at several lengths; and the bound is worth having."""
    _, net = network(2, **case)
    bound, here = measured(net), net.jacobian
    draw, share = np.random.default_rng(3), 0.0
    worst = steepest(net)
    for length in (1e-3, 0.1, 1.0):
        directions = [draw.standard_normal(net.w.shape) for _ in range(6)]
        directions += [
            np.array([np.outer(*draw.standard_normal((2, net.m))) for _ in range(net.depth)]) for _ in range(4)
        ]
        for d in [*directions, worst, -worst]:
            d = length * d / np.linalg.norm(d)
            change = np.linalg.norm(net.at(net.w + d).jacobian - here, 2)
            # A difference of Jacobians of size ‖J‖ is good to a few eps of it.
            assert change <= bound.drift(length) * (1 + 1e-9) + 1e-13 * np.linalg.norm(here)
            share = max(share, change / bound.drift(length))
    assert share > 0.15


def steepest(net, rounds=40):
    """A direction in which the Jacobian changes fastest: alternation on D²f, exact differences of a polynomial."""
    draw = np.random.default_rng(4)
    d = draw.standard_normal(net.w.shape)
    for _ in range(rounds):
        d /= np.linalg.norm(d)
        # The part of J(W + d) that is odd in d is its derivative up to third order; small d.
        change = (net.at(net.w + 1e-3 * d).jacobian - net.at(net.w - 1e-3 * d).jacobian) / 2e-3
        _, _, right = np.linalg.svd(change, full_matrices=False)
        # D²f[c; d, e] is symmetric in d and e: the steepest e for this d is the next d.
        d = right[0].reshape(net.w.shape)
    return d


@pytest.mark.parametrize("case", CASES[:5], ids=str)
def test_lambda_bounds_pairs_of_points_of_the_ball(case):
    _, net = network(5, **case)
    bound, draw = measured(net), np.random.default_rng(6)
    for radius in (0.05, 0.7):
        for _ in range(15):
            a, b = (radius * v / np.linalg.norm(v) for v in draw.standard_normal((2, *net.w.shape)))
            b = a + draw.uniform(0, 1) * (b - a)
            change = np.linalg.norm(net.at(net.w + a).jacobian - net.at(net.w + b).jacobian, 2)
            assert change <= bound.lipschitz(radius) * np.linalg.norm(a - b) * (1 + 1e-9)


def test_integral_and_slope_of_psi():
    bound = GatedCurvature(2.0, (0.5, 0.25))
    p, h = 0.7, 1e-5
    middle = (bound.drift_integral(p + h) - bound.drift_integral(p - h)) / (2 * h)
    assert middle == pytest.approx(bound.drift(p), rel=1e-9)
    slope = (bound.drift(p + h) - bound.drift(p - h)) / (2 * h)
    assert slope == pytest.approx(bound.lipschitz(p), rel=1e-9)
    closed = GatedCurvature(2.0, (), 0.5)
    assert closed.drift(0.49) == pytest.approx(0.98)
    assert closed.drift(0.5) == closed.lipschitz(0.5) == closed.drift_integral(0.5) == math.inf


def test_norms_of_paths(monkeypatch):
    _, net = network(7, depth=5, m=9)
    masks = np.array(net.d[1:]) > 0
    found = bounds.path_norms(net.w, masks)
    assert set(found) == {(2, 1), (3, 1), (4, 1), (3, 2), (4, 2), (4, 3)}
    for (k, low), norms in found.items():
        np.testing.assert_allclose(norms, [np.linalg.norm(net.z(i, k, low), 2) for i in range(4)], rtol=1e-12)
    monkeypatch.setattr(bounds, "EXACT_OPERATIONS", 0)
    for pair, norms in bounds.path_norms(net.w, masks).items():
        assert (norms >= found[pair]).all()
    assert measured(net).m2 >= bounds.measure(
        np.array(net.h[:-1]), np.array([net.f[k] for k in range(2, 7)]), found
    ).m2  # fmt: skip


def relu(net, w):
    """Pre-activations of the ReLU network with weights w."""
    a, found = net.h[0], []
    for wk in w:
        found.append(a @ wk.T)
        a = np.maximum(found[-1], 0)
    return np.array(found)


def test_frozen_radius_keeps_every_pattern():
    """Within it no direction changes a pattern, steepest ones included; at twenty times it one does."""
    broken = 0
    for seed in range(8):
        _, net = network(seed, m=6)
        before = relu(net, net.w)
        features = np.concatenate([[net.h[0]], np.maximum(before[:-1], 0)])
        radius = bounds.frozen_radius(net.w, features)
        if not features.any(axis=2).all():
            assert radius == 0  # a dead sample: its pre-activations are 0, and nothing is known
            continue
        assert radius > 0
        draw = np.random.default_rng(seed)
        layer, i, j = np.unravel_index(
            np.argmin(np.abs(before) / np.linalg.norm(features, axis=2)[:, :, None]), before.shape
        )
        steepest = np.zeros_like(net.w)
        steepest[layer, j] = -np.sign(before[layer, i, j]) * features[layer, i]
        for d in [steepest, *draw.standard_normal((20, *net.w.shape))]:
            moved = relu(net, net.w + radius * d / np.linalg.norm(d))
            assert ((moved > 0) == (before > 0)).all()
        beyond = relu(net, net.w + 20 * radius * steepest / np.linalg.norm(steepest))
        broken += ((beyond > 0) != (before > 0)).any()
    assert broken >= 3  # not a bound that is far too small


@pytest.mark.parametrize("seed", range(4))
def test_where_it_holds_descent_obeys_every_promise(seed):
    """Labels moved near the outputs until it holds; plain NumPy descent with a certified step size."""
    sizes = [(4, 3, 1, 30, 2), (3, 3, 1, 40, 3), (3, 4, 2, 30, 2)][seed % 3]
    _, net = network(seed, *sizes, inputs=seed == 1)
    draw = np.random.default_rng(seed)
    noise = draw.standard_normal(net.outputs.shape)
    found, scale, y = None, 1.0, net.outputs
    while found is None or found.outcome is not Verdict.HOLDS:
        scale /= 4
        y = net.outputs + scale * noise
        found, _ = certificate_of(net, y)
    assert scale > 1e-4
    eta, radius, sigma = given(found.step_size), given(found.radius), given(found.sigma_star)
    path, here = 0.0, net
    for _ in range(60):
        residual = here.outputs - y
        step = eta * (here.jacobian.T @ residual.ravel()).reshape(net.w.shape)
        path += np.linalg.norm(step)
        there = here.at(here.w - step)
        assert np.linalg.norm(there.outputs - y) <= given(found.rate) * np.linalg.norm(residual) + 1e-12
        assert path <= radius
        # λ_min is good to n eps λ_max.
        assert np.linalg.eigvalsh(there.jacobian @ there.jacobian.T)[0] >= sigma**2 * (1 - 1e-10)
        here = there
    # One step size more than the largest is not certified, and more residual is not either.
    assert certificate_of(net, y, step_size=eta * 1.01)[0].outcome is not Verdict.HOLDS
    assert certificate_of(net, net.outputs + 100 * (y - net.outputs))[0].outcome is not Verdict.HOLDS


def test_equal_inputs_with_other_labels_never_certify():
    parts = list(build(1, 4, 3, 1, 30, 2))
    parts[0][1] = parts[0][0]
    net = Network(parts[0], *parts[2:])
    for flow in (True, False):
        found, _ = certificate_of(net, net.outputs + 1e-3 * np.arange(4)[:, None], flow=flow)
        assert found.outcome is not Verdict.HOLDS


@pytest.mark.slow
def test_hundreds_of_problems():
    """Every certified problem keeps its promises: random sizes, gates and distances of the labels."""
    held = 0
    for seed in range(300):
        draw = np.random.default_rng(seed)
        n, d, dy, depth = (int(draw.integers(1, most)) for most in (6, 5, 3, 5))
        _, net = network(seed, n, d, dy, int(draw.integers(4, 40)), depth, bool(seed % 2))
        y = net.outputs + 10 ** draw.uniform(-5, 0) * draw.standard_normal(net.outputs.shape)
        found, _ = certificate_of(net, y)
        if found.outcome is not Verdict.HOLDS:
            continue
        held += 1
        here, eta = net, given(found.step_size)
        for _ in range(30):
            there = here.descended(y, eta)
            assert np.linalg.norm(there.outputs - y) <= given(found.rate) * np.linalg.norm(here.outputs - y) + 1e-11
            assert np.linalg.norm(there.w - net.w) <= given(found.radius)
            here = there
    assert held > 40


def test_the_sets_are_all_there():
    """M_2 and β_q against all subsets one by one, each Θ_S with its own path norms."""
    _, net = network(9, depth=4, m=8, n=3)
    found = measured(net)
    best, pairs = {3: 0.0, 4: 0.0}, np.zeros((4, 4))
    for q in (2, 3, 4):
        for places in itertools.combinations(range(1, 5), q):
            w = np.ones(3)
            for a, b in itertools.pairwise(places):
                w *= np.array([1.0 if b == a + 1 else np.linalg.norm(net.z(i, b - 1, a), 2) for i in range(3)])
            h, f = net.h[places[0] - 1], np.array(net.f[places[-1] + 1])[:, 0]
            b_s = math.sqrt(np.linalg.eigvalsh(np.outer(w, w) * (h @ h.T) * (f @ f.T))[-1])
            if q == 2:
                pairs[places[0] - 1, places[1] - 1] = pairs[places[1] - 1, places[0] - 1] = b_s
            else:
                best[q] = max(best[q], math.comb(4, q) * 4 ** (-q / 2) * b_s)
    assert found.m2 == pytest.approx(np.linalg.norm(pairs, 2), rel=1e-9)
    # Sets with the same ends share the larger of their path norms, sample by sample: slightly above the best single one.
    for q, value in best.items():
        assert value * (1 - 1e-9) <= found.beta[q - 3] <= 1.2 * value


@pytest.mark.parametrize("depth", [3, 5])
def test_every_bound_by_its_sets_and_its_errors(depth):
    """M_2 and β_q with the largest w_S^i of the sets with the same ends, two outputs; and what errors of factors add."""
    n, dy, r = 3, 2, 1e-3
    _, net = network(11, n=n, dy=dy, depth=depth, m=9)
    for error in (0.0, r):
        best: dict[int, float] = {q: 0.0 for q in range(3, depth + 1)}
        pairs = np.zeros((depth, depth))
        for low, top in itertools.combinations(range(1, depth + 1), 2):
            h, f = net.h[low - 1], np.concatenate(net.f[top + 1])
            kernel = np.kron(h @ h.T, np.ones((dy, dy))) * (f @ f.T)
            for q in range(2, top - low + 2):
                w = np.zeros(n)
                for inner in itertools.combinations(range(low + 1, top), q - 2):
                    steps = [(a, b) for a, b in itertools.pairwise((low, *inner, top)) if b > a + 1]
                    norms = [[np.linalg.norm(net.z(i, b - 1, a), 2) for a, b in steps] for i in range(n)]
                    w = np.maximum(w, np.array([math.prod(row) for row in norms]))
                w = np.repeat(w, dy)
                # Weyl: an error e of every entry moves λ_max by at most N e; a product of four factors is off by 4r. The
                # root's error is that of its lower end, the larger one.
                value = np.linalg.eigvalsh(np.outer(w, w) * kernel)[-1]
                off = n * dy * 4 * error * kernel.diagonal().max() * w.max() ** 2
                b_s = 2 * math.sqrt(value) - math.sqrt(max(value - off, 0.0))
                if q == 2:
                    pairs[low - 1, top - 1] = pairs[top - 1, low - 1] = b_s
                else:
                    best[q] = max(best[q], math.comb(depth, q) * depth ** (-q / 2) * b_s)
        found = measured(net, relative_error=error)
        assert found.m2 == pytest.approx(np.linalg.norm(pairs, 2), rel=1e-9)
        np.testing.assert_allclose(found.beta, list(best.values()), rtol=1e-9)


def test_norms_of_paths_are_taken_from_above(monkeypatch):
    """With norms that are known to a tenth: exact paths and products of the norms, each by its upper end."""
    _, net = network(7, depth=5, m=9)
    masks = np.array(net.d[1:]) > 0
    monkeypatch.setattr(bounds.linalg, "spectral_norm", lambda a: Estimate(v := float(np.linalg.norm(a, 2)), 0.1 * v))
    for (k, low), norms in bounds.path_norms(net.w, masks).items():
        np.testing.assert_allclose(norms, [1.1 * np.linalg.norm(net.z(i, k, low), 2) for i in range(4)], rtol=1e-12)
    monkeypatch.setattr(bounds, "EXACT_OPERATIONS", 0)
    tops = [1.1 * np.linalg.norm(w, 2) for w in net.w]
    for (k, low), norms in bounds.path_norms(net.w, masks).items():
        np.testing.assert_allclose(norms, math.prod(tops[low:k]), rtol=1e-12)


def frozen_reference(w, features, final):
    """The largest R by its recursion, one sample and one neuron at a time, and bisection to rounding."""
    gated = w if final else w[:-1]

    def frozen(radius):
        for i in range(features.shape[1]):
            moved = 0.0
            for k, matrix in enumerate(gated):
                a = np.linalg.norm(features[k, i])
                for row in matrix:
                    if radius * a + (np.linalg.norm(row) + radius) * moved >= abs(row @ features[k, i]):
                        return False
                moved = radius * a + (np.linalg.norm(matrix, 2) + radius) * moved
        return True

    low, high = 0.0, 1e3
    for _ in range(60):
        middle = (low + high) / 2
        low, high = (middle, high) if frozen(middle) else (low, middle)
    return low


@pytest.mark.parametrize("final", [True, False])
@pytest.mark.parametrize("depth", [1, 2, 3])
def test_frozen_radius_by_its_recursion(depth, final):
    """At most the largest one, and within its thousandth; pre-activations far from 0, so that every term of it counts."""
    if depth == 1 and not final:
        assert bounds.frozen_radius(np.ones((1, 2, 2)), np.ones((1, 3, 2)), final=False) == math.inf  # no gate at all
        return
    draw = np.random.default_rng(depth)
    w = draw.uniform(0.2, 1.0, (depth, 5, 5))
    w[:, ::2] *= -1  # every other neuron is closed
    features = draw.uniform(1.0, 2.0, (depth, 3, 5))
    for k in range(1, depth):
        features[k] = np.maximum(features[k - 1] @ w[k - 1].T, 0)
    want = frozen_reference(w, features, final)
    assert want * (1 - 1.01e-3) <= bounds.frozen_radius(w, features, final=final) <= want * (1 + 1e-9)
    if depth > 1 and final:  # a last layer that is near its kinks matters where it has gates, and only there
        w[-1] *= 1e-3
        want = frozen_reference(w, features, True)
        assert want * (1 - 1.01e-3) <= bounds.frozen_radius(w, features) <= want * (1 + 1e-9)
        assert bounds.frozen_radius(w, features, final=False) > 2 * want
    # A pre-activation of 2.2e-16 is within the rounding of its two terms: nothing is known.
    assert bounds.frozen_radius(np.ones((1, 1, 2)), np.array([[[1.0, np.nextafter(-1.0, 0.0)]]])) == 0


def test_one_layer_bends_nothing():
    """L = 1: f is linear in W_1, and the flow ends ρ₀/σ₀ away at the most; a ψ that is 0 everywhere bounds no radius."""
    _, net = network(3, depth=1, n=3, m=20)
    found, bound = certificate_of(net, net.outputs + 5.0, flow=True)
    assert (bound.m2, bound.beta) == (0, ())
    assert found.outcome is Verdict.HOLDS
    assert given(found.radius) == pytest.approx(found.rho_0 / given(found.sigma_0), rel=1e-9)

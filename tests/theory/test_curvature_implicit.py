"""Λ of the implicit network attacked with a small network in NumPy: its Jacobian must not change faster."""

import dataclasses
import itertools
import math

import numpy as np
import pytest
import scipy.integrate

from globalmin.theory.curvature import ImplicitCurvature

TANH = (1.0, 4 / (3 * math.sqrt(3)), 2.0)


class Network:
    """z = tanh(gAz + φ), φ = tanh(Wx)/√m, f = u·z + v·φ; the Jacobian (m² + md + 2m columns) by dense solves."""

    def __init__(self, theta, x, m, gamma):
        self.theta, self.x, self.m, self.gamma = theta, x, m, gamma
        n, d = x.shape
        a, w, self.u, self.v = np.split(theta, np.cumsum([m * m, m * d, m]))
        self.a, self.w = a.reshape(m, m), w.reshape(m, d)
        g, root = gamma / math.sqrt(m), math.sqrt(m)
        self.q = x @ self.w.T
        self.phi = np.tanh(self.q) / root
        z = np.zeros((n, m))
        for _ in range(3000):
            new = np.tanh(g * z @ self.a.T + self.phi)
            if abs(new - z).max() < 1e-15:
                break
            z = new
        self.z = z
        self.p = g * z @ self.a.T + self.phi
        slopes, outer = 1 - np.tanh(self.p) ** 2, 1 - np.tanh(self.q) ** 2
        self.adjoint_w = np.stack([np.linalg.solve(np.eye(m) - g * self.a.T * s, self.u) for s in slopes])
        self.r = slopes * self.adjoint_w
        self.f = z @ self.u + self.phi @ self.v
        blocks = [
            g * self.r[:, :, None] * z[:, None, :],
            (outer * (self.r + self.v) / root)[:, :, None] * x[:, None, :],
            z,
            self.phi,
        ]
        self.jacobian = np.hstack([b.reshape(n, -1) for b in blocks])

    @classmethod
    def draw(cls, seed, n=3, d=3, m=8, gamma=0.3, hidden=1.0, u=1.0, v=1.0, inject=1.0):
        draw = np.random.default_rng(seed)
        x = draw.normal(size=(n, d))
        x /= np.linalg.norm(x, axis=1, keepdims=True)
        parts = [hidden * draw.normal(size=m * m), inject * draw.normal(size=m * d)]
        parts += [u * draw.choice([-1.0, 1.0], m), v * draw.choice([-1.0, 1.0], m)]
        return cls(np.concatenate(parts), x, m, gamma)

    def at(self, theta):
        return Network(theta, self.x, self.m, self.gamma)

    def bound(self, **changes):
        def bends(y):
            return -2 * np.tanh(y) * (1 - np.tanh(y) ** 2)

        def rows(y):
            return float(np.linalg.norm(y, axis=1).max())

        def fourth(y):
            return math.sqrt(np.linalg.eigvalsh((y @ y.T) ** 2)[-1])

        g, rv = self.gamma / math.sqrt(self.m), self.r + self.v
        numbers = {
            "slope": TANH[0],
            "bend": TANH[1],
            "third": TANH[2],
            "slope01": True,
            "gamma": self.gamma,
            "width": self.m,
            "a_norm": g * float(np.linalg.norm(self.a, 2)),
            "mu": g * float(np.linalg.eigvalsh((self.a + self.a.T) / 2)[-1]),
            "a_row": g * rows(self.a),
            "a_column": g * rows(self.a.T),
            "u_norm": float(np.linalg.norm(self.u)),
            "data_norm": float(np.linalg.norm(self.x, 2)),
            "data_max": rows(self.x),
            "data_fourth": fourth(self.x),
            "state_norm": float(np.linalg.norm(self.z, 2)),
            "state_max": rows(self.z),
            "state_fourth": fourth(self.z),
            "adjoint_max": rows(self.r),
            "w_max": float(abs(self.adjoint_w).max()),
            "wbend_max": float(abs(self.adjoint_w * bends(self.p)).max()),
            "rv_max": float(abs(rv).max()),
            "rvbend_max": float(abs(rv * bends(self.q)).max()),
            "rv_norm": rows(rv),
            "skip_norm": float(np.linalg.norm(self.phi, 2)),
        }
        return ImplicitCurvature(**(numbers | changes))

    def second(self, step=1e-5):
        """D²f, n × P × P, by central differences of the Jacobian: error about step² + 1e-15/step."""
        found = [
            (self.at(self.theta + step * e).jacobian - self.at(self.theta - step * e).jacobian) / (2 * step)
            for e in np.eye(len(self.theta))
        ]
        return np.stack(found, axis=2)


def largest(second, seed, restarts=6):
    """sup over unit c, d, d′ of Σ c_i D²f_i[d, d′] by alternation (from below, which an attack may be)."""
    draw, best = np.random.default_rng(seed), 0.0
    for _ in range(restarts):
        c = draw.normal(size=len(second))
        for _ in range(20):
            c /= np.linalg.norm(c)
            matrix = np.einsum("i,ijk->jk", c, second)
            values, vectors = np.linalg.eigh((matrix + matrix.T) / 2)
            d = vectors[:, np.argmax(abs(values))]
            c = np.einsum("ijk,j,k->i", second, d, d)
        best = max(best, float(np.linalg.norm(c)))
    return best


def test_the_jacobian_is_that_of_the_outputs():
    net = Network.draw(0)
    e = np.random.default_rng(1).normal(size=len(net.theta))
    change = (net.at(net.theta + 1e-6 * e).f - net.at(net.theta - 1e-6 * e).f) / 2e-6
    assert net.jacobian @ e == pytest.approx(change, rel=1e-6)


# Each regime makes other terms of the second derivative the large ones.
REGIMES = {
    "plain": {},
    "paper's γ": {"gamma": 0.1, "m": 10},
    "near the edge": {"gamma": 0.9, "hidden": 0.5},
    "only the skip connection": {"u": 1e-3, "v": 5.0},
    "only the states": {"u": 5.0, "v": 1e-3},
    "no read-out": {"u": 1e-3, "v": 1e-3},
    "large A": {"hidden": 3.0, "gamma": 0.17},
    "small W": {"inject": 0.1, "u": 3.0},
    "one sample": {"n": 1, "d": 2, "u": 4.0},
    "narrow": {"m": 2, "gamma": 0.3},
    "many samples": {"n": 8, "d": 2, "m": 6, "u": 3.0},
}


@pytest.mark.parametrize("regime", REGIMES)
def test_lambda_bounds_the_second_derivative_at_the_centre(regime):
    net = Network.draw(3, **REGIMES[regime])
    found, bound = largest(net.second(), 0), net.bound().lipschitz(0.0)
    assert found <= bound * (1 + 1e-6)  # the differences of `second` are good to 1e-9
    assert bound <= 100 * found, "not a bound worth having"


@pytest.mark.parametrize("regime", ["plain", "only the states", "near the edge"])
def test_each_block_is_bounded_by_its_own_entry(regime):
    """Block by block, as the norm of the whole hides the small ones; c runs over samples and random directions."""
    net = Network.draw(3, **REGIMES[regime])
    m, (n, d) = net.m, net.x.shape
    second, bound = net.second(), net.bound()._blocks(0.0)
    assert bound is not None
    parts = np.split(np.arange(len(net.theta)), np.cumsum([m * m, m * d, m]))
    for c in [*np.eye(n), *np.random.default_rng(0).normal(size=(5, n))]:
        matrix = np.einsum("i,ijk->jk", c / np.linalg.norm(c), second)
        for i, rows in enumerate(parts):
            for j, columns in enumerate(parts):
                # 1e-8: the rounding of `second`, for the blocks that vanish.
                assert np.linalg.norm(matrix[np.ix_(rows, columns)], 2) <= bound[i, j] * (1 + 1e-6) + 1e-8, (i, j)


@pytest.mark.parametrize("regime", REGIMES)
@pytest.mark.parametrize("radius", [0.1, 0.6])
def test_lambda_bounds_it_on_the_ball(regime, radius):
    """At points of the ball's edge: random ones, and along the directions in which the Jacobian changes most."""
    net = Network.draw(4, **REGIMES[regime])
    bound = net.bound().lipschitz(radius)
    assert bound >= net.bound().lipschitz(0.0)
    if math.isinf(bound):
        assert net.bound().mu + radius * net.bound().scale >= 1
        return
    draw = np.random.default_rng(5)
    second = net.second()
    worst = second[0] + second[-1]
    _, vectors = np.linalg.eigh((worst + worst.T) / 2)
    directions = [vectors[:, -1], vectors[:, 0], -vectors[:, -1], draw.normal(size=len(net.theta))]
    for direction in directions:
        edge = net.at(net.theta + radius * direction / np.linalg.norm(direction))
        assert largest(edge.second(), 1, restarts=2) <= bound * (1 + 1e-6)
        # Also as the change of the Jacobian itself.
        assert np.linalg.norm(edge.jacobian - net.jacobian, 2) <= bound * radius * (1 + 1e-9)
        assert np.linalg.norm(edge.jacobian, 2) <= net.bound().norm(radius) * (1 + 1e-9)


@pytest.mark.parametrize("regime", REGIMES)
def test_the_drifts_hold_on_the_ball(regime):
    """What the bound says at the centre with R must cover what is measured at a point at distance R, entry by entry."""
    net, radius = Network.draw(6, **REGIMES[regime]), 0.3
    here = net.bound()._blocks(radius)
    if here is None:
        return
    draw = np.random.default_rng(7)
    for _ in range(6):
        direction = draw.normal(size=len(net.theta))
        there = net.at(net.theta + radius * direction / np.linalg.norm(direction)).bound()._blocks(0.0)
        assert there is not None
        assert (there <= here * (1 + 1e-9)).all()


def by_hand(b, radius, taken):
    """The 4 × 4 bounds as the module's text has them, in scalars, the drift of w by integrating its equation.

    `taken` collects which side of each minimum was the smaller one.
    """

    def least(name, *values):
        taken.add((name, int(np.argmin(values))))
        return min(values)

    g, e, big_r = b.gamma / b.width**0.5, b.slope / b.width**0.5, radius
    norm, mu = b.a_norm + g * big_r, b.mu + g * big_r
    t = least("T", 1 / (1 - mu), 1 / (1 - norm) if norm < 1 else math.inf)
    n = least("N", 1 + norm * t, 1 / (1 - norm) if norm < 1 else math.inf)
    x = e * b.data_norm
    moved = t * big_r * (g**2 * b.state_norm**2 + x**2) ** 0.5
    z = b.state_norm + moved
    z_max = b.state_max + t * big_r * (g**2 * b.state_max**2 + e**2 * b.data_max**2) ** 0.5
    chi = least("chi", (b.state_fourth**0.5 + moved) ** 2, z * z_max)
    tau = (g**2 * z_max**2 + e**2 * b.data_max**2) ** 0.5
    p = big_r * tau * least("rows", n, 1 + (b.a_row + g * big_r) * t)
    u = b.u_norm + big_r
    most = b.bend * n * u
    a = least("columns", n, 1 + (b.a_column + g * big_r) * t) * (1 + g**2 * (t * u) ** 2) ** 0.5
    c = (b.a_column + g * big_r) * n * n * tau
    k_0 = b.wbend_max + b.third * p * b.w_max
    found = scipy.integrate.solve_ivp(
        lambda _, w: a + c * (k_0 + b.bend * w), (0, big_r), [0.0], rtol=1e-11, atol=1e-13
    )
    w = least("drift", big_r * (a + c * most), float(found.y[0, -1]))
    k = least("k", k_0 + b.bend * w, b.bend * (b.w_max + w), most)
    r = least("r", b.adjoint_max + big_r * (n * n * k * tau + t * (1 + g**2 * (t * u) ** 2) ** 0.5), t * u)
    rv = b.slope * w + b.bend * p * b.w_max + big_r
    skip = least("skip", b.rvbend_max + b.bend * rv + b.third * big_r * b.data_max * b.rv_max, b.bend * (b.rv_max + rv))
    aa = 2 * g * g * r * t * z + k * n * n * g * g * chi
    aw = g * r * t * x + k * n * n * g * e * (chi * b.data_fourth) ** 0.5
    ww = k * n * n * e * e * b.data_fourth + skip * b.data_fourth / b.width**0.5
    ua, uw = t * g * z, t * x
    # Of J itself: g r⊗z, m^{-1/2}σ′(r + v)⊗x, z and φ; r + v moves as r does, and by v.
    moved_r = big_r * (n * n * k * tau + t * (1 + g**2 * (t * u) ** 2) ** 0.5)
    blocks = g * r * z, x * (b.rv_norm + moved_r + big_r), z, b.skip_norm + x * big_r
    return np.array([[aa, aw, ua, 0], [aw, ww, uw, x], [ua, uw, 0, 0], [0, x, 0, 0]]), sum(q * q for q in blocks) ** 0.5


def test_every_entry_against_scalars():
    """Random numbers, so that every term counts and each minimum takes either side; 1e-9 is the integrator's."""
    draw, taken = np.random.default_rng(12), set()
    names = [f.name for f in dataclasses.fields(ImplicitCurvature)]
    for _ in range(60):
        numbers = {name: float(10 ** draw.uniform(-1.5, 1.0)) for name in names}
        numbers |= {"slope01": True, "gamma": draw.uniform(0.05, 0.9), "width": int(draw.integers(2, 60))}
        numbers |= {"slope": 1.0, "a_norm": draw.uniform(0.1, 1.3), "mu": draw.uniform(-0.3, 0.6)}
        bound, radius = ImplicitCurvature(**numbers), float(10 ** draw.uniform(-2, 0))  # pyright: ignore
        if bound.mu + bound.scale * radius >= 0.95:
            continue
        want, norm = by_hand(bound, radius, taken)
        np.testing.assert_allclose(bound._blocks(radius), want, rtol=1e-9)  # pyright: ignore
        assert bound.lipschitz(radius) == pytest.approx(np.linalg.eigvalsh(want)[-1], rel=1e-9)
        assert bound.norm(radius) == pytest.approx(norm, rel=1e-9)
    sides = {
        ("T", 0),
        ("T", 1),
        ("N", 0),
        ("N", 1),
        ("chi", 0),
        ("chi", 1),
        ("rows", 0),
        ("rows", 1),
        ("columns", 0),
        ("columns", 1),
    }
    sides |= {("drift", 0), ("drift", 1), ("k", 0), ("k", 1), ("k", 2), ("r", 0), ("r", 1), ("skip", 0), ("skip", 1)}
    assert taken == sides


def test_the_block_of_features():
    net, draw = Network.draw(8), np.random.default_rng(9)
    for _ in range(20):
        other = net.at(net.theta + draw.normal(size=len(net.theta)) * 10 ** draw.uniform(-4, 0))
        moved = np.linalg.norm(other.w - net.w)
        assert np.linalg.norm(other.phi - net.phi, 2) <= net.bound().features_lipschitz(1.0) * moved * (1 + 1e-9)
    assert net.bound().features_lipschitz(0.0) == pytest.approx(np.linalg.norm(net.x, 2) / math.sqrt(8))


def test_nothing_is_said_beyond_well_posedness():
    net = Network.draw(10, gamma=0.5)
    bound = net.bound()
    reach = (1 - bound.mu) / bound.scale
    assert math.isfinite(bound.lipschitz(0.99 * reach))
    assert math.isinf(bound.lipschitz(1.01 * reach))
    # Without slopes in [0, 1] only the norm serves.
    reach = (1 - bound.a_norm) / bound.scale
    bound = dataclasses.replace(bound, slope01=False)
    assert math.isinf(bound.lipschitz(1.01 * reach))
    assert math.isfinite(bound.lipschitz(0.99 * reach))


def test_lambda_grows_with_the_radius_and_with_every_number():
    bound = Network.draw(11).bound()
    found = [bound.lipschitz(r) for r in np.linspace(0, 3, 31)]
    assert all(b >= a for a, b in itertools.pairwise(found))
    kept = ("slope", "slope01", "gamma", "width")
    for field in dataclasses.fields(bound):
        if field.name not in kept:
            larger = dataclasses.replace(bound, **{field.name: 1.05 * getattr(bound, field.name)})
            assert larger.lipschitz(0.2) >= found[2] * (1 - 1e-12), field.name

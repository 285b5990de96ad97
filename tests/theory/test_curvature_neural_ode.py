"""Λ of the residual network with tied weights attacked with a small network in NumPy: its Jacobian must not change faster."""

import dataclasses
import math

import numpy as np
import pytest

from globalmin.theory.curvature import NeuralODECurvature

TANH = (1.0, 4 / (3 * math.sqrt(3)), 2.0)


class Network:
    """L Euler steps of h′ = ŵ W tanh(h) and its Jacobian in (U, W, v), layer by layer."""

    def __init__(self, theta, x, m, layers, gain):
        self.theta, self.x, self.m, self.layers, self.gain = theta, x, m, layers, gain
        n, d = x.shape
        u, w, self.v = np.split(theta, np.cumsum([m * d, m * m]))
        self.u, self.w = u.reshape(m, d), w.reshape(m, m)
        self.sw, self.sv, self.dt = gain / math.sqrt(m), 1 / math.sqrt(m), 1 / layers
        h = [x @ self.u.T]
        for _ in range(layers):
            h.append(h[-1] + self.dt * self.sw * np.tanh(h[-1]) @ self.w.T)
        lam = [self.sv * self.v * (1 - np.tanh(h[-1]) ** 2)]
        for s in reversed(h[:-1]):
            lam.insert(0, lam[0] + self.dt * (1 - np.tanh(s) ** 2) * (self.sw * lam[0] @ self.w))
        self.h, self.lam = h, lam
        self.f = self.sv * np.tanh(h[-1]) @ self.v
        by_w = sum(self.sw * self.dt * lam[k + 1][:, :, None] * np.tanh(h[k])[:, None, :] for k in range(layers))
        blocks = [lam[0][:, :, None] * x[:, None, :], by_w, self.sv * np.tanh(h[-1])]
        self.jacobian = np.hstack([b.reshape(n, -1) for b in blocks])

    @classmethod
    def draw(cls, seed, n=3, d=2, m=5, layers=3, gain=1.0, u=1.0, w=1.0, v=1.0):
        draw = np.random.default_rng(seed)
        x = draw.normal(size=(n, d))
        x /= np.linalg.norm(x, axis=1, keepdims=True)
        parts = [u * draw.normal(size=m * d), w * draw.normal(size=m * m), v * draw.normal(size=m)]
        return cls(np.concatenate(parts), x, m, layers, gain)

    def at(self, theta):
        return Network(theta, self.x, self.m, self.layers, self.gain)

    def bound(self, refined=False, **changes):
        def rows(a):
            return float(np.linalg.norm(a, axis=1).max())

        bends = [-2 * np.tanh(h) * (1 - np.tanh(h) ** 2) for h in self.h]
        b = [self.sw * lam @ self.w for lam in self.lam[1:]]
        growth = tuple(
            max(
                float(np.linalg.norm(np.eye(self.m) + self.dt * self.sw * self.w * (1 - np.tanh(one) ** 2), 2))
                for one in h
            )
            for h in self.h[:-1]
        )
        numbers = {
            "slope": TANH[0], "bend": TANH[1], "third": TANH[2], "step": self.dt,
            "u_scale": 1.0, "w_scale": self.sw, "v_scale": self.sv,
            "w_norm": float(np.linalg.norm(self.w, 2)), "v_max": float(abs(self.v).max()),
            "data_norm": float(np.linalg.norm(self.x, 2)), "data_max": rows(self.x),
            "features_norm": tuple(float(np.linalg.norm(np.tanh(h), 2)) for h in self.h[:-1]),
            "last_norm": float(np.linalg.norm(np.tanh(self.h[-1]), 2)),
            "feature_max": tuple(rows(np.tanh(h)) for h in self.h[:-1]),
            "adjoint_max": tuple(map(rows, self.lam)),
            "readout_bend": float(abs(self.v * bends[-1]).max()),
            "b_max": tuple(float(abs(one).max()) for one in b),
            "b_bend": tuple(float(abs(one * c).max()) for one, c in zip(b, bends[:-1], strict=True)),
            "growth": growth if refined else None,
        }  # fmt: skip
        return NeuralODECurvature(**(numbers | changes))

    def second(self, step=1e-5):
        """D²f, n × P × P, by central differences of the Jacobian: error about step² + 1e-15/step."""
        found = [
            (self.at(self.theta + step * e).jacobian - self.at(self.theta - step * e).jacobian) / (2 * step)
            for e in np.eye(len(self.theta))
        ]
        return np.stack(found, axis=2)


def largest(second, seed, restarts=5):
    """sup over unit c, d of ‖D²f[d, d]‖ by alternation, from below, and the direction."""
    draw, best, where = np.random.default_rng(seed), 0.0, np.zeros(second.shape[1])
    for _ in range(restarts):
        c, d = draw.normal(size=len(second)), where
        for _ in range(20):
            c /= np.linalg.norm(c)
            values, vectors = np.linalg.eigh(np.einsum("i,ijk->jk", c, second))
            d = vectors[:, np.argmax(abs(values))]
            c = np.einsum("ijk,j,k->i", second, d, d)
        if np.linalg.norm(c) > best:
            best, where = float(np.linalg.norm(c)), d
    return best, where


REGIMES = {
    "plain": {},
    "long": {"gain": 3.0, "layers": 6},
    "wide read-out": {"v": 5.0},
    "no read-out": {"v": 1e-3},
    "large inputs": {"u": 4.0},
    "small inputs": {"u": 0.1, "v": 3.0},
    "one layer": {"layers": 1},
    "one sample": {"n": 1, "v": 3.0},
    "many samples": {"n": 7, "m": 4},
    "narrow": {"m": 2, "gain": 2.0},
}


def test_the_jacobian_is_that_of_the_outputs():
    net = Network.draw(0)
    e = np.random.default_rng(1).normal(size=len(net.theta))
    change = (net.at(net.theta + 1e-6 * e).f - net.at(net.theta - 1e-6 * e).f) / 2e-6
    np.testing.assert_allclose(net.jacobian @ e, change, rtol=1e-6, atol=1e-9)


@pytest.mark.parametrize("regime", REGIMES)
@pytest.mark.parametrize("refined", [False, True])
def test_lambda_bounds_the_second_derivative_on_the_ball(regime, refined):
    """At the centre, and at the ball's edge along random directions and along those where the Jacobian changes most."""
    net = Network.draw(3, **REGIMES[regime])
    bound = net.bound(refined)
    found, where = largest(net.second(), 0)
    assert found <= bound.lipschitz(0.0) * (1 + 1e-6)  # the differences of `second` are good to 1e-9
    if regime != "long":  # there the growth per layer multiplies up
        assert bound.lipschitz(0.0) <= 100 * found, "not a bound worth having"
    draw = np.random.default_rng(4)
    for radius in (0.2, 1.0):
        for direction in (where, -where, draw.normal(size=len(where))):
            moved = net.at(net.theta + radius * direction / np.linalg.norm(direction))
            assert largest(moved.second(), 1, 2)[0] <= bound.lipschitz(radius) * (1 + 1e-6)
            assert np.linalg.norm(moved.jacobian, 2) <= bound.norm(radius) * (1 + 1e-9)


@pytest.mark.parametrize("regime", ["plain", "long", "large inputs"])
def test_blocks_of_the_second_derivative_have_their_own_bounds(regime):
    """The read-out's row alone (b) and the rest alone: the norm of the whole hides the smaller one."""
    net = Network.draw(3, **REGIMES[regime])
    second, bound = net.second(), net.bound(True)
    rest = slice(0, len(net.theta) - net.m)
    read = second[:, -net.m :, :]
    for c in np.random.default_rng(0).normal(size=(6, len(net.x))):
        matrix = np.einsum("i,ijk->jk", c / np.linalg.norm(c), read[:, :, rest])
        assert np.linalg.norm(matrix, 2) <= bound.features_lipschitz(0.0) * (1 + 1e-6)
    assert abs(read[:, :, -net.m :]).max() < 1e-8  # f is linear in v
    silent = dataclasses.replace(bound, v_scale=bound.v_scale, slope=TANH[0])
    corner, mixed = silent.lipschitz(0.0), bound.features_lipschitz(0.0)
    # ((a, b), (b, 0)) has norm (a + √(a² + 4b²))/2: a from the two.
    a = (corner**2 - mixed**2) / corner
    assert largest(second[:, rest, rest], 0)[0] <= a * (1 + 1e-6)


def test_finite_differences_of_jacobians_for_kinks():
    """ReLU: only the read-out's block is bounded, from everywhere in the ball to everywhere."""
    draw = np.random.default_rng(0)
    n, m, layers = 4, 6, 3
    x = draw.normal(size=(n, 3))
    x /= np.linalg.norm(x, axis=1, keepdims=True)
    sw = 1 / math.sqrt(m)

    def states(u, w):
        h = [x @ u.T]
        for _ in range(layers):
            h.append(h[-1] + sw / layers * np.maximum(h[-1], 0) @ w.T)
        return h

    u, w = draw.normal(size=(m, 3)), draw.normal(size=(m, m))
    h = states(u, w)
    nothing = (math.inf,) * layers
    bound = NeuralODECurvature(
        slope=1.0, bend=math.inf, third=math.inf, step=1 / layers, u_scale=1.0, w_scale=sw, v_scale=sw,
        w_norm=float(np.linalg.norm(w, 2)), v_max=1.0, data_norm=float(np.linalg.norm(x, 2)), data_max=1.0,
        last_norm=math.inf,
        features_norm=tuple(float(np.linalg.norm(np.maximum(s, 0), 2)) for s in h[:-1]),
        feature_max=tuple(float(np.linalg.norm(np.maximum(s, 0), axis=1).max()) for s in h[:-1]),
        adjoint_max=(1.0, *nothing), readout_bend=math.inf, b_max=nothing, b_bend=nothing,
    )  # fmt: skip
    assert bound.lipschitz(0.1) == math.inf
    for radius in (0.1, 1.0):
        for _ in range(20):
            points = []
            for _ in range(2):
                du, dw = draw.normal(size=u.shape), draw.normal(size=w.shape)
                size = math.sqrt((du**2).sum() + (dw**2).sum()) / radius
                points.append((du / size, dw / size))
            far = math.sqrt(sum(((a - b) ** 2).sum() for a, b in zip(*points, strict=True)))
            one, two = (sw * np.maximum(states(u + du, w + dw)[-1], 0) for du, dw in points)
            assert np.linalg.norm(one - two, 2) <= bound.features_lipschitz(radius) * far


def test_it_grows_with_the_ball_and_overflows_to_infinity():
    bound = Network.draw(0).bound()
    values = [bound.lipschitz(r) for r in (0.0, 0.1, 1.0, 10.0)]
    assert np.all(np.diff(values) > 0)
    assert bound.lipschitz(1e200) == math.inf


def by_hand(b, radius, taken):
    """(Λ, bound of ‖J‖) as the module's text has them: sums over paths through the layers, no running totals.

    `taken` collects which side of each minimum was the smaller one.
    """

    def least(name, *values):
        taken.add((name, int(np.argmin(values))))
        return min(values)

    layers = len(b.features_norm)
    w, dt, grow = b.w_scale, b.step, 1 + b.step * b.w_scale * b.slope * (b.w_norm + radius)
    p, pi, moved = [b.u_scale * b.data_norm], [b.u_scale * b.data_max], []
    drive, drive_max = [], []
    for k in range(layers + 1):
        if k:
            drive.append(dt * w * (b.features_norm[k - 1] + b.slope * radius * p[k - 1]))
            drive_max.append(dt * w * (b.feature_max[k - 1] + b.slope * moved[k - 1]))
            by_u = grow**k * b.u_scale
            p.append(math.hypot(by_u * b.data_norm, sum(grow ** (k - 1 - j) * f for j, f in enumerate(drive))))
            pi.append(math.hypot(by_u * b.data_max, sum(grow ** (k - 1 - j) * f for j, f in enumerate(drive_max))))
        moved.append(radius * pi[k])
    bend_v = least("v″", b.readout_bend + b.bend * radius + b.third * moved[-1] * b.v_max, b.bend * (b.v_max + radius))
    change = {layers: b.v_scale * math.hypot(b.slope, bend_v * pi[-1])}
    adjoint = {layers: b.adjoint_max[layers] + radius * change[layers]}
    most = dict(adjoint)  # for ‖J‖
    bends = {}
    for k in range(layers - 1, -1, -1):
        far = radius * change[k + 1]
        drift = w * ((b.w_norm + radius) * far + radius * b.adjoint_max[k + 1])
        bends[k] = least(
            "b″",
            b.b_bend[k] + b.bend * drift + b.third * moved[k] * b.b_max[k],
            b.bend * (b.b_max[k] + drift),
        )
        change[k] = grow * change[k + 1] + dt * (w * b.slope * adjoint[k + 1] + bends[k] * pi[k])
        adjoint[k] = b.adjoint_max[k] + radius * change[k]
        most[k] = least("λ", adjoint[k], grow * most[k + 1])
    a = b.v_scale * bend_v * pi[-1] * p[-1]
    a += dt * sum((2 * w * b.slope * adjoint[k + 1] + bends[k] * pi[k]) * p[k] for k in range(layers))
    mixed = b.v_scale * b.slope * p[-1]
    blocks = (
        b.v_scale * (b.last_norm + b.slope * radius * p[-1]),
        dt * w * sum(most[k + 1] * (b.features_norm[k] + b.slope * radius * p[k]) for k in range(layers)),
        b.u_scale * b.data_norm * most[0],
    )
    return np.linalg.norm([[a, mixed], [mixed, 0]], 2), math.hypot(*blocks)


def test_every_term_against_scalars():
    """Random numbers, so that every term counts and each minimum takes either side; rounding only."""
    draw, taken, layers = np.random.default_rng(5), set(), 3
    several = {
        "features_norm": layers,
        "feature_max": layers,
        "b_max": layers,
        "b_bend": layers,
        "adjoint_max": layers + 1,
    }
    names = [f.name for f in dataclasses.fields(NeuralODECurvature) if f.name != "growth"]
    for _ in range(80):
        numbers = {
            name: tuple(10 ** draw.uniform(-1.5, 1, several[name])) if name in several else 10 ** draw.uniform(-1.5, 1)
            for name in names
        }
        bound, radius = NeuralODECurvature(**numbers), float(10 ** draw.uniform(-2, 0))  # pyright: ignore
        whole, norm = by_hand(bound, radius, taken)
        assert bound.lipschitz(radius) == pytest.approx(whole, rel=1e-12)
        assert bound.norm(radius) == pytest.approx(norm, rel=1e-12)
    assert taken == {("v″", 0), ("v″", 1), ("b″", 0), ("b″", 1), ("λ", 0), ("λ", 1)}

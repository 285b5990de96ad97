"""Λ of the deep networks attacked: second derivatives by autodiff of networks written anew here must stay below it."""

import dataclasses
import functools
import itertools
import math
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from globalmin.theory.curvature import DeepCurvature

# sup|σ′|, sup|σ″|, sup|σ‴|
BOUNDS = {"tanh": (1.0, 4 / (3 * math.sqrt(3)), 2.0), "softplus": (1.0, 0.25, math.sqrt(3) / 18)}
SIGMA = {"tanh": jnp.tanh, "softplus": lambda h: jnp.logaddexp(h, 0.0)}
PIXELS, CHANNELS = 3, 2  # of the convolutional network, filters of 3


@dataclasses.dataclass(frozen=True)
class Shape:
    kind: str  # "dense", "resnet", "conv"
    depth: int
    m: int = 4
    d: int = 3
    sigma: str = "tanh"
    c_res: float = 0.7

    @property
    def shapes(self):
        if self.kind == "conv":
            return [(self.m, 3 * CHANNELS), *[(self.m, 3 * self.m)] * (self.depth - 1), (PIXELS, self.m)]
        return [(self.m, self.d), *[(self.m, self.m)] * (self.depth - 1), (self.m,)]

    @property
    def inputs(self):
        return (PIXELS, CHANNELS) if self.kind == "conv" else (self.d,)

    @property
    def scales(self):
        rest = 1 / math.sqrt(self.m) if self.kind == "dense" else self.c_res / (self.depth * math.sqrt(self.m))
        return np.array([1 / math.sqrt(self.m)] + [rest] * (self.depth - 1))  # c_σ = 1 here

    @property
    def skip(self):
        return self.kind != "dense"

    @property
    def patch_norm(self):
        return math.sqrt(3.0) if self.kind == "conv" else 1.0


def split(theta, shapes):
    parts = jnp.split(theta, np.cumsum([math.prod(s) for s in shapes])[:-1])
    return [part.reshape(s) for part, s in zip(parts, shapes, strict=True)]


def phi(x, conv):
    if not conv:
        return x
    padded = jnp.pad(x, ((1, 1), (0, 0)))
    return jnp.concatenate([padded[:-2], padded[1:-1], padded[2:]], axis=1)  # any order of a patch will do


def layers(theta, x, shape, nudges=None):
    """z_h, h_h and x_h of every layer and the output; `nudges` are added to the states, to differentiate by them."""
    *weights, a = split(theta, shape.shapes)
    found = []
    for k, (w, scale) in enumerate(zip(weights, shape.scales, strict=True)):
        z = phi(x, shape.kind == "conv")
        h = z @ w.T
        branch = scale * SIGMA[shape.sigma](h)
        x = x + branch if k > 0 and shape.skip else branch
        if nudges is not None:
            x = x + nudges[k]
        found.append((z, h))
    return found, jnp.sum(a * x), x


@functools.cache
def derivatives(shape):
    def f(theta, x):
        return layers(theta, x, shape)[1]

    jacobian = jax.jit(jax.vmap(jax.grad(f), (None, 0)))
    hessian = jax.jit(jax.vmap(jax.hessian(f), (None, 0)))

    def parts(theta, x):
        (found, _, last) = layers(theta, x, shape)
        state = (PIXELS, shape.m) if shape.kind == "conv" else (shape.m,)
        nudges = jnp.zeros((shape.depth, *state))
        return found, jax.grad(lambda n: layers(theta, x, shape, n)[1])(nudges), last

    return jacobian, hessian, jax.jit(jax.vmap(parts, (None, 0)))


class Network:
    def __init__(self, shape, theta, x):
        self.shape, self.theta, self.x = shape, np.asarray(theta), x

    @classmethod
    def draw(cls, shape, seed, n=3, size=1.0, readout=1.0):
        draw = np.random.default_rng(seed)
        parts = [size * draw.normal(size=s) for s in shape.shapes]
        parts[-1] = readout * draw.normal(size=shape.shapes[-1])
        x = draw.normal(size=(n, *shape.inputs))
        x /= np.sqrt((x**2).sum(tuple(range(1, x.ndim)), keepdims=True))
        return cls(shape, np.concatenate([p.ravel() for p in parts]), jnp.asarray(x))

    def at(self, theta):
        return Network(self.shape, theta, self.x)

    @property
    def jacobian(self):
        return np.asarray(derivatives(self.shape)[0](self.theta, self.x))

    @property
    def second(self):
        return np.asarray(derivatives(self.shape)[1](self.theta, self.x))

    @property
    def features(self):
        return np.asarray(derivatives(self.shape)[2](self.theta, self.x)[2]).reshape(len(self.x), -1)

    def bound(self):
        shape, n = self.shape, len(self.x)
        found, cotangents, _ = derivatives(shape)[2](self.theta, self.x)
        weights = [np.asarray(w) for w in split(self.theta, shape.shapes)[:-1]]
        slope, bend, third = BOUNDS[shape.sigma]
        first = jax.vmap(jax.grad(SIGMA[shape.sigma]))
        second = jax.vmap(jax.grad(jax.grad(SIGMA[shape.sigma])))
        rows: dict[str, list[float]] = {}
        for k, ((z, h), w) in enumerate(zip(found, weights, strict=True)):
            g = np.asarray(cotangents[:, k]).reshape(n, -1, shape.m)
            h = np.asarray(h).reshape(n, -1, shape.m)
            z = np.asarray(z).reshape(n, -1, w.shape[1])
            slopes, bends = (np.asarray(fun(jnp.ravel(h))).reshape(h.shape) for fun in (first, second))
            left = shape.scales[k] * slopes * g
            grams = np.einsum("itk,jsk->ijts", z, z)
            numbers = {
                "weight_norm": np.linalg.norm(w, 2),
                "weight_row": np.linalg.norm(w, axis=1).max(),
                "sloped_norm": np.linalg.norm(abs(slopes).max((0, 1))[:, None] * w, 2),
                "slope_max": abs(slopes).max(),
                "input_norm": np.linalg.norm(z.reshape(-1, z.shape[2]), 2),
                "input_max": np.linalg.norm(z, axis=(1, 2)).max(),
                "input_row": np.linalg.norm(z, axis=2).max(),
                "input_fourth": math.sqrt(np.linalg.eigvalsh((grams**2).sum((2, 3)))[-1]),
                "left_norm": np.linalg.norm(left.reshape(-1, shape.m), 2),
                "left_max": np.linalg.norm(left, axis=(1, 2)).max(),
                "cotangent_max": abs(g).max(),
                "bent_max": abs(g * bends).max(),
            }
            for name, value in numbers.items():
                rows.setdefault(name, []).append(float(value))
        settings: dict[str, Any] = {
            "slope": slope, "bend": bend, "third": third, "skip": shape.skip, "patch_norm": shape.patch_norm,
            "samples": n, "scales": shape.scales, "features_norm": float(np.linalg.norm(self.features, 2)),
        }  # fmt: skip
        measured: dict[str, Any] = {k: np.array(v) for k, v in rows.items()}
        return DeepCurvature(**settings, **measured)


def largest(second, seed, restarts=4):
    """sup over unit c, d of Σ c_i D²f_i[d, d] by alternation (from below, as an attack may be)."""
    draw, best = np.random.default_rng(seed), 0.0
    for _ in range(restarts):
        c = draw.normal(size=len(second))
        for _ in range(15):
            c /= np.linalg.norm(c)
            values, vectors = np.linalg.eigh(np.einsum("i,ijk->jk", c, second))
            d = vectors[:, np.argmax(abs(values))]
            c = np.einsum("ijk,j,k->i", second, d, d)
        best = max(best, float(np.linalg.norm(c)))
    return best


REGIMES: dict[str, tuple[Shape, dict[str, Any]]] = {
    "dense, one layer": (Shape("dense", 1), {}),
    "dense": (Shape("dense", 3), {}),
    "dense softplus": (Shape("dense", 3, sigma="softplus"), {"n": 6}),
    "dense, large weights": (Shape("dense", 3), {"size": 3.0}),
    "dense, small weights": (Shape("dense", 3), {"size": 0.2, "readout": 5.0}),
    "dense, no read-out": (Shape("dense", 3, sigma="softplus"), {"readout": 1e-3}),
    "resnet": (Shape("resnet", 4, sigma="softplus"), {}),
    "resnet, large weights": (Shape("resnet", 4, sigma="softplus"), {"size": 4.0, "n": 1}),
    "resnet tanh": (Shape("resnet", 3, c_res=0.95), {"size": 2.0, "n": 8}),
    "conv": (Shape("conv", 3, m=3, sigma="softplus"), {}),
    "conv tanh": (Shape("conv", 2, m=3), {"size": 2.0, "readout": 3.0}),
}


@pytest.mark.parametrize("regime", REGIMES)
def test_lambda_bounds_the_second_derivative_block_by_block(regime):
    shape, options = REGIMES[regime]
    net = Network.draw(shape, 3, **options)
    second, bound = net.second, net.bound()
    found, whole = largest(second, 0), bound.lipschitz(0.0)
    assert found <= whole * (1 + 1e-9)
    assert whole <= 100 * found, "not a bound worth having"
    entries = bound.blocks(0.0)
    n = len(net.x)
    parts = np.split(np.arange(len(net.theta)), np.cumsum([math.prod(s) for s in shape.shapes])[:-1])
    for c in [*np.eye(n), *np.random.default_rng(0).normal(size=(4, n))]:
        matrix = np.einsum("i,ijk->jk", c / np.linalg.norm(c), second)
        for i, rows in enumerate(parts):
            for j, columns in enumerate(parts):
                norm = np.linalg.norm(matrix[np.ix_(rows, columns)], 2)
                assert norm <= entries[i, j] * (1 + 1e-9) + 1e-12, (i, j)


@pytest.mark.parametrize("regime", REGIMES)
def test_lambda_bounds_it_on_the_ball(regime):
    """On the edge: random points, and those along the directions in which the Jacobian changes most."""
    shape, options = REGIMES[regime]
    net = Network.draw(shape, 4, **options)
    start, second, draw = net.jacobian, net.second, np.random.default_rng(5)
    _, vectors = np.linalg.eigh(second[0] + second[-1])
    for radius in (0.05, 0.5):
        bound = net.bound().lipschitz(radius)
        features = net.bound().features_lipschitz(radius)
        assert bound >= net.bound().lipschitz(0.0)
        for direction in [vectors[:, -1], vectors[:, 0], -vectors[:, -1], *draw.normal(size=(3, len(net.theta)))]:
            edge = net.at(net.theta + radius * direction / np.linalg.norm(direction))
            assert largest(edge.second, 1, restarts=1) <= bound * (1 + 1e-9)
            assert np.linalg.norm(edge.jacobian - start, 2) <= bound * radius * (1 + 1e-9)
            assert np.linalg.norm(edge.jacobian, 2) <= net.bound().norm(radius) * (1 + 1e-9)
            assert np.linalg.norm(edge.features - net.features, 2) <= features * radius * (1 + 1e-9)


@pytest.mark.parametrize("regime", REGIMES)
def test_the_drifts_hold_on_the_ball(regime):
    """What is said at the centre with R covers what is measured at distance R, entry by entry."""
    shape, options = REGIMES[regime]
    net, radius = Network.draw(shape, 6, **options), 0.2
    here = net.bound().blocks(radius)
    draw = np.random.default_rng(7)
    for _ in range(4):
        direction = draw.normal(size=len(net.theta))
        there = net.at(net.theta + radius * direction / np.linalg.norm(direction)).bound().blocks(0.0)
        assert (there <= here * (1 + 1e-9)).all()


def test_pairs_of_points_in_the_ball():
    """‖J(θ) − J(θ′)‖ ≤ Λ(R)‖θ − θ′‖ for pairs near and far apart."""
    for regime in ("dense softplus", "resnet", "conv"):
        shape, options = REGIMES[regime]
        net, draw, radius = Network.draw(shape, 8, **options), np.random.default_rng(9), 0.3
        bound = net.bound().lipschitz(radius)
        for distance in (1e-3, 0.1, 0.5):
            for _ in range(4):
                u, v = draw.normal(size=(2, len(net.theta)))
                u *= (radius - distance / 2) / np.linalg.norm(u) if distance < 2 * radius else 0
                v *= distance / 2 / np.linalg.norm(v)
                change = net.at(net.theta + u + v).jacobian - net.at(net.theta + u - v).jacobian
                assert np.linalg.norm(change, 2) <= bound * distance * (1 + 1e-6)


def test_lambda_grows_with_the_radius_and_with_every_number():
    for regime in ("dense", "resnet", "conv"):
        bound = Network.draw(REGIMES[regime][0], 11).bound()
        found = [bound.lipschitz(r) for r in np.linspace(0, 2, 21)]
        assert all(b >= a for a, b in itertools.pairwise(found))
        for field in dataclasses.fields(bound):
            if field.name not in ("skip", "samples"):
                larger = dataclasses.replace(bound, **{field.name: 1.05 * getattr(bound, field.name)})
                assert larger.lipschitz(0.2) >= found[2] * (1 - 1e-12), field.name
        assert math.isinf(bound.lipschitz(1e200))
        unknown = dataclasses.replace(bound, third=math.inf)
        assert found[2] <= unknown.lipschitz(0.2) < math.inf


def test_lambda_falls_as_the_root_of_the_width():
    """m = 8 to 128 at fixed data: Λ(0) √m changes by less than a factor 2 while √m grows by 4."""
    for kind, depth in (("dense", 2), ("resnet", 3)):
        scaled = []
        for m in (8, 32, 128):
            found = [Network.draw(Shape(kind, depth, m=m, sigma="softplus"), seed).bound() for seed in range(3)]
            scaled.append(np.mean([b.lipschitz(0.0) for b in found]) * math.sqrt(m))
        assert max(scaled) < 2 * min(scaled)

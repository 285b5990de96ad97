"""References for the dual maps that share no code and no formula with the library: NumPy, SciPy and a plain rule."""

import functools
import math

import jax
import numpy as np
from scipy.special import erf, expit
from scipy.stats import norm

from globalmin.activations import Covariance


def _silu_slope(z):
    return expit(z) * (1 + z * expit(-z))


def _he(degree, z):
    return np.polynomial.hermite_e.hermeval(z, [0] * degree + [1]) / math.sqrt(math.factorial(degree))


# name: φ, φ′ (written by hand), kinks
FUNCTIONS = {
    "relu": (lambda z: np.maximum(z, 0), lambda z: 1.0 * (z >= 0), (0.0,)),
    "leaky-relu-0.2": (lambda z: np.maximum(z, 0.2 * z), lambda z: np.where(z >= 0, 1, 0.2), (0.0,)),
    "erf": (erf, lambda z: 2 / math.sqrt(math.pi) * np.exp(-z * z), ()),
    "sin": (np.sin, np.cos, ()),
    "tanh": (np.tanh, lambda z: np.cosh(z) ** -2.0, ()),
    "sigmoid": (expit, lambda z: expit(z) * expit(-z), ()),
    "softplus": (lambda z: np.logaddexp(z, 0), expit, ()),
    "gelu": (lambda z: z * norm.cdf(z), lambda z: norm.cdf(z) + z * norm.pdf(z), ()),
    "silu": (lambda z: z * expit(z), _silu_slope, ()),
    "elu": (
        lambda z: np.where(z >= 0, z, np.expm1(np.minimum(z, 0))),
        lambda z: np.exp(np.minimum(z, 0)),
        (0.0,),
    ),
    "identity": (lambda z: z, np.ones_like, ()),
    "quadratic": (lambda z: z * z, lambda z: 2 * z, ()),
    "hermite-3": (lambda z: _he(3, z), lambda z: math.sqrt(3) * _he(2, z), ()),
    "monomial-4": (lambda z: z**4, lambda z: 4 * z**3, ()),
}


@functools.partial(jax.jit, static_argnums=0)
def _both(phi, p, q, angle):
    cov = Covariance(p, q, angle)
    return phi.dual(cov), phi.dual_derivative(cov)


def both(phi, p, q, angle):
    """The two duals of any pairs, by one program for each activation: 64 pairs at a time, the last one repeated."""
    shape = np.broadcast_shapes(*(np.shape(part) for part in (p, q, angle)))
    parts = [np.broadcast_to(np.asarray(part, float), shape).ravel() for part in (p, q, angle)]
    count = parts[0].size
    padded = [np.pad(part, (0, -count % 64), mode="edge").reshape(-1, 64) for part in parts]
    found = [_both(phi, *(part[k] for part in padded)) for k in range(len(padded[0]))]
    return tuple(np.concatenate([pair[i] for pair in found])[:count].reshape(shape) for i in (0, 1))


def _composite(edges, nodes):
    """Gauss-Legendre on consecutive intervals; edges (..., k) give nodes and weights (..., (k − 1) nodes)."""
    x, w = np.polynomial.legendre.leggauss(nodes)
    low, length = edges[..., :-1, None], np.diff(edges, axis=-1)[..., None]
    shape = (*edges.shape[:-1], -1)
    return (low + length * (x + 1) / 2).reshape(shape), (length * w / 2).reshape(shape)


def line(f, variance, kinks=(), reach=12.0):
    """E f(u), u ~ N(0, variance), in one dimension."""
    root = math.sqrt(variance)
    cuts = [np.clip(k / root, -reach, reach) for k in kinks] if root else []
    z, w = _composite(np.array(sorted([*np.linspace(-reach, reach, 41), *cuts])), 40)
    return np.sum(w * norm.pdf(z) * f(root * z))


def plane(f, p, q, angle, kinks=(), reach=12.0):
    """E f(u) f(v): u = √p x outside, v = √q (x cos θ + y sin θ) inside, both cut where f has a kink."""
    if math.sin(angle) < 1e-12 or p == 0 or q == 0:
        sign = math.copysign(1.0, math.cos(angle))
        if p == 0 or q == 0:
            return line(f, p, kinks) * line(f, q, kinks)
        root, ratio = math.sqrt(p), sign * math.sqrt(q / p)
        cuts = [*kinks, *(k / ratio for k in kinks)]
        return line(lambda u: f(u) * f(ratio * u), root**2, cuts)
    root, other = math.sqrt(p), math.sqrt(q)
    cuts = [np.clip(k / root, -reach, reach) for k in kinks]
    mesh = np.linspace(-reach, reach, 9)
    x, wx = _composite(np.array(sorted([*mesh, *cuts])), 32)
    inner = [np.clip((k / other - x * math.cos(angle)) / math.sin(angle), -reach, reach) for k in kinks]
    fixed = [np.full_like(x, end) for end in mesh]
    y, wy = _composite(np.sort(np.stack([*fixed, *inner], axis=-1), axis=-1), 32)
    v = other * (x[:, None] * math.cos(angle) + y * math.sin(angle))
    return np.sum(wx * norm.pdf(x) * f(root * x) * np.sum(wy * norm.pdf(y) * f(v), axis=-1))

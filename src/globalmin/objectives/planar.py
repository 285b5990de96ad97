r"""Unit patches in the plane whose angle to w* has a given density: population moments by quadrature.

The base angle is ½N(0, σ²) cut to [−π/2, π/2] and ½ the same around π; each of the k patches deviates from it by an
independent N(0, σ₂²) cut to [−π, π]. σ measures how concentrated the patches are along ±w*, σ₂ how close they are.
"""

import math
from typing import ClassVar

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, PRNGKeyArray

from .._core import numerics
from .patches import AbstractPatches, RegionMoments

NODES, WEIGHTS = np.polynomial.legendre.leggauss(16)
FINE_NODES, FINE_WEIGHTS = np.polynomial.legendre.leggauss(32)
PANEL = math.pi / 8
"""16 nodes on a panel of π/8: 1e-12 for σ ≥ 0.05, eight deviations a panel."""

SMALLEST = 0.05
"""The smallest σ that the panels resolve."""

REACH = 8.0
"""Deviations beyond which a normal density is 1e-14 of its peak."""


class PlanarPatches(AbstractPatches):
    """k unit vectors in the plane, w* at angle 0 by convention (any two filters may be asked about).

    **Arguments:** `patches`; `spread`, σ, a standard deviation in radians, infinite for the uniform angle; `closeness`, σ₂,
    0 for identical patches.

    **Raises:** `ValueError` for σ below 0.05, where the quadrature would lose digits, or σ₂ outside [0, π].

    **Source:** the experiments of Du's thesis CMU-ML-19-102, section 6.4.
    """

    complete: ClassVar[bool] = True

    patches: int
    spread: float
    closeness: float

    # Written out: type checkers take the abstract fields for positional arguments of the generated one.
    def __init__(self, patches: int, spread: float, closeness: float = 0.0):
        self.patches, self.spread, self.closeness = patches, spread, closeness

    def __check_init__(self):
        numerics.check_count("patches", self.patches)
        if not self.spread >= SMALLEST:
            raise ValueError(f"spread: a standard deviation of at least {SMALLEST} expected, {self.spread!r} came")
        if not 0 <= self.closeness <= math.pi:
            raise ValueError(f"closeness: a standard deviation in [0, π] expected, {self.closeness!r} came")

    @property
    def dimension(self) -> int:
        """2."""
        return 2

    @property
    def bound(self) -> float:
        """1: patches are unit vectors."""
        return 1.0

    def density(self, angle: Float[Array, "*batch"]) -> Float[Array, "*batch"]:
        """Of the base angle, 2π-periodic."""
        if math.isinf(self.spread):
            return jnp.full_like(angle, 1 / (2 * math.pi))
        near = (angle + jnp.pi / 2) % jnp.pi - jnp.pi / 2  # the offset from 0 or from π
        mass = math.erf(math.pi / 2 / (self.spread * math.sqrt(2)))
        scale = 2 * mass * self.spread * math.sqrt(2 * math.pi)
        return jnp.exp(-((near / self.spread) ** 2) / 2) / scale

    def moments(self, w: Float[Array, " p"], w_star: Float[Array, " p"]) -> RegionMoments:
        """By Gauss and Legendre on panels that end where the density has a kink and where an arc ends."""
        arcs = _arcs(w, w_star)
        if self.patches == 1 or self.closeness == 0:
            aa, bb, cc = (self._second(low, high) for low, high in arcs)
            zero = jnp.zeros((2, 2))
            return RegionMoments(aa, zero, zero, bb, zero, cc)
        return self._close(arcs)

    def mean_output(self, w: Float[Array, " p"]) -> Float[Array, ""]:
        """E max(wᵀZ_i, 0), the same for every patch."""
        # The regions of w against itself: A is its half-plane. E[ZZᵀ] has no first moments, so integrate those.
        at = jnp.arctan2(w[1], w[0])
        low, high = at - jnp.pi / 2, at + jnp.pi / 2
        if self.patches == 1 or self.closeness == 0:
            psi, weight = _panels(_grid(low, high))
            return jnp.sum(weight * self.density(psi) * jnp.cos(psi - at)) * jnp.linalg.norm(w)
        base, weight = _panels(self._base_grid([low, high]))
        first, _ = self._conditional(base, low, high)
        return jnp.sum(weight * self.density(base) * (first @ w))

    def draw(self, count: int, *, key: PRNGKeyArray) -> Float[Array, "count k p"]:
        """Base angles, then the deviations."""
        side_key, base_key, close_key = jax.random.split(key, 3)
        if math.isinf(self.spread):
            base = jax.random.uniform(base_key, (count,), jnp.float64, -math.pi, math.pi)
        else:
            edge = math.pi / 2 / self.spread
            base = self.spread * jax.random.truncated_normal(base_key, -edge, edge, (count,), jnp.float64)
            base = base + jnp.pi * jax.random.bernoulli(side_key, 0.5, (count,)).astype(base.dtype)
        angles = jnp.broadcast_to(base[:, None], (count, self.patches))
        if self.closeness > 0:
            edge = math.pi / self.closeness
            offset = jax.random.truncated_normal(close_key, -edge, edge, (count, self.patches), jnp.float64)
            angles = angles + self.closeness * offset
        return jnp.stack([jnp.cos(angles), jnp.sin(angles)], axis=-1)

    def directions(self, w_star: Float[Array, " p"]) -> Float[Array, "m p"]:
        """Both sides."""
        side = jnp.stack([-w_star[1], w_star[0]]) / jnp.linalg.norm(w_star)
        return jnp.stack([side, -side])

    def _second(self, low, high):
        psi, weight = _panels(_grid(low, high))
        return _outer(psi, weight * self.density(psi))

    def _base_grid(self, ends):
        # Panels of the whole circle, refined around the arcs' ends at the scale of the patches' deviation.
        marks = jnp.asarray([-REACH, -3.0, 0.0, 3.0, REACH]) * self.closeness
        near = (jnp.stack(ends)[:, None] + marks[None, :]).ravel()
        near = (near + jnp.pi) % (2 * jnp.pi) - jnp.pi
        return jnp.sort(jnp.concatenate([jnp.linspace(-jnp.pi, jnp.pi, 17), near]))

    def _conditional(self, base, low, high):
        """First and second moments on an arc of one patch, given the base angle."""
        reach = min(REACH * self.closeness, math.pi)
        mass = math.erf(math.pi / (self.closeness * math.sqrt(2)))
        scale = self.closeness * math.sqrt(2 * math.pi) * mass
        length = high - low
        low = (low + jnp.pi) % (2 * jnp.pi) - jnp.pi  # so that three turns reach every offset in [−π, π]
        sums = [jnp.zeros(base.shape) for _ in range(5)]
        for turn in (-1, 0, 1):
            left = jnp.clip(low - base + 2 * jnp.pi * turn, -reach, reach)
            right = jnp.clip(low + length - base + 2 * jnp.pi * turn, -reach, reach)
            half = (right - left)[..., None] / 2
            offset = left[..., None] + half * (1 + FINE_NODES)
            weight = half * FINE_WEIGHTS * jnp.exp(-((offset / self.closeness) ** 2) / 2) / scale
            c, s = jnp.cos(offset), jnp.sin(offset)
            for i, term in enumerate((weight, weight * c, weight * s, weight * c * c, weight * c * s)):
                sums[i] = sums[i] + jnp.sum(term, axis=-1)
        total, c, s, cc, cs = sums
        axis, side = _unit(base), _unit(base + jnp.pi / 2)
        first = c[..., None] * axis + s[..., None] * side

        def outer(x, y):
            return x[..., :, None] * y[..., None, :]

        mixed = outer(axis, side) + outer(side, axis)
        second = cc[..., None, None] * outer(axis, axis) + (total - cc)[..., None, None] * outer(side, side)
        return first, second + cs[..., None, None] * mixed

    def _close(self, arcs):
        ends = [end for arc in arcs for end in arc]
        base, weight = _panels(self._base_grid(ends))
        weight = weight * self.density(base)
        (a, aa), (b, bb), (c, cc) = (self._conditional(base, low, high) for low, high in arcs)
        k = self.patches

        def pair(x, y):
            return (k - 1) / k * jnp.einsum("n,ni,nj->ij", weight, x, y)

        def own(second):
            return jnp.einsum("n,nij->ij", weight, second) / k

        return RegionMoments(
            own(aa) + pair(a, a), pair(a, b), pair(a, c), own(bb) + pair(b, b), pair(b, c), own(cc) + pair(c, c)
        )


def _arcs(w, w_star):
    """The arcs of A, B and C as (low, high): half-planes of w at α and of w* at α*."""
    at, at_star = jnp.arctan2(w[1], w[0]), jnp.arctan2(w_star[1], w_star[0])
    turn = (at - at_star + jnp.pi) % (2 * jnp.pi) - jnp.pi
    at = at_star + turn
    right = jnp.pi / 2
    ahead, behind = jnp.maximum(at, at_star), jnp.minimum(at, at_star)
    a = (ahead - right, behind + right)
    before, after = (behind - right, ahead - right), (behind + right, ahead + right)

    def choose(x, y):
        return tuple(jnp.where(turn >= 0, i, j) for i, j in zip(x, y, strict=True))

    return a, choose(after, before), choose(before, after)


def _grid(low, high):
    """Ends of the panels of an arc inside [−3π, 3π]; those outside have no length."""
    marks = jnp.arange(-24.0, 25.0) * PANEL  # kinks of the density lie on multiples of π/2, so on some of these
    return jnp.clip(marks, low, high)


def _panels(ends):
    """Nodes and weights of all panels between consecutive ends."""
    half = (ends[1:] - ends[:-1])[:, None] / 2
    nodes = ends[:-1, None] + half * (1 + NODES)
    return nodes.ravel(), (half * WEIGHTS).ravel()


def _unit(angle):
    return jnp.stack([jnp.cos(angle), jnp.sin(angle)], axis=-1)


def _outer(angle, weight):
    z = _unit(angle)
    return jnp.einsum("n,ni,nj->ij", weight, z, z)

r"""An enclosed equilibrium Z = φ(ZMᵀ + C) and adjoint G = (G∘D)M + a, D = φ′(ZMᵀ + C), row by row from their residuals.

Let z be any approximation and F = φ(Mz + c) − z. With the diagonal D of secant slopes between z and the equilibrium z*,
z − z* = DM(z − z*) − F, so ‖z − z*‖ = ‖(I − DM)^{-1}F‖ ≤ N‖F‖, where N = 1/(1 − sup|φ′|‖M‖), or 1 + ‖M‖/(1 − μ) if 0 ≤ φ′ ≤ 1
and μ = λ_max((M + Mᵀ)/2) < 1: (I − DM)^{-1} = I + (I − DM)^{-1}D M, and the resolvents of theory/curvature/equilibrium.py. The
adjoint's equation is linear with the transposed resolvent I − MᵀD, which has the same bound.
"""

import dataclasses
from typing import Any

import numpy as np

from .elementwise import Elementwise
from .enclosure import Enclosure, Interval, UnboundedError, grow
from .flint import PRECISION, precision, up
from .spectrum import operator_norm, symmetric_part_max

SLOPE01 = ("tanh", "softplus", "sigmoid", "elu", "relu", "identity")
"""Activations with 0 ≤ φ′ ≤ 1."""

POLISH = 400
"""Iterations at most that improve a solution; the enclosure is that of whatever they reach."""


def resolvents(flint: Any, norm: Any, mu: Any, slope: Any, slope01: bool) -> tuple[Any, Any] | None:
    """Balls at least ‖(I − DM)^{-1}D‖ and ‖(I − MD)^{-1}‖ for every diagonal D of slopes; `None` where nothing is proven."""
    t = n = None
    if slope * norm < 1:
        t, n = slope / (1 - slope * norm), 1 / (1 - slope * norm)
    if slope01 and mu < 1:
        other = 1 / (1 - mu)
        t = other if t is None else t.min(other)
        n = 1 + norm * t if n is None else n.min(1 + norm * t)
    return None if t is None else (t, n)


@dataclasses.dataclass(frozen=True)
class Solved:
    """Enclosures of what a certificate asks of an equilibrium network. `adjoint` and what follows it need a smooth φ."""

    norm: Interval  # ‖M‖
    mu: Interval
    state: Enclosure  # Z
    before: Enclosure  # H = ZMᵀ + C
    read: Enclosure  # Z a
    states: Enclosure  # ZZᵀ
    adjoint: Enclosure | None = None  # G
    weighted: Enclosure | None = None  # R = G∘D
    adjoints: Enclosure | None = None  # RRᵀ


def solve(
    phi: Elementwise, matrix: Enclosure, shift: Enclosure, readout: Enclosure, z: np.ndarray, r: np.ndarray, raw: Any
) -> Solved:
    """Enclose equilibria and adjoints near `z` and `r`.

    **Arguments:** `matrix`: M; `shift`: C; `readout`: a; `raw`: φ in floating point, for improving `z`.

    **Raises:** `UnboundedError` where the equilibrium is not proven to exist.
    """
    norm, mu = operator_norm(matrix), symmetric_part_max(matrix)
    with precision(PRECISION) as flint:
        arb = flint.arb
        found = resolvents(flint, arb(norm.upper), arb(mu.upper), arb(phi.slope), phi.name in SLOPE01)
        if found is None:
            raise UnboundedError(
                f"the equilibrium is not proven to exist (sup|φ′| ‖M‖ = {phi.slope * norm.upper:.6g}, μ = {mu.upper:.6g})"
            )
        resolvent = up(found[1])
    m, c = matrix.mid, shift.mid
    z = _polished(lambda z: raw(z @ m.T + c), z)
    states = Enclosure.exact(z)
    before = states @ matrix.T + shift
    off = resolvent * (phi(before) - states).row_norms_upper() * (1 + 1e-15)
    # ‖M(z − z*)‖ ≤ ‖M‖‖z − z*‖ is far below what the entries' radii would give.
    near, moved = before, norm.upper * off * (1 + 1e-15)
    state, before = states.widened(off[:, None]), near.widened(moved[:, None])
    products = states.row_gram(off)
    size = float(readout.norm().upper)
    read = (states @ readout).widened(size * off * (1 + 1e-15))
    if phi.bend is None:
        return Solved(norm, mu, state, before, read, products)
    slopes = phi(before, 1)
    a = readout.mid
    g = Enclosure.exact(_polished(lambda g: (g * slopes.mid) @ m + a, r @ m + a))
    left = (g * slopes) @ matrix + readout - g
    far = grow(resolvent * left.row_norms_upper(), 1)
    adjoint = g.widened(far[:, None])
    # R is off by sup|φ′| times what G is, and by max|g| sup|φ″| times what H is beyond `near`, as vectors.
    lost = grow(phi.slope * far + float(adjoint.largest().upper) * phi.bend * moved, 4)
    shares = (g * phi(near, 1)).row_gram(lost)
    return Solved(norm, mu, state, before, read, products, adjoint, adjoint * slopes, shares)


def _polished(step: Any, start: np.ndarray) -> np.ndarray:
    """The iterate of smallest residual, as long as the iteration improves."""
    best, least = start, np.inf
    current = start
    for _ in range(POLISH):
        following = step(current)
        residual = float(np.abs(following - current).max())
        if not residual < least:
            break
        best, least, current = current, residual, following
        if residual == 0:
            break
    return best

"""Equilibria and adjoints for the checker: found by its own iteration, enclosed by their residuals in ball matrices.

For any approximation Z, ‖z_i − z_i*‖ ≤ N‖φ(Mz_i + c_i) − z_i‖, N a bound of the resolvents (I − DM)^{-1}; the proof is in
docs/theory/rigorous.md.
"""

import dataclasses
from typing import Any

import numpy as np

from .activations import Phi
from .balls import Balls
from .claims import Claims, RefutedError

STEPS = 20_000


def resolvent_bounds(claims: Claims, phi: Phi, growth: Any) -> tuple[Any, Any] | None:
    """T ≥ ‖(I − DM)^{-1}D‖ and N ≥ ‖(I − DM)^{-1}‖, ‖(I − MD)^{-1}‖ where ‖M‖ and μ are larger by `growth`."""
    norm, mu = claims.upper("w_norm") + growth, claims.upper("mu") + growth
    product = phi.sup1 * norm
    found = None
    if product < 1:
        found = phi.sup1 / (1 - product), 1 / (1 - product)
    if phi.slope01 and mu < 1:
        t = 1 / (1 - mu) if found is None else found[0].min(1 / (1 - mu))
        n = 1 + norm * t
        found = (t, n) if found is None else (t, found[1].min(n))
    return found


@dataclasses.dataclass(frozen=True)
class Solved:
    """Ball matrices of Z, H, Z a, G and R, and ZZᵀ and RRᵀ (G, R and RRᵀ `None` for a φ without continuous φ′)."""

    state: Any
    before: Any
    read: Any
    states: Any
    adjoint: Any = None
    weighted: Any = None
    adjoints: Any = None


def solve(balls: Balls, claims: Claims, phi: Phi, matrix: Any, shift: Any, readout: Any) -> Solved:
    """Solve and enclose. The claims on ‖M‖ and μ must have been confirmed."""
    bounds = resolvent_bounds(claims, phi, balls.arb(0))
    if bounds is None:
        raise RefutedError("refuted: with the claimed ‖M‖ and μ no equilibrium is proven to exist")
    resolvent = bounds[1]
    m, c, a = balls.middles(matrix), balls.middles(shift), balls.middles(readout)[:, 0]
    z = balls.exact(_iterated(lambda h: phi.guess(h @ m.T + c), np.zeros_like(c)))
    transposed = matrix.transpose()
    before = balls.product(z, transposed) + shift
    off = [resolvent * size for size in balls.row_norms(balls.map(phi.value, before) - z)]
    norm, length = claims.upper("w_norm"), balls.norm(readout.entries())
    state = widened(balls, z, off)
    near = before  # what H is for this Z; ‖M(z − z*)‖ ≤ ‖M‖‖z − z*‖ further on is the equilibrium's
    before = widened(balls, near, [norm * v for v in off])
    read = widened(balls, balls.product(z, readout), [length * v for v in off])
    states = row_gram(balls, z, off)
    if phi.slope is None:
        return Solved(state, before, read, states)
    slopes = balls.map(phi.slope, before)
    d = balls.middles(slopes)
    g = balls.exact(_iterated(lambda g: (g * d) @ m + a, np.broadcast_to(a, c.shape).copy()))
    ones = balls.of(c.shape[0], 1, [balls.arb(1)] * c.shape[0])
    left = balls.product(balls.hadamard(g, slopes), matrix) + ones * readout.transpose() - g
    far = [resolvent * size for size in balls.row_norms(left)]
    adjoint = widened(balls, g, far)
    # R − G∘φ′(H): what G is off, and what φ′ is off where H is.
    flat = balls.hadamard(g, balls.map(lambda v: phi.slope(v.mid()), near))
    top = balls.largest([abs(v) for v in adjoint.entries()])
    lost = [
        phi.sup1 * e + phi.sup2 * top * (norm * o + balls.norm([v.rad() for v in row]))
        for e, o, row in zip(far, off, near.tolist(), strict=True)
    ]
    shares = row_gram(balls, flat, lost)
    return Solved(state, before, read, states, adjoint, balls.hadamard(adjoint, slopes), shares)


def row_gram(balls: Balls, a: Any, off: list[Any]) -> Any:
    """The Gram matrix of rows each of which is off by a vector of that norm: ‖a_i‖e_j + e_i‖a_j‖ + e_i e_j (Cauchy-Schwarz)."""
    plain, lengths, n = balls.product(a, a.transpose()), balls.row_norms(a), a.nrows()
    reach = [
        balls.arb(0, (lengths[i] * off[j] + off[i] * lengths[j] + off[i] * off[j]).abs_upper())
        for i in range(n)
        for j in range(n)
    ]
    return plain + balls.of(n, n, reach)


def widened(balls: Balls, a: Any, by: list[Any]) -> Any:
    """Each row with its own radius added."""
    reach = [balls.arb(0, v.abs_upper()) for v in by]
    return balls.of(a.nrows(), a.ncols(), [v + r for row, r in zip(a.tolist(), reach, strict=True) for v in row])


def _iterated(step: Any, start: np.ndarray) -> np.ndarray:
    """A damped fixed-point iteration in doubles, until it no longer improves; half the damping where it grows."""
    best, least, current, damping = start, np.inf, start, 1.0
    stalled = 0
    for _ in range(STEPS):
        following = step(current)
        residual = float(np.abs(following - current).max())
        if residual < least:
            best, least, stalled = current, residual, 0
        else:
            stalled += 1
        if residual == 0 or (stalled > 30 and least < 1e-12 * max(1.0, float(np.abs(best).max()))):
            break
        if not residual < 1e3 * least or stalled > 100:
            current, damping, stalled = best, damping / 2, 0
            following = step(current)
            if damping < 1e-6:
                break
        current = current + damping * (following - current)
    return best

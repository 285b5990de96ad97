r"""Infinite width of the implicit network z = φ(γ m^{-1/2} A z + ϕ), ϕ = m^{-1/2} φ(Wx), f = uᵀz + vᵀϕ, φ = ReLU.

Convention of Gao, Liu, Liu, Rajan and Gao (ICLR 2022): A, W ~ N(0, 1), u, v = ±1, all four trained. Their inputs have
norm 1; here other norms are taken as they come, since z and ϕ are homogeneous in each input.

The pre-activation at equilibrium is not Gaussian. Times √m it tends to h = γ g + φ(ξ), with (ξ, ξ') standard normal of
correlation cos θ, and (g, g') independent of them, centred Gaussian with the covariance S = E[φ(h)φ(h')] of the
equilibrium itself. As a function of θ alone that is a fixed point of four-dimensional integrals. Price's theorem makes
it an ordinary differential equation in θ whose right side is elementary, which is solved once per γ.
"""

import dataclasses
import functools
import math

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import scipy.special
from jaxtyping import Array, Float
from numpy.polynomial import chebyshev

from .._core.numerics import EPS
from ..activations import Covariance, get
from .base import AbstractKernel

TABLE_TOLERANCE = 1e-12
"""A table is accepted when doubling the nodes changes it by less; a tenth of it is cut off from the series."""

MOST_NODES = 384
"""The end of the doubling: the tables have layers of width and height γ at θ = 0 and π, too thin for it if γ < 0.01."""


class ImplicitKernel(AbstractKernel):
    r"""Kernels of the implicit ReLU network at infinite width:

    - `g_infinity` $= G^∞ = E[φ(ξ)φ(ξ')]$, the limit of ΦΦᵀ; on it the theorems' $λ_0 = λ_{\min}(G^∞)$ rests;
    - `nngp` $= S + G^∞$, the limit of ZZᵀ + ΦΦᵀ: the covariance of the outputs, and the tangent kernel of (u, v);
    - `ntk` $= S ∘ (1 + γ²M) + Q ∘ XXᵀ + G^∞$, the limit of the full tangent kernel.

    `limits` gives S, M and Q, the limits of ZZᵀ, of M = r·r'/m and of Q = (E(r + v))·(E'(r' + v))/m, by the angle.

    **Arguments:** `gamma`: γ in (0, 1). A network has its equilibrium for γ‖A‖ < √m, γ < 1/2 when it is wide.

    **Raises:** `ValueError` for another γ.

    **Accuracy, cost:** `g_infinity` keeps its digits at every angle. S, M and Q are sums of `terms` Chebyshev
    polynomials in θ (105 at γ = 0.1, 51 at 0.4), elementwise work. Their `table_error`, which is part of `entry_error`,
    is below 1e-12 for γ ≥ 0.03 and 1e-10 at γ = 0.01; 6e-6 is the worst, at γ = 1e-4. A table takes 0.1 s (1 s for
    γ < 0.01), once per γ and process.

    **Source:** Gao et al., ICLR 2022 (arXiv:2110.05645), (14)-(16), Lemma 3.1, with the transpose of A in both factors
    of Q. The limits of S, M and Q are this library's: A and Aᵀ act as independent copies, because u and v are centred
    and independent of the forward pass.
    """

    gamma: float = eqx.field(static=True)

    def __init__(self, gamma: float = 0.1):
        self.gamma = float(gamma)
        if not 0 < self.gamma < 1:
            raise ValueError(f"gamma: a number in (0, 1) expected, {gamma} came; 0.1 is the paper's choice")

    @property
    def table_error(self) -> float:
        """Bound on the absolute error of S, M and Q for exact angles of unit rows: what doubling the nodes changed."""
        return max(_table(self.gamma).errors)

    @property
    def terms(self) -> int:
        """How many Chebyshev polynomials the tables have."""
        return len(_table(self.gamma).coefficients)

    def limits(self, angle: Float[Array, "*pairs"]) -> dict[str, Float[Array, "*pairs"]]:
        """`s`, `m` and `q` of unit rows at these angles in [0, π]; only S changes with norms, by |x||x'|."""
        series = _clenshaw(_table(self.gamma).coefficients, 2 / math.pi * angle - 1)
        return {"s": series[0], "m": series[1], "q": series[2] + (math.pi - angle) / (2 * math.pi)}

    def entries(self, cov: Covariance) -> dict[str, Float[Array, "*pairs"]]:
        """`g_infinity`, `nngp` and `ntk` of a tile of pairs."""
        g_infinity, limit = get("relu").dual(cov), self.limits(cov.angle)
        s = cov.scale * limit["s"]
        ntk = s * (1 + self.gamma**2 * limit["m"]) + limit["q"] * cov.c + g_infinity
        return {"g_infinity": g_infinity, "nngp": s + g_infinity, "ntk": ntk}

    def entry_bounds(
        self, variances: Float[Array, " n"], variance_error: float, angle_error: float
    ) -> dict[str, float]:
        r"""The tables' errors, and the errors of the inputs through the tables' derivatives.

        All three functions are largest at θ = 0, S, M and Q being Gram matrices. |dG^∞/dθ| ≤ 1/2, |dκ/dθ| = 1/2π for
        κ = P(ξ, ξ' > 0), and what is multiplied by √(pq) gets the relative error of the variances.
        """
        table, top, square = _table(self.gamma), float(jnp.max(variances)), self.gamma**2
        s, m, b = ((-1.0) ** np.arange(self.terms) @ table.coefficients).tolist()
        d_s, d_m, d_b = (error + slope * angle_error for error, slope in zip(table.errors, table.slopes, strict=True))
        gain, q, d_q = 1 + square * m, b + 0.5, d_b + angle_error / (2 * math.pi)
        g = top * (angle_error / 2 + variance_error / 2 + get("relu").ULPS * EPS / 2)
        nngp = g + top * (d_s + s * variance_error + 4 * EPS * (s + 0.5))
        size = s * gain + q + 0.5
        whole = d_s * gain + s * square * d_m + d_q + q * angle_error + (s * gain + q) * variance_error
        return {"g_infinity": g, "nngp": nngp, "ntk": g + top * (whole + 8 * EPS * size)}


@dataclasses.dataclass(frozen=True)
class _Table:
    """Chebyshev coefficients of (S, M, (1 + γ²M) π⁺) in 2θ/π − 1, their errors, and bounds on |d/dθ|."""

    coefficients: Float[np.ndarray, "terms 3"]
    errors: tuple[float, ...]
    slopes: tuple[float, ...]


@functools.lru_cache(maxsize=64)
def _table(gamma: float) -> _Table:
    nodes, fine, change = 48, _solve(gamma, 48), np.full(3, np.inf)
    while np.max(change) > TABLE_TOLERANCE and nodes < MOST_NODES:
        nodes, coarse = 2 * nodes, fine
        fine = _solve(gamma, nodes)
        change = np.sum(np.abs(np.concatenate([fine[: len(coarse)] - coarse, fine[len(coarse) :]])), axis=0)
    # What is below the tolerance is cut off, and belongs to the error: |T_k| ≤ 1 on the interval. `change` is the error
    # of the coarser table, so it has room for what is left in the finer one; Clenshaw's recursion rounds on top.
    size = np.abs(fine)
    rest = np.cumsum(size[::-1], axis=0)[::-1]
    below = np.all(rest < TABLE_TOLERANCE / 10, axis=1)
    kept = int(np.argmax(below)) if below.any() else nodes
    errors = change + size[kept:].sum(0) + kept * EPS * size.sum(0)
    # Two tables that both miss the layer of a tiny γ agree; but π⁺ is 0 at θ = π, and what it lost there shows it.
    errors += 2 * abs(float(fine[:kept, 2].sum()))
    slopes = 2 / math.pi * np.abs(chebyshev.chebder(fine[:kept])).sum(0)
    return _Table(fine[:kept], tuple(map(float, errors)), tuple(map(float, slopes)))


def _variance(gamma: float) -> float:
    """S at θ = 0: s = E[φ(h)²] = τ²/4 + [(1 + τ²)(π − arctan τ) + τ]/2π, τ = γ√s, which contracts by 3γ²/4."""
    s, tau = 0.0, 0.0
    for _ in range(200):
        tau = gamma * math.sqrt(s)
        s = tau**2 / 4 + ((1 + tau**2) * (math.pi - math.atan(tau)) + tau) / (2 * math.pi)
    return s


def _solve(gamma: float, count: int) -> Float[np.ndarray, "count 3"]:
    r"""Coefficients of the table's three functions from `count` Chebyshev nodes.

    With s = S(0), τ = γ√s, r = S/s = cos ψ, let π = P(h, h' > 0) and π⁺ = P(h, h', ξ, ξ' > 0). By Price's theorem the
    derivatives of S in the covariances γ²s r of (γg, γg') and cos θ of (ξ, ξ') are π and π⁺, so that

        dS = γ²π dS + π⁺ d cos θ,   dS/d cos θ = π⁺/(1 − γ²π) = π⁺ (1 + γ²M) =: s K.

    π and π⁺ change by densities of two of (g, g', ξ, ξ', h, h') at 0 times the probability of a quadrant given that:

        dπ = p dr + b d cos θ,   dπ⁺ = τ² b dr + c d cos θ,   p = (π − θ)/(4π² sin ψ) + 2τ e + τ² b,
        c = (π − ψ)/(4π² sin θ) + 2e' + b

    where b, e, e' are the densities of (h, h'), (h, g'), (h, ξ') with the signs of the others as they must be. All are
    analytic in θ. The equations are integrated from θ = 0, where everything is known, by Picard's iteration.
    """
    grid = (np.arange(count) + 0.5) * math.pi / count
    theta = math.pi / 2 * (1 + np.cos(grid))
    values = np.cos(np.outer(grid, np.arange(count)))  # T_j at the nodes
    analysis = 2 / count * values.T
    analysis[0] /= 2
    # Integrals over [0, θ] of a function given by its values, θ ∫₀¹ f(θu) du, and of sin times it, over θ²: 1 − r must
    # be right relative to itself at θ → 0, where r itself says nothing about ψ.
    plain, weighted = np.zeros((count, count)), np.zeros((count, count))
    for u, weight in zip(*scipy.special.roots_sh_legendre(count // 2 + 8), strict=True):
        at = np.cos(np.outer(np.arccos(2 / math.pi * theta * u - 1), np.arange(count)))
        plain += weight * theta[:, None] * at
        weighted += (weight * u * np.sinc(theta * u / math.pi))[:, None] * at
    plain, weighted = plain @ analysis, weighted @ analysis

    s = _variance(gamma)
    tau = gamma * math.sqrt(s)
    square, sin, cos = tau**2, np.sin(theta), np.cos(theta)
    start = np.array([0.5, 0.25]) + math.atan(1 / tau) / (2 * math.pi)
    both = np.repeat(start[:, None], count, axis=1)  # π, π⁺
    loss = np.zeros(count)
    for _ in range(100):
        k = both[1] / (1 - gamma**2 * both[0]) / s
        ratio = weighted @ k  # (1 − r)/θ²
        loss = theta**2 * ratio
        r, q = 1 - loss, theta * np.sqrt(ratio * (2 - loss))  # cos ψ, sin ψ
        root = np.sqrt((square * (1 + r) + 1 + cos) * (square * loss + 2 * np.sin(theta / 2) ** 2))
        b = (math.pi - np.arctan2(sin * q * root, cos * square * q**2 + r * sin**2)) / (4 * math.pi**2 * root)
        edge, other = np.sqrt(1 + square * q**2), np.sqrt(square + sin**2)
        e = np.arctan2(sin * edge, tau * q * cos) / (4 * math.pi**2 * edge)
        e_other = np.arctan2(q * other, sin * r) / (4 * math.pi**2 * other)
        p = (math.pi - theta) / (4 * math.pi**2 * q) + 2 * tau * e + square * b
        turn = (math.pi - np.arctan2(q, r)) / (4 * math.pi**2)
        rates = -np.stack([sin * (k * p + b), sin * (k * square * b + 2 * e_other + b) + turn])
        before, both = both, start[:, None] + rates @ plain.T
        if np.max(np.abs(both - before)) < 4 * EPS:
            break
    gain = 1 / (1 - gamma**2 * both[0])  # 1 + γ²M
    return analysis @ np.stack([s * (1 - loss), both[0] * gain, both[1] * gain], axis=1)


def _clenshaw(coefficients: Float[np.ndarray, "terms k"], x: Float[Array, "*pairs"]) -> Float[Array, "k *pairs"]:
    """Chebyshev series at x in [−1, 1], several at once."""
    rows = jnp.asarray(coefficients).reshape(*coefficients.shape, *(1,) * x.ndim)

    def step(state, row):
        one, two = state
        return (row + 2 * x * one - two, one), None

    zero = jnp.zeros((coefficients.shape[1], *x.shape), x.dtype)
    (one, two), _ = jax.lax.scan(step, (zero, zero), rows[:0:-1], unroll=8)
    return rows[0] + x * one - two

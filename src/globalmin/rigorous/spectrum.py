r"""Extreme eigenvalues of an enclosed symmetric matrix, from below and from above, proven.

Let A = M + E with the midpoints M symmetric and |E| ≤ rad entrywise. Weyl: every eigenvalue of A is within ‖E‖ ≤ ‖rad‖_∞ (the
largest row sum) of M's. For M itself:

**Up to `EIGEN_LIMIT` rows: approximate eigenvectors in Arb.** Take any matrix Q of doubles (LAPACK's eigenvectors) and compute
T = QᵀMQ and N = QᵀQ in balls. With δ ≥ ‖N − I‖_∞ < 1, Q is regular, (1 − δ) ≤ yᵀNy/yᵀy ≤ (1 + δ), and x = Qy runs over all
vectors, so that λ_min(M) = min_y yᵀTy / yᵀNy is at least t/(1 + δ) where Gershgorin's t = min_i (T_ii − Σ_j|T_ij|) ≥ 0, and at
least t/(1 − δ) where t < 0 (Ostrowski's theorem on congruences, quantified). λ_max in the same way.

**Beyond: Cholesky in floating point** (Rump, BIT 46 (2006) 433-452). If Cholesky of a symmetric matrix B of doubles runs to its
end, its factor has RᵀR = B + Δ with |Δ_ij| ≤ γ_{n+2} Σ_k|r_ki r_kj| (any order of summation; one rounding more than Demmel's
bound where a triangular solve multiplies by a reciprocal), hence Σ_k r_ki² ≤ b_ii/(1 − γ_{n+2}) and by Cauchy-Schwarz
|Δ_ij| ≤ α √(b_ii b_jj), α = γ_{n+2}/(1 − γ_{n+2}). The norm of the matrix (√(b_ii b_jj)) is tr B, so ‖Δ‖ ≤ α tr B (plus
underflow, below 4n(2n + max b_ii) 2^{-1074}), and as RᵀR is positive semidefinite, λ_min(B) ≥ −‖Δ‖. With B = fl(M − sI), whose
diagonal is off by u|b_ii|: λ_min(M) ≥ s − u max|b_ii| − ‖Δ‖. For λ_max, −M.

The other end of each interval is a Rayleigh quotient, which no eigenvector has to be exact for.
"""

import math
from typing import Any

import numpy as np
import scipy.linalg

from .enclosure import TINY, UNIT, Enclosure, Interval, UnboundedError, gamma, grow
from .flint import PRECISION, down, precision, up

NORM_SLACK = 1e-9
EIGEN_LIMIT = 300
"""Rows up to which the eigenvalues are bounded through Arb; beyond, the Cholesky factorisation serves."""


def extreme_eigenvalues(matrix: Enclosure) -> tuple[Interval, Interval]:
    """Intervals that contain λ_min and λ_max of every symmetric matrix inside the enclosure.

    The lower triangle is read. **Raises:** `UnboundedError` for entries that are not finite.
    """
    scaled, weyl, exponent = _near_one(matrix)
    low, high = (
        _by_eigenvectors(scaled) if len(scaled) <= EIGEN_LIMIT else (_by_cholesky(scaled, 1), _by_cholesky(scaled, -1))
    )
    # The ends that no theorem uses are Rayleigh quotients: slack, so that other eigenvectors confirm them too.
    slack = 16 * len(scaled) * UNIT * max(abs(high.upper), abs(low.lower))
    low, high = Interval(low.lower, low.upper + slack), Interval(high.lower - slack, high.upper)
    return _restored(low, weyl, exponent), _restored(high, weyl, exponent)


def lambda_min(matrix: Enclosure) -> Interval:
    """λ_min of every symmetric matrix inside; half the cost of both ends for large ones."""
    if len(matrix.mid) <= EIGEN_LIMIT:
        return extreme_eigenvalues(matrix)[0]
    scaled, weyl, exponent = _near_one(matrix)
    low = _by_cholesky(scaled, 1)
    slack = 16 * len(scaled) * UNIT * float(np.abs(scaled).sum(axis=1).max())
    return _restored(Interval(low.lower, low.upper + slack), weyl, exponent)


def lambda_max(matrix: Enclosure) -> Interval:
    """λ_max of every symmetric matrix inside; half the cost of both ends for large ones."""
    if len(matrix.mid) <= EIGEN_LIMIT:
        return extreme_eigenvalues(matrix)[1]
    scaled, weyl, exponent = _near_one(matrix)
    high = _by_cholesky(scaled, -1)
    slack = 16 * len(scaled) * UNIT * float(np.abs(scaled).sum(axis=1).max())
    return _restored(Interval(high.lower - slack, high.upper), weyl, exponent)


def operator_norm(matrix: Enclosure) -> Interval:
    """‖A‖ of every matrix inside, from λ_max of the Gram matrix of the shorter side."""
    # A power of two brings the entries near 1: the Gram matrix neither overflows nor vanishes.
    top = float(matrix.magnitude().max(initial=0.0))
    if not (matrix.mid.any() or matrix.rad.any()):
        return Interval(0.0, 0.0)
    if not math.isfinite(top):
        raise UnboundedError("a matrix left the range of double precision: rescale the data or the weights")
    exponent = max(min(math.frexp(top)[1], 1000), -1000)
    scale = Enclosure.exact(math.ldexp(1.0, -exponent))
    small = scale * (matrix if matrix.mid.shape[0] <= matrix.mid.shape[1] else matrix.T)
    return root(lambda_max(small @ small.T)).ldexp(exponent)


def symmetric_part_max(matrix: Enclosure) -> Interval:
    """λ_max((A + Aᵀ)/2) of every matrix inside."""
    return lambda_max((matrix + matrix.T) * Enclosure.exact(0.5))


def symmetric_norm(flint: Any, rows: list[list[Any]]) -> Any:
    """A ball at least the norm of a symmetric matrix of non-negative balls: max (Bv)_i/v_i over i, for whatever v > 0.

    `None` where an entry is not finite. Enlarged by `NORM_SLACK`: another program need not find it to the last digit.
    """
    if not all(b.is_finite() for row in rows for b in row):
        return None
    plain = np.array([[float(b) for b in row] for row in rows])
    if not np.isfinite(plain).all():
        return None
    vector = np.abs(np.linalg.eigh(plain)[1][:, -1])
    # Entries far below the largest are lifted: the bound holds for every positive vector.
    weights = [flint.arb(float(w)) for w in np.maximum(vector, 1e-20)]
    found = flint.arb(0)
    for row, weight in zip(rows, weights, strict=True):
        found = found.max(sum((b * w for b, w in zip(row, weights, strict=True)), flint.arb(0)) / weight)
    return found * (1 + flint.arb(NORM_SLACK))


class Root(Interval):
    """An interval that can be scaled by a power of two."""

    def ldexp(self, exponent: int) -> Interval:
        """2^exponent times the interval, one unit outward."""
        low, high = math.ldexp(self.lower, exponent), math.ldexp(self.upper, exponent)
        return Interval(max(math.nextafter(low, -math.inf), 0.0), math.nextafter(high, math.inf))


def root(interval: Interval) -> Root:
    """√ of an interval; what lies below 0 is cut off."""
    low, high = math.sqrt(max(interval.lower, 0.0)), math.sqrt(max(interval.upper, 0.0))
    return Root(max(math.nextafter(low, -math.inf), 0.0), math.nextafter(high, math.inf))


def _near_one(matrix: Enclosure) -> tuple[np.ndarray, float, int]:
    """The symmetric midpoints times 2^−exponent, which are near 1, how far that moves an eigenvalue (Weyl), the exponent."""
    mid, rad = _mirrored(matrix.mid), _mirrored(matrix.rad)
    if not (np.isfinite(mid).all() and np.isfinite(rad).all()):
        raise UnboundedError("a matrix left the range of double precision: rescale the data or the weights")
    exponent = int(np.frexp(np.abs(mid).max(initial=0.0))[1])
    exponent = max(min(exponent, 1000), -1000)
    scaled = np.ldexp(mid, -exponent)
    lost = np.where(np.ldexp(scaled, exponent) == mid, 0.0, TINY)  # an entry that underflowed when it was scaled
    spread = np.ldexp(rad, -exponent) + lost + TINY
    return scaled, float(grow(spread.sum(axis=1), len(mid)).max(initial=0.0)), exponent


def _mirrored(a: np.ndarray) -> np.ndarray:
    lower = np.tril(a)
    return lower + np.tril(lower, -1).T


def _restored(interval: Interval, weyl: float, exponent: int) -> Interval:
    low = math.nextafter(interval.lower - weyl, -math.inf)
    high = math.nextafter(interval.upper + weyl, math.inf)
    return Interval(
        math.nextafter(math.ldexp(low, exponent), -math.inf), math.nextafter(math.ldexp(high, exponent), math.inf)
    )


def _by_eigenvectors(a: np.ndarray) -> tuple[Interval, Interval]:
    _, vectors = scipy.linalg.eigh(a, check_finite=False, driver="evd")
    n = len(a)
    with precision(PRECISION) as flint:
        q = _exactly(flint, vectors)
        transposed = q.transpose()
        t = (transposed * (_exactly(flint, a) * q)).tolist()
        gram = (transposed * q).tolist()
        low, high = _gershgorin(t)
        for i in range(n):
            gram[i][i] -= 1
        delta = _least(flint, [-sum((abs(v) for v in row), flint.arb(0)) for row in gram])
        if not delta > -1:
            raise UnboundedError("the approximate eigenvectors are not independent: the matrix is too badly scaled")
        # −delta ≥ ‖N − I‖_∞; of the two quotients by 1 ± δ the worse one serves for either sign.
        low_bound = _least(flint, [low / (1 - delta), low / (1 + delta)])
        high_bound = -_least(flint, [-high / (1 - delta), -high / (1 + delta)])
        quotients = [t[i][i] / (gram[i][i] + 1) for i in range(n)]
        least = up(_least(flint, quotients))
        most = down(-_least(flint, [-v for v in quotients]))
        return Interval(down(low_bound), max(least, down(low_bound))), Interval(
            min(most, up(high_bound)), up(high_bound)
        )


def _gershgorin(rows: list[list[Any]]) -> tuple[Any, Any]:
    """Balls at or below every eigenvalue's disc, and at or above."""
    low = high = None
    for i, row in enumerate(rows):
        reach = sum((abs(v) for j, v in enumerate(row) if j != i), row[i] * 0)
        below, above = (row[i] - reach).lower(), (row[i] + reach).upper()
        low = below if low is None or below < low else low
        high = above if high is None or above > high else high
    return low, high


def _least(flint: Any, balls: list[Any]) -> Any:
    """The smallest of the lower ends."""
    found = balls[0].lower()
    for ball in balls[1:]:
        below = ball.lower()
        found = below if below < found else found
    return found


def _by_cholesky(a: np.ndarray, sign: int) -> Interval:
    """λ_min for `sign` 1, λ_max for −1."""
    at = 0 if sign > 0 else len(a) - 1
    _, vector = scipy.linalg.eigh(a, subset_by_index=(at, at), check_finite=False, driver="evr")
    v = Enclosure.exact(vector[:, 0])
    found = quotient(v @ (Enclosure.exact(a) @ v), v @ v)
    if sign > 0:
        bound = _below(a, found.upper)
        return Interval(bound, max(found.upper, bound))
    bound = -_below(-a, -found.lower)
    return Interval(min(found.lower, bound), bound)


def quotient(top: Enclosure, bottom: Enclosure) -> Interval:
    """The quotient of two enclosed scalars."""
    with precision(PRECISION) as flint:
        return Interval.of(flint.arb(float(top.mid), float(top.rad)) / flint.arb(float(bottom.mid), float(bottom.rad)))


def _below(a: np.ndarray, guess: float) -> float:
    """A lower bound of λ_min(a), near `guess`: the largest shift of a geometric row at which Cholesky runs to its end."""
    n, diagonal = len(a), np.diag_indices(len(a))
    trace = float(np.abs(a[diagonal]).sum())
    step = 4 * UNIT * (trace + n * abs(guess)) / math.sqrt(n) + TINY
    for _ in range(60):
        shift = guess - step
        b = a.copy()
        b[diagonal] -= shift
        try:
            finished = bool(np.isfinite(np.linalg.cholesky(b)[diagonal]).all())
        except np.linalg.LinAlgError:
            finished = False
        if finished:
            heights = b[diagonal]
            alpha = gamma(n + 2) * (1 + 2 * gamma(n + 2))
            off = alpha * float(grow(heights.sum(), n)) + UNIT * float(np.abs(heights).max())
            off += 4 * n * (2 * n + float(heights.max())) * TINY
            return math.nextafter(shift - float(grow(np.asarray(off), 4)), -math.inf)
        step *= 4
    raise UnboundedError("no shift makes the matrix positive definite in floating point: rescale the data")


def _exactly(flint: Any, a: np.ndarray) -> Any:
    return flint.arb_mat(*a.shape, a.ravel().tolist())

r"""Ball matrices of Arb for the checker, and the eigenvalue bounds that it proves its own way.

Nothing here is shared with the maker: products are exact-order-free in Arb at `BITS` bits; a claim λ_min(A) ≥ s is shown by a
factorisation and its residual, not by an a-priori bound. If L is any matrix of doubles and ‖(A − s′I) − LLᵀ‖ ≤ s′ − s then
λ_min(A) ≥ s, since LLᵀ is positive semidefinite. Small matrices (and those where that is not sharp enough) are factored as LDLᵀ
in balls: all pivots positive proves it (Sylvester's law of inertia).

A product of more than `LIMIT` multiplications would take Arb minutes. It is done in double precision without rounding: the
operands are cut into slices of so few bits that sums of products of two slices are exact doubles (Ozaki, Ogita, Oishi and Rump,
Numerical Algorithms 59, 2012); what is left out is bounded by Cauchy-Schwarz, and the report says so.
"""

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import scipy.linalg

BITS = 192
LIMIT = 2 * 10**10
SMALL = 64
LARGEST_LDL = 320
SLICES = 4


class Balls:
    """Ball arithmetic with the module `flint`; `used_doubles` tells whether a product was too large for it."""

    def __init__(self, flint: Any):
        self.flint = flint
        self.arb = flint.arb
        self.used_doubles = False

    def exact(self, a: np.ndarray) -> Any:
        """A matrix of doubles; a vector becomes a column."""
        a = np.asarray(a, np.float64)
        a = a[:, None] if a.ndim == 1 else a
        return self.flint.arb_mat(*a.shape, a.ravel().tolist())

    def of(self, rows: int, columns: int, entries: list[Any]) -> Any:
        """A matrix from its entries, row by row."""
        return self.flint.arb_mat(rows, columns, entries)

    def map(self, f: Callable[..., Any], *matrices: Any) -> Any:
        """f entry by entry."""
        first = matrices[0]
        entries = [f(*e) for e in zip(*(m.entries() for m in matrices), strict=True)]
        return self.of(first.nrows(), first.ncols(), entries)

    def hadamard(self, a: Any, b: Any) -> Any:
        """A∘B."""
        return self.map(lambda u, v: u * v, a, b)

    def scale_columns(self, a: Any, factors: list[Any]) -> Any:
        """A diag(factors)."""
        return self.of(a.nrows(), a.ncols(), [v * f for row in a.tolist() for v, f in zip(row, factors, strict=True)])

    def product(self, a: Any, b: Any) -> Any:
        """AB; beyond `LIMIT` multiplications in double precision with its error bound."""
        if a.nrows() * a.ncols() * b.ncols() <= LIMIT:
            return a * b
        self.used_doubles = True
        (x, dx), (y, dy) = self.doubles(a), self.doubles(b)
        left, right = _slices(x), [part.T for part in _slices(y.T)]
        # Slices are exact, and so are the products of two that are kept: what is left out is bounded by its norms.
        *left, x_rest = left
        *right, y_rest = right
        kept, error = [], np.zeros((len(x), y.shape[1]))
        for i, part in enumerate(left):
            for j, other in enumerate(right):
                if i + j < SLICES:
                    kept.append(part @ other)
                else:
                    error += np.outer(_norms(part, 1), _norms(other, 0))
        error += np.outer(_norms(x_rest, 1) + _norms(dx, 1), _norms(y, 0) + _norms(dy, 0))
        error += np.outer(_norms(x, 1), _norms(y_rest, 0) + _norms(dy, 0))
        error = error * (1 + 2.0**-40) + 2.0**-1000
        if not (np.isfinite(error).all() and all(np.isfinite(part).all() for part in kept)):
            raise ValueError("verify: a product left the range of double precision")
        total = self.of(a.nrows(), b.ncols(), [self.arb(0, e) for e in error.ravel().tolist()])
        for part in kept:
            total = total + self.exact(part)
        return total

    def doubles(self, a: Any) -> tuple[np.ndarray, np.ndarray]:
        """Midpoints as doubles, and radii that cover the balls from there."""
        entries = a.entries()
        middle = self.middles(a)
        off = [float((e - m).abs_upper()) for e, m in zip(entries, middle.ravel().tolist(), strict=True)]
        return middle, np.nextafter(np.nextafter(np.array(off), np.inf), np.inf).reshape(middle.shape)

    def middles(self, a: Any) -> np.ndarray:
        """Midpoints as doubles."""
        return np.array([float(e.mid()) for e in a.entries()]).reshape(a.nrows(), a.ncols())

    def squares(self, entries: Any) -> Any:
        """Σ v²."""
        return sum((v * v for v in entries), self.arb(0))

    def norm(self, entries: Any) -> Any:
        """(Σ v²)^{1/2}."""
        return self.squares(entries).nonnegative_part().sqrt()

    def row_norms(self, a: Any) -> list[Any]:
        """Euclidean norms of the rows."""
        return [self.norm(row) for row in a.tolist()]

    def largest(self, values: list[Any]) -> Any:
        """A ball around the largest of non-negative numbers."""
        found = values[0]
        for v in values[1:]:
            found = found.max(v)
        return found

    def shifted(self, a: Any, shift: Any, sign: int = 1) -> Any:
        """sign·A − shift·I."""
        found = sign * a
        for i in range(a.nrows()):
            found[i, i] = found[i, i] - shift
        return found

    def eigenvalues_at_least(self, a: Any, bound: Any, sign: int = 1) -> bool:
        """Whether every eigenvalue of sign·A is proven to be at least `bound`; A symmetric, its lower triangle counts."""
        n = a.nrows()
        claimed = self.shifted(a, self.arb(bound), sign)
        if n <= SMALL:
            return self._positive_pivots(claimed)
        claimed = claimed * self._near_one(claimed)
        guess = self.middles(claimed)
        guess = np.tril(guess) + np.tril(guess, -1).T
        if not np.isfinite(guess).all():
            return False
        least = float(scipy.linalg.eigvalsh(guess, check_finite=False)[0])
        for share in (0.5, 0.9, 0.99):
            extra = share * least
            if not extra > 0:
                break
            shifted = guess - extra * np.eye(n)
            try:
                factor = np.linalg.cholesky(shifted)
            except np.linalg.LinAlgError:
                continue
            low = self.exact(factor)
            residual = self.shifted(claimed, self.arb(extra)) - self.product(low, low.transpose())
            # The largest row sum of the symmetric completion of the lower triangle bounds its norm.
            sums = [self.arb(0)] * n
            for i, row in enumerate(residual.tolist()):
                for j in range(i + 1):
                    size = row[j].abs_upper()
                    sums[i] += size
                    if j < i:
                        sums[j] += size
            if all(s <= self.arb(extra) for s in sums):
                return True
        return n <= LARGEST_LDL and self._positive_pivots(claimed)

    def rayleigh(self, a: Any, *, largest: bool) -> Any:
        """The quotient vᵀAv/vᵀv of an approximate extreme eigenvector: λ_min is at most it, λ_max at least."""
        n = a.nrows()
        guess = self.middles(a * self._near_one(a))
        guess = np.tril(guess) + np.tril(guess, -1).T
        at = n - 1 if largest else 0
        _, vectors = scipy.linalg.eigh(guess, subset_by_index=(at, at), check_finite=False)
        v = self.exact(vectors[:, 0])
        return (v.transpose() * (a * v))[0, 0] / (v.transpose() * v)[0, 0]

    def relative_quotient(self, a: Any, b: Any) -> Any:
        """vᵀAv/vᵀBv of an approximate extreme vector of the pencil: at most its largest eigenvalue."""
        scaled = [a * self._near_one(a), b * self._near_one(b)]
        guesses = [np.tril(m) + np.tril(m, -1).T for m in map(self.middles, scaled)]
        at = a.nrows() - 1
        try:
            vectors = scipy.linalg.eigh(*guesses, subset_by_index=(at, at), check_finite=False)[1]
        except (scipy.linalg.LinAlgError, ValueError):
            return self.arb(0)
        v = self.exact(vectors[:, 0])
        return (v.transpose() * (a * v))[0, 0] / (v.transpose() * (b * v))[0, 0]

    def _near_one(self, a: Any) -> Any:
        """A power of two that brings the diagonal near 1, so that doubles can hold the matrix."""
        top = self.largest([abs(a[i, i]) for i in range(a.nrows())])
        if not (top > 0 and top.is_finite()):
            return self.arb(1)
        return self.arb(2) ** -int(float((top.log() / self.arb(2).log()).mid()))

    def _positive_pivots(self, a: Any) -> bool:
        # The radii enter by their norm (Weyl), not through the elimination, in which they would double at every step.
        off = self.arb(0)
        for row in a.tolist():
            off = off.max(sum((v.rad() for v in row), self.arb(0)))
        rows, n = [[v.mid() for v in row] for row in a.tolist()], a.nrows()
        for i in range(n):
            rows[i][i] -= off.abs_upper()
        lower: list[list[Any]] = []
        pivots: list[Any] = []
        for i in range(n):
            row: list[Any] = []  # row i of LD, then of L
            for j in range(i):
                row.append(rows[i][j] - sum((u * v for u, v in zip(row, lower[j], strict=False)), self.arb(0)))
            scaled = [v / d for v, d in zip(row, pivots, strict=True)]
            pivot = rows[i][i] - sum((u * v for u, v in zip(row, scaled, strict=True)), self.arb(0))
            if not pivot > 0:
                return False
            lower.append(scaled)
            pivots.append(pivot)
        return True


def _slices(x: np.ndarray) -> list[np.ndarray]:
    """Arrays that add up to x, row by row of ever smaller magnitude, with products of length k exact; the last is the rest."""
    k = x.shape[1]
    bits = (52 - math.ceil(math.log2(max(k, 2)))) // 2
    parts, rest = [], x
    for _ in range(SLICES):
        top = np.abs(rest).max(axis=1, initial=0.0, keepdims=True)
        exponent = np.where(top > 0, np.frexp(np.where(top > 0, top, 1.0))[1], -1000)
        anchor = np.ldexp(1.5, np.clip(exponent + 52 - bits, -1000, 1000))
        part = (rest + anchor) - anchor  # rest rounded to a multiple of 2^(exponent − bits)
        parts.append(part)
        rest = rest - part  # exact
    return [*parts, rest]


def _norms(x: np.ndarray, axis: int) -> np.ndarray:
    """Euclidean norms from above, underflow included."""
    return np.sqrt((np.abs(x) ** 2).sum(axis)) * (1 + 2.0**-40) + 2.0**-500

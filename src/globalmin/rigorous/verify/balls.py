r"""Ball matrices of Arb for the checker, and the eigenvalue bounds that it proves its own way.

Nothing here is shared with the maker: products are exact-order-free in Arb at `BITS` bits; a claim λ_min(A) ≥ s is shown by a
factorisation and its residual, not by an a-priori bound. If L is any matrix of doubles and ‖(A − s′I) − LLᵀ‖ ≤ s′ − s then
λ_min(A) ≥ s, since LLᵀ is positive semidefinite. Small matrices (and those where that is not sharp enough) are factored as LDLᵀ
in balls: all pivots positive proves it for every matrix inside (Sylvester's law of inertia).

A product of more than `LIMIT` multiplications would take Arb minutes; it is done in double precision with the error bound
γ_k‖a_i‖‖b_j‖ of its rows and columns (Cauchy-Schwarz), and the report says so.
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
        (x, x_radius), (y, y_radius) = self.doubles(a), self.doubles(b)
        k = x.shape[1]
        # Four roundings for each norm and product of norms beside the k of the sum, and a factor 2 over u k for them all.
        unit = 2.0**-52 * (k + 16)
        x_norm = np.sqrt((np.abs(x) ** 2).sum(1)) * (1 + unit)
        y_norm = np.sqrt((np.abs(y) ** 2).sum(0)) * (1 + unit)
        dx = np.sqrt((x_radius**2).sum(1)) * (1 + unit)
        dy = np.sqrt((y_radius**2).sum(0)) * (1 + unit)
        error = (unit * np.outer(x_norm, y_norm) + np.outer(x_norm, dy) + np.outer(dx, y_norm + dy)) * (1 + unit)
        error += k * 2.0**-1000
        middle = x @ y
        if not (np.isfinite(middle).all() and np.isfinite(error).all()):
            raise ValueError("verify: a product left the range of double precision")
        balls = [self.arb(m, e) for m, e in zip(middle.ravel().tolist(), error.ravel().tolist(), strict=True)]
        return self.of(*middle.shape, balls)

    def doubles(self, a: Any) -> tuple[np.ndarray, np.ndarray]:
        """Midpoints as doubles, and radii that cover the balls from there."""
        entries = a.entries()
        middle = np.array([float(e.mid()) for e in entries])
        radius = np.array(
            [
                math.nextafter(float((e - m).abs_upper()), math.inf)
                for e, m in zip(entries, middle.tolist(), strict=True)
            ]
        )
        return middle.reshape(a.nrows(), a.ncols()), np.nextafter(radius, math.inf).reshape(a.nrows(), a.ncols())

    def middles(self, a: Any) -> np.ndarray:
        """Midpoints as doubles, for guesses only."""
        return np.array([float(e.mid()) for e in a.entries()]).reshape(a.nrows(), a.ncols())

    def squares(self, entries: Any) -> Any:
        """Σ v²."""
        return sum((v * v for v in entries), self.arb(0))

    def norm(self, entries: Any) -> Any:
        """(Σ v²)^{1/2}."""
        return self.squares(entries).sqrt()

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

    def eigenvalues_at_least(self, a: Any, bound: float, sign: int = 1) -> bool:
        """Whether every eigenvalue of sign·A is proven to be at least `bound`; A symmetric, its lower triangle counts."""
        n = a.nrows()
        claimed = self.shifted(a, self.arb(bound), sign)
        if n <= SMALL:
            return self._positive_pivots(claimed)
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
        guess = self.middles(a)
        guess = np.tril(guess) + np.tril(guess, -1).T
        at = n - 1 if largest else 0
        _, vectors = scipy.linalg.eigh(guess, subset_by_index=(at, at), check_finite=False)
        v = self.exact(vectors[:, 0])
        return (v.transpose() * (a * v))[0, 0] / (v.transpose() * v)[0, 0]

    def _positive_pivots(self, a: Any) -> bool:
        rows = a.tolist()
        n = len(rows)
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

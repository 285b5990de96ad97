"""Extreme eigenvalues and operator norms with their error bounds, in float64 through LAPACK (SciPy).

Dense spectra go through SciPy and not through `jnp.linalg.eigvalsh`, which on the CPU costs a full `eigh`.
"""

import dataclasses

import numpy as np
import scipy.linalg
import scipy.sparse.linalg
from jaxtyping import Array, Float

from .numerics import EPS, require_float64

DENSE_LIMIT = 2048
"""Up to this size an operator norm comes from a dense solver; beyond, from Lanczos with a margin of 1e-3."""


@dataclasses.dataclass(frozen=True)
class Estimate:
    """A computed number and a bound on its distance from the true one."""

    value: float
    error: float = 0.0

    @property
    def lower(self) -> float:
        """The smallest number that the true value can be."""
        return self.value - self.error

    @property
    def upper(self) -> float:
        """The largest number that the true value can be."""
        return self.value + self.error

    def __str__(self) -> str:
        return f"{self.value:.6g} ± {self.error:.1e}"

    def sqrt(self) -> "Estimate":
        """The square root; where the lower end is not positive, its interval starts at 0."""
        low, high = np.sqrt(max(self.lower, 0.0)), np.sqrt(max(self.upper, 0.0))
        middle = np.sqrt(max(self.value, 0.0))
        return Estimate(float(middle), float(max(middle - low, high - middle)))


def eigenvalues(
    matrix: Float[Array | np.ndarray, "n n"], *, entry_error: float = 0.0
) -> tuple[Float[np.ndarray, " n"], float]:
    """Ascending eigenvalues of a symmetric matrix, and one error bound that serves them all.

    **Arguments:** `matrix`, float64, its lower triangle is read; `entry_error`, a bound on the absolute error of the
    entries, which moves an eigenvalue by at most n · entry_error (Weyl).

    **Returns:** the eigenvalues and n · (eps ‖A‖ + entry_error). LAPACK's routine is backward stable with a bound
    p(n) eps ‖A‖; p(n) = n is the customary reading of its "modestly growing" p.

    **Raises:** `ValueError` for a matrix that is not square, not float64 or not finite.
    """
    a = _symmetric(matrix)
    values = scipy.linalg.eigvalsh(a, check_finite=False, driver="evr")
    norm = max(abs(values[0]), abs(values[-1]))
    return values, len(a) * (EPS * norm + entry_error)


def lambda_min(matrix: Float[Array | np.ndarray, "n n"], *, entry_error: float = 0.0) -> Estimate:
    """Smallest eigenvalue of a symmetric matrix with its error bound (see `eigenvalues`)."""
    values, error = eigenvalues(matrix, entry_error=entry_error)
    return Estimate(float(values[0]), error)


def lambda_max(matrix: Float[Array | np.ndarray, "n n"], *, entry_error: float = 0.0) -> Estimate:
    """Largest eigenvalue of a symmetric matrix with its error bound (see `eigenvalues`, `DENSE_LIMIT`)."""
    a = _symmetric(matrix)
    n = len(a)
    if n > DENSE_LIMIT:
        return _lanczos_top(a)
    top = float(scipy.linalg.eigvalsh(a, subset_by_index=(n - 1, n - 1), check_finite=False, driver="evr")[0])
    # The spectral norm is at most the Frobenius norm: an upper bound that costs one pass.
    return Estimate(top, n * (EPS * float(np.linalg.norm(a)) + entry_error))


def spectral_norm(matrix: Float[Array | np.ndarray, "m n"], *, dense_limit: int = DENSE_LIMIT) -> Estimate:
    """Operator norm ‖A‖ of any matrix with its error bound.

    Up to `dense_limit` (of the smaller side) from the Gram matrix of the smaller side, whose square root halves the
    relative error; beyond, from Lanczos, with a margin of 1e-3 of the value in place of a proven bound.
    """
    a = np.asarray(matrix)
    require_float64("matrix", a)
    if not np.isfinite(a).all():
        raise ValueError("matrix: finite entries expected, NaN or infinity came")
    small = a if a.shape[0] <= a.shape[1] else a.T
    if small.shape[0] > dense_limit:
        squares = scipy.sparse.linalg.aslinearoperator(small) @ scipy.sparse.linalg.aslinearoperator(small.T)
        return _lanczos_top(squares).sqrt()
    gram = small @ small.T
    # Rounding of the product: |error| <= gamma_n |A||A|^T entrywise, at most n eps ‖A‖_F^2 in norm.
    product_error = small.shape[1] * EPS * float(np.linalg.norm(small)) ** 2
    top = lambda_max(gram)
    return Estimate(top.value, top.error + product_error).sqrt()


def lambda_max_symmetric_part(matrix: Float[Array | np.ndarray, "m m"]) -> Estimate:
    """λ_max((A + Aᵀ)/2): the one-sided Lipschitz constant that decides whether an equilibrium is well posed."""
    a = np.asarray(matrix)
    require_float64("matrix", a)
    return lambda_max((a + a.T) / 2)


def _symmetric(matrix: Array | np.ndarray) -> np.ndarray:
    a = np.asarray(matrix)
    require_float64("matrix", a)
    if a.ndim != 2 or a.shape[0] != a.shape[1] or a.shape[0] == 0:
        raise ValueError(f"matrix: a square symmetric matrix expected, shape {a.shape} came")
    if not np.isfinite(a).all():
        raise ValueError("matrix: finite entries expected, NaN or infinity came")
    return a


def _lanczos_top(a) -> Estimate:
    size = a.shape[0]
    top = scipy.sparse.linalg.eigsh(
        a,
        k=1,
        which="LA",
        return_eigenvectors=False,
        v0=np.ones(size),
        tol=1e-6,  # pyright: ignore[reportArgumentType]
    )
    return Estimate(float(np.asarray(top)[0]), 1e-3 * abs(float(np.asarray(top)[0])))

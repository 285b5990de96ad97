"""A matrix as far as factorisation needs it: products with tall thin matrices, its norm, and its leading singular triples."""

from abc import abstractmethod

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import scipy.sparse
import scipy.sparse.linalg
from jaxtyping import Array, Float

from .._core import numerics

DENSE_SVD = 1000
"""Up to this smaller side singular triples come from a dense SVD."""


class AbstractMatrix(eqx.Module):
    """M with its products. `norm` is ‖M‖_F."""

    shape: eqx.AbstractVar[tuple[int, int]]
    norm: eqx.AbstractVar[float]

    @abstractmethod
    def times(self, v: Float[Array, "d2 r"]) -> Float[Array, "d1 r"]:
        """M V."""

    @abstractmethod
    def transposed_times(self, u: Float[Array, "d1 r"]) -> Float[Array, "d2 r"]:
        """Mᵀ U."""

    @abstractmethod
    def leading(self, count: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Left vectors (d1 x count), singular values (descending) and right vectors (d2 x count)."""


class DenseMatrix(AbstractMatrix):
    """An array. **Raises:** `ValueError` for what is no float64 matrix of finite numbers, or is zero."""

    entries: Float[Array, "d1 d2"]
    shape: tuple[int, int]
    norm: float

    def __init__(self, entries: Float[Array | np.ndarray, "d1 d2"]):
        if entries.ndim != 2 or 0 in entries.shape:
            raise ValueError(f"matrix: two dimensions expected, an array of shape {entries.shape} came")
        numerics.require_float64("matrix", entries)
        self.entries = jnp.asarray(entries)
        self.shape = (int(entries.shape[0]), int(entries.shape[1]))
        self.norm = checked_norm(float(np.linalg.norm(np.asarray(entries))))

    def times(self, v: Float[Array, "d2 r"]) -> Float[Array, "d1 r"]:
        """M V."""
        return self.entries @ v

    def transposed_times(self, u: Float[Array, "d1 r"]) -> Float[Array, "d2 r"]:
        """Mᵀ U."""
        return self.entries.T @ u

    def leading(self, count: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Dense up to `DENSE_SVD`, Lanczos beyond."""
        return _leading(np.asarray(self.entries), self.shape, count)


class OperatorMatrix(AbstractMatrix):
    """Anything that SciPy can multiply by: a sparse matrix, or a `LinearOperator` with its Frobenius norm.

    Nothing of the size d1 x d2 is ever made: a step costs two products and O((d1 + d2) r²), in memory linear in d1 + d2 and in
    the operator's own. The products run on the host, in NumPy.

    **Raises:** `ValueError` without a norm for a `LinearOperator`, and for a norm that is zero or not finite.
    """

    operator: scipy.sparse.linalg.LinearOperator = eqx.field(static=True)
    shape: tuple[int, int]
    norm: float

    def __init__(self, operator, norm: float | None = None):
        if scipy.sparse.issparse(operator):
            norm = float(scipy.sparse.linalg.norm(operator))
        if norm is None:
            raise ValueError(
                "norm: ‖M‖_F expected beside a LinearOperator, none came; for A Bᵀ it is tr(AᵀA BᵀB)^(1/2)"
            )
        self.operator = scipy.sparse.linalg.aslinearoperator(operator)
        self.shape = (int(operator.shape[0]), int(operator.shape[1]))
        self.norm = checked_norm(norm)

    def times(self, v: Float[Array, "d2 r"]) -> Float[Array, "d1 r"]:
        """M V."""
        shape = jax.ShapeDtypeStruct((self.shape[0], v.shape[1]), v.dtype)
        return jax.pure_callback(lambda a: np.asarray(self.operator.matmat(np.asarray(a)), v.dtype), shape, v)

    def transposed_times(self, u: Float[Array, "d1 r"]) -> Float[Array, "d2 r"]:
        """Mᵀ U."""
        shape = jax.ShapeDtypeStruct((self.shape[1], u.shape[1]), u.dtype)
        return jax.pure_callback(lambda a: np.asarray(self.operator.rmatmat(np.asarray(a)), u.dtype), shape, u)

    def leading(self, count: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Lanczos; dense where M is small."""
        return _leading(self.operator, self.shape, count)


def low_rank(left: Float[np.ndarray, "d1 r"], right: Float[np.ndarray, "d2 r"]) -> OperatorMatrix:
    """A Bᵀ as an operator, never formed."""
    square = float(np.sum((left.T @ left) * (right.T @ right)))
    operator = scipy.sparse.linalg.aslinearoperator(left) @ scipy.sparse.linalg.aslinearoperator(right.T)
    return OperatorMatrix(operator, square**0.5)


def checked_norm(norm: float) -> float:
    """‖M‖_F, or `ValueError` where M is zero or has entries that are not finite."""
    if not np.isfinite(norm):
        raise ValueError("matrix: finite entries expected, NaN or infinity came")
    if norm == 0:
        raise ValueError("matrix: one that is not zero expected, all entries are 0; there is nothing to factorise")
    return norm


def _leading(matrix, shape: tuple[int, int], count: int):
    if min(shape) <= DENSE_SVD:
        dense = matrix if isinstance(matrix, np.ndarray) else matrix @ np.eye(shape[1])
        u, s, vt = np.linalg.svd(dense, full_matrices=False)
        return u[:, :count], s[:count], vt[:count].T
    start = np.ones(min(shape))  # the same vectors in every run
    found = scipy.sparse.linalg.svds(matrix, k=count, v0=start)
    u, s, vt = (np.asarray(part) for part in found)
    order = np.argsort(s)[::-1]
    return u[:, order], s[order], vt[order].T

"""A factorisation run: of a drawn low-rank matrix, or of a dense or sparse one from a file."""

import math
from pathlib import Path
from typing import ClassVar

import numpy as np
import pydantic
import scipy.sparse

from ... import report, train
from ...objectives import AbstractMatrix, DenseMatrix, Factorization, OperatorMatrix
from ...systems import FactorizationSystem
from .base import AbstractObjectiveConfig


class FactorizationConfig(AbstractObjectiveConfig):
    """One factorisation."""

    name: ClassVar[str] = "factorization"

    rank: pydantic.PositiveInt
    """r, the columns of U and V. With rank 1 the theorems about rank one are judged too."""
    epochs: pydantic.PositiveInt = 2000
    """Steps of descent at most."""
    matrix: Path | None = None
    """A .npz with a dense matrix M, or a sparse one as scipy.sparse.save_npz writes it. Default: a drawn one."""
    rows: pydantic.PositiveInt = 60
    """Rows of the drawn matrix, a product of two Gaussian ones of `true_rank` columns, of Frobenius norm 1."""
    columns: pydantic.PositiveInt = 40
    """Its columns."""
    true_rank: pydantic.PositiveInt | None = None
    """Its rank. Default: `rank`."""
    exponent: float = pydantic.Field(default=0.0, ge=0, le=1)
    """Steps eta_t = eta_0 (t + 1)^(-exponent). 0: constant; 1: those of the source; 0.51 to 1: Theorem 4.4 applies."""
    epsilon: pydantic.PositiveFloat | None = None
    """The accuracy of Theorem 4.4, below the norm of M. Default: half of it."""
    c_init: pydantic.PositiveFloat | None = None
    """Standard deviation of the start over (sigma_1 / d)^(1/2). Default: 0.01 for rank 1; else variance epsilon / (8 d r)."""
    regularized: bool = False
    """Add 1/8 |U'U - V'V|^2, the objective that earlier work needed."""
    accuracy: pydantic.NonNegativeFloat = 0.0
    """End where |UV' - M| is below this times |M|; 0: never."""

    def arrays(self) -> dict[str, np.ndarray]:
        """M, dense as `matrix` or sparse as its CSR parts. **Raises:** `ValueError` for a file that holds neither."""
        if self.matrix is None:
            draw = np.random.default_rng(self.seed)
            rank, small = self.true_rank or self.rank, min(self.rows, self.columns)
            for name, value in (("rank", self.rank), ("true_rank", rank)):
                if value > small:
                    raise ValueError(f"{name}: at most {small} expected, the smaller side of M, {value} came")
            product = draw.normal(size=(self.rows, rank)) @ draw.normal(size=(rank, self.columns))
            return {"matrix": product / np.linalg.norm(product)}
        found = report.read_arrays(self.matrix)
        if "indptr" in found:
            sparse = scipy.sparse.csr_array(_real(self.matrix, scipy.sparse.load_npz(self.matrix)), dtype=np.float64)
            parts = {"data": sparse.data, "indices": sparse.indices, "indptr": sparse.indptr}
            return {**parts, "shape": np.asarray(sparse.shape)}
        if "M" not in found:
            raise ValueError(
                f"{self.matrix}: a matrix named M expected, or a sparse one, {', '.join(found) or 'nothing'} came"
            )
        return {"matrix": np.asarray(_real(self.matrix, found["M"]), np.float64)}

    def build(self, arrays: dict[str, np.ndarray]) -> FactorizationSystem:
        """The objective. **Raises:** `ValueError` for a zero or non-finite M, a rank above its sides, an ε above its norm."""
        m: AbstractMatrix
        if "indptr" in arrays:
            parts = (arrays["data"], arrays["indices"], arrays["indptr"])
            m = OperatorMatrix(scipy.sparse.csr_array(parts, shape=tuple(int(n) for n in arrays["shape"])))
        else:
            m = DenseMatrix(arrays["matrix"])
        epsilon = self.epsilon or m.norm / 2
        if self.rank > min(m.shape):
            raise ValueError(f"rank: at most {min(m.shape)} expected, the smaller side of M, {self.rank} came")
        if not epsilon < m.norm:
            raise ValueError(f"epsilon: less than ‖M‖_F = {m.norm:.4g} expected, {epsilon} came")
        d = max(m.shape)
        if self.c_init is None and self.rank > 1:
            scale = math.sqrt(epsilon / (8 * d * self.rank))
        else:
            scale = (self.c_init or 0.01) * math.sqrt(float(m.leading(1)[1][0]) / d)
        objective = Factorization(m, self.rank, scale, regularized=self.regularized, accuracy=self.accuracy)
        return FactorizationSystem(objective, epsilon)

    def method(self, system, point) -> train.AbstractMethod:
        """Descent with steps of that exponent."""
        return train.DecreasingSteps(self.exponent)


def _real(path: Path, matrix):
    # A conversion would drop imaginary parts, and fail on text with a message that names no file.
    if matrix.dtype.kind not in "biuf":
        raise ValueError(f"{path}: M of real numbers expected, entries of type {matrix.dtype} came")
    return matrix

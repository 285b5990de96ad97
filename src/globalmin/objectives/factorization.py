"""Asymmetric matrix factorisation, ½‖UVᵀ − M‖_F², with what its proofs watch: balance, alignment, stages."""

import math
from collections.abc import Mapping

import equinox as eqx
import jax
import jax.flatten_util
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, PRNGKeyArray

from .._core import RESULTS, numerics
from .base import AbstractObjective, Evaluation
from .matrices import AbstractMatrix, DenseMatrix

HESSIAN_LIMIT = 200
"""Up to so many parameters the Hessian's smallest eigenvalue is among the quantities of a look."""


class Factorization(AbstractObjective):
    r"""$f(U, V) = ½‖UV^⊤ − M‖_F^2$, with $⅛‖U^⊤U − V^⊤V‖_F^2$ added if `regularized`. A point is {"u": d1 x r, "v": d2 x r}.

    `scale` is the standard deviation of the entries of a drawn start. A run ends at ‖UVᵀ − M‖_F ≤ `accuracy` ‖M‖_F.
    `left`, `sigma` and `right` are M's leading r singular triples, `rest` its σ_{r+1} (0 if there is none).

    With an operator, f comes from ⟨UᵀU, VᵀV⟩ − 2⟨U, MV⟩ + ‖M‖²: an absolute error of some eps ‖M‖_F².

    **Raises:** `ValueError` for a rank above that of M's smaller side, or a scale or accuracy out of range.

    **Source:** Du, Hu, Lee, NeurIPS 2018; Du's thesis, (4.1) and (4.3).
    """

    matrix: AbstractMatrix
    rank: int
    scale: float
    left: Float[Array, "d1 r"]
    sigma: Float[Array, " r"]
    right: Float[Array, "d2 r"]
    rest: float
    regularized: bool
    accuracy: float

    def __init__(
        self, matrix: AbstractMatrix, rank: int, scale: float, *, regularized: bool = False, accuracy: float = 0.0
    ):
        small = min(matrix.shape)
        numerics.check_count("rank", rank)
        if rank > small:
            raise ValueError(f"rank: at most {small} expected, the smaller side of M, {rank} came")
        if not 0 < scale < math.inf:
            raise ValueError(f"scale: a positive standard deviation expected, {scale} came")
        if not 0 <= accuracy < 1:
            raise ValueError(f"accuracy: a relative error in [0, 1) expected, {accuracy} came")
        u, s, v = matrix.leading(min(rank + 1, small))
        self.matrix, self.rank, self.scale = matrix, rank, float(scale)
        self.left, self.sigma, self.right = jnp.asarray(u[:, :rank]), jnp.asarray(s[:rank]), jnp.asarray(v[:, :rank])
        self.rest = float(s[rank]) if len(s) > rank else 0.0
        self.regularized, self.accuracy = regularized, float(accuracy)

    @property
    def larger_side(self) -> int:
        """d = max(d1, d2)."""
        return max(self.matrix.shape)

    def init(self, *, key: PRNGKeyArray) -> dict[str, Float[Array, "d r"]]:
        """Entries of U and V independent N(0, scale²)."""
        keys = jax.random.split(key)
        return {
            name: self.scale * jax.random.normal(k, (d, self.rank), jnp.float64)
            for name, k, d in zip(("u", "v"), keys, self.matrix.shape, strict=True)
        }

    def value(self, point: dict[str, Array]) -> Float[Array, ""]:
        """f(U, V)."""
        return self._both(point)[0]

    def gradient(self, point: dict[str, Array]) -> dict[str, Array]:
        """RV and RᵀU with R = UVᵀ − M, and the regulariser's."""
        return self._both(point)[1]

    def step(self, point, state, epoch) -> Evaluation:
        """Value and gradient from the same products."""
        loss, gradient = self._both(point)
        info = self.measure(point, loss, gradient)
        return Evaluation(loss, gradient, state, info, RESULTS.successful)  # pyright: ignore[reportArgumentType]

    def _both(self, point):
        u, v = point["u"], point["v"]
        gram_u, gram_v = u.T @ u, v.T @ v
        if isinstance(self.matrix, DenseMatrix):
            r = u @ v.T - self.matrix.entries
            loss, gradient = jnp.sum(r * r) / 2, {"u": r @ v, "v": r.T @ u}
        else:
            mv, mu = self.matrix.times(v), self.matrix.transposed_times(u)
            square = jnp.sum(gram_u * gram_v) - 2 * jnp.sum(u * mv) + self.matrix.norm**2
            # Rounding can leave a negative square near a minimum.
            loss, gradient = jnp.maximum(square, 0.0) / 2, {"u": u @ gram_v - mv, "v": v @ gram_u - mu}
        if self.regularized:
            b = gram_u - gram_v
            loss = loss + jnp.sum(b * b) / 8
            gradient = {"u": gradient["u"] + u @ b / 2, "v": gradient["v"] - v @ b / 2}
        return loss, gradient

    def measure(self, point, loss, gradient) -> dict[str, Float[Array, ""]]:
        """Balance, its drift, norms, alignments; for rank 1 the coordinates of the reduced dynamics."""
        u, v = point["u"], point["v"]
        found = {
            "balance": jnp.linalg.norm(balance(point)),
            "drift": jnp.linalg.norm(balance(gradient)),
            "drift_trace": jnp.trace(balance(gradient)),
            "square_u": jnp.sum(u * u),
            "square_v": jnp.sum(v * v),
            "alignment_u": jnp.linalg.norm(self.left.T @ u) / jnp.linalg.norm(u),
            "alignment_v": jnp.linalg.norm(self.right.T @ v) / jnp.linalg.norm(v),
        }
        return found | self.reduced(point) if self.rank == 1 else found

    def reduced(self, point) -> dict[str, Float[Array, ""]]:
        """α = u·u*, β = v·v*, what is orthogonal to them, h = αβ − σ₁ and ξ = α_⊥² + β_⊥², for rank 1."""
        u, v, a, b = point["u"][:, 0], point["v"][:, 0], self.left[:, 0], self.right[:, 0]
        alpha, beta = u @ a, v @ b
        across_u, across_v = jnp.linalg.norm(u - alpha * a), jnp.linalg.norm(v - beta * b)
        return {
            "alpha": alpha, "beta": beta, "alpha_across": across_u, "beta_across": across_v,
            "h": alpha * beta - self.sigma[0], "xi": across_u**2 + across_v**2,
        }  # fmt: skip

    def derive(self, steps: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        """The bound of the balance, the exact identity of its trace, one-step descent, and the stages of rank 1."""
        eta, loss = steps["step_size"], steps["loss"]

        def so_far(terms):
            return np.concatenate([[0.0], np.cumsum(terms)[:-1]])

        slack = np.append(loss[:-1] - eta[:-1] / 2 * steps["gradient_norm"][:-1] ** 2 - loss[1:], np.nan)
        found = {
            "norm_ratio": np.sqrt(steps["square_u"] / steps["square_v"]),
            # What rounding leaves of a difference of two losses is not a failure to descend.
            "descent_slack": np.where(
                slack > -32 * numerics.EPS * (loss + self.matrix.norm**2), np.maximum(slack, 0), slack
            ),
        }
        if not self.regularized:
            found["balance_bound"] = steps["balance"][0] + so_far(eta**2 * steps["drift"])
            trace = steps["square_u"] - steps["square_v"]
            found["identity_error"] = np.abs(trace - trace[0] - so_far(eta**2 * steps["drift_trace"]))
        return found | self._stages(steps) if self.rank == 1 else found

    def _stages(self, steps) -> dict[str, np.ndarray]:
        """Series that are NaN outside their stage; stage 1 ends at T₁, the first t with α² + β² ≥ σ₁/2."""
        sigma, a, b = float(self.sigma[0]), steps["alpha"], steps["beta"]
        over = a**2 + b**2 >= sigma / 2
        first = np.cumsum(over) == 0
        total = a + b
        with np.errstate(divide="ignore", invalid="ignore"):
            growth = np.append(total[1:] / total[:-1], np.nan)
            ratio = np.abs(a / b)
        return {
            "ratio": ratio,
            "stage_one": first * 1.0,
            "growth": np.where(first, growth, np.nan),
            "xi_one": np.where(first, steps["xi"] / steps["xi"][0], np.nan),
            "ratio_one": np.where(first, np.maximum(ratio, 1 / ratio), np.nan),
            "size_one": np.where(first, steps["square_u"] + steps["square_v"], np.nan),
            "h_two": np.where(first, np.nan, steps["h"] - 4 * numerics.EPS * sigma),
        }

    def watch(self, point, first) -> dict[str, float]:
        """‖UVᵀ − M‖_F/‖M‖_F, ‖UᵀU − VᵀV‖_F, and λ_min of the Hessian where that is cheap."""
        loss, b = float(self.value(point)), float(jnp.linalg.norm(balance(point)))
        square = 2 * loss - b**2 / 4 if self.regularized else 2 * loss
        found = {"relative_error": math.sqrt(max(square, 0.0)) / self.matrix.norm, "balance": b}
        if isinstance(self.matrix, DenseMatrix) and point["u"].size + point["v"].size <= HESSIAN_LIMIT:
            found["hessian_min"] = float(jnp.linalg.eigvalsh(_hessian(self, point))[0])
        return found

    def reached(self, point) -> Bool[Array, ""]:
        """‖UVᵀ − M‖_F ≤ accuracy ‖M‖_F; never for accuracy 0."""
        if self.accuracy == 0:
            return jnp.asarray(False)
        return 2 * self._both(point)[0] <= (self.accuracy * self.matrix.norm) ** 2


def balance(point: dict[str, Array]) -> Float[Array, "r r"]:
    """UᵀU − VᵀV: constant under gradient flow. A step η adds exactly η²(G_uᵀG_u − G_vᵀG_v), G the gradients."""
    return point["u"].T @ point["u"] - point["v"].T @ point["v"]


@eqx.filter_jit
def _hessian(objective, point):
    flat, restore = jax.flatten_util.ravel_pytree(point)
    return jax.jacfwd(lambda x: jax.flatten_util.ravel_pytree(objective.gradient(restore(x)))[0])(flat)

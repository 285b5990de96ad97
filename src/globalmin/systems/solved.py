"""An iterate of a network with an equilibrium inside: solved once, and judged with the error that the solve leaves."""

from functools import cached_property
from typing import Generic, TypeVar

import equinox as eqx
import jax.numpy as jnp
import numpy as np

from .._core import RESULTS, Estimate, UnsolvedError, numerics
from ..models import AbstractEquilibriumModel, TangentBlock
from ..theory.curvature import resolvent_bounds
from .iterate import Iterate

TRAINING_TOLERANCE = {"float64": 1e-9, "float32": 1e-6}
"""Relative residual of the solves of a training step: far below any difference that a monitor is read at."""

Model = TypeVar("Model", bound=AbstractEquilibriumModel)


class SolvedIterate(Iterate, Generic[Model]):
    """An iterate of an equilibrium network: one solve of Z and one of R serve outputs, Grams and certificates."""

    model: Model

    @cached_property
    def solved(self) -> tuple[np.ndarray, np.ndarray, float, float]:
        """Z, R and the two relative residuals, at the certificates' tolerance; `UnsolvedError` where a solve failed."""
        z, r = _solve(self.model, self.x, self.state)
        for solve in (z, r):
            if solve.result != RESULTS.successful:
                raise UnsolvedError(f"{RESULTS[solve.result]} (operator norm {self.operator_norm.value:.4g})")
        return np.asarray(z.value), np.asarray(r.value), float(z.residual), float(r.residual)

    @cached_property
    def outputs(self) -> np.ndarray:
        """u, read from Z."""
        return np.asarray(self.model.read(self.x, jnp.asarray(self.solved[0])))

    @cached_property
    def blocks(self) -> dict[str, TangentBlock]:
        """The factored per-sample gradients at Z and R."""
        return self.model.factors(self.x, jnp.asarray(self.solved[0]), jnp.asarray(self.solved[1]))

    @cached_property
    def signs(self) -> np.ndarray:
        """Signs of the pre-activations: for ReLU, the activation patterns."""
        return np.asarray(self.model.preactivations(self.x, jnp.asarray(self.solved[0])) >= 0)

    @cached_property
    def operator_norm(self) -> Estimate:
        """‖M‖, M the matrix that the equilibrium is iterated with."""
        return self.model.operator_norm()

    @cached_property
    def one_sided(self) -> Estimate:
        """μ = λ_max((M + Mᵀ)/2)."""
        return self.model.one_sided_constant()

    @cached_property
    def stacked(self) -> np.ndarray:
        """Rows [z_i; x_i]."""
        return np.hstack([self.solved[0], np.asarray(self.x)])

    @property
    def lost(self) -> str:
        """That what the solves need below 1 is at least 1, with the norm: here exactly, in a training step by one probe."""
        model = self.model
        needed = self.one_sided if model.method == "splitting" else self.operator_norm
        slope = 1.0 if model.method == "splitting" else model.activation.lipschitz or np.inf
        if slope * needed.lower < 1:
            return ""
        return f"{RESULTS[RESULTS.not_contractive]} (operator norm {self.operator_norm.value:.6g})"

    @property
    def solve_error(self) -> float:
        """‖z − z*‖ ≤ N‖F(z) − z‖ with N ≥ ‖(I − DW)^{-1}‖, and the same for the adjoint; relative to the largest rows."""
        z, r, z_residual, r_residual = self.solved
        phi = self.model.activation
        _, resolvent = resolvent_bounds(
            self.operator_norm.upper, self.one_sided.upper, phi.lipschitz or np.inf, phi.slope01
        )
        injected = np.linalg.norm(np.asarray(self.model.shift(self.x)))
        adjoint = np.sqrt(len(z)) * np.linalg.norm(np.asarray(self.model.readout))
        z_share = z_residual * injected / np.linalg.norm(z, axis=1).max()
        r_share = r_residual * adjoint / max(np.linalg.norm(r, axis=1).max(), np.finfo(float).tiny)
        return float(resolvent * (z_share + r_share))


def euclidean(a: np.ndarray) -> Estimate:
    """Euclidean norm of all entries; the sum of squares is off by its length times eps at most."""
    value = float(np.linalg.norm(a))
    return Estimate(value, a.size * numerics.EPS * value)


@eqx.filter_jit
def _solve(model, x, state):
    z = model.equilibrium(x, state)
    return z, model.adjoint(x, z.value, state)

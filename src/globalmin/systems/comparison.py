"""A point near an iterate that fits the data: what the displacement form of the Kantorovich certificate compares with."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import scipy.linalg

from .._core import Estimate, UnsolvedError, numerics
from ..theory.kantorovich import Comparison
from .iterate import Iterate

STEPS = 3  # of Gauss-Newton, which converges quadratically wherever the certificate can hold
FITTED = 1e-3  # of the first residual; what is left enters the certificate as ρ_c


def displacement(iterate: Iterate) -> float:
    """(rᵀ(JJᵀ)⁻¹r)^{1/2}: the shortest move that fits the data if J stayed as it is; infinite without a Cholesky factor."""
    weights = _weights(iterate)
    return np.inf if weights is None else float(np.sqrt(max(iterate.residual @ weights, 0.0)))


def fitted(system, iterate: Iterate) -> tuple[Iterate, Comparison] | None:
    """The iterate that a few Gauss-Newton steps θ − Jᵀ(JJᵀ)⁻¹r lead to, with its distance; `None` if they lead nowhere.

    Any point serves the certificate, so nothing here needs a proof: the constants are taken at the point that was reached.
    """
    current, reached = iterate, None
    for _ in range(STEPS):
        weights = _weights(current)
        if weights is None:
            break
        try:
            following = system.iterate(_moved(current, weights), iterate.x, iterate.y, iterate.state)
            closer = following.rho.value < current.rho.value / 2
        except UnsolvedError:
            break
        if not closer:  # NaN included
            break
        current = reached = following
        if current.rho.value < FITTED * iterate.rho.value:
            break
    if reached is None:
        return None
    return reached, Comparison(_distance(iterate.model, reached.model), reached.rho)


def _weights(iterate: Iterate) -> np.ndarray | None:
    """(JJᵀ)⁻¹ r."""
    try:
        return scipy.linalg.cho_solve(scipy.linalg.cho_factor(iterate.gram), iterate.residual)
    except (scipy.linalg.LinAlgError, ValueError):
        return None


def _moved(iterate: Iterate, weights: np.ndarray):
    state = iterate.model.initial_state(iterate.x) if iterate.state is None else iterate.state
    return _step_back(iterate.model, iterate.x, weights, state)


@eqx.filter_jit
def _step_back(model, x, weights, state):
    """θ − Jᵀ w, from the model's own gradient of ½‖u − (u − w)‖²."""
    gradient = model.step(x, model.outputs(x, state or None) - weights, state).gradient
    return eqx.apply_updates(model, jax.tree.map(jnp.negative, gradient))


def _distance(one, other) -> Estimate:
    ends = [(np.asarray(a), np.asarray(b)) for a, b in zip(*map(_leaves, (one, other)), strict=True)]
    value = float(np.sqrt(sum(float(np.sum((a - b) ** 2)) for a, b in ends)))
    # A difference is rounded by eps of itself, a sum of p squares by p eps.
    return Estimate(value, (sum(a.size for a, _ in ends) + 4) * numerics.EPS * value)


def _leaves(model) -> list:
    return jax.tree.leaves(eqx.filter(model, eqx.is_inexact_array))

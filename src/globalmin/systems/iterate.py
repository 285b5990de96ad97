"""One iterate of a run in float64: outputs, residual, tangent kernel and spectrum, each computed once."""

from collections.abc import Mapping
from functools import cached_property

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import PyTree

from .. import gram
from .._core import Estimate, linalg, numerics
from ..models import AbstractModel, TangentBlock, TangentStack


class Iterate:
    """A network on its data, with what the theorems and the monitors ask of the pair; lazily, and nothing twice.

    The parameters are cast to float64: a run in float32 is judged on the very numbers it reached.
    """

    def __init__(self, model: AbstractModel, x, y, state: PyTree = None):
        self.model = in_float64(model)
        self.x, self.y = x, y
        self.state = None if state is None else in_float64(state)

    @property
    def solve_error(self) -> float:
        """Bound on the relative error of the tangent factors from an inner solve; 0 without one."""
        return 0.0

    @property
    def lost(self) -> str:
        """In words, that the weights have left the region in which the network is known to be defined; "" inside."""
        return ""

    @property
    def factor_error(self) -> float:
        """Bound on the relative error of the tangent factors, from whatever source."""
        return self.solve_error

    @cached_property
    def outputs(self) -> np.ndarray:
        """u = f(X)."""
        return np.asarray(_outputs(self.model, self.x, self.state))

    @cached_property
    def residual(self) -> np.ndarray:
        """r = u − y."""
        return self.outputs - np.asarray(self.y)

    @property
    def loss(self) -> float:
        """½‖r‖²."""
        return float(self.residual @ self.residual) / 2

    @cached_property
    def blocks(self) -> Mapping[str, TangentBlock | TangentStack]:
        """Per-sample gradients of each trained block in factored form."""
        return _blocks(self.model, self.x, self.state)

    @cached_property
    def block_grams(self) -> dict[str, np.ndarray]:
        """Each trained block's share of the tangent kernel."""
        return {name: np.asarray(share) for name, share in gram.grams_of(self.blocks).items()}

    @cached_property
    def gram(self) -> np.ndarray:
        """H = J Jᵀ."""
        return np.sum(list(self.block_grams.values()), axis=0)

    def block_entry_error(self, name: str) -> float:
        """Bound on the error of an entry of a block's Gram, to first order: rounding, and `factor_error` of the factors."""
        return gram.entry_error(self.blocks[name], self.factor_error)

    @property
    def entry_error(self) -> float:
        """The same bound for the sum of the blocks."""
        return sum(self.block_entry_error(name) for name in self.block_grams)

    @cached_property
    def spectrum(self) -> tuple[np.ndarray, float]:
        """Ascending eigenvalues of H and the error bound that serves them all."""
        return linalg.eigenvalues(self.gram, entry_error=self.entry_error)

    @property
    def lambda_min(self) -> Estimate:
        """λ_min(H)."""
        return Estimate(float(self.spectrum[0][0]), self.spectrum[1])

    @property
    def lambda_max(self) -> Estimate:
        """λ_max(H); 2/λ_max is the largest step size at which the linearised descent is stable."""
        return Estimate(float(self.spectrum[0][-1]), self.spectrum[1])

    def block_lambda_min(self, name: str) -> Estimate:
        """λ_min of one block's share."""
        return linalg.lambda_min(self.block_grams[name], entry_error=self.block_entry_error(name))

    @cached_property
    def rho(self) -> Estimate:
        """‖r‖, each output off by at most (its number of terms) eps Σ|terms|, plus what an inner solve leaves."""
        with np.errstate(over="ignore"):  # infinite outputs of exploding dynamics: their own message follows
            value = float(np.linalg.norm(self.residual))
        scale = self.model.output_scale(self.x, self.state)
        width = max(leaf.shape[0] for leaf in jax.tree.leaves(eqx.filter(self.model, eqx.is_array)))
        relative = (width + self.x.shape[1]) * numerics.EPS + self.solve_error
        error = np.sqrt(len(self.residual)) * (relative * scale + numerics.EPS * float(np.abs(self.y).max()))
        return Estimate(value, float(error))


def in_float64(tree: PyTree) -> PyTree:
    """The same pytree with its floating-point arrays in float64."""
    return jax.tree.map(lambda a: jnp.asarray(a, jnp.float64) if eqx.is_inexact_array(a) else a, tree)


@eqx.filter_jit
def _outputs(model, x, state):
    return model.outputs(x, state)


@eqx.filter_jit
def _blocks(model, x, state):
    return model.tangent_blocks(x, state)

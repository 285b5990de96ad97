"""Empirical tangent kernel J Jᵀ from layer-wise products: Hadamard products of small Gram matrices, never a Jacobian.

A parameter block whose per-sample gradient is left_i ⊗ right_i contributes (L Lᵀ) ∘ (R Rᵀ): two products of n × p and
n × q matrices where the Jacobian has n · p · q entries. Blocks that are shared over time or space (tied weights) have
gradients that are sums of outer products; their share is the same formula on the stacked terms, summed over them.
"""

from collections.abc import Mapping

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PyTree

from ..models import AbstractModel, TangentBlock


def grams_of(blocks: Mapping[str, TangentBlock]) -> dict[str, Float[Array, "n n"]]:
    """Each block's share of J Jᵀ, Σ_kl (left_ik·left_jl)(right_ik·right_jl).

    An array that stands in several blocks (the adjoint of a deep equilibrium model) is multiplied once.
    """
    products: dict[int, Array] = {}

    def product(side):
        if id(side) not in products:
            products[id(side)] = _self_product(side.reshape(-1, side.shape[-1]))
        return products[id(side)]

    grams = {}
    for name, block in blocks.items():
        n, *terms = block.left.shape[:-1]
        if block.right.shape[-1] == 1 and not terms:  # a read-out: the right Gram has rank one
            grams[name] = product(block.left) * block.right * block.right[:, 0]
        else:
            share = product(block.left) * product(block.right)
            grams[name] = share.reshape(n, *terms, n, *terms).sum((1, 3)) if terms else share
    return grams


@jax.jit
def _self_product(a: Float[Array, "n p"]) -> Float[Array, "n n"]:
    """A Aᵀ at three quarters of the price: the lower off-diagonal block is the transpose of the upper one."""
    n = len(a)
    if n < 128:  # below this the product is too small for the saved block to show
        return _product(a, a)
    half = n // 2
    top, bottom = a[:half], a[half:]
    corner = _product(top, bottom)
    return jnp.block([[_product(top, top), corner], [corner.T, _product(bottom, bottom)]])


@eqx.filter_jit
def block_grams(model: AbstractModel, x: Float[Array, "n d"], state: PyTree = None) -> dict[str, Float[Array, "n n"]]:
    """Every trained block's share of the empirical tangent kernel; their sum is J Jᵀ."""
    return grams_of(model.tangent_blocks(x, state))


def gram(model: AbstractModel, x: Float[Array, "n d"], state: PyTree = None) -> Float[Array, "n n"]:
    r"""Empirical tangent kernel $H = J J^\top$, $J = \partial f(X) / \partial\theta$ over the trained parameters.

    **Arguments:** `model`; `x`, inputs, one per row, in the dtype of the parameters; `state`, a warm start for models
    with an inner solve.

    **Returns:** the n × n matrix; its eigenvalues are rates per unit of gradient-flow time for L = ½‖u − y‖².

    **Cost:** O(n² (p + q)) time per block of shape p × q, memory max(n², n p).
    """
    grams = block_grams(model, x, state)
    return jax.tree.reduce(jnp.add, list(grams.values()))


def _product(a: Float[Array, "n p"], b: Float[Array, "k p"]) -> Float[Array, "n k"]:
    return jnp.matmul(a, b.T, precision=jax.lax.Precision.HIGHEST)

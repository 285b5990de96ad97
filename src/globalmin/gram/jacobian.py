"""Empirical tangent kernel from the n × P Jacobian: the reference, for small networks only."""

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from ..models import AbstractModel


def jacobian(model: AbstractModel, x: Float[Array, "n d"]) -> Float[Array, "n P"]:
    """Per-sample gradients of the trained parameters, one row per sample, by reverse-mode autodiff.

    n · P numbers: `layerwise.gram` gives J Jᵀ without ever forming it.
    """
    moved, fixed = eqx.partition(model, model.trainable())

    def gradient(row):
        tree = jax.grad(lambda m: eqx.combine(m, fixed)(row))(moved)
        return jnp.concatenate([leaf.ravel() for leaf in jax.tree.leaves(tree)])

    return jax.vmap(gradient)(x)


def gram(model: AbstractModel, x: Float[Array, "n d"]) -> Float[Array, "n n"]:
    """J Jᵀ by contraction of the Jacobian."""
    j = jacobian(model, x)
    return jnp.matmul(j, j.T, precision=jax.lax.Precision.HIGHEST)

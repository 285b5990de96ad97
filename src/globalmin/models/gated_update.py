"""One step of gradient descent on a gated network, cut into what each sample does to itself, to others, and the rest."""

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PyTree

from .gated import AbstractGated
from .gates import HIGHEST


class UpdateTerms(eqx.Module):
    """The three terms of Lemma 1, applied to a direction v_i per sample: their sum is (W_{t+1}^i − W_t^i) v_i.

    W^i = B D_L^i W_L … D_1^i W_1 D_0^i C is the linear map of sample i.
    """

    own: Float[Array, "n out"]  # −η Σ_k F F^T (W^i − Φ_i) x_i x_iᵀ GᵀG v_i
    others: Float[Array, "n out"]  # −η Γ_i v_i, equation (11)
    higher: Float[Array, "n out"]  # η² Δ_i v_i, equation (12)

    @property
    def total(self) -> Float[Array, "n out"]:
        """The change of W^i v_i."""
        return self.own + self.others + self.higher


@eqx.filter_jit
def update_terms(
    model: AbstractGated,
    x: Float[Array, "n d"],
    y: Float[Array, " N"],
    step_size: float,
    state: PyTree = None,
    directions: Float[Array, "n d"] | None = None,
) -> UpdateTerms:
    """Lemma 1's terms at an iterate, from products over the samples only: no matrix of a sample is formed.

    **Arguments:** `y`, labels as `model.outputs` lays them out; `step_size`, η of ½‖f − y‖², a sum; `state`, the patterns
    of x if known; `directions`, the v_i, by default x_i, for which the sum is the change of the outputs.

    **Cost:** (L + 3) products of n × m × m per layer; memory (L + 1) n m and n².

    **Source:** Noy et al. (2021), Lemma 1, (11) and (12); exact for fixed patterns.
    """
    depth, n = model.depth, len(x)
    inputs, masks = model.features(x, state)[:-1], model.masks(x, state)
    adjoints = model.adjoints(x, state)
    step = model.step(x, y, state)
    gradients = step.gradient.layers
    residual = (step.outputs - y).reshape(n, -1)
    v = x if directions is None else directions
    opened = jnp.matmul(x, model.first.T, precision=HIGHEST) > 0
    along = jnp.where(opened, jnp.matmul(v, model.first.T, precision=HIGHEST), 0)
    pulled = jnp.einsum("kiom,io->kim", adjoints, residual, precision=HIGHEST)  # F_{k+1}ᵀ r

    def layer(carry, parts):
        orders, linear, own = carry
        weights, gradient, h, pull, back, mask = parts
        # orders[s]: the part of degree s in η of the features of v, after s of the gradients below.
        products = jnp.matmul(orders[0], h.T, precision=HIGHEST)  # ⟨G_{k−1}^i v_i, h_{k−1}^j⟩
        into = jnp.matmul(products, pull, precision=HIGHEST)
        linear = linear - step_size * jnp.einsum("iom,im->io", back, into, precision=HIGHEST)
        itself = jnp.diagonal(products)[:, None] * pull
        own = own - step_size * jnp.einsum("iom,im->io", back, itself, precision=HIGHEST)
        kept = jnp.matmul(orders, weights.T, precision=HIGHEST)
        moved = -step_size * jnp.matmul(orders[:-1], gradient.T, precision=HIGHEST)
        return (jnp.where(mask, kept.at[1:].add(moved), 0), linear, own), None

    orders = jnp.zeros((depth + 1, *along.shape), x.dtype).at[0].set(along)
    zero = jnp.zeros_like(residual)
    (orders, linear, own), _ = jax.lax.scan(
        layer, (orders, zero, zero), (model.layers, gradients, inputs, pulled, adjoints, masks)
    )
    higher = jnp.matmul(jnp.sum(orders[2:], axis=0), model.readout.T, precision=HIGHEST)
    return UpdateTerms(own, linear - own, higher)

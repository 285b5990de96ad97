"""Curves of full-batch descent that a run does not record: changes of gradients, patterns on other inputs, test losses."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from .. import gram
from .._core import linalg
from ..models import AbstractGated, Gated


@eqx.filter_jit
def _curves(model, layers, x, y, state, eta, epochs, other, y_other):
    other_state = model.patterns(other) if hasattr(model, "patterns") else None

    def step(carry, _):
        layers, gradient, patterns = carry
        now = eqx.tree_at(lambda m: m.layers, model, layers)
        found = now.step(x, y, state)
        residual = found.outputs - y
        fresh = found.gradient.layers
        masks = now.masks(other, other_state)
        records = {
            "loss": residual @ residual / 2,
            "gradient_change": jnp.linalg.norm(fresh - gradient),
            "pattern_change": jnp.mean(masks != patterns),
            "test_loss": jnp.sum((now.outputs(other, other_state) - y_other) ** 2) / 2,
        }
        return (layers - eta * fresh, fresh, masks), records

    first = model.masks(other, other_state)
    carry, records = jax.lax.scan(step, (layers, jnp.zeros_like(layers), first), length=epochs)
    return carry[0], records


def curves(
    model: AbstractGated,
    x: Float[Array, "n d"],
    y: Float[Array, " N"],
    step_size: float,
    epochs: int,
    other: Float[Array, "k d"],
    y_other: Float[Array, " K"],
) -> tuple[AbstractGated, dict[str, np.ndarray]]:
    """Gradient descent with every epoch recorded before its step.

    **Returns:** the network after `epochs` steps, and by epoch `loss` = ½‖f − y‖², `gradient_change` = ‖g_t − g_{t−1}‖ over all
    trained weights (0 at the first), `pattern_change`, the share of the gates on `other` that differ from the epoch before
    (0 for gates that are fixed), and `test_loss` = ½‖f − y‖² on `other`.
    """
    state = model.initial_state(x) or None
    layers, records = _curves(model, model.layers, x, y, state, jnp.asarray(step_size, x.dtype), epochs, other, y_other)
    found = {name: np.array(values) for name, values in records.items()}
    found["gradient_change"][0] = 0.0
    return eqx.tree_at(lambda m: m.layers, model, layers), found


def top_eigenvalue(model: AbstractGated, x: Float[Array, "n d"]) -> float:
    """λ_max of the tangent kernel: descent is stable below 2/λ_max, as far as its linear part goes."""
    return linalg.lambda_max(np.asarray(gram.gram(model, x))).value


def both(
    dimension: int, width: int, depth: int, seed: int, outputs: int = 1, gates: str = "chain"
) -> dict[str, AbstractGated]:
    """The gated network and the ReLU network with the same C, W and B."""
    gated = Gated.init(dimension, width, depth, key=jax.random.key(seed), outputs=outputs, gates=gates)
    return {"GReLU": gated, "ReLU": gated.rectified()}

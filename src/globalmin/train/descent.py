"""Full-batch gradient descent on ½‖u − y‖², whole chunks of epochs compiled into one loop: state in, state out."""

from collections.abc import Callable
from typing import Any, Generic, TypeVar

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, PyTree

from .._core import RESULTS
from ..models import AbstractModel

Model = TypeVar("Model", bound=AbstractModel)

CHUNK = 1024
"""Epochs of one compiled call at most: its records live in buffers of this length."""

DIVERGED = 1e6
"""The loss over its first value at which a run stops: far above what a transient of stable descent can reach."""


class DescentState(eqx.Module, Generic[Model]):
    """Where a descent stands. Everything a run needs to go on to the same bits."""

    model: Model
    solver: PyTree  # warm starts of inner solves, () without
    epoch: int
    first_loss: float  # at epoch 0; -1 before the first step


class Records(eqx.Module):
    """Scalars of every epoch of a chunk: `epoch` k holds what was measured at θ_k, before the step to θ_{k+1}."""

    epochs: np.ndarray
    values: dict[str, np.ndarray]  # loss, gradient_norm, and the model's own
    result: RESULTS
    message: str  # "" where the chunk went through


def start(model: Model, x: Float[Array, "n d"]) -> DescentState[Model]:
    """The state before the first epoch."""
    return DescentState(model, model.initial_state(x), 0, -1.0)


def descend(
    state: DescentState[Model],
    x: Float[Array, "n d"],
    y: Float[Array, " n"],
    step_size: float,
    epochs: int,
    advance: Callable | None = None,
) -> tuple[DescentState[Model], Records]:
    """Run θ ← θ − η ∇L for at most min(`epochs`, `CHUNK`) epochs.

    **Arguments:** `state`; `x`, `y` in the dtype of the parameters; `step_size`, η of the sum-of-squares loss
    L = ½‖u − y‖² (not a mean over samples); `epochs`, at least 1; `advance`, how an epoch moves the parameters if not by
    one gradient step (`flow.integrate`).

    **Returns:** the new state and the records. A step whose inner solve failed, or whose loss is not finite or has grown
    by `DIVERGED`, is not taken: the state is the last good one, and `message` says what happened at which epoch.

    **Determinism:** the bits do not depend on how epochs are split into chunks.
    """
    dtype = x.dtype
    model, solver, buffers, done, result, first = _chunk(
        state.model,
        state.solver,
        x,
        y,
        jnp.asarray(step_size, dtype),
        jnp.asarray(state.first_loss, dtype),
        jnp.asarray(min(epochs, CHUNK), jnp.int32),
        gradient_step if advance is None else advance,
    )
    count = int(done)
    values = {name: np.asarray(buffer)[:count] for name, buffer in buffers.items()}
    at = np.arange(state.epoch, state.epoch + count)
    new = DescentState(model, solver, state.epoch + count, float(first))
    message = "" if result == RESULTS.successful else f"stopped at epoch {new.epoch}: {RESULTS[result]}"
    return new, Records(at, values, result, message)  # pyright: ignore[reportArgumentType]


def gradient_step(gradient_of, moved, solver, gradient, step_size):
    """θ − η ∇L: what an epoch of gradient descent does to the parameters."""
    return jax.tree.map(lambda p, g: p - step_size * g, moved, gradient), RESULTS.successful


@eqx.filter_jit
def _chunk(model, solver, x, y, eta, first, epochs, advance):
    moved, fixed = eqx.partition(model, model.trainable())
    # What the loop carries are arrays; the rest of the solver state (if any) is static.
    solver, solver_static = eqx.partition(solver, eqx.is_array)

    def step_at(moved, solver):
        return eqx.combine(moved, fixed).step(x, y, eqx.combine(solver, solver_static))

    def gradient_of(moved, solver):
        return eqx.filter(step_at(moved, solver).gradient, eqx.is_array)

    info = eqx.filter_eval_shape(step_at, moved, solver).info
    buffers = {name: jnp.zeros(CHUNK, shape.dtype) for name, shape in info.items()}
    buffers |= {"loss": jnp.zeros(CHUNK, x.dtype), "gradient_norm": jnp.zeros(CHUNK, x.dtype)}

    def keep_going(carry):
        _, _, _, k, result, _ = carry
        return (k < epochs) & (result == RESULTS.successful)

    def body(carry):
        moved, solver, buffers, k, _, first = carry
        step = step_at(moved, solver)
        residual = step.outputs - y
        loss = residual @ residual / 2
        gradient = eqx.filter(step.gradient, eqx.is_array)
        squares = jax.tree.map(lambda g: jnp.sum(g * g), gradient)
        gradient_norm = jnp.sqrt(jax.tree.reduce(jnp.add, squares))
        first = jnp.where(first < 0, loss, first)
        next_solver = eqx.filter(step.state, eqx.is_array)
        proposal, result = advance(gradient_of, moved, next_solver, gradient, eta)
        result = RESULTS.where(step.result == RESULTS.successful, result, step.result)
        result = RESULTS.where(loss > DIVERGED * jnp.maximum(first, 1), RESULTS.loss_diverged, result)
        result = RESULTS.where(jnp.isfinite(loss) & jnp.isfinite(gradient_norm), result, RESULTS.loss_nonfinite)
        good = result == RESULTS.successful
        moved = jax.tree.map(lambda new, old: jnp.where(good, new, old), proposal, moved)
        solver = jax.tree.map(lambda new, old: jnp.where(good, new, old), next_solver, solver)
        scalars = {**step.info, "loss": loss, "gradient_norm": gradient_norm}
        buffers = {name: b.at[k].set(scalars[name].astype(b.dtype)) for name, b in buffers.items()}
        return moved, solver, buffers, k + good.astype(k.dtype), result, first

    carry = (moved, solver, buffers, jnp.zeros_like(epochs), RESULTS.successful, first)
    moved, solver, buffers, done, result, first = jax.lax.while_loop(keep_going, body, carry)
    return eqx.combine(moved, fixed), eqx.combine(solver, solver_static), buffers, done, result, first


def stable_step_size(lambda_max: float) -> float:
    """1/λ_max(H): half of the largest step size at which the linearised descent is stable. The `auto` of the command."""
    return 1.0 / lambda_max


def scalars(records: list[Records]) -> dict[str, Any]:
    """Chunks joined into one array per quantity, with `epoch`."""
    if not records:
        return {"epoch": np.zeros(0, int)}
    joined: dict[str, Any] = {"epoch": np.concatenate([r.epochs for r in records])}
    for name in records[0].values:
        joined[name] = np.concatenate([r.values[name] for r in records])
    return joined

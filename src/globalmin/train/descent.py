"""Descent on ½‖u − y‖² or on an objective, whole chunks of epochs compiled into one loop: state in, state out."""

import functools
from collections.abc import Callable
from typing import Any, Generic, TypeVar

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, PyTree

from .._core import RESULTS
from ..models import AbstractModel
from ..objectives import AbstractObjective, Evaluation
from .methods import AbstractMethod, Stateless, gradient_step

Model = TypeVar("Model")

CHUNK = 1024
"""Epochs of one compiled call at most: its records live in buffers of this length."""

DIVERGED = 1e6
"""The loss over its first value at which a run stops: far above what a transient of stable descent can reach."""


class DescentState(eqx.Module, Generic[Model]):
    """Where a descent stands. Everything a run needs to go on to the same bits."""

    model: Model  # a network, or the point of an objective
    solver: PyTree  # warm starts of inner solves, () without
    epoch: int
    first_loss: float  # at epoch 0; NaN before the first step
    memory: PyTree = ()  # of the method, () for plain descent


class Records(eqx.Module):
    """Scalars of every epoch of a chunk: `epoch` k holds what was measured at θ_k, before the step to θ_{k+1}."""

    epochs: np.ndarray
    values: dict[str, np.ndarray]  # loss, gradient_norm, and the model's own
    result: RESULTS
    message: str  # "" where the chunk went through
    reached: bool = False  # the objective said that the run may end here


class Fit(eqx.Module):
    """½‖u − y‖² of a network on data, as the loop sees it: the same four methods as an objective's."""

    x: Float[Array, "n d"]
    y: Float[Array, " n"]

    def trainable(self, model: AbstractModel) -> PyTree:
        """What the network says."""
        return model.trainable()

    def step(self, model: AbstractModel, state: PyTree, epoch) -> Evaluation:
        """The network's own step; the same at every epoch."""
        step = model.step(self.x, self.y, state)
        residual = step.outputs - self.y
        return Evaluation(residual @ residual / 2, step.gradient, step.state, step.info, step.result)

    def reached(self, model: AbstractModel):
        """Never."""
        return jnp.asarray(False)


def start(model: AbstractModel, x: Float[Array, "n d"]) -> DescentState:
    """The state before the first epoch."""
    return DescentState(model, model.initial_state(x), 0, float("nan"))


def start_at(objective: AbstractObjective, point: PyTree, method: AbstractMethod) -> DescentState:
    """The state of an objective's run before the first epoch."""
    return DescentState(point, objective.initial_state(point), 0, float("nan"), method.initial())


def descend(
    state: DescentState[Model],
    x: Float[Array, "n d"],
    y: Float[Array, " N"],
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
    return _descend(Fit(x, y), state, step_size, epochs, Stateless(gradient_step if advance is None else advance))


def minimise(
    objective: AbstractObjective,
    state: DescentState,
    step_size: float,
    epochs: int,
    method: AbstractMethod,
) -> tuple[DescentState, Records]:
    """The same loop on an objective: `state` from `start_at`, the step a method's. It ends early where `reached` says so.

    Records hold the loss, `gradient_norm`, what the objective measures and what the method reports. A `reached` point is
    not counted as an epoch: the state's `epoch` is the number of steps that led there.
    """
    return _descend(objective, state, step_size, epochs, method)


def _descend(problem, state, step_size, epochs, method) -> tuple[DescentState, Records]:
    dtype = jnp.result_type(*(leaf for leaf in jax.tree.leaves(state.model) if eqx.is_inexact_array(leaf)))
    model, solver, memory, buffers, done, result, first, reached = _chunk(
        problem,
        state.model,
        state.solver,
        state.memory,
        jnp.asarray(step_size, dtype),
        jnp.asarray(state.first_loss, dtype),
        jnp.asarray(state.epoch, jnp.int32),
        jnp.asarray(min(epochs, CHUNK), jnp.int32),
        method,
    )
    count = int(done)
    values = {name: np.asarray(buffer)[:count] for name, buffer in buffers.items()}
    at = np.arange(state.epoch, state.epoch + count)
    new = DescentState(model, solver, state.epoch + count, float(first), memory)
    message = "" if result == RESULTS.successful else f"stopped at epoch {new.epoch}: {RESULTS[result]}"
    return new, Records(at, values, result, message, bool(reached))  # pyright: ignore[reportArgumentType]


@eqx.filter_jit
def _chunk(problem, model, solver, memory, eta, first, epoch, epochs, method):
    moved, fixed = eqx.partition(model, problem.trainable(model))
    # What the loop carries are arrays; the rest of the solver state (if any) is static.
    solver, solver_static = eqx.partition(solver, eqx.is_array)

    def one(moved, solver, memory, at):
        def evaluate(moved, solver):
            return problem.step(eqx.combine(moved, fixed), eqx.combine(solver, solver_static), at)

        def gradient_of(moved, solver):
            return eqx.filter(evaluate(moved, solver).gradient, eqx.is_array)

        found = evaluate(moved, solver)
        gradient = eqx.filter(found.gradient, eqx.is_array)
        squares = jax.tree.map(lambda g: jnp.sum(g * g), gradient)
        gradient_norm = jnp.sqrt(jax.tree.reduce(jnp.add, squares))
        next_solver = eqx.filter(found.state, eqx.is_array)
        to = method(gradient_of, moved, next_solver, gradient, gradient_norm, eta, at, memory)
        scalars = {**found.info, **to.info, "loss": found.loss, "gradient_norm": gradient_norm}
        result = RESULTS.where(found.result == RESULTS.successful, to.result, found.result)
        return to.proposal, next_solver, to.memory, scalars, result

    shapes = eqx.filter_eval_shape(one, moved, solver, memory, epoch)[3]
    buffers = {name: jnp.zeros(CHUNK, shape.dtype) for name, shape in shapes.items()}

    def keep_going(carry):
        moved, _, _, _, k, result, _ = carry
        return (k < epochs) & (result == RESULTS.successful) & ~problem.reached(eqx.combine(moved, fixed))

    def body(carry):
        moved, solver, memory, buffers, k, _, first = carry
        proposal, next_solver, next_memory, scalars, result = one(moved, solver, memory, epoch + k)
        loss, gradient_norm = scalars["loss"], scalars["gradient_norm"]
        first = jnp.where(jnp.isnan(first), loss, first)
        result = RESULTS.where(loss > DIVERGED * jnp.maximum(first, 1), RESULTS.loss_diverged, result)
        result = RESULTS.where(jnp.isfinite(loss) & jnp.isfinite(gradient_norm), result, RESULTS.loss_nonfinite)
        good = result == RESULTS.successful
        keep = functools.partial(jax.tree.map, lambda new, old: jnp.where(good, new, old))
        moved, solver, memory = keep(proposal, moved), keep(next_solver, solver), keep(next_memory, memory)
        buffers = {name: b.at[k].set(scalars[name].astype(b.dtype)) for name, b in buffers.items()}
        return moved, solver, memory, buffers, k + good.astype(k.dtype), result, first

    carry = (moved, solver, memory, buffers, jnp.zeros_like(epochs), RESULTS.successful, first)
    moved, solver, memory, buffers, done, result, first = jax.lax.while_loop(keep_going, body, carry)
    model = eqx.combine(moved, fixed)
    return model, eqx.combine(solver, solver_static), memory, buffers, done, result, first, problem.reached(model)


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

"""One run of an objective: certificates before, monitors during, verdict after; and descent on any objective by itself."""

import dataclasses
import math
from collections.abc import Callable
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, PRNGKeyArray, PyTree

from .._core import RESULTS, numerics
from ..objectives import AbstractExactObjective, AbstractObjective, FunctionObjective
from ..systems import AbstractObjectiveSystem, ObjectiveQuestion
from ..theory import Evaluated
from . import verify
from .descent import CHUNK, DescentState, Records, minimise, scalars, start_at
from .loop import AbstractPrepared, Log, Look, loss_bounds
from .methods import AbstractMethod, DecreasingSteps, PerturbedDescent
from .monitors import schedule

DESCENT = DecreasingSteps(0.0)
"""Gradient descent with the same step throughout."""


@dataclasses.dataclass(frozen=True)
class PreparedObjective(AbstractPrepared):
    """A run of an objective before its first epoch."""

    system: AbstractObjectiveSystem
    method: AbstractMethod
    first: PyTree  # the starting point

    @property
    def objective(self) -> AbstractObjective:
        """What is made small."""
        return self.system.objective

    @property
    def stretch(self) -> int:
        """All epochs up to the next look for an objective with an update of its own, which has no use for less."""
        return self.epochs if isinstance(self.objective, AbstractExactObjective) else super().stretch

    def advance(self, state: DescentState, epochs: int) -> tuple[DescentState, Records]:
        """At most so many epochs on; by the objective's own update where it has one."""
        if isinstance(self.objective, AbstractExactObjective):
            return _advance_exactly(self.objective, state, self.step_size, epochs)
        return minimise(self.objective, state, self.step_size, epochs, self.method)

    def look(self, log: Log, state: DescentState, message: str) -> Look:
        """Loss, gradient, distance from the start, and the objective's own quantities."""
        loss, norm, distance = _common(self.objective, state.model, self.first)
        quantities = {"epoch": float(state.epoch), "loss": float(loss), "gradient_norm": float(norm)}
        quantities |= {"distance": float(distance), **self.objective.watch(state.model, self.first)}
        quantities |= self.objective.follow(state.model, self.first, state.solver, self.step_size, state.epoch)
        log.looks.append(quantities)
        log.message = message
        return Look(state.epoch, quantities, state, (), message)

    def trajectory(self, log: Log) -> tuple[dict[str, np.ndarray], dict[str, np.ndarray]]:
        """The looks and the records, with the step sizes, what follows from the records, and the bounds."""
        names = dict.fromkeys(name for look in log.looks for name in look)
        looks = {name: np.array([look.get(name, np.nan) for look in log.looks]) for name in names}
        looks["epoch"] = looks.get("epoch", np.zeros(0)).astype(int)
        steps = scalars(log.records)
        if "loss" in steps:
            if "step_size" not in steps:  # a method that chooses it on the way has recorded it
                epochs = steps["epoch"].astype(float)
                steps["step_size"] = np.broadcast_to(
                    self.method.step_size_at(self.step_size, epochs), epochs.shape
                ).copy()
            steps |= self.objective.derive(steps)
        return looks | loss_bounds(self.theorems, looks["epoch"]), steps

    def conclude(self, log: Log) -> dict[str, Any]:
        """Every promise of every theorem held against what was recorded."""
        looks, steps = self.trajectory(log)
        checks = [
            verify.lay_over(promise, t.source, *verify.series_of(promise.quantity, promise, looks, steps))
            for t in self.theorems
            for promise in t.promises
        ]
        found = {"sentence": verify.sentence(checks), "promises": [c.to_dict() for c in checks]}
        return {**found, "message": log.message, "results": self.system.results(looks, steps)}


def prepare_objective(
    system: AbstractObjectiveSystem,
    *,
    epochs: int,
    key: PRNGKeyArray | None = None,
    point: PyTree | None = None,
    step_size: float | None = None,
    method: AbstractMethod = DESCENT,
    looks: int = 40,
) -> PreparedObjective:
    """Draw the starting point, choose the step size, and evaluate every theorem at epoch 0.

    **Arguments:** `key` for the source's initialisation, or a `point` to start from; `step_size`, η of the objective as
    it is scaled there, the system's own choice if `None`; `method`, what an epoch does.

    **Raises:** `ValueError` for bad counts or step sizes, and for a start at which the loss is not finite.
    """
    numerics.check_count("epochs", epochs)
    if point is None:
        if key is None:
            raise ValueError("key or point expected, neither came: pass key=jax.random.key(seed)")
        point = system.objective.init(key=key)
    if step_size is None:
        eta, origin = system.default_step_size(point)
    else:
        eta, origin = float(step_size), "given"
    if not (math.isfinite(eta) and eta > 0):
        raise ValueError(f"step_size: a positive number expected, {eta} came")
    if not math.isfinite(float(system.objective.value(point))):
        raise ValueError("the loss at the start is NaN or infinite: look for huge values in the starting point")
    exact = isinstance(system.objective, AbstractExactObjective)
    if exact and not (isinstance(method, DecreasingSteps) and method.exponent == 0):
        raise ValueError(
            f"method: plain descent expected, {method.name} came; {system.name}'s exact update is of that one"
        )
    exponent = method.exponent if isinstance(method, DecreasingSteps) else 0.0
    question = ObjectiveQuestion(point, eta, exponent, epochs, method.name)
    return PreparedObjective(
        epochs=epochs,
        step_size=eta,
        step_size_from=origin,
        looks=schedule(epochs, looks),
        state=start_at(system.objective, point, method),
        theorems=tuple(_about(t.evaluate(), method.name) for t in system.theorems(question)),
        system=system,
        method=method,
        first=point,
    )


def _about(evaluated: Evaluated, method: str) -> Evaluated:
    """Keep the promises that are about this method."""
    return dataclasses.replace(evaluated, promises=evaluated.promises if evaluated.method in ("any", method) else ())


@dataclasses.dataclass(frozen=True)
class Descended:
    """Where a descent on an objective ended, and what was recorded at every epoch."""

    point: PyTree
    epoch: int
    reached: bool  # the objective's own stopping rule
    steps: dict[str, np.ndarray]  # epoch, loss, gradient_norm, what the objective measures, what the method reports
    message: str  # "" unless the loss left the finite numbers


def gradient_descent(
    objective: AbstractObjective | Callable[[PyTree], Float[Array, ""]],
    point: PyTree,
    *,
    step_size: float,
    epochs: int,
    method: AbstractMethod = DESCENT,
) -> Descended:
    """Descend on any objective, or on any differentiable function of a pytree of floats.

    **Arguments:** `step_size`, η of the function as it is; `epochs`, the most that are taken: it ends earlier where the
    objective's `reached` says so.

    **Raises:** `ValueError` for a step size or count that is not positive, a point without floats, or a function that is not
    to a scalar array.
    """
    numerics.check_count("epochs", epochs)
    if not (math.isfinite(step_size) and step_size > 0):
        raise ValueError(f"step_size: a positive number expected, {step_size} came")
    if not isinstance(objective, AbstractObjective):
        if not any(eqx.is_inexact_array(leaf) for leaf in jax.tree.leaves(point)):
            raise ValueError(
                "point: a pytree with at least one array of floats expected, none came; jnp.zeros(3) is one"
            )
        shape = getattr(eqx.filter_eval_shape(objective, point), "shape", None)
        if shape != ():
            raise ValueError(
                f"objective: a function to a scalar array expected, one to shape {shape} came; sum or average it"
            )
        objective = FunctionObjective(objective, point)
    state, records, reached = start_at(objective, point, method), [], False
    while state.epoch < epochs and not reached:
        state, chunk = minimise(objective, state, step_size, min(epochs - state.epoch, CHUNK), method)
        records.append(chunk)
        reached = chunk.reached
        if chunk.message:
            break
    return Descended(state.model, state.epoch, reached, scalars(records), records[-1].message)


def perturbed_gradient_descent(
    objective: AbstractObjective | Callable[[PyTree], Float[Array, ""]],
    point: PyTree,
    *,
    step_size: float,
    radius: float,
    threshold: float,
    wait: int,
    epochs: int,
    key: PRNGKeyArray,
) -> Descended:
    """Gradient descent that leaves saddles: a perturbation in the ball of `radius` wherever ‖∇f‖ ≤ `threshold`.

    **Arguments:** `wait`, at least so many epochs lie between two perturbations; the others as in `gradient_descent`.
    The algorithm has no stopping test of its own: it keeps perturbing at a minimum, so that its accuracy there is of the
    order of `radius`. It ends where the objective's `reached` says so, or after `epochs`.

    **Returns:** as `gradient_descent`; `steps["perturbed"]` is 1 at the epochs that began with a perturbation.

    **Source:** Jin, Ge, Netrapalli, Kakade, Jordan, ICML 2017; Algorithm 2 of Du's thesis, chapter 7.
    """
    method = PerturbedDescent(radius, threshold, wait, key)
    return gradient_descent(objective, point, step_size=step_size, epochs=epochs, method=method)


@eqx.filter_jit
def _common(objective, point, first):
    gradient = eqx.filter(objective.gradient(point), eqx.is_inexact_array)
    squares = jax.tree.reduce(jnp.add, jax.tree.map(lambda g: jnp.sum(g * g), gradient))
    return objective.value(point), jnp.sqrt(squares), objective.distance(point, first)


def _advance_exactly(objective, state, step_size, epochs) -> tuple[DescentState, Records]:
    """Loss and gradient are recorded where a stretch begins."""
    loss, norm, _ = _common(objective, state.model, state.model)
    point, taken = objective.advance(state.model, step_size, epochs)
    new = DescentState(point, state.solver, state.epoch + taken, state.first_loss, state.memory)
    values = {"loss": np.array([float(loss)]), "gradient_norm": np.array([float(norm)])}
    reached = bool(objective.reached(point))
    count = 1 if taken else 0
    at = np.array([state.epoch])[:count]
    return new, Records(at, {k: v[:count] for k, v in values.items()}, RESULTS.successful, "", reached)  # pyright: ignore[reportArgumentType]

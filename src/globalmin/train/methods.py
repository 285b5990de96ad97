"""What one epoch does to the parameters: a gradient step, one of a decreasing size, one with a perturbation before it."""

from abc import abstractmethod
from collections.abc import Callable
from typing import Any, ClassVar

import equinox as eqx
import jax
import jax.flatten_util
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int, PRNGKeyArray, PyTree

from .._core import RESULTS
from .flow import integrate

GradientOf = Callable[[PyTree, PyTree], PyTree]


class Moved(eqx.Module):
    """Where an epoch wants to go."""

    proposal: PyTree  # the parameters after it
    memory: PyTree  # what the method carries to the next
    info: dict[str, Any]  # scalars worth recording
    result: RESULTS


class AbstractMethod(eqx.Module):
    """A rule from one iterate to the next. What it remembers is a pytree of arrays and goes into checkpoints."""

    name: ClassVar[str]

    def initial(self) -> PyTree:
        """The memory before the first epoch. Default: none."""
        return ()

    def step_size_at(self, step_size: Any, epoch: Any) -> Any:
        """The step size of an epoch; arrays and numbers alike. Default: the same throughout."""
        return step_size

    @abstractmethod
    def __call__(
        self,
        gradient_of: GradientOf,
        moved: PyTree,
        solver: PyTree,
        gradient: PyTree,
        gradient_norm: Float[Array, ""],
        step_size: Float[Array, ""],
        epoch: Int[Array, ""],
        memory: PyTree,
    ) -> Moved:
        """One epoch. `gradient` is `gradient_of(moved, solver)`, computed already."""


class Stateless(AbstractMethod):
    """A method that is a function of the iterate alone, such as `flow.integrate`."""

    name: ClassVar[str] = "descent"

    advance: Callable

    def __call__(self, gradient_of, moved, solver, gradient, gradient_norm, step_size, epoch, memory) -> Moved:
        """What the function gives."""
        proposal, result = self.advance(gradient_of, moved, solver, gradient, step_size)
        return Moved(proposal, memory, {}, result)


class Flow(AbstractMethod):
    """Gradient flow; an epoch lasts one step size of time. Of an objective whose gradient is a function of the point alone."""

    name: ClassVar[str] = "flow"

    def __call__(self, gradient_of, moved, solver, gradient, gradient_norm, step_size, epoch, memory) -> Moved:
        """An adaptive integrator's solution after that time."""
        proposal, result = integrate(gradient_of, moved, solver, gradient, step_size)
        return Moved(proposal, memory, {}, result)


class DecreasingSteps(AbstractMethod):
    """Gradient descent with η_t = η₀ (t + 1)^(−exponent), t = 0, 1, ...

    **Raises:** `ValueError` for an exponent outside [0, 1]: beyond 1 the steps have a finite sum.
    """

    name: ClassVar[str] = "descent"

    exponent: float

    def __check_init__(self):
        if not 0 <= self.exponent <= 1:
            raise ValueError(f"exponent: a number in [0, 1] expected, {self.exponent} came; 1 is the source's own")

    def step_size_at(self, step_size: Any, epoch: Any) -> Any:
        """η₀ (t + 1)^(−exponent)."""
        return step_size * (epoch + 1.0) ** -self.exponent

    def __call__(self, gradient_of, moved, solver, gradient, gradient_norm, step_size, epoch, memory) -> Moved:
        """A gradient step of this epoch's size."""
        eta = self.step_size_at(step_size, epoch.astype(step_size.dtype))
        proposal, result = gradient_step(gradient_of, moved, solver, gradient, eta)
        return Moved(proposal, memory, {}, result)


class DistanceSteps(AbstractMethod):
    """Gradient descent whose step size is read from a table by the distance to a target, such as a teacher's filter.

    η_t = η · `factors`[j] with j the first of the ascending `distances` that is at least ‖θ_t − target‖, or the last one
    beyond. Each epoch records its `step_size`, and as `promised_ratio` the entry of `ratios`, a theorem's bound on the squared
    distance's factor for that step.

    **Raises:** `ValueError` for tables of different lengths, distances that do not ascend, or factors that are not positive.
    """

    name: ClassVar[str] = "descent with adaptive steps"

    target: PyTree
    distances: Float[Array, " m"]
    factors: Float[Array, " m"]
    ratios: Float[Array, " m"]

    def __check_init__(self):
        distances, factors = np.asarray(self.distances), np.asarray(self.factors)
        if not distances.size or distances.shape != factors.shape or distances.shape != self.ratios.shape:
            raise ValueError(
                "distances, factors, ratios: three tables of one length expected, shapes "
                f"{distances.shape}, {factors.shape}, {self.ratios.shape} came"
            )
        if not (np.diff(distances) > 0).all() or not (np.isfinite(factors) & (factors > 0)).all():
            raise ValueError("distances: ascending numbers expected, and positive factors for them")

    def __call__(self, gradient_of, moved, solver, gradient, gradient_norm, step_size, epoch, memory) -> Moved:
        """A gradient step of the size that the table has for this distance."""
        gap = jax.flatten_util.ravel_pytree(moved)[0] - jax.flatten_util.ravel_pytree(self.target)[0]
        row = jnp.minimum(jnp.searchsorted(self.distances, jnp.linalg.norm(gap)), self.distances.size - 1)
        eta = step_size * self.factors[row]
        proposal, result = gradient_step(gradient_of, moved, solver, gradient, eta)
        return Moved(proposal, memory, {"step_size": eta, "promised_ratio": self.ratios[row]}, result)


class PerturbedDescent(AbstractMethod):
    """Perturbed gradient descent (Jin et al., ICML 2017; Algorithm 2 of Du's thesis).

    Where ‖∇f‖ ≤ `threshold` and the last perturbation is more than `wait` epochs ago, a point drawn uniformly from the ball
    of `radius` is added to the parameters; the gradient step then starts from there. Each epoch records `perturbed`,
    0 or 1. The draws depend on `key` and the epoch alone.

    **Raises:** `ValueError` for a radius or threshold that is not positive, or a negative wait.
    """

    name: ClassVar[str] = "perturbed descent"

    radius: float
    threshold: float
    wait: int
    key: PRNGKeyArray

    def __check_init__(self):
        for name, value in (("radius", self.radius), ("threshold", self.threshold)):
            if not 0 < value < float("inf"):
                raise ValueError(f"{name}: a positive number expected, {value} came")
        if self.wait < 0:
            raise ValueError(f"wait: a number of epochs of at least 0 expected, {self.wait} came")

    def initial(self) -> PyTree:
        """The epoch of the last perturbation: so long ago that the first epoch may have one."""
        return jnp.asarray(-self.wait - 1, jnp.int32)

    def __call__(self, gradient_of, moved, solver, gradient, gradient_norm, step_size, epoch, memory) -> Moved:
        """A gradient step, from a perturbed start where one is due."""
        due = (gradient_norm <= self.threshold) & (epoch - memory > self.wait)
        flat, restore = jax.flatten_util.ravel_pytree(moved)

        def perturb():
            noise = uniform_in_ball(jax.random.fold_in(self.key, epoch), flat.size, flat.dtype)
            near = restore(flat + self.radius * noise)
            return near, gradient_of(near, solver)

        start, gradient = jax.lax.cond(due, perturb, lambda: (moved, gradient))
        proposal, result = gradient_step(gradient_of, start, solver, gradient, step_size)
        info = {"perturbed": due.astype(flat.dtype)}
        return Moved(proposal, jnp.where(due, epoch, memory).astype(memory.dtype), info, result)


def uniform_in_ball(key: PRNGKeyArray, dimension: int, dtype: Any = jnp.float64) -> Float[Array, " d"]:
    """A point drawn uniformly from the unit ball: U^(1/d) n/‖n‖ with U uniform on [0, 1] and n Gaussian."""
    first, second = jax.random.split(key)
    n = jax.random.normal(first, (dimension,), dtype)
    return jax.random.uniform(second, (), dtype) ** (1 / dimension) * n / jnp.linalg.norm(n)


def gradient_step(gradient_of, moved, solver, gradient, step_size) -> tuple[Any, Any]:
    """θ − η ∇L: what an epoch of gradient descent does to the parameters."""
    return jax.tree.map(lambda p, g: p - step_size * g, moved, gradient), RESULTS.successful

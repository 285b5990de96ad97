"""What the trainer asks of a loss that is not a fit of a model to data: a start, a value, a gradient, and its monitors."""

from abc import abstractmethod
from collections.abc import Callable, Mapping
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int, PRNGKeyArray, PyTree

from .._core import RESULTS


class Evaluation(eqx.Module):
    """Loss and gradient at one point, with what to record and what the next evaluation starts from."""

    loss: Float[Array, ""]
    gradient: PyTree  # shaped like the point; None at what is not trained
    state: PyTree  # warm starts of inner solves; () without
    info: dict[str, Any]  # scalars worth recording at every step
    result: RESULTS  # how the evaluation ended


class AbstractObjective(eqx.Module):
    """A function of a point, any pytree of arrays, that descent makes small.

    Only `init` and `value` must be written. A stochastic gradient overrides `step` and draws from
    `jax.random.fold_in(key, epoch)`: so a run is the same however it is cut into pieces.
    """

    @abstractmethod
    def init(self, *, key: PRNGKeyArray) -> PyTree:
        """A starting point, by the law of the source."""

    @abstractmethod
    def value(self, point: PyTree) -> Float[Array, ""]:
        """The loss at a point."""

    def gradient(self, point: PyTree) -> PyTree:
        """Its gradient. Default: reverse-mode autodiff of `value`."""
        return jax.grad(self.value)(point)

    def trainable(self, point: PyTree) -> PyTree:
        """Booleans shaped like the point: which arrays are moved. Default: all floats."""
        return jax.tree.map(eqx.is_inexact_array, point)

    def initial_state(self, point: PyTree) -> PyTree:
        """What the first evaluation starts from; () for an objective without inner solves."""
        return ()

    def step(self, point: PyTree, state: PyTree, epoch: Int[Array, ""]) -> Evaluation:
        """What descent follows at an epoch. Default: `value` and `gradient`, with `measure` to record."""
        loss, gradient = self.value(point), self.gradient(point)
        info = self.measure(point, loss, gradient)
        return Evaluation(loss, gradient, state, info, RESULTS.successful)  # pyright: ignore[reportArgumentType]

    def measure(self, point: PyTree, loss: Float[Array, ""], gradient: PyTree) -> dict[str, Float[Array, ""]]:
        """Scalars recorded at every step, inside the compiled loop: cheap ones. Default: none."""
        return {}

    def derive(self, steps: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        """Series over all steps that follow from the recorded ones, such as sums along the run. Default: none.

        `steps` has `epoch`, `loss`, `gradient_norm`, `step_size` and what `measure` gave.
        """
        return {}

    def watch(self, point: PyTree, first: PyTree) -> dict[str, float]:
        """Quantities of the proofs at a point that is looked at closely; `first` is the run's start. Default: none."""
        return {}

    def follow(self, point: PyTree, first: PyTree, state: PyTree, step_size: float, epoch: int) -> dict[str, float]:
        """More of a look, from what the evaluations have carried along in `state` and the run's step size. Default: none."""
        return {}

    def distance(self, point: PyTree, first: PyTree) -> Float[Array, ""]:
        """How far a point is from another one. Default: Euclidean, over what is trainable."""
        kept = self.trainable(point)
        squares = jax.tree.map(lambda a, b: jnp.sum((a - b) ** 2), eqx.filter(point, kept), eqx.filter(first, kept))
        return jnp.sqrt(jax.tree.reduce(jnp.add, squares))

    def reached(self, point: PyTree) -> Bool[Array, ""]:
        """Whether a run may end here: traced, asked at every step before it is taken. Default: never."""
        return jnp.asarray(False)


class AbstractExactObjective(AbstractObjective):
    """An objective whose descent has an update of its own: many steps at once, or beyond floating-point range."""

    @abstractmethod
    def advance(self, point: PyTree, step_size: float, epochs: int) -> tuple[PyTree, int]:
        """The point after at most `epochs` steps of gradient descent, and how many were taken.

        Fewer only where `reached` says that the run may end. Any split into calls gives the same points.
        """


class FunctionObjective(AbstractObjective):
    """Any differentiable function of a pytree of arrays, with the point to start from."""

    function: Callable[[PyTree], Float[Array, ""]] = eqx.field(static=True)
    start: PyTree

    def init(self, *, key: PRNGKeyArray) -> PyTree:
        """The given start."""
        return self.start

    def value(self, point: PyTree) -> Float[Array, ""]:
        """The function."""
        return self.function(point)

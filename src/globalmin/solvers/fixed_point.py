"""Equilibria h = F(h), a whole batch as one array: the common contract of the methods, and plain iteration.

The loop, its step count, the check for NaN and implicit differentiation are Optimistix's. Its loop around a solver of
ours costs 2% over a bare `lax.while_loop` at n = m = 1,000 in float32 (19.7 against 19.2 ms per iteration, of which
18.7 ms are the product), so there is no loop of our own. `optx.FixedPointIteration` itself is not used: its
tolerance is relative to the iterate, entry by entry, and the theorems ask for a residual relative to the input.
"""

from collections.abc import Callable
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import lineax as lx
import optimistix as optx
from jaxtyping import Array, Float, Int, PyTree

from .._core import RESULTS, numerics


class Solve(eqx.Module):
    """How a solve ended. `result` must be looked at before `value` is used: a failure is a value, not an exception."""

    value: Float[Array, "..."]
    iterations: Int[Array, ""]  # evaluations of F
    residual: Float[Array, ""]  # ‖F(h) − h‖ / scale, of the iterate that `value` is the image of
    result: RESULTS

    def checked(self) -> Float[Array, "..."]:
        """`value`; raises at run time (also under `jit`) with the result's message where the solve failed."""
        return self.result.error_if(self.value, self.result != RESULTS.successful)


class Progress(eqx.Module):
    """What every method carries: the last ‖F(h) − h‖ / scale, and its own memory."""

    residual: Float[Array, ""]
    memory: PyTree


class AbstractSolver(optx.AbstractFixedPointSolver):
    """A method: `begin` makes its memory, `advance` one iteration. It stops once the relative residual is small."""

    tolerance: eqx.AbstractVar[float | Float[Array, ""]]

    # Optimistix asks every solver for these three; here the residual is relative to `solve`'s `scale` alone.
    @property
    def rtol(self) -> float | Float[Array, ""]:
        """The relative tolerance."""
        return self.tolerance

    @property
    def atol(self) -> float:
        """No absolute tolerance."""
        return 0.0

    @property
    def norm(self) -> Callable[[PyTree], Array]:  # pyright: ignore[reportIncompatibleMethodOverride]
        """Frobenius norm of the whole batch."""
        return norm

    def begin(self, y: Float[Array, "..."]) -> PyTree:
        """Memory before the first iteration; () for a method without one."""
        return ()

    def advance(
        self, fn: Callable[..., tuple[Array, Any]], y: Float[Array, "..."], args: PyTree, memory: PyTree
    ) -> tuple[Float[Array, "..."], Float[Array, ""], PyTree, Any]:
        """The next iterate, the norm of the residual of `y`, the next memory and the auxiliary output of `fn`."""
        image, aux = fn(y, args)
        return image, norm(image - y), memory, aux

    def init(self, fn, y, args, options, f_struct, aux_struct, tags) -> Progress:
        """Before the first iteration (called by Optimistix)."""
        return Progress(jnp.array(jnp.finfo(y.dtype).max, y.dtype), self.begin(y))

    def step(self, fn, y, args, options, state, tags) -> tuple[Array, Progress, Any]:
        """One iteration (called by Optimistix)."""
        y, residual, memory, aux = self.advance(fn, y, args, state.memory)
        scale = options["scale"]
        # At scale 0 the equilibrium of a bias-free network is 0, and its residual is 0 without dividing.
        return y, Progress(residual / jnp.where(scale > 0, scale, 1), memory), aux

    def terminate(self, fn, y, args, options, state, tags):
        """Whether to stop, and how (called by Optimistix, which looks for NaN in `y` too)."""
        finite = jnp.isfinite(state.residual)
        result = optx.RESULTS.where(finite, optx.RESULTS.successful, optx.RESULTS.nonfinite)
        return state.residual <= self.tolerance, result

    def postprocess(self, fn, y, aux, args, options, state, tags, result):
        """The residual joins the statistics (called by Optimistix)."""
        return y, aux, {"residual": state.residual}


class Iteration(AbstractSolver):
    """h ← F(h). At the contraction of the networks here (about 0.3 per step) nothing that costs more pays."""

    tolerance: float | Float[Array, ""]

    def __init__(self, tolerance: float | Float[Array, ""]):
        self.tolerance = tolerance


def solve(
    fn: Callable[[Array, PyTree], Array],
    start: Float[Array, "..."],
    args: PyTree = None,
    *,
    scale: Float[Array, ""] | float,
    solver: AbstractSolver,
    max_steps: int = 500,
    linear_solver: lx.AbstractLinearSolver | None = None,
) -> Solve:
    """Solve h = fn(h, args).

    **Arguments:**

    - `fn`: one evaluation for the whole batch.
    - `start`: the first iterate; the solution of a nearby problem, or zeros.
    - `args`: what `fn` depends on; the solution is differentiable in it, forward and reverse, by the implicit
      function theorem.
    - `scale`: the tolerance is relative to this number, ‖UX‖ for an equilibrium.
    - `solver`: the method with its tolerance.
    - `max_steps`: evaluations of `fn` after which the solve ends as `RESULTS.not_converged`.
    - `linear_solver`: of the implicit derivative; by default dense and exact, for single samples.

    **Returns:** a `Solve`. `result` is `not_converged` above the tolerance and `nonfinite` after NaN or infinity;
    `value` is then the last iterate. The residual is that of the iterate before `value`, which is its image and, F
    being a contraction, closer.

    **Raises:** `ValueError` for a tolerance below the rounding error of the dtype, or `max_steps` below 1.
    """
    eps = float(jnp.finfo(start.dtype).eps)
    if numerics.is_concrete(solver.tolerance) and not solver.tolerance >= eps:
        raise ValueError(
            f"tolerance: at least {eps:.1e} expected, the rounding error of {start.dtype}; {solver.tolerance} came; "
            "loosen it, or solve in float64"
        )
    if max_steps < 1:
        raise ValueError(f"max_steps: at least 1 expected, {max_steps} came")
    found = optx.fixed_point(
        fn,
        solver,
        start,
        args,
        options={"scale": jnp.asarray(scale, start.dtype)},
        max_steps=max_steps,
        adjoint=optx.ImplicitAdjoint(linear_solver=linear_solver or lx.AutoLinearSolver(well_posed=True)),
        throw=False,
    )
    ended = RESULTS.promote(found.result)
    ended = RESULTS.where(ended == RESULTS.nonlinear_max_steps_reached, RESULTS.not_converged, ended)
    return Solve(found.value, found.stats["num_steps"], found.stats["residual"], ended)


def norm(x: Float[Array, "..."]) -> Float[Array, ""]:
    """Frobenius norm of the whole batch."""
    return jnp.sqrt(jnp.sum(jax.lax.square(x)))

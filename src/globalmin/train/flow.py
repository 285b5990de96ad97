"""Gradient flow dθ/dt = −∇L of L = ½‖u − y‖², integrated by Diffrax; an epoch is a stated length of time."""

import jax
import jax.numpy as jnp

from .._core import RESULTS

TOLERANCE = 1e-8
"""Error per step of the adaptive integrator, relative and absolute: far below what a bound of the theory is read at."""

MAX_STEPS = 4096
"""Integrator steps in one epoch; explicit steps are of the order 1/λ_max, so an epoch may last thousands of those."""


def integrate(gradient_of, moved, solver, gradient, time):
    """Advance the parameters by `time` along gradient flow: the `advance` of `descent.descend`.

    Tsit5 with adaptive steps (a trained Gram matrix is not stiff over an epoch of 1/λ_max). Inner solves start from the
    epoch's first equilibrium, so the vector field is a function of θ alone.
    """
    import diffrax  # nearly as long to import as JAX itself, and only gradient flow needs it

    def field(t, theta, args):
        return jax.tree.map(jnp.negative, gradient_of(theta, solver))

    solution = diffrax.diffeqsolve(
        diffrax.ODETerm(field),
        diffrax.Tsit5(),
        t0=jnp.zeros_like(time),
        t1=time,
        dt0=time,
        y0=moved,
        stepsize_controller=diffrax.PIDController(rtol=TOLERANCE, atol=TOLERANCE),
        max_steps=MAX_STEPS,
        throw=False,
    )
    final = jax.tree.map(lambda a: a[0], solution.ys)
    good = solution.result == diffrax.RESULTS.successful
    return final, RESULTS.where(good, RESULTS.successful, RESULTS.integrator_failed)  # pyright: ignore[reportArgumentType]

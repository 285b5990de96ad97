"""Which gradient of an equilibrium network can be trusted, at which tolerance of its solves.

Three gradients of L = ½‖f(X) − y‖² are compared at every tolerance: the implicit one (`step`, what training uses), the
unrolled one (autodiff through as many passes of the layer as that solve took) and the one-step or phantom one (autodiff
through a single pass from the solved equilibrium, which drops the inverse of I − MD). The reference is the implicit
gradient solved to `CERTIFICATE_TOLERANCE`, itself checked by central finite differences of the converged solve.
"""

import dataclasses
from collections.abc import Sequence
from typing import Any

import equinox as eqx
import jax
import jax.flatten_util
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, PyTree

from .._core import RESULTS, UnsolvedError, numerics
from ..models import AbstractEquilibriumModel, AbstractModel, NeuralODE, Step
from ..models.fixed_point_layer import CERTIFICATE_TOLERANCE
from ..models.neural_ode import Adjoint, Solver
from ..systems.iterate import in_float64

METHODS = ("implicit", "unrolled", "phantom")
"""Of an equilibrium network; the first is what training uses."""

ODE_METHODS = ("discretised", "backsolve")
"""Of a Neural ODE with adaptive steps: the exact gradient of the discretised network, and the adjoint equation's."""

TOLERANCES = tuple(10.0**-k for k in range(1, 11))

THRESHOLD = 1e-2
"""Relative error ε of a gradient that training tolerates.

With a step η ≤ 1/β of descent on a β-smooth loss along g̃, ‖g̃ − ∇L‖ ≤ ε‖∇L‖:
L(θ − ηg̃) ≤ L + ½η(‖g̃ − ∇L‖² − ‖∇L‖²) ≤ L − ½η(1 − ε²)‖∇L‖². The guaranteed decrease loses the share ε², here a
ten-thousandth.
"""

SHRINKS = (1.0, 1e-3)
"""Residuals at which a gradient is judged, relative to the present one: the start, and a loss a million times smaller.

An output's error does not shrink with the residual that it enters, so the end of a run asks for a tighter tolerance.
"""

# Central differences with a relative displacement t are off by t² (by t where neurons cross a kink) and by (error of
# the solve)/t: both are equal at the cube root (at the square root).
DISPLACEMENT = CERTIFICATE_TOLERANCE ** (1 / 3)
DISPLACEMENT_AT_KINKS = CERTIFICATE_TOLERANCE ** (1 / 2)

ADAPTIVE_SOLVER: Solver = "tsit5"
REFERENCE_STEPS = 64
"""Steps of order 5 on the whole horizon that stand for the ODE: error 1e-10 or less for σ_w T of order 1."""


@dataclasses.dataclass(frozen=True)
class Trust:
    """Relative errors of the gradients, one row per residual, tolerance and method, and the references' own checks.

    A row has `shrink`, `tolerance`, `method`, `error` (‖g − ∇L‖/‖∇L‖ over all parameters), `difference_error` (the same
    against finite differences, sampled), `forward` and `backward` (passes through the layer, in units of one product of
    the batch with M) and `converged`. A reference has `shrink`, `loss`, `gradient_norm`, `difference_error` and
    `difference_noise`, below which the differences tell nothing: their change when the displacement doubles.
    """

    rows: tuple[dict[str, Any], ...]
    references: tuple[dict[str, float], ...]
    threshold: float
    methods: tuple[str, ...] = METHODS

    def needed(self, method: str | None = None, shrink: float | None = None) -> float | None:
        """The loosest tolerance from which on every tighter one keeps the method's error below the threshold.

        At one residual, or at all; by default of the first method, which training uses. None where not even the tightest
        does: the method is biased, or more is asked than float64 solves give.
        """
        method = self.methods[0] if method is None else method
        if method not in self.methods:
            raise ValueError(f"method: one of {', '.join(self.methods)} expected, {method!r} came")
        rows = [r for r in self.rows if r["method"] == method and shrink in (None, r["shrink"])]
        found = None
        for tolerance in sorted({row["tolerance"] for row in rows}):
            at = [row for row in rows if row["tolerance"] == tolerance]
            if not all(row["converged"] and row["error"] <= self.threshold for row in at):
                break
            found = tolerance
        return found

    def to_dict(self) -> dict[str, Any]:
        """Rows, references, threshold and the recommendation, for JSON."""
        needed = {method: self.needed(method) for method in self.methods}
        by_shrink = {f"{r['shrink']:g}": self.needed(shrink=r["shrink"]) for r in self.references}
        return dataclasses.asdict(self) | {"needed": needed, "needed_at": by_shrink}


def trust(
    model: AbstractModel,
    x: Float[Array, "n d"],
    y: Float[Array, " n"],
    *,
    tolerances: Sequence[float] = TOLERANCES,
    shrinks: Sequence[float] = SHRINKS,
    threshold: float = THRESHOLD,
    directions: int = 8,
    seed: int = 0,
) -> Trust:
    r"""The gradient trust report of an equilibrium network (`Equilibrium`, `Implicit`) or a `NeuralODE`, in float64.

    Of a Neural ODE the tolerances are those of adaptive steps (`ADAPTIVE_SOLVER`), and two gradients are compared: of the
    discretised network, by checkpointed backpropagation, and of the adjoint equation, integrated backwards. The reference is
    the ODE itself: `REFERENCE_STEPS` steps of the same method, differentiated exactly, checked by finite differences.

    **Arguments:**

    - `model`: judged at its present parameters, cast to float64; its own `tolerance` is not used.
    - `x`, `y`: float64 data. `shrinks` replaces y by f + s(y − f), so that the residual is s times the present one.
    - `tolerances`: relative residuals at which the solves of a step stop, from a cold start.
    - `threshold`: the relative error that `needed` allows (see `THRESHOLD`).
    - `directions`: K Gaussian directions d of the finite differences. The mean of (⟨g − ∇L, d⟩)² is ‖g − ∇L‖², so the
      sampled error is right to a relative √(1/2K).

    **Returns:** a `Trust`.

    **Raises:** `ValueError` for a model without an inner solve, data not in float64, a network that fits its labels
    exactly, tolerances or shrinks outside [1e-15, 1], a threshold outside (0, 1); `UnsolvedError` if the reference
    does not converge.

    **Cost:** per tolerance and residual a step and the memory of the unrolled passes; 4K solves for the differences;
    (K + 4) copies of the parameters.
    """
    if not isinstance(model, AbstractEquilibriumModel | NeuralODE):
        raise ValueError(
            f"model: one with an equilibrium or an ODE expected, {type(model).__name__} came; it has no inner solve"
        )
    x, y = numerics.check_inputs(x), numerics.check_labels(y, len(x))
    numerics.check_count("directions", directions)
    for name, values in (("tolerances", tolerances), ("shrinks", shrinks)):
        if not values or not all(1e-15 <= v <= 1 for v in values):
            raise ValueError(f"{name}: at least one number in [1e-15, 1] expected, {tuple(values)} came")
    if not 0 < threshold < 1:
        raise ValueError(f"threshold: a number in (0, 1) expected, {threshold} came; from 1 on nothing need descend")
    if isinstance(model, NeuralODE):
        return _trust_ode(in_float64(model), x, y, tolerances, shrinks, threshold, directions, seed)
    network: AbstractEquilibriumModel = in_float64(model)
    tight = dataclasses.replace(network, tolerance=CERTIFICATE_TOLERANCE)
    cold = network.cold_state(x)
    first = _step(network, x, y, cold, CERTIFICATE_TOLERANCE)
    if not bool(_converged(first)):
        raise UnsolvedError(f"{RESULTS[first.result]} (‖M‖ = {network.operator_norm().value:.4g})")
    rho = first.outputs - y
    targets = {shrink: first.outputs - shrink * rho for shrink in shrinks}
    normals, slopes, doubled = _differences(tight, x, directions, seed)

    truth, references = _references(
        lambda target: _step(network, x, target, cold, CERTIFICATE_TOLERANCE), targets, rho, normals, slopes, doubled
    )

    rows: list[dict[str, Any]] = []
    for tolerance in tolerances:
        for shrink, target in targets.items():
            done = _step(network, x, target, cold, tolerance)
            forward, backward = int(done.info["forward_iterations"]), int(done.info["backward_iterations"])
            z = network.activation(done.state.hidden)
            # The solve starts at H = C, which is one pass from z = 0: its z is that of one pass more than it counts.
            unrolled = _through(network, x, jnp.zeros_like(z), target, forward + 1)
            found = {
                "implicit": (done.gradient, forward, backward),
                "unrolled": (unrolled, forward + 1, forward + 1),
                "phantom": (_through(network, x, z, target, 1), forward + 1, 1),
            }
            gradient, norm, differences = truth[shrink]
            for method, (tree, there, back) in found.items():
                other = _flat(tree)
                rows.append(
                    {
                        "shrink": float(shrink),
                        "tolerance": float(tolerance),
                        "method": method,
                        "error": float(jnp.linalg.norm(other - gradient)) / norm,
                        "difference_error": _root_mean_square(normals @ other - differences) / norm,
                        "forward": there,
                        "backward": back,
                        "converged": bool(_converged(done)),
                    }
                )
    return Trust(tuple(rows), tuple(references), float(threshold))


def _references(step, targets, rho, normals, slopes, doubled):
    """Per residual the exact gradient, its norm and its directional derivatives by differences; and what the report shows."""
    truth, references = {}, []
    for shrink, target in targets.items():
        gradient = _flat(step(target).gradient)
        norm = float(jnp.linalg.norm(gradient))
        if norm == 0:
            raise ValueError("y: labels that the network does not fit expected, the gradient is 0; change y")
        truth[shrink] = (gradient, norm, slopes @ (shrink * rho))
        noise = (slopes - doubled) @ (shrink * rho)
        references.append(
            {
                "shrink": float(shrink),
                "loss": float(jnp.sum((shrink * rho) ** 2)) / 2,
                "gradient_norm": norm,
                "difference_error": _root_mean_square(normals @ gradient - truth[shrink][2]) / norm,
                "difference_noise": _root_mean_square(noise) / norm,
            }
        )
    return truth, references


def _trust_ode(model: NeuralODE, x, y, tolerances, shrinks, threshold, directions, seed) -> Trust:
    reference = model.discretised(ADAPTIVE_SOLVER, REFERENCE_STEPS)
    outputs = _outputs(reference, x)
    if not bool(jnp.all(jnp.isfinite(outputs))):
        raise UnsolvedError(RESULTS[RESULTS.states_overflowed])  # pyright: ignore[reportArgumentType]
    rho = outputs - y
    targets = {shrink: outputs - shrink * rho for shrink in shrinks}
    normals, slopes, doubled = _differences(reference, x, directions, seed)
    truth, references = _references(
        lambda target: _ode_step(reference, x, target), targets, rho, normals, slopes, doubled
    )
    adjoints: dict[str, Adjoint] = {"discretised": "checkpoint", "backsolve": "backsolve"}
    rows = []
    for method, adjoint in adjoints.items():
        for tolerance in tolerances:
            # An array, so that one compilation serves all tolerances.
            loose = dataclasses.replace(
                model, solver=ADAPTIVE_SOLVER, tolerance=jnp.asarray(tolerance, float), adjoint=adjoint
            )
            for shrink, target in targets.items():
                done = _ode_step(loose, x, target)
                gradient, norm, differences = truth[shrink]
                other, count = _flat(done.gradient), int(done.info["function_evaluations"])
                rows.append(
                    {
                        "shrink": float(shrink),
                        "tolerance": float(tolerance),
                        "method": method,
                        "error": float(jnp.linalg.norm(other - gradient)) / norm,
                        "difference_error": _root_mean_square(normals @ other - differences) / norm,
                        "forward": count,
                        "backward": count,
                        "converged": bool(done.result == RESULTS.successful),
                    }
                )
    return Trust(tuple(rows), tuple(references), float(threshold), ODE_METHODS)


@eqx.filter_jit
def _outputs(model, x):
    return model.outputs(x)


def _differences(model, x, count: int, seed: int) -> tuple[Array, Array, Array]:
    """Directions, one per row, and the outputs' directional derivatives by displacements t and 2t."""
    flat = _flat(eqx.filter(model, model.trainable()))
    normals = jax.random.normal(jax.random.key(seed), (count, flat.size))
    relative = DISPLACEMENT_AT_KINKS if model.activation.kinks else DISPLACEMENT
    t = relative * jnp.linalg.norm(flat) / float(np.sqrt(flat.size))
    single = [_slope(model, x, direction, t) for direction in normals]
    double = [_slope(model, x, direction, 2 * t) for direction in normals]
    return normals, jnp.stack(single), jnp.stack(double)


@eqx.filter_jit
def _slope(model, x, direction, t) -> Array:
    """The outputs' derivative along a direction of the parameters by a central difference."""
    moved, fixed = eqx.partition(model, model.trainable())
    flat, restore = jax.flatten_util.ravel_pytree(moved)
    one, other = (eqx.combine(restore(flat + s * t * direction), fixed).outputs(x) for s in (1.0, -1.0))
    return (one - other) / (2 * t)


def _step(model, x, y, state, tolerance: float) -> Step:
    return _step_to(model, x, y, state, jnp.asarray(tolerance, float))  # an array: one program for all tolerances


@eqx.filter_jit
def _step_to(model, x, y, state, tolerance) -> Step:
    return model.step(x, y, state, tolerance=tolerance)


@eqx.filter_jit
def _ode_step(model, x, y) -> Step:
    return model.step(x, y, ())


def _through(model, x, z, y, count: int) -> PyTree:
    """Autodiff of the loss after `count` passes from a z that is held fixed.

    Pass by pass, by the chain rule: the loop over the passes as one program would be compiled for every count.
    """
    points = [z]
    for _ in range(count):
        points.append(_passed(model, x, points[-1]))
    gradient, back = _loss_pulled(model, x, points[-1], y)
    for point in points[-2::-1]:
        gradient, back = _pass_pulled(model, x, point, back, gradient)
    return gradient


@eqx.filter_jit
def _passed(model, x, z) -> Array:
    return model.passed(x, z)


@eqx.filter_jit
def _loss_pulled(model, x, z, y) -> tuple[PyTree, Array]:
    """Derivatives of ½‖f − y‖² in the parameters that read z, and in z."""
    moved, fixed = eqx.partition(model, model.trainable())
    return jax.grad(lambda m, z: jnp.sum((eqx.combine(m, fixed).read(x, z) - y) ** 2) / 2, (0, 1))(moved, z)


@eqx.filter_jit
def _pass_pulled(model, x, z, back, gradient) -> tuple[PyTree, Array]:
    """The gradient with the share of one more pass, from z, and the derivative in z."""
    moved, fixed = eqx.partition(model, model.trainable())
    _, pull = jax.vjp(lambda m, z: eqx.combine(m, fixed).passed(x, z), moved, z)
    share, back = pull(back)
    return jax.tree.map(jnp.add, gradient, share), back


def _converged(done: Step) -> Array:
    # A norm of 1 or more is no failure of the solve, which is what is judged here.
    return (done.result == RESULTS.successful) | (done.result == RESULTS.not_contractive)


def _flat(tree: PyTree) -> Array:
    return jax.flatten_util.ravel_pytree(tree)[0]


def _root_mean_square(values: Array) -> float:
    return float(jnp.sqrt(jnp.mean(values**2)))

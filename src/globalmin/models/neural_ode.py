r"""Neural ODE f(x) = (σ_v/√m) v·φ(h_T), dh/dt = (σ_w/√m) W φ(h), h_0 = (σ_u/√d) U x, all of U, W, v trained.

Gao, Sun, Liu and Gao (ICLR 2025), who write n for the width; here m is the width and n the number of samples. W serves at
all times, so the L-layer residual network with tied weights h ← h + (T/L)(σ_w/√m) W φ(h) is this ODE by Euler's method.
Only the product σ_w T matters.

What is trained is a network of finite depth: `layers` steps of an explicit Runge-Kutta method, differentiated exactly by
going through its stages backwards (`adjoint="explicit"`, discretise, then optimise). With g_s = h + Δt Σ_j a_sj K_j and
K_s = (σ_w/√m) W φ(g_s) the adjoints κ_s of K_s and γ_s of g_s are

    κ_s = Δt (b_s λ + Σ_{j>s} a_js γ_j),   γ_s = φ′(g_s) ∘ (σ_w/√m) Wᵀκ_s,   λ ← λ + Σ_s γ_s,

and ∂f/∂W = (σ_w/√m) Σ κ_s ⊗ φ(g_s) over all stages of all steps: outer products, one per term, which is all that the
tangent kernel needs. Euler's method has λ_k = λ_{k+1} + Δt φ′(h_k) ∘ b_k, b_k = (σ_w/√m) Wᵀλ_{k+1}.

With another `adjoint`, or a `tolerance` for adaptive steps, the batch is one state of a Diffrax solve.
"""

import dataclasses
import functools
from typing import Any, ClassVar, Literal, Self

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int, PRNGKeyArray, PyTree

from .._core import RESULTS, numerics
from ..activations import AbstractActivation
from .base import AbstractModel, Step, TangentBlock
from .fixed_point_layer import product

Solver = Literal["euler", "heun", "rk4", "tsit5", "dopri5"]
Adjoint = Literal["explicit", "checkpoint", "direct", "backsolve"]

SOLVERS: tuple[Solver, ...] = ("euler", "heun", "rk4", "tsit5", "dopri5")
ADAPTIVE: tuple[Solver, ...] = ("heun", "tsit5", "dopri5")
"""Methods with an error estimate, which can choose their steps."""
ADJOINTS: tuple[Adjoint, ...] = ("explicit", "checkpoint", "direct", "backsolve")


class Trajectory(eqx.Module):
    """States of a batch along the steps: what certificates and monitors read."""

    states: Float[Array, "points n m"]  # h_0, ..., h_T at the ends of the steps
    adjoints: Float[Array, "points n m"]  # λ = ∂f/∂h there


class NeuralODE(AbstractModel):
    """Neural ODE of width m on inputs of dimension d; rows of norm 1 are what the theory assumes.

    `solver` with `layers` equal steps; with a `tolerance` (relative and absolute, per step) its steps adapt and `layers`
    only says how finely the tangent kernel is resolved. `adjoint`: "explicit" is the exact gradient of the discretised
    network from its stages (fixed steps only); "checkpoint" and "direct" are Diffrax's RecursiveCheckpointAdjoint and
    DirectAdjoint, exact too; "backsolve" integrates the adjoint equation backwards with h anew, which is the gradient of
    the ODE up to the tolerance and not of the network that is evaluated.

    **Raises:** `ValueError` for a horizon, σ, layers or tolerance out of range, an unknown solver or adjoint, adaptive
    steps of a method without error estimate, or "explicit" with adaptive steps.
    """

    inject: Float[Array, "m d"]  # U
    hidden: Float[Array, "m m"]  # W
    readout: Float[Array, " m"]  # v
    activation: AbstractActivation
    sigma_u: float = eqx.field(static=True)
    sigma_w: float = eqx.field(static=True, default=1.0)
    sigma_v: float = eqx.field(static=True, default=1.0)
    horizon: float = eqx.field(static=True, default=1.0)  # T
    layers: int = eqx.field(static=True, default=10)  # L
    solver: Solver = eqx.field(static=True, default="euler")
    tolerance: float | Float[Array, ""] | None = None  # as an array it can change without compiling anew
    adjoint: Adjoint = eqx.field(static=True, default="explicit")
    max_steps: int = eqx.field(static=True, default=4096)  # of adaptive steps

    blocks: ClassVar[tuple[str, ...]] = ("inject", "hidden", "readout")

    def __check_init__(self):
        check_dynamics(self.horizon, self.sigma_u, self.sigma_w, self.sigma_v)
        numerics.check_count("layers", self.layers)
        numerics.check_count("max_steps", self.max_steps)
        check_solver(self.solver, None if self.tolerance is None else float(self.tolerance), self.adjoint)

    @classmethod
    def init(
        cls,
        dimension: int,
        width: int,
        activation: AbstractActivation,
        *,
        key: PRNGKeyArray,
        sigma_u: float | None = None,
        sigma_w: float = 1.0,
        sigma_v: float = 1.0,
        horizon: float = 1.0,
        layers: int = 10,
        solver: Solver = "euler",
        tolerance: float | None = None,
        adjoint: Adjoint | None = None,
        dtype=jnp.float64,
    ) -> "NeuralODE":
        """U_ij, W_ij, v_j ~ N(0, 1), independent.

        `sigma_u` is √d by default, so that a row of norm 1 has h_0 of unit variance. `adjoint` is "explicit" by default
        for fixed steps and "checkpoint" for adaptive ones.

        **Raises:** `ValueError` for a dimension or width below 1, and what the class refuses.
        """
        numerics.check_count("dimension", dimension)
        numerics.check_count("width", width)
        u_key, w_key, v_key = jax.random.split(key, 3)
        return cls(
            inject=jax.random.normal(u_key, (width, dimension), dtype),
            hidden=jax.random.normal(w_key, (width, width), dtype),
            readout=jax.random.normal(v_key, (width,), dtype),
            activation=activation,
            sigma_u=float(np.sqrt(dimension)) if sigma_u is None else sigma_u,
            sigma_w=sigma_w,
            sigma_v=sigma_v,
            horizon=horizon,
            layers=layers,
            solver=solver,
            tolerance=tolerance,
            adjoint=adjoint or ("explicit" if tolerance is None else "checkpoint"),
        )

    def discretised(self, solver: Solver, layers: int) -> Self:
        """The same weights with equal steps of another method: `("euler", L)` is the residual network of L layers."""
        return dataclasses.replace(self, solver=solver, layers=layers, tolerance=None, adjoint="explicit")

    @property
    def width(self) -> int:
        """The number of neurons m."""
        return len(self.readout)

    @property
    def scales(self) -> tuple[float, float, float]:
        """σ_u/√d, σ_w/√m, σ_v/√m: what multiplies U, W and v."""
        m, d = self.inject.shape
        return self.sigma_u / float(np.sqrt(d)), self.sigma_w / float(np.sqrt(m)), self.sigma_v / float(np.sqrt(m))

    def trainable(self) -> PyTree:
        """U, W and v."""
        frozen = jax.tree.map(lambda _: False, self)
        return eqx.tree_at(_weights, frozen, (True, True, True))

    def __call__(self, x: Float[Array, " d"]) -> Float[Array, ""]:
        """f(x)."""
        return self.outputs(x[None])[0]

    @eqx.filter_jit
    def outputs(self, x: Float[Array, "n d"], state: PyTree = None) -> Float[Array, " n"]:
        """f on a batch; NaN where the states overflow or an adaptive solve fails."""
        return self.read(self._final(x)[0])

    def start(self, x: Float[Array, "n d"]) -> Float[Array, "n m"]:
        """h_0."""
        if x.dtype != self.inject.dtype:
            raise ValueError(
                f"x: {self.inject.dtype} expected, as the parameters; {x.dtype} came; convert one of the two"
            )
        if x.shape[-1] != self.inject.shape[1]:
            raise ValueError(f"x: inputs of dimension {self.inject.shape[1]} expected, shape {x.shape} came")
        return self.scales[0] * product(x, self.inject.T)

    def velocity(self, h: Float[Array, "n m"]) -> Float[Array, "n m"]:
        """dh/dt."""
        return self.scales[1] * product(self.activation(h), self.hidden.T)

    def read(self, h: Float[Array, "n m"]) -> Float[Array, " n"]:
        """The outputs of final states."""
        return self.scales[2] * product(self.activation(h), self.readout)

    def output_scale(self, x: Float[Array, "n d"], state: PyTree = None) -> float:
        """max_i (σ_v/√m)‖v‖‖φ(h_T)‖ (Cauchy-Schwarz)."""
        return float(_output_scale(self, x))

    def step(self, x: Float[Array, "n d"], y: Float[Array, " n"], state: PyTree) -> Step:
        """Outputs and gradient of ½‖u − y‖² by the model's `adjoint`.

        **Returns:** `info` holds `function_evaluations`, those of dh/dt on the way forward, and `state_max`, the largest
        |h_T|. `result` is `states_overflowed` where a state is not finite, `solver_failed` where an adaptive solve did not
        reach the horizon, or `successful`.

        **Cost:** "explicit": 6nm² FLOPs and 3nm numbers per stage.
        """
        if self.adjoint == "explicit":
            h, points = self.stages(x)
            outputs = self.read(h)
            residual = outputs - y
            lam, kappas = self._backward(h, points, residual)
            terms = (-1, self.width)
            # One product over all stages: each alone would read and write all of the gradient of W again.
            gradient = (
                self.scales[0] * product(lam.T, x),
                self.scales[1] * product(kappas.reshape(terms).T, self.activation(points).reshape(terms)),
                self.scales[2] * product(residual, self.activation(h)),
            )
            tree = eqx.tree_at(_weights, eqx.filter(self, self.trainable()), gradient)
            count, good = jnp.asarray(points.shape[0], jnp.int32), jnp.asarray(True)
        else:
            moved, fixed = eqx.partition(self, self.trainable())

            def solve(moved):
                model = eqx.combine(moved, fixed)
                h, count, good = model._final(x)
                return model.read(h), (h, count, good)

            outputs, pullback, (h, count, good) = jax.vjp(solve, moved, has_aux=True)
            (tree,) = pullback(outputs - y)
        result = RESULTS.where(good, RESULTS.successful, RESULTS.solver_failed)  # pyright: ignore[reportArgumentType]
        result = RESULTS.where(good & ~jnp.all(jnp.isfinite(h)), RESULTS.states_overflowed, result)  # pyright: ignore
        info: dict[str, Any] = {"function_evaluations": count, "state_max": jnp.max(jnp.abs(h))}
        return Step(outputs, tree, state, info, result)

    def tangent_blocks(self, x: Float[Array, "n d"], state: PyTree = None) -> dict[str, TangentBlock]:
        """∂f_i/∂U = λ_0 ⊗ x_i, ∂f_i/∂W = Σ κ ⊗ φ(g) over the stages of `layers` equal steps, ∂f_i/∂v = φ(h_T), scaled."""
        h, points = self.stages(x)
        lam, kappas = self._backward(h, points, jnp.ones(len(x), x.dtype))
        u, w, v = self.scales
        return {
            "inject": TangentBlock(u * lam, x),
            "hidden": TangentBlock(w * jnp.moveaxis(kappas, 0, 1), jnp.moveaxis(self.activation(points), 0, 1)),
            "readout": TangentBlock(v * self.activation(h), jnp.ones((len(x), 1), x.dtype)),
        }

    def stages(self, x: Float[Array, "n d"]) -> tuple[Float[Array, "n m"], Float[Array, "terms n m"]]:
        """h_T and the points at which dh/dt was evaluated, by `layers` equal steps: `layers` times the method's stages."""
        h, points = jax.lax.scan(lambda h, _: self._advance(h), self.start(x), None, length=self.layers)
        return h, points.reshape(-1, *h.shape)

    def trajectory(self, x: Float[Array, "n d"]) -> Trajectory:
        """States and adjoints ∂f/∂h at the ends of the `layers` equal steps."""
        h, points = self.stages(x)
        steps = points.reshape(self.layers, -1, *h.shape)
        last = self._read_adjoint(h, jnp.ones(len(x), x.dtype))

        def back(lam, points):
            before, _ = self._retreat(lam, points)
            return before, before

        _, earlier = jax.lax.scan(back, last, steps, reverse=True)
        return Trajectory(jnp.concatenate([steps[:, 0], h[None]]), jnp.concatenate([earlier, last[None]]))

    def _advance(self, h: Array) -> tuple[Array, Array]:
        """One step: the next state and the points of its stages."""
        (a, b), dt = tableau(self.solver), self.horizon / self.layers
        points, slopes = [], []
        for row in a:
            points.append(_combined(h, dt * row, slopes))
            slopes.append(self.velocity(points[-1]))
        return _combined(h, dt * b, slopes), jnp.stack(points)

    def _retreat(self, lam: Array, points: Array) -> tuple[Array, Array]:
        """λ before a step from λ after it, and the κ of its stages."""
        (a, b), dt = tableau(self.solver), self.horizon / self.layers
        stages = len(b)
        kappas: list[Array] = [lam] * stages
        gammas: list[Array] = [lam] * stages
        for s in reversed(range(stages)):
            kappas[s] = _combined(float(dt * b[s]) * lam, dt * a[s + 1 :, s], gammas[s + 1 :])
            gammas[s] = self.activation.derivative(points[s]) * (self.scales[1] * product(kappas[s], self.hidden))
        return _combined(lam, np.ones(stages), gammas), jnp.stack(kappas)

    def _backward(self, h: Array, points: Array, weight: Array) -> tuple[Array, Array]:
        """λ_0 and the κ of all stages, of Σ_i weight_i f_i."""
        steps = points.reshape(self.layers, -1, *h.shape)
        last = self._read_adjoint(h, weight)
        lam, kappas = jax.lax.scan(lambda lam, points: self._retreat(lam, points), last, steps, reverse=True)
        return lam, kappas.reshape(points.shape)

    def _read_adjoint(self, h: Array, weight: Array) -> Array:
        return self.scales[2] * weight[:, None] * self.activation.derivative(h) * self.readout

    def _final(self, x: Array) -> tuple[Float[Array, "n m"], Int[Array, ""], Bool[Array, ""]]:
        """h_T, evaluations of dh/dt, and whether the solver got there."""
        if self.adjoint == "explicit":
            h, _ = jax.lax.scan(lambda h, _: (self._advance(h)[0], None), self.start(x), None, length=self.layers)
            return h, jnp.asarray(self.layers * len(tableau(self.solver)[1]), jnp.int32), jnp.asarray(True)
        import diffrax  # nearly as long to import as JAX itself

        start = self.start(x)
        fixed = self.tolerance is None
        tolerance = 0.0 if self.tolerance is None else self.tolerance
        controller = diffrax.ConstantStepSize() if fixed else diffrax.PIDController(rtol=tolerance, atol=tolerance)
        adjoints = {
            "checkpoint": diffrax.RecursiveCheckpointAdjoint,
            "direct": diffrax.DirectAdjoint,
            "backsolve": diffrax.BacksolveAdjoint,
        }
        zero, end = jnp.zeros((), start.dtype), jnp.asarray(self.horizon, start.dtype)
        solution = diffrax.diffeqsolve(
            # Backsolve differentiates in the arguments alone, so W has to be one.
            diffrax.ODETerm(lambda t, h, hidden: self.scales[1] * product(self.activation(h), hidden.T)),
            _diffrax_solver(self.solver),
            t0=zero,
            t1=end,
            dt0=end / self.layers if fixed else None,
            y0=start,
            args=self.hidden,
            stepsize_controller=controller,
            adjoint=adjoints[self.adjoint](),
            # Equal steps may end an ulp before T, and then one more is a sliver.
            max_steps=self.layers + 1 if fixed else self.max_steps,
            throw=False,
        )
        assert solution.ys is not None
        count = solution.stats["num_steps"] * len(tableau(self.solver)[1])
        return solution.ys[0], jnp.asarray(count, jnp.int32), solution.result == diffrax.RESULTS.successful


def check_dynamics(horizon: float, sigma_u: float | None, sigma_w: float, sigma_v: float) -> None:
    """Raise `ValueError` unless T, σ_u, σ_w and σ_v are positive and finite (`None` for σ_u is √d)."""
    if not 0 < horizon < float("inf"):
        raise ValueError(f"horizon: a positive time T expected, {horizon} came; 1 is the usual one")
    for name, value in (("sigma_u", sigma_u), ("sigma_w", sigma_w), ("sigma_v", sigma_v)):
        if value is not None and not 0 < value < float("inf"):
            raise ValueError(f"{name}: a positive number expected, {value} came; raise it")


def check_solver(solver: str, tolerance: float | None, adjoint: str | None) -> None:
    """Raise `ValueError` for an unknown solver or adjoint, and for combinations that do not exist."""
    if solver not in SOLVERS:
        raise ValueError(f"solver: one of {', '.join(SOLVERS)} expected, {solver!r} came")
    if adjoint is not None and adjoint not in ADJOINTS:
        raise ValueError(f"adjoint: one of {', '.join(ADJOINTS)} expected, {adjoint!r} came")
    if tolerance is None:
        return
    if not 0 < tolerance < 1:
        raise ValueError(f"tolerance: a number in (0, 1) expected, {tolerance} came; 1e-6 is a usual one")
    if solver not in ADAPTIVE:
        raise ValueError(
            f"solver: {solver} has no error estimate and cannot adapt its steps; take {', '.join(ADAPTIVE)} with a "
            "tolerance, or leave the tolerance out"
        )
    if adjoint == "explicit":
        raise ValueError(
            "adjoint: checkpoint, direct or backsolve expected with a tolerance, 'explicit' came; it needs equal steps"
        )


@functools.cache
def tableau(solver: Solver) -> tuple[Float[np.ndarray, "s s"], Float[np.ndarray, " s"]]:
    """a (strictly lower triangular) and b of an explicit Runge-Kutta method, without stages that the result does not use."""
    if solver == "euler":
        return np.zeros((1, 1)), np.ones(1)
    if solver == "heun":
        return np.array([[0.0, 0.0], [1.0, 0.0]]), np.array([0.5, 0.5])
    if solver == "rk4":
        return np.diag([0.5, 0.5, 1.0], -1), np.array([1.0, 2.0, 2.0, 1.0]) / 6
    import diffrax

    table = {"tsit5": diffrax.Tsit5, "dopri5": diffrax.Dopri5}[solver].tableau
    b = np.asarray(table.b_sol, float)
    a = np.zeros((len(b), len(b)))
    for row, values in enumerate(table.a_lower, start=1):
        a[row, : len(values)] = values
    used = int(np.flatnonzero(b)[-1]) + 1  # the last stage of both is the first of the next step
    return a[:used, :used], b[:used]


@functools.cache
def _diffrax_solver(solver: Solver) -> Any:
    import diffrax

    if solver != "rk4":
        return {
            "euler": diffrax.Euler, "heun": diffrax.Heun, "tsit5": diffrax.Tsit5, "dopri5": diffrax.Dopri5
        }[solver]()  # fmt: skip
    a, b = tableau("rk4")
    lower = tuple(a[k, :k] for k in range(1, 4))

    class RK4(diffrax.AbstractERK):
        """The classical method, which Diffrax does not have; it has no error estimate."""

        tableau: ClassVar = diffrax.ButcherTableau(
            a_lower=lower, b_sol=b, b_error=np.zeros(4), c=np.array([0.5, 0.5, 1.0])
        )
        interpolation_cls: ClassVar = diffrax.ThirdOrderHermitePolynomialInterpolation.from_k

        def order(self, terms) -> int:
            """Fourth."""
            return 4

    return RK4()


@eqx.filter_jit
def _output_scale(model: NeuralODE, x: Float[Array, "n d"]) -> Float[Array, ""]:
    features = jnp.linalg.norm(model.activation(model._final(x)[0]), axis=1)
    return model.scales[2] * jnp.linalg.norm(model.readout) * jnp.max(features)


def _combined(base: Array, weights: np.ndarray, parts: list[Array]) -> Array:
    """base + Σ weights · parts, zero weights left out."""
    for weight, part in zip(weights, parts, strict=False):
        if weight != 0:
            base = base + float(weight) * part
    return base


def _weights(model: NeuralODE) -> tuple:
    return model.inject, model.hidden, model.readout

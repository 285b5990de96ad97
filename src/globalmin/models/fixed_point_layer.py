"""Networks whose hidden layer is an equilibrium: H = φ(H) Mᵀ + C, f(x_i) = ρ(z_i, x_i) with z = φ(h); what they share.

Rows are samples. M is the hidden weight in the scaling of the model and C what the input injects. What is iterated,
stored and extrapolated is the pre-activation H, not Z = φ(H), and for the adjoint G = (G∘D) M + a, not R = G∘D with
D = φ′(H): a neuron that switches changes R at once and G only through M, which saves one backward iteration per step.
The residual of the loss is not part of G, so G is a good start for the next step although the residual shrinks and
turns. Measured on the deep equilibrium model at n = m = d = 1,000, ‖W‖ = 0.57, float32, tolerance 1e-6: 10 + 10
iterations cold, 2-4 forward from 2H_t − H_{t−1} (5 from H_t) and 7 backward from G_t (7 extrapolated too), and a
quadratic extrapolation of H gains nothing.
"""

from abc import abstractmethod
from typing import Any, Literal, Self

import equinox as eqx
import jax
import jax.numpy as jnp
import lineax as lx
import numpy as np
from jaxtyping import Array, Float

from .. import solvers
from .._core import RESULTS, Estimate, linalg
from ..activations import AbstractActivation
from ..solvers import Solve
from .base import AbstractModel, Step, TangentBlock

CERTIFICATE_TOLERANCE = 1e-12
"""Relative residual of equilibria and adjoints behind a Gram matrix or a certificate, in float64."""

Method = Literal["iteration", "anderson", "splitting"]


class EquilibriumState(eqx.Module):
    """The last solutions of a run, from which the next solves start."""

    hidden: Float[Array, "n m"]  # H_t
    previous: Float[Array, "n m"]  # H_{t−1}
    adjoint: Float[Array, "n m"]  # G_t, the loss's residual not in it
    probe: Float[Array, " m"]  # unit vector on its way to the top singular vector of M

    def forward(self) -> Float[Array, "n m"]:
        """2H_t − H_{t−1}."""
        return 2 * self.hidden - self.previous


class Masked(eqx.Module):
    """The linear "activation" G ↦ G∘D of the adjoint."""

    slopes: Float[Array, "*n m"]

    @eqx.filter_jit
    def __call__(self, g: Float[Array, "*n m"]) -> Float[Array, "*n m"]:
        """G∘D."""
        return g * self.slopes


class AbstractEquilibriumModel(AbstractModel):
    """Equilibrium and adjoint by the solvers, warm starts, well-posedness, and the gradient from the two solutions.

    A subclass gives M (`matrix`), C (`shift`), the output (`read`) and the gradient's outer products (`_gradient`).
    The equilibrium exists and is unique if sup|φ′| ‖M‖ < 1, or if 0 ≤ φ′ ≤ 1 and μ = λ_max((M + Mᵀ)/2) < 1
    (`well_posed`). `method` "iteration" and "anderson" need the first, "splitting" the second.
    """

    hidden: eqx.AbstractVar[Float[Array, "m m"]]
    inject: eqx.AbstractVar[Float[Array, "m d"]]
    readout: eqx.AbstractVar[Float[Array, " m"]]  # a: the weights of z in the output
    activation: eqx.AbstractVar[AbstractActivation]
    tolerance: eqx.AbstractVar[float]  # of a training step, relative to ‖C‖ and √n ‖a‖
    max_steps: eqx.AbstractVar[int]
    method: eqx.AbstractVar[Method]

    def __check_init__(self):
        if self.method not in ("iteration", "anderson", "splitting"):
            raise ValueError(f"method: 'iteration', 'anderson' or 'splitting' expected, {self.method!r} came")
        if self.activation.lipschitz is None:
            raise ValueError(
                f"activation: a Lipschitz one expected, {self.activation.name!r} came; with an unbounded slope no "
                "weight guarantees an equilibrium"
            )
        if self.method == "splitting" and not self.activation.slope01:
            raise ValueError(
                f"method 'splitting': an activation with slopes in [0, 1] expected, {self.activation.name!r} came; "
                "use 'iteration' or 'anderson'"
            )

    @abstractmethod
    def matrix(self) -> Float[Array, "m m"]:
        """M, the hidden weight as it acts."""

    @abstractmethod
    def shift(self, x: Float[Array, "*n d"]) -> Float[Array, "*n m"]:
        """C."""

    @abstractmethod
    def read(self, x: Float[Array, "*n d"], z: Float[Array, "*n m"]) -> Float[Array, "*n"]:
        """Outputs from inputs and equilibria."""

    @abstractmethod
    def _gradient(
        self,
        x: Float[Array, "n d"],
        z: Float[Array, "n m"],
        weighted: Float[Array, "n m"],
        rho: Float[Array, " n"],
    ) -> Self:
        """Σ_i ρ_i ∂f_i/∂θ, from the equilibria and the rows ρ_i r_i of the adjoint."""

    @eqx.filter_jit
    def __call__(self, x: Float[Array, " d"]) -> Float[Array, ""]:
        """f(x), solved to 16 eps; differentiable forward and reverse through a dense solve with I − MD, O(m³).

        The reference that shares neither the solve nor the formulas of `step`.
        """
        c = self.shift(x)
        reference = 16 * float(jnp.finfo(c.dtype).eps)
        solved = self._forward(c, jnp.zeros_like(c), reference)
        return self.read(x, self.activation(solved.checked()))

    @eqx.filter_jit
    def cold_state(self, x: Float[Array, "n d"]) -> EquilibriumState:
        """The state that knows nothing: solves from it start at H = C and G = a."""
        c = self.shift(x)
        probe = jnp.full(len(self.readout), float(1 / np.sqrt(len(self.readout))), c.dtype)
        return EquilibriumState(c, c, jnp.broadcast_to(self.readout, c.shape), probe)

    @eqx.filter_jit
    def initial_state(self, x: Float[Array, "n d"]) -> EquilibriumState:
        """Equilibria and adjoints of these parameters from a cold start: the first step is then a warm one."""
        cold = self.cold_state(x)
        h = self._forward(cold.hidden, cold.hidden, self.tolerance).value
        g = self._backward(self.activation.derivative(h), cold.adjoint, self.tolerance).value
        # 30 products leave a Gaussian's norm 1% low; each step adds one.
        probe = jax.lax.fori_loop(0, 30, lambda _, v: self._contraction(v)[1], cold.probe)
        return EquilibriumState(h, h, g, probe)

    def step(
        self,
        x: Float[Array, "n d"],
        y: Float[Array, " n"],
        state: EquilibriumState,
        *,
        tolerance: float | Float[Array, ""] | None = None,
    ) -> Step:
        """Outputs and gradient of ½‖u − y‖² by two warm-started solves and no backpropagation.

        **Arguments:** `tolerance`, if not the model's own; as an array it can change without compiling anew.

        **Returns:** `info` holds `forward_iterations`, `backward_iterations`, the relative residuals
        `fixed_point_residual` (of ‖C‖) and `adjoint_residual` (of √n ‖a‖), and `contraction`, an estimate from below
        of sup|φ′| ‖M‖ (of μ for "splitting"). `result` is the first of: a solve that missed its tolerance or met NaN,
        `not_contractive` where `contraction` ≥ 1, `successful`. The solves stop at `tolerance` or after `max_steps`.

        **Cost:** 2nm² FLOPs per iteration, plus 2nm(m + 2d).
        """
        c = self.shift(x)
        tolerance = self.tolerance if tolerance is None else tolerance
        forward = self._forward(c, state.forward(), tolerance)
        z, slopes = self.activation(forward.value), self.activation.derivative(forward.value)
        backward = self._backward(slopes, state.adjoint, tolerance)
        outputs = self.read(x, z)
        rho = outputs - y
        gradient = self._gradient(x, z, backward.value * slopes * rho[:, None], rho)
        contraction, probe = self._contraction(state.probe)
        info: dict[str, Any] = {
            "forward_iterations": forward.iterations,
            "backward_iterations": backward.iterations,
            "fixed_point_residual": forward.residual,
            "adjoint_residual": backward.residual,
            "contraction": contraction,
        }
        result = RESULTS.where(contraction >= 1, RESULTS.not_contractive, RESULTS.successful)  # pyright: ignore[reportArgumentType]
        for solve in (backward, forward):
            result = RESULTS.where(solve.result == RESULTS.successful, result, solve.result)
        return Step(
            outputs, gradient, EquilibriumState(forward.value, state.hidden, backward.value, probe), info, result
        )

    @eqx.filter_jit
    def outputs(self, x: Float[Array, "n d"], state: EquilibriumState | None = None) -> Float[Array, " n"]:
        """f on a batch, solved as `equilibrium`; raises at run time if the solve fails. Differentiable (GMRES)."""
        return self.read(x, self.equilibrium(x, state).checked())

    def passed(self, x: Float[Array, "n d"], z: Float[Array, "n m"]) -> Float[Array, "n m"]:
        """z after one pass through the layer, φ(zMᵀ + C)."""
        return self.activation(self.preactivations(x, z))

    @abstractmethod
    def factors(
        self, x: Float[Array, "n d"], z: Float[Array, "n m"], r: Float[Array, "n m"]
    ) -> dict[str, TangentBlock]:
        """Per-sample gradients of every block in factored form, at solved equilibria `z` and adjoints `r`."""

    @eqx.filter_jit
    def tangent_blocks(self, x: Float[Array, "n d"], state: EquilibriumState | None = None) -> dict[str, TangentBlock]:
        """`factors` at equilibria and adjoints solved here. Raises at run time if a solve fails."""
        z = self.equilibrium(x, state).checked()
        return self.factors(x, z, self.adjoint(x, z, state).checked())

    @eqx.filter_jit
    def equilibrium(self, x: Float[Array, "n d"], state: EquilibriumState | None = None) -> Solve:
        """Z of a batch to `CERTIFICATE_TOLERANCE` (16 eps in float32), warm-started from `state`.

        `residual` is that of the value returned: ‖φ(ZMᵀ + C) − Z‖ / ‖C‖ (Frobenius), at one product more. It is
        below the tolerance, by "splitting" below max(1, ‖M‖) times it.
        """
        c = self.shift(x)
        start = c if state is None else self._fits(state, c).forward()
        solved = self._forward(c, start, _tight(c), lx.GMRES(rtol=_tight(c), atol=_tight(c)))
        z = self.activation(solved.value)
        residual = _norm(self.activation(product(z, self.matrix().T) + c) - z)
        return Solve(z, solved.iterations, _relative(residual, _norm(c)), solved.result)

    @eqx.filter_jit
    def adjoint(self, x: Float[Array, "n d"], z: Float[Array, "n m"], state: EquilibriumState | None = None) -> Solve:
        """R with rows r_i = D_i(Mᵀr_i + a), the derivative of f(x_i) in the pre-activation, at the equilibria `z`.

        `residual` is that of the value returned: ‖D∘(RM + a) − R‖ / (√n ‖a‖) (Frobenius).
        """
        slopes = self.activation.derivative(self.preactivations(x, z))
        start = jnp.broadcast_to(self.readout, z.shape) if state is None else self._fits(state, z).adjoint
        solved = self._backward(slopes, start, _tight(z))
        r = solved.value * slopes
        residual = _norm((product(r, self.matrix()) + self.readout) * slopes - r)
        return Solve(r, solved.iterations, _relative(residual, self._adjoint_scale(z)), solved.result)

    def preactivations(self, x: Float[Array, "n d"], z: Float[Array, "n m"]) -> Float[Array, "n m"]:
        """H = Z Mᵀ + C."""
        return product(z, self.matrix().T) + self.shift(x)

    def operator_norm(self) -> Estimate:
        """‖M‖ in float64 (of the very float32 numbers, where M is float32)."""
        return linalg.spectral_norm(np.asarray(self.matrix(), np.float64))

    def one_sided_constant(self) -> Estimate:
        """μ = λ_max((M + Mᵀ)/2) in float64; never above ‖M‖."""
        return linalg.lambda_max_symmetric_part(np.asarray(self.matrix(), np.float64))

    def well_posed(self) -> bool:
        """Whether a unique equilibrium is proven for every input: sup|φ′| ‖M‖ < 1, or 0 ≤ φ′ ≤ 1 and μ < 1."""
        if not bool(jnp.all(jnp.isfinite(self.hidden))):
            return False
        if self.activation.slope01 and self.one_sided_constant().upper < 1:
            return True
        return self._lipschitz() * self.operator_norm().upper < 1

    def _injected(self, x: Float[Array, "*n d"]) -> Float[Array, "*n m"]:
        if x.dtype != self.inject.dtype:
            raise ValueError(
                f"x: {self.inject.dtype} expected, as the parameters; {x.dtype} came; convert one of the two"
            )
        if x.shape[-1] != self.inject.shape[1]:
            raise ValueError(f"x: inputs of dimension {self.inject.shape[1]} expected, shape {x.shape} came")
        return product(x, self.inject.T)

    def _fits(self, state: EquilibriumState, like: Float[Array, "n m"]) -> EquilibriumState:
        if state.hidden.shape != like.shape or state.hidden.dtype != like.dtype:
            raise ValueError(
                f"state: {like.dtype} of shape {like.shape} expected, as these inputs ask; {state.hidden.dtype} of "
                f"shape {state.hidden.shape} came; pass the state of the same batch, or none"
            )
        return state

    def _lipschitz(self) -> float:
        assert self.activation.lipschitz is not None  # __check_init__
        return self.activation.lipschitz

    def _adjoint_scale(self, like: Float[Array, "*n m"]) -> Float[Array, ""]:
        return _norm(self.readout) * float(np.sqrt(like.size / like.shape[-1]))

    def _forward(self, c: Array, start: Array, tolerance: float | Array, linear_solver=None) -> Solve:
        """H from C."""
        return self._solve(self.activation, self.matrix().T, c, start, tolerance, _norm(c), linear_solver)

    def _backward(self, slopes: Array, start: Array, tolerance: float | Array) -> Solve:
        """G from D: the same equation with a linear φ and Mᵀ."""
        return self._solve(
            Masked(slopes), self.matrix(), self.readout, start, tolerance, self._adjoint_scale(slopes), None
        )

    def _solve(self, phi, matrix, shift, start, tolerance, scale, linear_solver) -> Solve:
        if self.method == "splitting":
            solver = solvers.Splitting(tolerance, phi, matrix, shift)
        elif self.method == "anderson":
            solver = solvers.Anderson(tolerance)
        else:
            solver = solvers.Iteration(tolerance)
        return solvers.solve(
            _image,
            start,
            (phi, matrix, shift),
            scale=scale,
            solver=solver,
            max_steps=self.max_steps,
            linear_solver=linear_solver,
        )

    def _contraction(self, probe: Float[Array, " m"]) -> tuple[Float[Array, ""], Float[Array, " m"]]:
        """One power iteration: a lower estimate of what the method needs below 1, and the next probe.

        It exceeds no true value, so `not_contractive` is never a false alarm; the proof that a norm is below 1 is
        `well_posed`, in float64, at the monitors' epochs.
        """
        matrix = self.matrix()
        if self.method == "splitting":
            # Shifted by 1, so that the largest eigenvalue and not the most negative one wins.
            image = (product(matrix, probe) + product(probe, matrix)) / 2 + probe
            value = product(probe, image) - 1
        else:
            half = product(matrix, probe)
            value = self._lipschitz() * _norm(half)
            image = product(half, matrix)
        length = _norm(image)
        return value, jnp.where(length > 0, image / jnp.where(length > 0, length, 1), probe)


def _image(h: Array, args: tuple) -> Array:
    # At module level: a function made anew at each call would be compiled anew.
    phi, matrix, shift = args
    return product(phi(h), matrix) + shift


def product(a: Array, b: Array) -> Array:
    """The matrix product a b at full precision, on every device."""
    return jnp.matmul(a, b, precision=jax.lax.Precision.HIGHEST)


def _norm(a: Array) -> Array:
    return jnp.sqrt(jnp.sum(jax.lax.square(a)))


def _relative(residual: Array, scale: Array) -> Array:
    return residual / jnp.where(scale > 0, scale, 1)


def _tight(like: Array) -> float:
    return max(CERTIFICATE_TOLERANCE, 16 * float(jnp.finfo(like.dtype).eps))

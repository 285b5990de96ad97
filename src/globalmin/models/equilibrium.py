"""Deep equilibrium model f(x) = aᵀz, z = φ(Wz + Ux), all of W, U and a trained (Ling et al., AISTATS 2023).

Rows are samples: Z = φ(H), H = Z Wᵀ + X Uᵀ. What is iterated, stored and extrapolated is H, not Z, and for the adjoint
G = (G∘D) W + a, not R = G∘D with D = φ′(H): a neuron that switches changes R at once and G only through W, which saves
one backward iteration per step. The residual of the loss is not part of G, so G is a good start for the next step
although the residual shrinks and turns. Measured at n = m = d = 1,000, ‖W‖ = 0.57, float32, tolerance 1e-6: 10 + 10
iterations cold, 2-4 forward from 2H_t − H_{t−1} (5 from H_t) and 7 backward from G_t (7 extrapolated too), and a
quadratic extrapolation of H gains nothing.
"""

from typing import Any, Literal

import equinox as eqx
import jax
import jax.numpy as jnp
import lineax as lx
import numpy as np
from jaxtyping import Array, Float, PRNGKeyArray, PyTree

from .. import solvers
from .._core import RESULTS, Estimate, linalg, numerics
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
    probe: Float[Array, " m"]  # unit vector on its way to the top singular vector of W

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


class Equilibrium(AbstractModel):
    """Deep equilibrium model of width m on inputs of dimension d; rows of norm √d are what the theory assumes.

    The equilibrium exists and is unique if sup|φ′| ‖W‖ < 1, or if 0 ≤ φ′ ≤ 1 and μ = λ_max((W + Wᵀ)/2) < 1
    (`well_posed`). `method` "iteration" and "anderson" need the first, "splitting" the second.
    """

    hidden: Float[Array, "m m"]  # W
    inject: Float[Array, "m d"]  # U
    readout: Float[Array, " m"]  # a
    activation: AbstractActivation
    tolerance: float = eqx.field(static=True, default=1e-6)  # of a training step, relative to ‖UX‖ and √n ‖a‖
    max_steps: int = eqx.field(static=True, default=500)
    method: Method = eqx.field(static=True, default="iteration")

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

    @classmethod
    def init(
        cls,
        dimension: int,
        width: int,
        activation: AbstractActivation,
        *,
        key: PRNGKeyArray,
        sigma_w2: float = 0.08,
        dtype=jnp.float64,
        tolerance: float = 1e-6,
        max_steps: int = 500,
        method: Method = "iteration",
    ) -> "Equilibrium":
        """W_ij ~ N(0, 2σ_w²/m), U_ij ~ N(0, 2/d), a_j ~ N(0, 1/m), independent (Assumption 1).

        **Raises:** `ValueError` for a dimension or width below 1, and for σ_w² outside (0, 1/8).
        """
        numerics.check_count("dimension", dimension)
        numerics.check_count("width", width)
        if not 0 < sigma_w2 < 0.125:
            raise ValueError(
                f"sigma_w2: a number in (0, 1/8) expected, {sigma_w2} came; ‖W‖ tends to 2√2 σ_w, and from 1/8 on it "
                "is no longer below 1"
            )
        w_key, u_key, a_key = jax.random.split(key, 3)
        hidden = jax.random.normal(w_key, (width, width), dtype) * float(np.sqrt(2 * sigma_w2 / width))
        inject = jax.random.normal(u_key, (width, dimension), dtype) * float(np.sqrt(2 / dimension))
        readout = jax.random.normal(a_key, (width,), dtype) / float(np.sqrt(width))
        return cls(hidden, inject, readout, activation, tolerance, max_steps, method)

    @eqx.filter_jit
    def __call__(self, x: Float[Array, " d"]) -> Float[Array, ""]:
        """f(x), solved to 16 eps; differentiable forward and reverse through a dense solve with I − WD, O(m³).

        The reference that shares neither the solve nor the formulas of `step`.
        """
        c = self._injected(x)
        reference = 16 * float(jnp.finfo(c.dtype).eps)
        solved = self._forward(c, jnp.zeros_like(c), reference)
        return _product(self.activation(solved.checked()), self.readout)

    def trainable(self) -> PyTree:
        """W, U and a."""
        frozen = jax.tree.map(lambda _: False, self)
        return eqx.tree_at(_weights, frozen, (True, True, True))

    @eqx.filter_jit
    def initial_state(self, x: Float[Array, "n d"]) -> EquilibriumState:
        """Equilibria and adjoints of these parameters from a cold start: the first step is then a warm one."""
        c = self._injected(x)
        h = self._forward(c, c, self.tolerance).value
        g = self._backward(self.activation.derivative(h), jnp.broadcast_to(self.readout, h.shape), self.tolerance).value
        probe = jnp.full(len(self.readout), float(1 / np.sqrt(len(self.readout))), c.dtype)
        # 30 products leave a Gaussian W's norm 1% low; each step adds one.
        probe = jax.lax.fori_loop(0, 30, lambda _, v: self._contraction(v)[1], probe)
        return EquilibriumState(h, h, g, probe)

    def step(self, x: Float[Array, "n d"], y: Float[Array, " n"], state: EquilibriumState) -> Step:
        r"""Outputs and gradient of ½‖u − y‖² by two warm-started solves and no backpropagation.

        With the residual $\rho = u - y$ and rows $r_i$ of R: $\nabla_W = (\mathrm{diag}(\rho) R)^\top Z$,
        $\nabla_U = (\mathrm{diag}(\rho) R)^\top X$, $\nabla_a = Z^\top \rho$.

        **Returns:** `info` holds `forward_iterations`, `backward_iterations`, the relative residuals
        `fixed_point_residual` (of ‖UX‖) and `adjoint_residual` (of √n ‖a‖), and `contraction`, an estimate from below
        of sup|φ′| ‖W‖ (of μ for "splitting"). `result` is the first of: a solve that missed its tolerance or met NaN,
        `not_contractive` where `contraction` ≥ 1, `successful`. The solves stop at `tolerance` or after `max_steps`.

        **Cost:** 2nm² FLOPs per iteration, plus 2nm(m + 2d).

        **Source:** Ling et al., AISTATS 2023, section 3.2.
        """
        c = self._injected(x)
        forward = self._forward(c, state.forward(), self.tolerance)
        z, slopes = self.activation(forward.value), self.activation.derivative(forward.value)
        backward = self._backward(slopes, state.adjoint, self.tolerance)
        outputs = _product(z, self.readout)
        rho = outputs - y
        weighted = backward.value * slopes * rho[:, None]
        gradient = eqx.tree_at(
            _weights,
            eqx.filter(self, self.trainable()),
            (_product(weighted.T, z), _product(weighted.T, x), _product(rho, z)),
        )
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
        return _product(self.equilibrium(x, state).checked(), self.readout)

    def output_scale(self, x: Float[Array, "n d"], state: EquilibriumState | None = None) -> float:
        """max_i ‖a‖‖z_i‖ (Cauchy-Schwarz)."""
        features = jnp.linalg.norm(self.equilibrium(x, state).checked(), axis=1)
        return float(jnp.linalg.norm(self.readout) * jnp.max(features))

    @eqx.filter_jit
    def equilibrium(self, x: Float[Array, "n d"], state: EquilibriumState | None = None) -> Solve:
        """Z of a batch to `CERTIFICATE_TOLERANCE` (16 eps in float32), warm-started from `state`.

        `residual` is that of the value returned: ‖φ(ZWᵀ + XUᵀ) − Z‖ / ‖XUᵀ‖ (Frobenius), at one product more. It is
        below the tolerance, by "splitting" below max(1, ‖W‖) times it.
        """
        c = self._injected(x)
        start = c if state is None else self._fits(state, c).forward()
        solved = self._forward(c, start, _tight(c), lx.GMRES(rtol=_tight(c), atol=_tight(c)))
        z = self.activation(solved.value)
        residual = _norm(self.activation(_product(z, self.hidden.T) + c) - z)
        return Solve(z, solved.iterations, _relative(residual, _norm(c)), solved.result)

    @eqx.filter_jit
    def adjoint(self, x: Float[Array, "n d"], z: Float[Array, "n m"], state: EquilibriumState | None = None) -> Solve:
        """R with rows r_i = D_i(Wᵀr_i + a), the derivative of f(x_i) in the pre-activation, at the equilibria `z`.

        `residual` is that of the value returned: ‖D∘(RW + a) − R‖ / (√n ‖a‖) (Frobenius).
        """
        slopes = self.activation.derivative(self.preactivations(x, z))
        start = jnp.broadcast_to(self.readout, z.shape) if state is None else self._fits(state, z).adjoint
        solved = self._backward(slopes, start, _tight(z))
        r = solved.value * slopes
        residual = _norm((_product(r, self.hidden) + self.readout) * slopes - r)
        return Solve(r, solved.iterations, _relative(residual, self._adjoint_scale(z)), solved.result)

    def preactivations(self, x: Float[Array, "n d"], z: Float[Array, "n m"]) -> Float[Array, "n m"]:
        """H = Z Wᵀ + X Uᵀ."""
        return _product(z, self.hidden.T) + self._injected(x)

    @eqx.filter_jit
    def tangent_blocks(self, x: Float[Array, "n d"], state: EquilibriumState | None = None) -> dict[str, TangentBlock]:
        """∂f_i/∂W = r_i ⊗ z_i, ∂f_i/∂U = r_i ⊗ x_i, ∂f_i/∂a = z_i: H = G + RᵀR∘G + RᵀR∘XᵀX, exact for any φ.

        Raises at run time if a solve fails.
        """
        z = self.equilibrium(x, state).checked()
        r = self.adjoint(x, z, state).checked()
        return {
            "hidden": TangentBlock(r, z),
            "inject": TangentBlock(r, x),
            "readout": TangentBlock(z, jnp.ones((len(x), 1), x.dtype)),
        }

    def operator_norm(self) -> Estimate:
        """‖W‖ in float64 (of the very float32 numbers, where W is float32)."""
        return linalg.spectral_norm(np.asarray(self.hidden, np.float64))

    def one_sided_constant(self) -> Estimate:
        """μ = λ_max((W + Wᵀ)/2) in float64; never above ‖W‖."""
        return linalg.lambda_max_symmetric_part(np.asarray(self.hidden, np.float64))

    def well_posed(self) -> bool:
        """Whether a unique equilibrium is proven for every input: sup|φ′| ‖W‖ < 1, or 0 ≤ φ′ ≤ 1 and μ < 1."""
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
        return _product(x, self.inject.T)

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

    def _forward(self, c: Array, start: Array, tolerance: float, linear_solver=None) -> Solve:
        """H from XUᵀ."""
        return self._solve(self.activation, self.hidden.T, c, start, tolerance, _norm(c), linear_solver)

    def _backward(self, slopes: Array, start: Array, tolerance: float) -> Solve:
        """G from D: the same equation with a linear φ and Wᵀ."""
        return self._solve(
            Masked(slopes), self.hidden, self.readout, start, tolerance, self._adjoint_scale(slopes), None
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
        if self.method == "splitting":
            # Shifted by 1, so that the largest eigenvalue and not the most negative one wins.
            image = (_product(self.hidden, probe) + _product(probe, self.hidden)) / 2 + probe
            value = _product(probe, image) - 1
        else:
            half = _product(self.hidden, probe)
            value = self._lipschitz() * _norm(half)
            image = _product(half, self.hidden)
        length = _norm(image)
        return value, jnp.where(length > 0, image / jnp.where(length > 0, length, 1), probe)


def _weights(model: Equilibrium) -> tuple:
    return model.hidden, model.inject, model.readout


def _image(h: Array, args: tuple) -> Array:
    # At module level: a function made anew at each call would be compiled anew.
    phi, matrix, shift = args
    return _product(phi(h), matrix) + shift


def _product(a: Array, b: Array) -> Array:
    return jnp.matmul(a, b, precision=jax.lax.Precision.HIGHEST)


def _norm(a: Array) -> Array:
    return jnp.sqrt(jnp.sum(jax.lax.square(a)))


def _relative(residual: Array, scale: Array) -> Array:
    return residual / jnp.where(scale > 0, scale, 1)


def _tight(like: Array) -> float:
    return max(CERTIFICATE_TOLERANCE, 16 * float(jnp.finfo(like.dtype).eps))

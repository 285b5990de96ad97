"""The Neural ODE of Gao, Sun, Liu and Gao (2025)."""

import dataclasses
import math
from functools import cached_property
from typing import Any, ClassVar

import equinox as eqx
import jax
import jax.flatten_util
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, PRNGKeyArray

from .. import gram
from .._core import RESULTS, Estimate, UnsolvedError, linalg
from ..activations import AbstractActivation
from ..activations import get as activation_named
from ..kernels import NeuralODEKernel, UntiedODEKernel
from ..kernels.neural_ode import AbstractODEKernel
from ..models import NeuralODE
from ..models.neural_ode import Adjoint, Solver, Trajectory, check_dynamics, check_solver
from ..theory import AbstractCertificate, gao2025
from ..theory.curvature import HalfSlopes, NeuralODECurvature, relative_norm
from ..theory.kantorovich import Block, Curvature
from .base import AbstractSystem, Limit, Question, full_block, full_curvature
from .iterate import Iterate
from .solved import euclidean

NORMS = 4
"""Of the powers A^jW in the drift of the read-out's block, so many have their norm computed."""

FINER = 4
"""Steps of the classical Runge-Kutta method that stand for the ODE, per step of Euler's method."""


class ODEIterate(Iterate):
    """An iterate of a Neural ODE: states and adjoints of the discretised network serve bounds, monitors and certificates."""

    model: NeuralODE

    @cached_property
    def outputs(self) -> np.ndarray:
        """u. **Raises:** `UnsolvedError` where the states overflow or an adaptive solve does not reach the horizon."""
        outputs = np.asarray(_outputs(self.model, self.x))
        if not np.isfinite(outputs).all():
            adaptive = self.model.tolerance is not None
            raise UnsolvedError(RESULTS[RESULTS.solver_failed if adaptive else RESULTS.states_overflowed])  # pyright: ignore
        return outputs

    @cached_property
    def trajectory(self) -> Trajectory:
        """h_k and λ_k at the ends of the steps, as NumPy arrays."""
        return jax.tree.map(np.asarray, _trajectory(self.model, self.x))

    @cached_property
    def finer(self) -> NeuralODE:
        """The same weights by `FINER` times as many steps of fourth order: the ODE, as far as a comparison can see."""
        return self.model.discretised("rk4", FINER * self.model.layers)

    @property
    def solve_error(self) -> float:
        """0 for equal steps, which are the network; for adaptive ones the relative distance of the outputs from those of
        the `layers` steps that resolve the tangent kernel: measured, no proof."""
        if self.model.tolerance is None:
            return 0.0
        fixed = np.asarray(_outputs(self.model.discretised(self.model.solver, self.model.layers), self.x))
        scale = max(float(np.abs(self.outputs).max()), np.finfo(float).tiny)
        return float(np.abs(fixed - self.outputs).max() / scale) + float(self.model.tolerance)

    @cached_property
    def operator_norm(self) -> Estimate:
        """σ_w‖W‖/√m; over the horizon a perturbation grows by exp(sup|φ′| T) to this power at most."""
        w = linalg.spectral_norm(np.asarray(self.model.hidden))
        return Estimate(self.model.scales[1] * w.value, self.model.scales[1] * w.error)

    def gradient_gap(self) -> float:
        """‖Jᵀr of the discretised network − Jᵀr of the ODE‖ over the latter, for the same r: of order 1/L.

        Infinite where the ODE's states leave every bound before the horizon, though the network's few steps do not.
        """
        # The same residual for both: that of the ODE does not vanish where the network fits.
        targets = (_outputs(m, self.x) - self.residual for m in (self.model, self.finer))
        one, other = (_gradient(m, self.x, y) for m, y in zip((self.model, self.finer), targets, strict=True))
        size = max(float(jnp.linalg.norm(other)), np.finfo(float).tiny)
        gap = float(jnp.linalg.norm(one - other)) / size
        return math.inf if math.isnan(gap) else gap

    def sample_gaps(self, fine: "ODEIterate | None" = None) -> tuple[float, float]:
        """Largest ‖∇f^L − ∇f‖ over the samples and largest |K^L − K|, against another network (`finer`)."""
        fine = self.of(self.finer) if fine is None else fine
        # ‖a − b‖² = K_aa − 2 a·b + K_bb; the mixed products are those of the stacked factors of both networks.
        both = {
            name: type(block)(jnp.concatenate([block.left, other.left]), jnp.concatenate([block.right, other.right]))
            for name, (block, other) in _padded(self.blocks, fine.blocks).items()
        }
        n = len(self.outputs)
        k = np.sum([np.asarray(share) for share in gram.grams_of(both).values()], axis=0)
        squares = np.diag(k)[:n] - 2 * np.diag(k[:n, n:]) + np.diag(k)[n:]
        return float(np.sqrt(max(squares.max(), 0.0))), float(np.abs(k[:n, :n] - k[n:, n:]).max())

    def of(self, model: NeuralODE) -> "ODEIterate":
        """Another network on the same data."""
        return ODEIterate(model, self.x, self.y)


class NeuralODESystem(AbstractSystem):
    """f = (σ_v/√m) v·φ(h_T), dh/dt = (σ_w/√m) W φ(h), h_0 = (σ_u/√d) U x, all of U, W, v trained."""

    name: ClassVar[str] = "neural-ode"
    title: ClassVar[str] = "Neural ODE with tied weights"
    paper: ClassVar[str] = "Gao, Sun, Liu, Gao, ICLR 2025"
    kernel_name: ClassVar[str] = "ntk"
    kernel_options: ClassVar[tuple[str, ...]] = ("time_steps", "tied")
    theorems_listed: ClassVar[tuple[str, ...]] = (
        "Proposition 2", "Lemma 2", "Theorem 2", "Corollary 1", "Theorem 3", "Lemmas 16-18", "Kantorovich",
    )  # fmt: skip
    figures: ClassVar[tuple[str, ...]] = ("neural-ode-convergence", "neural-ode-activations")
    row_norm: ClassVar[str] = "unit"
    options: ClassVar[tuple[str, ...]] = (
        "activation", "horizon", "layers", "sigma_u", "sigma_w", "sigma_v", "solver", "tolerance", "adjoint",
    )  # fmt: skip

    activation: AbstractActivation = eqx.field(default_factory=lambda: activation_named("softplus"))
    horizon: float = 1.0
    layers: int = 10
    sigma_u: float | None = None
    sigma_w: float = 1.0
    sigma_v: float = 1.0
    solver: Solver = "euler"
    tolerance: float | None = None
    adjoint: Adjoint | None = None

    def __check_init__(self):
        check_dynamics(self.horizon, self.sigma_u, self.sigma_w, self.sigma_v)
        check_solver(self.solver, self.tolerance, self.adjoint)
        if self.layers < 1:
            raise ValueError(f"layers: an integer of at least 1 expected, {self.layers} came")

    def init(self, dimension: int, width: int, *, key: PRNGKeyArray, dtype=jnp.float64) -> NeuralODE:
        """All entries N(0, 1)."""
        return NeuralODE.init(
            dimension,
            width,
            self.activation,
            key=key,
            sigma_u=self.sigma_u,
            sigma_w=self.sigma_w,
            sigma_v=self.sigma_v,
            horizon=self.horizon,
            layers=self.layers,
            solver=self.solver,
            tolerance=self.tolerance,
            adjoint=self.adjoint,
            dtype=dtype,
        )

    def kernel(self, *, depth: int | None = None, **options: Any) -> AbstractODEKernel:
        """K^∞ with its parts; with `depth` of the residual network of so many layers; `tied=False`: independent weights."""
        tied = options.pop("tied", True)
        common = {
            "sigma_u": self.sigma_u,
            "sigma_w": self.sigma_w,
            "sigma_v": self.sigma_v,
            "horizon": self.horizon,
            **options,
        }
        if tied:
            return NeuralODEKernel(self.activation, layers=depth, **common)
        self.refuse_depth(depth)
        return UntiedODEKernel(self.activation, **common)

    @property
    def limit_missing(self) -> str:
        """Why there is no limit kernel for inputs of norm 1 (with σ_u = √d, as otherwise it depends on d), or ""."""
        if self.sigma_u is not None or math.isfinite(float(self.kernel().final_variance(1.0))):
            return ""
        return (
            f"with {self.activation.name} the variance of the states explodes before the horizon {self.horizon:g} at sigma_w = "
            f"{self.sigma_w:g}; lower sigma_w times the horizon"
        )

    def limit(self, x: Float[Array, "n d"]) -> Limit | None:
        """The limit kernels, or `None` where their variance explodes before the horizon."""
        try:
            self.kernel().check_growth(x)
        except ValueError:
            return None
        return super().limit(x)

    def iterate(self, model: NeuralODE, x, y, state=None) -> ODEIterate:  # pyright: ignore
        """The model on its data."""
        return ODEIterate(model, x, y, state)

    def theorems(self, question: Question) -> tuple[AbstractCertificate, ...]:
        """Theorem 3 with its lemmas: corrected with explicit constants, and as printed; the theorems on the limit."""
        first = question.start
        assert isinstance(first, ODEIterate)
        phi, limit = self.activation, question.lambda_0
        start = self._start(first, question)
        states, adjoints = first.trajectory.states, first.trajectory.adjoints
        grown = _largest_row(states), _largest_row(adjoints)
        after = first.of(_descended(first.model, first.x, first.y, question.step_size))
        du, dw, dv = (
            float(jnp.linalg.norm(getattr(after.model, b) - getattr(first.model, b))) for b in NeuralODE.blocks
        )
        moved = after.trajectory
        return (
            gao2025.GlobalConvergence(start, question.step_size),
            gao2025.GradientDescent(start, question.step_size),
            gao2025.BlockFlow(start),
            gao2025.Theorem3Printed(start, question.step_size),
            gao2025.Lemma16Printed(start, question.step_size),
            gao2025.GradientGap(start, *first.sample_gaps()),
            gao2025.Growth(start, *grown),
            gao2025.GrowthPrinted(start, *grown),
            gao2025.Sensitivity(
                start,
                self._start(after, question),
                du,
                dw,
                dv,
                _largest_row(moved.states - states),
                _largest_row(moved.adjoints - adjoints),
            ),
            gao2025.PositiveLimit(question.closest_angle, limit, phi.polynomial_degree, phi.name),
            gao2025.PositiveLimitPrinted(question.closest_angle, limit, phi.polynomial_degree, phi.name),
            gao2025.InitialGramMeasured(first.lambda_min, limit),
            gao2025.InitialGramPrinted(start),
        )

    def _start(self, iterate: ODEIterate, question: Question) -> gao2025.Start:
        model, x, phi = iterate.model, np.asarray(iterate.x), self.activation
        u, w, v = (np.asarray(part) for part in (model.inject, model.hidden, model.readout))
        norms = np.linalg.norm(x, axis=1)
        return gao2025.Start(
            n=len(x),
            width=question.width,
            layers=model.layers,
            lambda_0=iterate.lambda_min,
            readout_0=iterate.block_lambda_min("readout"),
            limit_0=question.lambda_0,
            lambda_max=iterate.lambda_max,
            rho_0=iterate.rho,
            norm_u=linalg.spectral_norm(u),
            norm_w=linalg.spectral_norm(w),
            norm_v=euclidean(v),
            norm_x=linalg.spectral_norm(x),
            norm_x_f=euclidean(x),
            v_max=float(np.abs(v).max()),
            w_column=float(np.linalg.norm(w, axis=0).max()),
            x_max=float(norms.max()),
            u_scale=model.scales[0],
            sigma_w=self.sigma_w,
            sigma_v=self.sigma_v,
            horizon=self.horizon,
            slope=_finite(phi.lipschitz),
            bend=_finite(phi.curvature),
            third=_finite(phi.third),
            phi0=abs(phi.phi0),
            norm_deviation=float(np.abs(norms - 1).max()),
            activation=phi.name,
        )

    def curvature(self, iterate: ODEIterate) -> tuple[list[Block], Curvature | None, str]:  # pyright: ignore
        """Blocks of the residual network: the read-out's, which needs no smoothness; and, for smooth φ, all of J."""
        phi, model = self.activation, iterate.model
        if model.solver != "euler" or model.tolerance is not None or model.adjoint == "backsolve":
            return [], None, (
                "the certificate is about Euler's method with equal steps and its exact gradient, the residual network; "
                "train with solver euler"
            )  # fmt: skip
        if phi.lipschitz is None:
            return [], None, f"{phi.name} has no finite sup|φ′|, so nothing bounds how fast the states change"
        bound = measured_curvature(iterate, phi)
        half = half_slopes(iterate) if phi.slope01 else None

        def features_lipschitz(radius: float) -> float:
            plain = bound.features_lipschitz(radius)
            return plain if half is None else min(plain, half.lipschitz(radius))

        sigma = iterate.block_lambda_min("readout").sqrt()
        readout = Block("the read-out's features", sigma, features_lipschitz, apart=True)
        if phi.curvature is None or phi.third is None:
            return [readout], None, (
                f"{phi.name} has no finite sup|φ″|: gradient descent has no certificate of this kind; gradient flow has one, "
                "and a smooth φ (tanh, softplus) has both"
            )  # fmt: skip
        blocks = [full_block(iterate, bound.lipschitz), readout]
        source = "Λ from the second derivative of the residual network"
        return blocks, full_curvature(iterate, bound, source), ""

    def watch(self, iterate: ODEIterate, start: ODEIterate) -> dict[str, float]:  # pyright: ignore
        """Norms and distances of the blocks, their shares of λ_min, sizes of states and adjoints, distance from the ODE."""
        now, first = iterate.model, start.model
        states, adjoints = iterate.trajectory.states, iterate.trajectory.adjoints
        features = iterate.block_lambda_min("readout")
        slope = self.activation.lipschitz
        found = {
            "operator_norm": iterate.operator_norm.value,
            "growth": math.inf
            if slope is None
            else math.exp(min(slope * self.horizon * iterate.operator_norm.upper, 700.0)),
            **{f"distance_{b}": float(jnp.linalg.norm(getattr(now, b) - getattr(first, b))) for b in NeuralODE.blocks},
            "lambda_min_features": features.value,
            "lambda_min_features_error": features.error,
            "lambda_min_hidden": iterate.block_lambda_min("hidden").value,
            "lambda_min_inject": iterate.block_lambda_min("inject").value,
            "state_norm": _largest_row(states),
            "adjoint_entry": float(np.abs(adjoints).max()),
            "gradient_gap": iterate.gradient_gap(),
        }
        return found


def measured_curvature(iterate: ODEIterate, phi: AbstractActivation) -> NeuralODECurvature:
    """The numbers of Λ at an iterate of Euler's method."""
    model, states, adjoints = iterate.model, iterate.trajectory.states, iterate.trajectory.adjoints
    w, v, x = (np.asarray(a) for a in (model.hidden, model.readout, iterate.x))
    u_scale, w_scale, v_scale = model.scales
    *features, last = np.asarray(phi(jnp.asarray(states)))
    smooth = phi.curvature is not None and phi.third is not None
    bends = np.asarray(phi.second_derivative(jnp.asarray(states))) if smooth else np.zeros_like(states)
    b = w_scale * adjoints[1:] @ w
    return NeuralODECurvature(
        slope=_finite(phi.lipschitz),
        bend=_finite(phi.curvature),
        third=_finite(phi.third),
        step=model.horizon / model.layers,
        u_scale=u_scale,
        w_scale=w_scale,
        v_scale=v_scale,
        w_norm=iterate.operator_norm.upper / w_scale,
        v_max=float(np.abs(v).max()),
        data_norm=linalg.spectral_norm(x).upper,
        data_max=float(np.linalg.norm(x, axis=1).max()),
        features_norm=tuple(linalg.spectral_norm(f).upper for f in features),
        last_norm=linalg.spectral_norm(last).upper,
        feature_max=tuple(float(np.linalg.norm(f, axis=1).max()) for f in features),
        adjoint_max=tuple(float(np.linalg.norm(a, axis=1).max()) for a in adjoints),
        readout_bend=float(np.abs(v * bends[-1]).max()),
        b_max=tuple(float(np.abs(one).max()) for one in b),
        b_bend=tuple(float(np.abs(one * bend).max()) for one, bend in zip(b, bends[:-1], strict=True)),
    )


def half_slopes(iterate: ODEIterate) -> HalfSlopes | None:
    """The numbers of the read-out's Λ_* for 0 ≤ φ′ ≤ 1; `None` where its Gram is not shown positive definite.

    **Cost:** five norms of m × m matrices.
    """
    model, gram, lambda_min = iterate.model, iterate.block_grams["readout"], iterate.block_lambda_min("readout")
    if not lambda_min.lower > 0:
        return None
    u_scale, w_scale, v_scale = model.scales
    w, x, layers = w_scale * np.asarray(model.hidden), np.asarray(iterate.x), model.layers
    step = model.horizon / layers
    features = np.asarray(model.activation(jnp.asarray(iterate.trajectory.states[:-1])))
    ahead = np.eye(len(w)) + step / 2 * w
    common = linalg.spectral_norm(ahead).upper
    # ‖A^{j+1}W‖ ≤ ‖A‖‖A^jW‖, so that not every power needs its own norm.
    driven, power, stride = [iterate.operator_norm.upper], w, -(-layers // NORMS)
    for j in range(1, layers):
        power = ahead @ power
        exact = linalg.spectral_norm(power).upper if j % stride == 0 else np.inf
        driven.append(min(common * driven[-1], exact))
    return HalfSlopes(
        step=step,
        w_scale=w_scale,
        v_scale=v_scale,
        sigma=lambda_min.sqrt().upper,
        common=common,
        driven=tuple(driven),
        data_norm=u_scale * linalg.spectral_norm(x).upper,
        features_norm=tuple(w_scale * linalg.spectral_norm(f).upper for f in features),
        data_relative=v_scale * u_scale * relative_norm(gram, lambda_min, x),
        features_relative=tuple(v_scale * w_scale * relative_norm(gram, lambda_min, f) for f in features),
    )


def _finite(bound: float | None) -> float:
    return math.inf if bound is None else bound


def _largest_row(a: Array | np.ndarray) -> float:
    """Largest Euclidean norm over times and samples."""
    return float(np.linalg.norm(np.asarray(a), axis=-1).max())


def _padded(blocks, others):
    """Pairs of blocks; terms of the shorter sums are filled up with zeros."""
    found = {}
    for name, one in blocks.items():
        pair = (one, others[name])
        if one.left.ndim > 2:
            most = max(block.left.shape[1] for block in pair)
            pair = tuple(
                dataclasses.replace(
                    block,
                    **{
                        side: jnp.pad(getattr(block, side), ((0, 0), (0, most - getattr(block, side).shape[1]), (0, 0)))
                        for side in ("left", "right")
                    },
                )
                for block in pair
            )
        found[name] = pair
    return found


@eqx.filter_jit
def _outputs(model, x):
    return model.outputs(x)


@eqx.filter_jit
def _trajectory(model, x):
    return model.trajectory(x)


@eqx.filter_jit
def _gradient(model, x, y):
    return jax.flatten_util.ravel_pytree(model.step(x, y, ()).gradient)[0]


@eqx.filter_jit
def _descended(model, x, y, step_size):
    gradient = model.step(x, y, ()).gradient
    return eqx.apply_updates(model, jax.tree.map(lambda g: -step_size * g, gradient))

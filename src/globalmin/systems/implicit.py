"""The implicit ReLU network of Gao, Liu, Liu, Rajan and Gao (2022)."""

from typing import ClassVar

import equinox as eqx
import jax.numpy as jnp
import numpy as np
from jaxtyping import PRNGKeyArray

from .._core import Estimate, linalg
from ..activations import AbstractActivation
from ..activations import get as activation_named
from ..kernels import AbstractKernel, ImplicitKernel, SmoothImplicitKernel, without_limit
from ..models import Implicit
from ..theory import AbstractCertificate, gao2022
from ..theory.curvature import ImplicitCurvature, relative_norm
from ..theory.kantorovich import Block, Curvature
from .base import AbstractSystem, Question, fourth_moment, full_block, full_curvature
from .solved import TRAINING_TOLERANCE, SolvedIterate, euclidean


class ImplicitSystem(AbstractSystem):
    """z = φ((γ/√m) Az + φ(Wx)/√m), f = uᵀz + vᵀφ(Wx)/√m, all of A, W, u, v trained."""

    name: ClassVar[str] = "implicit-relu"
    title: ClassVar[str] = "implicit ReLU network"
    paper: ClassVar[str] = "Gao, Liu, Liu, Rajan, Gao, ICLR 2022"
    kernel_name: ClassVar[str] = "g_infinity"
    limit_of: ClassVar[str] = "lambda_min_features"
    theorems_listed: ClassVar[tuple[str, ...]] = ("Lemmas 2.2-3.4", "Theorem 3.1", "Theorem 3.2", "Kantorovich")
    figures: ClassVar[tuple[str, ...]] = ("gao2022-fig1",)
    row_norm: ClassVar[str] = "unit"
    options: ClassVar[tuple[str, ...]] = ("activation", "gamma")

    activation: AbstractActivation = eqx.field(default_factory=lambda: activation_named("relu"))
    gamma: float = 0.1

    def __check_init__(self):
        if not 0 < self.gamma < 0.5:
            raise ValueError(
                f"gamma: a number in (0, 1/2) expected, {self.gamma} came; (γ/√m)‖A(0)‖ tends to 2γ and must stay below 1"
            )

    def init(self, dimension: int, width: int, *, key: PRNGKeyArray, dtype=jnp.float64) -> Implicit:
        """A_ij, W_ij ~ N(0, 1), u and v uniform on ±1; this γ, whatever the draw: γ₀/c with γ₀ = 2γ and c = 2 stated."""
        return Implicit.init(
            dimension,
            width,
            self.activation,
            key=key,
            gamma0=2 * self.gamma,
            norm_bound=2.0,
            dtype=dtype,
            tolerance=TRAINING_TOLERANCE[jnp.dtype(dtype).name],
        )

    def kernel(self, *, depth: int | None = None, **options: float) -> AbstractKernel:
        """G^∞, the read-outs' NNGP and the full tangent kernel: of the ReLU network, or of a smooth φ with φ(0) = 0."""
        self.refuse_depth(depth)
        if self.activation.name == "relu":
            return ImplicitKernel(self.gamma)
        return SmoothImplicitKernel(self.gamma, self.activation)

    @property
    def limit_missing(self) -> str:
        """Why there is no limit kernel, or ""."""
        return "" if self.activation.name == "relu" else without_limit(self.activation)

    def iterate(self, model: Implicit, x, y, state=None) -> SolvedIterate[Implicit]:  # pyright: ignore
        """The model on its data."""
        return SolvedIterate(model, x, y, state)

    def theorems(self, question: Question) -> tuple[AbstractCertificate, ...]:
        """Theorems 3.1 and 3.2 with their lemmas: corrected with explicit constants, and as printed."""
        first = question.start
        assert isinstance(first, SolvedIterate)
        model, x = first.model, np.asarray(first.x)
        phi = self.activation
        n, width = len(x), question.width
        norm_x = linalg.spectral_norm(x)
        deviation = float(np.abs(np.linalg.norm(x, axis=1) - 1).max())
        features, limit = first.block_lambda_min("skip"), question.lambda_0
        start = gao2022.Start(
            n=n,
            width=width,
            gamma=self.gamma,
            lambda_0=limit,
            features_0=features,
            rho_0=first.rho,
            operator_norm=first.operator_norm,
            one_sided=first.one_sided,
            norm_w=linalg.spectral_norm(np.asarray(model.inject)),
            norm_u=euclidean(np.asarray(model.readout)),
            norm_v=euclidean(np.asarray(model.skip)),
            norm_x=norm_x,
            norm_deviation=deviation,
            activation=phi.name,
            slope=phi.lipschitz or np.inf,
        )
        angle = question.closest_angle
        coherence = Estimate(float(np.cos(angle.value)), angle.error)
        initial = {"n": n, "width": width, "lambda_0": limit, "delta": question.delta, "activation": phi.name}
        return (
            gao2022.BlockFlow(start),
            gao2022.GradientFlow(start),
            gao2022.GradientFlowPrinted(start, delta=question.delta),
            gao2022.ZeroReadout(start, question.step_size),
            gao2022.TwoRateDescent(start),
            gao2022.GradientDescentPrinted(start, question.step_size, question.delta),
            gao2022.Contraction(first.operator_norm, phi.lipschitz or np.inf),
            gao2022.OneSided(first.one_sided, phi.slope01),
            gao2022.PositiveLimit(angle, limit, question.closest_pair, phi.name),
            gao2022.GeometricLimit(n, coherence, deviation, phi.name),
            gao2022.InitialGramMeasured(features, limit),
            gao2022.InitialGramEntrywise(norm_deviation=deviation, **initial),
            gao2022.InitialGramPrinted(norm_deviation=deviation, **initial),
        )

    def curvature(self, iterate: SolvedIterate[Implicit]) -> tuple[list[Block], Curvature | None, str]:  # pyright: ignore
        """Blocks: the features Φ, whose Lipschitz constant is exact and needs no smoothness; for smooth φ all of J."""
        phi, model = self.activation, iterate.model
        slope = phi.lipschitz or np.inf
        rows, width = np.asarray(iterate.x), len(model.readout)
        data_norm = linalg.spectral_norm(rows).upper
        sigma, constant = iterate.block_lambda_min("skip").sqrt(), slope * data_norm / np.sqrt(width)
        if phi.slope01:  # half of every change of Φ is XΔWᵀ/(2√m), whose norm is small in that of Φ's own Gram
            relative = relative_norm(iterate.block_grams["skip"], iterate.block_lambda_min("skip"), rows)
            constant = min(constant, (data_norm + sigma.upper * relative) / (2 * np.sqrt(width)))

        def features_lipschitz(radius: float) -> float:
            # Φ itself is Lipschitz everywhere; the equilibrium must exist along the way for the flow to go on.
            well_posed = iterate.operator_norm.upper * slope + model.scale * radius * slope < 1
            one_sided = phi.slope01 and iterate.one_sided.upper + model.scale * radius < 1
            return constant if well_posed or one_sided else np.inf

        features = Block("the features Φ", sigma, features_lipschitz, apart=True)
        if phi.curvature is None or phi.third is None:
            return [features], None, (
                f"{phi.name} has no finite sup|φ″|: gradient descent slides along its kinks and has no certificate of this "
                "kind; gradient flow has one, and a smooth φ with 0 ≤ φ′ ≤ 1 (tanh, softplus) has both"
            )  # fmt: skip
        z, r, _, _ = iterate.solved
        a, v = np.asarray(model.matrix()), np.asarray(model.skip)
        w = r @ a + np.asarray(model.readout)
        before = np.asarray(model.preactivations(iterate.x, jnp.asarray(z)))
        injected = rows @ np.asarray(model.inject).T
        bends = np.asarray(phi.second_derivative(jnp.asarray(before)))
        inner_bends = np.asarray(phi.second_derivative(jnp.asarray(injected)))
        bound = ImplicitCurvature(
            slope=slope,
            bend=phi.curvature,
            third=phi.third,
            slope01=phi.slope01,
            gamma=model.gamma,
            width=width,
            a_norm=iterate.operator_norm.upper,
            mu=iterate.one_sided.upper,
            a_row=float(np.linalg.norm(a, axis=1).max()),
            a_column=float(np.linalg.norm(a, axis=0).max()),
            u_norm=float(np.linalg.norm(np.asarray(model.readout))),
            data_norm=data_norm,
            data_max=float(np.linalg.norm(rows, axis=1).max()),
            data_fourth=fourth_moment(rows),
            state_norm=linalg.spectral_norm(z).upper,
            state_max=float(np.linalg.norm(z, axis=1).max()),
            state_fourth=fourth_moment(z),
            adjoint_max=float(np.linalg.norm(r, axis=1).max()),
            w_max=float(np.abs(w).max()),
            wbend_max=float(np.abs(w * bends).max()),
            rv_max=float(np.abs(r + v).max()),
            rvbend_max=float(np.abs((r + v) * inner_bends).max()),
            rv_norm=float(np.linalg.norm(r + v, axis=1).max()),
            skip_norm=linalg.spectral_norm(np.asarray(model.features(iterate.x))).upper,
        )
        source = "Λ from the second derivative of the equilibrium"
        return [full_block(iterate, bound.lipschitz), features], full_curvature(iterate, bound, source), ""

    def watch(self, iterate: SolvedIterate[Implicit], start: SolvedIterate[Implicit]) -> dict[str, float]:  # pyright: ignore
        """Norms and distances of the four weights, λ_min(G), (γ/√m)‖A‖ and the one-sided constant, patterns, kinks, solves."""
        now, first = iterate.model, start.model
        features = iterate.block_lambda_min("skip")
        rows = np.asarray(iterate.x).T
        distances, first_distances = (np.abs(np.asarray(model.inject) @ rows) for model in (now, first))
        return {
            "operator_norm": iterate.operator_norm.value,
            "one_sided_norm": iterate.one_sided.value,
            "hidden_norm": linalg.spectral_norm(np.asarray(now.inject)).value,
            "readout_norm": float(jnp.linalg.norm(now.readout)),
            "skip_norm": float(jnp.linalg.norm(now.skip)),
            "distance_hidden": float(jnp.linalg.norm(now.inject - first.inject)),
            "distance_implicit": float(jnp.linalg.norm(now.hidden - first.hidden)),
            "lambda_min_features": features.value,
            "lambda_min_features_error": features.error,
            # The kinks that trained pre-activations slide along are those of φ(Wx).
            "kink_distance": float(np.quantile(distances, 1e-3) / np.median(first_distances)),
            "pattern_change": float((iterate.signs != start.signs).mean()),
            "equilibrium_residual": iterate.solved[2],
        }

"""The deep equilibrium model of Ling, Xie, Wang, Zhang and Lin (2023)."""

from typing import ClassVar

import equinox as eqx
import jax.numpy as jnp
import numpy as np
from jaxtyping import PRNGKeyArray

from .._core import linalg
from ..activations import AbstractActivation
from ..activations import get as activation_named
from ..kernels import AbstractKernel, EquilibriumKernel
from ..models import Equilibrium
from ..theory import AbstractCertificate, ling2023
from ..theory.curvature import EquilibriumCurvature, readout_lipschitz, relative_norm
from ..theory.kantorovich import Block, Curvature
from .base import AbstractSystem, Question, fourth_moment, full_block, full_curvature
from .solved import TRAINING_TOLERANCE, SolvedIterate, euclidean


class EquilibriumSystem(AbstractSystem):
    """z = φ(Wz + Ux), f = aᵀz, all of W, U, a trained."""

    name: ClassVar[str] = "equilibrium"
    title: ClassVar[str] = "deep equilibrium model (DEQ)"
    paper: ClassVar[str] = "Ling, Xie, Wang, Zhang, Lin, AISTATS 2023"
    kernel_name: ClassVar[str] = "k"
    limit_of: ClassVar[str] = "lambda_min_features"
    limit_power: ClassVar[int] = 1
    theorems_listed: ClassVar[tuple[str, ...]] = ("Lemma 1", "Condition 1", "Theorem 1", "Theorem 2", "Kantorovich")
    figures: ClassVar[tuple[str, ...]] = ("ling2023-fig1",)
    row_norm: ClassVar[str] = "sqrt-d"
    options: ClassVar[tuple[str, ...]] = ("activation", "sigma_w2")

    activation: AbstractActivation = eqx.field(default_factory=lambda: activation_named("relu"))
    sigma_w2: float = 0.08

    def __check_init__(self):
        if not 0 < self.sigma_w2 < 1:
            raise ValueError(f"sigma_w2: a number in (0, 1) expected, {self.sigma_w2} came; the paper takes 0.08")

    def init(self, dimension: int, width: int, *, key: PRNGKeyArray, dtype=jnp.float64) -> Equilibrium:
        """W_ij ~ N(0, 2σ_w²/m), U_ij ~ N(0, 2/d), a_j ~ N(0, 1/m)."""
        return Equilibrium.init(
            dimension,
            width,
            self.activation,
            key=key,
            sigma_w2=self.sigma_w2,
            dtype=dtype,
            tolerance=TRAINING_TOLERANCE[jnp.dtype(dtype).name],
        )

    def kernel(self, *, depth: int | None = None, **options: float) -> AbstractKernel:
        """K, Γ and the NTK per width; with `depth`, K^(l) of l passes."""
        kernel = EquilibriumKernel(self.sigma_w2, self.activation)
        return kernel if depth is None else kernel.unrolled(depth)

    def iterate(self, model: Equilibrium, x, y, state=None) -> SolvedIterate[Equilibrium]:  # pyright: ignore
        """The model on its data."""
        return SolvedIterate(model, x, y, state)

    def theorems(self, question: Question) -> tuple[AbstractCertificate, ...]:
        """Lemma 1, Condition 1 and Theorem 1, Theorem 2: printed and corrected."""
        first = question.start
        assert isinstance(first, SolvedIterate)
        model, x = first.model, np.asarray(first.x)
        n, d = x.shape
        features = first.block_lambda_min("readout")
        start = ling2023.Start(
            n=n,
            width=question.width,
            lambda_0=features,
            rho_0=first.rho,
            norm_w=first.operator_norm,
            norm_u=linalg.spectral_norm(np.asarray(model.inject)),
            norm_a=euclidean(np.asarray(model.readout)),
            norm_x=euclidean(x),
            norm_z=linalg.spectral_norm(first.solved[0]),
            norm_zx=linalg.spectral_norm(first.stacked),
            one_sided=first.one_sided,
            sigma_w2=self.sigma_w2,
            norm_deviation=float(np.abs(np.linalg.norm(x, axis=1) / np.sqrt(d) - 1).max()),
            activation=self.activation.name,
            slope01=self.activation.slope01,
        )
        common = {"width": question.width, "sigma_w2": self.sigma_w2, "delta": question.delta}
        limit = {"lambda_star": question.lambda_0, "norm_deviation": start.norm_deviation}
        limit |= {"activation": self.activation.name, "n": n}
        return (
            ling2023.GradientDescent(start, question.step_size),
            ling2023.GradientFlow(start),
            ling2023.TwoRateDescent(start),
            ling2023.SmallReadout(start, question.step_size),
            ling2023.Theorem1Printed(start, question.step_size),
            ling2023.ConditionOnePrinted(start),
            ling2023.HiddenNorm(norm_w=first.operator_norm, **common),
            ling2023.HiddenNormPrinted(question.width, self.sigma_w2, first.operator_norm),
            ling2023.InitialGramMeasured(question.width, features, question.lambda_0),
            ling2023.InitialGram(norm_w=first.operator_norm, **common, **limit),
            ling2023.InitialGramPrinted(**common, **limit),
        )

    def curvature(self, iterate: SolvedIterate) -> tuple[list[Block], Curvature | None, str]:  # pyright: ignore
        """Blocks: the read-out's Z, for which gradient flow needs no smoothness; and, for smooth φ, all of J."""
        phi, model = self.activation, iterate.model
        z, r, _, _ = iterate.solved
        slope = phi.lipschitz or np.inf
        w, mu = iterate.operator_norm.upper, iterate.one_sided.upper
        features = linalg.spectral_norm(iterate.stacked).upper

        sigma = iterate.block_lambda_min("readout").sqrt()
        relative = np.inf
        if phi.slope01:
            relative = relative_norm(
                iterate.block_grams["readout"], iterate.block_lambda_min("readout"), iterate.stacked
            )

        def features_lipschitz(radius: float) -> float:
            return readout_lipschitz(
                radius, w_norm=w, mu=mu, slope=slope, slope01=phi.slope01, features_norm=features,
                sigma=sigma.upper, relative=relative,
            )  # fmt: skip

        readout = Block("the read-out's features Z", sigma, features_lipschitz, apart=True)
        if phi.curvature is None or phi.third is None:
            return [readout], None, (
                f"{phi.name} has no finite sup|φ″|: gradient descent slides along its kinks and has no certificate of this "
                "kind; gradient flow has one, and a smooth φ with 0 ≤ φ′ ≤ 1 (tanh, softplus) has both"
            )  # fmt: skip
        weight, a = np.asarray(model.hidden), np.asarray(model.readout)
        g = r @ weight + a
        h = np.asarray(model.preactivations(iterate.x, jnp.asarray(z)))
        bends = np.abs(g * np.asarray(phi.second_derivative(jnp.asarray(h))))
        bound = EquilibriumCurvature(
            slope=slope,
            bend=phi.curvature,
            third=phi.third,
            slope01=phi.slope01,
            w_norm=w,
            mu=mu,
            a_norm=float(np.linalg.norm(a)),
            w_row=float(np.linalg.norm(weight, axis=1).max()),
            w_column=float(np.linalg.norm(weight, axis=0).max()),
            features_norm=features,
            feature_max=float(np.linalg.norm(iterate.stacked, axis=1).max()),
            fourth_moment=fourth_moment(iterate.stacked),
            adjoint_max=float(np.linalg.norm(r, axis=1).max()),
            g_max=float(np.abs(g).max()),
            gbend_max=float(bends.max()),
        )
        source = "Λ from the second derivative of the equilibrium"
        return [full_block(iterate, bound.lipschitz), readout], full_curvature(iterate, bound, source), ""

    def watch(self, iterate: SolvedIterate, start: SolvedIterate) -> dict[str, float]:  # pyright: ignore
        """‖W‖, μ, λ_min of the features' Gram and its square root, activation patterns, and the solves."""
        features = iterate.block_lambda_min("readout")
        patterns = iterate.signs != start.signs
        return {
            "operator_norm": iterate.operator_norm.value,
            "one_sided_norm": iterate.one_sided.value,
            "lambda_min_features": features.value,
            "lambda_min_features_error": features.error,
            "sigma_min_features": features.sqrt().value,
            "pattern_change": float(patterns.mean()),
            "equilibrium_residual": iterate.solved[2],
        }

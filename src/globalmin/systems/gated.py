"""The gated network (GReLU) of Noy, Xu, Aflalo, Zelnik-Manor and Jin (2021), and the ReLU network with the same weights."""

import dataclasses
from functools import cached_property
from typing import Any, ClassVar

import equinox as eqx
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, PRNGKeyArray

from .._core import Estimate, linalg, numerics
from ..activations import AbstractActivation
from ..activations import get as activation_named
from ..kernels import GatedKernel
from ..models import GATES, AbstractGated, Gated, Rectified, TangentStack
from ..theory import AbstractCertificate, noy2021
from ..theory.curvature import GatedCurvature
from ..theory.curvature import gated as bounds
from ..theory.kantorovich import Block, Curvature, certify
from .base import AbstractSystem, Limit, Question
from .iterate import Iterate

PRINTED_OPERATIONS = 5e10
"""Up to this many operations G_k itself is measured, sample by sample, for the theorems as printed."""

RELU = "relu"


class GatedIterate(Iterate):
    """An iterate of a gated network or of its ReLU counterpart, with its features, patterns and adjoints."""

    model: AbstractGated

    @property
    def stack(self) -> TangentStack:
        """The layers' factors."""
        (found,) = self.blocks.values()
        assert isinstance(found, TangentStack)
        return found

    @cached_property
    def features(self) -> np.ndarray:
        """h_0 … h_{L−1}."""
        return np.asarray(self.stack.right)

    @cached_property
    def adjoints(self) -> np.ndarray:
        """F_2 … F_{L+1}."""
        depth, n, m = self.features.shape
        return np.asarray(self.stack.left).reshape(depth, n, -1, m)

    @cached_property
    def masks(self) -> np.ndarray:
        """The patterns D_1 … D_L."""
        return np.asarray(_masks(self.model, self.x, self.state))

    @cached_property
    def layers(self) -> np.ndarray:
        """W_1 … W_L."""
        return np.asarray(self.model.layers)

    @cached_property
    def paths(self) -> dict[tuple[int, int], np.ndarray]:
        """‖Z_{k,l}‖ for L − 1 ≥ k > l ≥ 1, from above."""
        return bounds.path_norms(self.layers, self.masks)

    @cached_property
    def spectra(self) -> noy2021.Spectra:
        """The constants of (14)-(17)."""
        return noy2021.measure(self.features, self.adjoints)

    @property
    def zeta(self) -> float:
        """The largest ‖Z_{k,l}‖, at least 1."""
        return max([1.0, *(float(norms.max()) for norms in self.paths.values())])

    @property
    def factor_error(self) -> float:
        """Bound on the relative error of the tangent factors, from whatever source."""
        return self._factor_error

    @cached_property
    def _factor_error(self) -> float:
        """Relative error of features and adjoints: each product m eps‖W‖_F, carried on by what lies between (first order).

        What lies between is bounded by ζ, that of the first layer with the layer above it by ζ‖W_1‖_F at most.
        """
        m, d = self.model.first.shape
        sizes = np.linalg.norm(self.features, axis=2), np.linalg.norm(self.adjoints, axis=3)
        weights = np.linalg.norm(self.layers, axis=(1, 2))
        first = d * np.linalg.norm(np.asarray(self.model.first)) * np.linalg.norm(np.asarray(self.x), axis=1).max()
        forward = m * float((weights[:-1] * sizes[0][:-1].max(axis=1)).sum()) + float(first) * max(
            1.0, float(weights[0])
        )
        backward = m * float((weights[1:] * sizes[1][1:].max(axis=(1, 2))).sum())
        return numerics.EPS * self.zeta * (forward / sizes[0].max() + backward / sizes[1].max())

    @cached_property
    def curvature(self) -> GatedCurvature:
        """ψ and M of the multilinear network; for ReLU as far as no pattern changes."""
        reach = np.inf
        if isinstance(self.model, Rectified):
            reach = bounds.frozen_radius(self.layers, self.features, final=self.model.final)
        return bounds.measure(self.features, self.adjoints, self.paths, relative_error=self.factor_error, reach=reach)


class GatedSystem(AbstractSystem):
    """f(x) = B D_L W_L … D_1 W_1 D_0 C x with W_1 … W_L trained and fixed gates; `gates="relu"`: the plain ReLU network."""

    name: ClassVar[str] = "gated"
    title: ClassVar[str] = "gated network (GReLU), and the ReLU network with the same weights"
    paper: ClassVar[str] = "Noy, Xu, Aflalo, Zelnik-Manor, Jin, 2021"
    kernel_name: ClassVar[str] = "ntk"
    limit_power: ClassVar[int] = 2
    theorems_listed: ClassVar[tuple[str, ...]] = ("Lemma 3", "Theorems 1-3, 5, 6", "Corollary 4", "Kantorovich")
    figures: ClassVar[tuple[str, ...]] = ("noy2021-fig2", "noy2021-fig3", "noy2021-fig4")
    row_norm: ClassVar[str] = "unit"
    options: ClassVar[tuple[str, ...]] = ("depth", "gates")

    activation: AbstractActivation = eqx.field(default_factory=lambda: activation_named("relu"))
    depth: int = 2
    gates: str = "chain"

    def __check_init__(self):
        numerics.check_count("depth", self.depth)
        if self.gates not in (*GATES, RELU):
            raise ValueError(f"gates: one of {', '.join((*GATES, RELU))} expected, {self.gates!r} came")

    def init(self, dimension: int, width: int, *, key: PRNGKeyArray, dtype=jnp.float64) -> AbstractGated:
        """C ~ N(0, 2/d), W ~ N(0, 2/m), B ~ N(0, 2); the same C, W and B with and without gates of their own."""
        gates = "inputs" if self.gates == RELU else self.gates  # not used, and the cheapest ones
        model = Gated.init(dimension, width, self.depth, key=key, gates=gates, dtype=dtype)
        return model.rectified() if self.gates == RELU else model

    def kernel(self, *, depth: int | None = None, **options: float) -> GatedKernel:
        """Features, NNGP and tangent kernel, over m, m and m²; low-rank gates are taken for what they tend to."""
        self.refuse_depth(depth)
        if self.gates == RELU:
            raise ValueError("gates: chain or inputs expected for the limit kernel of gated, relu came")
        return GatedKernel(self.depth, "inputs" if self.gates == "inputs" else "chain")

    def iterate(self, model: AbstractGated, x, y, state=None) -> GatedIterate:  # pyright: ignore
        """The model on its data; `state`: the patterns of these inputs."""
        return GatedIterate(model, x, y, state)

    def limit(self, x: Float[Array, "n d"]) -> Limit | None:
        """Limit kernels; the ReLU network's gates are, at the start, chain gates with Ψ = W."""
        if self.gates == RELU:
            return dataclasses.replace(self, gates="chain").limit(x)
        return super().limit(x)

    def theorems(self, question: Question) -> tuple[AbstractCertificate, ...]:
        """Theorems 1, 3, 5, 6, Lemma 3 and Corollary 4, printed and repaired. Theorem 2 is asked by `models.transform`."""
        first = question.start
        assert isinstance(first, GatedIterate)
        if isinstance(first.model, Rectified):
            return ()
        start = self.start(first)
        smallest = float(np.sqrt(min(first.gram.diagonal())))
        gradient = Estimate(smallest, smallest * (4 * first.factor_error + 4 * numerics.EPS * question.width))
        sigma = first.lambda_min.sqrt().lower
        radius = first.rho.upper / sigma if sigma > 0 else np.inf
        change: dict[str, Any] = {
            "radius": radius,
            "drift": first.curvature.drift(radius) if np.isfinite(radius) else np.inf,
            "smallest_gradient": gradient,
        }
        top = float(first.lambda_max.upper)
        return (
            noy2021.Descent(start),
            noy2021.OneStep(start, question.step_size),
            noy2021.OneStepPrinted(start, question.step_size),
            noy2021.ConvergencePrinted(start, question.step_size, top),
            noy2021.GradientChange(**change),
            noy2021.KernelChange(**change),
            noy2021.GradientChangePrinted(start),
            noy2021.SpectraMeasured(start),
            noy2021.SpectraPrinted(start, question.delta),
            noy2021.Decorrelation(len(first.x), _correlation(question.limit)),
            noy2021.DecorrelationPrinted(start),
        )

    def start(self, first: GatedIterate) -> noy2021.Start:
        """The measured numbers that the theorems of the source share."""
        x, y = np.asarray(first.x), np.asarray(first.y)
        spectra, model, n = first.spectra, first.model, len(first.x)
        # A square of a factor, or a product of two: twice the relative error of each, and their own rounding.
        relative = 8 * first.factor_error + 4 * model.width * numerics.EPS

        def measured(value: float, scale: float) -> Estimate:
            return Estimate(value, relative * scale)

        norms = np.linalg.norm(x, axis=1)
        inner = np.abs(x @ x.T)
        np.fill_diagonal(inner, 0)
        squares = (y.reshape(n, -1) ** 2).sum(axis=1)
        outputs = first.adjoints.shape[2]
        loss = first.rho.upper**2 / 2
        printed: dict[str, Any] = {}
        if n * model.depth * model.width**2 * x.shape[1] * 2 <= PRINTED_OPERATIONS:
            low, high = noy2021.feature_maps(
                np.asarray(model.first), first.layers, x @ np.asarray(model.first).T > 0, first.masks
            )
            printed = {"printed_alpha_x": measured(low, high), "printed_beta_x": measured(high, high)}
        return noy2021.Start(
            n=n,
            width=model.width,
            depth=model.depth,
            inputs=x.shape[1],
            outputs=outputs,
            gates=self.gates,
            alpha_x=measured(spectra.alpha_x, spectra.beta_x),
            beta_x=measured(spectra.beta_x, spectra.beta_x),
            alpha_y=measured(spectra.alpha_y, spectra.beta_y),
            beta_y=measured(spectra.beta_y, spectra.beta_y),
            off_diagonal=measured(spectra.off_diagonal, spectra.beta_x * spectra.beta_y),
            zeta=Estimate(first.zeta),
            loss_0=Estimate(first.loss, max(loss - first.loss, 0.0)),
            correlation=float(inner.max()) if n > 1 else 0.0,
            label_square=float(squares.max()),
            label_row=int(squares.argmax()),
            norm_deviation=float(np.abs(norms - 1).max()),
            **printed,
        )

    def curvature(self, iterate: GatedIterate) -> tuple[list[Block], Curvature | None, str]:  # pyright: ignore
        """ψ, Ψ and Λ of the multilinear network, on every ball; for ReLU on those on which no pattern changes."""
        found = iterate.curvature
        source = "Λ = M(R), multilinear in the layers"
        if np.isfinite(found.reach):
            source += f", while no pattern changes: R < {found.reach:.3g}"
        return (
            [found.block("all trained parameters", iterate.lambda_min.sqrt())],
            Curvature(iterate.lambda_max.sqrt(), found.lipschitz, source),
            "",
        )

    def watch(self, iterate: GatedIterate, start: GatedIterate) -> dict[str, float]:  # pyright: ignore
        """The constants of (14)-(17), how far the layers went, and how many patterns differ from the start's."""
        spectra, moved = iterate.spectra, iterate.layers - start.layers
        found = {
            "alpha_x": spectra.alpha_x,
            "beta_x": spectra.beta_x,
            "alpha_y": spectra.alpha_y,
            "beta_y": spectra.beta_y,
            "gamma_ratio": spectra.ratio(len(iterate.x)),
            "dominance": spectra.dominance,
            # A monitor, not a hypothesis: Lanczos instead of a dense solver for each layer.
            "tau": max(linalg.spectral_norm(step, dense_limit=0).value if step.any() else 0.0 for step in moved),
            "open_share": float(iterate.masks.mean()),
            "dead_share": float((~iterate.masks.any(axis=1)).mean()),
            "pattern_change": float((iterate.masks != start.masks).mean()),
        }
        if isinstance(iterate.model, Rectified):
            found["frozen_radius"] = iterate.curvature.reach
            # Of the gated network that freezing would make of it here: what patterns that change are in the way of.
            unbounded = dataclasses.replace(iterate.curvature, reach=np.inf)
            block = unbounded.block("frozen patterns", iterate.lambda_min.sqrt())
            frozen = certify(iterate.rho, [block], None, flow=True).h
            found["frozen_kantorovich_h"] = np.nan if frozen is None else frozen
        return found


def _correlation(limit: Limit | None) -> Estimate:
    """The largest off-diagonal entry of the limit's correlation matrix, max c_L."""
    if limit is None:  # nothing is known of it
        return Estimate(0.0, np.inf)
    matrix = limit.matrices[limit.name]
    if len(matrix) == 1:
        return Estimate(0.0)
    root = np.sqrt(matrix.diagonal())
    correlations = matrix / np.outer(root, root)
    np.fill_diagonal(correlations, -np.inf)
    return Estimate(float(correlations.max()), limit.error / len(matrix) / float(matrix.diagonal().min()) * 2)


@eqx.filter_jit
def _masks(model, x, state):
    return model.masks(x, state)

"""The two-layer network of Du, Zhai, Póczos and Singh (2019), chapter 2 of Du's thesis."""

from typing import ClassVar

import equinox as eqx
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, PRNGKeyArray

from .._core import linalg
from ..activations import AbstractActivation
from ..activations import get as activation_named
from ..kernels import TwoLayerKernel
from ..models import TwoLayer
from ..theory import AbstractCertificate, du2019
from ..theory.curvature import TwoLayerCurvature, local_drift
from ..theory.kantorovich import Block, Curvature
from .base import AbstractSystem, Question, fourth_moment, full_block, full_curvature
from .iterate import Iterate


class TwoLayerSystem(AbstractSystem):
    """f(x) = m^{-1/2} Σ a_r φ(w_rᵀx) with W trained and a fixed."""

    name: ClassVar[str] = "two-layer"
    title: ClassVar[str] = "two-layer network, first layer trained"
    paper: ClassVar[str] = "Du, Zhai, Póczos, Singh, ICLR 2019; Du, thesis CMU-ML-19-102, chapter 2"
    kernel_name: ClassVar[str] = "h_infinity"
    kernel_options: ClassVar[tuple[str, ...]] = ("weight_std", "bias_std")
    theorems_listed: ClassVar[tuple[str, ...]] = ("Theorem 2.1", "Theorem 2.2", "Theorem 2.3", "Kantorovich (smooth φ)")
    figures: ClassVar[tuple[str, ...]] = ("du2019-fig2.1",)
    row_norm: ClassVar[str] = "unit"

    activation: AbstractActivation = eqx.field(default_factory=lambda: activation_named("relu"))

    def init(self, dimension: int, width: int, *, key: PRNGKeyArray, dtype=jnp.float64) -> TwoLayer:
        """w_r ~ N(0, I), a_r uniform on ±1."""
        return TwoLayer.init(dimension, width, self.activation, key=key, dtype=dtype)

    def kernel(self, *, depth: int | None = None, **options: float) -> TwoLayerKernel:
        """H^∞, NNGP and NTK; `weight_std` and `bias_std` as in the kernel."""
        self.refuse_depth(depth)
        return TwoLayerKernel(self.activation, **options)

    def theorems(self, question: Question) -> tuple[AbstractCertificate, ...]:
        """Theorems 2.1-2.3: corrected with explicit constants, and as printed."""
        first = question.start
        norms = np.linalg.norm(np.asarray(first.x), axis=1)
        start = du2019.Start(
            n=len(first.x),
            width=question.width,
            lambda_0=question.lambda_0,
            delta=question.delta,
            label_bound=question.label_bound,
            label_max=float(np.abs(np.asarray(first.y)).max()),
            norm_deviation=float(np.abs(norms - 1).max()),
            residual_0=first.rho,
            activation=self.activation.name,
        )
        return (
            du2019.PositiveLimit(
                question.closest_angle, question.lambda_0, question.closest_pair, self.activation.name
            ),
            du2019.GradientDescent(start, question.step_size),
            du2019.GradientFlow(start),
            du2019.GradientDescentPrinted(start, question.step_size),
            du2019.GradientFlowPrinted(start),
        )

    def curvature(self, iterate: Iterate) -> tuple[list[Block], Curvature | None, str]:
        """Λ of the smooth network, for every ball; nothing for a φ without sup|φ″|."""
        model = iterate.model
        assert isinstance(model, TwoLayer)
        phi = self.activation
        if phi.curvature is None or phi.lipschitz is None:
            return [], None, (
                f"{phi.name} has no finite sup|φ″|, so its Jacobian has no Lipschitz constant, and with the read-out fixed "
                "there is no other block; choose a smooth activation (softplus, tanh, erf, gelu)"
            )  # fmt: skip
        rows = np.asarray(iterate.x)
        bound = TwoLayerCurvature(
            slope=phi.lipschitz,
            bend=phi.curvature,
            readout_max=float(np.abs(np.asarray(model.readout)).max()),
            data_norm=linalg.spectral_norm(rows).upper,
            fourth_moment=fourth_moment(rows),
            width=len(model.readout),
            train_readout=model.train_readout,
        )
        source = "Λ = sup|φ″| max|a| λ_max((XXᵀ)∘(XXᵀ))^{1/2} m^{-1/2}, for every ball"
        blocks = [full_block(iterate, bound.lipschitz), *self._local(iterate, model)]
        return blocks, full_curvature(iterate, bound, source), ""

    def _local(self, iterate: Iterate, model: TwoLayer) -> list[Block]:
        """The block with local constants: φ″ where it is, the data's own spectrum, each neuron's own ball."""
        if model.train_readout or self.activation.third is None:
            return []
        slopes, bends = _bent(model, iterate.x)
        drift = local_drift(
            iterate.gram,
            iterate.lambda_min,
            np.asarray(iterate.x),
            np.asarray(slopes),
            np.asarray(bends),
            np.asarray(model.readout),
            self.activation.third,
        )
        if drift is None:
            return []
        name = "all trained parameters, local constants along the path"
        sigma = iterate.lambda_min.sqrt()
        return [Block(name, sigma, drift=drift.drift, drift_integral=drift.drift_integral, along_path=True)]

    def watch(self, iterate: Iterate, start: Iterate) -> dict[str, float]:
        """Largest movement of a neuron, and the share of activation patterns that differ from the start's."""
        now, first = iterate.model, start.model
        assert isinstance(now, TwoLayer)
        assert isinstance(first, TwoLayer)
        moved, changed = _watched(now, first, iterate.x)
        return {"movement": float(moved), "pattern_change": float(changed)}


@eqx.filter_jit
def _watched(now: TwoLayer, first: TwoLayer, x) -> tuple[Array, Array]:
    """Largest movement of a neuron, and the share of patterns that differ."""
    moved = jnp.linalg.norm(now.hidden - first.hidden, axis=1)
    return jnp.max(moved), jnp.mean((now.preactivations(x) >= 0) != (first.preactivations(x) >= 0))


@eqx.filter_jit
def _bent(model: TwoLayer, x) -> tuple[Array, Array]:
    """φ′ and φ″ at the pre-activations."""
    before = model.preactivations(x)
    return model.activation.derivative(before), model.activation.second_derivative(before)

"""The two-layer network of Du, Zhai, Póczos and Singh (2019), chapter 2 of Du's thesis."""

from typing import ClassVar

import equinox as eqx
import jax.numpy as jnp
import numpy as np
from jaxtyping import PRNGKeyArray

from .._core import linalg
from ..activations import AbstractActivation
from ..activations import get as activation_named
from ..kernels import TwoLayerKernel
from ..models import TwoLayer
from ..theory import du2019
from ..theory.kantorovich import Block, Curvature
from .base import AbstractSystem, Question, fourth_moment, full_block, full_curvature
from .iterate import Iterate


class TwoLayerSystem(AbstractSystem):
    """f(x) = m^{-1/2} Σ a_r φ(w_rᵀx) with W trained."""

    name: ClassVar[str] = "two-layer"
    title: ClassVar[str] = "two-layer network, first layer trained"
    paper: ClassVar[str] = "Du, Zhai, Póczos, Singh, ICLR 2019; Du, thesis CMU-ML-19-102, chapter 2"
    kernel_name: ClassVar[str] = "h_infinity"
    theorems_listed: ClassVar[tuple[str, ...]] = ("Theorem 2.1", "Theorem 2.2", "Theorem 2.3", "Kantorovich")
    figures: ClassVar[tuple[str, ...]] = ("du2019-fig2.1",)
    row_norm: ClassVar[str] = "unit"

    activation: AbstractActivation = eqx.field(default_factory=lambda: activation_named("relu"))

    def init(self, dimension: int, width: int, *, key: PRNGKeyArray, dtype=jnp.float64) -> TwoLayer:
        """w_r ~ N(0, I), a_r uniform on ±1."""
        return TwoLayer.init(dimension, width, self.activation, key=key, dtype=dtype)

    def kernel(self) -> TwoLayerKernel:
        """H^∞, NNGP and NTK."""
        return TwoLayerKernel(self.activation)

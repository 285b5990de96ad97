"""The deep fully connected network of Du, Lee, Li, Wang and Zhai (2019), chapter 3 of Du's thesis."""

from typing import ClassVar

import equinox as eqx
import jax.numpy as jnp
from jaxtyping import PRNGKeyArray

from ..activations import AbstractActivation
from ..activations import get as activation_named
from ..kernels import DenseKernel
from ..models import Dense
from ..models.deep import check_depth
from ..theory import AbstractCertificate, du2019_deep
from .base import Question
from .deep import AbstractDeepSystem, check_smooth


class DenseSystem(AbstractDeepSystem):
    """x^(h) = √(c_σ/m) σ(W^(h) x^(h−1)), f = aᵀx^(H), all layers trained."""

    name: ClassVar[str] = "dense"
    title: ClassVar[str] = "deep smooth fully connected network"
    theorems_listed: ClassVar[tuple[str, ...]] = ("Proposition 3.1", "Lemmas 3.1-3.2", "Theorem 3.1", "Kantorovich")
    kernel_options: ClassVar[tuple[str, ...]] = ("weight_std", "bias_std")
    options: ClassVar[tuple[str, ...]] = ("activation", "depth")

    activation: AbstractActivation = eqx.field(default_factory=lambda: activation_named("softplus"))
    depth: int = 2

    def __check_init__(self):
        check_smooth(self.activation)
        check_depth(self.depth, 1, "the number of hidden layers")

    def init(self, dimension: int, width: int, *, key: PRNGKeyArray, dtype=jnp.float64) -> Dense:
        """Every entry N(0, 1)."""
        return Dense.init(dimension, width, self.activation, depth=self.depth, key=key, dtype=dtype)

    def kernel(self, *, depth: int | None = None, **options: float) -> DenseKernel:
        """K^(H), NNGP and NTK; `weight_std` and `bias_std` as in the kernel."""
        return DenseKernel(self.activation, self.depth if depth is None else depth, **options)

    def main_theorems(self, start: du2019_deep.Start, question: Question) -> tuple[AbstractCertificate, ...]:
        """Theorem 3.1, Proposition 3.1 and Lemma 3.1."""
        smooth = start.activation
        return (
            du2019_deep.DenseDescent(start, question.step_size),
            du2019_deep.DenseDescentPrinted(start, question.step_size),
            du2019_deep.PositiveLimit(smooth, question.closest_angle, question.lambda_0, question.closest_pair),
            du2019_deep.InitialNorms(smooth, start.n, start.width, start.depth, start.delta),
        )

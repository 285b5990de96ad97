"""The deep residual network of Du, Lee, Li, Wang and Zhai (2019), chapter 3 of Du's thesis."""

from typing import Any, ClassVar

import equinox as eqx
import jax.numpy as jnp
from jaxtyping import PRNGKeyArray

from ..activations import AbstractActivation
from ..activations import get as activation_named
from ..kernels import ResNetKernel
from ..models import ResNet
from ..models.deep import check_depth
from ..models.resnet import check_residual_scale
from ..theory import AbstractCertificate, du2019_deep
from .base import Question
from .deep import AbstractDeepSystem, check_smooth, residual_kappa


class ResNetSystem(AbstractDeepSystem):
    """x^(h) = x^(h−1) + c_res/(H√m) σ(W^(h) x^(h−1)), h ≥ 2, f = aᵀx^(H), all layers trained."""

    name: ClassVar[str] = "resnet"
    title: ClassVar[str] = "deep smooth residual network"
    theorems_listed: ClassVar[tuple[str, ...]] = (
        "Proposition 3.2", "Lemmas 3.8-3.9, 3.25", "Theorem 3.2", "Kantorovich",
    )  # fmt: skip
    options: ClassVar[tuple[str, ...]] = ("activation", "depth", "c_res")

    activation: AbstractActivation = eqx.field(default_factory=lambda: activation_named("softplus"))
    depth: int = 3
    c_res: float = 0.5

    def __check_init__(self):
        check_smooth(self.activation)
        check_depth(self.depth, 2, "layer 1 has no skip connection, so a residual network has at least two")
        check_residual_scale(self.c_res)

    def init(self, dimension: int, width: int, *, key: PRNGKeyArray, dtype=jnp.float64) -> ResNet:
        """Every entry N(0, 1)."""
        return ResNet.init(dimension, width, self.activation, depth=self.depth, c_res=self.c_res, key=key, dtype=dtype)

    def kernel(self, *, depth: int | None = None, **options: float) -> ResNetKernel:
        """K^(H), NNGP and NTK."""
        return ResNetKernel(self.activation, self.depth if depth is None else depth, self.c_res)

    def sizes(self) -> dict[str, Any]:
        """c_res."""
        return {"c_res": self.c_res}

    def main_theorems(self, start: du2019_deep.Start, question: Question) -> tuple[AbstractCertificate, ...]:
        """Theorem 3.2, Proposition 3.2 and Lemmas 3.8 and 3.25."""
        smooth = start.activation
        return (
            du2019_deep.ResidualDescent(start, question.step_size),
            du2019_deep.ResidualDescentPrinted(start, question.step_size),
            du2019_deep.PositiveLimit(smooth, question.closest_angle, question.lambda_0, question.closest_pair),
            du2019_deep.ResidualLimit(residual_kappa(self.activation, question.closest_angle)),
            du2019_deep.ResidualInitialNorms(smooth, start.n, start.width, start.delta),
        )

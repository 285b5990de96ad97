"""The deep convolutional residual network of Du, Lee, Li, Wang and Zhai (2019), chapter 3 of Du's thesis."""

import math
from typing import Any, ClassVar

import equinox as eqx
import jax.numpy as jnp
import numpy as np
from jaxtyping import PRNGKeyArray

from .._core import Estimate, numerics
from .._core.patches import check_patches
from ..activations import AbstractActivation
from ..activations import get as activation_named
from ..kernels import ConvResNetKernel
from ..models import ConvResNet
from ..models.deep import check_depth
from ..models.resnet import check_residual_scale
from ..theory import AbstractCertificate, du2019_deep
from .base import Question
from .deep import AbstractDeepSystem, check_smooth

CHOICE = 3e-8
"""How far the smallest angle can be below that of the pair with the largest |cosine|, of which rounding leaves 1e-16."""


def parse_shape(shape: Any) -> tuple[int, ...] | None:
    """(8, 8, 1) from "8x8x1", or as it is. **Raises:** `ValueError` for other words."""
    if not isinstance(shape, str):
        return None if shape is None else tuple(shape)
    try:
        return tuple(int(part) for part in shape.lower().replace("×", "x").split("x"))
    except ValueError:
        raise ValueError(f"image_shape: height x width x channels, as 8x8x1, expected; {shape!r} came") from None


class ConvResNetSystem(AbstractDeepSystem):
    """x^(h) = x^(h−1) + c_res/(H√m) σ(W^(h) φ(x^(h−1))), h ≥ 2, f = ⟨a, x^(H)⟩ on images, all layers trained."""

    name: ClassVar[str] = "conv-resnet"
    title: ClassVar[str] = "deep smooth convolutional residual network"
    theorems_listed: ClassVar[tuple[str, ...]] = ("λ₀ > 0", "Lemmas 3.15-3.16", "Theorem 3.3", "Kantorovich")
    options: ClassVar[tuple[str, ...]] = ("activation", "depth", "c_res", "filter_size", "image_shape")

    activation: AbstractActivation = eqx.field(default_factory=lambda: activation_named("softplus"))
    depth: int = 3
    c_res: float = 0.5
    filter_size: int = 3
    image_shape: tuple[int, ...] | None = eqx.field(default=None, converter=parse_shape)

    def __check_init__(self):
        check_smooth(self.activation)
        check_depth(self.depth, 2, "layer 1 has no skip connection, so a residual network has at least two")
        check_residual_scale(self.c_res)
        if self.image_shape is not None:
            check_patches(self.image_shape, self.filter_size)
        else:
            check_patches((self.filter_size,) * 2, self.filter_size)  # odd, whatever the image

    def shape(self, dimension: int | None = None) -> tuple[int, ...]:
        """The images' shape. **Raises:** `ValueError` if none was given, or one that rows of that dimension do not have."""
        if self.image_shape is None:
            rows = "images" if dimension is None else f"rows of {dimension} entries"
            raise ValueError(
                f"image_shape: height x width x channels expected, {rows} came without it; a flat row does not say what is "
                "next to what: give image_shape (--image-shape 8x8x1)"
            )
        if dimension is not None and math.prod(self.image_shape) != dimension:
            raise ValueError(
                f"image_shape: a shape of {dimension} entries expected, as the rows have; {self.image_shape} came, of "
                f"{math.prod(self.image_shape)}"
            )
        return self.image_shape

    def init(self, dimension: int, width: int, *, key: PRNGKeyArray, dtype=jnp.float64) -> ConvResNet:
        """Every entry N(0, 1)."""
        return ConvResNet.init(
            self.shape(dimension), width, self.activation, depth=self.depth, c_res=self.c_res,
            filter_size=self.filter_size, key=key, dtype=dtype,
        )  # fmt: skip

    def kernel(self, *, depth: int | None = None, **options: float) -> ConvResNetKernel:
        """K^(H), NNGP and NTK, with the read-out ⟨a, x^(H)⟩."""
        layers = self.depth if depth is None else depth
        return ConvResNetKernel(self.activation, layers, self.c_res, self.filter_size, image_shape=self.shape())

    def sizes(self) -> dict[str, Any]:
        """c_res, p and q."""
        sides = self.shape()[:-1]
        return {"c_res": self.c_res, "pixels": math.prod(sides), "patch_pixels": self.filter_size ** len(sides)}

    def main_theorems(self, start: du2019_deep.Start, question: Question) -> tuple[AbstractCertificate, ...]:
        """Theorem 3.3, Lemma 3.15, and what is enough for λ₀ > 0."""
        smooth = start.activation
        model = question.start.model
        assert isinstance(model, ConvResNet)
        angle, pair = patch_angle(np.asarray(model.embed(question.start.x)))
        limit = du2019_deep.PositiveLimit(smooth, angle, question.lambda_0, pair, of_patches=True)
        least = self.activation.second_moment(jnp.linspace(1 / start.pixels, 1.0, 100))
        norms = du2019_deep.ResidualInitialNorms(
            smooth, start.n, start.width, start.delta, start.pixels, 1 / float(jnp.min(least))
        )
        return (
            du2019_deep.ResidualDescent(start, question.step_size),
            du2019_deep.ResidualDescentPrinted(start, question.step_size),
            limit,
            norms,
        )


def patch_angle(patches: np.ndarray) -> tuple[Estimate, tuple[int, int] | None]:
    """The smallest angle between the lines of two images' patches, at the pixel where it is largest; which two.

    0 if at every pixel an image has an empty patch.
    """
    n, best, pair = len(patches), Estimate(0.0), None
    if n == 1:
        return Estimate(math.pi / 2), None
    norms = np.linalg.norm(patches, axis=2)
    for pixel in np.flatnonzero((norms > 0).all(axis=0)):
        unit = patches[:, pixel] / norms[:, pixel, None]
        cosines = np.abs(unit @ unit.T)
        np.fill_diagonal(cosines, -1.0)
        i, j = (int(k) for k in np.unravel_index(np.argmax(cosines), cosines.shape))
        sign = 1.0 if unit[i] @ unit[j] >= 0 else -1.0
        angle = float(numerics.angle(jnp.asarray(unit[i]), jnp.asarray(sign * unit[j])))
        if angle > best.value:
            best, pair = Estimate(angle, min(CHOICE, angle) + 4 * numerics.EPS), (i, j)
    return best, pair

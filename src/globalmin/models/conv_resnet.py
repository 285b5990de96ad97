"""Deep convolutional residual network x^(h) = x^(h−1) + c_res/(H√m) σ(W^(h) φ(x^(h−1))), f = ⟨a, x^(H)⟩, all trained.

φ cuts the patch of q = filter_size^k pixels around each pixel of an image of k dimensions (stride 1, zeros beyond the
border); x^(1) = √(c_σ/m) σ(W^(1) φ(x)), without a skip connection. Convention of Du, Lee, Li, Wang, Zhai (ICML 2019) and
chapter 3 of Du's thesis: every entry N(0, 1). A patch lists, channel by channel, its pixels in their order.
"""

import itertools
import math
from typing import ClassVar

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PRNGKeyArray

from .._core import numerics
from .._core.patches import check_patches
from ..activations import AbstractActivation
from .deep import AbstractDeep, check_depth, gaussian_weights
from .resnet import check_residual_scale, residual_scale


class ConvResNet(AbstractDeep):
    """Convolutional residual network of m channels and depth H ≥ 2 on images, whose rows are flat, channels last."""

    skip: ClassVar[bool] = True

    first: Float[Array, "m e"]
    hidden: Float[Array, "layers m k"]
    readout: Float[Array, "pixels m"]
    activation: AbstractActivation
    c_sigma: float = eqx.field(static=True)
    c_res: float = eqx.field(static=True)
    image_shape: tuple[int, ...] = eqx.field(static=True)  # (height, width, channels), or (pixels, channels)
    filter_size: int = eqx.field(static=True)

    def __check_init__(self):
        check_residual_scale(self.c_res)
        check_patches(self.image_shape, self.filter_size)

    @classmethod
    def init(
        cls,
        image_shape: tuple[int, ...],
        width: int,
        activation: AbstractActivation,
        *,
        depth: int,
        c_res: float,
        filter_size: int = 3,
        key: PRNGKeyArray,
        dtype=jnp.float64,
    ) -> "ConvResNet":
        """Every entry N(0, 1), independent.

        **Raises:** `ValueError` for a width below 1, a depth below 2, `c_res` outside (0, 1), and for an image shape or
        filter size as in `check_patches`.
        """
        numerics.check_count("width", width)
        check_depth(depth, 2, "layer 1 has no skip connection, so a residual network has at least two")
        check_patches(image_shape, filter_size)
        *sides, channels = image_shape
        q = filter_size ** len(sides)
        shapes = ((width, q * channels), (depth - 1, width, q * width), (math.prod(sides), width))
        weights = gaussian_weights(key, shapes, dtype)
        return cls(*weights, activation, activation.c_sigma, c_res, tuple(image_shape), filter_size)

    @property
    def scale(self) -> float:
        """c_res/(H√m)."""
        return residual_scale(self.c_res, self.depth, self.width)

    @property
    def input_channels(self) -> int:
        """Channels of the images."""
        return self.image_shape[-1]

    @property
    def patch_pixels(self) -> int:
        """q."""
        return self.filter_size ** (len(self.image_shape) - 1)

    def embed(self, x: Float[Array, "n d"]) -> Float[Array, "n pixels e"]:
        """φ(x) of flat images. **Raises:** `ValueError` for rows that are no images of this shape."""
        if x.shape[1] != math.prod(self.image_shape):
            raise ValueError(
                f"x: rows of {math.prod(self.image_shape)} entries expected, images {self.image_shape}; rows of "
                f"{x.shape[1]} came"
            )
        return self.patches(x.reshape(len(x), -1, self.image_shape[-1]))

    def patches(self, x: Float[Array, "n pixels c"]) -> Float[Array, "n pixels k"]:
        """φ: the patches of all pixels, zeros beyond the border."""
        return extract_patches(x, self.image_shape[:-1], self.filter_size)

    def fold(self, x: Float[Array, "n pixels k"]) -> Float[Array, "n pixels c"]:
        """φᵀ."""
        channels = x.shape[-1] // self.patch_pixels
        shape = jax.ShapeDtypeStruct((*x.shape[:-1], channels), x.dtype)
        return jax.linear_transpose(self.patches, shape)(x)[0]


def extract_patches(
    x: Float[Array, "n pixels c"], sides: tuple[int, ...], filter_size: int
) -> Float[Array, "n pixels k"]:
    """The patch around each pixel of images with these `sides`, k = c · filter_size^len(sides), channel by channel."""
    n, pixels, channels = x.shape
    reach = filter_size // 2
    padded = jnp.pad(x.reshape(n, *sides, channels), ((0, 0), *((reach, reach) for _ in sides), (0, 0)))
    shifted = [
        padded[(slice(None), *(slice(o, o + side) for o, side in zip(offsets, sides, strict=True)))]
        for offsets in itertools.product(range(filter_size), repeat=len(sides))
    ]
    return jnp.stack(shifted, axis=-1).reshape(n, pixels, -1)

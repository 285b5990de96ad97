"""Infinitely wide convolutional networks, plain and residual, with flatten and global average pooling read-outs.

A row is a flat image, channels last. Windows have `filter_size` pixels along every side, stride 1, and zeros beyond the
border. Two conventions, each class its own:

- `ConvResNetKernel`: chapter 3 of Du's thesis. A pre-activation sums over its patch, W ~ N(0, 1) of m^{-1/2} scaling, and
  f = ⟨a, x^(H)⟩ sums over the pixels.
- `ConvKernel`: neural-tangents'. A layer averages over filter and input channels, s² mean + b², and so does the read-out.

With a flatten read-out only pairs of equal pixels matter; with pooling all pairs of pixels do.
"""

import itertools
import math
from abc import abstractmethod
from collections.abc import Callable
from typing import ClassVar, Literal

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from .._core.patches import check_patches
from ..activations import AbstractActivation, Covariance
from .base import AbstractKernel, Directions, covariance_of, homogeneous_slopes
from .dense import check_deviation, traced_depth
from .recursion import AbstractLayout, Pairs, plain, residual, signed
from .resnet import check_residual, refined_for
from .rounding import Rounding, residual_bounds

Readout = Literal["flatten", "pool"]

CELLS = 2**14
"""Pairs of pixels in a tile: as many as entries in a tile of the vector kernels."""


class AbstractImageLayout(AbstractLayout):
    """Rows of shape (t, *sides); in the pairs, the pixels are one axis or a part of one."""

    sides: tuple[int, ...] = eqx.field(static=True)
    filter_size: int = eqx.field(static=True)

    @abstractmethod
    def rows(self, left: Array) -> Float[Array, "t ..."]:
        """The inverse of `left`."""

    @abstractmethod
    def columns(self, right: Array) -> Float[Array, "u ..."]:
        """The inverse of `right`."""

    @property
    def pixels(self) -> int:
        """p."""
        return math.prod(self.sides)

    @property
    def offsets(self) -> list[int]:
        """How far the places of the window are from its middle, in pixels of the flat image."""
        reach = self.filter_size // 2
        strides = [math.prod(self.sides[axis + 1 :]) for axis in range(len(self.sides))]
        places = itertools.product(range(-reach, reach + 1), repeat=len(self.sides))
        return [sum(o * stride for o, stride in zip(place, strides, strict=True)) for place in places]

    def neighbours(self, rows: Array) -> list[Array]:
        """The images shifted to each place of the window."""
        reach = self.filter_size // 2
        padded = jnp.pad(rows, ((0, 0), *((reach, reach) for _ in self.sides)))
        return [
            padded[(slice(None), *(slice(o, o + side) for o, side in zip(offsets, self.sides, strict=True)))]
            for offsets in itertools.product(range(self.filter_size), repeat=len(self.sides))
        ]

    def shifted(self, pairs: Array, stride: int) -> list[Array]:
        """The flat array read from each place of the window on, a pixel being `stride` entries."""
        reach = stride * max(self.offsets)
        padded = jnp.pad(pairs.ravel(), reach)
        return [padded[reach + stride * o :][: pairs.size].reshape(pairs.shape) for o in self.offsets]

    def patch(self, pairs: Array) -> Array:
        """What lies beyond the border is left out."""
        inside = self.neighbours(jnp.ones((1, *self.sides), pairs.dtype))

        def sum_of_parts():
            total = jnp.zeros_like(pairs)
            for part, mask in zip(self.windows(pairs), inside, strict=True):
                total = total + self.masked(part, mask)
            return total

        return self.once(pairs, sum_of_parts)

    @abstractmethod
    def masked(self, pairs: Array, mask: Float[Array, "1 ..."]) -> Array:
        """The pairs, and 0 where either pixel is one where the mask is 0."""

    def once(self, rows: Array, compute: Callable[[], Array]) -> Array:
        """Behind a condition that holds for every number, infinite ones and NaN included.

        XLA evaluates a producer anew in every consumer, here whole layers in each of nine windows and then the windows in
        three fusions. It looks into no condition, and does not know that this one is true.
        """
        shape = jax.eval_shape(compute)
        return jax.lax.cond(0 * rows.ravel()[0] != 1, compute, lambda: jnp.zeros(shape.shape, shape.dtype))


class EqualPixels(AbstractImageLayout):
    """Pairs of one and the same pixel of two images: (pixels, t, u)."""

    def left(self, rows: Array) -> Array:
        """(pixels, t, 1)."""
        return rows.reshape(-1, self.pixels).T[:, :, None]

    def right(self, rows: Array) -> Array:
        """(pixels, 1, u)."""
        return rows.reshape(-1, self.pixels).T[:, None, :]

    def rows(self, left: Array) -> Float[Array, "t ..."]:
        """(t, *sides)."""
        return left[:, :, 0].T.reshape(-1, *self.sides)

    def columns(self, right: Array) -> Float[Array, "u ..."]:
        """(u, *sides)."""
        return right[:, 0, :].T.reshape(-1, *self.sides)

    def windows(self, pairs: Array) -> list[Array]:
        """Shifted by whole pixels."""
        return self.shifted(pairs, pairs.shape[1] * pairs.shape[2])

    def masked(self, pairs: Array, mask: Float[Array, "1 ..."]) -> Array:
        """One pixel, one mask."""
        return pairs * self.left(mask)

    def total(self, pairs: Array) -> Float[Array, "t u"]:
        """Over the pixels."""
        return jnp.sum(pairs, axis=0)


class AllPixels(AbstractImageLayout):
    """All pairs of pixels of two images: (t pixels, u pixels)."""

    def left(self, rows: Array) -> Array:
        """(t pixels, 1)."""
        return rows.reshape(-1, 1)

    def right(self, rows: Array) -> Array:
        """(1, u pixels)."""
        return rows.reshape(1, -1)

    def rows(self, left: Array) -> Float[Array, "t ..."]:
        """(t, *sides)."""
        return left.reshape(-1, *self.sides)

    def columns(self, right: Array) -> Float[Array, "u ..."]:
        """(u, *sides)."""
        return right.reshape(-1, *self.sides)

    def windows(self, pairs: Array) -> list[Array]:
        """A pixel further on both sides is a row and a column further."""
        return self.shifted(pairs, pairs.shape[1] + 1)

    def masked(self, pairs: Array, mask: Float[Array, "1 ..."]) -> Array:
        """Left times right; one after the other, or XLA keeps their product in memory."""
        t, u = (size // self.pixels for size in pairs.shape)
        return (pairs * self.left(jnp.tile(mask, (t, *(1,) * len(self.sides))))) * self.right(
            jnp.tile(mask, (u, *(1,) * len(self.sides)))
        )

    def total(self, pairs: Array) -> Float[Array, "t u"]:
        """Over the pixels of either image."""
        t, u = (size // self.pixels for size in pairs.shape)
        # A product with ones: XLA's sums over the last axis are not vectorised.
        rows = pairs.reshape(-1, self.pixels) @ jnp.ones(self.pixels, pairs.dtype)
        return jnp.sum(rows.reshape(t, self.pixels, u), axis=1)


class AbstractConvKernel(AbstractKernel):
    """A kernel of images: the first pre-activations are patches, one per pixel."""

    single: ClassVar[bool] = True

    activation: eqx.AbstractVar[AbstractActivation]
    layers: eqx.AbstractVar[Int[Array, ""]]
    image_shape: eqx.AbstractVar[tuple[int, ...]]
    filter_size: eqx.AbstractVar[int]
    readout: eqx.AbstractVar[Readout]

    @property
    def depth(self) -> int:
        """H."""
        return int(self.layers)

    @property
    def sides(self) -> tuple[int, ...]:
        """Height and width, or the number of pixels of a line."""
        return self.image_shape[:-1]

    @property
    def pixels(self) -> int:
        """p."""
        return math.prod(self.sides)

    @property
    def filter_pixels(self) -> int:
        """q, pixels of the filter."""
        return self.filter_size ** len(self.sides)

    @property
    def window(self) -> tuple[int, int]:
        """Pixels of a window that lie in the image: at a corner, and in the middle."""
        return (self.filter_size // 2 + 1) ** len(self.sides), self.filter_pixels

    @property
    def layout(self) -> AbstractImageLayout:
        """What pairs of pixels the read-out needs."""
        return (EqualPixels if self.readout == "flatten" else AllPixels)(self.sides, self.filter_size)

    @property
    def tile(self) -> int:
        """So many rows that a tile has about `CELLS` pairs of pixels, at least 8 or 1.

        Where duals are series, their coefficients cost each row of a tile as much as many pairs: sixteen times as much.
        """
        cells = CELLS if homogeneous_slopes(self.activation) is not None else 16 * CELLS
        if self.readout == "flatten":
            return max(8, math.isqrt(cells // self.pixels))
        return max(1, math.isqrt(cells) // self.pixels)

    def embed(self, x: Float[Array, "n d"]) -> Float[Array, "n pixels e"]:
        """The patch around each pixel, zeros beyond the border. **Raises:** `ValueError` for rows of another length."""
        if x.shape[1] != math.prod(self.image_shape):
            raise ValueError(
                f"x: rows of {math.prod(self.image_shape)} entries expected, flat images of shape {self.image_shape}; rows "
                f"of {x.shape[1]} came; give their `image_shape`"
            )
        channels = jnp.moveaxis(x.reshape(len(x), *self.image_shape), -1, 0)
        windows = [jnp.stack(self.layout.neighbours(c), -1) for c in channels]
        return jnp.concatenate(windows, -1).reshape(len(x), self.pixels, -1)

    def variances(self, x: Float[Array, "n d"]) -> Float[Array, " k"]:
        """Of every pixel of every row."""
        return jnp.sum(self.embed(x) ** 2, axis=-1).ravel()

    def prepared(self, x: Float[Array, "n d"]) -> Directions:
        """Unit patches and their squared norms."""
        return Directions(self.embed(x))

    def pairs(self, left: Directions, right: Directions) -> dict[str, Float[Array, "t u"]]:
        """The named entries of a tile of images."""
        layout = self.layout
        p, q = (side.squared_norm.reshape(-1, *self.sides) for side in (left, right))
        if isinstance(layout, EqualPixels):
            pixels = jax.tree.map(lambda leaf: jnp.moveaxis(leaf, 1, 0), (left, right))
            patches = jax.lax.map(lambda pair: covariance_of(*pair), pixels)
        else:
            patches = covariance_of(*jax.tree.map(lambda leaf: leaf.reshape(-1, *leaf.shape[2:]), (left, right)))
        return self.entries(
            Covariance(layout.left(p), layout.right(q), patches.angle, patches.cosine, patches.squared_sine)
        )

    def first(self, cov: Covariance) -> Pairs:
        """The first pre-activations, from the covariances of pairs of pixels as the layout arranges them."""
        layout = self.layout
        return Pairs(layout.rows(cov.p), layout.columns(cov.q), signed(cov), layout)

    def rounding(self, variances: Array, variance_error: float, angle_error: float) -> Rounding:
        """Errors of the first pre-activations; their variances as a grid."""
        grid = np.linspace(float(jnp.min(variances)), float(jnp.max(variances)), 17)
        return Rounding(self.activation, homogeneous_slopes(self.activation), grid, variance_error, angle_error)


class ConvResNetKernel(AbstractConvKernel):
    r"""With S^(h) the covariance of the pixels of the stream, P^(h) = 𝒫(S^(h)) that of its patches, 𝒫(S)_lr = Σ_o
    S_{l+o, r+o} over the window, and κ = c_res/H, in every pair (l, r) of pixels the recursion of `ResNetKernel`:

    S^(1) = c_σ E[σ(u)σ(v)] from P^(0), S^(h) = S^(h−1) + κ (b_i E σ(v) + b_j E σ(u)) + κ² E[σ(u)σ(v)] from P^(h−1).

    - `nngp`: Σ_l S^(H)_ll, the covariance of the outputs;
    - `k_h` $= κ^2 Σ_l P^{(H-1)}_{ll} E[σ'(u_l)σ'(v_l)]$, the tangent kernel of the last layer: K^(H) of Theorem 3.3;
    - `ntk`: all layers trained.

    **Arguments:** `activation`; `depth`: H ≥ 2; `c_res` in (0, 1); `image_shape`: (height, width, channels) or (pixels,
    channels), rows are flat images with the channels last; `filter_size`: odd, at most the shorter side; `readout`:
    "flatten" for the thesis' ⟨a, x^(H)⟩, "pool" for aᵀ of the mean over the pixels.

    **Raises:** `ValueError` for others, and for rows that are no images of this shape.

    **Cost:** `depth` times elementwise work on n²/2 · p pairs of pixels, n²/2 · p² with pooling.

    **Source:** Du et al., ICML 2019, Definition 3.3 of the thesis, corrected: the recursion runs over the pixels' Grams,
    their patch sums are aligned by offset at the border, and K^(H) has the factor κ² and is built from P^(H−1).
    """

    activation: AbstractActivation
    layers: Int[Array, ""]  # the depth, traced: one compilation serves every depth
    c_res: float = eqx.field(static=True)
    filter_size: int = eqx.field(static=True)
    image_shape: tuple[int, ...] = eqx.field(static=True)
    readout: Readout = eqx.field(static=True)
    slopes: tuple[float, float] | None = eqx.field(static=True)

    def __init__(
        self,
        activation: AbstractActivation,
        depth: int,
        c_res: float = 0.5,
        filter_size: int = 3,
        *,
        image_shape: tuple[int, ...],
        readout: Readout = "flatten",
    ):
        self.activation = activation
        self.layers, self.c_res = check_residual(depth, c_res)
        check_patches(image_shape, filter_size)
        self.filter_size, self.image_shape = filter_size, tuple(image_shape)
        self.readout = check_readout(readout)
        self.slopes = homogeneous_slopes(activation)

    def refined(self, variance: Float[Array, ""]) -> "ConvResNetKernel":
        """With an activation that is accurate at the largest variance of all layers."""
        if self.slopes is not None:
            return self
        activation = refined_for(self.activation, float(variance), self.c_res, self.filter_pixels)
        return ConvResNetKernel(
            activation,
            self.depth,
            self.c_res,
            self.filter_size,
            image_shape=self.image_shape,
            readout=self.readout,
        )

    def entries(self, cov: Covariance) -> dict[str, Float[Array, "*pairs"]]:
        """`nngp`, `k_h` and `ntk` of a tile, from pairs of pixels as the layout arranges them."""
        readout = 1.0 if self.readout == "flatten" else self.pixels**-2
        c_sigma = self.activation.c_sigma
        return residual(self.activation, self.slopes, self.first(cov), self.layers, c_sigma, self.c_res, readout)

    def entry_bounds(
        self, variances: Float[Array, " n"], variance_error: float, angle_error: float
    ) -> dict[str, float]:
        """Errors carried from layer to layer; the sizes that they depend on are looked up on grids of variances."""
        first = self.rounding(variances, variance_error, angle_error)
        readout = 1.0 if self.readout == "flatten" else 1 / self.pixels
        c_sigma = self.activation.c_sigma
        return residual_bounds(first, self.depth, c_sigma, self.c_res, self.window, readout, self.pixels)


class ConvKernel(AbstractConvKernel):
    r"""With C^(1)_lr = s²/(q d_0) Σ_o ⟨x_{l+o}, x'_{r+o}⟩ + b² over a window of q pixels and d_0 channels, and H = `depth`:

    C^(h+1)_lr = (s²/q) Σ_o E[φ(u_{l+o})φ(v_{r+o})] + b², Θ^(h+1)_lr = C^(h+1)_lr + (s²/q) Σ_o (Θ^(h) E[φ′φ′])_{l+o,r+o}.

    - `nngp`: s² times the mean of E[φ(u)φ(v)] after layer H over the pixels (`readout` "flatten"), or over all pairs of
      pixels ("pool"), plus b²: the covariance of the outputs;
    - `k_h`: the tangent kernel of the last convolution; `ntk`: of all layers.

    **Arguments:** `activation`; `depth` ≥ 1 convolutions; `weight_std`: s, by default √c_σ; `bias_std`: b; `filter_size`,
    `image_shape` as in `ConvResNetKernel`.

    **Raises:** `ValueError` as there.

    **Source:** Novak et al. (ICLR 2019), Arora et al. (NeurIPS 2019); the convention is neural-tangents' `Conv` with
    padding "SAME", the NTK parametrisation, and `Flatten` or `GlobalAvgPool` before `Dense`.
    """

    activation: AbstractActivation
    layers: Int[Array, ""]  # the depth, traced: one compilation serves every depth
    filter_size: int = eqx.field(static=True)
    image_shape: tuple[int, ...] = eqx.field(static=True)
    readout: Readout = eqx.field(static=True)
    weight_std: float = eqx.field(static=True)
    bias_std: float = eqx.field(static=True)
    slopes: tuple[float, float] | None = eqx.field(static=True)

    def __init__(
        self,
        activation: AbstractActivation,
        depth: int,
        filter_size: int = 3,
        *,
        image_shape: tuple[int, ...],
        readout: Readout = "flatten",
        weight_std: float | None = None,
        bias_std: float = 0.0,
    ):
        self.activation = activation
        self.layers = traced_depth(depth)
        check_patches(image_shape, filter_size)
        self.filter_size, self.image_shape = filter_size, tuple(image_shape)
        self.readout = check_readout(readout)
        self.weight_std = check_deviation("weight_std", activation.c_sigma**0.5 if weight_std is None else weight_std)
        self.bias_std = check_deviation("bias_std", bias_std, zero=True)
        self.slopes = homogeneous_slopes(activation)

    def embed(self, x: Float[Array, "n d"]) -> Float[Array, "n pixels e"]:
        """The patches, scaled to the variances of the first pre-activations, and the bias."""
        patches = super().embed(x)
        patches = patches * (self.weight_std / math.sqrt(patches.shape[-1]))
        if self.bias_std == 0:
            return patches
        return jnp.pad(patches, ((0, 0), (0, 0), (0, 1)), constant_values=self.bias_std)

    def refined(self, variance: Float[Array, ""]) -> "ConvKernel":
        """With an activation that is accurate at the largest variance of all layers."""
        if self.slopes is not None:
            return self
        top = v = float(variance)
        for _ in range(self.depth - 1):
            v = self.weight_std**2 * float(self.activation.second_moment(v)) + self.bias_std**2
            top = max(top, v)
        return ConvKernel(
            self.activation.refined(top),
            self.depth,
            self.filter_size,
            image_shape=self.image_shape,
            readout=self.readout,
            weight_std=self.weight_std,
            bias_std=self.bias_std,
        )

    def entries(self, cov: Covariance) -> dict[str, Float[Array, "*pairs"]]:
        """`nngp`, `k_h` and `ntk` of a tile, from pairs of pixels as the layout arranges them."""
        s2, count = self.weight_std**2, self.pixels if self.readout == "flatten" else self.pixels**2
        weight, bias = s2 / self.filter_pixels, self.bias_std**2
        return plain(self.activation, self.slopes, self.first(cov), self.layers, weight, bias, s2 / count)

    def entry_bounds(
        self, variances: Float[Array, " n"], variance_error: float, angle_error: float
    ) -> dict[str, float]:
        """Errors carried from layer to layer; the sizes that they depend on are looked up on grids of variances."""
        error = self.rounding(variances, variance_error, angle_error)
        s2, bias = self.weight_std**2, self.bias_std**2
        for _ in range(self.depth - 1):
            error = error.plain(s2 / self.filter_pixels, bias, self.window)
        return error.outputs(s2 / self.pixels, bias, self.pixels)


def check_readout(readout: str) -> Readout:
    """Return the read-out, or raise `ValueError`."""
    if readout not in ("flatten", "pool"):
        raise ValueError(f"readout: flatten or pool expected, {readout!r} came")
    return readout

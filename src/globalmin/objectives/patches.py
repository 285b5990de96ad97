r"""Distributions of the patches that a convolutional filter sees, by the moments on which everything about it depends.

For filters w and w*, a patch is active for both (A), for w alone (B) or for w* alone (C). With A, B, C the means over the
k patches of the active ones, the second moments E[AAᵀ], E[ABᵀ], ... determine loss, gradient and every constant of the
theorems. Closed forms for rotation-invariant patches, quadrature in the plane, averages over samples.
"""

import math
from abc import abstractmethod
from typing import ClassVar, Literal

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, PRNGKeyArray

from .._core import numerics


class RegionMoments(eqx.Module):
    """E[AAᵀ], E[ABᵀ], E[ACᵀ], E[BBᵀ], E[BCᵀ], E[CCᵀ]."""

    aa: Float[Array, "p p"]
    ab: Float[Array, "p p"]
    ac: Float[Array, "p p"]
    bb: Float[Array, "p p"]
    bc: Float[Array, "p p"]
    cc: Float[Array, "p p"]


class AbstractPatches(eqx.Module):
    """k patches of p numbers each, as a distribution."""

    # Whether `directions` are all that matter at an angle, so that extremes over them are extremes over every filter.
    complete: eqx.AbstractVar[bool]
    patches: eqx.AbstractVar[int]
    dimension: eqx.AbstractVar[int]

    @abstractmethod
    def moments(self, w: Float[Array, " p"], w_star: Float[Array, " p"]) -> RegionMoments:
        """The second moments of the regions of two filters other than zero."""

    @abstractmethod
    def mean_output(self, w: Float[Array, " p"]) -> Float[Array, ""]:
        """E f(w, Z)."""

    @abstractmethod
    def draw(self, count: int, *, key: PRNGKeyArray) -> Float[Array, "count k p"]:
        """Inputs, as sets of patches."""

    @abstractmethod
    def directions(self, w_star: Float[Array, " p"]) -> Float[Array, "m p"]:
        """Unit vectors orthogonal to w*, towards which a filter at an angle from w* is turned to find the worst one."""

    @property
    def bound(self) -> float:
        """R with ‖Z_i‖ ≤ R almost surely; infinite for unbounded patches."""
        return math.inf


class IsotropicPatches(AbstractPatches):
    """Independent patches of a rotation-invariant law: N(0, I_p), or uniform on the unit sphere.

    **Source:** Du, thesis CMU-ML-19-102, chapter 6, for the definitions; closed forms derived here.
    """

    complete: ClassVar[bool] = True

    patches: int
    dimension: int
    law: Literal["gaussian", "sphere"] = eqx.field(static=True, default="gaussian")

    def __check_init__(self):
        numerics.check_count("patches", self.patches)
        numerics.check_count("dimension", self.dimension)
        if self.law not in ("gaussian", "sphere"):
            raise ValueError(f"law: gaussian or sphere expected, {self.law!r} came")

    def moments(self, w: Float[Array, " p"], w_star: Float[Array, " p"]) -> RegionMoments:
        """With φ the angle, u ± u* the sum and difference of the unit filters: E[ZZᵀ1_A] = ((π − φ)I + X)/(2π),
        E[ZZᵀ1_B] = E[ZZᵀ1_C] = (φI − X)/(2π), X = ½tan(φ/2)(u + u*)(u + u*)ᵀ − ½cot(φ/2)(u − u*)(u − u*)ᵀ, and
        E[Z1_A] = (u + u*)/√(8π), E[Z1_B] = −E[Z1_C] = (u − u*)/√(8π), for Gaussian patches.
        """
        k, p = self.patches, self.dimension
        phi = numerics.angle(w, w_star)
        unit, unit_star = w / jnp.linalg.norm(w), w_star / jnp.linalg.norm(w_star)
        plus, minus = unit + unit_star, unit - unit_star
        half = jnp.tan(phi / 2)
        cotangent = jnp.where(half > 0, 1 / jnp.where(half > 0, half, 1.0), 0.0)
        x = (half * jnp.outer(plus, plus) - cotangent * jnp.outer(minus, minus)) / 2
        if p == 1:  # no plane: X is that of the line, where sin φ = 0
            x = jnp.zeros((1, 1))
        square, mean = self._radii()
        both = square * ((jnp.pi - phi) * jnp.eye(p) + x) / (2 * jnp.pi * k)
        one = square * (phi * jnp.eye(p) - x) / (2 * jnp.pi * k)
        share = (k - 1) / k * mean**2 / (8 * jnp.pi)
        cross = share * jnp.outer(plus, minus)
        differ = share * jnp.outer(minus, minus)
        return RegionMoments(both + share * jnp.outer(plus, plus), cross, -cross, one + differ, -differ, one + differ)

    def mean_output(self, w: Float[Array, " p"]) -> Float[Array, ""]:
        """‖w‖/√(2π) for Gaussian patches."""
        return self._radii()[1] * jnp.linalg.norm(w) / math.sqrt(2 * math.pi)

    def draw(self, count: int, *, key: PRNGKeyArray) -> Float[Array, "count k p"]:
        """Independent draws."""
        z = jax.random.normal(key, (count, self.patches, self.dimension), jnp.float64)
        return z if self.law == "gaussian" else z / jnp.linalg.norm(z, axis=-1, keepdims=True)

    def directions(self, w_star: Float[Array, " p"]) -> Float[Array, "m p"]:
        """One: all are alike."""
        return orthonormal_to(w_star)[:1]

    @property
    def bound(self) -> float:
        """1 on the sphere."""
        return 1.0 if self.law == "sphere" else math.inf

    def _radii(self) -> tuple[float, float]:
        # E r² and E r relative to the Gaussian's: the direction is independent of the length.
        p = self.dimension
        if self.law == "gaussian":
            return 1.0, 1.0
        return 1 / p, math.exp(math.lgamma(p / 2) - math.lgamma((p + 1) / 2)) / math.sqrt(2)


class SamplePatches(AbstractPatches):
    """Patches as given: the average over n inputs is the distribution.

    `complete` only for p ≤ 2: in more dimensions the worst filter at an angle is looked for among `searched` directions
    (eigenvectors of the patches' second moment and random ones), so that γ is bounded from above and L, β, L_cross from below.

    **Raises:** `ValueError` for another shape than (n, k, p), NaN, or patches that are all zero.
    """

    z: Float[Array, "n k p"]
    searched: int = eqx.field(static=True)
    seed: int = eqx.field(static=True)

    # Written out: type checkers take the abstract fields for positional arguments of the generated one.
    def __init__(self, z: Float[Array, "n k p"], searched: int = 24, seed: int = 0):
        self.z, self.searched, self.seed = z, searched, seed

    def __check_init__(self):
        numerics.require_float64("patches", self.z)
        if self.z.ndim != 3 or 0 in self.z.shape:
            raise ValueError(
                f"patches: an array (inputs, patches, numbers of a patch) expected, shape {self.z.shape} came"
            )
        numerics.check_count("searched", self.searched)
        if numerics.is_concrete(self.z):
            values = np.asarray(self.z)
            if not np.isfinite(values).all():
                raise ValueError("patches: finite numbers expected, NaN or infinity came")
            if not values.any():
                raise ValueError("patches: numbers other than zero expected, every patch is zero")

    @property
    def complete(self) -> bool:
        """Whether a filter at an angle has no more than two directions to turn to."""
        return self.dimension <= 2

    @property
    def patches(self) -> int:
        """k."""
        return self.z.shape[1]

    @property
    def dimension(self) -> int:
        """p."""
        return self.z.shape[2]

    @property
    def bound(self) -> float:
        """The longest patch."""
        return float(jnp.max(jnp.linalg.norm(self.z, axis=-1)))

    def moments(self, w: Float[Array, " p"], w_star: Float[Array, " p"]) -> RegionMoments:
        """Averages over the inputs."""
        on, on_star = self.z @ w >= 0, self.z @ w_star >= 0
        n = self.z.shape[0]

        def part(mask):
            return jnp.einsum("nk,nkp->np", mask.astype(self.z.dtype), self.z) / self.patches

        a, b, c = part(on & on_star), part(on & ~on_star), part(~on & on_star)
        return RegionMoments(a.T @ a / n, a.T @ b / n, a.T @ c / n, b.T @ b / n, b.T @ c / n, c.T @ c / n)

    def mean_output(self, w: Float[Array, " p"]) -> Float[Array, ""]:
        """The average."""
        return jnp.mean(jnp.maximum(self.z @ w, 0))

    def draw(self, count: int, *, key: PRNGKeyArray) -> Float[Array, "count k p"]:
        """Inputs drawn with replacement."""
        return self.z[jax.random.randint(key, (count,), 0, self.z.shape[0])]

    def directions(self, w_star: Float[Array, " p"]) -> Float[Array, "m p"]:
        """Both signs of the eigenvectors of the second moment, made orthogonal to w*, and random directions."""
        p = self.dimension
        if p == 1:
            return jnp.zeros((0, 1))
        basis = orthonormal_to(w_star)
        if p == 2:
            return jnp.concatenate([basis, -basis])
        flat = self.z.reshape(-1, p)
        inside = basis @ (flat.T @ flat) @ basis.T
        eigen = jnp.linalg.eigh(inside)[1].T @ basis
        key = jax.random.key(self.seed)
        drawn = jax.random.normal(key, (self.searched, p - 1), jnp.float64) @ basis
        drawn = drawn / jnp.linalg.norm(drawn, axis=1, keepdims=True)
        some = eigen[jnp.array(sorted({0, (p - 1) // 2, p - 2}))]
        return jnp.concatenate([some, -some, drawn])


def orthonormal_to(w: Float[Array, " p"]) -> Float[Array, "q p"]:
    """An orthonormal basis of the space orthogonal to w, one vector per row (q = p − 1)."""
    return jnp.linalg.svd(w[None, :], full_matrices=True)[2][1:]


def image_patches(
    images: Float[np.ndarray, "n h w"], size: int, stride: int | None = None
) -> Float[np.ndarray, "n k p"]:
    """Square patches of images, row by row; by default they do not overlap.

    **Raises:** `ValueError` if they do not tile the image: a border would be lost without a word.
    """
    numerics.check_count("patch size", size)
    stride = size if stride is None else numerics.check_count("stride", stride)
    n, height, width = images.shape
    for name, length in (("height", height), ("width", width)):
        if length < size or (length - size) % stride:
            fitting = [s for s in range(1, length + 1) if not length % s]
            raise ValueError(
                f"patch size: patches that tile the image's {name} {length} expected, size {size} with stride {stride} "
                f"came; without overlap {', '.join(map(str, fitting))} do"
            )
    windows = np.lib.stride_tricks.sliding_window_view(images, (size, size), axis=(1, 2))[:, ::stride, ::stride]
    return np.ascontiguousarray(windows.reshape(n, -1, size * size))


def row_patches(rows: Float[np.ndarray, "n d"], size: int) -> Float[np.ndarray, "n k p"]:
    """Rows cut into patches of `size` numbers that do not overlap.

    **Raises:** `ValueError` if they do not tile the row.
    """
    numerics.check_count("patch size", size)
    n, d = rows.shape
    if d % size:
        raise ValueError(
            f"patch size: a divisor of the {d} columns expected, {size} came: its patches do not tile a row"
        )
    return np.ascontiguousarray(rows.reshape(n, d // size, size))

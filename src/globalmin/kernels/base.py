"""Infinite width: a kernel says what it does to two points, the base class does the batching.

A pair of inputs reaches a kernel as a `Covariance`: the variances of the two first pre-activations and the angle
between them. The angle is computed from differences of unit vectors (Kahan's form) wherever the rows are close to
parallel, so that two rows 1e-9 apart are still told apart; everything else is elementwise on tiles that stay in cache.
"""

import abc
from collections.abc import Sequence
from typing import ClassVar, Self

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax.typing import DTypeLike
from jaxtyping import Array, Bool, Float, PyTree

from .._core import arcs, numerics
from ..activations import AbstractActivation, Covariance

TILE = 128
"""Rows and columns of a tile: a dozen float64 tiles fit into a second-level cache of 1-2 MB."""

CHUNK = 16
"""Features that one pass over a tile consumes when the differences of rows are accumulated."""

CLOSE = 0.9
"""Cosine beyond which a pair counts as nearly parallel; below it the angle loses a factor 1/√(1 − 0.81) = 2.3 at most."""


class AbstractKernel(eqx.Module):
    """A family of named Gram matrices, each a function of two inputs; float64 unless a call asks for less.

    A subclass gives `entries` and `entry_bounds`, and `embed` where the pre-activations are not x itself.
    """

    single: ClassVar[bool] = False  # whether `entries` also works in float32

    @abc.abstractmethod
    def entries(self, cov: Covariance) -> dict[str, Float[Array, "*pairs"]]:
        """The named entries of a tile of pairs: `cov.p` is (t, 1), `cov.q` is (1, u), `cov.angle` is (t, u).

        With pixels, arranged as the kernel's own `pairs` does it.
        """

    @abc.abstractmethod
    def entry_bounds(
        self, variances: Float[Array, " n"], variance_error: float, angle_error: float
    ) -> dict[str, float]:
        """Bounds on the absolute error of the entries, for pairs of rows with these `variances`.

        `variance_error` (relative) and `angle_error` (absolute) are what `entries` is handed at worst.
        """

    @property
    def tile(self) -> int:
        """Rows and columns of a tile."""
        return TILE

    def embed(self, x: Float[Array, "n d"]) -> Float[Array, "n e"]:
        """Rows whose inner products are the covariances of the first pre-activations."""
        return x

    def variances(self, x: Float[Array, "n d"]) -> Float[Array, " k"]:
        """Variances of the first pre-activations, one per row, or per row and pixel."""
        rows = self.embed(x)
        return jnp.sum(rows * rows, axis=1)

    def prepared(self, x: Float[Array, "n d"]) -> PyTree[Float[Array, "n ..."]]:
        """What `pairs` needs of the rows, computed once."""
        return Directions(self.embed(x))

    def pairs(self, left: PyTree[Float[Array, "t ..."]], right: PyTree[Float[Array, "u ..."]]) -> dict[str, Array]:
        """The named entries of a tile, from what is `prepared` of its rows and columns."""
        return self.entries(covariance_of(left, right))

    def refined(self, variance: Float[Array, ""]) -> Self:
        """The same kernel with dual maps that are accurate up to this variance (`AbstractActivation.refined`)."""
        return self

    def __call__(
        self,
        x: Float[Array, "n d"],
        y: Float[Array, "k d"] | None = None,
        *,
        only: Sequence[str] | None = None,
        dtype: DTypeLike = "float64",
    ) -> dict[str, Float[Array, "n k"]]:
        """The Gram matrices between the rows of `x` and of `y`; of `x` with itself when `y` is None.

        **Arguments:** `x`, `y`: inputs, one sample per row, float64. Without `y` only the tiles of the upper triangle
        are computed, the matrices are exactly symmetric, and a row meets itself at the angle 0. `only`: the names of the
        matrices that are wanted; time and memory go to no others. `dtype`: float32 for half the memory and a third of
        the time, at an error of a few 1e-7 of the entry for rectifiers and up to 1e-5 of the diagonal for others at depth
        10; x and y may be float32 then. No verdict uses it.

        **Returns:** matrices of that dtype by name. Equal or positively parallel rows are no error: the matrix is singular.

        **Raises:** `ValueError` for inputs that are no float64 matrix, not finite, have zero rows (named), for a `y`
        of another dimension, for a name that the kernel does not have, or for float32 where there is no closed form.

        **Cost:** one product per tile (and a pass over differences of rows in the tiles that hold nearly parallel
        pairs), then elementwise work; memory n k per matrix and a few tiles.
        """
        dtype = self._check_dtype(dtype)
        kernel, _, x, y = self._prepared(x, y, single=dtype == np.float32)
        return _gram(kernel, x, y, None if only is None else tuple(only), dtype)

    def entry_error(self, x: Float[Array, "n d"], y: Float[Array, "k d"] | None = None) -> dict[str, float]:
        r"""Bounds on the absolute error of every entry of `self(x, y)`, by name: what λ_min's error bar needs.

        With u = eps/2 and e embedded features: a sum of e squares has relative error (e + 2) u in any order, and
        embedding adds 2u, so variances are right to (e + 4) u. A unit row has a common factor 1 + ε, |ε| ≤ (e/2 + 2) u,
        and 2u in each component. Away from parallel, |cos θ| ≤ 0.9, the error of the inner product is at most
        (2e + 8) u, and arccos multiplies by 2.3. In tiles with nearly parallel pairs the chord h = |x̂ ∓ ŷ| of the
        acute angle θ ≤ π/2 has relative error (e + 4) u and absolute error (e + 6) u, and θ = 2 arcsin(h/2) multiplies
        by √2. Both are below 2.5 (e + 8) eps, which is the bound used.
        """
        kernel, variances, x, _ = self._prepared(x, y)
        features = jax.eval_shape(self.embed, x).shape[-1]
        return kernel.entry_bounds(variances, (features + 4) * numerics.EPS, 2.5 * (features + 8) * numerics.EPS)

    def _check_dtype(self, dtype: DTypeLike) -> np.dtype:
        wanted = np.dtype(dtype)
        if wanted not in (np.float32, np.float64):
            raise ValueError(f"dtype: float64 or float32 expected, {wanted} came")
        if wanted == np.float32:
            if not self.single:
                raise ValueError(f"dtype: float64 expected of {type(self).__name__}, float32 came; leave it out")
            activation = getattr(self, "activation", None)
            if activation is not None and not activation.closed_form:
                raise ValueError(
                    f"dtype: float64 expected, float32 came; the dual maps of {activation.name} are series that need it"
                )
        return wanted

    def _prepared(self, x, y, single=False):
        x = numerics.check_inputs(x, single=single)
        if y is not None:
            y = numerics.check_inputs(y, "y", single=single)
            if y.dtype != x.dtype:
                raise ValueError(f"y: {x.dtype} expected, as x; {y.dtype} came")
            if y.shape[1] != x.shape[1]:
                raise ValueError(f"y: rows of dimension {x.shape[1]} expected, as in x; rows of {y.shape[1]} came")
        variances = _variances(self, x if y is None else jnp.concatenate([x, y]))
        # How many terms a series gets is decided from the largest variance; under tracing it keeps what it has.
        return (self.refined(jnp.max(variances)) if numerics.is_concrete(variances) else self), variances, x, y


def homogeneous_slopes(activation: AbstractActivation) -> tuple[float, float] | None:
    """(φ(1), −φ(−1)) if φ(tz) = tφ(z) for t > 0 (ReLU, leaky ReLU, a line), otherwise None.

    Multiplying by a power of two is exact in binary arithmetic, so the test is an equality.
    """
    scales = np.array([2.0**-10, 0.5, 1.0, 2.0, 4.0, 2.0**20])
    with jax.ensure_compile_time_eval():
        up, down = np.asarray(activation(jnp.asarray(scales))), np.asarray(activation(jnp.asarray(-scales)))
    if np.array_equal(up, up[2] * scales) and np.array_equal(down, down[2] * scales):
        return float(up[2]), -float(down[2])
    return None


@eqx.filter_jit
def _variances(kernel: AbstractKernel, x: Array) -> Array:
    return kernel.variances(x)


@eqx.filter_jit
def _gram(
    kernel: AbstractKernel, x: Array, y: Array | None, only: tuple[str, ...] | None, dtype: np.dtype
) -> dict[str, Array]:
    # Rows are normalised in the precision they came in.
    left = jax.tree.map(lambda leaf: leaf.astype(dtype), kernel.prepared(x))
    right = left if y is None else jax.tree.map(lambda leaf: leaf.astype(dtype), kernel.prepared(y))
    rows, columns = len(x), len(x if y is None else y)
    t, u = min(kernel.tile, rows), min(kernel.tile, columns)
    pairs = np.array([(i, j) for i in range(-(-rows // t)) for j in range(-(-columns // u))])
    if y is None:
        pairs = pairs[pairs[:, 0] <= pairs[:, 1]]
    # The last tile of a row is moved back to end at the border, instead of padding: what it shares with the tile
    # before is computed twice. A diagonal tile comes after every tile that it overlaps.
    starts = jnp.asarray(np.minimum(pairs * (t, u), (rows - t, columns - u)))
    below = np.tri(t, u, -1, dtype=bool)

    @jax.jit  # traced once, for its shapes and in the loop
    def tile(k, left, right):
        i, j = starts[k, 0], starts[k, 1]
        blocks = kernel.pairs(_slice(left, i, t), _slice(right, j, u))
        if only is None:
            return blocks
        unknown = [name for name in only if name not in blocks]
        if unknown:
            raise ValueError(f"only: some of {', '.join(blocks)} expected, {', '.join(unknown)} came")
        return {name: blocks[name] for name in only}

    def step(k, state):
        # A tile is written one step after it was computed: the loop's carry is the one place where XLA keeps an array,
        # and does not evaluate it anew for every matrix and triangle that it is written to.
        grams, blocks = state
        before = jnp.maximum(k - 1, 0)  # the zeros of step 0 are overwritten in step 1
        i, j = starts[before, 0], starts[before, 1]
        written = {}
        for name, block in blocks.items():
            if y is None:
                block = jnp.where(below & (i == j), block.T, block)
            gram = jax.lax.dynamic_update_slice(grams[name], block, (i, j))
            written[name] = gram if y is not None else jax.lax.dynamic_update_slice(gram, block.T, (j, i))
        return written, tile(jnp.minimum(k, len(starts) - 1), left, right)

    shapes = jax.eval_shape(tile, jnp.asarray(0), left, right)
    blocks = {name: jnp.zeros(block.shape, block.dtype) for name, block in shapes.items()}
    grams = {name: jnp.zeros((rows, columns), block.dtype) for name, block in shapes.items()}
    return jax.lax.fori_loop(jnp.asarray(0), len(starts) + 1, step, (grams, blocks))[0]


def _slice(rows: PyTree, start, size: int) -> PyTree:
    return jax.tree.map(lambda leaf: jax.lax.dynamic_slice_in_dim(leaf, start, size), rows)


class Directions(eqx.Module):
    """Unit rows, padded with zero features to whole chunks, and the squared norms; a zero row stays zero."""

    unit: Float[Array, "*n e"]
    squared_norm: Float[Array, "*n"]

    def __init__(self, rows: Float[Array, "*n d"]):
        self.squared_norm = jnp.sum(rows * rows, axis=-1)
        unit = rows / jnp.sqrt(jnp.where(self.squared_norm > 0, self.squared_norm, 1.0))[..., None]
        self.unit = jnp.pad(unit, (*((0, 0),) * (rows.ndim - 1), (0, -rows.shape[-1] % CHUNK)))


def covariance_of(left: Directions, right: Directions) -> Covariance:
    """The pairs of the rows of two sets, (t, u)."""
    chord, obtuse = _half_chords(left.unit.T, right.unit.T)
    acute = 2 * jnp.sqrt(chord) * arcs.arcsine_ratio(chord)
    return Covariance(
        left.squared_norm[:, None],
        right.squared_norm[None, :],
        jnp.where(obtuse, jnp.pi - acute, acute),
        jnp.where(obtuse, 2 * chord - 1, 1 - 2 * chord),
        4 * chord * (1 - chord),
    )


def _half_chords(a: Float[Array, "e t"], b: Float[Array, "e u"]) -> tuple[Float[Array, "t u"], Bool[Array, "t u"]]:
    """sin²(ψ/2) of the acute angle ψ between the lines of the columns, and whether the columns' own angle is obtuse."""
    cosine = jnp.matmul(a.T, b, precision=jax.lax.Precision.HIGHEST)

    def from_differences():
        # Kahan: arccos of the inner product keeps half of the digits near 0 and π. No product of matrices gives
        # |â ∓ b̂|², whose cancellation is what has to happen first, so it is summed up elementwise.
        sign = jnp.where(cosine < 0, -1.0, 1.0).astype(cosine.dtype)

        def add(total, features):
            for u, v in zip(*features, strict=True):
                total = total + jnp.square(u[:, None] - sign * v[None, :])
            return total, None

        chunks = (a.reshape(-1, CHUNK, a.shape[1]), b.reshape(-1, CHUNK, b.shape[1]))
        return jax.lax.scan(add, jnp.zeros_like(cosine), chunks)[0] / 4

    close = jnp.any(jnp.abs(cosine) > CLOSE)
    return jax.lax.cond(close, from_differences, lambda: (1 - jnp.abs(cosine)) / 2), cosine < 0

"""Where a gated network's activation patterns come from: fixed random maps of the input, never the trained weights."""

from abc import abstractmethod

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, PRNGKeyArray, UInt8

from .._core import numerics

SHIFTS = np.arange(8, dtype=np.uint8)

HIGHEST = jax.lax.Precision.HIGHEST


class Patterns(eqx.Module):
    """Activation patterns D_1 … D_L of a set of inputs, a bit each: n m L / 8 bytes.

    Bit j of byte b belongs to neuron b + j m/8: eight runs of neighbours, which unpack in vector instructions.
    """

    bits: UInt8[Array, "depth n bytes"]
    width: int = eqx.field(static=True)

    @classmethod
    def pack(cls, masks: Bool[Array, "depth n m"]) -> "Patterns":
        """From booleans."""
        depth, n, width = masks.shape
        count = -(-width // 8)
        padded = jnp.pad(masks, ((0, 0), (0, 0), (0, 8 * count - width))).reshape(depth, n, 8, count)
        return cls(jnp.sum(padded.astype(jnp.uint8) << SHIFTS[:, None], axis=2, dtype=jnp.uint8), width)

    def unpack(self) -> Bool[Array, "depth n m"]:
        """Back to booleans."""
        return unpacked(self.bits, self.width)


def unpacked(bits: UInt8[Array, "*more bytes"], width: int) -> Bool[Array, "*more m"]:
    """The booleans of `width` neurons from bytes as in `Patterns`."""
    runs = (bits[..., None, :] >> SHIFTS[:, None]) & jnp.uint8(1)
    return runs.reshape(*bits.shape[:-1], -1)[..., :width].astype(bool)


class AbstractGates(eqx.Module):
    """Gates of L layers of width m on the features z_0 = max(Cx, 0) of an input. A gate is open where its value is > 0."""

    @abstractmethod
    def masks(self, x: Float[Array, "n d"], features: Float[Array, "n m"]) -> Bool[Array, "depth n m"]:
        """Patterns D_1 … D_L of the inputs `x` with features z_0 = `features`."""


class ChainGates(AbstractGates):
    """The paper's: z_k = max(Ψ_k z_{k−1}, 0), D_k = 1{Ψ_k z_{k−1} > 0}. As many products as the network itself."""

    matrices: Float[Array, "depth m m"]

    @classmethod
    def init(cls, depth: int, width: int, dimension: int, *, key: PRNGKeyArray, dtype=jnp.float64) -> "ChainGates":
        """Ψ_k ~ N(0, 2/m)."""
        return cls(jnp.asarray(2 / width, dtype) ** 0.5 * jax.random.normal(key, (depth, width, width), dtype))

    @eqx.filter_jit
    def masks(self, x: Float[Array, "n d"], features: Float[Array, "n m"]) -> Bool[Array, "depth n m"]:
        """Patterns by one pass through Ψ."""

        def layer(z, matrix):
            before = jnp.matmul(z, matrix.T, precision=HIGHEST)
            return jnp.maximum(before, 0), before > 0

        return jax.lax.scan(layer, features, self.matrices)[1]


class InputGates(AbstractGates):
    """D_k = 1{Ψ_k x > 0}: patterns of different inputs decorrelate like 2^{−L}, and each costs m d operations only.

    These are the gates that the source's Lemma 4 analyses, while its network has `ChainGates`.
    """

    matrices: Float[Array, "depth m d"]

    @classmethod
    def init(cls, depth: int, width: int, dimension: int, *, key: PRNGKeyArray, dtype=jnp.float64) -> "InputGates":
        """Ψ_k ~ N(0, 1); only signs count."""
        return cls(jax.random.normal(key, (depth, width, dimension), dtype))

    def masks(self, x: Float[Array, "n d"], features: Float[Array, "n m"]) -> Bool[Array, "depth n m"]:
        """Patterns by one product per layer."""
        return jnp.einsum("kmd,nd->knm", self.matrices, x, precision=HIGHEST) > 0


class LowRankGates(AbstractGates):
    """`ChainGates` with Ψ_k = U_k V_k of rank r: 2rm operations per layer and input instead of m².

    Drawn so before training, inference with few operations is exact; as an approximation of other gates (`factored`) it is not.
    """

    left: Float[Array, "depth m r"]
    right: Float[Array, "depth r m"]

    @classmethod
    def init(
        cls, depth: int, width: int, dimension: int, *, key: PRNGKeyArray, rank: int | None = None, dtype=jnp.float64
    ) -> "LowRankGates":
        """U, V ~ N(0, 1), scaled so that Ψ_k has entries of variance 2/m; by default r = √m."""
        rank = max(1, round(width**0.5)) if rank is None else numerics.check_count("rank", rank)
        u_key, v_key = jax.random.split(key)
        scale = jnp.asarray(2 / (width * rank), dtype) ** 0.5
        return cls(
            scale * jax.random.normal(u_key, (depth, width, rank), dtype),
            jax.random.normal(v_key, (depth, rank, width), dtype),
        )

    def masks(self, x: Float[Array, "n d"], features: Float[Array, "n m"]) -> Bool[Array, "depth n m"]:
        """Patterns by two thin products per layer."""

        def layer(z, factors):
            left, right = factors
            thin = jnp.matmul(z, right.T, precision=HIGHEST)
            before = jnp.matmul(thin, left.T, precision=HIGHEST)
            return jnp.maximum(before, 0), before > 0

        return jax.lax.scan(layer, features, (self.left, self.right))[1]


GATES: dict[str, type[ChainGates] | type[InputGates] | type[LowRankGates]] = {
    "chain": ChainGates,
    "inputs": InputGates,
    "low-rank": LowRankGates,
}
"""Gate sources by name."""


def factored(gates: ChainGates, rank: int, method: str = "nmf") -> LowRankGates:
    """Thin factors in place of the Ψ_k of a network that exists: 2rm operations per layer and new input, and other patterns.

    **Arguments:** `rank`, of the product; `method`, "nmf" (factors of max(Ψ, 0) and of max(−Ψ, 0), half of the rank each: Ψ is
    signed, and a non-negative factorisation of it would open every gate) or "svd" (the nearest matrix of that rank).

    **Returns:** gates that agree with the exact ones in little more than half of the neurons, or 0.7 for "nmf", at the
    source's r = √m/2; outputs are then off by their own size. Draw `LowRankGates` before training instead.

    **Raises:** `ValueError` for an unknown method, or a rank outside [2, m].

    **Source:** Noy et al. (2021), section 4.4, with erratum E28; scikit-learn's `NMF`.
    """
    if method not in ("nmf", "svd"):
        raise ValueError(f"method: nmf or svd expected, {method!r} came")
    width = gates.matrices.shape[1]
    if not 2 <= rank <= width:
        raise ValueError(f"rank: an integer from 2 to m = {width} expected, {rank} came")
    split = _signed_parts if method == "nmf" else _truncated
    left, right = zip(*(split(np.asarray(psi), rank) for psi in gates.matrices), strict=True)
    return LowRankGates(jnp.asarray(np.array(left)), jnp.asarray(np.array(right)))


def _truncated(psi: np.ndarray, rank: int) -> tuple[np.ndarray, np.ndarray]:
    u, s, v = np.linalg.svd(psi, full_matrices=False)
    return u[:, :rank] * s[:rank], v[:rank]


def _signed_parts(psi: np.ndarray, rank: int) -> tuple[np.ndarray, np.ndarray]:
    from sklearn.decomposition import NMF  # half a second to import, for this alone

    left, right = [], []
    for sign, share in ((1, rank - rank // 2), (-1, rank // 2)):
        solver = NMF(n_components=share, init="nndsvda", tol=1e-2, max_iter=200)  # pyright: ignore[reportArgumentType]
        left.append(sign * solver.fit_transform(np.maximum(sign * psi, 0)))
        right.append(solver.components_)
    return np.hstack(left), np.vstack(right)

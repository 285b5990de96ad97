"""Gated networks (GReLU) f(x) = B D_L W_L D_{L−1} … D_1 W_1 D_0 C x, and the ReLU network with the same weights.

Convention of Noy, Xu, Aflalo, Zelnik-Manor and Jin (2021): C ~ N(0, 2/d), W_k ~ N(0, 2/m), B ~ N(0, 2/d_y), with
D_0 = 1{Cx > 0}; only W_1 … W_L train. ‖h_k‖² is about m/d and the first outputs have size √(2m/d): they grow with
the width, and the tangent kernel grows like L m²/(d d_y). A gate is open where its pre-activation is > 0, strictly.

For fixed patterns f is multilinear in (W_1, …, W_L): a polynomial, without kinks.
"""

from abc import abstractmethod
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, PRNGKeyArray, PyTree

from .._core import RESULTS, numerics
from .base import AbstractModel, Step, TangentStack
from .gates import GATES, HIGHEST, AbstractGates, ChainGates, Patterns, unpacked


class AbstractGated(AbstractModel):
    """What gated networks and their ReLU counterparts share: C and B fixed, W_1 … W_L trained, a pattern per layer.

    With d_y outputs, `outputs` and labels are flat with the outputs of a sample next to each other: length n d_y.
    """

    first: eqx.AbstractVar[Float[Array, "m d"]]  # C
    layers: eqx.AbstractVar[Float[Array, "depth m m"]]  # W_1 … W_L
    readout: eqx.AbstractVar[Float[Array, "out m"]]  # B
    final: eqx.AbstractVar[bool]  # whether the last layer has its gate D_L; False: f = B W_L h_{L−1}

    @abstractmethod
    def _rows(self, x: Array, h: Array, state: PyTree) -> Array:
        """One row per layer from which `_open` makes the pattern of that layer."""

    @abstractmethod
    def _open(self, before: Array, row: Array) -> Array:
        """The pattern of a layer from its pre-activations and its row."""

    @property
    def depth(self) -> int:
        """L, the number of trained layers."""
        return self.layers.shape[0]

    @property
    def width(self) -> int:
        """m."""
        return self.first.shape[0]

    def __call__(self, x: Float[Array, " d"]) -> Float[Array, "..."]:
        """f(x): a number, or d_y of them."""
        f = self.outputs(x[None])
        return f[0] if len(self.readout) == 1 else f

    def trainable(self) -> PyTree:
        """W_1 … W_L."""
        return eqx.tree_at(lambda m: m.layers, jax.tree.map(lambda _: False, self), True)

    @eqx.filter_jit
    def outputs(self, x: Float[Array, "n d"], state: PyTree = None) -> Float[Array, " N"]:
        """f on a batch, flat; `state` holds the patterns of these very inputs if they are known."""
        return self._read(self._forward(x, state)[0])

    def step(self, x: Float[Array, "n d"], y: Float[Array, " N"], state: PyTree) -> Step:
        """Outputs and gradient in 3L − 1 products of n × m × m: the gradient of layer k is Λ_kᵀ H_{k−1}."""
        last, inputs, masks = self._forward(x, state)
        u = self._read(last)
        residual = (u - y).reshape(len(x), -1)
        adjoint = jnp.where(masks[-1], jnp.matmul(residual, self.readout, precision=HIGHEST), 0)

        def layer(i, carry):
            adjoint, gradient = carry
            k = self.depth - 1 - i
            gradient = gradient.at[k].set(jnp.matmul(adjoint.T, inputs[k], precision=HIGHEST))
            below = jnp.matmul(adjoint, self.layers[k], precision=HIGHEST)
            return jnp.where(masks[k - 1], below, 0), gradient

        # The first layer apart: nothing is propagated below it.
        carry = jax.lax.fori_loop(0, self.depth - 1, layer, (adjoint, jnp.zeros_like(self.layers)))
        gradient = carry[1].at[0].set(jnp.matmul(carry[0].T, inputs[0], precision=HIGHEST))
        nothing = jax.tree.map(lambda _: None, self)
        tree = eqx.tree_at(lambda m: m.layers, nothing, gradient, is_leaf=lambda leaf: leaf is None)
        return Step(u, tree, state, {}, RESULTS.successful)  # pyright: ignore[reportArgumentType]

    @eqx.filter_jit
    def masks(self, x: Float[Array, "n d"], state: PyTree = None) -> Bool[Array, "depth n m"]:
        """The patterns D_1 … D_L on a batch."""
        return self._forward(x, state)[2]

    @eqx.filter_jit
    def features(self, x: Float[Array, "n d"], state: PyTree = None) -> Float[Array, "layers n m"]:
        """h_0 … h_L on a batch."""
        last, inputs, _ = self._forward(x, state)
        return jnp.concatenate([inputs, last[None]])

    @eqx.filter_jit
    def adjoints(self, x: Float[Array, "n d"], state: PyTree = None) -> Float[Array, "depth n out m"]:
        """Rows of F_2 … F_{L+1}, F_{k+1} = B D_L W_L … W_{k+1} D_k: the derivatives by the pre-activations of layer k."""
        return self._backward(self._forward(x, state)[2])

    def output_scale(self, x: Float[Array, "n d"], state: PyTree = None) -> float:
        """max over samples and outputs of Σ_k ‖F_{k+1}‖‖W_k‖_F‖h_{k−1}‖ + ‖F_1‖‖C‖_F‖x‖ + ‖B‖‖h_L‖.

        A product W h is off by at most m eps ‖W‖_F‖h‖ in norm, and F_{k+1} carries it to the output (first order).
        """
        return float(_output_scale(self, x, state))

    def tangent_blocks(self, x: Float[Array, "n d"], state: PyTree = None) -> dict[str, TangentStack]:
        """∂f_i/∂W_k = F_{k+1,i}ᵀ ⊗ h_{k−1,i}: one outer product per sample, output and layer."""
        _, inputs, masks = self._forward(x, state)
        adjoints = self._backward(masks)
        rows = adjoints.reshape(self.depth, -1, self.width)
        return {"layers": TangentStack(rows, inputs, tuple(f"layer {k + 1}" for k in range(self.depth)))}

    def _forward(self, x, state) -> tuple[Array, Array, Array]:
        """h_L, the inputs h_0 … h_{L−1} of the layers, and the patterns D_1 … D_L."""
        h = jnp.maximum(jnp.matmul(x, self.first.T, precision=HIGHEST), 0)

        def layer(h, parts):
            weights, row = parts
            before = jnp.matmul(h, weights.T, precision=HIGHEST)
            mask = self._open(before, row)
            return jnp.where(mask, before, 0), (h, mask)

        last, (inputs, masks) = jax.lax.scan(layer, h, (self.layers, self._rows(x, h, state)))
        return last, inputs, masks

    def _backward(self, masks) -> Array:
        """F_2 … F_{L+1}, from above."""

        def layer(adjoint, parts):
            weights, mask = parts
            below = jnp.where(mask[:, None], jnp.matmul(adjoint, weights, precision=HIGHEST), 0)
            return below, below

        top = jnp.where(masks[-1][:, None], self.readout, 0)
        _, below = jax.lax.scan(layer, top, (self.layers[1:], masks[:-1]), reverse=True)
        return jnp.concatenate([below, top[None]])

    def _read(self, last) -> Array:
        return jnp.matmul(last, self.readout.T, precision=HIGHEST).ravel()


class Gated(AbstractGated):
    """The gated network: its patterns come from `gates` and never change while it trains."""

    first: Float[Array, "m d"]
    layers: Float[Array, "depth m m"]
    readout: Float[Array, "out m"]
    gates: AbstractGates
    final: bool = eqx.field(static=True, default=True)

    @classmethod
    def init(
        cls,
        dimension: int,
        width: int,
        depth: int,
        *,
        key: PRNGKeyArray,
        outputs: int = 1,
        gates: str = "chain",
        dtype=jnp.float64,
        **gate_options: Any,
    ) -> "Gated":
        """The paper's initialisation; `gates` is one of `GATES`, and `rank` an option of "low-rank".

        **Raises:** `ValueError` for a count below 1 or unknown gates.
        """
        for name, count in (("dimension", dimension), ("width", width), ("depth", depth), ("outputs", outputs)):
            numerics.check_count(name, count)
        if gates not in GATES:
            raise ValueError(f"gates: one of {', '.join(GATES)} expected, {gates!r} came")
        c_key, w_key, b_key, g_key = jax.random.split(key, 4)

        def normal(key, variance, shape):
            return jnp.asarray(variance, dtype) ** 0.5 * jax.random.normal(key, shape, dtype)

        return cls(
            normal(c_key, 2 / dimension, (width, dimension)),
            normal(w_key, 2 / width, (depth, width, width)),
            normal(b_key, 2 / outputs, (outputs, width)),
            gates=GATES[gates].init(depth, width, dimension, key=g_key, dtype=dtype, **gate_options),
        )

    def patterns(self, x: Float[Array, "n d"]) -> Patterns:
        """The packed patterns of a batch: computed once for the training set, and kept."""
        return _patterns(self, x)

    def initial_state(self, x: Float[Array, "n d"]) -> Patterns:
        """The patterns of the training set.

        **Raises:** `ValueError` if a layer has no open gate for a sample: f is 0 there whatever the weights.
        """
        found = self.patterns(x)
        if numerics.is_concrete(found.bits):
            dead = np.asarray(found.bits).max(axis=-1) == 0
            if dead.any():
                layer = int(np.flatnonzero(dead.any(axis=1))[0])
                rows = numerics.name_rows(np.flatnonzero(dead[layer]))
                raise ValueError(
                    f"gates: an open one for every sample in every layer expected; layer {layer + 1} of {self.depth} has "
                    f"none for samples {rows}, where f stays 0 whatever the weights; widen or take another seed"
                )
        return found

    def rectified(self, *, final: bool = True) -> "Rectified":
        """The plain ReLU network with the same C, W and B."""
        return Rectified(self.first, self.layers, self.readout, final)

    def _rows(self, x, h, state) -> Array:
        found = state if isinstance(state, Patterns) else Patterns.pack(self._masks(x, h))
        return found.bits

    def _open(self, before, row) -> Array:
        return unpacked(row, self.width)

    def _masks(self, x, h) -> Array:
        masks = self.gates.masks(x, h)
        return masks if self.final else masks.at[-1].set(True)


class Rectified(AbstractGated):
    """The plain ReLU network a_0 = max(Cx, 0), a_k = max(W_k a_{k−1}, 0), f = B a_L: the gates are its own.

    `final=False` leaves the last ReLU out, f = B W_L a_{L−1}: what a gated network can be turned into.
    """

    first: Float[Array, "m d"]
    layers: Float[Array, "depth m m"]
    readout: Float[Array, "out m"]
    final: bool = eqx.field(static=True, default=True)

    def freeze(self) -> Gated:
        """The gated network with Ψ = W as it is now: the same outputs and tangent kernel on every input, fixed gates."""
        return Gated(self.first, self.layers, self.readout, gates=ChainGates(self.layers), final=self.final)

    def _rows(self, x, h, state) -> Array:
        return jnp.zeros(self.depth, bool).at[-1].set(not self.final)

    def _open(self, before, row) -> Array:
        return (before > 0) | row


@eqx.filter_jit
def _patterns(model: Gated, x) -> Patterns:
    h = jnp.maximum(jnp.matmul(x, model.first.T, precision=HIGHEST), 0)
    return Patterns.pack(model._masks(x, h))


@eqx.filter_jit
def _output_scale(model: AbstractGated, x, state):
    last, inputs, masks = model._forward(x, state)
    adjoints = model._backward(masks)
    lowest = jnp.where((x @ model.first.T > 0)[:, None], adjoints[0] @ model.layers[0], 0)
    norms = jnp.linalg.norm(model.layers, axis=(1, 2))
    along = jnp.einsum("kni,k,kn->ni", jnp.linalg.norm(adjoints, axis=3), norms, jnp.linalg.norm(inputs, axis=2))
    into = jnp.linalg.norm(lowest, axis=2) * (jnp.linalg.norm(model.first) * jnp.linalg.norm(x, axis=1))[:, None]
    read = jnp.linalg.norm(last, axis=1)[:, None] * jnp.linalg.norm(model.readout, axis=1)
    return jnp.max(along + into + read)

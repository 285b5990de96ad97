"""What the deep networks share: layer 1, then H − 1 equal layers in one loop, then a linear read-out; all of it trained.

x^(1) = √(c_σ/m) σ(W^(1) φ(x)) and x^(h) = s x^(h−1) + κ σ(W^(h) φ(x^(h−1))), h = 2 ... H, f = ⟨a, x^(H)⟩, every entry of
every weight N(0, 1) at the start. The three architectures differ in s (0 or 1), in κ, and in φ: the identity, or the
patches of an image, whose pixels then are one more axis of every array. W^(2) ... W^(H) are one array, so that a pass
is a `lax.scan` and compiling does not grow with the depth.
"""

from abc import abstractmethod
from typing import ClassVar

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PyTree

from .._core import RESULTS, numerics
from ..activations import AbstractActivation
from .base import AbstractModel, Step, TangentBlock, TangentStack
from .fixed_point_layer import product


class Passes(eqx.Module):
    """One forward and one backward pass over a batch. Stacks run over the layers h = 2 ... H."""

    embedded: Float[Array, "n *pixels e"]  # φ(x)
    first: Float[Array, "n *pixels m"]  # W^(1) φ(x)
    inputs: Float[Array, "layers n *pixels m"]  # x^(h−1)
    preactivations: Float[Array, "layers n *pixels m"]  # W^(h) φ(x^(h−1))
    last: Float[Array, "n *pixels m"]  # x^(H)
    first_cotangent: Float[Array, "n *pixels m"]  # ∂f/∂x^(1)
    cotangents: Float[Array, "layers n *pixels m"]  # ∂f/∂x^(h)


class AbstractDeep(AbstractModel):
    """A deep network of width m and depth H, the number of its hidden layers."""

    skip: ClassVar[bool]  # s

    first: eqx.AbstractVar[Float[Array, "m e"]]  # W^(1)
    hidden: eqx.AbstractVar[Float[Array, "layers m k"]]  # W^(2) ... W^(H)
    readout: eqx.AbstractVar[Float[Array, "*pixels m"]]  # a
    activation: eqx.AbstractVar[AbstractActivation]
    c_sigma: eqx.AbstractVar[float]  # 1/E[σ(z)²], z ~ N(0, 1)

    @property
    @abstractmethod
    def scale(self) -> float:
        """κ of the layers 2 ... H."""

    @property
    def first_scale(self) -> float:
        """√(c_σ/m), of layer 1."""
        return (self.c_sigma / self.width) ** 0.5

    @property
    def width(self) -> int:
        """m."""
        return self.readout.shape[-1]

    @property
    def depth(self) -> int:
        """H."""
        return len(self.hidden) + 1

    @property
    def input_channels(self) -> int:
        """What a row has of entries, of a pixel where rows are images."""
        return self.first.shape[1]

    def embed(self, x: Float[Array, "n d"]) -> Float[Array, "n *pixels e"]:
        """What enters layer 1."""
        return x

    def patches(self, x: Float[Array, "n *pixels c"]) -> Float[Array, "n *pixels k"]:
        """φ."""
        return x

    def fold(self, x: Float[Array, "n *pixels k"]) -> Float[Array, "n *pixels c"]:
        """φᵀ."""
        return x

    def __call__(self, x: Float[Array, " d"]) -> Float[Array, ""]:
        """f(x)."""
        return self.outputs(x[None])[0]

    @eqx.filter_jit
    def outputs(self, x: Float[Array, "n d"], state: PyTree = None) -> Float[Array, " n"]:
        """f on a batch: one forward pass, of which only the last layer is kept."""
        start = self._layer(False, self.first_scale, 0.0, product(self.embed(x), self.first.T))
        last, _ = jax.lax.scan(lambda z, w: (self._next(z, w)[0], None), start, self.hidden)
        return self._read(last)

    def step(self, x: Float[Array, "n d"], y: Float[Array, " n"], state: PyTree) -> Step:
        """One forward pass, and one backward pass that starts from the residuals times a and leaves the gradient behind.

        By hand and not by autodiff, which stores every slice of W a second time (1.2 times the time at m = 1,024).
        """
        embedded, first, (inputs, preactivations), last = self._forward(x)
        u = self._read(last)
        rho = (u - y).reshape(-1, *(1,) * (last.ndim - 1))

        def backward(g, layer):
            w, z, h = layer
            delta = self._through(g, h, self.scale)
            return self._back(g, delta, w), _outer(delta, self.patches(z))

        stacks = (self.hidden, inputs, preactivations)
        g, hidden = jax.lax.scan(backward, rho * self.readout, stacks, reverse=True)
        leaves = (_outer(self._through(g, first, self.first_scale), embedded), hidden, jnp.sum(rho * last, axis=0))
        gradient = eqx.tree_at(_weights, eqx.filter(self, self.trainable()), leaves)
        return Step(u, gradient, state, {}, RESULTS.successful)  # pyright: ignore[reportArgumentType]

    def output_scale(self, x: Float[Array, "n d"], state: PyTree = None) -> float:
        """max_i ‖a‖‖x_i^(H)‖ (Cauchy-Schwarz)."""
        return float(_output_scale(self, x))

    @eqx.filter_jit
    def passes(self, x: Float[Array, "n d"]) -> Passes:
        """Every layer's states and pre-activations, and the gradient of f with respect to the states."""
        embedded, first, (inputs, preactivations), last = self._forward(x)

        def backward(g, layer):
            w, h = layer
            return self._back(g, self._through(g, h, self.scale), w), g

        top = jnp.broadcast_to(self.readout, last.shape)
        bottom, cotangents = jax.lax.scan(backward, top, (self.hidden, preactivations), reverse=True)
        return Passes(embedded, first, inputs, preactivations, last, bottom, cotangents)

    def tangent_blocks(self, x: Float[Array, "n d"], state: PyTree = None) -> dict[str, TangentBlock | TangentStack]:
        """∂f_i/∂W^(h) = Σ_pixels left_i ⊗ right_i, layers 2 ... H as one stack "hidden", and ∂f_i/∂a = x_i^(H).

        Their Gram matrices are G^(1), G^(2) + ... + G^(H) and G^(H+1) of the theory (`gram.layer_grams` has each):
        Hadamard products of a backward and a forward Gram matrix, over pixels sums of such products.
        """
        return self.factors(self.passes(x))

    def factors(self, passes: Passes) -> dict[str, TangentBlock | TangentStack]:
        """The tangent blocks of passes that were made."""
        left = self._through(passes.first_cotangent, passes.first, self.first_scale)
        found: dict[str, TangentBlock | TangentStack] = {"layer 1": TangentBlock(left, passes.embedded)}
        if self.depth > 1:
            left = self._through(passes.cotangents, passes.preactivations, self.scale)
            names = tuple(f"layer {h}" for h in range(2, self.depth + 1))
            found["hidden"] = TangentStack(left, jax.vmap(self.patches)(passes.inputs), names)
        last = passes.last.reshape(len(passes.last), -1)
        return found | {"readout": TangentBlock(last, jnp.ones((len(last), 1), last.dtype))}

    def _forward(self, x: Array) -> tuple[Array, Array, tuple[Array, Array], Array]:
        """φ(x), W^(1)φ(x), the stacks of x^(h−1) and W^(h)φ(x^(h−1)), and x^(H)."""
        embedded = self.embed(x)
        first = product(embedded, self.first.T)

        def forward(z, w):
            after, h = self._next(z, w)
            return after, (z, h)

        last, stacks = jax.lax.scan(forward, self._layer(False, self.first_scale, 0.0, first), self.hidden)
        return embedded, first, stacks, last

    def _next(self, z: Array, w: Array) -> tuple[Array, Array]:
        h = product(self.patches(z), w.T)
        return self._layer(self.skip, self.scale, z, h), h

    def _layer(self, skip: bool, scale: float, z, h: Array) -> Array:
        branch = scale * self.activation(h)
        return z + branch if skip else branch

    def _back(self, g: Array, delta: Array, w: Array) -> Array:
        """∂f/∂x^(h−1) from ∂f/∂x^(h) = g."""
        back = self.fold(product(delta, w))
        return g + back if self.skip else back

    def _through(self, g: Array, h: Array, scale: float) -> Array:
        return scale * self.activation.derivative(h) * g

    def _read(self, last: Array) -> Array:
        return product(last.reshape(len(last), -1), self.readout.ravel())


def _weights(model: AbstractDeep) -> tuple:
    return model.first, model.hidden, model.readout


def _outer(left: Array, right: Array) -> Array:
    """Σ left ⊗ right over samples and pixels."""
    return product(left.reshape(-1, left.shape[-1]).T, right.reshape(-1, right.shape[-1]))


def check_depth(depth: int, least: int, why: str) -> int:
    """Return the depth, or raise `ValueError` if it is below `least`, with the reason."""
    try:
        return numerics.check_count("depth", depth, least)
    except ValueError as error:
        raise ValueError(f"{error}; {why}") from None


def gaussian_weights(
    key: Array, shapes: tuple[tuple[int, ...], tuple[int, ...], tuple[int, ...]], dtype
) -> tuple[Array, Array, Array]:
    """W^(1), the stack W^(2) ... W^(H) and a, every entry N(0, 1) and independent."""
    keys = jax.random.split(key, 3)
    first, hidden, readout = (jax.random.normal(k, shape, dtype) for k, shape in zip(keys, shapes, strict=True))
    return first, hidden, readout


@eqx.filter_jit
def _output_scale(model: AbstractDeep, x: Float[Array, "n d"]) -> Float[Array, ""]:
    last = model.passes(x).last.reshape(len(x), -1)
    return jnp.linalg.norm(model.readout) * jnp.max(jnp.linalg.norm(last, axis=1))

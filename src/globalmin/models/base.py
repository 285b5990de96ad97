"""What the trainer, the Gram matrices and the certificates ask of a finite-width network."""

from abc import abstractmethod
from collections.abc import Mapping
from typing import Any

import equinox as eqx
import jax
from jaxtyping import Array, Float, PyTree

from .._core import RESULTS


class Step(eqx.Module):
    """Outputs and gradient of L = ½‖u − y‖² at one iterate, with the solver state that warm-starts the next."""

    outputs: Float[Array, " N"]  # n, or the outputs of each sample next to each other
    gradient: PyTree  # shaped like the model; None at what is not trained
    state: PyTree  # warm starts; () for a model without an inner solve
    info: dict[str, Any]  # scalars worth recording: iterations, residuals
    result: RESULTS  # how the inner solves ended


class TangentBlock(eqx.Module):
    """Per-sample gradients of one parameter block as sums of outer products, ∂f_i/∂W = Σ_k left_ik ⊗ right_ik.

    Its share of the empirical tangent kernel is Σ_kl (left_ik·left_jl)(right_ik·right_jl): two small Gram matrices
    and a Hadamard product where there is one term, never a Jacobian. With k outputs per sample `left` has k n rows, the
    outputs of a sample next to each other, and each row of `right` serves k of them.
    """

    left: Float[Array, "N *terms p"]
    right: Float[Array, "n *terms q"]


class TangentStack(eqx.Module):
    """The tangent blocks of several layers of one shape, as one pair of arrays: what a loop over layers makes."""

    left: Float[Array, "layers N *terms p"]
    right: Float[Array, "layers n *terms q"]
    names: tuple[str, ...] = eqx.field(static=True)  # of the layers, in order


class AbstractModel(eqx.Module):
    """A network f(x; θ) with scalar output. Inputs are rows; the loss is ½‖f(X) − y‖², a sum over the samples."""

    @abstractmethod
    def __call__(self, x: Float[Array, " d"]) -> Float[Array, ""]:
        """The output at one input; differentiable by `jax.grad`."""

    def trainable(self) -> PyTree:
        """A pytree of booleans shaped like the model: which arrays gradient descent moves. Default: all floats."""
        return jax.tree.map(eqx.is_inexact_array, self)

    def initial_state(self, x: Float[Array, "n d"]) -> PyTree:
        """Solver state before the first step; () for a model without an inner solve."""
        return ()

    def outputs(self, x: Float[Array, "n d"], state: PyTree = None) -> Float[Array, " n"]:
        """Outputs on a batch; `state` warm-starts an inner solve."""
        return jax.vmap(self)(x)

    def step(self, x: Float[Array, "n d"], y: Float[Array, " n"], state: PyTree) -> Step:
        """Outputs, gradient of ½‖f(X) − y‖² and the next solver state. Default: reverse-mode autodiff."""
        moved, fixed = eqx.partition(self, self.trainable())

        def outputs(moved):
            return eqx.combine(moved, fixed).outputs(x)

        u, pullback = jax.vjp(outputs, moved)
        (gradient,) = pullback(u - y)
        return Step(u, gradient, state, {}, RESULTS.successful)  # pyright: ignore[reportArgumentType]

    @abstractmethod
    def output_scale(self, x: Float[Array, "n d"], state: PyTree = None) -> float:
        """A bound on max_i Σ_r |a_r z_ir|, the size of the sum behind an output: its rounding error is in this scale."""

    @abstractmethod
    def tangent_blocks(self, x: Float[Array, "n d"], state: PyTree = None) -> Mapping[str, TangentBlock | TangentStack]:
        """Per-sample gradients of every trained block in factored form, keyed by the block's name."""

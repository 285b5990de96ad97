"""Empirical tangent kernel J Jᵀ from layer-wise products: Hadamard products of small Gram matrices, never a Jacobian.

A parameter block whose per-sample gradient is left_i ⊗ right_i contributes (L Lᵀ) ∘ (R Rᵀ): two products of n × p and
n × q matrices where the Jacobian has n · p · q entries. Blocks that are shared over time or space (tied weights, filters)
have gradients that are sums of T outer products. Their share is the same formula on the stacked terms, summed over
them, which costs n²T²(p + q); where T² is more than about pq/(p + q) it is cheaper to add the terms up first, for a few
rows of the block at a time.
"""

import functools
from collections.abc import Mapping

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, PyTree

from .._core import numerics
from ..models import AbstractModel, TangentBlock, TangentStack

SLICE = 2**22
"""Numbers in a slice of a block's gradients, and in a tile of its terms' products: 32 MiB in float64."""


def grams_of(blocks: Mapping[str, TangentBlock | TangentStack]) -> dict[str, Float[Array, "N N"]]:
    """Each block's share of J Jᵀ, Σ_kl (left_ik·left_jl)(right_ik·right_jl); a stack's is the sum over its layers.

    An array that stands in several blocks (the adjoint of a deep equilibrium model) is multiplied once.
    """
    products: dict[int, Array] = {}

    def product(side):
        if id(side) not in products:
            products[id(side)] = _self_product(side)
        return products[id(side)]

    grams = {}
    for name, block in blocks.items():
        if isinstance(block, TangentStack):
            grams[name] = _summed(block.left, block.right)
        elif block.left.ndim > 2:
            grams[name] = _over_terms(block.left, block.right)
        elif block.right.shape[-1] == 1 and len(block.left) == len(
            block.right
        ):  # a read-out: the right Gram has rank one
            grams[name] = product(block.left) * block.right * block.right[:, 0]
        else:
            grams[name] = product(block.left) * _for_outputs(product(block.right), len(block.left))
    return grams


def _share(left: Float[Array, "N *terms p"], right: Float[Array, "n *terms q"]) -> Float[Array, "N N"]:
    if left.ndim > 2:
        return _over_terms(left, right)
    return _self_product(left) * _for_outputs(_self_product(right), len(left))


def _for_outputs(gram: Float[Array, "n n"], count: int) -> Float[Array, "N N"]:
    """Each entry for all outputs of its two samples, `count` rows in all; n² numbers until here, and not N²."""
    outputs = count // len(gram)
    return gram if outputs == 1 else jnp.repeat(jnp.repeat(gram, outputs, 0), outputs, 1)


@jax.jit
def _summed(left: Float[Array, "layers N *terms p"], right: Float[Array, "layers n *terms q"]) -> Float[Array, "N N"]:
    """The shares of a stack's layers added up, one n × n matrix at a time."""
    n = left.shape[1]
    total = jnp.zeros((n, n), left.dtype)
    return jax.lax.scan(lambda sum, sides: (sum + _share(*sides), None), total, (left, right))[0]


@jax.jit
def _over_terms(left: Float[Array, "n *terms p"], right: Float[Array, "n *terms q"]) -> Float[Array, "n n"]:
    n, p, q = len(left), left.shape[-1], right.shape[-1]
    left, right = left.reshape(n, -1, p), right.reshape(n, -1, q)
    terms = left.shape[1]
    if _adds_up(n, terms, p, q):
        return _added_up(left, right)
    rows = min(n, max(1, SLICE // (n * terms**2)))
    if rows == n:
        share = _self_product(left.reshape(-1, p)) * _self_product(right.reshape(-1, q))
        return share.reshape(n, terms, n, terms).sum((1, 3))

    def some(sides):
        return jnp.einsum("atbs->ab", _terms_product(sides[0], left) * _terms_product(sides[1], right))

    return jax.lax.map(some, (_cut(left, rows), _cut(right, rows))).reshape(-1, n)[:n]


def _added_up(left: Float[Array, "n t p"], right: Float[Array, "n t q"]) -> Float[Array, "n n"]:
    """With Σ_t left_it ⊗ right_it itself, for so many of its p rows at a time that it stays small."""
    n, _, p = left.shape
    rows = _rows_of_slice(n, p, right.shape[-1])

    def some(total, columns):
        slices = jnp.einsum("ctn,ntq->ncq", columns, right, precision=jax.lax.Precision.HIGHEST)
        return total + _self_product(slices.reshape(n, -1)), None

    cut = _cut(jnp.transpose(left, (2, 1, 0)), rows)
    return jax.lax.scan(some, jnp.zeros((n, n), left.dtype), cut)[0]


def _adds_up(n: int, terms: int, p: int, q: int) -> bool:
    """Whether adding the terms up first is the cheaper way."""
    return n * terms**2 * (p + q) > p * q * (n + terms)


def _rows_of_slice(n: int, p: int, q: int) -> int:
    return min(p, max(1, SLICE // (n * q)))


def entry_error(block: TangentBlock | TangentStack, relative: float = 0.0) -> float:
    """Bound on the error of an entry of a block's share, to first order; `relative`, of the factors, counts four times.

    An inner product of length p is off by p eps ‖l‖‖r‖, the Hadamard product adds both lengths, a sum its own. What the
    sums run over is at most (Σ_k ‖left_ik‖‖right_ik‖)² in size, over the layers of a stack the sum of that
    (Cauchy-Schwarz), its largest value over the samples.
    """
    left, right = (np.asarray(side) for side in (block.left, block.right))
    samples = 1 if isinstance(block, TangentStack) else 0
    right = np.repeat(right, left.shape[samples] // right.shape[samples], samples)  # several outputs share a row
    layers = left.shape[0] if isinstance(block, TangentStack) else 1
    p, q = left.shape[-1], right.shape[-1]
    n = left.shape[1] if isinstance(block, TangentStack) else len(left)
    sizes = (np.linalg.norm(left, axis=-1) * np.linalg.norm(right, axis=-1)).reshape(layers, n, -1)
    terms = sizes.shape[-1]
    length = p + q + 2 + layers
    if terms > 1 and _adds_up(n, terms, p, q):
        rows = _rows_of_slice(n, p, q)
        length = 2 * terms + rows * q + -(-p // rows) + layers
    elif terms > 1:
        length += terms**2
    return (length * numerics.EPS + 4 * relative) * float((sizes.sum(-1) ** 2).sum(0).max())


def _cut(a: Float[Array, "k ..."], rows: int) -> Float[Array, "pieces rows ..."]:
    """Pieces of `rows` rows each, the last one filled up with zeros."""
    a = jnp.pad(a, ((0, -len(a) % rows), *((0, 0) for _ in a.shape[1:])))
    return a.reshape(-1, rows, *a.shape[1:])


def _terms_product(a: Float[Array, "k t p"], b: Float[Array, "n t p"]) -> Float[Array, "k t n t"]:
    return jnp.tensordot(a, b, axes=(-1, -1), precision=jax.lax.Precision.HIGHEST)


@jax.jit
def _self_product(a: Float[Array, "n p"]) -> Float[Array, "n n"]:
    """A Aᵀ at three quarters of the price: the lower off-diagonal block is the transpose of the upper one."""
    n = len(a)
    if n < 128:  # below this the product is too small for the saved block to show
        return _product(a, a)
    half = n // 2
    top, bottom = a[:half], a[half:]
    corner = _product(top, bottom)
    return jnp.block([[_product(top, top), corner], [corner.T, _product(bottom, bottom)]])


@eqx.filter_jit
def block_grams(model: AbstractModel, x: Float[Array, "n d"], state: PyTree = None) -> dict[str, Float[Array, "N N"]]:
    """Every trained block's share of the empirical tangent kernel; their sum is J Jᵀ."""
    return grams_of(model.tangent_blocks(x, state))


@eqx.filter_jit
def layer_grams(model: AbstractModel, x: Float[Array, "n d"], state: PyTree = None) -> dict[str, Float[Array, "N N"]]:
    """The same with the layers of a stack one by one, by their names: G^(1), ..., G^(H+1) of a deep network.

    n² numbers for each layer; `gram` adds them up in the memory of one.
    """
    grams = {}
    for name, block in model.tangent_blocks(x, state).items():
        if isinstance(block, TangentStack):
            shares = jax.lax.map(lambda sides: _share(*sides), (block.left, block.right))
            grams |= dict(zip(block.names, shares, strict=True))
        else:
            grams |= grams_of({name: block})
    return grams


def gram(model: AbstractModel, x: Float[Array, "n d"], state: PyTree = None) -> Float[Array, "N N"]:
    r"""Empirical tangent kernel $H = J J^\top$, $J = \partial f(X) / \partial\theta$ over the trained parameters.

    **Arguments:** `model`; `x`, inputs, one per row, in the dtype of the parameters; `state`, a warm start for models
    with an inner solve.

    **Returns:** the matrix, N = n times the outputs per sample; its eigenvalues are rates per unit of gradient-flow time
    for L = ½‖u − y‖².

    **Cost:** O(n² (p + q)) time per block of shape p × q, memory max(n², n p).
    """
    grams = block_grams(model, x, state)
    return functools.reduce(jnp.add, grams.values())


def _product(a: Float[Array, "n p"], b: Float[Array, "k p"]) -> Float[Array, "n k"]:
    return jnp.matmul(a, b.T, precision=jax.lax.Precision.HIGHEST)

"""One layer of an infinitely wide network on tiles of pairs: what the deep kernels, plain or residual, are built of.

A pair (u, v) of centred Gaussians of equal position is kept as two variances and a *signed half versine*: v = sin²(θ/2) of
its angle θ where that is acute, and −cos²(θ/2) where it is obtuse. Covariances lose half of the digits of the angle for
nearly parallel and antiparallel inputs; from the versine nothing is lost, and no layer needs a trigonometric function.

Where inputs are images, arrays have axes for pixels; a `Layout` says how the arrays of the rows meet in those of the pairs.
"""

import functools
import math
from abc import abstractmethod
from collections.abc import Callable

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from .._core import arcs
from ..activations import AbstractActivation, Covariance

TINY = 1e-30
"""Stands for 0 in an obtuse signed half versine, which has to be negative: the square of an angle that no float64 tells
from 0 and no float32 rounds to it."""


class AbstractLayout(eqx.Module):
    """How rows, and their pixels, are paired, and what the weights of a layer sum over."""

    @abstractmethod
    def left(self, rows: Float[Array, "t ..."]) -> Array:
        """An array of the tile's rows, with axes of length 1 for its columns."""

    @abstractmethod
    def right(self, rows: Float[Array, "u ..."]) -> Array:
        """An array of the tile's columns, with axes of length 1 for its rows."""

    @abstractmethod
    def neighbours(self, rows: Array) -> list[Array]:
        """The arrays of the rows at each place of the window, zeros beyond the border; without pixels, the rows."""

    @abstractmethod
    def windows(self, pairs: Array) -> list[Array]:
        """The pairs at each place of their common window, in the order of `neighbours`; any number beyond the border."""

    @abstractmethod
    def patch(self, pairs: Array) -> Array:
        """Sum over the common window of a pair of pixels; nothing to do without pixels."""

    @abstractmethod
    def once(self, rows: Array, compute: Callable[[], Array]) -> Array:
        """`compute()`, evaluated once and not again in every use of it; `rows` is any array of numbers not known yet."""

    @abstractmethod
    def total(self, pairs: Array) -> Float[Array, "t u"]:
        """Sum over all pairs of pixels."""


class VectorLayout(AbstractLayout):
    """Rows without pixels."""

    def left(self, rows: Float[Array, " t"]) -> Float[Array, "t 1"]:
        """A column."""
        return rows[:, None]

    def right(self, rows: Float[Array, " u"]) -> Float[Array, "1 u"]:
        """A row."""
        return rows[None, :]

    def neighbours(self, rows: Array) -> list[Array]:
        """The rows themselves."""
        return [rows]

    def windows(self, pairs: Array) -> list[Array]:
        """The pairs themselves."""
        return [pairs]

    def patch(self, pairs: Array) -> Array:
        """The pairs themselves."""
        return pairs

    def once(self, rows: Array, compute: Callable[[], Array]) -> Array:
        """Without windows, evaluating again is as cheap as reading."""
        return compute()

    def total(self, pairs: Array) -> Float[Array, "t u"]:
        """The pairs themselves."""
        return pairs


class Pairs(eqx.Module):
    """The Gaussians at one place of the network: variances of the rows on either side, and how they are correlated."""

    left: Float[Array, "t ..."]
    right: Float[Array, "u ..."]
    versine: Array  # the signed half versine of each pair
    layout: AbstractLayout

    @property
    def scale(self) -> Array:
        """√(pq)."""
        return self.layout.left(jnp.sqrt(self.left)) * self.layout.right(jnp.sqrt(self.right))

    @property
    def cosine(self) -> Array:
        """cos θ."""
        return jnp.where(self.versine < 0, -1, 1) * (1 - 2 * jnp.abs(self.versine))

    @property
    def covariance(self) -> Array:
        """E[uv]."""
        return self.scale * self.cosine

    @property
    def apart(self) -> Array:
        """1 − cos θ."""
        return jnp.where(self.versine < 0, 2 + 2 * self.versine, 2 * self.versine)

    @property
    def gaussians(self) -> Covariance:
        """As the dual maps take them."""
        half = jnp.abs(self.versine)
        acute = 2 * jnp.sqrt(half) * arcs.arcsine_ratio(half)
        angle = jnp.where(self.versine < 0, math.pi - acute, acute)
        p, q = self.layout.left(self.left), self.layout.right(self.right)
        return Covariance(p, q, angle, self.cosine, 4 * half * (1 - half))


def signed(cov: Covariance) -> Array:
    """The signed half versine of a pair."""
    half = cov.squared_sine / (2 * (1 + jnp.abs(cov.cosine)))
    return jnp.where(cov.cosine < 0, -jnp.maximum(half, TINY), half)


def from_apart(apart: Array) -> Array:
    """The signed half versine of 1 − cos θ."""
    return jnp.where(apart > 1, -jnp.maximum(1 - apart / 2, TINY), jnp.maximum(apart, 0) / 2)


def activated(activation: AbstractActivation, slopes: tuple[float, float] | None, pairs: Pairs) -> tuple[Pairs, Array]:
    """(φ(u), φ(v)), which are no Gaussians, and E[φ′(u)φ′(v)].

    For φ of slopes a, b on the two half-lines, β = (a − b)²/(a² + b²) and h = sin²(θ/2): the cosine is 1 − 2h + β g/π
    with g(θ) = sin θ − θ cos θ = 2h^{3/2} B(h), so that an acute pair goes from h to h (1 − β√h B(h)/π), digit by digit.
    """
    layout = pairs.layout
    if slopes is not None:
        a, b = slopes
        moment, bend = (a * a + b * b) / 2, (a - b) ** 2 / (a * a + b * b)
        half = jnp.abs(pairs.versine)
        root = jnp.sqrt(half)
        arc = arcs.arc_ratio(half)
        turn = bend / math.pi * root * arc
        acute = half * (1 - turn)
        # Obtuse: the cosine is −(1 − β)(1 − 2h) + β g(π − θ)/π.
        apart = 1 + (1 - bend) * (1 - 2 * half) - 2 * half * turn
        after = jnp.where(pairs.versine < 0, from_apart(apart), acute)
        angle = 2 * root * arcs.arcsine_ratio(half)
        share = jnp.where(pairs.versine < 0, 1 - bend + bend / math.pi * angle, 1 - bend / math.pi * angle)
        return Pairs(moment * pairs.left, moment * pairs.right, after, layout), moment * share
    left, right = activation.second_moment(pairs.left), activation.second_moment(pairs.right)
    gaussians = pairs.gaussians
    over_left, over_right = (1 / jnp.sqrt(jnp.where(v > 0, v, 1)) for v in (left, right))
    cosine = activation.dual(gaussians) * (layout.left(over_left) * layout.right(over_right))
    after = jnp.where(cosine < 0, -jnp.maximum((1 + cosine) / 2, TINY), jnp.maximum(1 - cosine, 0) / 2)
    return Pairs(left, right, after, layout), activation.dual_derivative(gaussians)


def means(activation: AbstractActivation, slopes: tuple[float, float] | None, variance: Array) -> Array:
    """E[φ(u)] at each variance."""
    if slopes is not None:
        return (slopes[0] - slopes[1]) / math.sqrt(2 * math.pi) * jnp.sqrt(variance)
    if activation.odd:
        return jnp.zeros_like(variance)
    return activation.hermite_coefficients(variance, 1)[0]


def patched(pairs: Pairs, weight: float, bias: float) -> Pairs:
    r"""Pre-activations of variance `weight` · (sum over the window) + `bias`.

    A sum of independent parts of shares a_k², b_k² of the two variances and angles θ_k has 1 − cos θ =
    Σ_k [(a_k − b_k)²/2 + a_k b_k (1 − cos θ_k)]: terms that are not negative, each good to a few eps.
    """
    layout = pairs.layout
    left, right = (
        weight * functools.reduce(jnp.add, layout.neighbours(side)) + bias for side in (pairs.left, pairs.right)
    )
    if isinstance(layout, VectorLayout) and bias == 0:
        return Pairs(left, right, pairs.versine, layout)
    over_left, over_right = (1 / jnp.sqrt(jnp.where(v > 0, v, 1)) for v in (left, right))
    roots = [
        [root * over for root in layout.neighbours(math.sqrt(weight) * jnp.sqrt(side))]
        for side, over in ((pairs.left, over_left), (pairs.right, over_right))
    ]
    biases = math.sqrt(bias) * over_left, math.sqrt(bias) * over_right

    def sum_of_parts():
        total = (layout.left(biases[0]) - layout.right(biases[1])) ** 2 / 2 if bias > 0 else 0.0
        for a, b, part in zip(*roots, layout.windows(pairs.apart), strict=True):
            a, b = layout.left(a), layout.right(b)
            total = total + (a - b) ** 2 / 2 + a * part * b
        return from_apart(jnp.asarray(total))

    return Pairs(left, right, layout.once(left, sum_of_parts), layout)


def added(
    stream: Pairs, branch: Pairs, kappa: float | Array, means: tuple[Array, Array], branch_means: tuple[Array, Array]
) -> Pairs:
    r"""The stream X + κφ(u) of a residual network, where φ(u) is independent of X but for the means E X = b, E φ(u) = μ.

    As in `patched`, now with E[Xφ(v)] = b_i μ_j: scaled to unit variance by α and β, the difference of the two sides has
    the further term 2κ (αb_i − βb_j)(αμ_i − βμ_j) in its second moment.
    """
    layout = stream.layout
    left, right = (
        x + kappa * (2 * b * mu) + kappa**2 * y
        for x, y, b, mu in zip(
            (stream.left, stream.right), (branch.left, branch.right), means, branch_means, strict=True
        )
    )
    over_left, over_right = (1 / jnp.sqrt(jnp.where(v > 0, v, 1)) for v in (left, right))

    def difference(a, b):
        return layout.left(a * over_left) - layout.right(b * over_right)

    within = stream.scale * stream.apart + kappa**2 * (branch.scale * branch.apart)
    apart = (
        within * layout.left(over_left) * layout.right(over_right)
        + difference(jnp.sqrt(stream.left), jnp.sqrt(stream.right)) ** 2 / 2
        + kappa**2 / 2 * difference(jnp.sqrt(branch.left), jnp.sqrt(branch.right)) ** 2
        + kappa * difference(*means) * difference(*branch_means)
    )
    return Pairs(left, right, from_apart(apart), layout)


def plain(
    activation: AbstractActivation,
    slopes: tuple[float, float] | None,
    first: Pairs,
    depth: int | Int[Array, ""],
    weight: float,
    bias: float,
    readout: float | None = None,
) -> dict[str, Array]:
    """`nngp`, `k_h` and `ntk` of a network without skip connections, from its first pre-activations.

    A layer sums `weight` times what is in its window and adds `bias`; the read-out, `readout` times all pixels.
    """
    layout, readout = first.layout, weight if readout is None else readout

    def layer(_, state):
        left, right, versine, earlier = state
        pairs = Pairs(left, right, versine, layout)
        after, slope = activated(activation, slopes, pairs)
        earlier = layout.patch(weight * slope * (earlier + pairs.covariance))
        after = patched(after, weight, bias)
        return after.left, after.right, after.versine, earlier

    start = (first.left, first.right, first.versine, jnp.zeros_like(first.versine))
    left, right, versine, earlier = jax.lax.fori_loop(0, depth - 1, layer, start)
    pairs = Pairs(left, right, versine, layout)
    after, slope = activated(activation, slopes, pairs)
    nngp = readout * layout.total(after.covariance) + bias
    k_h = readout * layout.total(slope * pairs.covariance)
    # Not k_h and the earlier layers: where only the sum is wanted, the slope is evaluated and summed once.
    return {"nngp": nngp, "k_h": k_h, "ntk": nngp + readout * layout.total(slope * (earlier + pairs.covariance))}


def residual(
    activation: AbstractActivation,
    slopes: tuple[float, float] | None,
    first: Pairs,
    depth: int | Int[Array, ""],
    c_sigma: float,
    c_res: float,
    readout: float = 1.0,
) -> dict[str, Array]:
    """`nngp`, `k_h` and `ntk` of a network whose layers 2 ... H are added to the stream, from its first pre-activations.

    The tangent kernel of a coordinate of the stream, Θ^(1) = c_σ P^(0) E[φ′φ′], grows by κ² E[φ′φ′] (P^(h−1) +
    sum of Θ^(h−1) over the window): the identity and the branch meet in no diagonal entry, because W^(h) is centred.
    """
    layout, kappa = first.layout, c_res / jnp.asarray(depth, first.versine.dtype)
    after, slope = activated(activation, slopes, first)
    root = math.sqrt(c_sigma)
    start = (
        c_sigma * after.left,
        c_sigma * after.right,
        after.versine,
        root * means(activation, slopes, first.left),
        root * means(activation, slopes, first.right),
        c_sigma * slope * first.covariance,
    )

    def entered(state):
        left, right, versine, *_, tangent = state
        pairs = patched(Pairs(left, right, versine, layout), 1.0, 0.0)
        after, slope = activated(activation, slopes, pairs)
        return pairs, after, slope, kappa**2 * slope * (pairs.covariance + layout.patch(tangent))

    def left_with(state, pairs, after, gain):
        left, right, versine, b_left, b_right, tangent = state
        mu = means(activation, slopes, pairs.left), means(activation, slopes, pairs.right)
        stream = added(Pairs(left, right, versine, layout), after, kappa, (b_left, b_right), mu)
        b_left, b_right = b_left + kappa * mu[0], b_right + kappa * mu[1]
        return stream.left, stream.right, stream.versine, b_left, b_right, tangent + gain

    def layer(_, state):
        pairs, after, _, gain = entered(state)
        return left_with(state, pairs, after, gain)

    state = jax.lax.fori_loop(2, depth, layer, start)
    pairs, after, slope, gain = entered(state)
    left, right, versine, *_, tangent = left_with(state, pairs, after, gain)
    nngp = readout * layout.total(Pairs(left, right, versine, layout).covariance)
    k_h = readout * layout.total(kappa**2 * slope * pairs.covariance)
    return {"nngp": nngp, "k_h": k_h, "ntk": nngp + readout * layout.total(tangent)}

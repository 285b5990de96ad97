"""Homogeneous networks without biases on data, and what gradient flow leaves constant between their layers.

f = W_H σ(W_{H−1} ... σ(W_1 x)), σ(z) = max(z, 0) + slope · min(z, 0): ReLU for slope 0, linear for 1. A layer is fully
connected, or convolutional with shared filters. The loss is a mean over samples, ½‖f − y‖²/N: other than the sums of the
networks on data.
"""

import itertools
import math
from collections.abc import Mapping, Sequence

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, PRNGKeyArray

from .._core import RESULTS, numerics
from .base import AbstractObjective, Evaluation

ROUNDING = 8 * numerics.EPS
"""Of a sum of products, per term and relative to the product of the norms; see `HomogeneousNetwork.rounding`."""


class HomogeneousNetwork(AbstractObjective):
    r"""$\frac{1}{2N} Σ_i ‖f(x_i) − y_i‖^2$ over all layers. A point is {"w1": ..., "w2": ...}, from the input on.

    `shapes` are those of the layers: (outputs, inputs), or (channels out, channels in, width) and (channels out, channels
    in, height, width) for a convolution of stride 1 without padding, which may only come before fully connected layers.
    Inputs of the first layer: (N, d), (N, channels, length) or (N, channels, height, width). `scales` are the standard
    deviations of the layers' entries at the start.

    **Raises:** `ValueError` for layers that do not fit each other, the inputs or the targets; for values that are not finite.

    **Source:** Du, Hu, Lee, NeurIPS 2018, section 2; Du's thesis, section 4.2.
    """

    x: Float[Array, "n ..."]
    y: Float[Array, "n k"]
    shapes: tuple[tuple[int, ...], ...]
    scales: tuple[float, ...]
    slope: float = 0.0
    flow: bool = False  # of a run of gradient flow: nothing is derived of what holds for descent

    def __check_init__(self):
        if not self.shapes or len(self.scales) != len(self.shapes):
            raise ValueError(
                f"scales: one standard deviation per layer expected, {len(self.scales)} came for {len(self.shapes)}"
            )
        if not all(0 < s < math.inf for s in self.scales):
            raise ValueError(f"scales: positive standard deviations expected, {self.scales} came")
        if not 0 <= self.slope <= 1:
            raise ValueError(f"slope: a number in [0, 1] expected (0 is ReLU, 1 linear), {self.slope} came")
        for name, values in (("x", self.x), ("y", self.y)):
            numerics.require_float64(name, values)
            if numerics.is_concrete(values) and not np.isfinite(np.asarray(values)).all():
                raise ValueError(f"{name}: finite numbers expected, NaN or infinity came")
        if self.y.ndim != 2 or len(self.x) != len(self.y) or not len(self.x):
            raise ValueError(f"y: {len(self.x)} rows of targets expected, an array of shape {self.y.shape} came")
        size = self.x.shape[1:]
        for h, shape in enumerate(self.shapes, 1):
            if len(shape) == 2:
                inputs, size = math.prod(size), (shape[0],)
            else:
                inputs = size[0] if len(size) == len(shape) - 1 else -1
                left = tuple(n - k + 1 for n, k in zip(size[1:], shape[2:], strict=False))
                if min(left, default=0) < 1:
                    raise ValueError(f"layer {h}: a filter within its input of shape {size} expected, {shape} came")
                size = (shape[0], *left)
            if inputs != shape[1]:
                raise ValueError(
                    f"layer {h}: a shape that takes the output before it expected, {shape} came; see `shapes`"
                )
        if math.prod(size) != self.y.shape[1]:
            raise ValueError(f"y: {math.prod(size)} targets per sample expected, {self.y.shape[1]} came")

    @property
    def depth(self) -> int:
        """H."""
        return len(self.shapes)

    @property
    def fan_in(self) -> int:
        """The number of terms behind an output and its gradient, per sample: the sum over layers of their inputs."""
        return sum(math.prod(shape[1:]) for shape in self.shapes) + len(self.x)

    def init(self, *, key: PRNGKeyArray) -> dict[str, Array]:
        """Entries of layer h independent N(0, scales[h]²)."""
        keys = jax.random.split(key, self.depth)
        return {
            f"w{h + 1}": scale * jax.random.normal(k, shape, jnp.float64)
            for h, (k, shape, scale) in enumerate(zip(keys, self.shapes, self.scales, strict=True))
        }

    def outputs(self, point: dict[str, Array]) -> Float[Array, "n k"]:
        """f on all samples."""
        z = self.x
        for h in range(self.depth):
            w = point[f"w{h + 1}"]
            if h:
                z = jnp.where(z > 0, z, self.slope * z)
            if w.ndim == 2:
                z = z.reshape(len(z), -1) @ w.T
            else:
                z = jax.lax.conv_general_dilated(z, w, window_strides=(1,) * (w.ndim - 2), padding="VALID")
        return z.reshape(len(z), -1)

    def value(self, point: dict[str, Array]) -> Float[Array, ""]:
        """The mean loss."""
        return jnp.sum((self.outputs(point) - self.y) ** 2) / (2 * len(self.x))

    def initial_state(self, point: dict[str, Array]) -> tuple[Array, ...]:
        """Sums along the run of what each step adds to the finer invariants, over η²."""
        return tuple(jnp.zeros_like(part) for part in self.invariants(point))

    def step(self, point, state, epoch) -> Evaluation:
        """Value, gradient, and the sums of the gradients' invariants."""
        loss, gradient = jax.value_and_grad(self.value)(point)
        info = self.measure(point, loss, gradient)
        sums = tuple(total + part for total, part in zip(state, self.invariants(gradient), strict=True))
        return Evaluation(loss, gradient, sums, info, RESULTS.successful)  # pyright: ignore[reportArgumentType]

    def invariants(self, tree: dict[str, Array]) -> tuple[Array, ...]:
        """What flow keeps, finer than layers: of two fully connected layers a number per neuron, a matrix where linear.

        ‖W_h[i, :]‖² − ‖W_{h+1}[:, i]‖², or W_hW_hᵀ − W_{h+1}ᵀW_{h+1}. A step η of descent adds exactly η² times the same of the
        gradients.
        """
        found = []
        for h in range(1, self.depth):
            a, b = tree[f"w{h}"], tree[f"w{h + 1}"]
            if a.ndim == 2:
                found.append(a @ a.T - b.T @ b if self.slope == 1 else jnp.sum(a * a, axis=1) - jnp.sum(b * b, axis=0))
        return tuple(found)

    def measure(self, point, loss, gradient) -> dict[str, Float[Array, ""]]:
        """‖W_h‖² and ‖∇_h‖² of every layer, the spread of ⟨W_h, ∇_h⟩ over layers, and the scale of its rounding."""
        squares = [jnp.sum(point[f"w{h + 1}"] ** 2) for h in range(self.depth)]
        slopes = [jnp.sum(gradient[f"w{h + 1}"] ** 2) for h in range(self.depth)]
        products = jnp.stack([jnp.sum(point[f"w{h + 1}"] * gradient[f"w{h + 1}"]) for h in range(self.depth)])
        scale = sum(jnp.sqrt(s * g) for s, g in zip(squares, slopes, strict=True))
        found = {f"square_w{h + 1}": s for h, s in enumerate(squares)}
        found |= {f"gradient_square_{h + 1}": g for h, g in enumerate(slopes)}
        return found | {"spread": jnp.max(products) - jnp.min(products), "spread_scale": jnp.asarray(scale)}

    def derive(self, steps: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        """Differences and ratios of the layers' squares, and their drift against what descent makes it exactly."""
        eta, loss = steps["step_size"], steps["loss"]
        squares = np.stack([steps[f"square_w{h + 1}"] for h in range(self.depth)])
        gradients = np.stack([steps[f"gradient_square_{h + 1}"] for h in range(self.depth)])
        found: dict[str, np.ndarray] = {
            "spread_share": steps["spread"] / (self.fan_in * ROUNDING * steps["spread_scale"])
        }
        if self.depth == 1:
            return found
        differences = squares[:-1] - squares[1:]
        found |= {f"difference_{h + 1}": d for h, d in enumerate(differences)}
        found |= {f"ratio_{h + 1}": squares[h] / squares[h + 1] for h in range(self.depth - 1)}
        moves = eta**2 * (gradients[:-1] - gradients[1:])

        def so_far(terms):
            return np.concatenate([np.zeros((len(terms), 1)), np.cumsum(terms, axis=1)[:, :-1]], axis=1)

        drift = differences - differences[:, :1]
        # A step rounds every weight by eps of it, and so a square by 2 eps; sums of squares of n terms by n eps.
        terms = max(math.prod(shape) for shape in self.shapes)
        allowed = 4 * numerics.EPS * (np.arange(len(eta)) + terms**0.5) * np.maximum.accumulate(squares.sum(axis=0))
        largest = np.abs(drift).max(axis=0)
        found["relative_drift"] = largest / squares[:, 0].sum()
        if self.flow:
            return found
        descends = np.append(loss[1:] <= loss[:-1] - eta[:-1] / 2 * steps["gradient_norm"][:-1] ** 2, True)
        within = np.concatenate([[True], np.cumprod(descends)[:-1] > 0])
        by_loss = 2 * eta * (loss[0] - loss) + allowed
        return found | {
            "identity_share": np.abs(drift - so_far(moves)).max(axis=0) / allowed,
            "drift_share": (np.abs(drift) / (so_far(np.abs(moves)) + allowed)).max(axis=0),
            "drift_of_loss": np.where(within, largest / by_loss, np.nan),
        }

    def follow(self, point, first, state, step_size: float, epoch: int) -> dict[str, float]:
        """The finer invariants: their largest drift, and how far it is from the sum of the steps', in units of rounding."""
        pairs = list(zip(self.invariants(point), self.invariants(first), state, strict=True))
        if not pairs:
            return {}
        total = sum(float(jnp.sum(w**2)) for w in first.values())
        now = max(total, sum(float(jnp.sum(w**2)) for w in point.values()))
        terms = max(math.prod(shape) for shape in self.shapes)
        allowed = 4 * numerics.EPS * (epoch + terms**0.5) * now
        drift = max(float(jnp.max(jnp.abs(a - b))) for a, b, _ in pairs)
        error = max(float(jnp.max(jnp.abs(a - b - step_size**2 * s))) for a, b, s in pairs)
        return {"relative_node_drift": drift / total, "node_identity": error / allowed}

    def spreads(self, point: dict[str, Array]) -> tuple[float, float, float]:
        """Largest differences of ⟨W_h, ∇_h⟩ between layers and of ⟨W_h[i, :], ∇⟩ − ⟨W_{h+1}[:, i], ∇⟩; and their rounding."""
        loss, gradient = jax.value_and_grad(self.value)(point)
        info = self.measure(point, loss, gradient)
        nodes = [
            jnp.max(jnp.abs(jnp.sum(point[a] * gradient[a], axis=1) - jnp.sum(point[b] * gradient[b], axis=0)))
            for a, b in ((f"w{h}", f"w{h + 1}") for h in range(1, self.depth))
            if point[a].ndim == 2
        ]
        allowed = self.fan_in * ROUNDING * float(info["spread_scale"])
        return float(info["spread"]), float(max(nodes, default=0.0)), allowed


class BalanceReport(eqx.Module):
    """Whether a network's layers are balanced by gradient flow, from one gradient."""

    products: tuple[float, ...]  # ⟨W_h, ∇_h L⟩ of every layer
    spread: float  # the largest minus the smallest
    nodes: tuple[
        float | None, ...
    ]  # per pair of matrices: largest difference over hidden neurons; None if they do not chain
    rounding: float  # what rounding can make of these differences
    homogeneity: tuple[float, ...]  # per layer, the relative error of f(2W_h) = 2f(W_h)

    @property
    def balanced(self) -> bool:
        """Whether ‖W_h‖² − ‖W_{h+1}‖² is constant under gradient flow for every h, up to rounding."""
        return self.spread <= self.rounding

    @property
    def sentence(self) -> str:
        """The same in words."""
        if self.balanced:
            return f"balanced: ⟨W, ∇L⟩ is the same in all {len(self.products)} layers, up to {self.rounding:.1e}"
        far = max(range(len(self.products)), key=lambda h: self.homogeneity[h])
        return (
            f"not balanced: ⟨W, ∇L⟩ differs by {self.spread:.3g} between layers, {self.rounding:.1e} would be rounding; "
            f"f is not homogeneous in layer {far + 1} (error {self.homogeneity[far]:.1e}): look for a bias, a smooth "
            "activation, a normalisation or a skip connection there"
        )


def check_balance(network, where, x: Float[Array, "n ..."], y: Float[Array, "n ..."], loss=None) -> BalanceReport:
    """Check the invariants of gradient flow on any network: ⟨W_h, ∇_h L⟩ equal for every layer, and neuron by neuron.

    **Arguments:**

    - `network`: a callable pytree, of one input to a scalar or an array, such as `eqx.nn.MLP(..., use_bias=False)`.
    - `where`: a function of the network that gives its layers' weights, from the input on, as in `eqx.tree_at`:
      `lambda m: [layer.weight for layer in m.layers]`. Shared weights (filters) count once.
    - `x`, `y`: float64 samples and their targets. The mean over them is taken.
    - `loss(output, target)`: differentiable; ½‖f − y‖² by default.

    **Returns:** a `BalanceReport`. d/dt(‖W_h‖² − ‖W_{h+1}‖²) = −2(⟨W_h, ∇_h⟩ − ⟨W_{h+1}, ∇_{h+1}⟩) under gradient flow: it is
    0 at every point if it is for structural reasons, and one generic point shows it. Gradient descent then moves the
    difference by exactly η²(‖∇_h‖² − ‖∇_{h+1}‖²).

    **Raises:** `ValueError` for no layers, weights that are not float64, samples and targets that do not match or are not
    finite.

    **Source:** Du, Hu, Lee, NeurIPS 2018, Theorems 2.1-2.3.
    """
    found = where(network)
    if not isinstance(found, list | tuple):
        raise ValueError(f"where: a list of the layers' weights expected, {type(found).__name__} came")
    weights = list(found)
    if not weights:
        raise ValueError("where: the weights of at least one layer expected, none came")
    for h, w in enumerate(weights, 1):
        numerics.require_float64(f"layer {h}", w)
    if len(x) != len(y) or not len(x):
        raise ValueError(f"y: one target per sample expected, {len(x)} samples and {len(y)} targets came")
    for name, values in (("x", x), ("y", y)):
        if not np.isfinite(np.asarray(values)).all():
            raise ValueError(f"{name}: finite numbers expected, NaN or infinity came")

    def outputs(weights: Sequence[Array]):
        return jax.vmap(eqx.tree_at(where, network, list(weights)))(x)

    def total(weights):
        return jnp.mean(jax.vmap(loss or _half_square)(outputs(weights), y))

    gradient = jax.grad(total)(weights)
    products = [float(jnp.sum(w * g)) for w, g in zip(weights, gradient, strict=True)]
    f = outputs(weights)
    size = float(jnp.max(jnp.abs(f))) or 1.0
    homogeneity = []
    for h in range(len(weights)):
        doubled = outputs([2 * w if k == h else w for k, w in enumerate(weights)])
        homogeneity.append(float(jnp.max(jnp.abs(doubled - 2 * f))) / size)
    nodes: list[float | None] = []
    for (a, ga), (b, gb) in itertools.pairwise(zip(weights, gradient, strict=True)):
        if a.ndim == b.ndim == 2 and a.shape[0] == b.shape[1]:
            nodes.append(float(jnp.max(jnp.abs(jnp.sum(a * ga, axis=1) - jnp.sum(b * gb, axis=0)))))
        else:
            nodes.append(None)
    terms = sum(w.size // w.shape[0] for w in weights) + len(x)
    norms = sum(float(jnp.linalg.norm(w) * jnp.linalg.norm(g)) for w, g in zip(weights, gradient, strict=True))
    return BalanceReport(
        tuple(products), max(products) - min(products), tuple(nodes), terms * ROUNDING * norms, tuple(homogeneity)
    )


def _half_square(output, target):
    return jnp.sum((output - target) ** 2) / 2

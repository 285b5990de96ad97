r"""Learning one convolutional filter, f(w, Z) = (1/k) Σ_i max(wᵀZ_i, 0), from the outputs of another one.

ℓ(w) = ½E(f(w, Z) − f(w*, Z))² for any distribution of the patches: its loss and gradient are those of the regions'
moments, so closed forms, quadrature and samples go through the same three lines. One patch (k = 1) is a single neuron.
"""

import math
from collections.abc import Mapping

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int, PRNGKeyArray

from .._core import RESULTS, numerics
from .base import AbstractObjective, Evaluation
from .patches import AbstractPatches

DISTANCE_FLOOR = 1e-9
"""Distances below this share of ‖w*‖ are left out of ratios: gradients there are differences of rounding."""


class FilterPoint(eqx.Module):
    """The trained filter."""

    filter: Float[Array, " p"]


class ConvFilter(AbstractObjective):
    """The objective: a distribution of patches and the filter w* to be found.

    **Arguments:** `patches`; `filter`, w* other than zero; `batch`, the inputs drawn for each step's gradient (one step of
    stochastic gradient descent), `None` for the population's; `noise`, the key of the draws; `radius`, α of the ball
    α‖w*‖ in which `init` starts uniformly, by default 1/√(8πp) as in Theorem 6.6; `start`, w₀ where it is not drawn.

    **Raises:** `ValueError` for w* = 0 or of another dimension than the patches.

    **Source:** Du, thesis CMU-ML-19-102, chapter 6 (Du, Lee, Tian, ICLR 2018), the gradient as corrected.
    """

    patches: AbstractPatches
    filter: Float[Array, " p"]
    batch: int | None = eqx.field(static=True, default=None)
    noise: PRNGKeyArray | None = None
    radius: float | None = eqx.field(static=True, default=None)
    start: Float[Array, " p"] | None = None

    def __check_init__(self):
        numerics.require_float64("filter", self.filter)
        if self.filter.shape != (self.patches.dimension,):
            raise ValueError(
                f"filter: {self.patches.dimension} numbers, as many as a patch has, expected; shape {self.filter.shape} came"
            )
        if numerics.is_concrete(self.filter):
            values = np.asarray(self.filter)
            if not np.isfinite(values).all() or not values.any():
                raise ValueError(
                    "filter: a finite teacher other than zero expected; with a zero filter every label is 0"
                )
        if self.batch is not None:
            numerics.check_count("batch", self.batch)
            if self.noise is None:
                raise ValueError(
                    "noise: a key for the inputs of every step expected, none came; pass jax.random.key(seed)"
                )
        if self.start is not None and (self.start.shape != self.filter.shape or not np.any(np.asarray(self.start))):
            raise ValueError("start: a filter other than zero, as long as w*, expected: at zero there is no gradient")
        if self.radius is not None and not self.radius > 0:
            raise ValueError(f"radius: a positive share of ‖w*‖ expected, {self.radius!r} came")

    @property
    def start_radius(self) -> float:
        """α."""
        return 1 / math.sqrt(8 * math.pi * self.patches.dimension) if self.radius is None else self.radius

    def init(self, *, key: PRNGKeyArray) -> FilterPoint:
        """`start`, or uniform in the ball of radius α‖w*‖."""
        if self.start is not None:
            return FilterPoint(self.start)
        direction_key, radius_key = jax.random.split(key)
        p = self.patches.dimension
        w = jax.random.normal(direction_key, (p,), jnp.float64)
        length = (
            self.start_radius
            * jnp.linalg.norm(self.filter)
            * jax.random.uniform(radius_key, (), jnp.float64) ** (1 / p)
        )
        return FilterPoint(length * w / jnp.linalg.norm(w))

    def value(self, point: FilterPoint) -> Float[Array, ""]:
        """½E(Aᵀ(w − w*) + Bᵀw − Cᵀw*)²: every term vanishes at w*, so none is rounded off there."""
        m, w, star = self.patches.moments(point.filter, self.filter), point.filter, self.filter
        gap = w - star
        own = gap @ m.aa @ gap + w @ m.bb @ w + star @ m.cc @ star
        return own / 2 + gap @ m.ab @ w - gap @ m.ac @ star - w @ m.bc @ star

    def gradient(self, point: FilterPoint) -> FilterPoint:
        """E[AAᵀ](w − w*) + E[ABᵀ + BAᵀ + BBᵀ]w − E[ACᵀ + BAᵀ + BCᵀ]w*."""
        m, w, star = self.patches.moments(point.filter, self.filter), point.filter, self.filter
        return FilterPoint((m.aa + m.ab.T) @ (w - star) + (m.ab + m.bb) @ w - (m.ac + m.bc) @ star)

    def step(self, point: FilterPoint, state, epoch: Int[Array, ""]) -> Evaluation:
        """The population's gradient, or that of a batch; the loss is always the population's."""
        loss, gradient = self.value(point), self.gradient(point)
        info = self.measure(point, loss, gradient)
        if self.batch is not None and self.noise is not None:
            z = self.patches.draw(self.batch, key=jax.random.fold_in(self.noise, epoch))
            gradient = self.sampled_gradient(point, z)
            info["sampled_gradient"] = jnp.linalg.norm(gradient.filter)
        return Evaluation(loss, gradient, state, info, RESULTS.successful)  # pyright: ignore[reportArgumentType]

    def predict(self, w: Float[Array, " p"], z: Float[Array, "n k p"]) -> Float[Array, " n"]:
        """f(w, Z) of each input."""
        return jnp.mean(jnp.maximum(z @ w, 0), axis=1)

    def sampled_gradient(self, point: FilterPoint, z: Float[Array, "n k p"]) -> FilterPoint:
        """The gradient of the mean of ½(f(w, Z) − f(w*, Z))² over given inputs."""
        active = (z @ point.filter >= 0).astype(z.dtype)
        residual = self.predict(point.filter, z) - self.predict(self.filter, z)
        return FilterPoint(jnp.einsum("n,nk,nkp->p", residual, active, z) / (z.shape[0] * z.shape[1]))

    def measure(self, point: FilterPoint, loss, gradient) -> dict[str, Float[Array, ""]]:
        """‖w − w*‖/‖w*‖, the angle, ⟨∇ℓ, w − w*⟩/‖w − w*‖² and ‖∇ℓ‖/‖w − w*‖."""
        gap = point.filter - self.filter
        square = gap @ gap
        safe = jnp.where(square > 0, square, 1.0)
        norm = jnp.linalg.norm(gradient.filter)
        return {
            "distance_ratio": jnp.sqrt(square) / jnp.linalg.norm(self.filter),
            "angle": numerics.angle(point.filter, self.filter),
            "inner_ratio": jnp.where(square > 0, gradient.filter @ gap / safe, jnp.nan),
            "gradient_ratio": jnp.where(square > 0, norm / jnp.sqrt(safe), jnp.nan),
        }

    def derive(self, steps: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        """φ_t = arcsin(‖w_t − w*‖/‖w*‖) inside the ball, the squared distance from step to step, the flag θ_t ≤ φ_t, and
        the mean square error in squares of the mean output; `ratio_share` of adaptive steps, the squared ratio over its bound.

        Ratios are NaN where the distance is below `DISTANCE_FLOOR` ‖w*‖.
        """
        ratio = steps["distance_ratio"]
        inside = ratio < 1
        usable = np.where(ratio > DISTANCE_FLOOR, ratio, np.nan)
        bound = np.where(inside, np.arcsin(np.where(inside, ratio, 0.0)), np.nan)
        far = np.isnan(usable)
        found = {
            "relative_loss": 2 * steps["loss"] / float(self.patches.mean_output(self.filter)) ** 2,
            "angle_bound": bound,
            "angle_within": np.where(inside, (steps["angle"] <= bound + 1e-7).astype(float), np.nan),
            "squared_ratio": np.append((usable[1:] / usable[:-1]) ** 2, np.nan),
            "inner_ratio": np.where(far, np.nan, steps["inner_ratio"]),
            "gradient_ratio": np.where(far, np.nan, steps["gradient_ratio"]),
        }
        if "promised_ratio" in steps:
            found["ratio_share"] = found["squared_ratio"] / steps["promised_ratio"]
        return found

    def watch(self, point: FilterPoint, first: FilterPoint) -> dict[str, float]:
        """λ_min and λ_max of E[AAᵀ] at this filter, and λ_max of E[BBᵀ] over the angle."""
        m = self.patches.moments(point.filter, self.filter)
        values = jnp.linalg.eigvalsh(m.aa)
        angle = float(numerics.angle(point.filter, self.filter))
        beta = float(jnp.linalg.eigvalsh(m.bb)[-1]) / angle if angle > 1e-9 else math.nan
        return {"smallest_a": float(values[0]), "largest_a": float(values[-1]), "boundary": beta}


def random_start_probability(dimension: int, radius: float) -> tuple[float, float]:
    """Lower bounds on P(‖w₀ − w*‖ ≤ √(1 − α²)‖w*‖) for w₀ uniform in the ball of radius α‖w*‖: the thesis's and a sharper one.

    ½ − α√(πp/2) (Theorem 6.6) and ½ − αΓ(p/2 + 1)/(√π Γ(p/2 + ½)), from the density of one coordinate in a ball.
    """
    numerics.check_count("dimension", dimension)
    p = dimension
    ratio = math.exp(math.lgamma(p / 2 + 1) - math.lgamma(p / 2 + 0.5)) / math.sqrt(math.pi)
    return 0.5 - radius * math.sqrt(math.pi * p / 2), 0.5 - radius * ratio

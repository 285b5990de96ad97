r"""Is a patch distribution easy? The constants of the theorems on one convolutional filter, on a grid of angles.

γ(φ) and L(φ) are the extreme eigenvalues of E[AAᵀ] over the filters at angle φ from w*; β bounds λ_max(E[BBᵀ]) ≤ βφ; L_cross
bounds ‖E[ABᵀ]‖ + ‖E[ACᵀ]‖ + ‖E[BCᵀ]‖ ≤ L_cross φ in operator norms. Large γ, small L and β: patches are spread out and few
lie on the boundary; small L_cross: the patches of an input agree about which side they are on.
"""

import math
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from .._core import Estimate, numerics
from .conv_filter import random_start_probability
from .patches import AbstractPatches

ANGLES = np.concatenate([np.geomspace(1e-4, 0.08, 14), np.linspace(0.1, math.pi / 2, 46)])
"""The grid: logarithmic near 0, where L_cross of close patches is decided, then a thirtieth of a radian apart."""

CROSS = 6.0
"""γ must exceed this many L_cross (Theorem 6.3); 3π/2 would do."""


class StepTable(NamedTuple):
    """Step sizes by the distance to w*: row j is for ‖w − w*‖ ≤ `distances`[j] ‖w*‖ and more than row j − 1's.

    `ratios` bound the factor of the squared distance in such a step, in expectation where gradients are sampled.
    """

    distances: Float[np.ndarray, " m"]
    sizes: Float[np.ndarray, " m"]
    ratios: Float[np.ndarray, " m"]

    def at(self, distance: float) -> float:
        """The step size there.

        **Raises:** `ValueError` beyond the last row, where the theorems give none.
        """
        if not self.distances.size:
            raise ValueError(
                "adaptive steps: patches with γ > 6 L_cross near w* expected, theirs is smaller: the theorem gives no step "
                "size; take constant steps"
            )
        if not distance <= self.distances[-1]:
            raise ValueError(
                f"adaptive steps: a start with ‖w₀ − w*‖ ≤ {self.distances[-1]:.4g}‖w*‖ expected, {distance:.4g}‖w*‖ came: "
                "beyond it the theorem gives no step size; start nearer, or take constant steps"
            )
        return float(self.sizes[np.searchsorted(self.distances, distance)])


class Easiness(eqx.Module):
    """The constants, on the grid `angles` in (0, π/2]; extremes over the directions that were looked at.

    `gamma`, `largest`: γ(φ) and L(φ); `boundary`: the largest λ_max(E[BBᵀ])/φ, `cross`: the largest sum of operator norms over
    φ, both as estimates whose error is half the largest jump between neighbours of the grid. `complete`: every direction at an
    angle was looked at; otherwise γ may be smaller and the others larger.
    """

    angles: Float[np.ndarray, " m"]
    gamma: Float[np.ndarray, " m"]
    largest: Float[np.ndarray, " m"]
    boundary: Estimate
    cross: Estimate
    at_zero: tuple[float, float]  # γ(0) and L(0)
    patches: int
    dimension: int
    complete: bool

    def smallest_until(self, angle: float) -> Estimate:
        """The least γ over [0, φ], from the grid up to the next angle; exact for one patch, where γ falls."""
        return self._until(self.gamma, self.at_zero[0], angle, -1)

    def largest_until(self, angle: float) -> Estimate:
        """L̄(φ) = max of L over [0, φ]."""
        return self._until(self.largest, self.at_zero[1], angle, 1)

    def margin(self, angle: float) -> float:
        """γ̲(φ) − 6L_cross, what descent from inside that angle contracts by."""
        return self.smallest_until(angle).lower - CROSS * self.cross.upper

    @property
    def widest(self) -> float | None:
        """φ*, the largest angle of the grid with γ̲ > 6L_cross; `None` if there is none."""
        good = [a for a in self.angles if self.margin(float(a)) > 0]
        return float(good[-1]) if good else None

    def step_size(self, angle: float) -> float | None:
        """(γ̲ − 6L_cross)/(2(L̄ + 10L_cross + 4β)²) at φ, which Theorem 6.3 allows from there on; `None` if not positive."""
        margin = self.margin(angle)
        return margin / (2 * self.slope(angle) ** 2) if margin > 0 else None

    def step_table(self, longest: float = math.inf, batch: int | None = None) -> StepTable:
        r"""The adaptive steps of Theorems 6.2 and 6.3: η_t = min over φ ≤ φ_t of (γ(φ) − 6L_cross)/(2(L(φ) + 10L_cross + 4β)²).

        Between two angles of the grid γ and L are taken at their worse end. The squared distance falls by
        1 − (3/2)η_t(γ̲(φ_t) − 6L_cross) then.

        **Arguments:** for gradients of `batch` inputs, whose patches are no longer than `longest` R: η_t = γ₁/s with
        γ₁ = γ̲(φ_t) − 6L_cross and s = min{R⁴, (L̄ + 10L_cross + 4β)² + R⁴/batch}, which makes the bound
        E‖w⁺ − w*‖² ≤ (1 − 2ηγ₁ + η²s)‖w − w*‖² least: labels are exact, so that no gradient is longer than R²‖w − w*‖.

        **Returns:** rows up to the last angle with γ̲ > 6L_cross; none where there is no such angle.

        **Raises:** `ValueError` for a batch of unbounded patches.
        """
        if batch is not None and not math.isfinite(longest):
            raise ValueError(
                "adaptive steps: patches of bounded length expected for sampled gradients, unbounded ones came; take "
                "gradients of the population, or constant steps"
            )
        gamma, largest = np.append(self.at_zero[0], self.gamma), np.append(self.at_zero[1], self.largest)
        # For one patch both are monotone; else they may leave what the ends span by half of it, as in `_jump`.
        share = 0.0 if self.patches == 1 else 0.5
        margin = np.minimum(gamma[1:], gamma[:-1]) - share * np.abs(np.diff(gamma)) - CROSS * self.cross.upper
        steepest = np.maximum(largest[1:], largest[:-1]) + share * np.abs(np.diff(largest))
        slope = steepest + 10 * self.cross.upper + 4 * self.boundary.upper
        least = np.minimum.accumulate(margin)
        rows = int(np.sum(least > 0))
        least = least[:rows]
        if batch is None:
            sizes = np.minimum.accumulate(margin[:rows] / (2 * slope[:rows] ** 2))
            ratios = 1 - 1.5 * sizes * least
        else:
            square = np.minimum(longest**4, np.maximum.accumulate(slope[:rows]) ** 2 + longest**4 / batch)
            sizes, ratios = least / square, 1 - least**2 / square
        return StepTable(np.sin(self.angles[:rows]), sizes, ratios)

    def slope(self, angle: float) -> float:
        """L̄ + 10L_cross + 4β: ‖∇ℓ‖ is at most so many ‖w − w*‖."""
        return self.largest_until(angle).upper + 10 * self.cross.upper + 4 * self.boundary.upper

    def steps(self, angle: float, accuracy: float = 1e-6) -> int | None:
        """Steps of that size until ‖w − w*‖ ≤ ε‖w*‖, by the corrected factor 1 − (3/2)η(γ̲ − 6L_cross)."""
        eta = self.step_size(angle)
        if eta is None:
            return None
        rate = -math.log1p(-1.5 * eta * self.margin(angle))
        return math.ceil(2 * math.log(max(math.sin(angle) / accuracy, 1.0)) / rate)

    def sentence(self) -> str:
        """The answer in words."""
        if self.widest is None:
            return (
                f"not shown easy: γ = {self.gamma[0]:.3g} near w* is below 6 L_cross = {CROSS * self.cross.value:.3g}; "
                "the theorem is silent, which does not say that descent fails"
            )
        angle = self.widest
        words = "easy" if self.complete else "easy as far as the directions that were looked at show"
        start, half = "", math.asin(math.sin(angle) / 2)
        radius = max(math.cos(angle), 1 / math.sqrt(8 * math.pi * self.dimension))
        if radius <= 1 / math.sqrt(2 * math.pi * self.dimension):
            chance = random_start_probability(self.dimension, radius)[1]
            start = (
                f"; a start drawn from the ball of radius {radius:.3g}‖w*‖ is one with probability {chance:.2f} or more"
            )
        return (
            f"{words}: from any start with ‖w − w*‖ < {math.sin(angle):.3g}‖w*‖ descent converges linearly{start}; "
            f"from half that distance 1e-6 takes at most {self.steps(half):,} steps"
        )

    def to_dict(self) -> dict[str, Any]:
        """The numbers by name."""
        return {
            "γ(0)": self.at_zero[0],
            "L(0)": self.at_zero[1],
            "γ(π/3)": float(np.interp(math.pi / 3, self.angles, self.gamma)),
            "L(π/3)": float(np.interp(math.pi / 3, self.angles, self.largest)),
            "β": self.boundary.value,
            "L_cross": self.cross.value,
            "φ*": self.widest,
            "every direction looked at": self.complete,
            "answer": self.sentence(),
        }

    def _until(self, series: np.ndarray, first: float, angle: float, sign: int) -> Estimate:
        # One grid angle beyond φ: monotone where k = 1, so that this end is on the safe side.
        beyond = min(int(np.searchsorted(self.angles, angle)), len(self.angles) - 1)
        values = np.append(first, series[: beyond + 1])
        extreme = float(values.max() if sign > 0 else values.min())
        # For one patch γ and L are monotone in φ, and their ends are exact.
        return Estimate(extreme, 0.0 if self.patches == 1 else _jump(values, sign))


def easiness(
    patches: AbstractPatches, w_star: Float[Array, " p"], angles: Float[np.ndarray, " m"] = ANGLES
) -> Easiness:
    """Measure a patch distribution around a filter.

    **Arguments:** `w_star`; `angles`, ascending in (0, π/2].

    **Cost:** one evaluation of the moments for each angle and direction; for samples that is O(nkp + np²).

    **Raises:** `ValueError` for patches of one number, which have no angles between 0 and π.
    """
    if patches.dimension == 1:
        raise ValueError(
            "patches: at least two numbers each expected, one came: there is no angle between filters then"
        )
    if not (np.all(np.diff(angles) > 0) and angles[0] > 0 and angles[-1] <= math.pi / 2 + 1e-12):
        raise ValueError("angles: ascending numbers in (0, π/2] expected")
    directions = patches.directions(w_star)
    grid = jnp.asarray(angles)
    gamma, largest, boundary, cross = (np.asarray(x) for x in _scan(patches, w_star, grid, directions))
    unit = w_star / jnp.linalg.norm(w_star)
    zero = np.asarray(jnp.linalg.eigvalsh(patches.moments(unit, w_star).aa))
    over, across = boundary.max(axis=1) / angles, cross.max(axis=1) / angles
    return Easiness(
        angles=np.asarray(angles),
        gamma=gamma.min(axis=1),
        largest=largest.max(axis=1),
        boundary=_largest(over),
        cross=_largest(across) if patches.patches > 1 else Estimate(0.0),
        at_zero=(float(zero[0]), float(zero[-1])),
        patches=patches.patches,
        dimension=patches.dimension,
        complete=patches.complete,
    )


def _largest(values: np.ndarray) -> Estimate:
    return Estimate(float(values.max()), _jump(values, 1))


def _jump(values: np.ndarray, sign: int) -> float:
    at = int(np.argmax(sign * values))
    near = values[max(at - 1, 0) : at + 2]
    return float(np.abs(near - values[at]).max(initial=0.0)) / 2


@eqx.filter_jit
def _scan(patches, w_star, angles, directions):
    unit = w_star / jnp.linalg.norm(w_star)

    def one(pair):
        angle, direction = pair
        m = patches.moments(jnp.cos(angle) * unit + jnp.sin(angle) * direction, w_star)
        values = jnp.linalg.eigvalsh(m.aa)
        norms = [jnp.linalg.svd(x, compute_uv=False)[0] for x in (m.ab, m.ac, m.bc)]
        return values[0], values[-1], jnp.linalg.eigvalsh(m.bb)[-1], sum(norms)

    shape = (angles.shape[0], directions.shape[0])
    pairs = (jnp.repeat(angles, shape[1]), jnp.tile(directions, (shape[0], 1)))
    return tuple(x.reshape(shape) for x in jax.lax.map(one, pairs))


def closeness_bound(
    patches: AbstractPatches, w_star: Float[Array, " p"], angle: float, z: Float[Array, "n k p"]
) -> dict[str, float]:
    """γ of the mean patch less the probability that patches of an input disagree: the corrected Theorem 6.5, on inputs `z`.

    **Returns:** `average`, γ_avg(φ) of Z_avg = (1/k)Σ Z_i; `disagreement`, the largest share over directions of inputs whose
    patches are not all on the same side of w and of w*; `bound`, their difference times the largest ‖Z‖² as the thesis
    normalises it to 1; `gamma`, γ(φ) on the same inputs.
    """
    numerics.require_float64("z", z)
    unit = w_star / jnp.linalg.norm(w_star)
    mean, average, disagreement, gamma = jnp.mean(z, axis=1), math.inf, 0.0, math.inf
    for direction in patches.directions(w_star):
        w = math.cos(angle) * unit + math.sin(angle) * direction
        both = (z @ w >= 0) & (z @ w_star >= 0)
        middle = (mean @ w >= 0) & (mean @ w_star >= 0)
        part = jnp.where(middle[:, None], mean, 0.0)
        own = jnp.mean(jnp.where(both[..., None], z, 0.0), axis=1)
        average = min(average, float(jnp.linalg.eigvalsh(part.T @ part / len(z))[0]))
        gamma = min(gamma, float(jnp.linalg.eigvalsh(own.T @ own / len(z))[0]))
        disagreement = max(disagreement, float(jnp.mean(jnp.any(both != middle[:, None], axis=1))))
    longest = float(jnp.max(jnp.linalg.norm(z, axis=-1))) ** 2
    return {
        "average": average,
        "disagreement": disagreement,
        "bound": average - longest * disagreement,
        "gamma": gamma,
    }

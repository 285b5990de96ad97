r"""A two-layer convolutional network with weight normalisation learning a teacher of its own kind.

f(Z, v, a) = Σ_i a_i max(vᵀZ_i, 0)/‖v‖ on k patches Z_i ~ N(0, I_p) that do not overlap, against the labels
y = Σ_i a*_i max(w*ᵀZ_i, 0), in the population loss ℓ = ½E(f − y)². Gradient descent moves v and a together and never
renormalises v.
"""

import math
from collections.abc import Mapping
from typing import NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int, PRNGKeyArray

from .._core import RESULTS, numerics
from .._core.relu_arc import arc_gap
from .base import AbstractObjective, Evaluation
from .conv_numbers import TeacherNumbers
from .conv_starts import ConvStudent, Scheme, by_halving, choose_signs, draw_start, radius_from_labels

ANGLE_FLOOR = 1e-12
"""Angles below this are rounding of the two vectors: no ratio of them is recorded."""


class CriticalPoint(NamedTuple):
    """A family of critical points: its name, the angle between v and w*, the output weights and the loss."""

    name: str  # "global", "spurious" or "separating"
    angle: float
    output: Float[Array, " k"]
    loss: float


class ConvTeacher(AbstractObjective):
    """The objective: a teacher (w*, a*), its population loss in closed form, and samples of the same.

    **Arguments:** `filter`, w* of any length but zero; `output`, a*, not all zero, both float64; `batch`, the number of
    fresh inputs from which each step's gradient is estimated, `None` for the gradient of the population; `noise`, the
    key of those draws; `scheme`, how `init` draws a start.

    **Raises:** `ValueError` for a teacher without direction (its labels would all be 0), other dtypes or shapes, NaN.

    **Source:** Du, thesis CMU-ML-19-102, Theorems 5.1 and 5.2 as corrected (Du, Lee, Tian, Póczos, Singh, ICML 2018).
    """

    filter: Float[Array, " p"]
    output: Float[Array, " k"]
    batch: int | None = eqx.field(static=True, default=None)
    noise: PRNGKeyArray | None = None
    scheme: Scheme = eqx.field(static=True, default="ball")

    def __check_init__(self):
        for name, value in (("filter", self.filter), ("output", self.output)):
            numerics.require_float64(f"teacher's {name}", value)
            if value.ndim != 1 or not value.size:
                raise ValueError(f"teacher's {name}: a vector expected, an array of shape {value.shape} came")
            if not numerics.is_concrete(value):
                continue
            if not np.isfinite(np.asarray(value)).all():
                raise ValueError(f"teacher's {name}: finite numbers expected, NaN or infinity came")
            if not np.asarray(value).any():
                raise ValueError(
                    f"teacher's {name}: a vector other than zero expected, zero came, and with it every label is 0; "
                    "give it a direction"
                )

        if self.batch is not None:
            numerics.check_count("batch", self.batch)
            if self.noise is None:
                raise ValueError(
                    "noise: a key for the inputs of every step expected, none came; pass jax.random.key(seed)"
                )

    @property
    def dimension(self) -> int:
        """p, the numbers of a patch."""
        return self.filter.shape[0]

    @property
    def patches(self) -> int:
        """k."""
        return self.output.shape[0]

    @property
    def target(self) -> Float[Array, " k"]:
        """s = ‖w*‖a*, the output weights of the global minimum: the student's filter is normalised, the teacher's not."""
        return jnp.linalg.norm(self.filter) * self.output

    @property
    def spurious_output(self) -> Float[Array, " k"]:
        """a_sp = (11ᵀ + (π − 1)I)⁻¹(11ᵀ − I)s, the output weights of the spurious point, where φ = π."""
        s, k = self.target, self.patches
        return (jnp.pi * jnp.sum(s) / (k + jnp.pi - 1) - s) / (jnp.pi - 1)

    @property
    def numbers(self) -> TeacherNumbers:
        """k, S and N."""
        s = self.target
        return TeacherNumbers(self.patches, float(jnp.sum(s)), float(s @ s))

    def init(self, *, key: PRNGKeyArray) -> ConvStudent:
        """A start by this objective's scheme: v on the unit sphere, a in a ball of radius |S|/√k unless it says otherwise.

        **Source:** Theorem 5.4 and Remark 5.3 of the thesis.
        """
        numbers = self.numbers
        if self.scheme == "halving":
            return by_halving(self, key=key, step_size=numbers.largest_step)[0]
        label_key, start_key = jax.random.split(key)
        radius = radius_from_labels(self, key=label_key) if self.scheme == "labels" else numbers.radius
        start = draw_start(self, radius, key=start_key)
        return choose_signs(self, start, self.scheme == "good") if self.scheme in ("good", "bad") else start

    def value(self, point: ConvStudent) -> Float[Array, ""]:
        """ℓ = (1/4π)[(1ᵀ(a − s))² + (π − 1)‖a − s‖² + 2(π − g(φ)) aᵀs]; no term is rounded off near the minimum."""
        gap = point.output - self.target
        angle = numerics.angle(point.filter, self.filter)
        aligned = point.output @ self.target
        return (jnp.sum(gap) ** 2 + (jnp.pi - 1) * gap @ gap + 2 * arc_gap(angle) * aligned) / (4 * jnp.pi)

    def gradient(self, point: ConvStudent) -> ConvStudent:
        """∇_v ℓ and ∇_a ℓ (Theorem 5.2)."""
        v, a, s = point.filter, point.output, self.target
        angle, r = numerics.angle(v, self.filter), jnp.linalg.norm(v)
        unit = v / r
        away = self.filter - unit * (unit @ self.filter)  # the part of w* orthogonal to v
        wide = -(jnp.pi - angle) * (a @ self.output) / (2 * jnp.pi * r) * away
        flat = (jnp.sum(a - s) + (jnp.pi - 1) * (a - s) + arc_gap(angle) * s) / (2 * jnp.pi)
        return ConvStudent(wide, flat)

    def step(self, point: ConvStudent, state, epoch: Int[Array, ""]) -> Evaluation:
        """The population's gradient (Algorithm 1), or its estimate from fresh inputs; the loss is always the population's."""
        loss, gradient = self.value(point), self.gradient(point)
        info = self.measure(point, loss, gradient)
        if self.batch is not None and self.noise is not None:
            z = self.draw(self.batch, key=jax.random.fold_in(self.noise, epoch))
            gradient = jax.grad(lambda student: self.sampled_loss(student, z))(point)
        return Evaluation(loss, gradient, state, info, RESULTS.successful)  # pyright: ignore[reportArgumentType]

    def measure(self, point: ConvStudent, loss, gradient) -> dict[str, Float[Array, ""]]:
        """φ, ‖v‖, 1ᵀa, aᵀs, ‖a − s‖ and ‖a − a_sp‖."""
        s, a = self.target, point.output
        return {
            "angle": numerics.angle(point.filter, self.filter),
            "filter_norm": jnp.linalg.norm(point.filter),
            "total": jnp.sum(a),
            "alignment": a @ s,
            "output_gap": jnp.linalg.norm(a - s),
            "spurious_gap": jnp.linalg.norm(a - self.spurious_output),
        }

    def derive(self, steps: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        """What the lemmas of chapter 5 speak of, step by step.

        `sin2` = sin²φ and `angle` ratios are NaN where φ is below `ANGLE_FLOOR`. `contraction` is ηλ cos φ;
        `contraction_ratio` is sin²φ⁺/((1 − ηλ cos φ) sin²φ), at most 1 by Lemma 5.5; `recursion_residual` the distance of
        sin²φ⁺ from the exact recursion, at rounding level unless the gradient is sampled.
        """
        phi, r, aligned, eta = (steps[name] for name in ("angle", "filter_norm", "alignment", "step_size"))
        total, numbers = float(jnp.sum(self.target)), self.numbers
        lam = (np.pi - phi) * aligned / (2 * np.pi * r * r)
        kappa = eta * lam
        square = np.where(phi > ANGLE_FLOOR, np.sin(phi) ** 2, np.nan)
        after = np.append(square[1:], np.nan)
        exact = square * (1 - kappa * np.cos(phi)) ** 2 / (1 + kappa**2 * square)
        bound = (1 - kappa * np.cos(phi)) * square
        usable = np.where(phi > ANGLE_FLOOR, phi, np.nan)
        return {
            "angle_to_opposite": np.pi - phi,
            "sin2": square,
            "angle_ratio": np.append(usable[1:], np.nan) / usable,
            "lambda": lam,
            "contraction": kappa * np.cos(phi),
            "contraction_ratio": np.divide(after, bound, out=np.full_like(phi, np.nan), where=bound > 0),
            "recursion_residual": np.abs(after - exact),
            "filter_square": r * r,
            "total_size": np.abs(steps["total"]),
            "total_gap": np.abs(steps["total"] - total),
            "excess_over_spurious": steps["loss"] - numbers.spurious_loss,
        }

    def moved(self, point: ConvStudent, step_size: float | Float[Array, ""]) -> ConvStudent:
        """One step of population gradient descent, both layers at once."""
        return jax.tree.map(lambda x, g: x - step_size * g, point, self.gradient(point))

    def draw(self, count: int, *, key: PRNGKeyArray) -> Float[Array, "count k p"]:
        """Inputs: `count` sets of k patches N(0, I_p)."""
        return jax.random.normal(key, (count, self.patches, self.dimension), jnp.float64)

    def labels(self, z: Float[Array, "n k p"]) -> Float[Array, " n"]:
        """y of each input."""
        return jnp.maximum(z @ self.filter, 0) @ self.output

    def predict(self, student: ConvStudent, z: Float[Array, "n k p"]) -> Float[Array, " n"]:
        """f(Z, v, a) of each input."""
        return jnp.maximum(z @ student.filter, 0) @ student.output / jnp.linalg.norm(student.filter)

    def sampled_loss(self, student: ConvStudent, z: Float[Array, "n k p"]) -> Float[Array, ""]:
        """The mean of ½(f − y)² over given inputs; its gradient by autodiff is that of the sampled descent."""
        return jnp.mean((self.predict(student, z) - self.labels(z)) ** 2) / 2

    def critical_points(self) -> tuple[CriticalPoint, ...]:
        """The global minimum, the spurious point, and the separating ones where there are any."""
        numbers, s = self.numbers, self.target
        k_scale, total = numbers.scale, numbers.total
        points = [
            CriticalPoint("global", 0.0, s, 0.0),
            CriticalPoint("spurious", math.pi, self.spurious_output, numbers.spurious_loss),
        ]
        if numbers.spurious_attracts:
            g = numbers.separating_arc
            between = ((g - 1) * s + (math.pi - g) * total / k_scale) / (math.pi - 1)
            gap = between - s
            loss = float((jnp.sum(gap) ** 2 + (math.pi - 1) * gap @ gap) / (4 * math.pi))
            points.append(CriticalPoint("separating", numbers.separating_angle, between, loss))
        return tuple(points)

    def at_angle(self, angle: float) -> Float[Array, " p"]:
        """A unit filter at that angle from w*; 0 and π only, where p = 1."""
        unit = self.filter / jnp.linalg.norm(self.filter)
        if self.dimension == 1:
            if angle not in (0.0, math.pi):
                raise ValueError(f"angle: 0 or π expected where a patch is one number, {angle!r} came")
            return math.cos(angle) * unit
        axis = jnp.zeros_like(unit).at[jnp.argmin(jnp.abs(unit))].set(1.0)
        side = axis - unit * (unit @ axis)
        return math.cos(angle) * unit + math.sin(angle) * side / jnp.linalg.norm(side)

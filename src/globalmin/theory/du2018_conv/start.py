r"""What the theorems about the convolutional teacher are asked: numbers of the teacher and of the first iterate."""

import math

import equinox as eqx
import jax.numpy as jnp

from ..._core import numerics
from ..._core.relu_arc import arc, arc_gap
from ..certificate import Hypothesis
from ..estimated import stated

PAPER = "Du, thesis CMU-ML-19-102, chapter 5 (Du, Lee, Tian, Póczos, Singh, ICML 2018, arXiv:1712.00779)"
MODEL = "patches are independent N(0, I) and do not overlap; gradients are those of the population"

QUARTER_ALIGNMENT = (float(arc(jnp.asarray(math.pi / 4))) - 1) / (2 * (math.pi - 1))
"""½(g(π/4) − 1)/(π − 1) = 0.3206: the share of N that aᵀs has reached when the slow phase ends."""


class Start(eqx.Module):
    """Teacher and first iterate, with s = ‖w*‖a*.

    `patches` k; `teacher_total` S = 1ᵀs and `square` N = ‖s‖²; `teacher_norm` ‖w*‖; `angle` φ⁰, `filter_norm` ‖v⁰‖,
    `total` u⁰ = 1ᵀa⁰, `alignment` P⁰ = (a⁰)ᵀs and `output_gap` ‖a⁰ − s‖; `output_norm` ‖a⁰‖; `step_size` η;
    `sampled`: the gradients are estimates from samples.

    **Raises:** `ValueError` for no patch, or a teacher without length.
    """

    patches: int
    teacher_total: float
    square: float
    angle: float
    filter_norm: float
    total: float
    alignment: float
    output_gap: float
    output_norm: float
    step_size: float
    teacher_norm: float = 1.0
    sampled: bool = False

    def __check_init__(self):
        numerics.check_count("patches", self.patches)
        if not (self.square > 0 and self.teacher_norm > 0):
            raise ValueError(f"square: a teacher of positive length expected, ‖s‖² = {self.square!r} came")

    @property
    def ratio(self) -> float:
        """ρ = S²/N."""
        return self.teacher_total**2 / self.square

    @property
    def scale(self) -> float:
        """K = k + π − 1."""
        return self.patches + math.pi - 1

    @property
    def bound(self) -> float:
        """M = N + S²."""
        return self.square + self.teacher_total**2

    @property
    def g(self) -> float:
        """g(φ⁰)."""
        return float(arc(jnp.asarray(self.angle)))

    @property
    def gap(self) -> float:
        """π − g(φ⁰)."""
        return float(arc_gap(jnp.asarray(self.angle)))

    @property
    def least_alignment(self) -> float:
        """β⁰ = min{P⁰, (g(φ⁰) − 1)N/(π − 1)}, below which aᵀs never falls (Corollary 5.1)."""
        return min(self.alignment, (self.g - 1) * self.square / (math.pi - 1))

    @property
    def edge(self) -> float:
        """h = S² + (g(φ⁰) − 1)N: uS on its right side of this keeps the sign of aᵀs."""
        return self.teacher_total**2 + (self.g - 1) * self.square

    @property
    def side(self) -> float:
        """u⁰S."""
        return self.total * self.teacher_total

    @property
    def pull(self) -> float:
        """λ⁰ = (π − φ⁰)P⁰/(2π‖v⁰‖²)."""
        return (math.pi - self.angle) * self.alignment / (2 * math.pi * self.filter_norm**2)

    @property
    def output_rate(self) -> float:
        """η(π − 1)/(2π), by which the output weights contract in a step."""
        return self.step_size * (math.pi - 1) / (2 * math.pi)

    def population(self) -> Hypothesis:
        """The gradients are the population's."""
        return stated(
            "gradients of the population", not self.sampled, "sampled gradients: the theorem is about exact ones"
        )

    def positive_step(self) -> Hypothesis:
        """η > 0."""
        return Hypothesis.at_least("η > 0", self.step_size, 0.0, strict=True)

    def unit_filter(self) -> Hypothesis:
        """‖v⁰‖ = 1."""
        deviation = abs(self.filter_norm - 1)
        note = "not printed; the proofs need it: a shorter filter turns faster"
        return Hypothesis.at_most("|‖v⁰‖ − 1|", deviation, numerics.UNIT_NORM_TOLERANCE, note=note)

    def output_step(self) -> Hypothesis:
        """η ≤ 2π/K."""
        return Hypothesis.at_most("η ≤ 2π/(k + π − 1)", self.step_size, 2 * math.pi / self.scale)

    def filter_step(self) -> Hypothesis:
        """η ≤ √2/M."""
        note = "printed: an order in (a⁰)ᵀa*, cos φ⁰ and g(φ⁰) − 1, no constant"
        return Hypothesis.at_most("η ≤ √2/(‖s‖² + (1ᵀs)²)", self.step_size, math.sqrt(2) / self.bound, note=note)

    def small_total(self) -> Hypothesis:
        """|u⁰| ≤ |S|."""
        return Hypothesis.at_most("|1ᵀa⁰| ≤ ‖w*‖|1ᵀa*|", abs(self.total), abs(self.teacher_total))

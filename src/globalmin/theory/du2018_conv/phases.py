r"""The two phases of gradient descent to the global minimum: Theorem 5.3 with constants, and as printed."""

import math
from typing import ClassVar

from ..certificate import AbstractCertificate, Hypothesis, Promise, Verdict
from .start import MODEL, PAPER, QUARTER_ALIGNMENT, Start

FAST_RATE = 3 / 4 * QUARTER_ALIGNMENT / (2 * 2) * math.sqrt(0.5)
"""0.0425: ηλ cos φ ≥ 0.0425 ηN once φ ≤ π/4 and aᵀs ≥ 0.3206N, by (π − φ)/π ≥ ¾ and ‖v‖² ≤ 2."""


class TwoPhases(AbstractCertificate):
    """A slow phase in which filter and output weights align, then a linear rate to the global minimum.

    With ‖v⁰‖ = 1, 0 < P⁰ ≤ M, |u⁰| ≤ |S|, φ⁰ < π/2 and η ≤ min{2π/(k + π − 1), √2/M}: φ never grows, aᵀs stays between
    β⁰ and M, ‖v‖² ≤ 2, and sin²φ falls by 1 − ηβ⁰cos φ⁰/8 a step. The phases end at the latest at `slow_steps` and
    `slow_steps + fast_steps`.
    """

    source: ClassVar[str] = f"{PAPER}, Theorem 5.3 with the constants of its proof"
    statement: ClassVar[str] = "from a good start, gradient descent reaches the global minimum in two phases"
    method: ClassVar[str] = "descent"
    errata_ids: ClassVar[tuple[str, ...]] = tuple(
        f"du2018-conv-5.{i}" for i in (5, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 20)
    )
    assumed: ClassVar[str] = MODEL

    start: Start
    accuracy: float = 1e-6  # ε of ℓ ≤ ε‖s‖²

    def hypotheses(self) -> tuple[Hypothesis, ...]:
        """The start on its good side, and the two bounds on the step size."""
        s = self.start
        return (
            s.population(),
            s.unit_filter(),
            Hypothesis.at_least("(a⁰)ᵀs > 0", s.alignment, 0.0, strict=True),
            Hypothesis.at_most("(a⁰)ᵀs ≤ ‖s‖² + (1ᵀs)²", s.alignment, s.bound, note="not printed; Lemma 5.8 needs it"),
            s.small_total(),
            Hypothesis.at_most("φ⁰ < π/2", s.angle, math.pi / 2, strict=True),
            s.positive_step(),
            s.output_step(),
            s.filter_step(),
        )

    @property
    def turning_steps(self) -> int | None:
        """⌈8 ln 2/(ηβ⁰cos φ⁰)⌉, after which sin²φ ≤ ½; `None` where nothing is promised."""
        s = self.start
        speed = s.step_size * s.least_alignment * math.cos(s.angle)
        return math.ceil(8 * math.log(2) / speed) if speed > 0 else None

    @property
    def slow_steps(self) -> int | None:
        """T₁: so many more that aᵀs ≥ 0.3206‖s‖² as well."""
        turning, rate = self.turning_steps, self.start.output_rate
        return None if turning is None or not rate > 0 else turning + math.ceil(math.log(2) / rate)

    @property
    def fast_steps(self) -> int | None:
        r"""T₂: so many more that ℓ ≤ ε‖s‖².

        While sin²φ ≤ ½, φ² ≤ (π²/8) sin²φ, so that q = π − g(φ) ≤ (π³/16) sin²φ. First q falls to the value at which
        the floors that it leaves to u − S and a − s, doubled, use up ε; then their starting values fall to those floors.
        """
        s = self.start
        if self.slow_steps is None:
            return None
        root, n, total = math.sqrt(s.square), s.square, abs(s.teacher_total)

        def bound(q: float) -> float:
            flat = (2 * q * total / s.scale) ** 2 + 4 * q**2 * n / (math.pi - 1)
            return (flat + 2 * q * s.bound) / (4 * math.pi)

        low, high = 0.0, math.pi
        for _ in range(200):
            middle = (low + high) / 2
            low, high = (middle, high) if bound(middle) <= self.accuracy * n else (low, middle)
        q = low
        turning = max(math.log(math.pi**3 / 32 / q) / (FAST_RATE * s.step_size * n), 0.0)
        # ‖a − s‖ is at most its first value or the floor (π − g)‖s‖/(π − 1) ≤ ‖s‖; |u − S| is at most 2|S|.
        widest = max(s.output_gap, root)
        settling = max(math.log(widest * (math.pi - 1) / (q * root)), 0.0)
        if total > 0:
            settling = max(settling, math.log(2 * s.scale / q))
        return math.ceil(turning) + math.ceil(settling / s.output_rate)

    def promises(self) -> tuple[Promise, ...]:
        """Monotone angle, the invariants, the contraction of sin²φ, and the ends of both phases.

        None where a hypothesis fails: a start bound for the other minimum is held to that one's promises.
        """
        s = self.start
        if self.verdict is Verdict.FAILS:
            return ()
        beta, first = s.least_alignment, math.sin(s.angle) ** 2
        found = [
            Promise("φ never grows", "angle_ratio", "<=", 1.0),
            Promise("|1ᵀa| ≤ |1ᵀs|", "total_size", "<=", abs(s.teacher_total)),
            Promise("aᵀs ≥ β⁰", "alignment", ">=", beta),
            Promise("aᵀs ≤ ‖s‖² + (1ᵀs)²", "alignment", "<=", s.bound),
            Promise("‖v‖² ≤ 2", "filter_square", "<=", 2.0),
            Promise("λ ≥ β⁰/8", "lambda", ">=", beta / 8),
            Promise("sin²φ⁺ ≤ (1 − ηλ cos φ) sin²φ", "contraction_ratio", "<=", 1.0),
        ]
        speed = 1 - s.step_size * beta * math.cos(s.angle) / 8
        if 0 <= speed < 1:
            found.append(Promise("sin²φ at the theorem's rate", "sin2", "<=", first, speed))
        if self.turning_steps is not None and self.slow_steps is not None and self.fast_steps is not None:
            n = s.square
            found += [
                Promise("φ ≤ π/4 after the turning steps", "angle", "<=", math.pi / 4, start=self.turning_steps),
                Promise("aᵀs ≥ 0.3206‖s‖² after T₁", "alignment", ">=", QUARTER_ALIGNMENT * n, start=self.slow_steps),
                Promise("ℓ ≤ ε‖s‖² after T₁ + T₂", "loss", "<=", self.accuracy * n, start=self.slow_steps + self.fast_steps),
            ]  # fmt: skip
        return tuple(found)


class TwoPhasesPrinted(AbstractCertificate):
    """Theorem 5.3 in its printed form: an order for the step size, no condition on ‖v⁰‖, no bound on (a⁰)ᵀs.

    Undecided unless a `step_constant` is supposed. Its conclusion is that of `TwoPhases`, which promises it.
    """

    source: ClassVar[str] = f"{PAPER}, Theorem 5.3 as printed"
    statement: ClassVar[str] = TwoPhases.statement
    method: ClassVar[str] = "descent"
    errata_ids: ClassVar[tuple[str, ...]] = ("du2018-conv-5.7", "du2018-conv-5.8", "du2018-conv-5.9")
    assumed: ClassVar[str] = MODEL

    start: Start
    step_constant: float | None = None

    def hypotheses(self) -> tuple[Hypothesis, ...]:
        """As printed, the four orders under the minimum included; the sums without the factor ‖w*‖."""
        s, c = self.start, self.step_constant
        largest, cosine = None, math.cos(s.angle)
        if c is not None:
            length = s.square / s.teacher_norm**2
            aligned = s.alignment / s.teacher_norm
            orders = (aligned * cosine, (s.g - 1) * length * cosine, cosine)
            largest = c * min(*(x / s.bound for x in orders), 1 / s.patches)
        note = "" if c is not None else "the source gives the order, not the constant c"
        return (
            s.population(),
            Hypothesis.at_least("(a⁰)ᵀa* > 0", s.alignment / s.teacher_norm, 0.0, strict=True),
            Hypothesis.at_most("|1ᵀa⁰| ≤ |1ᵀa*|", abs(s.total), abs(s.teacher_total) / s.teacher_norm),
            Hypothesis.at_most("φ⁰ < π/2", s.angle, math.pi / 2, strict=True),
            Hypothesis.at_most("η ≤ c min{P⁰cos φ⁰/M, ..., 1/k}", s.step_size, largest, note=note),
        )

r"""Which minimum a start is bound for: random starts (Theorem 5.4), the spurious point (Theorem 5.5), the trapping sets.

The trapping sets are this library's own: they contain the starts of Theorems 5.3 and 5.5 and, between them, in every
experiment all starts after a few hundred steps (proof in the docs).
"""

import math
from typing import ClassVar

from ..certificate import AbstractCertificate, Hypothesis, Promise, Verdict
from .start import MODEL, PAPER, Start

OWN = "globalmin, after the lemmas of Du's thesis, chapter 5"
LEAST_SPURIOUS = (math.pi - 2) / (4 * (math.pi - 1))
"""ℓ at the spurious point is at least 0.1333 ‖s‖²."""


class RandomStart(AbstractCertificate):
    """Of (±v⁰, ±a⁰) with a⁰ in the ball of radius |1ᵀs|/√k, at least one satisfies what Theorem 5.3 asks of a start."""

    source: ClassVar[str] = f"{PAPER}, Theorem 5.4"
    statement: ClassVar[str] = "one of the four sign choices of the start is good for Theorem 5.3"
    errata_ids: ClassVar[tuple[str, ...]] = ("du2018-conv-5.17",)
    assumed: ClassVar[str] = (
        "v⁰ uniform on the sphere, a⁰ uniform in the ball; the sizes of aᵀs and cos φ⁰ that the theorem adds hold with "
        "constant probability only"
    )

    start: Start

    def hypotheses(self) -> tuple[Hypothesis, ...]:
        """Both signs are there to be chosen, and the ball bounds 1ᵀa⁰ and (a⁰)ᵀs."""
        s = self.start
        radius = abs(s.teacher_total) / math.sqrt(s.patches)
        note = "" if radius > 0 else "1ᵀa* = 0: the ball is a point, and φ⁰ < π/2 alone decides"
        return (
            Hypothesis.at_most("‖a⁰‖ ≤ |1ᵀs|/√k", s.output_norm, radius, error=1e-12 * radius),
            Hypothesis.at_least("|(a⁰)ᵀs| > 0", abs(s.alignment), 0.0, strict=True, note=note),
            Hypothesis.at_least("|cos φ⁰| > 0", abs(math.cos(s.angle)), 0.0, strict=True),
        )


class Spurious(AbstractCertificate):
    """Gradient descent converges to the spurious point: aᵀs < 0 throughout, φ rises to π, the loss stays above 0.133‖s‖².

    The convergence is slow, π − φ like 1/t, so a run that has not arrived is no evidence against it.
    """

    source: ClassVar[str] = f"{PAPER}, Theorem 5.5 with its constants"
    statement: ClassVar[str] = "gradient descent converges to the spurious local minimum"
    method: ClassVar[str] = "descent"
    errata_ids: ClassVar[tuple[str, ...]] = ("du2018-conv-5.18", "du2018-conv-5.20")
    assumed: ClassVar[str] = MODEL

    start: Start

    def hypotheses(self) -> tuple[Hypothesis, ...]:
        """The start on its bad side, and steps that cannot carry the angle over π."""
        s = self.start
        short = Hypothesis.at_most("η ≤ 4/‖s‖²", s.step_size, 4 / s.square, note="not printed: the angle could pass π")
        return (
            s.population(),
            s.unit_filter(),
            Hypothesis.at_most("(a⁰)ᵀs < 0", s.alignment, 0.0, strict=True),
            Hypothesis.at_most("|(a⁰)ᵀs| ≤ ‖s‖²", abs(s.alignment), s.square),
            s.small_total(),
            Hypothesis.at_most(
                "g(φ⁰) ≤ 1 − 2(1ᵀa*)²/‖a*‖²", s.g, 1 - 2 * s.ratio, note="printed later: ≤ −2ρ, which no angle meets"
            ),
            s.positive_step(),
            s.output_step(),
            short,
        )

    def promises(self) -> tuple[Promise, ...]:
        """The sign of aᵀs, the angle, and the loss; none where a hypothesis fails."""
        return () if self.verdict is Verdict.FAILS else _stuck(self.start)


class SpuriousPrinted(AbstractCertificate):
    """Theorem 5.5 in its printed form: (1ᵀa*)²/‖a*‖² below one over an unnamed polynomial. Undecided unless one is supposed."""

    source: ClassVar[str] = f"{PAPER}, Theorem 5.5 as printed"
    statement: ClassVar[str] = Spurious.statement
    method: ClassVar[str] = "descent"
    errata_ids: ClassVar[tuple[str, ...]] = ("du2018-conv-5.18",)
    assumed: ClassVar[str] = MODEL

    start: Start
    largest_ratio: float | None = None

    def hypotheses(self) -> tuple[Hypothesis, ...]:
        """The printed order of ρ, and the printed step size."""
        s = self.start
        note = "" if self.largest_ratio is not None else "the source names neither the polynomial nor its argument"
        return (
            s.population(),
            Hypothesis.at_most("(1ᵀa*)²/‖a*‖² < 1/poly", s.ratio, self.largest_ratio, strict=True, note=note),
            Hypothesis.at_most("η < (k + π − 1)/(2π)", s.step_size, s.scale / (2 * math.pi), strict=True),
        )


class GlobalBasin(AbstractCertificate):
    """aᵀs ≥ 0, φ ≤ φ_c and uS ≤ S² + (g(φ) − 1)N trap: from here gradient descent goes to the global minimum.

    No rate and no good angle is asked for: φ⁰ may be beyond π/2 wherever the separating angle φ_c is.
    """

    source: ClassVar[str] = OWN
    statement: ClassVar[str] = "gradient descent converges to the global minimum"
    method: ClassVar[str] = "descent"
    errata_ids: ClassVar[tuple[str, ...]] = ("du2018-conv-5.20",)
    assumed: ClassVar[str] = MODEL

    start: Start

    def hypotheses(self) -> tuple[Hypothesis, ...]:
        """The trapping set, and the steps under which it traps."""
        s = self.start
        return (
            *_steps(s),
            Hypothesis.at_least("(a⁰)ᵀs > 0", s.alignment, 0.0, strict=True),
            Hypothesis.at_least("g(φ⁰) > g(φ_c)", s.g, _separating(s), strict=True),
            Hypothesis.at_most("u⁰S ≤ S² + (g(φ⁰) − 1)N", s.side, s.edge),
        )

    def promises(self) -> tuple[Promise, ...]:
        """The angle never grows, and aᵀs stays positive; none where a hypothesis fails."""
        if self.verdict is Verdict.FAILS:
            return ()
        return (
            Promise("φ never grows", "angle_ratio", "<=", 1.0),
            Promise("aᵀs > 0", "alignment", ">=", 0.0),
        )


class SpuriousBasin(AbstractCertificate):
    """aᵀs ≤ 0, φ ≥ φ_c and uS ≥ S² + (g(φ) − 1)N trap: from here gradient descent goes to the spurious point."""

    source: ClassVar[str] = OWN
    statement: ClassVar[str] = Spurious.statement
    method: ClassVar[str] = "descent"
    errata_ids: ClassVar[tuple[str, ...]] = ("du2018-conv-5.18", "du2018-conv-5.20")
    assumed: ClassVar[str] = MODEL

    start: Start

    def hypotheses(self) -> tuple[Hypothesis, ...]:
        """The trapping set, and the steps under which it traps."""
        s = self.start
        return (
            *_steps(s),
            Hypothesis.at_most("(1ᵀs)²/‖s‖² < (k + π − 1)/π", s.ratio, s.scale / math.pi, strict=True),
            Hypothesis.at_most("(a⁰)ᵀs < 0", s.alignment, 0.0, strict=True),
            Hypothesis.at_most("g(φ⁰) < g(φ_c)", s.g, _separating(s), strict=True),
            Hypothesis.at_least("u⁰S ≥ S² + (g(φ⁰) − 1)N", s.side, s.edge),
        )

    def promises(self) -> tuple[Promise, ...]:
        """The sign of aᵀs, the angle, and the loss; none where a hypothesis fails."""
        return () if self.verdict is Verdict.FAILS else _stuck(self.start)


def _separating(s: Start) -> float:
    return (s.scale - math.pi * s.ratio) / (s.scale - s.ratio)


def _steps(s: Start) -> tuple[Hypothesis, ...]:
    size = Hypothesis.at_most("|(a⁰)ᵀs| ≤ ‖s‖² + (1ᵀs)²", abs(s.alignment), s.bound)
    return (s.population(), s.unit_filter(), s.small_total(), size, s.positive_step(), s.output_step(), s.filter_step())


def _stuck(s: Start) -> tuple[Promise, ...]:
    return (
        Promise("aᵀs < 0", "alignment", "<=", 0.0),
        Promise("φ never falls", "angle_ratio", ">=", 1.0),
        Promise("ℓ ≥ 0.1333‖s‖²", "loss", ">=", LEAST_SPURIOUS * s.square),
    )

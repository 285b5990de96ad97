r"""The lemmas of chapter 5 that speak of one step, each with the step size under which it is true.

They hold at every epoch whose iterate meets the hypotheses; along a whole run `TwoPhases` promises them.
"""

import math
from typing import ClassVar

from ..certificate import AbstractCertificate, Hypothesis
from .start import MODEL, PAPER, Start


class AngleShrinks(AbstractCertificate):
    """aᵀs > 0 turns v towards w* (Lemma 5.2)."""

    source: ClassVar[str] = f"{PAPER}, Lemma 5.2"
    statement: ClassVar[str] = "a step does not make the angle larger"
    method: ClassVar[str] = "descent"
    errata_ids: ClassVar[tuple[str, ...]] = ("du2018-conv-5.20",)
    assumed: ClassVar[str] = MODEL

    start: Start

    def hypotheses(self) -> tuple[Hypothesis, ...]:
        """The sign of aᵀs, and no overshoot: beyond ηλ = 2 the step can leave the angle larger."""
        s = self.start
        note = "not printed: a larger step passes w* and can end farther away"
        return (
            s.population(),
            s.positive_step(),
            Hypothesis.at_least("aᵀs > 0", s.alignment, 0.0, strict=True),
            Hypothesis.at_most("ηλ ≤ 2", s.step_size * s.pull, 2.0, note=note),
        )


class AngleContracts(AbstractCertificate):
    """sin²φ⁺ ≤ (1 − ηλ cos φ) sin²φ (Lemma 5.5)."""

    source: ClassVar[str] = f"{PAPER}, Lemma 5.5"
    statement: ClassVar[str] = "a step makes sin²φ smaller by the factor 1 − ηλ cos φ"
    method: ClassVar[str] = "descent"
    errata_ids: ClassVar[tuple[str, ...]] = ("du2018-conv-5.10",)
    assumed: ClassVar[str] = MODEL

    start: Start

    def hypotheses(self) -> tuple[Hypothesis, ...]:
        """aᵀs > 0, φ ≤ π/2, and a step that does not pass w*.

        Beyond π/2 the exact factor (1 − κ cos φ)²/(1 + κ² sin²φ), κ = ηλ, can exceed 1 − κ cos φ: sin²φ grows there while
        φ falls.
        """
        s = self.start
        return (
            s.population(),
            s.positive_step(),
            Hypothesis.at_least("aᵀs > 0", s.alignment, 0.0, strict=True),
            Hypothesis.at_most("φ ≤ π/2", s.angle, math.pi / 2),
            Hypothesis.at_most("ηλ cos φ ≤ 1", s.step_size * s.pull * math.cos(s.angle), 1.0),
        )


class AlignmentStaysPositive(AbstractCertificate):
    """aᵀs > 0, uS ≤ S² and φ < π/2 give aᵀs > 0 after the step (Lemma 5.3)."""

    source: ClassVar[str] = f"{PAPER}, Lemma 5.3"
    statement: ClassVar[str] = "a step keeps aᵀs positive"
    method: ClassVar[str] = "descent"
    errata_ids: ClassVar[tuple[str, ...]] = ("du2018-conv-5.6",)
    assumed: ClassVar[str] = MODEL

    start: Start

    def hypotheses(self) -> tuple[Hypothesis, ...]:
        """The start, and η < 2π/(π − 1)."""
        s = self.start
        largest = 2 * math.pi / (math.pi - 1)
        return (
            s.population(),
            s.positive_step(),
            Hypothesis.at_least("aᵀs > 0", s.alignment, 0.0, strict=True),
            Hypothesis.at_most("uS ≤ S²", s.side, s.teacher_total**2),
            Hypothesis.at_most("φ < π/2", s.angle, math.pi / 2, strict=True),
            Hypothesis.at_most("η < 2π/(π − 1)", s.step_size, largest, strict=True, note="printed: η < 2, also true"),
        )


class TotalStaysBelow(AbstractCertificate):
    """uS ≤ S² stays true, and with |u| ≤ |S| so does that (Lemma 5.4)."""

    source: ClassVar[str] = f"{PAPER}, Lemma 5.4"
    statement: ClassVar[str] = "a step keeps |1ᵀa| ≤ |1ᵀs|"
    method: ClassVar[str] = "descent"
    errata_ids: ClassVar[tuple[str, ...]] = ("du2018-conv-5.6",)
    assumed: ClassVar[str] = MODEL

    start: Start

    def hypotheses(self) -> tuple[Hypothesis, ...]:
        """|u| ≤ |S| and η ≤ 2π/K."""
        s = self.start
        return (s.population(), s.positive_step(), s.small_total(), s.output_step())


class AlignmentGrows(AbstractCertificate):
    """P⁺ ≥ min{P + c(T − P), T} with T = (g(φ) − 1)N/(π − 1) and c = η(π − 1)/(2π); and P⁺ ≤ M (Lemmas 5.7 and 5.8)."""

    source: ClassVar[str] = f"{PAPER}, Lemmas 5.7 and 5.8, Corollary 5.1"
    statement: ClassVar[str] = "aᵀs rises towards (g(φ) − 1)‖s‖²/(π − 1) and stays below ‖s‖² + (1ᵀs)²"
    method: ClassVar[str] = "descent"
    errata_ids: ClassVar[tuple[str, ...]] = ("du2018-conv-5.9", "du2018-conv-5.11", "du2018-conv-5.12")
    assumed: ClassVar[str] = MODEL

    start: Start

    def hypotheses(self) -> tuple[Hypothesis, ...]:
        """uS ≤ S², P ≤ M and η ≤ 2π/K."""
        s = self.start
        return (
            s.population(),
            s.positive_step(),
            s.small_total(),
            Hypothesis.at_most("aᵀs ≤ ‖s‖² + (1ᵀs)²", s.alignment, s.bound),
            s.output_step(),
        )

    @property
    def least_after(self) -> float:
        """What aᵀs is at least after the step."""
        s = self.start
        target = (s.g - 1) * s.square / (math.pi - 1)
        return min(s.alignment + s.output_rate * (target - s.alignment), target)


class TotalConverges(AbstractCertificate):
    """|S − u| ≤ 2ε‖s‖ after `steps` steps, once π − g(φ) ≤ ε‖s‖/|S| (Lemma 5.10; there with ‖w*‖ = 1)."""

    source: ClassVar[str] = f"{PAPER}, Lemma 5.10"
    statement: ClassVar[str] = "1ᵀa comes within 2ε‖s‖ of 1ᵀs"
    method: ClassVar[str] = "descent"
    errata_ids: ClassVar[tuple[str, ...]] = ("du2018-conv-5.14",)
    assumed: ClassVar[str] = f"{MODEL}; φ never grows"

    start: Start
    accuracy: float

    def hypotheses(self) -> tuple[Hypothesis, ...]:
        """The angle, and η ≤ 2π/K."""
        s = self.start
        allowed = math.inf if s.teacher_total == 0 else self.accuracy * math.sqrt(s.square) / abs(s.teacher_total)
        return (
            s.population(),
            Hypothesis.at_most("π − g(φ) ≤ ε‖s‖/|1ᵀs|", s.gap, allowed),
            s.positive_step(),
            s.output_step(),
        )

    @property
    def steps(self) -> int:
        """(2π/(ηK)) ln(|S − u|/(ε‖s‖)), rounded up: (1 − ηK/2π)^t of the first distance is below ε‖s‖ then."""
        s = self.start
        away = abs(s.teacher_total - s.total) / (self.accuracy * math.sqrt(s.square))
        return 0 if away <= 1 else math.ceil(2 * math.pi / (s.step_size * s.scale) * math.log(away))


class OutputContracts(AbstractCertificate):
    """‖a^t − s‖ ≤ (1 − η(π − 1)/2π)^t ‖a⁰ − s‖ + (π − g(φ⁰))‖s‖/(π − 1): what replaces Lemma 5.11."""

    source: ClassVar[str] = f"{PAPER}, in place of Lemma 5.11"
    statement: ClassVar[str] = "the output weights contract towards s, up to what the angle leaves"
    method: ClassVar[str] = "descent"
    errata_ids: ClassVar[tuple[str, ...]] = ("du2018-conv-5.15",)
    assumed: ClassVar[str] = f"{MODEL}; φ never grows"

    start: Start

    def hypotheses(self) -> tuple[Hypothesis, ...]:
        """η ≤ 2π/K."""
        return (self.start.population(), self.start.positive_step(), self.start.output_step())

    def bound(self, steps: int) -> float:
        """The bound on ‖a − s‖ after so many steps."""
        s = self.start
        floor = s.gap * math.sqrt(s.square) / (math.pi - 1)
        return (1 - s.output_rate) ** steps * s.output_gap + floor


class LossBound(AbstractCertificate):
    """ℓ = (1/4π)[(u − S)² + (π − 1)‖a − s‖² + 2(π − g)P] ≤ ε‖s‖² where the three terms are small (Lemma 5.12)."""

    source: ClassVar[str] = f"{PAPER}, Lemma 5.12"
    statement: ClassVar[str] = "a small angle and close output weights make the loss small"
    errata_ids: ClassVar[tuple[str, ...]] = ("du2018-conv-5.16",)
    assumed: ClassVar[str] = MODEL

    start: Start
    accuracy: float

    def hypotheses(self) -> tuple[Hypothesis, ...]:
        """The three terms together at most 4πε‖s‖²."""
        s = self.start
        terms = (s.total - s.teacher_total) ** 2 + (math.pi - 1) * s.output_gap**2 + 2 * s.gap * s.alignment
        return (Hypothesis.at_most("the three terms ≤ 4πε‖s‖²", terms, 4 * math.pi * self.accuracy * s.square),)

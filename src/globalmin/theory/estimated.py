"""Certificates whose inputs are estimates: hypotheses are evaluated at the values and at both ends of their errors."""

import dataclasses
import math
from abc import abstractmethod
from typing import Any, ClassVar, Self

import equinox as eqx

from .._core import Estimate
from .certificate import AbstractCertificate, Hypothesis, Verdict, worst

UNKNOWN = Estimate(0.0, 1e30)
"""A number of which nothing is known: no hypothesis that turns on it is decided. Finite, so that powers of it are."""


def estimate(x: Estimate | float) -> Estimate:
    """A plain number is an estimate without error."""
    return x if isinstance(x, Estimate) else Estimate(float(x))


def optional_estimate(x: Estimate | float | None) -> Estimate | None:
    """The same, `None` kept."""
    return None if x is None else estimate(x)


def shown(x: Estimate) -> str:
    """The number for a remark; "not known" for `UNKNOWN`."""
    return "not known" if x == UNKNOWN else f"{x.value:.6g}"


def over(a: float, b: float) -> float:
    """a / b for a ≥ 0, infinite where b ≤ 0 or the quotient overflows: a requirement that nothing meets."""
    try:
        return a / b if b > 0 else math.inf
    except OverflowError:
        return math.inf


def stated(name: str, holds: bool, note: str = "") -> Hypothesis:
    """A hypothesis that is no inequality, shown as 1 ≥ 1 or 0 ≥ 1; `note` is shown where it does not hold."""
    return Hypothesis.at_least(name, float(holds), 1.0, note="" if holds else note)


def is_relu(activation: str) -> Hypothesis:
    """For a theorem whose proof is about the ReLU and no other activation."""
    name = "φ is the ReLU"
    return stated(name, activation == "relu", f"the theorem is about the ReLU and says nothing of {activation}")


class Start(eqx.Module):
    """Numbers of the first iterate and of the limit kernel that several theorems of one paper share."""

    # The `Estimate` fields that help when larger; every other one (norms, residuals) hurts when larger.
    larger_is_better: ClassVar[tuple[str, ...]] = ()


class AbstractEstimated(AbstractCertificate):
    """A theorem whose hypotheses are monotone in every estimated number.

    Subclasses write `inequalities` from `.value` alone, as if every estimate were exact. Here they are evaluated three
    times, at the values, at the worst and at the best ends, so that HOLDS is said only of what holds at the worst ends
    and FAILS only of what fails at the best ones; between them it is UNDECIDED. `Hypothesis.error` is by how much the
    slack can be off towards the other verdict. `Estimate`s are looked for among the fields and those of a `Start`.
    """

    larger_is_better: ClassVar[tuple[str, ...]] = ()

    @abstractmethod
    def inequalities(self) -> tuple[Hypothesis, ...]:
        """The hypotheses with every estimate at its `.value`."""

    def choose(self, at: Any) -> Self:
        """This certificate, its free numbers (radii, rates) chosen for the numbers of `at`; by default none is free."""
        return self

    def settled(self) -> Self:
        """This certificate with its free numbers chosen at the worst ends, as its promises have them."""
        return self.choose(self.worst())

    def worst(self) -> Self:
        """The same theorem with every estimate replaced by the end that makes it hardest to apply."""
        return _at(self, -1)

    def hypotheses(self) -> tuple[Hypothesis, ...]:
        """The inequalities at the values, each with the error that the estimates leave on its slack."""
        rows = self.settled()._rows()
        best = _at(self, 1)
        if worst([h.verdict for h in rows]) is not Verdict.FAILS or best == self.worst():
            return rows
        # Free numbers chosen where nothing serves say nothing of the best ends: choose them there.
        hopeful = self.choose(best)._rows()
        return rows if worst([h.verdict for h in hopeful]) is Verdict.FAILS else hopeful

    def _rows(self) -> tuple[Hypothesis, ...]:
        three = (self.inequalities(), _at(self, -1).inequalities(), _at(self, 1).inequalities())
        return tuple(_joined(*one) for one in zip(*three, strict=True))


def _at(module: Any, sign: int) -> Any:
    ends = {}
    for field in dataclasses.fields(module):
        value = getattr(module, field.name)
        if isinstance(value, Start):
            ends[field.name] = _at(value, sign)
        elif isinstance(value, Estimate):
            upwards = sign if field.name in module.larger_is_better else -sign
            ends[field.name] = Estimate(value.upper if upwards > 0 else value.lower)
    return dataclasses.replace(module, **ends)


def _joined(middle: Hypothesis, worst: Hypothesis, best: Hypothesis) -> Hypothesis:
    slack, low, high = middle.slack, worst.slack, best.slack
    if slack is None or low is None or high is None:
        return middle
    if math.isinf(slack) and worst.verdict is best.verdict:
        error = 0.0  # the ends agree, and ∞ − ∞ says nothing
    else:
        error = slack - low if middle.verdict is Verdict.HOLDS else high - slack
    return dataclasses.replace(middle, error=math.inf if math.isnan(error) else max(error, 0.0))

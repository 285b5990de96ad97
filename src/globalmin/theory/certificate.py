"""Hypothesis, verdict, promise, certificate: the vocabulary in which every theorem is checked and told."""

import enum
import math
from abc import abstractmethod
from typing import Any, ClassVar

import equinox as eqx

from .errata import Erratum, erratum


class Verdict(enum.StrEnum):
    """`FAILS` means that the theorem is silent here, not that training diverges."""

    HOLDS = "HOLDS"
    FAILS = "FAILS"
    UNDECIDED = "UNDECIDED"

    @property
    def meaning(self) -> str:
        """The verdict in words, for people who read only the last column."""
        return {
            "HOLDS": "every hypothesis was computed and holds",
            "FAILS": "a hypothesis does not hold: the theorem is silent here (this does not say that training fails)",
            "UNDECIDED": "a hypothesis lies inside its error bound, or rests on a number that the source does not give",
        }[self.value]


def worst(verdicts: "tuple[Verdict, ...] | list[Verdict]") -> Verdict:
    """FAILS before UNDECIDED before HOLDS; an empty conjunction holds."""
    for verdict in (Verdict.FAILS, Verdict.UNDECIDED):
        if verdict in verdicts:
            return verdict
    return Verdict.HOLDS


class Hypothesis(eqx.Module):
    """One inequality of a theorem, evaluated: left side, right side, slack and verdict.

    `slack` is positive where the inequality holds; `error` bounds the error of the slack. The verdict is HOLDS or
    FAILS only outside that bound.
    """

    name: str
    lhs: float | None
    rhs: float | None
    relation: str  # one of ">=", ">", "<=", "<"
    error: float = 0.0
    note: str = ""  # in words: why it cannot hold, what is missing, what the printed form was

    @classmethod
    def at_least(cls, name, lhs, rhs, *, strict=False, error=0.0, note="") -> "Hypothesis":
        """`lhs >= rhs` (`>` if strict). A side that is `None` is a number that nobody gave: UNDECIDED."""
        return cls(name, _number(lhs), _number(rhs), ">" if strict else ">=", float(error), note)

    @classmethod
    def at_most(cls, name, lhs, rhs, *, strict=False, error=0.0, note="") -> "Hypothesis":
        """`lhs <= rhs` (`<` if strict)."""
        return cls(name, _number(lhs), _number(rhs), "<" if strict else "<=", float(error), note)

    @property
    def slack(self) -> float | None:
        """How far inside the inequality: lhs − rhs for ≥, rhs − lhs for ≤; `None` if a side is missing."""
        if self.lhs is None or self.rhs is None:
            return None
        if self.lhs == self.rhs:  # also inf against inf
            return 0.0
        return self.lhs - self.rhs if self.relation[0] == ">" else self.rhs - self.lhs

    @property
    def verdict(self) -> Verdict:
        """HOLDS / FAILS outside the error bound, UNDECIDED inside it or where a side is missing or NaN."""
        slack = self.slack
        if slack is None or math.isnan(slack) or not math.isfinite(self.error):
            return Verdict.UNDECIDED
        strict = self.relation in ("<", ">")
        if slack > self.error or (slack == self.error and not strict):
            return Verdict.HOLDS
        if slack < -self.error or (slack == -self.error and strict):
            return Verdict.FAILS
        return Verdict.UNDECIDED

    def to_dict(self) -> dict[str, Any]:
        """The fields of the command line's JSON."""
        return {
            "name": self.name,
            "relation": self.relation,
            "lhs": self.lhs,
            "rhs": self.rhs,
            "slack": self.slack,
            "error": self.error,
            "verdict": self.verdict.value,
            "note": self.note,
        }


class Promise(eqx.Module):
    """What a theorem says stays true along the run: a monitored quantity against `limit · factor^(epoch − start)`.

    `quantity` is a variable of the trajectory. A promise with `conclusion=False` is a step of the proof: a run that
    leaves it is outside the proof, which is worth knowing and refutes nothing.
    """

    name: str
    quantity: str
    relation: str
    limit: float
    factor: float = 1.0
    start: int = 0
    conclusion: bool = True

    def at(self, epoch: float) -> float:
        """The bound at an epoch."""
        return self.limit * self.factor ** (epoch - self.start)

    def kept(self, epoch: float, value: float, relative_error: float = 1e-9) -> bool:
        """Whether `value` keeps the promise at `epoch`, a relative rounding error granted. NaN never does."""
        bound = self.at(epoch)
        grace = relative_error * abs(bound)
        return value <= bound + grace if self.relation[0] == "<" else value >= bound - grace

    def to_dict(self) -> dict[str, Any]:
        """All fields, for the run's JSON."""
        return {
            "name": self.name,
            "quantity": self.quantity,
            "relation": self.relation,
            "limit": self.limit,
            "factor": self.factor,
            "start": self.start,
            "conclusion": self.conclusion,
        }


class AbstractCertificate(eqx.Module):
    """One theorem, evaluated on numbers and arrays. One subclass per theorem, named after what it says.

    `errata_ids` name the corrections (see `globalmin systems --errata`) that the evaluated statement rests on.
    `assumed` says in words what a theorem takes for granted and no one can check (the law of the initialisation).
    """

    source: ClassVar[str]
    statement: ClassVar[str]
    method: ClassVar[str] = "any"  # what its promises are about: "descent", "flow", or "any" of the two
    errata_ids: ClassVar[tuple[str, ...]] = ()
    assumed: ClassVar[str] = ""

    @abstractmethod
    def hypotheses(self) -> tuple[Hypothesis, ...]:
        """Every hypothesis, evaluated."""

    def judge(self, hypotheses: tuple[Hypothesis, ...]) -> Verdict:
        """The verdict that the evaluated hypotheses amount to: their worst."""
        return worst([h.verdict for h in hypotheses])

    def promises(self) -> tuple[Promise, ...]:
        """What holds along the run if every hypothesis does; the monitor lays the run over it in any case."""
        return ()

    @property
    def verdict(self) -> Verdict:
        """The worst verdict of the hypotheses."""
        return self.judge(self.hypotheses())

    def errata(self) -> tuple[Erratum, ...]:
        """The corrections of the source that this statement rests on."""
        return tuple(erratum(i) for i in self.errata_ids)

    def evaluate(self) -> "Evaluated":
        """The certificate as plain values: hypotheses and promises computed once."""
        hypotheses = self.hypotheses()
        return Evaluated(
            theorem=type(self).__name__,
            source=self.source,
            statement=self.statement,
            method=self.method,
            assumed=self.assumed,
            errata_ids=self.errata_ids,
            verdict=self.judge(hypotheses),
            hypotheses=hypotheses,
            promises=self.promises(),
        )


class Evaluated(eqx.Module):
    """A certificate after evaluation: what is shown, stored and laid over a run."""

    theorem: str
    source: str
    statement: str
    method: str
    assumed: str
    errata_ids: tuple[str, ...]
    verdict: Verdict
    hypotheses: tuple[Hypothesis, ...]
    promises: tuple[Promise, ...]

    def to_dict(self) -> dict[str, Any]:
        """The object under `theorems` in the command line's JSON and in `certificate.json`."""
        return {
            "theorem": self.theorem,
            "source": self.source,
            "statement": self.statement,
            "method": self.method,
            "assumed": self.assumed,
            "verdict": self.verdict.value,
            "meaning": self.verdict.meaning,
            "hypotheses": [h.to_dict() for h in self.hypotheses],
            "promises": [p.to_dict() for p in self.promises],
            "errata": list(self.errata_ids),
        }


def _number(x) -> float | None:
    return None if x is None else float(x)

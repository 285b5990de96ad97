"""The claims of a certificate file, and the checker's own numbers held against them one by one."""

from typing import Any

from .. import file
from .balls import Balls


class RefutedError(ValueError):
    """A claim of the file that could not be confirmed; the message is one line."""


class Claims:
    """The intervals of a file by name. Every `confirm` raises `RefutedError` unless the claim is proven."""

    def __init__(self, content: dict[str, Any], balls: Balls, residual: str = "rho_0"):
        self.content = content
        self.balls = balls
        self.residual_name = residual
        self._named: dict[str, str] = {}
        self.arb = balls.arb
        self.confirmed: set[str] = set()
        self._ends: dict[str, tuple[float, float]] = {}
        for name, entry in content["hypotheses"].items():
            low, high = entry["interval"]
            self._ends[name] = (file.from_hex(name, low), file.from_hex(name, high))

    def at_start(self) -> "Claims":
        """The claims about the weights, where the others are about a comparison point."""
        found = Claims(self.content, self.balls)
        found._named = {"w_norm": "w_norm_start", "mu": "mu_start"}
        found.confirmed = self.confirmed
        return found

    def residual(self, outputs: Any, labels: Any) -> None:
        """‖outputs − labels‖ is inside its interval."""
        self.number(self.residual_name, self.balls.norm((outputs - labels).entries()))

    @property
    def names(self) -> set[str]:
        """The claimed quantities."""
        return set(self._ends)

    def lower(self, name: str) -> Any:
        """The claimed lower end, as a ball."""
        return self.arb(self._interval(name)[0])

    def upper(self, name: str) -> Any:
        """The claimed upper end."""
        return self.arb(self._interval(name)[1])

    def number(self, name: str, ball: Any) -> None:
        """The number is inside its interval."""
        low, high = self._interval(name)
        if not (self.arb(low) <= ball or (low == 0 and ball.abs_upper() <= self.arb(high))) or not ball <= self.arb(
            high
        ):
            raise self._refuted(name, f"{_short(ball)} was found")
        self.confirmed.add(self._named.get(name, name))

    def least_eigenvalue(self, name: str, a: Any) -> None:
        """λ_min(A) is inside its interval."""
        low, high = self._interval(name)
        if not self.balls.eigenvalues_at_least(a, low):
            raise self._refuted(name, "the lower end could not be proven")
        if not self.balls.rayleigh(a, largest=False) <= self.arb(high):
            raise self._refuted(name, "the upper end could not be proven")
        self.confirmed.add(self._named.get(name, name))

    def greatest_eigenvalue(self, name: str, a: Any) -> None:
        """λ_max(A) is inside its interval."""
        low, high = self._interval(name)
        if not self.balls.eigenvalues_at_least(a, -high, sign=-1):
            raise self._refuted(name, "the upper end could not be proven")
        if low != 0 and not self.balls.rayleigh(a, largest=True) >= self.arb(low):
            raise self._refuted(name, "the lower end could not be proven")
        self.confirmed.add(self._named.get(name, name))

    def operator_norm(self, name: str, a: Any) -> None:
        """‖A‖ is inside its interval: its square is λ_max of the Gram matrix of the shorter side."""
        short = a if a.nrows() <= a.ncols() else a.transpose()
        self.greatest_root(name, self.balls.product(short, short.transpose()))

    def greatest_root(self, name: str, a: Any) -> None:
        """λ_max(A)^{1/2} is inside its interval."""
        low, high = self._interval(name)
        if not self.balls.eigenvalues_at_least(a, -(self.arb(high) ** 2), sign=-1):
            raise self._refuted(name, "the upper end could not be proven")
        if low != 0 and not self.balls.rayleigh(a, largest=True) >= self.arb(low) ** 2:
            raise self._refuted(name, "the lower end could not be proven")
        self.confirmed.add(self._named.get(name, name))

    def relative_norm(self, name: str, gram: Any, products: Any) -> None:
        """‖K^{-1/2}A‖ is inside its interval, products = AAᵀ: s²K − AAᵀ is positive semidefinite for the upper end."""
        low, high = self._interval(name)
        top = self.arb(high)
        if not self.balls.eigenvalues_at_least(gram * (top * top) - products, 0.0):
            raise self._refuted(name, "the upper end could not be proven")
        if low != 0 and not self.balls.relative_quotient(products, gram) >= self.arb(low) * self.arb(low):
            raise self._refuted(name, "the lower end could not be proven")
        self.confirmed.add(self._named.get(name, name))

    def _interval(self, name: str) -> tuple[float, float]:
        name = self._named.get(name, name)
        if name not in self._ends:
            raise RefutedError(f"certificate: the hypothesis {name} is missing; the file is damaged")
        return self._ends[name]

    def _refuted(self, name: str, what: str) -> RefutedError:
        low, high = self._interval(name)
        return RefutedError(f"refuted: {name} in [{low:.17g}, {high:.17g}] is claimed, and {what}")


def _short(ball: Any) -> str:
    return ball.str(12, more=True)

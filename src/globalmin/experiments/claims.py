"""A paper's claim as numbers: what was said, what was measured, what was asked, PASS or FAIL."""

import dataclasses
from typing import Any

import numpy as np


@dataclasses.dataclass(frozen=True)
class Claim:
    """One claim, checked."""

    text: str
    measured: str
    asked: str
    passed: bool

    def to_dict(self) -> dict[str, Any]:
        """For JSON."""
        return dataclasses.asdict(self)


def decreases(text: str, widths: list[int], values: list[float]) -> Claim:
    """The values fall strictly from each width to the next."""
    shown = ", ".join(f"{v:.4g} (m = {m})" for m, v in zip(widths, values, strict=True))
    return Claim(text, shown, "strictly decreasing in m", bool(np.all(np.diff(values) < 0)))


def slope(text: str, widths: list[int], values: list[float], expected: float, within: float) -> Claim:
    """The log-log slope in the width, by least squares, is within `within` of `expected`."""
    found = float(np.polyfit(np.log(widths), np.log(values), 1)[0])
    return Claim(text, f"slope {found:.3f}", f"{expected} ± {within}", abs(found - expected) <= within)


def below(text: str, value: float, bound: float) -> Claim:
    """The largest value is strictly below a bound."""
    return Claim(text, f"largest {value:.6g}", f"< {bound:g}", value < bound)


def inside(text: str, values: list[float], low: float, high: float) -> Claim:
    """Every value lies between two numbers."""
    shown = ", ".join(f"{v:.4g}" for v in values)
    return Claim(text, shown, f"in [{low:g}, {high:g}]", bool(all(low <= v <= high for v in values)))

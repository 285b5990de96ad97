"""A paper's claim as numbers: what was said, what was measured, what was asked, PASS or FAIL."""

import dataclasses
from collections.abc import Sequence
from typing import Any

import numpy as np
import scipy.stats


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


def decreases(text: str, widths: Sequence[float], values: list[float], of: str = "m") -> Claim:
    """The values fall strictly from each width (or whatever `of` names) to the next."""
    shown = ", ".join(f"{v:.4g} ({of} = {m:g})" for m, v in zip(widths, values, strict=True))
    return Claim(text, shown, f"strictly decreasing in {of}", bool(np.all(np.diff(values) < 0)))


def falls(text: str, widths: list[int], values: np.ndarray) -> Claim:
    """The values fall with the width beyond what seeds do to them: one row of `values` per width, one column per seed.

    For every seed the slope of ln(value) in log2(width) by least squares; what is asked is that their mean is negative
    by more than Student's one-sided 95% quantile times its standard error. Each seed has its own samples and weights, the
    same samples at every width, so that slopes are independent and what a seed does to all widths cancels. With one
    seed or one width there is nothing to judge by, and the claim does not pass.
    """
    asked, seeds = "a doubling of m lowers it: 95% interval below 0", values.shape[1]
    means = ", ".join(f"{v:.4g} (m = {m})" for m, v in zip(widths, values.mean(axis=1), strict=True))
    if seeds < 2 or len(widths) < 2:
        return Claim(text, means, f"{asked}; two widths and two seeds at least", False)
    slopes = np.polyfit(np.log2(widths), np.log(values), 1)[0]
    mean = float(slopes.mean())
    error = float(slopes.std(ddof=1) / np.sqrt(seeds))
    upper = mean + float(scipy.stats.t.ppf(0.95, seeds - 1)) * error
    shown = (
        f"{100 * mean:+.2f} ± {100 * error:.2f}% a doubling, at most {100 * upper:+.2f}% ({seeds} seeds); means {means}"
    )
    return Claim(text, shown, asked, upper < 0)


def fitted_slope(text: str, sizes: list[int], values: np.ndarray, expected: float, within: float) -> Claim:
    """A power law: log-log slopes by least squares, one per seed (column of `values`, a row per size).

    Passes where the mean slope is within `within` of `expected` and its 95% confidence interval (Student) is no wider than
    that to either side: an interval that holds everything is no confirmation.
    """
    slopes = np.polyfit(np.log(sizes), np.log(values), 1)[0]
    seeds = values.shape[1]
    if seeds < 2:
        return Claim(
            text, f"slope {float(slopes[0]):.3f}, one seed", f"{expected} ± {within}, two seeds at least", False
        )
    mean, error = float(slopes.mean()), float(slopes.std(ddof=1) / np.sqrt(seeds))
    half = float(scipy.stats.t.ppf(0.975, seeds - 1)) * error
    shown = f"slope {mean:.3f}, 95% interval [{mean - half:.3f}, {mean + half:.3f}] ({seeds} seeds)"
    return Claim(text, shown, f"{expected} ± {within}", abs(mean - expected) <= within and half <= within)


def slope(text: str, widths: list[int], values: list[float], expected: float, within: float) -> Claim:
    """The log-log slope in the width, by least squares, is within `within` of `expected`."""
    found = float(np.polyfit(np.log(widths), np.log(values), 1)[0])
    return Claim(text, f"slope {found:.3f}", f"{expected} ± {within}", abs(found - expected) <= within)


def below(text: str, value: float, bound: float) -> Claim:
    """The largest value is strictly below a bound."""
    return Claim(text, f"largest {value:.6g}", f"< {bound:g}", bool(value < bound))


def inside(text: str, values: list[float], low: float, high: float) -> Claim:
    """Every value lies between two numbers."""
    shown = ", ".join(f"{v:.4g}" for v in values)
    return Claim(text, shown, f"in [{low:g}, {high:g}]", bool(all(low <= v <= high for v in values)))

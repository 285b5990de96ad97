"""The run laid over what the theorems promise: kept throughout, or first broken at which epoch."""

from collections.abc import Mapping, Sequence
from typing import Any

import equinox as eqx
import numpy as np

from ..theory import Promise


class Checked(eqx.Module):
    """One promise held against a run."""

    promise: Promise
    source: str
    kept: bool | None  # None: the run has nothing to compare
    first_broken: int | None
    margin: float | None  # smallest of bound/value (for ≤) or value/bound (for ≥); above 1 is inside
    compared: int  # how many epochs were compared

    def to_dict(self) -> dict[str, Any]:
        """For the run's JSON."""
        return {
            **self.promise.to_dict(),
            "source": self.source,
            "kept": self.kept,
            "first_broken": self.first_broken,
            "margin": self.margin,
            "compared": self.compared,
        }


def lay_over(
    promise: Promise,
    source: str,
    epochs: np.ndarray,
    values: np.ndarray,
    error: np.ndarray | float = 0.0,
    residual_floor: float = 0.0,
) -> Checked:
    """Hold a promise against a series.

    **Arguments:** `epochs`, `values`: the series; `error`, bound on the error of the values, granted to the run;
    `residual_floor`, for the loss: the residual norm below which floating-point descent says nothing about exact
    descent (see `residual_floor`), granted in the norm.
    """
    # A quantity of length k was recorded at k epochs; NaN stands where the run did not look.
    use = (epochs >= promise.start) & ~np.isnan(values)
    epochs, values = epochs[use], values[use]
    error = np.broadcast_to(error, use.shape)[use]
    if not epochs.size:
        return Checked(promise, source, None, None, None, 0)
    bounds = promise.limit * promise.factor ** (epochs - promise.start).astype(float)
    below = promise.relation[0] == "<"
    if promise.quantity == "loss":
        size = np.sqrt(2 * bounds)
        granted = (size * (1 + 1e-9) + residual_floor) ** 2 / 2 - bounds
    else:
        granted = 1e-9 * np.abs(bounds) + error
    broken = (values > bounds + granted) if below else (values < bounds - granted)
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        ratios = (bounds + granted) / values if below else values / np.where(bounds > 0, bounds, np.nan)
    finite = ratios[np.isfinite(ratios)]
    first = int(epochs[np.argmax(broken)]) if broken.any() else None
    return Checked(promise, source, first is None, first, float(finite.min()) if finite.size else None, epochs.size)


def residual_floor(eps: float, theta_norm: float, step_size: float, sigma_min: float, output_error: float) -> float:
    """Residual norm at which rounding, not the theorem, decides a descent.

    The stored θ_{k+1} is off by at most eps‖θ‖; the recursion r ← (I − ηJJᵀ)r + Je then settles, along the singular
    vector of σ, at eps‖θ‖/(ησ) at most, and a residual computed with error δ settles at δ.
    """
    if not sigma_min > 0 or not step_size > 0:
        return np.inf
    return eps * theta_norm / (step_size * sigma_min) + output_error


def sentence(checks: Sequence[Checked]) -> str:
    """ "held throughout", or "first broken: X at epoch k" for the earliest conclusion that was left."""
    conclusions = [c for c in checks if c.promise.conclusion and c.kept is not None]
    broken = [c for c in conclusions if not c.kept]
    if broken:
        first = min(broken, key=lambda c: c.first_broken or 0)
        return f"first broken: {first.promise.name} at epoch {first.first_broken}"
    return "held throughout" if conclusions else "nothing was promised that the run could be held against"


def series_of(
    quantity: str, promise: Promise, looks: Mapping[str, np.ndarray], steps: Mapping[str, np.ndarray]
) -> tuple[np.ndarray, np.ndarray, np.ndarray | float]:
    """Epochs, values and error of a quantity: from every epoch where it is recorded there, else from the looks."""
    if quantity == "path_since_start":
        lengths = steps["path_length"]
        at = np.searchsorted(steps["epoch"], promise.start)
        return steps["epoch"], lengths - lengths[min(at, len(lengths) - 1)], 0.0
    if quantity in steps and quantity != "epoch":
        return steps["epoch"], steps[quantity], 0.0
    if quantity in looks:
        return looks["epoch"], looks[quantity], looks.get(f"{quantity}_error", 0.0)
    return np.zeros(0, int), np.zeros(0), 0.0

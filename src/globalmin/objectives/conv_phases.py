"""What a finished run of the convolutional teacher amounts to: where it ends, and how long each phase took."""

import math
from collections.abc import Mapping
from typing import Any

import jax.numpy as jnp
import numpy as np

from .conv_numbers import TeacherNumbers
from .conv_reduced import GLOBAL, SPURIOUS, ReducedState, basin

TURNED, ALIGNED = math.pi / 4, 0.32
"""The slow phase is over when φ ≤ π/4 and aᵀs ≥ 0.32‖s‖²."""

ACCURATE = 1e-6
"""The fast phase is timed until ℓ ≤ 1e-6 ‖s‖²."""

ROUNDING = 1e-24
"""Losses below this share of ‖s‖² are rounding; no slope is fitted to them."""


def run_summary(numbers: TeacherNumbers, steps: Mapping[str, np.ndarray], *, certain: bool = True) -> dict[str, Any]:
    """Where the run ends and its two phases.

    **Arguments:** `steps`, the recorded series; `certain`, whether the run is of the population's gradients with a step
    size that the trapping sets are proved for.

    **Returns:** `ends in` (global minimum, spurious point, undecided); `certain from`, the first step from which the
    trapping sets prove it, `None` if none does; `slow phase`, the steps until φ ≤ π/4 and aᵀs ≥ 0.32‖s‖²; `fast phase`, how
    many more until ℓ ≤ 1e-6‖s‖²; the fitted slopes of log ℓ per step in both, `None` where there is nothing to fit.
    """
    epoch, loss = steps["epoch"], steps["loss"]
    state = ReducedState(*(jnp.asarray(steps[name]) for name in ("angle", "filter_norm", "total", "alignment")))
    where = np.asarray(basin(numbers, state))
    last = ReducedState(state.angle[-1], state.norm[-1], state.total[-1], state.alignment[-1])
    inside = np.flatnonzero((where == where[-1]) & (where != 0))
    ends = {GLOBAL: "global minimum", SPURIOUS: "spurious point"}.get(int(where[-1]), _side(numbers, last))
    turned = np.flatnonzero((steps["angle"] <= TURNED) & (steps["alignment"] >= ALIGNED * numbers.square))
    first = int(turned[0]) if turned.size else None
    accurate = np.flatnonzero(loss <= ACCURATE * numbers.square)
    reached = None if first is None or not accurate.size else int(max(accurate[0], first))
    usable = loss > ROUNDING * numbers.square
    return {
        "ends in": ends,
        "certain from": int(epoch[inside[0]]) if certain and inside.size else None,
        "slow phase": None if first is None else int(epoch[first]),
        "fast phase": None if first is None or reached is None else int(epoch[reached] - epoch[first]),
        "slope, slow": _slope(epoch, loss, usable & (epoch <= epoch[first])) if first is not None else None,
        "slope, fast": _slope(epoch, loss, usable & (epoch >= epoch[first])) if first is not None else None,
    }


def _side(numbers: TeacherNumbers, state: ReducedState) -> str:
    aligned, angle = float(state.alignment), float(state.angle)
    if aligned > 0 and angle < numbers.separating_angle:
        return "global minimum, by its sign and angle"
    if aligned < 0 and angle > numbers.separating_angle:
        return "spurious point, by its sign and angle"
    return "undecided"


def _slope(epoch: np.ndarray, loss: np.ndarray, use: np.ndarray) -> float | None:
    if use.sum() < 2:
        return None
    return float(np.polyfit(epoch[use].astype(float), np.log(loss[use]), 1)[0])

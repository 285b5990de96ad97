"""Table 5.1 of Du's thesis: how often one random start of the convolutional teacher reaches the global minimum.

p = 6, 5,000 starts a cell, initialised as in Theorem 5.4 with one draw of the signs. The source does not give ‖a*‖, on which
the entries depend: at ‖w*‖²‖a*‖² = 0.3 they agree with the printed ones within sampling error. Every start is run by the
exact four-dimensional recursion until the trapping sets prove where it ends.
"""

import math
from pathlib import Path
from typing import Any

import jax
import numpy as np
import scipy.stats

from ..objectives import GLOBAL, TeacherNumbers, fate, random_starts, small_square_limit
from ..report import Line, Panel
from .claims import Claim

SOURCE = "Du, thesis CMU-ML-19-102, Table 5.1"

PATCHES = (25, 36, 49, 64, 81, 100)
RATIOS = (0, 1, 4, 9, 16, 25)
PRINTED = np.array(
    [
        [0.50, 0.55, 0.73, 1.00, 1.00, 1.00],
        [0.50, 0.53, 0.66, 0.89, 1.00, 1.00],
        [0.50, 0.53, 0.61, 0.78, 1.00, 1.00],
        [0.50, 0.51, 0.59, 0.71, 0.89, 1.00],
        [0.50, 0.53, 0.57, 0.66, 0.81, 0.97],
        [0.50, 0.50, 0.57, 0.63, 0.75, 0.90],
    ]
)
SIZES: dict[str, dict[str, Any]] = {"small": {"starts": 5000}, "paper": {"starts": 5000}}
"""The paper's own number at both scales: it takes seconds."""
DIMENSION = 6
SQUARE = 0.3
TINY = 1e-4
"""‖s‖² at which the closed form of the limit is met within sampling error."""
CONFIDENCE = 0.99


def wilson(count: int, total: int, confidence: float = CONFIDENCE) -> tuple[float, float]:
    """Wilson's interval of a probability from `count` successes in `total`."""
    z = float(scipy.stats.norm.ppf((1 + confidence) / 2))
    middle = (count + z * z / 2) / (total + z * z)
    half = z / (total + z * z) * math.sqrt(count * (total - count) / total + z * z / 4)
    return max(middle - half, 0.0), min(middle + half, 1.0)


def run(out: Path, scale: str, seed: int, bar) -> dict[str, Any]:
    """Every cell; the table, two panels, and claims on both."""
    shape, starts = (len(PATCHES), len(RATIOS)), SIZES[scale]["starts"]
    successes, undecided, latest = np.zeros(shape, int), 0, 0
    key = jax.random.key(seed)
    with bar("table 5.1", successes.size) as progress:
        for cell, (i, j) in enumerate(np.ndindex(*shape)):
            numbers = TeacherNumbers.of_ratio(PATCHES[i], float(RATIOS[j]), SQUARE)
            start = random_starts(numbers, DIMENSION, starts, key=jax.random.fold_in(key, cell))
            where, when = fate(numbers, start, numbers.largest_step)
            successes[i, j], undecided = np.sum(where == GLOBAL), undecided + int(np.sum(where == 0))
            latest = max(latest, int(when.max()))
            progress(cell + 1, successes.size, {})
    found = successes / starts
    error = np.sqrt(np.maximum(found * (1 - found), PRINTED * (1 - PRINTED)) * 2 / starts)
    # Two samples of 5,000 and a printed number rounded to two digits.
    beyond = np.abs(found - PRINTED) > float(scipy.stats.norm.ppf((1 + CONFIDENCE) / 2)) * error + 0.005
    differences, rms = np.abs(found - PRINTED), float(np.sqrt(np.mean((found - PRINTED) ** 2)))
    limits, inside = _limit_cells(key, starts)
    repelling = [
        found[i, j] for i, j in np.ndindex(*shape)
        if not TeacherNumbers.of_ratio(PATCHES[i], float(RATIOS[j])).spurious_attracts
    ]  # fmt: skip
    claims = [
        Claim(
            "every cell is close to the printed one",
            f"largest difference {differences.max():.4f}", "≤ 0.04", bool(differences.max() <= 0.04),
        ),
        Claim("the table as a whole", f"root mean square difference {rms:.4f}", "≤ 0.015", rms <= 0.015),
        Claim(
            "printed cells outside the 99% interval of the difference of two samples, rounding included",
            f"{int(beyond.sum())} of {beyond.size}", "at most 2", int(beyond.sum()) <= 2,
        ),
        Claim(
            "every start is settled by a trapping set",
            f"{undecided} undecided, the last one settled after {latest} steps", "0 undecided", undecided == 0,
        ),
        Claim(
            "where (1ᵀa*)²/‖a*‖² ≥ (k + π − 1)/π every start succeeds",
            f"smallest of {len(repelling)} cells {min(repelling):.4f}", "1", bool(min(repelling) == 1),
        ),
        Claim(
            "success rises with (1ᵀa*)²/‖a*‖² in every row, and ratio 0 is a coin toss",
            f"smallest rise {np.diff(found, axis=1).min():+.4f}; ratio 0: {found[:, 0].min():.3f} to {found[:, 0].max():.3f}",
            "≥ −0.03; within 0.03 of ½",
            bool(np.diff(found, axis=1).min() >= -0.03 and np.abs(found[:, 0] - 0.5).max() <= 0.03),
        ),
        Claim(
            "as ‖a*‖ → 0 the probability tends to P(φ⁰ < φ_c), in closed form",
            ", ".join(f"k = {k}: {a:.3f} for {b:.3f}" for k, (a, b) in zip(PATCHES, limits, strict=True)),
            "inside the 99% interval, at most 1 of 6 outside", bool(inside >= len(PATCHES) - 1),
        ),
    ]  # fmt: skip
    rows = []
    for i, k in enumerate(PATCHES):
        cells = []
        for j in range(len(RATIOS)):
            low, high = wilson(int(successes[i, j]), starts)
            cells.append(f"{found[i, j]:.3f} [{low:.3f}, {high:.3f}], printed {PRINTED[i, j]:.2f}")
        rows.append([f"k = {k}", *cells])
    table = {
        "columns": ["patches", *(f"ratio {r}" for r in RATIOS)],
        "rows": rows,
        "notes": f"Probability of the global minimum in {starts:,} starts a cell, with 99% intervals (Wilson); the ratio is "
        "(1ᵀa*)²/‖a*‖².",
    }
    x = np.array(RATIOS, float)
    label = "(1ᵀa*)²/‖a*‖²"
    panels = [
        Panel("(a) measured", "probability", [_line(i, x, found) for i in range(len(PATCHES))], x_label=label),
        Panel("(b) printed", "probability", [_line(i, x, PRINTED) for i in range(len(PATCHES))], x_label=label),
        Panel(
            "(c) measured − printed", "difference", [_line(i, x, found - PRINTED) for i in range(len(PATCHES))],
            x_label=label,
        ),
    ]  # fmt: skip
    settings = {
        "p": DIMENSION, "starts a cell": starts, "‖w*‖²‖a*‖²": SQUARE, "step size": "min{2π/(k + π − 1), √2/M}",
        "not given by the source": "‖a*‖ and the step size; the first decides the entries, the second does not",
    }  # fmt: skip
    return {"claims": claims, "settings": settings, "panels": panels, "runs": [], "table": table}


def _limit_cells(key, starts: int) -> tuple[list[tuple[float, float]], int]:
    found, inside = [], 0
    for cell, k in enumerate(PATCHES):
        numbers = TeacherNumbers.of_ratio(k, 4.0, TINY)
        start = random_starts(numbers, DIMENSION, starts, key=jax.random.fold_in(key, 1000 + cell))
        count = int(np.sum(fate(numbers, start, numbers.largest_step)[0] == GLOBAL))
        want, (low, high) = small_square_limit(numbers, DIMENSION), wilson(count, starts)
        found.append((count / starts, want))
        inside += low <= want <= high
    return found, inside


def _line(i: int, x: np.ndarray, values: np.ndarray) -> Line:
    return Line(f"k = {PATCHES[i]}", x, values[i])

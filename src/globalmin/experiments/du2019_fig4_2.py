"""Figure 4.2 of Du's thesis: differences and ratios of the layers' squares, from a balanced and an unbalanced start.

A ReLU network of three layers, mean squared loss. The source gives neither step size nor data nor labels: here Gaussian
inputs and the outputs of a random ReLU network. Its bounds of 0.14 and 9 on the differences contradict the final norms that it
prints beside them, so the claims here are the exact identity of the drift, and that the ratios approach 1.
"""

import itertools
import math
from pathlib import Path
from typing import Any

import numpy as np

from ..report import Line, Panel
from .claims import Claim, below, inside
from .objectives import BalancingConfig
from .run import execute

SOURCE = "Du, Hu, Lee, NeurIPS 2018; Du, thesis CMU-ML-19-102, Figure 4.2"

SIZES: dict[str, dict[str, Any]] = {
    "small": {"widths": [40, 40], "dimension": 100, "outputs": 4, "n": 100, "epochs": 2000},
    "paper": {"widths": [100, 100], "dimension": 1000, "outputs": 10, "n": 1000, "epochs": 10000},
}
STEP_SIZE = 0.5
SQUARE = 0.1
"""E‖W_h(0)‖² of every layer of the balanced start, and of the last one of the unbalanced, whose entries have all one law."""
GROWN = 0.5
"""The ratios are compared once the smallest layer has grown to this share of its end."""


def run(out: Path, scale: str, seed: int, bar) -> dict[str, Any]:
    """Both starts on the same data."""
    size = dict(SIZES[scale])
    sizes = (size["dimension"], *size["widths"], size["outputs"])
    entries = [a * b for a, b in itertools.pairwise(sizes)]
    starts = {
        "balanced": tuple(math.sqrt(SQUARE / n) for n in entries),
        "unbalanced": (math.sqrt(SQUARE / entries[-1]),) * 3,
    }
    runs, claims, panels = [], [], []
    for letters, (name, scales) in zip(("ab", "cd"), starts.items(), strict=True):
        options = {**size, "widths": tuple(size["widths"])}
        config = BalancingConfig(seed=seed, scale=scales, step_size=STEP_SIZE, looks=20, **options)
        with bar(name, config.epochs) as progress:
            runs.append(execute(config, out / name, progress=progress))
        found = runs[-1].trajectory
        at = found["step"].values
        squares = np.stack([found[f"square_w{h}"].values for h in (1, 2, 3)])
        differences = [found[f"difference_{h}"].values for h in (1, 2)]
        ratios = [found[f"ratio_{h}"].values for h in (1, 2)]
        grown = squares.min(axis=0) >= GROWN * squares[:, -1].min()
        worst = max(float(np.abs(np.log(r[grown])).max()) for r in ratios)
        begun = math.exp(max(abs(math.log(r[0])) for r in ratios))
        final = ", ".join(f"{s:.4g}" for s in squares[:, -1])
        claims += [
            below(
                f"{name}: drift against its exact identity, in units of rounding",
                float(found["identity_share"].max()),
                1.0,
            ),
            below(f"{name}: |drift| over its bound 2η(L₀ − L)", float(np.nanmax(found["drift_of_loss"].values)), 1.0),
            Claim(
                f"{name}: the differences stay nearly constant while the layers grow",
                f"they move by {max(float(np.ptp(d)) for d in differences):.3g}; ‖W_h‖² at the end {final}",
                "by at most 2% of the largest ‖W_h‖² at the end",
                bool(max(float(np.ptp(d)) for d in differences) <= 0.02 * squares[:, -1].max()),
            ),
            inside(f"{name}: ratios at the end", [float(r[-1]) for r in ratios], 0.8, 1.25),
            Claim(
                f"{name}: the ratios approach 1",
                f"within a factor of {math.exp(worst):.3g} of 1 from half of the last size on, of {begun:.3g} at the start",
                "nearer than at the start",
                math.exp(worst) < begun,
            ),
        ]
        panels += [
            Panel(
                f"({letters[0]}) {name}: differences", "‖Wₕ‖² − ‖Wₕ₊₁‖²",
                [Line(f"layers {h}, {h + 1}", at, d) for h, d in zip((1, 2), differences, strict=True)],
            ),
            Panel(
                f"({letters[1]}) {name}: ratios", "‖Wₕ‖²/‖Wₕ₊₁‖²",
                [Line(f"layers {h}, {h + 1}", at, r) for h, r in zip((1, 2), ratios, strict=True)], True,
            ),
        ]  # fmt: skip
    settings = {
        **size, "step_size": STEP_SIZE, "scales": {k: list(v) for k, v in starts.items()},
        "not given by the source": "step size, data, labels; here as listed, Gaussian inputs and a random network's outputs",
    }  # fmt: skip
    return {"claims": claims, "settings": settings, "panels": panels, "runs": runs}

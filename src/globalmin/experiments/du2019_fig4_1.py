"""Figure 4.1 of Du's thesis: factorisation without and with the balancing regulariser, and the norms of the factors.

The source gives neither sizes, rank, step size, scale of the start nor the number of iterations. Here ‖M‖_F = 1, the start
has the variance ε/(8dr) that Lemma 4.1 asks for with ε = 1/2, and η = 0.1/σ₁, constant: with the printed η_t ∝ 1/(t + 1)
nothing would be seen to converge.
"""

from pathlib import Path
from typing import Any

import numpy as np

from ..report import Line, Panel
from .claims import Claim, below, inside
from .objectives import FactorizationConfig
from .run import execute

SOURCE = "Du, Hu, Lee, NeurIPS 2018; Du, thesis CMU-ML-19-102, Figure 4.1"

SIZES: dict[str, dict[str, Any]] = {
    "small": {"rows": 60, "columns": 40, "rank": 3, "epochs": 1500},
    "paper": {"rows": 1000, "columns": 600, "rank": 10, "epochs": 4000},
}
TARGET = 1e-3
"""Relative error at which the two objectives' speeds are compared."""


def run(out: Path, scale: str, seed: int, bar) -> dict[str, Any]:
    """Both objectives from the same start on the same matrix."""
    size = SIZES[scale]
    runs, curves = [], {}
    for name, regularized in (("plain", False), ("regularised", True)):
        config = FactorizationConfig(seed=seed, regularized=regularized, looks=60, **size)
        with bar(name, config.epochs) as progress:
            runs.append(execute(config, out / name, progress=progress))
        curves[name] = runs[-1].trajectory
    plain = curves["plain"]
    error = {name: t["relative_error"].values for name, t in curves.items()}
    at = plain["epoch"].values
    reached = {name: int(at[np.argmax(e <= TARGET)]) if (e <= TARGET).any() else None for name, e in error.items()}
    grown = plain["loss_every_epoch"].values < plain["loss_every_epoch"].values[0] / 2
    ratios = plain["norm_ratio"].values[grown]
    balance = plain["balance_every_epoch"].values
    claims = [
        below("without a regulariser: the relative error at the end", float(error["plain"][-1]), 1e-8),
        Claim(
            f"at a competitive rate: the first look with a relative error of {TARGET:g}",
            f"epoch {reached['plain']} without, {reached['regularised']} with the regulariser",
            "at most 1.25 times as late",
            None not in reached.values() and (reached["plain"] or 0) <= 1.25 * (reached["regularised"] or 0),
        ),
        inside("‖U‖_F/‖V‖_F once the loss has halved, smallest and largest", [*_ends(ratios)], 0.95, 1.05),
        below("‖UᵀU − VᵀV‖ changes along the run by, over ‖M‖", float(np.ptp(balance)), 0.05),
    ]
    norms = [
        Line(f"{label}, {name}", t["step"].values, np.sqrt(t[quantity].values))
        for name, t in curves.items()
        for label, quantity in (("‖U‖", "square_u"), ("‖V‖", "square_v"))
    ]
    panels = [
        Panel("(a) relative error", "‖UVᵀ − M‖/‖M‖", [Line(name, at, e) for name, e in error.items()], True),
        Panel("(b) norms of the factors", "Frobenius norm", norms),
        Panel(
            "balance", "‖UᵀU − VᵀV‖", [Line(n, t["step"].values, t["balance_every_epoch"].values) for n, t in curves.items()],
            True,
        ),
    ]  # fmt: skip
    settings = {
        **size, "step_size": float(runs[0].certificate["step_size"]), "start": runs[0].certificate["problem"],
        "not given by the source": "sizes, rank, step size, scale of the start, iterations; here as listed",
    }  # fmt: skip
    return {"claims": claims, "settings": settings, "panels": panels, "runs": runs}


def _ends(values: np.ndarray) -> tuple[float, float]:
    return (float(values.min()), float(values.max())) if values.size else (0.0, 0.0)

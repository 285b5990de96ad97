"""Figure 2.1 of Du's thesis: training error, changed activation patterns and largest movement against epochs, by width.

n = 1000 points uniform on the unit sphere of dimension 1000, labels N(0, 1), 100 epochs of full-batch descent. The source
gives neither the widths nor the step size: the widths here are the ones whose legend fits, and η = 0.5. The η of the
theorem would be about 6e-8 and leave the loss where it is, so the source used one far above it too.
"""

from pathlib import Path
from typing import Any

import numpy as np

from ..report import Line, Panel
from .claims import decreases, slope
from .config import RunConfig
from .run import execute

SOURCE = "Du, thesis CMU-ML-19-102, Figure 2.1"

SIZES: dict[str, dict[str, Any]] = {
    "small": {"n": 200, "widths": [250, 500, 1000, 2000], "seeds": 3},
    "paper": {"n": 1000, "widths": [1000, 2000, 4000, 8000], "seeds": 1},
}
STEP_SIZE = 0.5
EPOCHS = 100
EARLY = 10  # the epoch at which the speed is compared: by the last one rounding has taken over


def run(out: Path, scale: str, seed: int, bar) -> dict[str, Any]:
    """Every width with every seed; panels of the means, claims on them."""
    size = SIZES[scale]
    widths, n = size["widths"], size["n"]
    runs, curves, epochs = [], {}, np.zeros(0, int)
    for m in widths:
        found = []
        for k in range(size["seeds"]):
            config = RunConfig(
                system="two-layer", data="sphere", n=n, dimension=n, labels="normal", width=m, epochs=EPOCHS,
                seed=seed + k, step_size=STEP_SIZE, activation="relu",
            )  # fmt: skip
            with bar(f"m = {m}, seed {seed + k}", EPOCHS) as progress:
                runs.append(execute(config, out / f"m{m}-seed{seed + k}", progress=progress))
            found.append(runs[-1].trajectory)
        curves[m] = {
            name: np.mean([t[name].values for t in found], axis=0) for name in ("loss", "pattern_change", "movement")
        }
        epochs = found[0]["epoch"].values
    early = int(np.searchsorted(epochs, EARLY))
    last = {m: {name: float(v[-1]) for name, v in c.items()} for m, c in curves.items()}
    losses = [float(curves[m]["loss"][early]) for m in widths]
    claims = [
        decreases(f"larger m converges faster: loss at epoch {epochs[early]}", widths, losses),
        decreases("larger m changes fewer activation patterns", widths, [last[m]["pattern_change"] for m in widths]),
        slope("the changed fraction falls as m^(−1/2)", widths, [last[m]["pattern_change"] for m in widths], -0.5, 0.1),
        decreases("larger m moves each neuron less", widths, [last[m]["movement"] for m in widths]),
        slope("the largest movement falls as m^(−1/2)", widths, [last[m]["movement"] for m in widths], -0.5, 0.1),
    ]  # fmt: skip

    def panel(name: str, title: str, label: str, log: bool) -> Panel:
        return Panel(title, label, [Line(f"m = {m}", epochs, curves[m][name]) for m in widths], log)

    settings = {
        "n": n, "d": n, "widths": widths, "epochs": EPOCHS, "step_size": STEP_SIZE, "seeds": size["seeds"],
        "not given by the source": "widths, step size; here as listed",
    }  # fmt: skip
    panels = [
        panel("loss", "(a) training error", "½‖u − y‖²", True),
        panel("pattern_change", "(b) activation patterns that changed", "fraction", False),
        panel("movement", "(c) largest movement of a neuron", "max ‖w_r(k) − w_r(0)‖", False),
    ]
    return {"claims": claims, "settings": settings, "panels": panels, "runs": runs}

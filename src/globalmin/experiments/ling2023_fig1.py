"""Figure 1 of Ling et al. (2023): training loss and operator norm of W against epochs, by width and data set.

1,000 points uniform on the sphere of radius √d with labels N(0, 1), and 500 images of each of classes 0 and 1 of MNIST and
CIFAR-10, all of norm √d; σ_w² = 0.08. The source gives neither the widths nor the step size. Here all widths of a data set
share one step size, 1/λ_max of the widest network's tangent kernel: the kernel grows with m, which is why wider is faster.
"""

from pathlib import Path
from typing import Any

from ..report import Line, Panel
from .claims import below, decreases, inside
from .config import RunConfig
from .run import common_step_size, execute

SOURCE = "Ling, Xie, Wang, Zhang, Lin, AISTATS 2023, Figure 1"

SIZES: dict[str, dict[str, Any]] = {
    "small": {
        "widths": [150, 300, 600, 1200],
        "epochs": 150,
        "data": {"sphere": {"n": 100, "dimension": 100, "labels": "normal"}, "digits": {"per_class": 50}},
    },
    "paper": {
        "widths": [500, 1000, 2000, 4000],
        "epochs": 500,
        "data": {
            "sphere": {"n": 1000, "dimension": 1000, "labels": "normal"},
            "mnist": {"per_class": 500},
            "cifar-10": {"per_class": 500},
        },
    },
}
SIGMA_W2 = 0.08
LOOKS = 12  # each costs two spectra of an m × m matrix, more than ten epochs do
SETTLED_WIDTH = 500  # from here on ‖W(0)‖ is within 0.01 of its limit 2√2 σ_w = 0.8


def run(out: Path, scale: str, seed: int, bar) -> dict[str, Any]:
    """Every width on every data set; claims on the losses and on the norms."""
    size = SIZES[scale]
    widths, epochs = size["widths"], size["epochs"]
    claims, panels, runs, steps = [], [], [], {}
    for name, options in size["data"].items():
        common: dict[str, Any] = {
            "system": "equilibrium",
            "data": name,
            "epochs": epochs,
            "seed": seed,
            "sigma_w2": SIGMA_W2,
        }
        common |= options
        steps[name] = common_step_size(RunConfig(width=widths[-1], **common))
        found = []
        for m in widths:
            config = RunConfig(width=m, step_size=steps[name], looks=LOOKS, **common)
            with bar(f"{name}, m = {m}", epochs) as progress:
                runs.append(execute(config, out / f"{name}-m{m}", progress=progress))
            found.append(runs[-1].trajectory)
        norms = [t["operator_norm"].values for t in found]
        claims += [
            decreases(f"{name}: larger m ends at a lower training loss", widths, [float(t["loss"][-1]) for t in found]),
            below(f"{name}: ‖W‖ stays below 1", max(float(v.max()) for v in norms), 1.0),
            inside(
                f"{name}: ‖W(0)‖ at its limit 2√2 σ_w for m ≥ {SETTLED_WIDTH}",
                [float(v[0]) for v, m in zip(norms, widths, strict=True) if m >= SETTLED_WIDTH], 0.79, 0.81,
            ),
        ]  # fmt: skip
        panels += [
            Panel(
                f"{name}: training loss", "½‖u − y‖²",
                [Line(f"m = {m}", t["epoch"].values, t["loss"].values) for m, t in zip(widths, found, strict=True)], True,
            ),
            Panel(
                f"{name}: operator norm of W", "‖W‖",
                [Line(f"m = {m}", t["epoch"].values, v) for m, t, v in zip(widths, found, norms, strict=True)], False,
            ),
        ]  # fmt: skip
    settings = {
        "widths": widths, "epochs": epochs, "sigma_w2": SIGMA_W2, "step_size": steps, "data": size["data"],
        "not given by the source": "widths, step size, number of epochs; here as listed",
    }  # fmt: skip
    return {"claims": claims, "settings": settings, "panels": panels, "runs": runs}

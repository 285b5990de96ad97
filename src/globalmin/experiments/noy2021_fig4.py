"""Figures 4 and 5 of Noy et al. (2021): step sizes, widths and depths on a regression with measured labels.

4a, b: both networks from the same C, W and B at several step sizes, here multiples of 1/λ_max of the gated network's tangent
kernel. 4c: gated networks of about the same number of weights, deeper and narrower. 5: step sizes near and beyond the stability
of the linearised descent; far beyond it (6/λ_max) the polynomial diverges, and the ReLU network does not. The source has SGEMM
(241,600 samples, width 4096, depth 10) and gives no numbers for its curves.
"""

from pathlib import Path
from typing import Any

import jax.numpy as jnp
import numpy as np

from .. import data
from ..report import Line, Panel
from .claims import Claim
from .config import RunConfig
from .dynamics import both, curves, top_eigenvalue
from .run import execute

SOURCE = "Noy, Xu, Aflalo, Zelnik-Manor, Jin, 2021, Figures 4 and 5"

SIZES: dict[str, dict[str, Any]] = {
    "small": {
        "data": "diabetes", "n": 60, "width": 200, "depth": 3, "epochs": 300, "steps": [0.2, 1.0], "high": [1.5, 2.2],
        "shapes": [[1, 283], [2, 200], [4, 141]],
    },
    "paper": {
        "data": "sgemm", "n": 1000, "width": 1000, "depth": 4, "epochs": 1000, "steps": [0.2, 1.0], "high": [1.5, 2.2],
        "shapes": [[2, 1414], [4, 1000], [8, 707]],
    },
}  # fmt: skip
LOOKS = 3


def run(out: Path, scale: str, seed: int, bar) -> dict[str, Any]:
    """All panels and claims."""
    size = SIZES[scale]
    rows = data.load(size["data"], n=size["n"], seed=seed)
    x, y = jnp.asarray(rows.x), jnp.asarray(rows.y)
    epochs, at = size["epochs"], np.arange(size["epochs"])
    networks = both(rows.d, size["width"], size["depth"], seed)
    unit = 1 / top_eigenvalue(networks["GReLU"], x)
    found = {}
    for factor in size["steps"] + size["high"]:
        with bar(f"η = {factor:g}/λ_max", epochs) as progress:
            for name, model in networks.items():
                found[name, factor] = curves(model, x, y, factor * unit, epochs, x, y)[1]["loss"]
                progress(epochs, epochs, {"loss": float(found[name, factor][-1]), "lambda_min": float("nan")})
    shapes = {}
    for depth, width in size["shapes"]:
        model = both(rows.d, width, depth, seed)["GReLU"]
        # One step size for all would be far too small for some: it scales like d/(m²L), and so do these.
        shapes[depth, width] = curves(model, x, y, 1 / top_eigenvalue(model, x), epochs, x, y)[1]["loss"]
    config = RunConfig(
        system="gated", data=size["data"], n=size["n"], width=size["width"], depth=size["depth"], epochs=epochs, seed=seed,
        step_size=unit, looks=LOOKS,
    )  # fmt: skip
    with bar("certified", epochs) as progress:
        runs = [execute(config, out / "grelu", progress=progress)]
    largest = size["steps"][-1]
    low, high = size["steps"][0], size["high"][-1]
    rises = {key: int((np.diff(curve) > 0).sum()) for key, curve in found.items()}
    peaks = {key: float(np.nanmax(np.where(np.isfinite(c), c, np.inf)) / c[0]) for key, c in found.items()}
    ends = {key: _end(curve) for key, curve in found.items()}
    deep = [_end(shapes[tuple(shape)]) for shape in size["shapes"]]
    claims = [
        Claim(
            f"4a, small step size {low:g}/λ_max: both networks fall, epoch by epoch",
            f"GReLU rises {rises['GReLU', low]} times, ReLU {rises['ReLU', low]}", "0 times",
            rises["GReLU", low] == rises["ReLU", low] == 0,
        ),
        Claim(
            f"4b, step size {largest:g}/λ_max: GReLU ends lower, and rises no more often",
            f"last losses {ends['GReLU', largest]:.3g} and {ends['ReLU', largest]:.3g}; rises {rises['GReLU', largest]} and "
            f"{rises['ReLU', largest]}", "GReLU at most ReLU, twice",
            ends["GReLU", largest] < ends["ReLU", largest] and rises["GReLU", largest] <= rises["ReLU", largest],
        ),
        Claim(
            "4c, GReLU with about as many weights, deeper and narrower: last losses",
            ", ".join(f"{v:.3g} (L = {d}, m = {m})" for v, (d, m) in zip(deep, size["shapes"], strict=True)),
            "all below a thousandth of the first loss: no order of depths is asked, the source shows one run of each",
            all(v < 1e-3 * float(c[0]) for v, c in zip(deep, shapes.values(), strict=True)),
        ),
        Claim(
            f"5, step size {high:g}/λ_max: ReLU climbs higher above its first loss than GReLU",
            f"largest loss over the first: GReLU {peaks['GReLU', high]:.3g}, ReLU {peaks['ReLU', high]:.3g}",
            "GReLU at most ReLU", peaks["GReLU", high] <= peaks["ReLU", high],
        ),
    ]  # fmt: skip

    def lines(factors):
        return [
            Line(f"{name}, {f:g}/λ_max", at, np.where(np.isfinite(found[name, f]), found[name, f], np.nan))
            for f in factors
            for name in networks
        ]

    by_shape = [Line(f"L = {d}, m = {m}", at, c) for (d, m), c in shapes.items()]
    panels = [
        Panel("4a, b: step sizes", "½‖f − y‖²", lines(size["steps"]), True),
        Panel("4c: GReLU, about as many weights", "½‖f − y‖²", by_shape, True),
        Panel("5: large step sizes", "½‖f − y‖²", lines(size["high"]), True),
    ]  # fmt: skip
    settings = {
        **{key: size[key] for key in ("data", "n", "width", "depth", "epochs", "steps", "high", "shapes")},
        "unit of step sizes": f"1/λ_max = {unit:.4g}",
        "not given by the source": "step sizes but one, batch sizes, epochs, scaling of the targets; here as listed",
    }
    return {"claims": claims, "settings": settings, "panels": panels, "runs": runs}


def _end(curve: np.ndarray) -> float:
    return float(curve[-1]) if np.isfinite(curve[-1]) else float("inf")

"""Figure 2 of Noy et al. (2021): losses by width, changes of gradients, and changes of activation patterns.

(a) Ackley-type labels on n = 100 random unit rows of R^200, "4-layer" networks: here L = 2 trained layers between C and B,
with widths n²L, its powers, and nL. Plotted is the largest loss over the seeds at n²L, the smallest at the others. The source
reports that no narrower run converges, and gives no step size; here each run has 1/λ_max of its own tangent kernel, and they
all converge: what fails is the step size, not the width (erratum E27). The printed step size of Theorem 1 has no m, and ηλ_max
grows like m² (E16).

(b), (c) Regression with measured labels (the source: SGEMM): ‖g_t − g_{t−1}‖ over all weights, and the share of ReLU patterns
on other samples that change from one epoch to the next. Both networks share C, W, B and the step size.
"""

from pathlib import Path
from typing import Any

import jax.numpy as jnp
import numpy as np

from .. import data
from ..report import Line, Panel
from .claims import Claim, below, slope
from .config import RunConfig
from .dynamics import both, curves, top_eigenvalue
from .run import execute

SOURCE = "Noy, Xu, Aflalo, Zelnik-Manor, Jin, 2021, Figure 2"

SIZES: dict[str, dict[str, Any]] = {
    "small": {
        "n": 16, "dimension": 32, "depth": 2, "powers": [1.0, 0.75, 0.5], "seeds": 2, "epochs": 400,
        "dynamics": {"data": "diabetes", "n": 60, "width": 200, "depth": 3, "epochs": 300},
    },
    "paper": {
        "n": 100, "dimension": 200, "depth": 2, "powers": [1.0, 0.75, 0.5], "seeds": 5, "epochs": 3000,
        "dynamics": {"data": "sgemm", "n": 1000, "width": 1000, "depth": 4, "epochs": 1000},
    },
}  # fmt: skip
LOOKS = 3
ZERO = 1e-6  # of the first loss


def run(out: Path, scale: str, seed: int, bar) -> dict[str, Any]:
    """Panels (a), (b) and (c), and their claims."""
    size = SIZES[scale]
    by_width, widths = _widths(size, seed, bar)
    dynamics, runs, shown = _dynamics(size["dynamics"], out, seed, bar)
    settings = {
        **{key: size[key] for key in ("n", "dimension", "depth", "powers", "seeds", "epochs", "dynamics")},
        "widths": widths, "step size": "(a) 1/λ_max of each run; (b), (c) 1/λ_max of the larger of both kernels",
        "not given by the source": "step sizes, epochs, powers of n²L, law of the inputs; here as listed",
        "unlike the source": "narrow runs converge; patterns change by a few percent, less and less; see errata E16, E27",
    }  # fmt: skip
    return {
        "claims": by_width["claims"] + dynamics,
        "settings": settings,
        "panels": by_width["panels"] + shown,
        "runs": runs,
    }


def _widths(size: dict[str, Any], seed: int, bar) -> tuple[dict[str, Any], list[int]]:
    n, d, depth, epochs = size["n"], size["dimension"], size["depth"], size["epochs"]
    full = n * n * depth
    widths = sorted({round(full**p) for p in size["powers"]} | {n * depth})
    printed = d / (n**4 * depth**3)
    losses: dict[tuple[str, int], list[np.ndarray]] = {}
    tops: dict[int, list[float]] = {m: [] for m in widths}
    with bar("losses by width", epochs) as progress:
        for m in widths:
            for k in range(seed, seed + size["seeds"]):
                rows = data.load("sphere", n=n, d=d, labels="ackley", seed=k)
                x, y = jnp.asarray(rows.x), jnp.asarray(rows.y)
                for name, model in both(d, m, depth, k).items():
                    top = top_eigenvalue(model, x)
                    _, found = curves(model, x, y, 1 / top, epochs, x, y)
                    losses.setdefault((name, m), []).append(found["loss"] / found["loss"][0])
                    if name == "GReLU":
                        tops[m].append(top)
                    progress(epochs, epochs, {"loss": float(found["loss"][-1]), "lambda_min": float("nan")})
    lines: dict[str, list[Line]] = {"GReLU": [], "ReLU": []}
    for (name, m), curves_ in sorted(losses.items()):
        worst = np.max(curves_, 0) if m == full else np.min(curves_, 0)
        shown = np.unique(np.round(np.linspace(0, epochs - 1, 100)).astype(int))
        lines[name].append(Line(f"m = {m}", shown, np.maximum(worst[shown], 1e-30)))
    products = [printed * float(np.mean(tops[m])) for m in widths]
    return {
        "claims": [
            below(
                f"every run at the width n²L = {full} reaches zero: last loss over the first",
                max(float(c[-1]) for (_, m), found in losses.items() if m == full for c in found), ZERO,
            ),
            below(
                "and so does every narrower one, at the step size 1/λ_max (the source: none does, erratum E27)",
                max(float(c[-1]) for (_, m), found in losses.items() if m < full for c in found), ZERO,
            ),
            slope(
                "the printed step size d_x/(n⁴L³d_y) times λ_max grows like m² (erratum E16)", widths, products, 2.0, 0.4
            ),
        ],
        "panels": [Panel(f"(a) {name}: loss over its first value", "½‖f − y‖²", found, True) for name, found in lines.items()],
    }, widths  # fmt: skip


def _dynamics(options: dict[str, Any], out: Path, seed: int, bar):
    rows = data.load(options["data"], n=options["n"], seed=seed)
    x, y = jnp.asarray(rows.x), jnp.asarray(rows.y)
    other = (x, y) if rows.x_test is None else (jnp.asarray(rows.x_test), jnp.asarray(rows.y_test))
    networks = both(rows.d, options["width"], options["depth"], seed)
    eta = 1 / max(top_eigenvalue(model, x) for model in networks.values())
    found = {name: curves(model, x, y, eta, options["epochs"], *other)[1] for name, model in networks.items()}
    runs = []
    for name, gates in (("GReLU", "chain"), ("ReLU", "relu")):
        config = RunConfig(
            system="gated", gates=gates, data=options["data"], n=options["n"], width=options["width"],
            depth=options["depth"], epochs=options["epochs"], seed=seed, step_size=eta, looks=LOOKS,
        )  # fmt: skip
        with bar(f"{name}, m = {config.width}", config.epochs) as progress:
            runs.append(execute(config, out / name.lower(), progress=progress))
    half = options["epochs"] // 2
    gated, relu = found["GReLU"]["gradient_change"], found["ReLU"]["gradient_change"]
    patterns = found["ReLU"]["pattern_change"]
    claims = [
        below(
            "GReLU's gradients change less than ReLU's: sum over the epochs, ratio",
            float(gated[1:].sum() / relu[1:].sum()), 1.0,
        ),
        below(
            "GReLU's changes of gradients fall: mean of the second half over that of the first",
            float(gated[half:].mean() / gated[1:half].mean()), 0.5,
        ),
        below("no pattern of the gated network changes", float(found["GReLU"]["pattern_change"].max()), 1e-12),
        Claim(
            "ReLU patterns on other samples change (the source: 20-25% per epoch, rising)",
            f"{100 * patterns[1:6].mean():.2g}% per epoch in the first five, {100 * patterns[half:].mean():.2g}% in the "
            "second half",
            "more than 0, and falling",
            bool(patterns[1:6].mean() > patterns[half:].mean() and patterns.max() > 0),
        ),
    ]  # fmt: skip
    at = np.arange(options["epochs"])
    panels = [
        Panel(
            "(b) change of the gradient", "‖g_t − g_{t−1}‖",
            [Line(name, at[1:], c["gradient_change"][1:]) for name, c in found.items()], True,
        ),
        Panel(
            "(c) change of ReLU patterns per epoch", "share of the gates",
            [Line(name, at[1:], c["pattern_change"][1:]) for name, c in found.items()], False,
        ),
    ]  # fmt: skip
    return claims, runs, panels

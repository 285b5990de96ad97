"""Figures 7.3 and 7.4 of Du's thesis: the objective against epochs, gradient descent and perturbed descent, for several L.

The panels' values of L are not legible in the source; 1, 1.5, 2 and 3 are believed to be those of the conference's version.
η = 1/(4L), t_thres = 1, g_thres = γe/100, r = e/100, τ = e, from x = (½, ..., ½). Where float64 would underflow, gradient
descent is counted in the log domain.
"""

from pathlib import Path
from typing import Any

import numpy as np

from .. import train
from ..report import Line, Panel
from ..systems.saddle import growth, hitting_times
from .claims import Claim, decreases, inside
from .objectives import SaddleConfig
from .run import execute

SAFE = 900
"""Halvings of a waiting coordinate that float64 surely holds."""


def escapes(out: Path, size: dict[str, Any], seed: int, bar) -> dict[str, Any]:
    """A run of either method for every L; perturbed descent with several seeds, of which the first is kept as a run."""
    d = size["dimension"]
    claims, panels, runs, ratios = [], [], [], {}
    for L in size["L"]:
        descent = _descent(out, d, L, seed, size["epochs"], bar)
        config = SaddleConfig(
            dimension=d, L=L, start="half", method_name="perturbed", seed=seed, epochs=200 * d, looks=10
        )
        with bar(f"perturbed, L = {L:g}", config.epochs) as progress:
            noisy = execute(config, out / f"perturbed-L{L:g}", progress=progress)
        runs += [descent, noisy]
        times = np.array([_times(config, k) for k in range(seed, seed + size["seeds"])])
        results = descent.certificate["verification"]["results"]
        escaped, median = results["epochs"], float(np.median(times[:, -1]))
        ratios[L] = escaped / median
        kappa, grown = growth(1 / (4 * L), L, 1.0), results.get("T_{k+1}/T_k", [np.nan])[-1]
        dwell = np.diff(times[:, :d], axis=1, prepend=0).mean(axis=0)
        later = dwell[2:] if d > 2 else dwell
        claims += [
            Claim(
                f"L = {L:g}: perturbed descent is faster",
                f"{escaped} epochs to a minimum, perturbed {median:g} in the median of {len(times)} "
                f"({times[:, -1].min()} to {times[:, -1].max()})",
                "fewer",
                bool(times[:, -1].max() < escaped),
            ),
            inside(f"L = {L:g}: T_d/T_(d−1) of descent over its limit κ = {kappa:.4g}", [grown / kappa], 0.97, 1.03),
            inside(
                f"L = {L:g}: perturbed descent's plateaus are equally long: mean dwell at saddles 3 to {d}, over their mean",
                [float(later.min() / later.mean()), float(later.max() / later.mean())], 0.6, 1.4,
            ),
        ]  # fmt: skip
        f = descent.trajectory
        name = "loss_every_epoch" if len(f["loss_every_epoch"]) > len(f["loss"]) else "loss"
        p = noisy.trajectory["loss_every_epoch"]
        lines = [
            Line("gradient descent", f[str(f[name].dims[0])].values + 1, f[name].values),
            Line("perturbed", p["step"].values + 1, p.values),
        ]
        panels.append(
            Panel(f"L = {L:g}, γ = 1", "f(x)", lines, log_x=True, x_label="epoch + 1", marks=False, kinds=True)
        )
    larger = [float(L) for L in size["L"]]
    if len(larger) > 1:
        values = [1 / ratios[L] for L in size["L"]]
        claims.append(decreases("the advantage grows with (L + γ)/γ: perturbed over plain epochs", larger, values, "L"))
    settings = {
        **size, "gamma": 1.0, "tau": "e", "step_size": "1/(4L)", "radius": "e/100", "threshold": "e/100", "wait": 1,
        "start": "every coordinate 1/2", "ends": "‖x − x*‖ ≤ 0.001, perturbed 0.1",
        "not given by the source": "the panels' values of L; 1, 1.5, 2, 3 here",
    }  # fmt: skip
    return {"claims": claims, "settings": settings, "panels": panels, "runs": runs}


def _times(config: SaddleConfig, seed: int) -> list[int]:
    """T_1 to T_d of a perturbed descent, and the epoch at which it is near a minimum."""
    config = config.model_copy(update={"seed": seed})
    system = config.build({})
    point = config.starting_point(system)
    eta, _ = system.default_step_size(point)
    run = train.gradient_descent(
        system.objective, point, step_size=eta, epochs=config.epochs, method=config.method(system, point)
    )
    epochs, active = np.append(run.steps["epoch"], run.epoch), np.append(run.steps["active"], config.dimension + 1)
    return [*hitting_times(epochs, active, config.dimension), run.epoch]


def _descent(out: Path, d: int, L: float, seed: int, epochs: int, bar):
    # (L + γ)/γ is below the growth of the times, and one halving of a waiting coordinate is one epoch.
    expected = 2 * L * growth(1 / (4 * L), L, 1.0) ** (d - 1)
    log = expected > SAFE * growth(1 / (4 * L), L, 1.0)
    config = SaddleConfig(
        dimension=d, L=L, start="half", arithmetic="log" if log else "float64", epochs=epochs, looks=400 if log else 20,
        seed=seed,
    )  # fmt: skip
    with bar(f"descent, L = {L:g}", epochs) as progress:
        return execute(config, out / f"descent-L{L:g}", progress=progress)

"""Figures 7.2 and 7.5 of Du's thesis: the octopus, and the paths of descent and perturbed descent in slices of it.

Left, the function of two dimensions with its path in D; then the slices (x_1, x_2), (x_2, x_3), ... of runs in five
dimensions, the second coordinate in logarithm: descent comes closer to each saddle than to the one before; perturbed descent
does not.
"""

from pathlib import Path
from typing import Any

import numpy as np

from ..objectives import Octopus
from ..report import Line, Panel
from .claims import Claim, below
from .objectives import SaddleConfig
from .run import execute

SOURCE = "Du, Jin, Lee, Jordan, Póczos, Singh, NeurIPS 2017; Du, thesis CMU-ML-19-102, Figures 7.2 and 7.5"

SIZES: dict[str, dict[str, Any]] = {
    "small": {"dimension": 5, "L": 1.0, "epochs": 2000, "grid": 121},
    "paper": {"dimension": 5, "L": 1.0, "epochs": 2000, "grid": 401},
}

UNLUCKY = 0.01
"""The probability with which perturbed descent may come closer than claimed."""


def run(out: Path, scale: str, seed: int, bar) -> dict[str, Any]:
    """A plane run, and both methods in several dimensions."""
    size = SIZES[scale]
    runs = {}
    options: dict[str, Any]
    for name, options in (
        ("plane", {"dimension": 2}),
        ("descent", {"dimension": size["dimension"]}),
        ("perturbed", {"dimension": size["dimension"], "method_name": "perturbed"}),
    ):
        config = SaddleConfig(L=size["L"], start="half", epochs=size["epochs"], seed=seed, looks=10, **options)
        with bar(name, config.epochs) as progress:
            runs[name] = execute(config, out / name, progress=progress)
    octopus = Octopus(2, L=size["L"])
    panels = [
        Panel(
            "the octopus D (outlined), d = 2", "x₂",
            [_path(runs["plane"], 1, "descent"), *_points(octopus.tau), *_outline(octopus.tau)], x_label="x₁",
            contours=_contours(octopus, size["grid"]), marks=False, kinds=True,
        )
    ]  # fmt: skip
    for k in range(1, size["dimension"]):
        lines = [_path(runs["descent"], k, "descent"), _path(runs["perturbed"], k, "perturbed")]
        title = f"slice of D, d = {size['dimension']}: x{_low(k)}, x{_low(k + 1)}"
        labels = (f"|x{_low(k + 1)}|", lines, True, f"|x{_low(k)}|")
        panels.append(Panel(title, *labels, marks=False, kinds=True))
    closest = {
        n: runs[n].certificate["verification"]["results"]["closest to each saddle"] for n in ("descent", "perturbed")
    }
    inside = [float(runs[n].trajectory["in_domain"].min()) for n in runs]
    claims = [
        Claim("every iterate of every run is in D", f"smallest in_domain {min(inside):g}", "1", min(inside) == 1),
        Claim(
            "descent comes closer to each saddle than to the one before",
            ", ".join(f"{c:.2g}" for c in closest["descent"]),
            "decreasing",
            bool(np.all(np.diff(closest["descent"]) < 0)),
        ),
        _apart(runs["perturbed"], min(closest["perturbed"]), octopus, size["dimension"]),
    ]  # fmt: skip
    settings = {**size, "step_size": 1 / (4 * size["L"]), "not given by the source": "the starts; (½, ..., ½) here"}
    return {"claims": claims, "settings": settings, "panels": panels, "runs": list(runs.values())}


def _apart(run, closest: float, octopus: Octopus, dimension: int) -> Claim:
    """How close perturbed descent can come to a saddle, in radii of its ball: derived, with probability 99%.

    In the region of a saddle x_i and the coordinates that wait or are through evolve by 1 + 2ηγ and 1 − 2ηL, so that ‖∇f‖ ≤
    2L dist and a step leaves at least q = 1 − 2ηL of the distance. While ‖∇f‖ > g the distance is above g/2L; the next
    iterate is no closer than qg/2L, and where its gradient is small it is perturbed. (Landing from a buffer, |x_i| ends at
    least 0.16τ from 4τ: a step of η = 1/4L covers at most 1.84τ of the 2τ left.) A point uniform in a ball of radius r is
    within δ' = (p/2^j)^(1/d) r of any given one with probability at most p/2^j; summed over the j = 1, 2, ... perturbations of
    a run that is p. Until the next one is due no more than wait + 1 steps are taken with a small gradient.
    """
    config, results = run.config, run.certificate["verification"]["results"]
    radius = threshold = octopus.tau / 100
    shrink, count = 0.5, sum(results["perturbations at each saddle"])
    before = shrink * threshold / (2 * octopus.L)
    after = shrink ** (config["wait"] + 1) * radius * (UNLUCKY / 2**count) ** (1 / dimension)
    bound = radius / min(before, after)
    return below(
        f"perturbed descent comes no closer: the radius e/100 over its smallest distance to a saddle, at most {bound:.3g} "
        f"with probability {1 - UNLUCKY:.0%} for {count} perturbations",
        radius / closest,
        bound,
    )


def _path(found, k: int, label: str) -> Line:
    # The function is even in every coordinate; perturbed descent may leave a saddle to either side.
    return Line(label, np.abs(found.trajectory[f"x{k}"].values), np.abs(found.trajectory[f"x{k + 1}"].values))


def _low(k: int) -> str:
    return str(k).translate(str.maketrans("0123456789", "₀₁₂₃₄₅₆₇₈₉"))


def _outline(tau: float) -> list[Line]:
    """The boundary of D in the plane of two consecutive coordinates, where both are not negative."""
    x = np.array([0, 2, 2, 6, 6]) * tau
    return [Line("_boundary of D", x, np.array([1, 1, 6, 6, 0]) * tau)]


def _points(tau: float) -> list[Line]:
    first = np.array([0, 4]) * tau
    return [Line("saddles", first, np.zeros(2)), Line("minimum", first[1:], first[1:])]


def _contours(octopus: Octopus, count: int):
    import jax
    import jax.numpy as jnp

    side = np.linspace(-0.3 * octopus.tau, 6.2 * octopus.tau, count)
    x, y = np.meshgrid(side, side)
    points = jnp.asarray(np.stack([x.ravel(), y.ravel()], axis=1))
    return x, y, np.asarray(jax.vmap(octopus.value)(points)).reshape(x.shape)

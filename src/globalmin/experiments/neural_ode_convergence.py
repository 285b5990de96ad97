"""Rates at which a residual network becomes a Neural ODE and both reach their limit kernel, Gao et al. (2025).

Proposition 2: gradients of the L-layer network tend to those of the ODE like 1/L. Lemma 2: so do tangent kernels, with
a constant that does not grow with the width. Theorem 2: K_θ of the ODE tends to K^∞ like m^{-1/2}, and the limits of
width and depth may be taken in either order. Every slope is fitted for each seed, and judged with its confidence interval.
"""

from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from .. import data, systems
from .. import kernels as limits
from ..report import Line, Panel
from .claims import Claim, below, fitted_slope
from .config import RunConfig
from .run import execute

SOURCE = "Gao, Sun, Liu, Gao, ICLR 2025, Proposition 2, Lemma 2, Theorems 2 and 3"

SIZES: dict[str, dict[str, Any]] = {
    "small": {
        "activations": ["softplus", "tanh"], "n": 6, "layers": [8, 16, 32, 64], "widths": [125, 250, 500, 1000],
        "seeds": 6, "width_seeds": 40, "epochs": 400,
    },
    "paper": {
        "activations": ["softplus", "tanh", "gelu"], "n": 20, "layers": [8, 16, 32, 64, 128],
        "widths": [250, 500, 1000, 2000, 4000], "seeds": 20, "width_seeds": 60, "epochs": 2000,
    },
}  # fmt: skip
DEPTH_SLOPE, WIDTH_SLOPE = 0.1, 0.15
UNIFORM = 1.5
"""How much the constant of Lemma 2 may grow from the narrowest to the widest network."""
ODE_STEPS = 8  # of fourth order, error 1e-6: far below any distance from the limit
LOOKS = 12


def run(out: Path, scale: str, seed: int, bar) -> dict[str, Any]:
    """Depth and width for each activation; one training run each, held against Theorem 3's rate."""
    size = SIZES[scale]
    claims, panels, runs = [], [], []
    for name in size["activations"]:
        config = RunConfig(
            system="neural-ode", activation=name, data="sphere", n=size["n"], dimension=size["n"], seed=seed,
            width=size["widths"][-1], epochs=size["epochs"], looks=LOOKS, labels="signs",
        )  # fmt: skip
        with bar(f"{name}: depth and width", size["seeds"]) as progress:
            found = _rates(config, size, progress)
        claims += _claims(name, size, found)
        panels += _panels(name, size, found)
        with bar(f"{name}: training", size["epochs"]) as progress:
            runs.append(execute(config, out / f"{name}-training", progress=progress))
        claims.append(_theorem_3(name, runs[-1]))
    settings = {
        **size,
        "horizon": 1,
        "sigma_w": 1,
        "not given by the source": "data, widths, depths, seeds; here as listed",
    }
    return {"claims": claims, "settings": settings, "panels": panels, "runs": runs}


def _rates(config: RunConfig, size: dict[str, Any], progress) -> dict[str, np.ndarray]:
    """Gaps to the ODE by depth and width, and the kernels' distance from K^∞ by width; the last axis is the seed."""
    system = config.build_system()
    assert isinstance(system, systems.NeuralODESystem)
    rows = jnp.asarray(data.load("sphere", n=size["n"], d=size["n"], seed=config.seed, normalize="unit").x)
    labels = jnp.zeros(len(rows))
    kernel = system.kernel()
    limit = np.asarray(kernel(rows)["ntk"])
    most = size["layers"][-1]
    gradients = np.zeros((len(size["widths"]), len(size["layers"]), size["seeds"]))
    # Distances scatter far more than gaps, whose networks are the same at every L.
    grams, distances = np.zeros_like(gradients), np.zeros((len(size["widths"]), size["width_seeds"]))
    for i, m in enumerate(size["widths"]):
        for s in range(size["width_seeds"]):
            model = system.init(rows.shape[1], m, key=jax.random.key(1000 * config.seed + s))
            ode = systems.ODEIterate(model.discretised("rk4", ODE_STEPS), rows, labels)
            distances[i, s] = np.linalg.norm(ode.gram - limit)
    for s in range(size["seeds"]):
        for i, m in enumerate(size["widths"]):
            model = system.init(rows.shape[1], m, key=jax.random.key(1000 * config.seed + s))
            ode = systems.ODEIterate(model.discretised("rk4", most // 2), rows, labels)
            for j, layers in enumerate(size["layers"]):
                network = systems.ODEIterate(model.discretised("euler", layers), rows, labels)
                gradients[i, j, s], grams[i, j, s] = network.sample_gaps(ode)
        progress(s + 1, size["seeds"], {"loss": float(distances[-1].mean()), "lambda_min": float(gradients[-1, -1, s])})
    deep = [
        np.abs(np.asarray(limits.NeuralODEKernel(system.activation, layers=k)(rows)["ntk"]) - limit).max()
        for k in size["layers"]
    ]
    return {"gradients": gradients, "grams": grams, "distances": distances, "limits": np.array(deep)}


def _claims(name: str, size: dict[str, Any], found: dict[str, np.ndarray]) -> list[Claim]:
    layers, widths = size["layers"], size["widths"]
    constants = (found["grams"] * np.array(layers)[:, None]).mean(axis=(1, 2))
    limit_slope = float(np.polyfit(np.log(layers), np.log(found["limits"]), 1)[0])
    return [
        fitted_slope(
            f"{name}: Proposition 2, max ‖∇f^L − ∇f‖ against L at m = {widths[-1]}",
            layers, found["gradients"][-1], -1.0, DEPTH_SLOPE,
        ),
        fitted_slope(
            f"{name}: Lemma 2, max |K^L − K| against L at m = {widths[-1]}", layers, found["grams"][-1], -1.0, DEPTH_SLOPE
        ),
        below(
            f"{name}: Lemma 2, its constant L max |K^L − K| does not grow with m: widest over narrowest",
            float(constants[-1] / constants[0]), UNIFORM,
        ),
        fitted_slope(f"{name}: Theorem 2, ‖K_θ − K^∞‖_F against m", widths, found["distances"], -0.5, WIDTH_SLOPE),
        Claim(
            f"{name}: Theorem 2, the limits exchange: max |K^L_∞ − K^∞| against L, both of infinite width",
            f"slope {limit_slope:.3f}", f"-1.0 ± {DEPTH_SLOPE}", abs(limit_slope + 1) <= DEPTH_SLOPE,
        ),
    ]  # fmt: skip


def _theorem_3(name: str, run) -> Claim:
    """Of the promises of Theorem 3 as printed, the loss at rate 1 − ηλ₀/16."""
    kept = [p for p in run.certificate["verification"]["promises"] if p["name"] == "loss at rate 1 − ηλ₀/16"]
    measured = (
        "no such promise" if not kept else f"smallest bound/loss {kept[0]['margin']:.3g} over {kept[0]['compared']}"
    )
    return Claim(
        f"{name}: Theorem 3, L_k ≤ (1 − ηλ₀/16)^k L₀ along a run at η = 1/λ_max", f"{measured} epochs",
        "≥ 1 at every epoch", bool(kept) and all(p["kept"] for p in kept),
    )  # fmt: skip


def _panels(name: str, size: dict[str, Any], found: dict[str, np.ndarray]) -> list[Panel]:
    layers, widths = np.array(size["layers"]), np.array(size["widths"])
    chosen = [(i, m) for i, m in enumerate(widths) if i in (0, len(widths) - 1)]

    def against_depth(title, label, values):
        lines = [Line(f"m = {m}", layers, values[i].mean(axis=1)) for i, m in chosen]
        lines.append(Line("1/L", layers, values[-1, 0].mean() * layers[0] / layers))
        return Panel(f"{name}: {title}", label, lines, True, "layers L", True)

    distance = found["distances"].mean(axis=1)
    return [
        against_depth("Proposition 2", "max ‖∇f^L − ∇f‖", found["gradients"]),
        against_depth("Lemma 2", "max |K^L − K|", found["grams"]),
        Panel(
            f"{name}: Theorem 2", "‖K_θ − K^∞‖_F",
            [Line("mean over seeds", widths, distance), Line("m^(−1/2)", widths, distance[0] * np.sqrt(widths[0] / widths))],
            True, "width m", True,
        ),
    ]  # fmt: skip

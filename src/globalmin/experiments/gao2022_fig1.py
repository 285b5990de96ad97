"""Figure 1 of Gao et al. (2022): training loss, test loss and (γ/√m)‖A‖ against epochs, by width and data set.

500 images of each of classes 0 and 1, grey, 28 × 28, of norm 1, for training and as many for the test. The source gives
neither γ nor the step size. The norms that it plots, 0.198 to 0.1992, say γ = 0.1, as ‖A(0)‖/√m tends to 2. All widths and
seeds of a data set share one step size here, 1/λ_max of the widest network's tangent kernel. `small` is the figure at an
eighth of its size, samples and widths alike: what width does depends on m/n.

The last panels are not in the source. They show why an argument that keeps every pre-activation away from its kink does
not apply to a trained ReLU network: gradient descent slides along kinks while the residual falls.
"""

from pathlib import Path
from typing import Any

import numpy as np

from ..report import Line, Panel, read_arrays
from .claims import Claim, below, decreases, falls, inside
from .config import RunConfig
from .run import common_step_size, execute

SOURCE = "Gao, Liu, Liu, Rajan, Gao, ICLR 2022, Figure 1"

SEEDS = 5
"""Fixed before looking: what fits into four minutes on two cores beside the compilations, at 30 s a seed."""

SIZES: dict[str, dict[str, Any]] = {
    "small": {
        "widths": [62, 125, 250, 500], "epochs": 1000, "seeds": SEEDS, "dtype": "float32",
        "data": {"digits": {"per_class": 62}}, "kinks": {"n": 40, "dimension": 10, "width": 400, "epochs": 600},
    },
    "paper": {
        "widths": [500, 1000, 2000, 4000], "epochs": 1000, "seeds": 3, "dtype": "float32",
        "data": {name: {"per_class": 500, "jitter": 1e-3} for name in ("mnist", "fashion-mnist", "cifar-10", "svhn")},
        "kinks": {"n": 40, "dimension": 10, "width": 1500, "epochs": 600},
    },
}  # fmt: skip
GAMMA = 0.1
LOOKS = 10  # each costs several spectra, more than ten epochs do
SETTLED_WIDTH = 500
SETTLED = (0.195, 0.2025)
"""2γ(1 + 0.315 m^(−2/3) s) at m = 500 with s, of the Tracy-Widom law, within three deviations of its mean."""
NEARER = 5.0  # how many times more pre-activations must be near a kink at the end


def run(out: Path, scale: str, seed: int, bar) -> dict[str, Any]:
    """Every width and seed on every data set, and one run for the kinks; claims on means over seeds."""
    size = SIZES[scale]
    widths, epochs = size["widths"], size["epochs"]
    claims, panels, runs, steps = [], [], [], {}
    for name, options in size["data"].items():
        common: dict[str, Any] = {"system": "implicit-relu", "data": name, "epochs": epochs, "gamma": GAMMA} | options
        steps[name] = common_step_size(RunConfig(width=widths[-1], seed=seed, **common))
        found: dict[int, list] = {m: [] for m in widths}
        for m in widths:
            for k in range(seed, seed + size["seeds"]):
                config = RunConfig(
                    width=m, seed=k, step_size=steps[name], looks=LOOKS, dtype=size["dtype"], **common
                )  # fmt: skip
                with bar(f"{name}, m = {m}, seed {k}", epochs) as progress:
                    runs.append(execute(config, out / f"{name}-m{m}-seed{k}", progress=progress))
                found[m].append(runs[-1].trajectory)
        at = found[widths[0]][0]["epoch"].values
        curves = {
            quantity: {m: np.array([t[quantity].values for t in found[m]]) for m in widths}
            for quantity in ("loss", "test_loss", "operator_norm")
        }
        mean = {quantity: {m: v.mean(axis=0) for m, v in by_width.items()} for quantity, by_width in curves.items()}
        norms = curves["operator_norm"]
        claims += [
            decreases(
                f"{name}: larger m ends at a lower training loss", widths, [float(mean["loss"][m][-1]) for m in widths]
            ),
            falls(
                f"{name}: larger m ends at a lower test loss",
                widths, np.array([curves["test_loss"][m][:, -1] for m in widths]),
            ),
            below(
                f"{name}: (γ/√m)‖A‖ moves by less than 2% along every run",
                max(float(np.abs(v / v[:, :1] - 1).max()) for v in norms.values()), 0.02,
            ),
            inside(
                f"{name}: (γ/√m)‖A‖ at its limit 2γ for m ≥ {SETTLED_WIDTH}, smallest and largest of a width",
                [float(end) for m, v in norms.items() if m >= SETTLED_WIDTH for end in (v.min(), v.max())], *SETTLED,
            ),
        ]  # fmt: skip
        for quantity, title, label, log in (
            ("loss", "training loss", "½‖u − y‖²", True),
            ("test_loss", "test loss", "½‖f − y‖² (as many samples)", True),
            ("operator_norm", "operator norm", "(γ/√m)‖A‖", False),
        ):
            lines = [Line(f"m = {m}", at, mean[quantity][m]) for m in widths]
            panels.append(Panel(f"{name}: {title}", label, lines, log))
    sliding = _kinks(size["kinks"], out, seed, bar)
    settings = {
        "widths": widths, "epochs": epochs, "seeds": size["seeds"], "gamma": GAMMA, "step_size": steps,
        "data": size["data"], "dtype": size["dtype"], "kinks": size["kinks"],
        "test loss": "times training samples over test samples", "curves": "means over the seeds",
        "not given by the source": "γ, step size, seeds; here as listed",
    }  # fmt: skip
    return {
        "claims": [*claims, sliding[0]], "settings": settings, "panels": panels + sliding[1], "runs": [*runs, sliding[2]]
    }  # fmt: skip


def _kinks(options: dict[str, Any], out: Path, seed: int, bar):
    """One run to a small residual on more samples than dimensions: how near its pre-activations come to their kinks."""
    config = RunConfig(
        system="implicit-relu", data="sphere", labels="signs", gamma=GAMMA, seed=seed, looks=LOOKS, **options
    )  # fmt: skip
    with bar(f"kinks, m = {config.width}", config.epochs) as progress:
        found = execute(config, out / "kinks", progress=progress)
    rows = config.load_data().x
    before, after = (_distances(found.path / "weights" / f"{when}.npz", rows) for when in ("initial", "final"))
    near = 1e-4 * float(np.median(before))
    counts = int((before < near).sum()), int((after < near).sum())
    at, distance = found.trajectory["epoch"].values, found.trajectory["kink_distance"].values
    residual = np.sqrt(2 * found.trajectory["loss"].values)
    claim = Claim(
        "pre-activations Wx gather at their kinks: how many of them are within 1e-4 of the median |Wx(0)|",
        f"{counts[0]} at the start, {counts[1]} at the end, of {before.size}, as ‖r‖ falls from {residual[0]:.3g} to "
        f"{residual[-1]:.3g}",
        f"≥ {NEARER:g} times as many",
        counts[1] >= NEARER * max(counts[0], 1),
    )
    lines = [
        Line("‖r‖", at, residual / residual[0]),
        Line("0.1% quantile of |Wx|", at, distance / distance[0]),
    ]
    return (
        claim,
        [Panel(f"sliding along kinks: n = {config.n}, m = {config.width}", "over its start", lines, True)],
        found,
    )


def _distances(path: Path, rows: np.ndarray) -> np.ndarray:
    """|w_r·x_i| of the stored weights."""
    return np.abs(rows @ read_arrays(path)["inject"].T)

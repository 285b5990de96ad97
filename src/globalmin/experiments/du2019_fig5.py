"""Figures 5.1b and 5.2 of Du's thesis: a start that succeeds and one that fails, and the two phases in four quantities.

Figure 5.2 has k = 20, p = 25 and ‖w*‖ = 1; neither figure gives the step size or a*. Here a*_j is proportional to
cos j + 0.2 in Figure 5.2, to cos j in Figure 5.1 (so that the spurious minimum attracts), of length 1, and η = 0.1.
"""

from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from ..report import Line, Panel
from .claims import Claim, below
from .objectives import ConvTeacherConfig
from .run import execute

PATCHES, DIMENSION, STEP_SIZE = 20, 25, 0.1


def _teacher(shift: float) -> tuple[float, ...]:
    a = np.cos(np.arange(1, PATCHES + 1)) + shift
    return tuple(float(x) for x in a / np.linalg.norm(a))


def _run(out: Path, bar, start: str, shift: float, epochs: int, seed: int):
    config = ConvTeacherConfig(
        dimension=DIMENSION, teacher_filter=(1.0, *([0.0] * (DIMENSION - 1))), teacher_output=_teacher(shift),
        start=start, epochs=epochs, step_size=STEP_SIZE, seed=seed,  # pyright: ignore[reportArgumentType]
    )  # fmt: skip
    with bar(start, epochs) as progress:
        return execute(config, out, progress=progress)


def _settings() -> dict[str, Any]:
    return {
        "k": PATCHES, "p": DIMENSION, "step_size": STEP_SIZE, "‖w*‖": 1, "‖a*‖": 1,
        "not given by the source": "a*, step size (and, in Figure 5.1, k and p)",
    }  # fmt: skip


class Figure1:
    """Figure 5.1b: prediction error of a start that reaches the global minimum and of one that reaches the spurious one."""

    SOURCE = "Du, thesis CMU-ML-19-102, Figure 5.1b"
    SIZES: ClassVar[dict[str, dict[str, Any]]] = {"small": {"epochs": 1000}, "paper": {"epochs": 1000}}

    @staticmethod
    def run(out: Path, scale: str, seed: int, bar) -> dict[str, Any]:
        """Both runs, their certificates, and where they end."""
        epochs = Figure1.SIZES[scale]["epochs"]
        runs = {name: _run(out / name, bar, name, 0.0, epochs, seed) for name in ("good", "bad")}
        at = runs["good"].trajectory["step"].values
        loss = {name: run.trajectory["loss_every_epoch"].values for name, run in runs.items()}
        results = {name: run.certificate["verification"]["results"] for name, run in runs.items()}
        spurious = runs["bad"].certificate["problem"]["loss at the spurious point"]
        good = results["good"]
        certain, distance = results["bad"]["certain from"], abs(loss["bad"][-1] / spurious - 1)
        kept = runs["good"].certificate["verification"]["sentence"]
        claims = [
            Claim(
                "the good start reaches the global minimum", good["ends in"], "global minimum",
                good["ends in"] == "global minimum",
            ),
            below("its error vanishes", float(loss["good"][-1]), 1e-12),
            Claim(
                "its error falls slowly, then at a fast linear rate",
                f"slopes of log ℓ {good['slope, slow'] or 0:.4f} and {good['slope, fast'] or 0:.4f}",
                "the second at least 3 times the first",
                bool((good["slope, fast"] or 0) < 3 * (good["slope, slow"] or 0) < 0),
            ),
            Claim(
                "the other start ends in the spurious minimum, proved by its trapping set",
                f"{results['bad']['ends in']}, certain from step {certain}", "spurious point, within the first 100 steps",
                results["bad"]["ends in"] == "spurious point" and certain is not None and certain <= 100,
            ),
            Claim(
                "and its error stays at that minimum's", f"ℓ({epochs})/ℓ_sp − 1 = {distance:.2e}", "≤ 0.01",
                bool(distance <= 0.01),
            ),
            Claim("every promise of Theorem 5.3 is kept", kept, "held throughout", kept == "held throughout"),
        ]  # fmt: skip
        lines = [Line("success", at, loss["good"]), Line("failure", at, loss["bad"])]
        panels = [Panel("(b) prediction error of two starts", "½E(f − y)²", lines, True, kinds=True)]
        return {"claims": claims, "settings": _settings(), "panels": panels, "runs": list(runs.values())}


class Figure2:
    """Figure 5.2: the angle, both gaps of the output weights and the error fall in stages."""

    SOURCE = "Du, thesis CMU-ML-19-102, Figure 5.2"
    SIZES: ClassVar[dict[str, dict[str, Any]]] = {"small": {"epochs": 500}, "paper": {"epochs": 500}}

    @staticmethod
    def run(out: Path, scale: str, seed: int, bar) -> dict[str, Any]:
        """One run from a good start, its four curves, and its stages as numbers."""
        epochs = Figure2.SIZES[scale]["epochs"]
        found = _run(out / "good", bar, "good", 0.2, epochs, seed)
        trajectory = found.trajectory
        at = trajectory["step"].values
        curves = {name: trajectory[name].values for name in ("angle", "output_gap", "total_gap", "loss_every_epoch")}
        loss, results = curves["loss_every_epoch"], found.certificate["verification"]["results"]
        turn = epochs - 1 if results["slow phase"] is None else results["slow phase"]
        tail = (at >= min(turn + 20, epochs - 10)) & (curves["output_gap"] > 1e-6)
        fit = np.polyfit(at[tail], np.log(curves["output_gap"][tail]), 1)
        bend = float(np.max(np.abs(np.polyval(fit, at[tail]) - np.log(curves["output_gap"][tail]))))
        drop, slow = curves["total_gap"][10] / curves["total_gap"][0], loss[turn] / loss[10]
        claims = [
            Claim("|1ᵀ(a − a*)| drops in the first 10 steps", f"to {drop:.3f} of its start", "≤ 0.25", bool(drop <= 0.25)),
            Claim(
                "the error drops in them too, and faster than in the next 10",
                f"{loss[10] / loss[0]:.3f}, then {loss[20] / loss[10]:.3f}", "the first smaller",
                bool(loss[10] / loss[0] < loss[20] / loss[10]),
            ),
            Claim(
                "then a slow stage of the order of 100 steps", f"until step {turn}; the error falls to {slow:.3f} of its value",
                "20 to 400 steps, above 0.2", bool(20 <= turn <= 400 and slow > 0.2),
            ),
            Claim(
                "then everything falls linearly",
                f"‖a − a*‖ by {-fit[0]:.4f} a step in log, off the line by {bend:.2f} at most",
                "0.034 ± 0.003, the rate η(π − 1)/2π, off by less than 1",
                bool(abs(-fit[0] - 0.0347) < 0.003 and bend < 1),
            ),
            Claim(
                "every promise of Theorem 5.3 is kept", found.certificate["verification"]["sentence"], "held throughout",
                found.certificate["verification"]["sentence"] == "held throughout",
            ),
        ]  # fmt: skip
        names = {
            "angle": "φ", "output_gap": "‖a − a*‖", "total_gap": "|1ᵀ(a − a*)|", "loss_every_epoch": "prediction error",
        }  # fmt: skip
        lines = [Line(label, at, np.where(curves[name] > 1e-16, curves[name], np.nan)) for name, label in names.items()]
        panels = [Panel("four quantities along a run", "value", lines, True, kinds=True)]
        return {"claims": claims, "settings": _settings(), "panels": panels, "runs": [found]}

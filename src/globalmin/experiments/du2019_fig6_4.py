"""Figure 6.4 of Du's thesis: true and learned filters side by side, random and Gabor, on patches of images.

Patches of images lie close to fewer dimensions than they have pixels, so that the learned filter is one of many with the same
outputs. It is compared as it acts on patches, by the cosine under their second moment, and as a vector beside that.
"""

import math
from pathlib import Path
from typing import Any

import numpy as np

from ..report import Picture, read_arrays
from . import du2019_fig6_3 as fig6_3
from .claims import Claim
from .objectives import ConvFilterConfig
from .run import execute

SOURCE = "Du, thesis CMU-ML-19-102, Figure 6.4"

SIZES: dict[str, dict[str, Any]] = {"small": {"longer": 2}, "paper": {"longer": 2}}
"""How many times as long the runs are as those of Figure 6.3: these start far away."""


def run(out: Path, scale: str, seed: int, bar) -> dict[str, Any]:
    """One run for each teacher from a random start; four pictures and how alike they are."""
    options = {**fig6_3.images(scale)}
    options["epochs"] = math.ceil(options["epochs"] * SIZES[scale]["longer"])
    side = options["patch_size"]
    runs, panels, claims = [], [], []
    for name, teacher in fig6_3.teachers(side**2, seed).items():
        config = ConvFilterConfig(**options, teacher=tuple(map(float, teacher)), seed=seed, looks=4, radius=0.3)
        with bar(name, config.epochs) as progress:
            runs.append(execute(config, out / name, progress=progress))
        folder = runs[-1].path
        patches = read_arrays(folder / "data.npz")["patches"].reshape(-1, side**2)
        first, learned = (
            next(iter(read_arrays(folder / "weights" / f"{which}.npz").values())) for which in ("initial", "final")
        )
        moment = patches.T @ patches / len(patches)
        alike, before = _cosine(learned, teacher, moment), _cosine(first, teacher, moment)
        plain = _cosine(learned, teacher, np.eye(side**2))
        error = float(runs[-1].trajectory["relative_loss"].values[-1])
        panels += [
            Picture(f"{name}: true", teacher.reshape(side, side)),
            Picture(f"{name}: learned", learned.reshape(side, side)),
        ]
        claims += [
            Claim(
                f"{name}: the learned filter acts on patches as the true one does",
                f"cosine {alike:.5f} under the patches' second moment (at the start {before:.3f})", "≥ 0.99", alike >= 0.99,
            ),
            Claim(f"{name}: their patterns are similar", f"cosine {plain:.4f} as vectors", "≥ 0.9", plain >= 0.9),
            Claim(f"{name}: their outputs agree", f"relative error {error:.2e}", "≤ 1e-3", error <= 1e-3),
        ]  # fmt: skip
    settings = {**{k: str(v) for k, v in options.items()}, "not given by the source": "sizes, strides, steps, batches"}
    return {"claims": claims, "settings": settings, "panels": panels, "runs": runs, "advice": fig6_3.advice(scale)}


def _cosine(x: np.ndarray, y: np.ndarray, moment: np.ndarray) -> float:
    return float(x @ moment @ y / math.sqrt((x @ moment @ x) * (y @ moment @ y)))

"""When a run is looked at closely, and the trajectory that the looks make up."""

import numpy as np


def schedule(epochs: int, looks: int = 40) -> np.ndarray:
    """Epochs at which the monitors are computed: 0, the last, and about `looks` in between, evenly in log(1 + epoch).

    **Raises:** `ValueError` for fewer than 1 epoch or look.
    """
    if epochs < 1 or looks < 1:
        raise ValueError(f"epochs and looks of at least 1 expected, {epochs} and {looks} came")
    grid = np.expm1(np.linspace(0.0, np.log1p(epochs), looks + 1))
    return np.unique(np.concatenate([[0], np.rint(grid), [epochs]])).astype(int)

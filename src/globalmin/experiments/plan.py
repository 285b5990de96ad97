"""Which width, which step size, how many epochs: the questions of a certificate, turned round."""

from collections.abc import Callable
from functools import cached_property
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pydantic

from .. import data, report, train
from ..systems import AbstractSystem
from ..theory import Verdict, widths_asked
from .options import DatasetOptions

STEP_SHARE = 0.5
"""Of 1/λ_max: a run's step size, at which the certificate's c stays near 3/4."""

LOOKS = 12
"""Epochs of a short run at which the certificate is evaluated."""


class PlanConfig(DatasetOptions):
    """What is planned: the widths of a system on growing samples of a data set."""

    sizes: tuple[pydantic.PositiveInt, ...] = (10, 20, 40)
    """Sample sizes n."""
    epochs: pydantic.PositiveInt = 1000
    """Length of the short runs: a width trains if it reaches the target within so many."""
    target: float = pydantic.Field(default=1e-2, gt=0, lt=1)
    """Share of the first loss to reach."""
    max_width: pydantic.PositiveInt = 4096
    """Largest width that is tried; what needs more is extrapolated, and says so."""
    delta: float = pydantic.Field(default=0.1, gt=0, lt=1)
    """Failure probability of the published theorems over the initialisation."""


def plan(
    config: PlanConfig, *, out: str | Path | None = None, progress: Callable[[str], None] | None = None
) -> dict[str, Any]:
    """For each sample size: the widths at which the certificate holds and at which training succeeds, and what to expect.

    Widths are powers of two, found by bisection, which takes for granted that a wider network is no worse. Each is tried
    with one draw of the initialisation, that of `seed`.

    **Returns:** `rows`, one per size, each with

    - `lambda_0`, of the limit kernel, and `step_size`, half of 1/λ_max of the tangent kernel at the start;
    - `certified_at_start`: width at which the Kantorovich certificate holds at the initialisation, for some step size;
    - `certified_within`: at which it holds within `epochs`, with that step size; both have `width` and `extrapolated`,
      which is true where `max_width` was not enough and h ~ m^(−1/2) was continued;
    - `trains`: the least width that brought the loss to `target` within `epochs`, `None` if none did;
    - `epochs_expected`: until the target, by the linearised network at the largest width tried; `epochs_taken` by it;
    - `published`: `theory.widths_asked` at that width.

    **Raises:** `ValueError` for bad input.
    """
    if out is not None:
        report.check_free(out)
    rows = []
    for n in config.sizes:
        asked: dict[str, Any] = {name: getattr(config, name) for name in DatasetOptions.model_fields} | {"n": n}
        dataset = DatasetOptions(**asked).load_data()
        rows.append(_row(config, config.build_system(), dataset, progress or (lambda text: None)))
    found = {"config": config.model_dump(mode="json"), "rows": rows}
    if out is not None:
        report.write_plan(found, out)
    return found


def _row(config: PlanConfig, system: AbstractSystem, dataset: data.Dataset, progress) -> dict[str, Any]:
    studies: dict[int, _Study] = {}

    def study(width: int) -> _Study:
        if width not in studies:
            progress(f"n = {dataset.n}, m = {width}")
            studies[width] = _Study(config, system, dataset, width)
        return studies[width]

    widest = study(2 ** (config.max_width.bit_length() - 1))
    at_start = _smallest(lambda width: study(width).holds_at_start, widest.width)
    within = _smallest(lambda width: study(width).certified is not None, widest.width)
    return {
        "n": dataset.n,
        "lambda_0": None if widest.prepared.limit is None else widest.prepared.limit.lambda_min.value,
        "step_size": widest.prepared.step_size,
        "certified_at_start": _or_extrapolated(at_start, widest.width, widest.h_at_start),
        "certified_within": _or_extrapolated(within, widest.width, widest.least_h),
        "trains": _smallest(lambda width: study(width).reached is not None, widest.width),
        "epochs_expected": widest.expected,
        "epochs_taken": widest.reached,
        "widest": widest.width,
        "published": widths_asked(widest.prepared.theorems),
    }


def _smallest(holds: Callable[[int], bool], widest: int) -> int | None:
    """Least power of two up to `widest` for which it holds, if it holds from some width on."""
    if not holds(widest):
        return None
    low, high = -1, widest.bit_length() - 1
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if holds(2**middle) else (middle, high)
    return 2**high


def _or_extrapolated(width: int | None, widest: int, h: float | None) -> dict[str, Any]:
    if width is not None:
        return {"width": width, "extrapolated": False}
    expected = None if h is None or not np.isfinite(h) else float(np.ceil(widest * (2 * h) ** 2))
    return {"width": expected, "extrapolated": True}


class _Study:
    """One width: the certificate at the start, and a short run; computed when asked, once."""

    def __init__(self, config: PlanConfig, system: AbstractSystem, dataset: data.Dataset, width: int):
        self.config, self.width = config, width
        x, y = jnp.asarray(dataset.x), jnp.asarray(dataset.y)
        model = system.init(dataset.d, width, key=jax.random.key(config.seed))
        step_size = STEP_SHARE / system.iterate(model, x, y).lambda_max.value
        closest = data.closest_pair(dataset.x) if dataset.n > 1 else None
        self.prepared = train.prepare(
            system,
            x,
            y,
            width=width,
            epochs=config.epochs,
            model=model,
            step_size=step_size,
            looks=LOOKS,
            delta=config.delta,
            closest=None if closest is None else (closest.angle, *closest.rows),
        )
        at_start, _ = system.kantorovich(self.prepared.start, None, width=width)
        self.holds_at_start = at_start.outcome is Verdict.HOLDS
        self.h_at_start = at_start.h

    @cached_property
    def _run(self) -> tuple[int | None, int | None, float]:
        """Epoch of the first certificate, epoch at which the target is reached, least h seen; it ends when both are known."""
        log = train.Log()
        target = self.config.target * self.prepared.start.loss
        certified, reached, least = None, None, np.inf
        for look in train.run(self.prepared, log):
            own = look.kantorovich[0]
            least = min(least, np.inf if own.h is None else own.h)
            if certified is None and own.outcome is Verdict.HOLDS:
                certified = look.epoch
            if reached is None:
                losses = train.scalars(log.records)
                below = np.flatnonzero(losses["loss"] <= target) if "loss" in losses else np.zeros(0, int)
                reached = int(losses["epoch"][below[0]]) if len(below) else None
            if certified is not None and reached is not None:
                break
        return certified, reached, least

    @property
    def certified(self) -> int | None:
        """Epoch of the first look at which the certificate holds."""
        return self._run[0]

    @property
    def reached(self) -> int | None:
        """First epoch with a loss of at most the target."""
        return self._run[1]

    @property
    def least_h(self) -> float:
        """Over the looks."""
        return self._run[2]

    @cached_property
    def expected(self) -> int | None:
        """Epochs until the target if the tangent kernel stayed as it is: ‖(I − ηH)^k r‖² ≤ target ‖r‖²."""
        start = self.prepared.start
        values, vectors = np.linalg.eigh(start.gram)
        shares = (vectors.T @ start.residual) ** 2
        factors = np.clip(1 - self.prepared.step_size * values, 0, 1) ** 2

        def reached(epochs: float) -> bool:
            return float(shares @ factors**epochs) <= self.config.target * float(shares.sum())

        high = 1
        while not reached(high):
            high *= 2
            if high > 1e12:
                return None
        low = high // 2
        while high - low > 1:
            middle = (low + high) // 2
            low, high = (low, middle) if reached(middle) else (middle, high)
        return high

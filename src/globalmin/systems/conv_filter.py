"""One convolutional filter and a distribution of patches, bound to chapter 6 of Du's thesis."""

import functools
import math
from typing import Any, ClassVar

import equinox as eqx
import jax.numpy as jnp
import numpy as np

from .._core import Estimate
from ..objectives import (
    ConvFilter,
    Easiness,
    FilterPoint,
    IsotropicPatches,
    StepTable,
    closeness_bound,
    easiness,
)
from ..theory import AbstractCertificate, du2018_filter
from .objective import AbstractObjectiveSystem, MonitorPanel, ObjectiveQuestion

NARROWEST = 1e-3
"""The step size where the theorems give none, times the largest eigenvalue of E[AAᵀ]: not used if they do."""


class ConvFilterSystem(AbstractObjectiveSystem):
    """Population or stochastic descent on a ConvFilter.

    `accuracy` ε and `delta` are those of the theorem on stochastic descent. `adaptive`: the default step size is the first of
    `step_table`, whose later ones grow as the filter comes closer.
    """

    name: ClassVar[str] = "conv-filter"
    title: ClassVar[str] = "one convolutional filter, for any distribution of the patches"
    paper: ClassVar[str] = "Du, Lee, Tian, ICLR 2018 (Du's thesis, chapter 6)"
    loss_name: ClassVar[str] = "½E(f(w, Z) − f(w*, Z))²"
    theorems_listed: ClassVar[tuple[str, ...]] = (
        "Theorem 6.1: one neuron, convergence to w*",
        "Theorem 6.2: one neuron, linear rate, printed and with its factor",
        "Theorem 6.3: many patches, linear rate, printed and corrected",
        "Theorems 6.2, 6.3 with adaptive steps",
        "Theorem 6.4: stochastic descent, printed and repaired; the linear rate of exact labels",
        "Theorem 6.5 replaced: close patches",
        "Theorem 6.6: random starts",
    )
    figures: ClassVar[tuple[str, ...]] = ("du2019-fig6.3", "du2019-fig6.4")
    panels: ClassVar[tuple[MonitorPanel, ...]] = (
        MonitorPanel("distance and angle", (("distance_ratio", "‖w − w*‖/‖w*‖"), ("angle", "angle θ to w*")), log=True),
        MonitorPanel(
            "eigenvalues of E[AAᵀ] at w", (("smallest_a", "λ_min, at least γ(θ)"), ("largest_a", "λ_max, at most L(θ)"))
        ),
        MonitorPanel(
            "gradient against the distance",
            (("inner_ratio", "⟨∇ℓ, w − w*⟩/‖w − w*‖²"), ("gradient_ratio", "‖∇ℓ‖/‖w − w*‖")),
        ),
        MonitorPanel(
            "mean square error over the squared mean output", (("relative_loss", "relative error"),), log=True
        ),
    )

    objective: ConvFilter
    accuracy: float = eqx.field(static=True, default=0.01)
    delta: float = eqx.field(static=True, default=0.1)
    adaptive: bool = eqx.field(static=True, default=False)

    @functools.cached_property
    def easiness(self) -> Easiness:
        """The constants of the patches around w*."""
        return easiness(self.objective.patches, self.objective.filter)

    @functools.cached_property
    def step_table(self) -> StepTable:
        """The adaptive steps of this distribution, for the population's gradients or for those of batches.

        **Raises:** `ValueError` for batches of unbounded patches.
        """
        return self.easiness.step_table(self.objective.patches.bound, self.objective.batch)

    def start(self, point: FilterPoint, step_size: float) -> du2018_filter.Start:
        """The numbers that the theorems ask about, with the constants up to the angle of the start."""
        found, ratio = self.easiness, self._distance(point)
        return self._start_at(math.asin(ratio) if ratio < 1 else math.pi / 2, ratio, step_size, found)

    def _start_at(self, angle: float, ratio: float, step_size: float, found: Easiness) -> du2018_filter.Start:
        return du2018_filter.Start(
            patches=self.objective.patches.patches,
            dimension=self.objective.patches.dimension,
            distance=ratio,
            gamma=found.smallest_until(angle),
            largest=found.largest_until(angle),
            boundary=found.boundary,
            cross=found.cross,
            step_size=step_size,
            complete=found.complete,
            sampled=self.objective.batch is not None,
        )

    def theorems(self, question: ObjectiveQuestion) -> tuple[AbstractCertificate, ...]:
        """Exact descent's theorems, or stochastic descent's; and what is known of the start."""
        objective, found, eta = self.objective, self.easiness, question.step_size
        ratio = self._distance(question.point)
        angle = math.asin(ratio) if ratio < 1 else math.pi / 2
        start = self.start(question.point, eta)
        random = du2018_filter.RandomStart(objective.patches.dimension, objective.start_radius, found.widest)
        norm, longest = float(jnp.linalg.norm(objective.filter)), objective.patches.bound
        if question.method == du2018_filter.ADAPTIVE:
            if objective.batch is None:
                return (du2018_filter.AdaptiveDescent(start, self.step_table.at(ratio)), random)
            return (du2018_filter.RealizableDescent(start, Estimate(longest), objective.batch), random)
        if objective.batch is not None:
            middle = max((angle + found.widest) / 2, angle) if found.widest is not None else angle
            wider = self._start_at(middle, ratio, eta, found)
            bound = longest**2 * norm * math.sin(middle)
            return (
                du2018_filter.StochasticDescent(wider, middle, norm, bound, self.accuracy, self.delta, question.epochs),
                du2018_filter.StochasticDescentPrinted(wider, self.accuracy, norm, bound),
                du2018_filter.RealizableDescent(wider, Estimate(longest), objective.batch),
                random,
            )
        gamma_at = Estimate(float(np.interp(angle, found.angles, found.gamma)))
        many = (du2018_filter.ManyPatches(start), du2018_filter.ManyPatchesPrinted(start, gamma_at), random)
        if objective.patches.patches == 1:
            zero = objective.value(FilterPoint(1e-12 * objective.filter))  # ℓ is continuous at 0, its gradient is not
            own = du2018_filter.Converges(
                1, found.smallest_until(math.pi / 2), math.pi / 2, objective.value(question.point).item(), zero.item()
            )
            one = (own, du2018_filter.OneNeuron(start), du2018_filter.OneNeuronPrinted(start))
            return (*one, *many)
        return (*many, *self._closeness(angle))

    def _closeness(self, angle: float) -> tuple[AbstractCertificate, ...]:
        patches = self.objective.patches
        z = getattr(patches, "z", None)
        if z is None or isinstance(patches, IsotropicPatches):
            return ()
        found = closeness_bound(patches, self.objective.filter, angle, z)
        longest = float(patches.bound) ** 2
        return (
            du2018_filter.Closeness(
                found["average"], longest * found["disagreement"], self.easiness.cross, patches.complete
            ),
        )

    def default_step_size(self, point: FilterPoint) -> tuple[float, str]:
        """What Theorem 6.3 allows at the start; where it allows none, half of 1/λ_max(E[AAᵀ]) at w*."""
        ratio = self._distance(point)
        if self.adaptive:
            origin = (
                "γ₁/s, which contracts fastest in expectation"
                if self.objective.batch is not None
                else ("the least (γ − 6L_cross)/(2(L + 10L_cross + 4β)²) of Theorem 6.3 up to the start's angle")
            )
            return self.step_table.at(ratio), f"{origin}; later ones by the distance"
        eta = self.easiness.step_size(math.asin(ratio)) if ratio < 1 else None
        if eta is not None and self.objective.batch is None:
            return eta, "(γ − 6L_cross)/(2(L + 10L_cross + 4β)²), the largest of Theorem 6.3"
        largest = 1 / (2 * self.easiness.at_zero[1])
        if self.objective.batch is None:
            return largest, "½ of 1/λ_max(E[AAᵀ]) at w*: the theorem allows none at this start"
        longest = self.objective.patches.bound
        careful = self.easiness.at_zero[0] / longest**4 if math.isfinite(longest) else 0.0
        if careful > NARROWEST * largest:
            return careful, "γ(0)/R⁴, at which exact labels contract fastest in expectation"
        return largest / 10, "a twentieth of 1/λ_max(E[AAᵀ]) at w*"

    def facts(self) -> dict[str, Any]:
        """The patches, and whether they are easy."""
        patches = self.objective.patches
        return {
            "patches k": patches.patches,
            "patch dimension p": patches.dimension,
            "gradients": "population" if self.objective.batch is None else f"{self.objective.batch} inputs a step",
            **self.easiness.to_dict(),
        }

    def results(self, looks: dict[str, np.ndarray], steps: dict[str, np.ndarray]) -> dict[str, Any]:
        """Whether the filter was found, when it left the ball, and the fitted rate."""
        ratio, epoch = steps.get("distance_ratio", np.zeros(0)), steps["epoch"]
        if not ratio.size:
            return {}
        reached, outside = np.flatnonzero(ratio <= self.accuracy), np.flatnonzero(ratio >= 1)
        usable = ratio > 1e-12
        rate = float(np.polyfit(epoch[usable], np.log(ratio[usable]), 1)[0]) if usable.sum() > 1 else None
        return {
            f"first within {self.accuracy:g}‖w*‖ of w*": int(epoch[reached[0]]) if reached.size else None,
            "first outside the ball of radius ‖w*‖": int(epoch[outside[0]]) if outside.size else None,
            "distance at the end, in ‖w*‖": float(ratio[-1]),
            "relative error at the end": float(steps["relative_loss"][-1]),
            "slope of log distance per step": rate,
            "largest sampled gradient": float(np.max(steps["sampled_gradient"]))
            if "sampled_gradient" in steps
            else None,
        }

    def _distance(self, point: FilterPoint) -> float:
        star = self.objective.filter
        return float(jnp.linalg.norm(point.filter - star) / jnp.linalg.norm(star))

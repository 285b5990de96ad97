"""The octopus: gradient descent takes exponential time to escape its saddles, perturbed descent polynomial time."""

import math
from typing import Any, ClassVar

import numpy as np

from ..objectives import LogOctopus, Octopus, gradient_lipschitz, hessian_lipschitz
from ..theory import AbstractCertificate, du2017
from .objective import AbstractObjectiveSystem, MonitorPanel, ObjectiveQuestion


class SaddleSystem(AbstractObjectiveSystem):
    """`Octopus`, or `LogOctopus` for exact counts beyond floating-point range."""

    name: ClassVar[str] = "saddle"
    title: ClassVar[str] = "a smooth function with 2^d − 1 saddles in a row"
    paper: ClassVar[str] = "Du, Jin, Lee, Jordan, Póczos, Singh, NeurIPS 2017; Du, thesis CMU-ML-19-102, chapter 7"
    loss_name: ClassVar[str] = "f(x)"
    theorems_listed: ClassVar[tuple[str, ...]] = (
        "Lemmas 7.2, 7.3", "Theorem 7.1", "Theorem 7.2", "Theorem 7.3", "Corollary 7.1",
    )  # fmt: skip
    figures: ClassVar[tuple[str, ...]] = ("du2019-fig7.2", "du2019-fig7.3", "du2019-fig7.4")
    panels: ClassVar[tuple[MonitorPanel, ...]] = (
        MonitorPanel("which saddle, and how far", (("active", "index i of the active coordinate"),)),
        MonitorPanel(
            "distances", (("saddle_distance", "to the saddle"), ("minimum_distance", "to the nearest minimum")), True
        ),
        MonitorPanel("log₁₀ of the smallest waiting |x_j|", (("log10_waiting", "smallest waiting |x_j|"),)),
        MonitorPanel("λ_min of the Hessian", (("curvature", "along the run"),)),
    )

    objective: Octopus | LogOctopus

    @property
    def octopus(self) -> Octopus:
        """The function."""
        return self.objective.octopus if isinstance(self.objective, LogOctopus) else self.objective

    def theorems(self, question: ObjectiveQuestion) -> tuple[AbstractCertificate, ...]:
        """Lemmas 7.2 and 7.3 corrected and printed, Theorems 7.1 to 7.3, Corollary 7.1."""
        o, eta = self.octopus, question.step_size
        x = self.objective.position(question.point) if isinstance(self.objective, LogOctopus) else question.point
        sizes = np.abs(np.asarray(x))
        start = du2017.Start(
            dimension=o.dimension,
            L=o.L,
            gamma=o.gamma,
            tau=o.tau,
            farthest=float(sizes.max()),
            nearest=float(sizes.min()),
            gradient_lipschitz=gradient_lipschitz(o.L, o.gamma),
            hessian_lipschitz=hessian_lipschitz(o.L, o.gamma, o.tau),
        )
        return (
            du2017.SlowEscape(start, eta),
            du2017.ExponentialTime(start, eta),
            du2017.AlmostSureEscape(start, eta),
            du2017.PolynomialTime(start, eta, o.accuracy),
            du2017.SlowEscapePrinted(start, eta),
        )

    def default_step_size(self, point) -> tuple[float, str]:
        """1/(4L), that of the source's experiments."""
        return 1 / (4 * self.octopus.L), "1/(4L), that of the source's experiments"

    def facts(self) -> dict[str, Any]:
        """Constants of the function."""
        o = self.octopus
        return {
            "d": o.dimension, "L": o.L, "γ": o.gamma, "τ": o.tau, "ν": o.nu,
            "ℓ on D": str(gradient_lipschitz(o.L, o.gamma)), "ρ on D": hessian_lipschitz(o.L, o.gamma, o.tau),
            "minima": 2.0**o.dimension, "value at the minima": -o.dimension * o.nu, "saddles": 2.0**o.dimension - 1,
        }  # fmt: skip

    def results(self, looks: dict[str, np.ndarray], steps: dict[str, np.ndarray]) -> dict[str, Any]:
        """T_k, steps in each buffer, dwell times and their growth against its limit κ; perturbations at each saddle."""
        o = self.octopus
        if not len(steps.get("epoch", ())):
            return {}
        eta = float(steps["step_size"][0])
        found: dict[str, Any] = {"epochs": int(looks["epoch"][-1])}
        if isinstance(self.objective, LogOctopus):
            hit = [float(looks[f"hit{k + 1}"][-1]) for k in range(o.dimension)]
            times = [int(t) for t in hit if t >= 0]
            buffered = [int(looks[f"buffered{k + 1}"][-1]) for k in range(len(times))]
        else:
            epochs = np.append(steps["epoch"], looks["epoch"][-1])
            active = np.append(steps["active"], looks["active"][-1])
            times = hitting_times(epochs, active, o.dimension)
            of_saddle = [steps["active"] == k + 1 for k in range(len(times))]
            buffered = [int((at & (steps["stage"] == 1)).sum()) for at in of_saddle]
            found["closest to each saddle"] = [
                float(np.min(steps["saddle_distance"][at], initial=math.inf)) for at in of_saddle
            ]
        found |= {"T_k, first epoch with |x_k| ≥ 2τ": times, "T_k^τ, steps in the buffer": buffered}
        found["dwell time at each saddle"] = np.diff([0, *times]).tolist()
        if "perturbed" in steps:
            at = steps["active"][steps["perturbed"] > 0]
            found["perturbations at each saddle"] = [int((at == k + 1).sum()) for k in range(o.dimension)]
            found["perturbations inside a buffer"] = int(((steps["perturbed"] > 0) & (steps["stage"] == 1)).sum())
        elif len(times) > 1:
            found["T_{k+1}/T_k"] = (np.array(times[1:]) / times[:-1]).tolist()
            waiting = np.array(times) - buffered
            found["N_{k+1}/N_k"] = (waiting[1:] / waiting[:-1]).tolist()
            found["κ, their limit"] = growth(eta, o.L, o.gamma)
            found["(L + γ)/γ, their bound"] = (o.L + o.gamma) / o.gamma
        return found


def growth(step_size: float, L: float, gamma: float) -> float:
    """κ(η) = 1 + |log(1 − 2ηL)|/log(1 + 2ηγ) ≥ (L + γ)/γ, the limit of T_{k+1}/T_k; infinite at η = 1/(2L)."""
    left = 1 - 2 * step_size * L
    return math.inf if left <= 0 else 1 + abs(math.log(left)) / math.log1p(2 * step_size * gamma)


def hitting_times(epochs: np.ndarray, active: np.ndarray, dimension: int) -> list[int]:
    """T_k, the first epoch at which k coordinates are through, as far as the run got."""
    return [int(epochs[np.argmax(active > k)]) for k in range(1, dimension + 1) if (active > k).any()]

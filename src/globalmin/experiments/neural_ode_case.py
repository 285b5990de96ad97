"""One activation in the study of Neural ODEs: its kernel, its gradients over the tolerances, its runs."""

import dataclasses
from typing import Any

import numpy as np

from .. import activations, train

USUAL = 1e-3
"""The tolerance at which the table and the advice compare gradients: a loose one, as is usual in training."""


@dataclasses.dataclass(frozen=True)
class Case:
    """What was found out about one activation."""

    name: str
    lambda_min: float | None  # of K^∞; None without a limit
    error: float
    trust: train.Trust  # errors of both gradients against the ODE's
    run: Any
    certified: Any  # the run on a few samples

    @property
    def phi(self):
        """The activation."""
        return activations.get(self.name)

    @property
    def polynomial(self) -> bool:
        """A line or z²."""
        return self.phi.polynomial_degree is not None

    @property
    def positive(self) -> bool:
        """λ_min(K^∞) > 0 beyond its error."""
        return self.lambda_min is not None and self.lambda_min > self.error

    @property
    def smooth(self) -> bool:
        """Bounded φ′, φ″ and φ‴."""
        return None not in (self.phi.lipschitz, self.phi.curvature, self.phi.third)

    @property
    def losses(self) -> np.ndarray:
        """Training loss at the looks."""
        return self.run.trajectory["loss"].values

    @property
    def certified_epochs(self) -> tuple[int | None, int | None]:
        """From which epoch on flow and descent are certified, on a few samples."""
        found = self.certified.certificate["verification"]
        return found["flow_certified_epoch"], found["certified_epoch"]

    def errors(self, method: str) -> tuple[np.ndarray, np.ndarray]:
        """Tolerances, loosest first, and the method's relative errors at the start."""
        return gradient_errors(self.trust, method)

    def error_at(self, method: str, tolerance: float = USUAL) -> float:
        """At the tried tolerance nearest to this one."""
        tolerances, errors = self.errors(method)
        return float(errors[np.argmin(np.abs(np.log(tolerances / tolerance)))])


def gradient_errors(trust: train.Trust, method: str) -> tuple[np.ndarray, np.ndarray]:
    """Tolerances, loosest first, and a method's relative errors at the start."""
    rows = [r for r in trust.rows if r["method"] == method and r["shrink"] == 1]
    rows.sort(key=lambda row: -row["tolerance"])
    return np.array([r["tolerance"] for r in rows]), np.array([r["error"] for r in rows])

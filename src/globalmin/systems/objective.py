"""A system that is an objective and not a network on data: the function bound to its theorems and to what is drawn of it."""

from abc import abstractmethod
from typing import Any, ClassVar

import equinox as eqx
import numpy as np
from jaxtyping import PyTree

from ..objectives import AbstractObjective
from ..theory import AbstractCertificate
from .base import MonitorPanel


class ObjectiveQuestion(eqx.Module):
    """What a theorem is asked about: the starting point, the steps, and how many of them."""

    point: PyTree
    step_size: float  # η, or η₀ of η_t = η₀ (t + 1)^(−exponent)
    exponent: float
    epochs: int
    method: str  # "descent", "perturbed descent", ...


class AbstractObjectiveSystem(eqx.Module):
    """An objective with its paper. Subclasses are what `globalmin objective` runs and `globalmin systems` lists."""

    name: ClassVar[str]
    title: ClassVar[str]
    paper: ClassVar[str]
    loss_name: ClassVar[str]  # the loss as a formula
    theorems_listed: ClassVar[tuple[str, ...]]
    figures: ClassVar[tuple[str, ...]] = ()
    panels: ClassVar[tuple[MonitorPanel, ...]] = ()

    objective: eqx.AbstractVar[AbstractObjective]

    @abstractmethod
    def theorems(self, question: ObjectiveQuestion) -> tuple[AbstractCertificate, ...]:
        """The published theorems about this objective, as printed and as corrected."""

    @abstractmethod
    def default_step_size(self, point: PyTree) -> tuple[float, str]:
        """The step size where none is given, and in words where it comes from."""

    def facts(self) -> dict[str, Any]:
        """Sizes and constants of the problem, for the certificate and the report. Default: none."""
        return {}

    def results(self, looks: dict[str, np.ndarray], steps: dict[str, np.ndarray]) -> dict[str, Any]:
        """What a finished run amounts to, as numbers by name. Default: none."""
        return {}

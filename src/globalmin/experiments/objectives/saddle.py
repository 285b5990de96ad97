"""A run on the octopus: gradient descent or perturbed descent, in float64 or counted in the log domain."""

import math
from typing import ClassVar, Literal

import jax
import jax.numpy as jnp
import numpy as np
import pydantic

from ... import train
from ...objectives import LogOctopus, Octopus
from ...objectives.saddle_log import check_log_step
from ...systems import SaddleSystem
from .base import AbstractObjectiveConfig


class SaddleConfig(AbstractObjectiveConfig):
    """One descent on the octopus."""

    name: ClassVar[str] = "saddle"

    dimension: pydantic.PositiveInt = 5
    """d: there are 2^d - 1 saddles, of which descent visits d in a row."""
    L: float = math.e
    """Curvature of the waiting coordinates; at least gamma."""
    gamma: float = 1.0
    """Curvature of the escaping coordinate."""
    tau: float = math.e
    """Length of the buffers; at least e."""
    method_name: Literal["descent", "perturbed"] = "descent"
    """Gradient descent, or gradient descent that is perturbed where the gradient is small."""
    arithmetic: Literal["float64", "log"] = "float64"
    """log: the same descent with exact counts where float64 underflows; not for perturbed."""
    start: Literal["uniform", "half"] = "uniform"
    """Uniform on [-1, 1]^d, or every coordinate 1/2."""
    epochs: pydantic.PositiveInt = 20_000
    """Steps at most; a run ends within `accuracy` of a minimum."""
    accuracy: float | None = None
    """Distance to a minimum at which a run ends. Default: 0.001; perturbed 0.1, as perturbations go on at a minimum."""
    radius: pydantic.PositiveFloat | None = None
    """perturbed: radius of the ball of the perturbations. Default tau / 100."""
    threshold: pydantic.PositiveFloat | None = None
    """perturbed: a gradient of this norm or less is small. Default gamma tau / 100."""
    wait: pydantic.NonNegativeInt = 1
    """perturbed: more than so many steps lie between two perturbations."""

    @pydantic.model_validator(mode="after")
    def _consistent(self) -> "SaddleConfig":
        given = [n for n in ("radius", "threshold") if getattr(self, n) is not None]
        if self.method_name == "descent" and given:
            raise ValueError(
                f"{', '.join(given)}: for perturbed descent only; add --method-name perturbed, or leave it out"
            )
        if self.method_name == "perturbed" and self.arithmetic == "log":
            raise ValueError(
                "arithmetic: float64 expected for perturbed descent, log came; perturbations keep it in range"
            )
        self.build({})
        if self.arithmetic == "log" and self.step_size is not None:
            check_log_step(self.step_size, self.L)
        return self

    def build(self, arrays: dict[str, np.ndarray]) -> SaddleSystem:
        """The octopus in either arithmetic. **Raises:** `ValueError` for constants out of the construction's range."""
        perturbed = self.method_name == "perturbed"
        accuracy = self.accuracy or (0.1 if perturbed else 1e-3)
        octopus = Octopus(self.dimension, self.L, self.gamma, self.tau, accuracy, underflow_stops=not perturbed)
        return SaddleSystem(LogOctopus(octopus) if self.arithmetic == "log" else octopus)

    def method(self, system, point) -> train.AbstractMethod:
        """Descent, or perturbed descent with a key of its own."""
        if self.method_name == "descent":
            return train.DESCENT
        key = jax.random.fold_in(jax.random.key(self.seed), 1)
        radius = self.radius or self.tau / 100
        return train.PerturbedDescent(radius, self.threshold or self.gamma * self.tau / 100, self.wait, key)

    def starting_point(self, system: SaddleSystem):
        """Every coordinate 1/2 if asked; `None` for the law's own draw."""
        if self.start == "uniform":
            return None
        x = jnp.full(self.dimension, 0.5)
        return system.objective.at(x) if isinstance(system.objective, LogOctopus) else x

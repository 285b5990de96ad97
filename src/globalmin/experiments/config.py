"""The configuration of a training run: typed, and closed to unknown keys. It is what a run folder's config.json holds."""

from typing import Literal

import pydantic

from .options import DataOptions


class RunConfig(DataOptions):
    """One training run, complete: with the data at hand, the same configuration gives the same run."""

    epochs: pydantic.PositiveInt
    """Full-batch steps; with method flow, lengths of time of one step size each."""
    step_size: pydantic.PositiveFloat | Literal["auto", "certified"] = "auto"
    """Of L = 1/2 |u - y|^2, a sum over samples. auto: 1 / lambda_max of the tangent kernel at the start. certified: the
    largest for which the Kantorovich certificate holds at the start."""
    method: Literal["descent", "flow"] = "descent"
    """Gradient descent, or gradient flow (an adaptive ODE solver)."""
    centre: bool = False
    """Train f minus the network at its initialisation, whose outputs then start at 0: the residual starts smaller."""
    looks: pydantic.PositiveInt = 40
    """How many epochs are monitored (kernel, spectrum, certificate), spread evenly in log(epoch)."""
    delta: float = pydantic.Field(default=0.1, gt=0, lt=1)
    """Failure probability of the published theorems over the initialisation."""
    dtype: Literal["float64", "float32"] = "float64"
    """Of training; kernels, Gram matrices and verdicts are always float64."""

    @pydantic.model_validator(mode="after")
    def _known(self) -> "RunConfig":
        self.build_system()
        return self

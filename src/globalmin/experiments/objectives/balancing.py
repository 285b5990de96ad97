"""A run of a homogeneous network on data, drawn or from a data set by name, with the invariants between its layers."""

import itertools
import math
from typing import ClassVar, Literal

import jax.numpy as jnp
import numpy as np
import pydantic

from ... import data as datasets
from ... import train
from ...objectives import HomogeneousNetwork
from ...systems import BalancingSystem
from .base import AbstractObjectiveConfig


class BalancingConfig(AbstractObjectiveConfig):
    """One homogeneous network."""

    name: ClassVar[str] = "balancing"

    epochs: pydantic.PositiveInt = 1000
    """Steps of descent; with flow, lengths of time of one step size each."""
    widths: tuple[pydantic.PositiveInt, ...] = (32, 32)
    """Outputs of the hidden layers from the input on: neurons, or channels where convolutional."""
    filter_width: pydantic.PositiveInt | None = None
    """Filters of this width, shared, in every hidden layer instead of full connections; the input is one channel."""
    activation: Literal["relu", "leaky", "linear"] = "relu"
    """leaky has slope 0.1."""
    scale: tuple[pydantic.PositiveFloat, ...] | None = None
    """Standard deviations of the layers' entries, one for all or one per layer. Default: 1/sqrt(fan-in)."""
    data: str | None = None
    """A data set by name or a file; its labels are the targets. Default: Gaussian samples, targets of a random network."""
    n: pydantic.PositiveInt = 100
    """Samples that are drawn, or taken."""
    dimension: pydantic.PositiveInt = 20
    """Inputs of the drawn samples."""
    outputs: pydantic.PositiveInt = 2
    """Targets of the drawn samples."""
    flow: bool = False
    """Gradient flow instead of descent: the invariants are constant up to the integrator's tolerance."""

    def arrays(self) -> dict[str, np.ndarray]:
        """x (n x d) and y (n x k)."""
        if self.data is not None:
            found = datasets.load(self.data, n=self.n, seed=self.seed, normalize="unit")
            return {"x": found.x, "y": found.y[:, None]}
        draw = np.random.default_rng(self.seed)
        x = draw.normal(size=(self.n, self.dimension)) / math.sqrt(self.dimension)
        hidden = np.maximum(x @ draw.normal(size=(self.dimension, 16)), 0)
        return {"x": x, "y": hidden @ draw.normal(size=(16, self.outputs)) / 4}

    def build(self, arrays: dict[str, np.ndarray]) -> BalancingSystem:
        """The network. **Raises:** `ValueError` for filters wider than their input, or scales that do not match the layers."""
        x, y = jnp.asarray(arrays["x"]), jnp.asarray(arrays["y"])
        if self.filter_width is None:
            sizes = (x.shape[1], *self.widths, y.shape[1])
            shapes = tuple((b, a) for a, b in itertools.pairwise(sizes))
        else:
            left = x.shape[1] - len(self.widths) * (self.filter_width - 1)
            if left < 1:
                raise ValueError(
                    f"filter_width: {len(self.widths)} filters within {x.shape[1]} inputs expected, width "
                    f"{self.filter_width} came; at most {(x.shape[1] - 1) // len(self.widths) + 1} fits"
                )
            x, channels = x[:, None], (1, *self.widths)
            pairs = itertools.pairwise(channels)
            shapes = (*((b, a, self.filter_width) for a, b in pairs), (y.shape[1], channels[-1] * left))
        scales = self.scale or tuple(1 / math.sqrt(math.prod(shape[1:])) for shape in shapes)
        scales = scales * len(shapes) if len(scales) == 1 else scales
        slope = {"relu": 0.0, "leaky": 0.1, "linear": 1.0}[self.activation]
        return BalancingSystem(HomogeneousNetwork(x, y, shapes, scales, slope, self.flow))

    def method(self, system, point) -> train.AbstractMethod:
        """Descent or flow."""
        return train.Flow() if self.flow else train.DESCENT

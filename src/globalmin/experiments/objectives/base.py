"""The configuration of an objective's run: typed, closed to unknown keys, and what its run folder's config.json holds."""

from abc import ABC, abstractmethod
from typing import Any, ClassVar

import jax
import numpy as np
import pydantic

from ... import train
from ...systems import AbstractObjectiveSystem


class AbstractObjectiveConfig(pydantic.BaseModel, ABC):
    """One run of an objective, complete. A subclass adds its options, one field each, and `build`."""

    model_config = pydantic.ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True)
    name: ClassVar[str]  # of the objective, on the command line and as `objective` in config.json

    epochs: pydantic.PositiveInt
    """Steps of descent at most."""
    seed: int = 0
    """Seed of the starting point, of the problem where it is drawn, and of the noise."""
    step_size: pydantic.PositiveFloat | None = None
    """Of the objective as it is written. Default: the system's own choice, which the report explains."""
    looks: pydantic.PositiveInt = 40
    """How many epochs are looked at closely, spread evenly in log(epoch)."""

    @abstractmethod
    def build(self, arrays: dict[str, np.ndarray]) -> AbstractObjectiveSystem:
        """The system of this configuration; `arrays` are those of `arrays()`, or of a stored run's data.npz."""

    def arrays(self) -> dict[str, np.ndarray]:
        """What the problem consists of beyond the numbers here, to be stored in the run's data.npz. Default: nothing."""
        return {}

    def method(self, system: Any, point: Any) -> train.AbstractMethod:
        """What an epoch does, in a run from `point`. Default: a gradient step, the same size throughout."""
        return train.DESCENT

    def starting_point(self, system: Any) -> Any:
        """Where to start; `None`, the default, for a draw by the objective's own law with the run's seed."""
        return None

    def prepare(self, arrays: dict[str, np.ndarray]) -> train.PreparedObjective:
        """The run before its first epoch."""
        system = self.build(arrays)
        point = self.starting_point(system)
        if point is None:
            point = system.objective.init(key=jax.random.key(self.seed))
        return train.prepare_objective(
            system,
            epochs=self.epochs,
            point=point,
            step_size=self.step_size,
            method=self.method(system, point),
            looks=self.looks,
        )

    def stored(self) -> dict[str, object]:
        """The content of config.json."""
        return {"objective": self.name, **self.model_dump(mode="json")}

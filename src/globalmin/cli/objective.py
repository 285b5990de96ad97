"""`globalmin objective NAME`: one monitored run of an objective that is not a network on data, written to a folder."""

from pathlib import Path
from typing import ClassVar

from ..experiments.objectives import AbstractObjectiveConfig, ConvFilterConfig, ConvTeacherConfig
from .base import Bar, Command, Group
from .train import tell


class ObjectiveCommand(Command):
    """What every objective's command does; a concrete one joins it with its configuration."""

    config_type: ClassVar[type[AbstractObjectiveConfig]]

    out: Path
    """The run folder; it must not exist or be empty."""
    json_output: bool = False
    """One JSON object for machines, no progress bar."""

    def run(self) -> int:
        """Train, monitor and report."""
        from ..experiments import execute
        from ..report import print_certificate

        config = self.config_type(**{name: getattr(self, name) for name in self.config_type.model_fields})
        with Bar(config.name, config.epochs, self.json_output) as bar:
            run = execute(config, self.out, progress=bar)
        return tell(run, self.json_output, print_certificate)


class ConvTeacher(ConvTeacherConfig, ObjectiveCommand):
    """Learn a two-layer convolutional network with weight normalisation from a teacher, on Gaussian patches.

    Says whether the start is bound for the global or the spurious minimum, and times both phases.

    Example: globalmin objective conv-teacher --patches 20 --dimension 25 --epochs 500 --start good --out runs/teacher
    """

    config_type: ClassVar[type[AbstractObjectiveConfig]] = ConvTeacherConfig


class ConvFilter(ConvFilterConfig, ObjectiveCommand):
    """Learn one convolutional filter, and say whether the distribution of the patches makes that easy.

    Example: globalmin objective conv-filter --data digits --patch-size 4 --epochs 2000 --out runs/filter
    """

    config_type: ClassVar[type[AbstractObjectiveConfig]] = ConvFilterConfig


OBJECTIVES: dict[str, type[Command]] = {kind.config_type.name: kind for kind in (ConvTeacher, ConvFilter)}

GROUP = Group(
    "Run an objective that is no network on data, with its theorems. "
    "Example: globalmin objective conv-teacher --epochs 500 --start good --out runs/teacher",
    OBJECTIVES,
)

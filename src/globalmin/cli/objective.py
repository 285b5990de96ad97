"""`globalmin objective NAME`: one monitored run of an objective that is not a network on data, written to a folder."""

from pathlib import Path
from typing import ClassVar

from ..experiments.objectives import (
    AbstractObjectiveConfig,
    BalancingConfig,
    ConvFilterConfig,
    ConvTeacherConfig,
    FactorizationConfig,
    SaddleConfig,
)
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


class Balancing(BalancingConfig, ObjectiveCommand):
    """Train a homogeneous network and hold the balance of its layers against what descent makes of it exactly.

    Example: globalmin objective balancing --widths 32 32 --step-size 0.02 --out runs/balancing
    Convolutional: globalmin objective balancing --widths 4 4 --filter-width 3 --activation leaky --out runs/filters
    """

    config_type: ClassVar[type[AbstractObjectiveConfig]] = BalancingConfig


class Factorization(FactorizationConfig, ObjectiveCommand):
    """Factorise a matrix by gradient descent on both factors, without a regulariser.

    Example: globalmin objective factorization --rank 3 --out runs/factorization
    Rank one: globalmin objective factorization --rank 1 --epochs 300 --out runs/rank-one
    From a file: globalmin objective factorization --rank 10 --matrix sparse.npz --out runs/sparse
    """

    config_type: ClassVar[type[AbstractObjectiveConfig]] = FactorizationConfig


class Saddle(SaddleConfig, ObjectiveCommand):
    """Descend on the function whose saddles cost gradient descent exponentially many steps.

    Example: globalmin objective saddle --dimension 5 --L 1 --start half --out runs/saddle
    Perturbed: globalmin objective saddle --dimension 10 --method-name perturbed --out runs/perturbed
    Beyond float64: globalmin objective saddle --dimension 10 --arithmetic log --epochs 100000000 --out runs/log
    """

    config_type: ClassVar[type[AbstractObjectiveConfig]] = SaddleConfig


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


OBJECTIVES: dict[str, type[Command]] = {
    kind.config_type.name: kind for kind in (Balancing, Factorization, ConvTeacher, ConvFilter, Saddle)
}

GROUP = Group(
    "Run an objective that is no network on data, with its theorems. "
    "Example: globalmin objective saddle --dimension 5 --L 1 --start half --out runs/saddle",
    OBJECTIVES,
)

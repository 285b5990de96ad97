"""`globalmin gradients`: how tightly the equilibria must be solved for a gradient that can be trusted."""

from pathlib import Path
from typing import ClassVar, Literal

import pydantic

from ..experiments.options import SystemOptions
from .base import Command, Timed, print_json


class Gradients(SystemOptions, Command):
    """Compare the implicit, the unrolled and the one-step gradient of an equilibrium network with the exact one.

    Says how tightly the inner solves must converge: at the start, and once the loss is small.

    Example: globalmin gradients equilibrium --data digits --per-class 20 --width 300
    """

    positional: ClassVar[tuple[str, ...]] = ("system",)

    system: str
    """A system with an equilibrium inside: equilibrium or implicit-relu."""
    data: str
    """A .npz with X and y, a .csv or .parquet, or a data set by name."""
    width: pydantic.PositiveInt
    """m, the number of hidden neurons."""
    out: Path | None = None
    """A new folder for gradients.json and the figure as SVG and PDF."""
    per_class: pydantic.PositiveInt | None = None
    """Samples of each class of a named data set."""
    normalize: Literal["unit", "sqrt-d", "none"] | None = None
    """Norm of the rows. Default: what the theorems assume for a named data set; a file's rows as they are."""
    seed: int = 0
    """Seed of the initialisation, and of the finite differences."""
    json_output: bool = False
    """One JSON object for machines."""

    def run(self) -> int:
        """Compare, write the figure if asked, print."""
        from ..experiments import RunConfig, gradients
        from ..report import print_gradients

        config = RunConfig(
            system=self.system,
            data=self.data,
            width=self.width,
            epochs=1,
            seed=self.seed,
            **self.system_options(),
            per_class=self.per_class,
            normalize=self.normalize,
        )
        with Timed("gradients at every tolerance", self.json_output):
            found = gradients(config, out=self.out)
        if self.json_output:
            print_json(found)
        else:
            print_gradients(found)
        return 0

"""`globalmin gradients`: how tightly the equilibria must be solved for a gradient that can be trusted."""

from pathlib import Path
from typing import ClassVar

from ..experiments.options import DataOptions
from .base import Command, Timed, print_json


class Gradients(DataOptions, Command):
    """Compare the implicit, the unrolled and the one-step gradient of an equilibrium network with the exact one.

    Says how tightly the inner solves must converge: at the start, and once the loss is small.

    Example: globalmin gradients equilibrium --data digits --per-class 20 --width 300
    """

    positional: ClassVar[tuple[str, ...]] = ("system",)

    system: str
    """A system with an equilibrium inside: equilibrium or implicit-relu."""
    out: Path | None = None
    """A new folder for gradients.json and the figure as SVG and PDF."""
    json_output: bool = False
    """One JSON object for machines."""

    def run(self) -> int:
        """Compare, write the figure if asked, print."""
        from ..experiments import RunConfig, gradients
        from ..report import print_gradients

        config = RunConfig(**self.network_options(), epochs=1)
        with Timed("gradients at every tolerance", self.json_output):
            found = gradients(config, out=self.out)
        if self.json_output:
            print_json(found)
        else:
            print_gradients(found)
        return 0

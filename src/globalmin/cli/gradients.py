"""`globalmin gradients`: how tightly equilibria or ODEs must be solved for a gradient that can be trusted."""

from pathlib import Path
from typing import ClassVar

from ..experiments.options import DataOptions
from .base import Command, Timed, print_json


class Gradients(DataOptions, Command):
    """Compare the gradients of an equilibrium network (implicit, unrolled, one-step) or a Neural ODE (discretised, adjoint
    equation) with the exact one.

    Says how tightly the inner solves must converge: at the start, and once the loss is small.

    Example: globalmin gradients equilibrium --data digits --per-class 20 --width 300
    """

    positional: ClassVar[tuple[str, ...]] = ("system",)

    system: str
    """A system with a solve inside: equilibrium, implicit-relu or neural-ode."""
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

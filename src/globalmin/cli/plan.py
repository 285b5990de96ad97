"""`globalmin plan`: which width, which step size, how many epochs."""

import sys
from pathlib import Path
from typing import ClassVar

from ..experiments.plan import PlanConfig
from .base import Command, print_json


class Plan(PlanConfig, Command):
    """For growing samples of a data set: the width at which the certificate is expected to hold, the least that trains.

    With the step size, the epochs to a target loss, and the widths that the published theorems ask for.

    Example: globalmin plan two-layer --data sphere --activation softplus --sizes 8 16 32 --out plans/sphere
    """

    positional: ClassVar[tuple[str, ...]] = ("system",)

    out: Path | None = None
    """A new folder for plan.json and the figure as SVG and PDF."""
    json_output: bool = False
    """One JSON object for machines."""

    def run(self) -> int:
        """Try widths, write the figure if asked, print."""
        from ..experiments import plan
        from ..report import print_plan

        shown = not self.json_output and sys.stderr.isatty()

        def progress(text: str) -> None:
            if shown:
                print(f"\r{text:<40}", end="", file=sys.stderr, flush=True)

        config = PlanConfig(**{name: getattr(self, name) for name in PlanConfig.model_fields})
        found = plan(config, out=self.out, progress=progress)
        if shown:
            print(f"\r{'':<40}\r", end="", file=sys.stderr)
        if self.json_output:
            print_json(found)
        else:
            print_plan(found)
        return 0

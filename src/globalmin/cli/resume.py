"""`globalmin resume`: go on with an interrupted run."""

from pathlib import Path
from typing import Annotated

import tyro

from .base import Bar, Command
from .train import tell


class Resume(Command):
    """Go on with an interrupted or killed run from its last checkpoint, to the same trajectory bit for bit.

    Example: globalmin resume runs/digits
    """

    folder: tyro.conf.Positional[Path]
    """The run folder."""
    json_output: Annotated[bool, tyro.conf.arg(name="json")] = False
    """One JSON object for machines, no progress bar."""

    def run(self) -> int:
        """Resume and report."""
        from ..experiments import resume
        from ..report import open_run

        epochs = open_run(self.folder).config.get("epochs", 1)
        with Bar(f"resuming {self.folder}", epochs, self.json_output) as bar:
            run = resume(self.folder, progress=bar)
        return tell(run, self.json_output)

"""`globalmin resume`: go on with an interrupted run."""

from pathlib import Path
from typing import ClassVar

from .base import Bar, Command
from .train import tell


class Resume(Command):
    """Go on with an interrupted or killed run from its last checkpoint, to the same trajectory bit for bit.

    Example: globalmin resume runs/digits
    """

    positional: ClassVar[tuple[str, ...]] = ("folder",)

    folder: Path
    """The run folder."""
    json_output: bool = False
    """One JSON object for machines, no progress bar."""

    def run(self) -> int:
        """Resume and report."""
        from ..experiments import resumable, resume

        epochs = resumable(self.folder).config.get("epochs", 1)
        with Bar(f"resuming {self.folder}", epochs, self.json_output) as bar:
            run = resume(self.folder, progress=bar)
        return tell(run, self.json_output)

"""`globalmin report`: draw a run's figures and page anew."""

from pathlib import Path
from typing import ClassVar

from .base import Command


class Report(Command):
    """Write figures/ and report.html of a run folder anew, also of one that was interrupted or failed.

    Example: globalmin report runs/digits
    """

    positional: ClassVar[tuple[str, ...]] = ("folder",)

    folder: Path
    """The run folder."""

    def run(self) -> int:
        """Write the page and say where it is."""
        from ..report import write_report

        print(f"report: {write_report(self.folder)}")
        return 0

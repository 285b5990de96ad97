"""`globalmin train`: one monitored run, written to a folder."""

from pathlib import Path
from typing import ClassVar

from ..experiments.config import RunConfig
from .base import Bar, Command, print_json


class Train(RunConfig, Command):
    """Train with every monitor of the theorems, and write the run: trajectory, certificates, figures, report.

    Example: globalmin train two-layer --data digits --width 1000 --epochs 500 --out runs/digits
    """

    positional: ClassVar[tuple[str, ...]] = ("system",)

    out: Path
    """The run folder; it must not exist or be empty."""
    json_output: bool = False
    """One JSON object for machines, no progress bar."""

    def run(self) -> int:
        """Train and report."""
        from ..experiments import execute
        from ..report import print_certificate

        config = RunConfig(**{name: getattr(self, name) for name in RunConfig.model_fields})
        with Bar(f"{config.system}, m = {config.width}", config.epochs, self.json_output) as bar:
            run = execute(config, self.out, progress=bar)
        return tell(run, self.json_output, print_certificate)


def tell(run, json_output: bool, print_certificate=None) -> int:
    """Print how a run ended; 1 if it stopped before its last epoch."""
    verification = run.certificate["verification"]
    if json_output:
        print_json(
            {
                "run": str(run.path),
                "status": run.status,
                "message": run.manifest["message"],
                "final_loss": float(run.trajectory["loss"][-1]),
                **verification,
            }
        )
    else:
        if print_certificate is not None:
            print_certificate(run.certificate)
        print(f"{verification['sentence']}; final loss {float(run.trajectory['loss'][-1]):.4g}")
        if run.manifest["message"]:
            print(run.manifest["message"])
        print(f"report: {run.path / 'report.html'}")
    return 0 if run.status == "finished" else 1

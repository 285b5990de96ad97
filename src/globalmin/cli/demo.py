"""`globalmin demo`: the main job in one command."""

from pathlib import Path

from .base import Bar, Command


class Demo(Command):
    """Handwritten digits 0 and 1, a two-layer network and a deep equilibrium model: certified, trained, reported.

    Example: globalmin demo --out runs/demo
    """

    out: Path | None = None
    """The folder to write. Default: runs/demo, or the next free runs/demo-2, runs/demo-3, ..."""

    def run(self) -> int:
        """Both runs with their certificates printed, and a page that links them."""
        from ..experiments import demo_configs, execute
        from ..report import print_certificate, write_index

        out = self.out or _free(Path("runs/demo"))
        runs = []
        for name, config in demo_configs().items():
            with Bar(f"{name}, m = {config.width}", config.epochs) as bar:
                runs.append(execute(config, out / name, progress=bar, on_prepared=print_certificate))
            print_certificate({"verification": runs[-1].certificate["verification"]})
        print(f"report: {write_index([run.path for run in runs], out)}")
        return 0 if all(run.status == "finished" for run in runs) else 1


def _free(wanted: Path) -> Path:
    candidates = (wanted, *(wanted.with_name(f"{wanted.name}-{k}") for k in range(2, 10_000)))
    return next(path for path in candidates if not path.exists())

"""`globalmin kernel`: infinite-width kernels of a data file."""

from pathlib import Path
from typing import Any, ClassVar, Literal

from ..experiments.options import SystemOptions
from .base import Command, Timed, print_json


class Kernel(SystemOptions, Command):
    """Write the infinite-width kernels of the rows of a file: nngp, ntk and the system's own Gram matrices, float64.

    Example: globalmin kernel two-layer --data points.npz --out K.npz --activation erf
    """

    positional: ClassVar[tuple[str, ...]] = ("system",)

    data: str
    """A .npz with X (n x d; y is not needed), a .csv or .parquet, or a data set by name."""
    out: Path
    """The .npz to write; it must not exist."""
    depth: int | None = None
    """H of dense, resnet, conv-resnet; L, the layers of gated, neural-ode. equilibrium: that of so many passes."""
    time_steps: int | None = None
    """neural-ode: steps of the limit's integration. Default 16, with extrapolation."""
    tied: bool | None = None
    """neural-ode: False for the limit with independent weights at all times. Default True."""
    weight_std: float | None = None
    """two-layer: standard deviation s of the hidden weights; pre-activations have covariance s^2 x.x' + b^2."""
    bias_std: float | None = None
    """two-layer: standard deviation b of the hidden biases."""
    normalize: Literal["unit", "sqrt-d", "none"] = "none"
    """Rows are taken as given unless this says otherwise."""
    json_output: bool = False
    """One JSON object for machines."""

    def system_options(self) -> dict[str, Any]:
        """The system's options; a depth that is not one of them is the kernel's own."""
        from ..systems import SYSTEMS

        given = super().system_options()
        if self.system in SYSTEMS and "depth" not in SYSTEMS[self.system].options:
            given.pop("depth", None)
        return given

    def run(self) -> int:
        """Compute, write, print the spectrum's lower end."""
        import jax.numpy as jnp
        import numpy as np

        from .. import data
        from .._core import linalg
        from ..report import print_spectrum

        system = self.build_system()
        extra = {name: getattr(self, name) for name in ("weight_std", "bias_std", "time_steps", "tied")}
        extra = {k: v for k, v in extra.items() if v is not None}
        unknown = [k for k in extra if k not in system.kernel_options]
        if unknown:
            raise ValueError(f"{system.name}'s kernel has no option {', '.join(unknown)}; leave it out")
        if self.out.exists():
            raise ValueError(f"{self.out}: a new file expected, one is there; choose another name")
        if not self.out.parent.is_dir():
            raise ValueError(f"{self.out.parent}: an existing folder expected; make it first")
        x, shape = data.load_inputs(self.data, normalize=self.normalize)
        system = self.with_images(shape).build_system()
        depth = None if "depth" in system.options else self.depth
        kernel = system.kernel(depth=depth, **extra)
        rows = jnp.asarray(x)
        with Timed(f"kernels of {len(x)} rows", self.json_output):
            matrices = {name: np.asarray(matrix) for name, matrix in kernel(rows).items()}
            errors = kernel.entry_error(rows)
            found = {}
            for name, matrix in matrices.items():
                values, error = linalg.eigenvalues(matrix, entry_error=errors[name])
                found[name] = {"lambda_min": values[0], "lambda_max": values[-1], "error": error}
        np.savez(self.out, **matrices)  # pyright: ignore[reportArgumentType]
        if self.json_output:
            print_json({"system": system.name, "n": len(x), "out": str(self.out), "spectra": found})
        else:
            print_spectrum(found, f"{system.name}: {len(x)} rows, written to {self.out}")
        return 0

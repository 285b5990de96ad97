"""The configuration of a training run: typed, and closed to unknown keys. It is what a run folder's config.json holds."""

from pathlib import Path
from typing import Literal

import pydantic

from .. import data as datasets
from ..data import Dataset
from .options import SystemOptions


class RunConfig(SystemOptions):
    """One training run, complete: with the data at hand, the same configuration gives the same run."""

    data: str
    """A data set by name (digits, breast-cancer, diabetes, sphere, gaussian, mnist, ...) or a .npz, .csv or .parquet file."""
    width: pydantic.PositiveInt
    """m, the number of hidden neurons."""
    epochs: pydantic.PositiveInt
    """Full-batch steps; with method flow, lengths of time of one step size each."""
    seed: int = 0
    """Seed of the initialisation (and of the choice of samples)."""
    step_size: pydantic.PositiveFloat | Literal["auto", "certified"] = "auto"
    """Of L = 1/2 |u - y|^2, a sum over samples. auto: 1 / lambda_max of the tangent kernel at the start. certified: the
    largest for which the Kantorovich certificate holds at the start."""
    method: Literal["descent", "flow"] = "descent"
    """Gradient descent, or gradient flow (an adaptive ODE solver)."""
    n: pydantic.PositiveInt | None = None
    """Training samples in all. Default: the data set's own."""
    per_class: pydantic.PositiveInt | None = None
    """Training samples of each class."""
    classes: tuple[int, ...] | None = None
    """Two classes become the labels -1 and +1. Default: classes 0 and 1."""
    normalize: Literal["unit", "sqrt-d", "none"] | None = None
    """Norm of the rows. Default: what the system's theorems assume for a named data set; a file's rows as they are."""
    dimension: pydantic.PositiveInt | None = None
    """Columns of a synthetic data set (sphere, gaussian, nearly-parallel). Default 20."""
    labels: Literal["normal", "signs", "teacher"] | None = None
    """Labels of a synthetic data set. Default: independent N(0, 1)."""
    jitter: pydantic.NonNegativeFloat = 0.0
    """Noise added where two rows are parallel, as in the papers."""
    looks: pydantic.PositiveInt = 40
    """How many epochs are monitored (kernel, spectrum, certificate), spread evenly in log(epoch)."""
    delta: float = pydantic.Field(default=0.1, gt=0, lt=1)
    """Failure probability of the published theorems over the initialisation."""
    dtype: Literal["float64", "float32"] = "float64"
    """Of training; kernels, Gram matrices and verdicts are always float64."""

    @pydantic.model_validator(mode="after")
    def _known(self) -> "RunConfig":
        self.build_system()
        return self

    def load_data(self) -> Dataset:
        """The data, preprocessed: named sets get the row norm that the system's theorems assume, files stay as they are."""
        is_file = Path(self.data).suffix in datasets.SUFFIXES
        default = "none" if is_file else self.build_system().row_norm
        return datasets.load(
            self.data,
            n=self.n,
            per_class=self.per_class,
            classes=self.classes,
            normalize=self.normalize or default,
            jitter=self.jitter,
            seed=self.seed,
            d=self.dimension,
            labels=self.labels,
        )

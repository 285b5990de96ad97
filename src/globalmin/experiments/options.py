"""What several commands ask: which system, and which network on which data. Each option is written here, once."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal, Self

import pydantic

from .. import data as datasets
from .. import systems
from ..data import Dataset


class SystemOptions(pydantic.BaseModel):
    """A system by name, with its options; one that the system does not have is an error that says what it has.

    A new option of a system is one field here: the command line, the configuration of a run and the report follow.
    """

    model_config = pydantic.ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True)

    system: str
    """The system: one of `globalmin systems`."""
    activation: str | None = None
    """By name: relu, tanh, softplus, erf, gelu, ... Default: the system's own."""
    sigma_w2: float | None = None
    """equilibrium: sigma_w^2, with W_ij ~ N(0, 2 sigma_w^2 / m). Default 0.08; the theorem needs less than 1/8."""
    gamma: float | None = None
    """implicit-relu: gamma, with (gamma / sqrt m) |A| near 2 gamma at the start. Default 0.1."""
    depth: int | None = None
    """dense, resnet, conv-resnet: H, the number of hidden layers, default 2, 3, 3. gated: L, of trained layers, default 2."""
    gates: str | None = None
    """gated: chain (the paper's), inputs (of the input alone), low-rank, or relu (the plain ReLU network). Default chain."""
    horizon: float | None = None
    """neural-ode: the time T up to which the states are integrated. Default 1; only sigma_w T matters."""
    layers: int | None = None
    """neural-ode: steps of equal length, the layers of the residual network with solver euler. Default 10."""
    sigma_u: float | None = None
    """neural-ode: sigma_u, with h_0 = (sigma_u / sqrt d) U x. Default sqrt d."""
    sigma_w: float | None = None
    """neural-ode: sigma_w, with dh/dt = (sigma_w / sqrt m) W phi(h). Default 1; take 1 / T for long horizons."""
    sigma_v: float | None = None
    """neural-ode: sigma_v, with f = (sigma_v / sqrt m) v.phi(h_T). Default 1."""
    solver: str | None = None
    """neural-ode: euler (the residual network, the only one with a certificate), heun, rk4, tsit5 or dopri5."""
    tolerance: float | None = None
    """neural-ode: relative and absolute tolerance of adaptive steps (heun, tsit5, dopri5). Default: equal steps."""
    adjoint: str | None = None
    """neural-ode: explicit (exact, equal steps), checkpoint, direct (both exact) or backsolve (the adjoint equation)."""
    c_res: float | None = None
    """resnet, conv-resnet: c_res in (0, 1), of the branch c_res / (H sqrt m). Default 0.5."""
    filter_size: int | None = None
    """conv-resnet: pixels along a side of a filter, odd. Default 3."""
    image_shape: str | None = None
    """conv-resnet: what a flat row is, as 8x8x1 (height, width, channels). Default: the data set's own, if it has one."""

    def system_options(self) -> dict[str, Any]:
        """The options that were given."""
        given = {name: getattr(self, name) for name in SystemOptions.model_fields if name != "system"}
        return {name: value for name, value in given.items() if value is not None}

    def with_images(self, shape: tuple[int, ...] | None) -> Self:
        """The same options with this shape of images, where the system asks for one and none was given."""
        kind = systems.SYSTEMS.get(self.system)
        if shape is None or self.image_shape is not None or kind is None or "image_shape" not in kind.options:
            return self
        # (h, w) of grey images has one channel.
        return self.model_copy(update={"image_shape": "x".join(str(side) for side in (*shape, 1)[:3])})

    def build_system(self) -> systems.AbstractSystem:
        """The system with its options. **Raises:** `ValueError` for an unknown name or an option that it does not have."""
        return systems.build(self.system, **self.system_options())


class DatasetOptions(SystemOptions):
    """A system and a data set, preprocessed as its theorems ask."""

    data: str
    """A data set by name (digits, breast-cancer, diabetes, sphere, gaussian, mnist, ...) or a .npz, .csv or .parquet file."""
    seed: int = 0
    """Seed of the initialisation (and of the choice of samples)."""
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
    labels: Literal["normal", "signs", "teacher", "ackley"] | None = None
    """Labels of a synthetic data set. Default: independent N(0, 1)."""
    jitter: pydantic.NonNegativeFloat = 0.0
    """Noise added where two rows are parallel, as in the papers."""

    def for_data(self, dataset: Dataset) -> Self:
        """The same options, with the shape of the data set's images where the system asks for one and none was given."""
        return self.with_images(dataset.image_shape)

    @property
    def row_norm(self) -> str:
        """What rows are normalised to: named sets as the system's theorems assume, files not at all."""
        is_file = Path(self.data).suffix in datasets.SUFFIXES
        return self.normalize or ("none" if is_file else self.build_system().row_norm)

    def load_data(self) -> Dataset:
        """The data, preprocessed (`row_norm`)."""
        return datasets.load(
            self.data,
            n=self.n,
            per_class=self.per_class,
            classes=self.classes,
            normalize=self.row_norm,
            jitter=self.jitter,
            seed=self.seed,
            d=self.dimension,
            labels=self.labels,
        )


class DataOptions(DatasetOptions):
    """One network of a system on one data set: what is judged, trained, or asked for its gradients."""

    width: pydantic.PositiveInt
    """m, the number of hidden neurons."""

    def network_options(self) -> dict[str, Any]:
        """The options of this class and of the system, for the configuration of a run."""
        return {name: getattr(self, name) for name in DataOptions.model_fields}


def foreign_options(command: type[pydantic.BaseModel], words: Sequence[str]) -> frozenset[str]:
    """Options of `command` for other systems than the one that the words name: what its help need not show."""
    kind = next((systems.SYSTEMS[word] for word in words if word in systems.SYSTEMS), None)
    if kind is None or not issubclass(command, SystemOptions):
        return frozenset()
    shared = {n for n, f in SystemOptions.model_fields.items() if command.model_fields[n].description == f.description}
    return frozenset(shared - {"system"} - set(kind.options))

"""One run of a single filter: Gaussian, spherical or planar patches, or the patches of a data set or file."""

import math
from pathlib import Path
from typing import ClassVar, Literal

import jax
import jax.numpy as jnp
import numpy as np
import pydantic

from ... import data as datasets
from ... import train
from ...objectives import (
    AbstractPatches,
    ConvFilter,
    FilterPoint,
    IsotropicPatches,
    PlanarPatches,
    SamplePatches,
    image_patches,
    row_patches,
)
from ...systems import ConvFilterSystem
from .base import AbstractObjectiveConfig

SYNTHETIC = ("gaussian", "sphere", "planar")

TEN_CLASSES = ("digits", "mnist", "fashion-mnist", "cifar10")
"""Sets whose images are taken from every class: labels play no part here."""


class ConvFilterConfig(AbstractObjectiveConfig):
    """One convolutional filter, learned from the outputs of another on any distribution of patches."""

    name: ClassVar[str] = "conv-filter"

    epochs: pydantic.PositiveInt = 2000
    """Steps of descent at most."""
    data: str = "gaussian"
    """gaussian, sphere, planar, or a data set by name (digits, mnist, ...) or file whose rows are cut into patches. A .npz may
    hold patches as they are: X of shape (inputs, patches, numbers of a patch)."""
    patches: pydantic.PositiveInt | None = None
    """k, patches of a synthetic input. Default: 1, a single neuron."""
    dimension: pydantic.PositiveInt | None = None
    """p, numbers of a patch of a synthetic input. Default: 5; planar patches have 2."""
    spread: pydantic.PositiveFloat = 1.0
    """planar: sigma, the deviation of the base angle around w* and -w*; inf for the uniform angle."""
    closeness: pydantic.NonNegativeFloat = 0.1
    """planar: sigma_2, the deviation of each patch from its base angle."""
    patch_size: pydantic.PositiveInt | None = None
    """data: side of a square patch of an image, or numbers of a patch of a row. They must tile the input. Default 4."""
    stride: pydantic.PositiveInt | None = None
    """data: distance between the patches of an image. Default: patch_size, no overlap."""
    layout: Literal["image", "row"] | None = None
    """data: rows are square images, or rows. Default: image where the number of columns is a square."""
    n: pydantic.PositiveInt | None = None
    """data: how many inputs, an equal number of each class. Default: the set's own number, at most 2000."""
    normalize: Literal["unit", "none"] | None = None
    """data: length of an input before it is cut. Default: 1 for a named set; a file's rows as they are."""
    teacher: Literal["random", "gabor", "first"] | tuple[float, ...] = "random"
    """w*: entries N(0, 1), a Gabor filter, the first axis, or the numbers themselves."""
    start: tuple[float, ...] | None = None
    """w_0. Default: drawn from a ball of radius 1/sqrt(8 pi p) times |w*| (Theorem 6.6)."""
    radius: pydantic.PositiveFloat | None = None
    """Radius of the ball of the start, in |w*|."""
    batch: pydantic.PositiveInt | None = None
    """Inputs of each stochastic step. Default: the gradient of the whole distribution."""
    steps: Literal["constant", "adaptive"] = "constant"
    """adaptive: eta_t of Theorems 6.2 and 6.3, larger the closer w is to w*; with a batch, that of the best expected rate."""
    accuracy: float = pydantic.Field(default=0.01, gt=0, lt=1)
    """epsilon of |w - w*| <= epsilon |w*|."""
    delta: float = pydantic.Field(default=0.1, gt=0, lt=1)
    """Failure probability of the theorem on stochastic descent."""

    @pydantic.model_validator(mode="after")
    def _consistent(self) -> "ConvFilterConfig":
        if self.data == "planar" and self.dimension not in (None, 2):
            raise ValueError(f"dimension: 2 expected for planar patches, {self.dimension} came")
        if self.data == "planar":
            PlanarPatches(self.patches or 1, float(self.spread), self._closeness())
        if self.data not in SYNTHETIC and (self.patches is not None or self.dimension is not None):
            raise ValueError("patches, dimension: neither expected for data; patch_size and the input decide them")
        if self.steps == "adaptive" and self.step_size is not None:
            raise ValueError(
                f"step_size: none expected with adaptive steps, which have their own, {self.step_size} came"
            )
        return self

    def arrays(self) -> dict[str, np.ndarray]:
        """The patches of a data set, w*, and w₀ where it is given."""
        found: dict[str, np.ndarray] = {}
        if self.data not in SYNTHETIC:
            found["patches"] = self._load()
        p = found["patches"].shape[2] if "patches" in found else self._dimension()
        found["teacher"] = self._teacher(p)
        if self.start is not None:
            if len(self.start) != p:
                raise ValueError(f"start: {p} numbers, as many as a patch has, expected, {len(self.start)} came")
            found["start"] = np.asarray(self.start, float)
        return found

    def build(self, arrays: dict[str, np.ndarray]) -> ConvFilterSystem:
        """The system of these patches and this filter."""
        noise = None if self.batch is None else jax.random.fold_in(jax.random.key(self.seed), 1)
        patches = self._distribution(arrays)
        start = jnp.asarray(arrays["start"]) if "start" in arrays else None
        objective = ConvFilter(patches, jnp.asarray(arrays["teacher"]), self.batch, noise, self.radius, start)
        return ConvFilterSystem(objective, self.accuracy, self.delta, self.steps == "adaptive")

    def method(self, system: ConvFilterSystem, point: FilterPoint) -> train.AbstractMethod:
        """The same step size throughout, or that of the table for each distance."""
        if self.steps == "constant":
            return train.DESCENT
        table, norm = system.step_table, float(np.linalg.norm(np.asarray(system.objective.filter)))
        first = system.default_step_size(point)[0]
        parts = (table.distances * norm, table.sizes / first, table.ratios)
        return train.DistanceSteps(FilterPoint(system.objective.filter), *(jnp.asarray(part) for part in parts))

    def _distribution(self, arrays: dict[str, np.ndarray]) -> AbstractPatches:
        if "patches" in arrays:
            return SamplePatches(jnp.asarray(arrays["patches"]))
        if self.data == "planar":
            return PlanarPatches(self.patches or 1, float(self.spread), self._closeness())
        return IsotropicPatches(self.patches or 1, self._dimension(), "sphere" if self.data == "sphere" else "gaussian")

    def _closeness(self) -> float:
        return float(self.closeness) if (self.patches or 1) > 1 else 0.0

    def _dimension(self) -> int:
        return 2 if self.data == "planar" else self.dimension or 5

    def _load(self) -> np.ndarray:
        path = Path(self.data)
        if path.suffix == ".npz":
            with np.load(path) as stored:
                if "X" in stored and stored["X"].ndim == 3:
                    z = np.asarray(stored["X"], np.float64)[: self.n or 2000]
                    return z
        classes = tuple(range(10)) if self.data in TEN_CLASSES else None
        normalize = self.normalize or ("none" if path.suffix in datasets.SUFFIXES else "unit")
        loaded = datasets.load(self.data, n=self.n, classes=classes, normalize=normalize, seed=self.seed)
        x = np.asarray(loaded.x, np.float64)[: self.n or 2000]
        size, side = self.patch_size or 4, math.isqrt(x.shape[1])
        layout = self.layout or ("image" if side * side == x.shape[1] else "row")
        if layout == "row":
            if self.stride is not None:
                raise ValueError("stride: none expected for rows, whose patches do not overlap")
            return row_patches(x, size)
        if side * side != x.shape[1]:
            raise ValueError(f"layout: square images expected, {x.shape[1]} columns came; say --layout row")
        return image_patches(x.reshape(-1, side, side), size, self.stride)

    def _teacher(self, p: int) -> np.ndarray:
        if isinstance(self.teacher, tuple):
            if len(self.teacher) != p:
                raise ValueError(f"teacher: {p} numbers, as many as a patch has, expected, {len(self.teacher)} came")
            return np.asarray(self.teacher, float)
        if self.teacher == "first" or self.data == "planar":
            return np.eye(p)[0]
        if self.teacher == "gabor":
            return gabor(p)
        return np.random.default_rng([self.seed, 2]).standard_normal(p)


def gabor(p: int) -> np.ndarray:
    """A Gabor filter of p = s² pixels: a wave at 45° under a Gaussian window, of length 1.

    **Raises:** `ValueError` if p is not a square.
    """
    side = math.isqrt(p)
    if side * side != p:
        raise ValueError(f"teacher: a Gabor filter needs a square patch, {p} numbers came; take teacher random")
    row, column = np.mgrid[:side, :side] - (side - 1) / 2
    wave = np.cos(2 * math.pi * (row + column) / (math.sqrt(2) * 0.75 * side) + math.pi / 4)
    filter = wave * np.exp(-(row**2 + column**2) / (2 * (0.4 * side) ** 2))
    return (filter / np.linalg.norm(filter)).ravel()

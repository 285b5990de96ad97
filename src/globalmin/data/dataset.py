"""What every loader returns: rows, labels, and where they come from."""

import dataclasses
import functools
import hashlib
from collections.abc import Mapping
from typing import Any

import numpy as np
from jaxtyping import Float64

from .._core import numerics


@dataclasses.dataclass(frozen=True)
class Dataset:
    """Inputs as rows, one label each, and the record of how they were made.

    The arrays are NumPy's, float64 whatever JAX is set to, C-ordered and read-only, so that `sha256` stays true.

    **Fields:**

    - `x`: one sample per row; an image is its pixels row by row, channels last.
    - `y`: labels; −1 and +1 for two classes.
    - `name`: the data set or the file.
    - `source`: where the rows come from (kind, and identifiers such as an OpenML id or a file's sha256).
    - `classes`: what each label stands for, `{"-1": "0", "1": "1"}`; empty where labels are measured numbers.
    - `steps`: what was done to the rows, in order; each a mapping with `step` and its settings.
    - `x_test`, `y_test`: held-out samples that went through the same steps; both or neither.
    - `image_shape`: (h, w) or (h, w, c) where rows are images.

    **Raises:** `ValueError` for empty or misshapen arrays, and for NaN or infinite entries, whose rows are named.
    """

    x: Float64[np.ndarray, "n d"]
    y: Float64[np.ndarray, " n"]
    name: str
    source: Mapping[str, Any]
    classes: Mapping[str, str] = dataclasses.field(default_factory=dict)
    steps: tuple[Mapping[str, Any], ...] = ()
    x_test: Float64[np.ndarray, "n_test d"] | None = None
    y_test: Float64[np.ndarray, " n_test"] | None = None
    image_shape: tuple[int, ...] | None = None

    def __post_init__(self):
        if (self.x_test is None) != (self.y_test is None):
            raise ValueError(f"{self.name}: x_test and y_test expected together, one came; give both or neither")
        for inputs, labels in (("x", "y"), ("x_test", "y_test")):
            if getattr(self, inputs) is not None:
                x = checked_rows(f"{self.name}: {inputs}", getattr(self, inputs))
                y = checked_labels(f"{self.name}: {labels}", getattr(self, labels), len(x))
                # Frozen: the only way to store the read-only copies is past the dataclass's own guard.
                object.__setattr__(self, inputs, _read_only(x))
                object.__setattr__(self, labels, _read_only(y))
        if self.x_test is not None and self.x_test.shape[1] != self.x.shape[1]:
            raise ValueError(
                f"{self.name}: test rows of the training rows' {self.x.shape[1]} columns expected, "
                f"{self.x_test.shape[1]} came"
            )
        if self.image_shape is not None and int(np.prod(self.image_shape)) != self.x.shape[1]:
            raise ValueError(f"{self.name}: images {self.image_shape} expected, rows of {self.x.shape[1]} entries came")

    @property
    def n(self) -> int:
        """Number of training samples."""
        return len(self.x)

    @property
    def d(self) -> int:
        """Dimension of the inputs."""
        return self.x.shape[1]

    @functools.cached_property
    def sha256(self) -> dict[str, str]:
        """`sha256` of each array (shape and little-endian float64 values): equal exactly when the data are equal."""
        arrays = {"x": self.x, "y": self.y, "x_test": self.x_test, "y_test": self.y_test}
        return {name: fingerprint(a) for name, a in arrays.items() if a is not None}

    def then(self, step: Mapping[str, Any], **changes: Any) -> "Dataset":
        """A copy with `changes` made to the fields, and `step` added to the record."""
        return dataclasses.replace(self, steps=(*self.steps, step), **changes)

    def to_dict(self) -> dict[str, Any]:
        """The provenance as JSON-able values, without the arrays."""
        return {
            "name": self.name,
            "n": self.n,
            "d": self.d,
            "n_test": 0 if self.x_test is None else len(self.x_test),
            "image_shape": None if self.image_shape is None else list(self.image_shape),
            "source": dict(self.source),
            "classes": dict(self.classes),
            "steps": [dict(s) for s in self.steps],
            "sha256": dict(self.sha256),
        }


def fingerprint(array: np.ndarray) -> str:
    """`sha256` of an array's shape and values, the same on every machine (−0 and 0 count as one number)."""
    # + 0.0 turns -0.0 into 0.0: equal arrays must not differ in their print.
    values = np.ascontiguousarray(array, dtype="<f8") + 0.0
    digest = hashlib.sha256(repr(values.shape).encode())
    digest.update(values.tobytes())
    return digest.hexdigest()


def stream(seed: int, purpose: str) -> np.random.Generator:
    """Random numbers for one purpose; two purposes with the same seed are independent.

    Without the purpose, labels drawn with the seed of the inputs would repeat the inputs' own random numbers.
    """
    numerics.check_count("seed", seed, least=0)
    return np.random.default_rng([seed, *purpose.encode()])


def checked_rows(name: str, x: Any) -> Float64[np.ndarray, "n d"]:
    """`x` as a finite float64 matrix with at least one row and one column, or `ValueError`; bad rows are named."""
    x = as_float64(name, x)
    if x.ndim != 2 or 0 in x.shape:
        raise ValueError(f"{name}: a matrix with one sample per row expected, an array of shape {x.shape} came")
    bad = np.flatnonzero(~np.isfinite(x).all(axis=1))
    if bad.size:
        raise ValueError(
            f"{name}: finite numbers expected, NaN or infinity came in rows {numerics.name_rows(bad)}; drop them"
        )
    return x


def checked_labels(name: str, y: Any, n: int) -> Float64[np.ndarray, " n"]:
    """`y` as a finite float64 vector of length `n`, or `ValueError`; an n × 1 matrix is taken as a vector."""
    y = as_float64(name, y)
    if y.shape == (n, 1):
        y = y[:, 0]
    if y.shape != (n,):
        raise ValueError(f"{name}: one label per sample expected, shape ({n},); shape {y.shape} came")
    bad = np.flatnonzero(~np.isfinite(y))
    if bad.size:
        raise ValueError(
            f"{name}: finite labels expected, NaN or infinity came at rows {numerics.name_rows(bad)}; drop these rows"
        )
    return y


def normalized(x: Float64[np.ndarray, "n d"], norm: float, name: str = "x") -> Float64[np.ndarray, "n d"]:
    """Rows scaled to a Euclidean norm, to 2 eps or so; rows of 1e-300 and of 1e300 as well as any.

    **Raises:** `ValueError` for rows without a direction (NaN, infinite or all zeros), which are named.
    """
    bad = np.flatnonzero(~np.isfinite(x).all(axis=1))
    if bad.size:
        raise ValueError(f"{name}: finite numbers expected, NaN or infinity came in rows {numerics.name_rows(bad)}")
    largest = np.max(np.abs(x), axis=1, keepdims=True)
    zero = np.flatnonzero(largest[:, 0] == 0)
    if zero.size:
        raise ValueError(
            f"{name}: every row must have a direction, zero rows came: {numerics.name_rows(zero)}; drop them"
        )
    # A power of two changes no digit, and keeps the squares away from overflow and underflow.
    x = np.ldexp(x, -np.frexp(largest)[1])
    return x * (norm / np.linalg.norm(x, axis=1, keepdims=True))


def as_float64(name: str, values: Any) -> Float64[np.ndarray, "..."]:
    """Real numbers of any dtype as float64 (exact for all but integers above 2^53), or `ValueError`."""
    array = np.asarray(values)
    if array.dtype.kind not in "fiub":
        raise ValueError(f"{name}: real numbers expected, dtype {array.dtype} came; convert it to numbers first")
    return array.astype(np.float64)


def _read_only(array: np.ndarray) -> np.ndarray:
    array = np.array(array, dtype=np.float64, order="C")
    array.setflags(write=False)
    return array

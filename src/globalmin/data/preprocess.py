"""The papers' preprocessing: classes, grey-scale, size, norms, and noise where two rows are parallel.

Each step on a `Dataset` treats training and test rows alike and is written into its record. Settings that are
estimated (means, deviations) come from the training rows only.
"""

import math
from collections.abc import Sequence

import numpy as np
from jaxtyping import Float64, Int

from .._core import numerics
from . import assumptions
from .dataset import Dataset, normalized, stream

LUMA = (0.299, 0.587, 0.114)
"""Weights of red, green and blue in the grey-scale image (ITU-R BT.601)."""

NORMS = ("unit", "sqrt-d", "none")


def normalize(data: Dataset, norm: str) -> Dataset:
    """Rows of norm 1 (`"unit"`) or √d (`"sqrt-d"`); `"none"` leaves them."""
    if norm not in NORMS:
        raise ValueError(f"normalize: one of {', '.join(NORMS)} expected, {norm!r} came")
    if norm == "none":
        return data
    target = 1.0 if norm == "unit" else math.sqrt(data.d)
    return _each(data, lambda x: normalized(x, target), {"step": "normalize", "norm": norm})


def standardize(data: Dataset) -> Dataset:
    """Columns of mean 0 and standard deviation 1 over the training rows; constant columns become 0."""
    mean, std = data.x.mean(axis=0), data.x.std(axis=0)
    # A constant column's mean is rounded, so its deviation is not exactly 0.
    constant = std <= 8 * numerics.EPS * np.abs(mean)
    scale = np.where(constant, 0.0, 1.0 / np.where(constant, 1.0, std))
    step = {"step": "standardize columns", "constant_columns": np.flatnonzero(constant).tolist()}
    return _each(data, lambda x: (x - mean) * scale, step)


def standardize_labels(data: Dataset) -> Dataset:
    """Labels of mean 0 and standard deviation 1 over the training rows (for measured labels, not for classes).

    **Raises:** `ValueError` if all training labels are equal.
    """
    mean, std = float(data.y.mean()), float(data.y.std())
    if std <= 8 * numerics.EPS * abs(mean):
        raise ValueError(f"{data.name}: labels that differ expected, all are {mean:.6g}; keep them as they are")
    y_test = None if data.y_test is None else (data.y_test - mean) / std
    return data.then({"step": "standardize labels", "mean": mean, "std": std}, y=(data.y - mean) / std, y_test=y_test)


def grayscale(data: Dataset) -> Dataset:
    """Colour images (h, w, 3) to grey (h, w) with the weights `LUMA`; grey images stay as they are.

    **Raises:** `ValueError` if the rows are not images, or have a number of channels other than 1 or 3.
    """
    h, w, channels = _image_shape(data, "grey-scale")
    if data.image_shape == (h, w):
        return data
    if channels not in (1, 3):
        raise ValueError(f"{data.name}: images with 1 or 3 channels expected for grey-scale, {channels} came")
    weights = np.array(LUMA if channels == 3 else (1.0,))
    step = {"step": "grayscale", "weights": weights.tolist()}
    return _each(data, lambda x: (x.reshape(-1, channels) @ weights).reshape(-1, h * w), step, image_shape=(h, w))


def resize(data: Dataset, size: int) -> Dataset:
    """Images to size × size pixels, bilinear, with the kernel widened when shrinking (no aliasing).

    Pixel centres are at half-integers, as in `jax.image.resize` and Pillow. That function is not called because it
    computes in float32 unless JAX is set to float64.
    """
    numerics.check_count("size", size)
    h, w, channels = _image_shape(data, "resize")
    if (h, w) == (size, size):
        return data
    rows, columns = _bilinear(h, size), _bilinear(w, size)

    def resized(x):
        images = x.reshape(-1, h, w, channels)
        return np.einsum("ih,nhwc,jw->nijc", rows, images, columns, optimize=True).reshape(len(x), -1)

    shape = (size, size) if len(data.image_shape or ()) == 2 else (size, size, channels)
    return _each(data, resized, {"step": "resize", "size": size, "method": "bilinear"}, image_shape=shape)


def jitter(data: Dataset, amount: float, *, seed: int = 0) -> Dataset:
    """A little noise on the later row of each (anti)parallel pair of training rows; all other rows stay bit for bit.

    The noise is Gaussian with expected norm `amount` times the row's norm, which is kept. A pair counts when its
    angle is at most `assumptions.NEARLY_PARALLEL`.

    **Raises:** `ValueError` unless 10 `NEARLY_PARALLEL` ≤ amount < 1: less would leave the pair parallel.
    """
    least = 10 * assumptions.NEARLY_PARALLEL
    if not least <= amount < 1:
        raise ValueError(f"jitter: a number in [{least:.0e}, 1) expected, {amount!r} came")
    if data.d == 1:
        raise ValueError(f"{data.name}: two columns or more expected, in one all rows are parallel whatever the noise")
    rng = stream(seed, "jitter")
    x = np.array(data.x)
    moved: set[int] = set()
    # Rounds, because a scan lists at most `assumptions.PAIRS_LISTED` pairs.
    while pairs := assumptions.close_pairs(x):
        rows = np.array(sorted({max(p.rows) for p in pairs}))
        norms = np.linalg.norm(x[rows], axis=1, keepdims=True)
        noise = rng.standard_normal((len(rows), data.d)) * amount / math.sqrt(data.d)
        x[rows] = norms * normalized(x[rows] / norms + noise, 1.0)
        moved.update(rows.tolist())
    step = {"step": "jitter", "amount": amount, "seed": seed, "rows": sorted(moved)}
    return data.then(step, x=x)


def choose(
    labels: Int[np.ndarray, " n"],
    classes: Sequence[int],
    per_class: int,
    test_per_class: int | None,
    *,
    seed: int,
    train_rows: int | None = None,
    name: str = "data",
) -> tuple[Int[np.ndarray, " k"], Int[np.ndarray, " t"]]:
    """Rows of a training set with `per_class` samples of each class, and of a test set drawn from the rest.

    **Arguments:** `test_per_class=None` takes as many as for training, or as many as are left; `train_rows`: rows
    below it are the set's official training part, from which alone training samples are drawn (test samples from the
    others).

    **Returns:** two ascending vectors of row numbers without common entries.

    **Raises:** `ValueError` for a class that is not there (with those that are), fewer than two or repeated classes,
    and for more samples than there are.
    """
    numerics.check_count("per_class", per_class)
    if test_per_class is not None:
        numerics.check_count("test_per_class", test_per_class, least=0)
    if len(classes) < 2 or len(set(classes)) != len(classes):
        raise ValueError(f"classes: two or more different classes expected, {tuple(classes)} came")
    present = np.unique(labels)
    rng = stream(seed, "choose")
    train, test = [], []
    for c in classes:
        if c not in present:
            shown = ", ".join(str(p) for p in present[:12]) + (", ..." if len(present) > 12 else "")
            raise ValueError(f"classes: {name} has the classes {shown}; {c!r} came")
        rows = rng.permutation(np.flatnonzero(labels == c))
        official = rows if train_rows is None else rows[rows < train_rows]
        rest = official[per_class:] if train_rows is None else rows[rows >= train_rows]
        if per_class > len(official):
            raise ValueError(f"per_class: at most {len(official)} expected (class {c} of {name}), {per_class} came")
        wanted = min(per_class, len(rest)) if test_per_class is None else test_per_class
        if wanted > len(rest):
            raise ValueError(
                f"test_per_class: at most {len(rest)} expected (class {c} of {name}, the rest after training), "
                f"{wanted} came"
            )
        train.append(official[:per_class])
        test.append(rest[:wanted])
    return np.sort(np.concatenate(train)), np.sort(np.concatenate(test))


def class_labels(
    labels: Int[np.ndarray, " n"], classes: Sequence[int], class_names: Sequence[str] | None = None
) -> tuple[Float64[np.ndarray, " n"], dict[str, str]]:
    """Class numbers as labels: −1 for the first and +1 for the second of two; more classes keep their numbers.

    **Returns:** the labels, and what each stands for.
    """
    values = [-1, 1] if len(classes) == 2 else list(classes)
    y = np.zeros(len(labels))
    for value, c in zip(values, classes, strict=True):
        y[labels == c] = value
    meaning = {str(v): str(c) if class_names is None else class_names[c] for v, c in zip(values, classes, strict=True)}
    return y, meaning


def channels_last(x: np.ndarray, shape: tuple[int, int, int]) -> tuple[np.ndarray, str]:
    """Flat colour images (n, h w c) with the channels last, and the order (`"chw"` or `"hwc"`) that they came in.

    The order is read off the images, because the sources that store them flat do not say: neighbouring pixels of
    a picture are alike, and read in the wrong order they are not.
    """
    h, w, channels = shape
    last = x.reshape(-1, h, w, channels)
    first = np.moveaxis(x.reshape(-1, channels, h, w), 1, -1)

    def roughness(images):
        some = images[:: max(1, len(images) // 200)].astype(np.float64)
        return np.abs(np.diff(some, axis=1)).mean() + np.abs(np.diff(some, axis=2)).mean()

    images, order = (first, "chw") if roughness(first) < roughness(last) else (last, "hwc")
    return np.ascontiguousarray(images).reshape(len(x), -1), order


def _bilinear(size_in: int, size_out: int) -> np.ndarray:
    scale = size_in / size_out
    support = max(scale, 1.0)
    centers = (np.arange(size_out) + 0.5) * scale - 0.5
    weights = np.maximum(1.0 - np.abs(np.arange(size_in) - centers[:, None]) / support, 0.0)
    return weights / weights.sum(axis=1, keepdims=True)


def _image_shape(data: Dataset, what: str) -> tuple[int, int, int]:
    shape = data.image_shape
    if shape is None:
        raise ValueError(
            f"{data.name}: images expected for {what}, rows of {data.d} numbers came; "
            "store X as n × h × w or n × h × w × c"
        )
    return (*shape, 1) if len(shape) == 2 else shape  # pyright: ignore[reportReturnType]


def _each(data: Dataset, function, step: dict, **changes) -> Dataset:
    x_test = None if data.x_test is None else function(data.x_test)
    return data.then(step, x=function(data.x), x_test=x_test, **changes)

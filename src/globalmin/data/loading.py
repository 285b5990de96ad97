"""One entry for all data: a name or a file in, a preprocessed `Dataset` out."""

import dataclasses
import difflib
import os
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from jaxtyping import Float64

from .._core import numerics
from . import bundled, files, openml, preprocess, synthetic
from .bundled import Raw
from .dataset import Dataset, as_float64, stream

SYNTHETIC = {
    "sphere": "rows uniform on the unit sphere (normalize sqrt-d: of radius √d)",
    "gaussian": "rows with independent N(0, 1) entries",
    "nearly-parallel": "pairs of unit rows at a given angle",
}

LABELS = ("normal", "signs", "teacher", "ackley")

_PER_CLASS = {"digits": 100, "breast-cancer": 100}
"""Samples per class; 500 elsewhere, as in the experiments of Gao et al. and Ling et al."""


@dataclasses.dataclass(frozen=True)
class Listing:
    """One line of `names`: availability is bundled, synthetic, cached or download."""

    name: str
    availability: str
    description: str


def names() -> tuple[Listing, ...]:
    """Every data set that `load` knows by name, and whether it is at hand."""
    return (
        *(Listing(name, "bundled", text) for name, text in bundled.NAMES.items()),
        *(Listing(name, "synthetic", text) for name, text in SYNTHETIC.items()),
        *(
            Listing(name, "cached" if openml.is_cached(name) else "download", entry.description)
            for name, entry in openml.ENTRIES.items()
        ),
    )


def load(
    source: str | os.PathLike[str],
    *,
    n: int | None = None,
    per_class: int | None = None,
    test_per_class: int | None = None,
    classes: Sequence[int] | None = None,
    normalize: str | None = None,
    gray: bool | None = None,
    size: int | None = None,
    standardize: bool | None = None,
    jitter: float = 0.0,
    seed: int = 0,
    d: int | None = None,
    labels: str | None = None,
    angle: float | None = None,
) -> Dataset:
    """A data set by name (`names()`), or a file that ends in .npz, .csv or .parquet, ready for training.

    **Arguments** (None: the set's own default; an option that means nothing for the source is an error):

    - `n`: training samples in all. Sets with classes: split evenly. Measured labels: 200, and as many again for the
      test if there are. Files: all rows; fewer are drawn at random, and as many of the rest are for the test.
    - `classes`: two give labels −1 and +1, in this order; more keep their numbers. Default 0 and 1; files: all rows,
      labels as they are.
    - `per_class`, `test_per_class`: samples of each class; by default 100 for the bundled sets, else 500 or half of
      the smallest class; and as many for the test, or as many as are left.
    - `normalize`: rows of norm 1 (`"unit"`, the default of every set but gaussian), √d (`"sqrt-d"`), or as they are
      (`"none"`, the default of gaussian and of files).
    - `gray`, `size`: grey-scale, and size × size pixels. Colour sets of OpenML: grey and 28; grey alone: 28 too.
    - `standardize`: columns of mean 0 and deviation 1 before the rows are normalised; by default for breast-cancer
      and sgemm, whose columns have different units.
    - `jitter`: noise relative to the norm, on the later row of every parallel pair (0: none, and `assumptions.check`
      names such pairs).
    - `seed`: decides rows, noise and synthetic data; the same seed gives the same bytes.
    - synthetic sets: `d` columns (default 20; `n` defaults to 100), `labels` `"normal"` (default), `"signs"`,
      `"teacher"` or `"ackley"`, `angle` in radians for nearly-parallel (default 1e-3).

    **Returns:** float64 rows and labels with the record of every step. Measured labels are standardised (recorded).

    **Raises:** `ValueError` for an unknown name (the nearest and all are listed), options that do not fit, bad values
    (rows named); `FileNotFoundError` for a file that is not there, and offline for a set that is not in the cache.
    """
    name = _name(source)
    given = {
        key
        for key, value in dict(
            n=n, per_class=per_class, test_per_class=test_per_class, classes=classes, gray=gray, size=size,
            standardize=standardize, d=d, labels=labels, angle=angle,
        ).items()
        if value is not None
    }  # fmt: skip
    numerics.check_count("seed", seed, least=0)
    if n is not None:
        numerics.check_count("n", n)
    if n is not None and per_class is not None:
        raise ValueError("n and per_class: one of them expected, both came; give n (in all) or per_class")

    if name in SYNTHETIC:
        _refuse(name, given - {"n", "d", "labels"} - ({"angle"} if name == "nearly-parallel" else set()))
        if normalize is None:
            normalize = "none" if name == "gaussian" else "unit"
        data = _synthetic(name, 100 if n is None else n, 20 if d is None else d, labels, angle, normalize, seed)
        return preprocess.jitter(data, jitter, seed=seed) if jitter else data

    _refuse(str(source), given & {"d", "labels", "angle"})
    if name is None:
        data = files.read(source)
        if classes is not None:
            data = _by_class(data.name, _raw(data), classes, n, per_class, test_per_class, seed)
        elif given & {"per_class", "test_per_class"}:
            raise ValueError(f"{data.name}: classes expected with per_class, none came; say which to tell apart")
        elif n is not None and n != data.n:
            data = _at_random(data.name, _raw(data), n, seed)
    else:
        raw = bundled.read(name) if name in bundled.NAMES else openml.read(name)
        if raw.class_names is None:
            _refuse(name, given & {"classes", "per_class", "test_per_class"})
            data = preprocess.standardize_labels(_at_random(name, raw, 200 if n is None else n, seed))
        else:
            data = _by_class(name, raw, (0, 1) if classes is None else classes, n, per_class, test_per_class, seed)
        if gray is None and raw.image_shape is not None and len(raw.image_shape) == 3:
            gray = True
    if gray:
        data = preprocess.grayscale(data)
        if size is None and name in openml.ENTRIES:
            size = 28
    if size is not None:
        data = preprocess.resize(data, size)
    if standardize or (standardize is None and name in ("breast-cancer", "sgemm")):
        data = preprocess.standardize(data)
    if normalize is None:
        normalize = "none" if name is None else "unit"
    data = preprocess.normalize(data, normalize)
    return preprocess.jitter(data, jitter, seed=seed) if jitter else data


def load_inputs(
    source: str | os.PathLike[str], *, normalize: str | None = None
) -> tuple[Float64[np.ndarray, "n d"], tuple[int, ...] | None]:
    """Rows alone, for kernels: of a file that may be without labels, or of a named set with its defaults.

    **Returns:** the rows, and (h, w) or (h, w, c) where they are images. **Raises:** as `load`.
    """
    if _name(source) is not None:
        data = load(source, normalize=normalize)
        return data.x, data.image_shape
    x, shape = files.read_inputs(source)
    rows = Dataset(x, np.zeros(len(x)), Path(source).stem, {}, image_shape=shape)
    return preprocess.normalize(rows, normalize or "none").x, shape


def _name(source: str | os.PathLike[str]) -> str | None:
    """The data set's name, or None for a file."""
    known = [*bundled.NAMES, *SYNTHETIC, *openml.ENTRIES]
    if isinstance(source, str):
        name = source.strip().lower().replace("_", "-")
        if name in known:
            return name
        if not Path(source).suffix and os.sep not in source:
            near = difflib.get_close_matches(name, known, n=3, cutoff=0.5)
            hint = f"; nearest: {', '.join(near)}" if near else ""
            raise ValueError(
                f"data set: one of {', '.join(known)}, or a file ending in {', '.join(files.SUFFIXES)} expected, "
                f"{source!r} came{hint}"
            )
    return None


def _refuse(name: str, options: set[str]) -> None:
    if options:
        raise ValueError(f"{name}: {', '.join(sorted(options))} came, which this data set does not have; leave it out")


def _synthetic(
    name: str, n: int, d: int, labels: str | None, angle: float | None, normalize: str, seed: int
) -> Dataset:
    source = {"kind": "synthetic", "n": n, "d": d, "seed": seed}
    if name == "nearly-parallel":
        source["angle"] = 1e-3 if angle is None else angle
        x = synthetic.nearly_parallel(n, d, angle=source["angle"], seed=seed)
    else:
        x = (synthetic.sphere if name == "sphere" else synthetic.gaussian)(n, d, seed=seed)
    source["labels"] = labels = "normal" if labels is None else labels
    if labels not in LABELS:
        raise ValueError(f"labels: one of {', '.join(LABELS)} expected, {labels!r} came")
    # Rows first: a teacher must see the rows that the student will.
    data = preprocess.normalize(Dataset(x, np.zeros(n), name, source), normalize)
    if labels == "teacher":
        y = synthetic.teacher_labels(data.x, seed=seed)
    elif labels == "ackley":
        y = synthetic.ackley_labels(data.x)
    else:
        y = (synthetic.normal_labels if labels == "normal" else synthetic.sign_labels)(n, seed=seed)
    return dataclasses.replace(data, y=y)


def _raw(data: Dataset) -> Raw:
    """A file's rows to choose from; its own test rows become the part that test samples are drawn from."""
    if data.x_test is None or data.y_test is None:
        return Raw(data.x, data.y, dict(data.source), image_shape=data.image_shape)
    x, y = np.concatenate([data.x, data.x_test]), np.concatenate([data.y, data.y_test])
    return Raw(x, y, dict(data.source), image_shape=data.image_shape, train_rows=data.n)


def _by_class(
    name: str,
    raw: Raw,
    classes: Sequence[int],
    n: int | None,
    per_class: int | None,
    test_per_class: int | None,
    seed: int,
) -> Dataset:
    if not (raw.y == np.round(raw.y)).all():
        raise ValueError(f"{name}: labels that are class numbers expected with classes, measured ones came")
    labels = raw.y.astype(np.int64)
    smallest = min((int((labels == c).sum()) for c in classes), default=0)
    if n is not None:
        if len(classes) and n % len(classes):
            raise ValueError(
                f"n: a multiple of {len(classes)} expected ({len(classes)} classes of equal size), {n} came"
            )
        per_class = n // max(len(classes), 1)
    elif per_class is None:
        # Half of the smallest class at most, so that something is left for the test.
        per_class = _PER_CLASS.get(name, min(500, max(smallest // 2, 1)))
    train, test = preprocess.choose(
        labels, classes, per_class, test_per_class, seed=seed, train_rows=raw.train_rows, name=name
    )
    y, meaning = preprocess.class_labels(labels, classes, raw.class_names)
    step = {
        "step": "choose",
        "classes": [int(c) for c in classes],
        "per_class": per_class,
        "test": len(test),
        "seed": seed,
    }
    return _take(name, raw, y, train, test, step, meaning)


def _at_random(name: str, raw: Raw, n: int, seed: int) -> Dataset:
    official = len(raw.y) if raw.train_rows is None else raw.train_rows
    if n > official:
        raise ValueError(f"n: at most {official} expected (the training rows of {name}), {n} came")
    rows = stream(seed, "rows").permutation(len(raw.y))
    inside, outside = rows[rows < official], rows[rows >= official]
    test = np.sort((inside[n:] if raw.train_rows is None else outside)[:n])
    step = {"step": "choose", "n": n, "test": len(test), "seed": seed}
    return _take(name, raw, raw.y, np.sort(inside[:n]), test, step, {})


def _take(name, raw: Raw, y: np.ndarray, train: np.ndarray, test: np.ndarray, step: dict, classes: dict) -> Dataset:
    return Dataset(
        as_float64(name, raw.x[train]) / raw.levels,
        y[train],
        name,
        raw.source,
        classes,
        (step,),
        as_float64(name, raw.x[test]) / raw.levels if len(test) else None,
        y[test] if len(test) else None,
        raw.image_shape,
    )

"""MNIST, Fashion-MNIST, CIFAR-10, SVHN and SGEMM through OpenML, kept in a local cache with a checksum.

The cache is `$GLOBALMIN_CACHE`, else `$XDG_CACHE_HOME/globalmin`, else `~/.cache/globalmin`. A set is one file
`NAME.npz` with `X` and `y`, and beside it `NAME.json` with the file's sha256, recorded when the file was first seen
and compared at every later read. On a machine without network the file can be put there by hand.
"""

import contextlib
import dataclasses
import http.client
import json
import os
import tempfile
import urllib.request
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from .bundled import Raw
from .dataset import checked_labels, checked_rows
from .files import file_sha256, npz_arrays
from .preprocess import channels_last


@dataclasses.dataclass(frozen=True)
class Entry:
    """A data set at OpenML: its id there, the shape of a row, and its official training part."""

    data_id: int
    title: str
    shape: tuple[int, ...]
    train_rows: int | None
    class_names: tuple[str, ...] | None
    description: str

    @property
    def d(self) -> int:
        """Entries of a row."""
        return int(np.prod(self.shape))


_DIGITS = tuple("0123456789")
_CLOTHES = ("t-shirt", "trouser", "pullover", "dress", "coat", "sandal", "shirt", "sneaker", "bag", "ankle boot")
_CIFAR = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")

ENTRIES = {
    "mnist": Entry(554, "mnist_784", (28, 28), 60000, _DIGITS, "handwritten digits, 70,000 images of 28 × 28"),
    "fashion-mnist": Entry(40996, "Fashion-MNIST", (28, 28), 60000, _CLOTHES, "clothes, 70,000 images of 28 × 28"),
    "cifar-10": Entry(40927, "CIFAR_10", (32, 32, 3), 50000, _CIFAR, "objects, 60,000 colour images of 32 × 32"),
    "svhn": Entry(41081, "SVHN", (32, 32, 3), 73257, _DIGITS, "house numbers, 99,289 colour images of 32 × 32"),
    "sgemm": Entry(
        43144,
        "SGEMM_GPU_kernel_performance",
        (14,),
        None,
        None,
        "run times of a GPU matrix product, 241,600 rows of 14 settings; label: log of the mean of 4 runs in ms",
    ),
}


def cache_folder() -> Path:
    """Where downloaded sets are kept (see the module); the folder need not exist."""
    if own := os.environ.get("GLOBALMIN_CACHE"):
        return Path(own).expanduser()
    if shared := os.environ.get("XDG_CACHE_HOME"):
        return Path(shared).expanduser() / "globalmin"
    return Path.home() / ".cache" / "globalmin"


def is_cached(name: str) -> bool:
    """Whether the set's file lies in the cache."""
    return (cache_folder() / f"{name}.npz").is_file()


def read(name: str) -> Raw:
    """One of `ENTRIES`, whole; downloaded at the first call. Images: pixels in [0, 1], channels last.

    **Raises:** `FileNotFoundError` when the set is not in the cache and OpenML cannot be reached, saying which file to
    put where; `ValueError` when the cached file is damaged, has other shapes, or changed since it was first seen.
    """
    entry = ENTRIES[name]
    path = cache_folder() / f"{name}.npz"
    if not path.is_file():
        _download(name, entry, path)
    record = _verified(path)
    arrays = npz_arrays(path)
    if missing := [key for key in ("X", "y") if key not in arrays]:
        raise ValueError(f"{path}: arrays 'X' and 'y' expected, {' and '.join(map(repr, missing))} not there; mend it")
    raw = arrays["X"]
    if raw.ndim < 2 or raw.shape[1:] not in (entry.shape, (entry.d,)):
        raise ValueError(
            f"{path}: X of shape (n, {entry.d}) or (n, *{entry.shape}) expected, {raw.shape} came; mend it"
        )
    layout = None
    if len(entry.shape) == 3 and raw.ndim == 2:
        raw, layout = channels_last(raw, entry.shape)  # pyright: ignore[reportArgumentType]
    x = raw.reshape(len(raw), -1)
    if x.dtype != np.uint8:
        x = checked_rows(f"{path.name}: X", x)
    y = checked_labels(f"{path.name}: y", arrays["y"], len(x))
    if name == "svhn":
        y = np.where(y == 10, 0.0, y)  # its publishers call the digit 0 "10"
    return Raw(
        x=x,
        y=y,
        source={"kind": "openml", "id": entry.data_id, "title": entry.title, "stored_order": layout, **record},
        class_names=entry.class_names,
        image_shape=entry.shape if len(entry.shape) > 1 else None,
        # A smaller file put there by hand has no official test part that could be told from its row numbers.
        train_rows=entry.train_rows if entry.train_rows is not None and len(x) > entry.train_rows else None,
        levels=255.0 if len(entry.shape) > 1 and x.max() > 1 else 1.0,
    )


def _download(name: str, entry: Entry, path: Path) -> None:
    """Fetch a set, and store it and its record; either file appears whole or not at all."""
    try:
        _reach(entry.data_id)
        x, y, record = _fetch(entry)
    except (OSError, http.client.HTTPException) as error:
        shape = " × ".join(map(str, ("n", *entry.shape)))
        why = " ".join(str(error).split()) or type(error).__name__
        raise FileNotFoundError(
            f"{name}: not in the cache, and OpenML could not be reached ({why}); connect, or put an .npz file with "
            f"X ({shape}{'' if len(entry.shape) == 1 else f', or n × {entry.d}'}) and y (n) at {path}"
        ) from error
    path.parent.mkdir(parents=True, exist_ok=True)
    with _whole(path) as partial:
        with partial.open("wb") as file:
            np.savez_compressed(file, X=x, y=y)
        # The record first: a set that is seen is one that can be checked.
        with _whole(_record_path(path)) as record_file:
            record_file.write_text(json.dumps({**record, "sha256": file_sha256(partial)}))


@contextlib.contextmanager
def _whole(path: Path) -> Iterator[Path]:
    """A file to write beside `path`, which it becomes at the end of the block unless the block raises."""
    handle, name = tempfile.mkstemp(prefix=f"{path.name}.", suffix=".partial", dir=path.parent)
    os.close(handle)
    partial = Path(name)
    try:
        yield partial
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)


def _reach(data_id: int) -> None:
    """Raise `OSError` within seconds if OpenML is out of reach: the fetcher itself has no time limit."""
    with urllib.request.urlopen(f"https://www.openml.org/api/v1/json/data/{data_id}", timeout=20):
        pass


def _fetch(entry: Entry) -> tuple[np.ndarray, np.ndarray, dict[str, Any]]:
    from sklearn.datasets import fetch_openml

    table = entry.class_names is None
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # it warns at each retry; the last failure is raised
        # Compares the download with the md5 that OpenML publishes, and raises where they differ.
        bunch: Any = fetch_openml(
            data_id=entry.data_id,
            as_frame=False,
            cache=False,
            parser="auto",
            target_column=None if table else "default-target",
        )
    record = {"origin": "downloaded", "md5_at_openml": bunch.details.get("md5_checksum")}
    values = np.asarray(bunch.data)
    if table:
        runs = np.array([str(c).lower().startswith("run") for c in bunch.feature_names])
        if runs.sum() != 4 or (~runs).sum() != entry.d:
            came = ", ".join(map(str, bunch.feature_names))
            raise ValueError(f"{entry.title}: {entry.d} settings and 4 columns of run times expected, {came} came")
        values = values.astype(np.float64)
        return values[:, ~runs], np.log(values[:, runs].mean(axis=1)), record
    y = np.asarray(bunch.target).astype(np.float64).astype(np.int64)
    bytes_only = bool((values == np.round(values)).all() and values.min() >= 0 and values.max() <= 255)
    return values.astype(np.uint8) if bytes_only else values, y, record


def _record_path(path: Path) -> Path:
    return path.with_suffix(".json")


def _verified(path: Path) -> dict[str, Any]:
    """The record of a cached file after comparing its sha256; a file that nobody recorded gets a record."""
    sha256 = file_sha256(path)
    beside = _record_path(path)
    if not beside.is_file():
        record = {"origin": "put there by hand", "sha256": sha256}
        # A shared cache may be read-only: then there is nothing to compare with the next time.
        with contextlib.suppress(PermissionError), _whole(beside) as partial:
            partial.write_text(json.dumps(record))
        return record
    try:
        record = json.loads(beside.read_text())
        expected = record["sha256"]
    except (ValueError, KeyError, TypeError) as error:
        raise ValueError(f"{beside}: a record with the sha256 expected, it is damaged; delete it") from error
    if sha256 != expected:
        raise ValueError(
            f"{path}: sha256 {expected[:12]}... expected, {sha256[:12]}... came: the file changed since it was first "
            f"seen; delete it to load it again, or delete {beside.name} to accept it"
        )
    return record

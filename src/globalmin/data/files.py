"""The user's own rows: .npz, .csv and .parquet. Nothing is ever read with pickle.

- `.npz`: `X`, n × d or images n × h × w or n × h × w × c, and `y`; optionally `X_test` and `y_test`.
- `.csv`: comma-separated numbers, one sample per line. With a header the labels are the column named y, label or
  target; without one they are the last column.
- `.parquet`: columns of numbers, the labels in the column named y, label or target.
"""

import csv
import hashlib
import os
import zipfile
import zlib
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float64

from .dataset import Dataset, checked_labels, checked_rows

SUFFIXES = (".npz", ".csv", ".parquet")

LABEL_COLUMNS = ("y", "label", "target")


def read(path: str | os.PathLike[str]) -> Dataset:
    """The rows and labels of a file as they are, in float64.

    **Raises:** `FileNotFoundError` if there is no such file; `ValueError` for another suffix, a damaged file, pickled
    objects, a missing key or label column, shapes that do not fit, text, NaN or infinite entries (rows named), no
    rows; `ImportError` for .parquet without pyarrow, saying what to install.
    """
    path, arrays = _arrays(path)
    if "y" not in arrays:
        raise ValueError(
            f"{path.name}: labels expected ({_where(path)}), none came; name them so, or give a file that has labels"
        )
    x, shape = _images(f"{path.name}: X", arrays["X"])
    y = checked_labels(f"{path.name}: y", arrays["y"], len(x))
    x_test = y_test = None
    if ("X_test" in arrays) != ("y_test" in arrays):
        raise ValueError(f"{path.name}: X_test and y_test expected together, one came; store both or neither")
    if "X_test" in arrays:
        x_test, test_shape = _images(f"{path.name}: X_test", arrays["X_test"])
        if test_shape != shape:
            raise ValueError(f"{path.name}: X_test of images {shape} expected as in X, {test_shape} came")
        y_test = checked_labels(f"{path.name}: y_test", arrays["y_test"], len(x_test))
    return Dataset(x, y, path.stem, _source(path), x_test=x_test, y_test=y_test, image_shape=shape)


def read_inputs(path: str | os.PathLike[str]) -> tuple[Float64[np.ndarray, "n d"], tuple[int, ...] | None]:
    """The rows of a file that may be without labels, and (h, w) or (h, w, c) where they are images.

    **Raises:** as `read`, but for the labels.
    """
    path, arrays = _arrays(path)
    return _images(f"{path.name}: X", arrays["X"])


def file_sha256(path: Path) -> str:
    """`sha256` of a file's bytes."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def npz_arrays(path: Path) -> dict[str, np.ndarray]:
    """The arrays of an .npz file by name, pickled objects refused, or `ValueError`."""
    try:
        # Opened here: given a path, NumPy leaves a damaged file open.
        with path.open("rb") as file:
            if file.read(4) not in (b"PK\x03\x04", b"PK\x05\x06"):  # full and empty archives
                raise ValueError(
                    f"{path.name}: an .npz archive expected, another file came; store it with np.savez(X=..., y=...)"
                )
            file.seek(0)
            with np.load(file, allow_pickle=False) as stored:
                return {name: _plain(path, stored, name) for name in stored.files}
    # RuntimeError: an encrypted archive; its subclass for a compression that zipfile does not know is caught with it.
    except (zipfile.BadZipFile, zlib.error, EOFError, OSError, RuntimeError) as error:
        raise ValueError(f"{path.name}: a readable .npz file expected, it is damaged ({_line(error)})") from error


def _plain(path: Path, stored: Any, name: str) -> np.ndarray:
    try:
        return stored[name]
    except ValueError as error:
        if "allow_pickle" not in str(error):
            raise ValueError(f"{path.name}: a readable .npz file expected, {name!r} is damaged") from error
        raise ValueError(
            f"{path.name}: plain numbers expected in {name!r}, pickled objects came, which are never loaded; "
            f"store {name!r} as a float array"
        ) from error


def _arrays(path: str | os.PathLike[str]) -> tuple[Path, dict[str, Any]]:
    path = Path(path)
    suffix = path.suffix.lower()
    if suffix not in SUFFIXES:
        note = "; pickled files are never read" if suffix in (".pkl", ".pickle", ".joblib") else ""
        raise ValueError(f"{path.name}: a file ending in {', '.join(SUFFIXES)} expected{note}; convert it first")
    if not path.is_file():
        raise FileNotFoundError(f"{path}: a file with the data expected, there is none; check the path")
    arrays = {".npz": npz_arrays, ".csv": _csv, ".parquet": _parquet}[suffix](path)
    if "X" not in arrays:
        came = ", ".join(repr(k) for k in arrays) or "nothing"
        raise ValueError(f"{path.name}: inputs expected ({_where(path, 'X')}), {came} came; name them so")
    return path, arrays


def _where(path: Path, what: str = "y") -> str:
    if path.suffix.lower() == ".npz":
        return f"the array {what!r}"
    return "columns of numbers" if what == "X" else f"a column named {', '.join(LABEL_COLUMNS[:-1])} or target"


def _images(name: str, x: np.ndarray) -> tuple[np.ndarray, tuple[int, ...] | None]:
    x = np.asarray(x)
    if x.ndim not in (2, 3, 4) or 0 in x.shape:
        raise ValueError(
            f"{name}: n × d numbers, or images n × h × w or n × h × w × c expected, at least one; shape {x.shape} came"
        )
    return checked_rows(name, x.reshape(len(x), -1)), None if x.ndim == 2 else x.shape[1:]


def _csv(path: Path) -> dict[str, Any]:
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            first = [field.strip() for field in next(csv.reader(file), [])]
    except UnicodeDecodeError as error:
        raise ValueError(f"{path.name}: text in UTF-8 expected, other bytes came; save it again as UTF-8") from error
    if not first:
        raise ValueError(f"{path.name}: a line of numbers for each sample expected, an empty file came")
    # A line with some numbers in it is a header only if it names the labels: a damaged first sample must not be
    # passed over in silence.
    named = any(field.lower() in LABEL_COLUMNS for field in first)
    header = named or not any(_is_number(field) for field in first)
    try:
        with path.open(encoding="utf-8-sig") as file:
            lines = file.readlines()[header:]
        if not any(line.strip() for line in lines):
            raise ValueError("no line of numbers")
        table = np.loadtxt(lines, delimiter=",", dtype=np.float64, ndmin=2, comments=None, quotechar='"')
    except ValueError as error:
        where = " (rows counted from 0 below the header)" if header else ""
        raise ValueError(
            f"{path.name}: comma-separated numbers expected, {_line(error)}{where}; mend the file"
        ) from error
    if header and len(first) != table.shape[1]:
        raise ValueError(
            f"{path.name}: rows of {len(first)} numbers expected as in the header, {table.shape[1]} came; mend the file"
        )
    return _split(path, first if header else [*map(str, range(len(first) - 1)), "y"], table)


def _parquet(path: Path) -> dict[str, Any]:
    try:
        from pyarrow import ArrowInvalid, parquet  # pyright: ignore[reportMissingImports]
    except ImportError as error:
        raise ImportError(
            f"{path.name}: reading .parquet needs pyarrow, which is not installed; say pip install 'globalmin[parquet]'"
        ) from error
    try:
        table = parquet.read_table(path)
    except (ArrowInvalid, OSError) as error:
        raise ValueError(f"{path.name}: a readable .parquet file expected, it is damaged ({_line(error)})") from error
    columns = []
    for name in table.column_names:
        # Missing entries come as NaN, whose rows are named by the checks that follow.
        values = table[name].to_numpy()
        if values.dtype.kind not in "fiub":
            raise ValueError(
                f"{path.name}: columns of numbers expected, {name!r} holds {values.dtype}; drop or encode it"
            )
        columns.append(values.astype(np.float64))
    matrix = np.stack(columns, axis=1) if columns else np.zeros((0, 0))
    return _split(path, table.column_names, matrix)


def _split(path: Path, columns: list[str], table: np.ndarray) -> dict[str, Any]:
    labels = [i for i, name in enumerate(columns) if name.lower() in LABEL_COLUMNS]
    if len(labels) > 1:
        came = ", ".join(columns[i] for i in labels)
        raise ValueError(f"{path.name}: one column of labels expected, {came} came; rename all but one")
    arrays: dict[str, Any] = {"X": np.delete(table, labels, axis=1)}
    if labels:
        arrays["y"] = table[:, labels[0]]
    return arrays


def _source(path: Path) -> dict[str, Any]:
    # The name without its folder: the record is shared, the folder belongs to one machine.
    return {"kind": "file", "file": path.name, "sha256": file_sha256(path)}


def _is_number(field: str) -> bool:
    try:
        float(field)
    except ValueError:
        return False
    return True


def _line(error: BaseException) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0].rstrip(".;")

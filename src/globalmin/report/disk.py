"""Files that a reader finds whole: written beside their target, flushed to the disk, put in place by one rename.

A directory cannot be replaced by one rename: it goes through a backup beside it, which a reader takes when it arrives
between the two renames. Arrays are `.npz` files, and nothing is read with pickle.
"""

import contextlib
import errno
import os
import shutil
import zipfile
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import IO, Any

import numpy as np


def write_arrays(path: Path, arrays: Mapping[str, np.ndarray]) -> None:
    """Arrays into an `.npz`, never by pickle, put in place by one rename.

    **Raises:** `ValueError` for a dtype that NumPy does not know (bfloat16: cast it).
    """
    found = {key: np.asarray(values) for key, values in arrays.items()}
    for key, values in found.items():
        if values.dtype.kind not in "biufcSU":
            raise ValueError(f"{path.name}: {key} has dtype {values.dtype}, numbers or text expected; cast it first")

    def write(file: IO[bytes]) -> None:
        # Not np.savez: it takes names as keywords, and it falls back to pickle.
        with zipfile.ZipFile(file, "w", zipfile.ZIP_STORED, allowZip64=True) as archive:
            for key, values in found.items():
                with archive.open(f"{key}.npy", "w", force_zip64=True) as member:
                    np.lib.format.write_array(member, values, allow_pickle=False)

    replace_file(path, write)


def read_arrays(path: str | Path) -> dict[str, np.ndarray]:
    """Arrays of an `.npz`, never by pickle. **Raises:** `ValueError`, one line, if it is missing or damaged."""
    if not Path(path).is_file():
        raise ValueError(f"{path}: an .npz file expected, there is none; check the path")
    try:
        if not zipfile.is_zipfile(path):
            raise ValueError("not a zip archive")
        with np.load(path, allow_pickle=False) as archive:
            return dict(archive)
    except (OSError, ValueError, EOFError, KeyError, zipfile.BadZipFile) as error:
        reason = one_line(error)
        raise ValueError(
            f"{path}: damaged, an .npz of plain arrays expected ({reason}); restore it from a copy"
        ) from None


def one_line(error: BaseException) -> str:
    """What an error says, on one line."""
    return " ".join(str(error).split())[:200]


def beside(target: Path, kind: str) -> Path:
    """Where the `kind` ("new" or "old") of a file or folder stands while it is being replaced."""
    return target.with_name(f".{target.name}.{kind}")


@contextlib.contextmanager
def refusals_told(target: Path) -> Iterator[None]:
    """One line for what the disk refuses."""
    try:
        yield
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            message = f"{target}: no space left; free some and resume (what had been written before stays readable)"
        elif error.errno in (errno.EACCES, errno.EPERM, errno.EROFS):
            message = f"{target}: not writable; choose another folder, or change its permissions"
        else:
            message = f"{target}: cannot be written ({error.strerror or error}); choose another folder"
        told = OSError(message)
        told.errno = error.errno
        raise told from error


def replace_file(target: Path, write: Callable[[IO[bytes]], Any]) -> None:
    """Write a file beside `target`, flush it to the disk, and put it in place by one rename."""
    new = beside(target, "new")
    with refusals_told(target):
        try:
            target.parent.mkdir(parents=True, exist_ok=True)
            with new.open("wb") as file:
                write(file)
                file.flush()
                os.fsync(file.fileno())
            os.replace(new, target)
            _sync(target.parent)
        finally:
            with contextlib.suppress(OSError):
                new.unlink(missing_ok=True)


def replace_folder(target: Path, write: Callable[[Path], Any]) -> None:
    """Write a folder beside `target`, flush it, and swap the two by two renames; a kill between them leaves a backup."""
    new, old = beside(target, "new"), beside(target, "old")
    with refusals_told(target):
        if old.exists() and not target.exists():  # killed between the renames
            os.replace(old, target)
        for left in (new, old):
            if left.exists():
                shutil.rmtree(left)
        try:
            write(new)
            for folder, _, files in os.walk(new):
                for file in files:
                    _sync(Path(folder) / file)
                _sync(Path(folder))
            if target.exists():
                os.replace(target, old)
            os.replace(new, target)
            _sync(target.parent)
        finally:
            if old.exists() and not target.exists():
                os.replace(old, target)
            for left in (new, old):
                shutil.rmtree(left, ignore_errors=True)


def _sync(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)

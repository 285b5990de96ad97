"""A run on disk: one folder, every write atomic, nothing ever read with pickle.

    config.json  manifest.json  certificate.json  trajectory.zarr  weights/  figures/  report.html  (checkpoint/)

A reader or a `kill -9` finds the old file or the new one (`report/disk.py`). One process writes a folder; any number
read.
"""

import contextlib
import datetime
import importlib.metadata
import os
import platform
import shutil
from collections.abc import Mapping
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import numpy as np

from .disk import beside, read_arrays, refusals_told, replace_file, write_arrays
from .plain import from_json, to_json
from .trajectory import read_trajectory, write_trajectory

if TYPE_CHECKING:
    import xarray

FORMAT = 1
"""Version of the folder's layout, in `manifest.json`."""

PACKAGES = ("globalmin", "jax", "jaxlib", "equinox", "numpy", "scipy")

_CHECKPOINT = "checkpoint/state.npz"
_META = "__meta__"


def environment() -> dict[str, Any]:
    """Versions, platform and device of this process, for `manifest.json`; no user, host or path."""
    import jax

    devices = jax.devices()
    versions: dict[str, str] = {"python": platform.python_version()}
    for package in PACKAGES:
        with contextlib.suppress(importlib.metadata.PackageNotFoundError):
            versions[package] = importlib.metadata.version(package)
    count = f"{len(devices)} × " if len(devices) > 1 else ""
    return {
        "versions": versions,
        "platform": f"{platform.system()} {platform.release()} {platform.machine()}, {os.cpu_count()} CPUs",
        "device": f"{count}{devices[0].platform} ({devices[0].device_kind})",
    }


def check_free(path: str | Path) -> Path:
    """`path` if a run can be written there: nothing, or an empty folder. **Raises:** `ValueError` otherwise."""
    target = Path(path)
    if target.exists() and not target.is_dir():
        raise ValueError(f"{target}: a new folder expected, a file is there; choose another name")
    if target.exists() and any(target.iterdir()):
        known = "a run is" if (target / "config.json").exists() else "other files are"
        raise ValueError(
            f"{target}: a new or empty folder expected, {known} there; choose another name, or resume that run"
        )
    return target


class RunFolder:
    """The writing side of a run folder. Make one with `create`, or with `reopen` to go on with a run.

    Every method raises `OSError` with one line when the disk is full or not writable; what had been written before
    stays whole.
    """

    def __init__(self, path: str | Path):
        self.path = Path(path)

    @classmethod
    def create(cls, path: str | Path, config: Mapping[str, Any], manifest: Mapping[str, Any] | None = None) -> Self:
        """A new folder with its configuration and a manifest of status "running".

        **Arguments:** `config`, the run's settings; `manifest`, what is known beyond `environment()` and the start
        time, such as `seed`.

        **Raises:** `ValueError` if something is at `path` already (an empty folder is welcome).
        """
        folder = cls(path)
        target = folder.path
        check_free(target)
        with refusals_told(target):
            (target / "weights").mkdir(parents=True, exist_ok=True)
            (target / "figures").mkdir(exist_ok=True)
        folder.write_json("config.json", config)
        start = {"format": FORMAT, "status": "running", "message": "", "started": _now(), "finished": None}
        folder.write_json("manifest.json", {**start, **environment(), **(manifest or {})})
        return folder

    @classmethod
    def reopen(cls, path: str | Path) -> Self:
        """The folder of an existing run, to write on. **Raises:** `ValueError` as `open_run`."""
        return cls(open_run(path).path)

    def update_manifest(self, **changes: Any) -> None:
        """Change entries of `manifest.json`."""
        self.write_json("manifest.json", {**_read_json(self.path / "manifest.json"), **changes})

    def finish(self, status: str = "finished", message: str = "") -> None:
        """Put the end into the manifest: "finished", or "failed" with what happened in one line."""
        if status not in ("finished", "failed"):
            raise ValueError(f"status: 'finished' or 'failed' expected, {status!r} came")
        self.update_manifest(status=status, message=message, finished=_now())

    def write_certificate(self, certificate: Mapping[str, Any]) -> None:
        """`certificate.json`."""
        self.write_json("certificate.json", certificate)

    def write_trajectory(
        self,
        epochs: np.ndarray,
        variables: Mapping[str, np.ndarray],
        per_step: Mapping[str, np.ndarray] | None = None,
        attrs: Mapping[str, Any] | None = None,
    ) -> None:
        """`trajectory.zarr`: an xarray Dataset in Zarr format 3, replaced as a whole.

        **Arguments:**

        - `epochs`, `variables`: the monitored epochs, and one value per monitored epoch of each quantity.
        - `per_step`: quantities of every epoch, on the coordinate `step`: its entry `epoch` if there is one, else
          0, 1, 2, ... A name that is in `variables` too gets the suffix `_every_epoch`.
        - `attrs`: scalars and strings about the whole.

        **Raises:** `ValueError` for an array that is not one number per epoch.

        **Cost:** two files a variable, each flushed: tenths of a second.
        """
        write_trajectory(self.path / "trajectory.zarr", epochs, variables, per_step, attrs)

    def write_arrays(self, name: str, arrays: Mapping[str, np.ndarray]) -> None:
        """Arrays into an `.npz` inside the folder, such as "weights/final.npz"; names may hold slashes.

        **Raises:** `ValueError` for a dtype that NumPy does not know (bfloat16: cast it), or a name outside the folder.
        """
        if not name.endswith(".npz") or Path(name).is_absolute() or ".." in Path(name).parts:
            raise ValueError(f"name: an .npz inside the run folder expected, {name!r} came")
        write_arrays(self.path / name, arrays)

    def write_checkpoint(self, arrays: Mapping[str, np.ndarray], meta: Any = None) -> None:
        """Everything needed to go on, in one file: arrays, and JSON-able `meta`. Replaces the one before."""
        if _META in arrays:
            raise ValueError(f"{_META}: a name that the checkpoint uses itself; choose another")
        packed = np.frombuffer(to_json(meta).encode(), np.uint8)
        self.write_arrays(_CHECKPOINT, {**arrays, _META: packed})

    def read_checkpoint(self) -> tuple[dict[str, np.ndarray], Any] | None:
        """Arrays and meta of the last checkpoint; `None` if there is none. **Raises:** `ValueError` if damaged."""
        if not (self.path / _CHECKPOINT).exists():
            return None
        arrays = read_arrays(self.path / _CHECKPOINT)
        if _META not in arrays:
            raise ValueError(
                f"{self.path / _CHECKPOINT}: damaged (no {_META} inside); remove checkpoint/ and train again"
            )
        return arrays, from_json(arrays.pop(_META).tobytes().decode())

    def remove_checkpoint(self) -> None:
        """A finished run needs none."""
        with refusals_told(self.path / "checkpoint"):
            shutil.rmtree(self.path / "checkpoint", ignore_errors=True)

    def write_text(self, name: str, text: str) -> Path:
        """A text file of the folder, UTF-8; returns its path."""
        replace_file(self.path / name, lambda file: file.write(text.encode()))
        return self.path / name

    def write_json(self, name: str, value: Mapping[str, Any]) -> None:
        """A JSON file of the folder, as `to_json` writes it."""
        self.write_text(name, to_json(value))


class Run:
    """The reading side: what `open_run` returns. Parts are read when first asked for; a missing or damaged one raises
    `ValueError` with one line that names the file.
    """

    def __init__(self, path: str | Path):
        self.path = Path(path)

    def __repr__(self) -> str:
        return f"Run({str(self.path)!r}, status={self.status!r})"

    @cached_property
    def config(self) -> dict[str, Any]:
        """The settings."""
        return _read_json(self.path / "config.json")

    @cached_property
    def manifest(self) -> dict[str, Any]:
        """Versions, platform, device, seed, times, status and message."""
        return _read_json(self.path / "manifest.json")

    @cached_property
    def certificate(self) -> dict[str, Any]:
        """Data, spectrum, theorems, Kantorovich certificate and what became of their promises."""
        return _read_json(self.path / "certificate.json")

    @property
    def status(self) -> str:
        """ "finished", "running" (or killed: it can be resumed) or "failed"."""
        return str(self.manifest["status"])

    @cached_property
    def trajectory(self) -> "xarray.Dataset":
        """The monitored quantities on the coordinate `epoch`, those of every epoch on `step`; in memory."""
        return read_trajectory(self.path / "trajectory.zarr")

    def has(self, part: str) -> bool:
        """Whether a part ("certificate.json", "trajectory.zarr", ...) has been written."""
        return (self.path / part).exists() or beside(self.path / part, "old").exists()

    @property
    def weight_names(self) -> list[str]:
        """What `weights` takes."""
        return sorted(file.stem for file in (self.path / "weights").glob("*.npz"))

    def weights(self, name: str = "final") -> dict[str, np.ndarray]:
        """Arrays of `weights/<name>.npz`. **Raises:** `ValueError` with the names there are."""
        if name not in self.weight_names:
            there = ", ".join(self.weight_names) or "none"
            raise ValueError(f"{self.path / 'weights'}: no weights {name!r} here; there are: {there}")
        return read_arrays(self.path / "weights" / f"{name}.npz")


def open_run(path: str | Path) -> Run:
    """Open a run folder for reading; finished, failed and running ones alike.

    **Raises:** `ValueError`, one line, if `path` is not a run folder, or its configuration or manifest is damaged.
    """
    path = Path(path)
    if not path.is_dir():
        there = "a file" if path.exists() else "nothing"
        raise ValueError(f"{path}: a run folder expected, {there} is there; check the path")
    run = Run(path)
    if not (path / "config.json").exists():
        raise ValueError(f"{path}: not a run folder, it has no config.json; `globalmin train --out` writes one")
    _ = run.config
    if not isinstance(run.manifest.get("status"), str):
        raise ValueError(
            f"{path / 'manifest.json'}: damaged (no status inside); restore it from a copy, or train again"
        )
    if run.manifest.get("format", FORMAT) > FORMAT:
        raise ValueError(
            f"{path}: layout {FORMAT} of run folders expected, {run.manifest['format']} came; upgrade globalmin"
        )
    return run


def _now() -> str:
    return datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")


def _read_json(path: Path) -> dict[str, Any]:
    try:
        value = from_json(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise ValueError(
            f"{path}: missing; a run that was stopped early has none, else restore it from a copy"
        ) from None
    except ValueError as error:
        raise ValueError(f"{path}: damaged, JSON expected ({error}); restore it from a copy, or train again") from None
    if not isinstance(value, dict):
        raise ValueError(f"{path}: damaged, a JSON object expected; restore it from a copy, or train again")
    return value

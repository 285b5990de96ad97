"""A run on disk: one folder, every write atomic, nothing ever read with pickle.

    config.json  manifest.json  certificate.json  trajectory.zarr  weights/  figures/  report.html  (checkpoint/)

A file is written beside its target, flushed to the disk and put in place by one rename, so a reader or a `kill -9`
finds the old one or the new one. A directory cannot be replaced by one rename: `trajectory.zarr` goes through a backup
beside it, which a reader takes when it arrives between the two renames. One process writes a folder; any number read.
"""

import contextlib
import datetime
import errno
import hashlib
import importlib.metadata
import json
import math
import os
import platform
import shutil
import time
import warnings
import zipfile
from collections.abc import Callable, Iterator, Mapping
from functools import cached_property
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, Self

import numpy as np

if TYPE_CHECKING:
    import xarray

FORMAT = 1
"""Version of the folder's layout, in `manifest.json`."""

PACKAGES = ("globalmin", "jax", "jaxlib", "equinox", "numpy", "scipy")

VARIABLES: dict[str, tuple[str, str]] = {
    "loss": ("training loss ½‖u − y‖²", "label²"),
    "loss_every_epoch": ("training loss ½‖u − y‖², every epoch", "label²"),
    "test_loss": ("½‖f − y‖² of the test samples, times n over their number", "label²"),
    "bound": ("bound of the theorem on the loss", "label²"),
    "linearized_loss": ("training loss under the tangent kernel of the start", "label²"),
    "kantorovich_bound": ("Kantorovich envelope of the loss, from the certified epoch on", "label²"),
    "kantorovich_h": ("Kantorovich h; below 1/2 certifies", "1"),
    "kantorovich_flow_h": ("Kantorovich h of gradient flow; below 1/2 certifies", "1"),
    "lambda_min": ("smallest eigenvalue of the tangent kernel", "1/flow time"),
    "lambda_min_error": ("bound on the error of lambda_min", "1/flow time"),
    "lambda_max": ("largest eigenvalue of the tangent kernel", "1/flow time"),
    "gram_drift": ("‖H(k) − H(0)‖, operator norm", "1/flow time"),
    "movement": ("largest distance of a neuron's weights from their start", "weight"),
    "distance": ("distance of all parameters from their start", "weight"),
    "path_length": ("length of the path of the parameters", "weight"),
    "kink_distance": ("a thousandth of the pre-activations Wx are nearer to the kink; median at the start: 1", "1"),
    "pattern_change": ("share of activation patterns that differ from the start", "1"),
    "operator_norm": ("operator norm ‖W‖ of the hidden weight", "1"),
    "one_sided_norm": ("λ_max((W + Wᵀ)/2) of the hidden weight", "1"),
    "lambda_min_features": ("smallest eigenvalue of the features' Gram matrix", "1"),
    "lambda_min_top": (
        "smallest eigenvalue of G^(H), the last hidden layer's share of the tangent kernel",
        "1/flow time",
    ),
    "top_drift": ("‖G^(H)(k) − G^(H)(0)‖, operator norm", "1/flow time"),
    "layer_movement": ("largest ‖W^(h)(k) − W^(h)(0)‖_F/√m of a weight", "weight"),
    "weight_norm": ("largest ‖W^(h)‖/√m of a weight", "weight"),
    "state_min": ("smallest norm of a state x_i^(h)", "1"),
    "state_max": ("largest norm of a state x_i^(h)", "1"),
    "state_drift": ("largest distance of a state from its start", "1"),
    "gradient_readout": ("gradient in the read-out over √n‖r‖", "label/weight"),
    "gradient_layer_1": ("gradient in W^(1) over √n‖r‖", "label/weight"),
    "gradient_top_times_depth": ("H times the gradient in W^(H) over √n‖r‖", "label/weight"),
    "sigma_min_features": ("smallest singular value of the features", "1"),
    "gradient_norm": ("norm of the gradient of the loss", "label²/weight"),
    "forward_iterations": ("iterations of the equilibrium solve", "iterations"),
    "backward_iterations": ("iterations of the adjoint solve", "iterations"),
    "fixed_point_residual": ("residual of the equilibrium solve", "1"),
}
"""Long name and unit of each known variable; H is the Gram matrix of ∂u/∂θ, whose eigenvalues are rates of the flow."""

_CHECKPOINT = "checkpoint/state.npz"
_META = "__meta__"
_WORDS = {"Infinity": math.inf, "-Infinity": -math.inf, "NaN": math.nan}


def to_json(value: Any) -> str:
    """Valid JSON of nested dicts and sequences; non-finite floats become "Infinity", "-Infinity", "NaN".

    NumPy and JAX scalars and arrays become numbers and lists. **Raises:** `ValueError` for anything else.
    """
    return json.dumps(_plain(value), indent=2, ensure_ascii=False, allow_nan=False) + "\n"


def from_json(text: str) -> Any:
    """The inverse of `to_json`: the three words become floats again. **Raises:** `ValueError` if it is not JSON."""
    return _floats(json.loads(text))


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
        with _told(target):
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
        import xarray

        per_step = dict(per_step or {})
        steps = per_step.pop("epoch", None)
        if steps is None:
            steps = np.arange(max((len(v) for v in per_step.values()), default=0))
        dataset = xarray.Dataset(
            coords={
                "epoch": ("epoch", np.asarray(epochs), {"long_name": "epoch of a close look", "units": "epochs"}),
                "step": ("step", np.asarray(steps), {"long_name": "epoch", "units": "epochs"}),
            },
            attrs=_plain(dict(attrs or {})),
        )
        for name, values in variables.items():
            dataset[name] = _variable(name, "epoch", values, dataset.sizes["epoch"])
        for name, values in per_step.items():
            stored = f"{name}_every_epoch" if name in variables else name
            dataset[stored] = _variable(stored, "step", values, dataset.sizes["step"])
        dataset.attrs["digest"] = _digest(dataset)
        # Without a fill value a stored number is never read as a missing one; one chunk each, as all are read at once.
        encoding = {
            str(name): {"_FillValue": None, "chunks": (max(v.size, 1),)} for name, v in dataset.variables.items()
        }

        def write(folder: Path) -> None:
            # Consolidated, so that a plain `xarray.open_zarr` of the folder does not warn; writing it does.
            with warnings.catch_warnings(action="ignore", category=UserWarning):
                dataset.to_zarr(folder, mode="w", consolidated=True, zarr_format=3, encoding=encoding)

        _replace_folder(self.path / "trajectory.zarr", write)

    def write_arrays(self, name: str, arrays: Mapping[str, np.ndarray]) -> None:
        """Arrays into an `.npz` inside the folder, such as "weights/final.npz"; names may hold slashes.

        **Raises:** `ValueError` for a dtype that NumPy does not know (bfloat16: cast it), or a name outside the folder.
        """
        if not name.endswith(".npz") or Path(name).is_absolute() or ".." in Path(name).parts:
            raise ValueError(f"name: an .npz inside the run folder expected, {name!r} came")
        found = {key: np.asarray(values) for key, values in arrays.items()}
        for key, values in found.items():
            if values.dtype.kind not in "biufcSU":
                raise ValueError(f"{name}: {key} has dtype {values.dtype}, numbers or text expected; cast it first")

        def write(file: IO[bytes]) -> None:
            # Not np.savez: it takes names as keywords, and it falls back to pickle.
            with zipfile.ZipFile(file, "w", zipfile.ZIP_STORED, allowZip64=True) as archive:
                for key, values in found.items():
                    with archive.open(f"{key}.npy", "w", force_zip64=True) as member:
                        np.lib.format.write_array(member, values, allow_pickle=False)

        replace_file(self.path / name, write)

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
        with _told(self.path / "checkpoint"):
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
        return _read_trajectory(self.path / "trajectory.zarr")

    def has(self, part: str) -> bool:
        """Whether a part ("certificate.json", "trajectory.zarr", ...) has been written."""
        return (self.path / part).exists() or _beside(self.path / part, "old").exists()

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


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {str(key): _plain(v) for key, v in value.items()}
    if isinstance(value, str) or value is None or isinstance(value, bool):
        return str(value) if isinstance(value, str) else value  # str(): also of a StrEnum
    if isinstance(value, int):
        return int(value)
    if isinstance(value, float):
        if math.isfinite(value):
            return float(value)
        return "NaN" if math.isnan(value) else "Infinity" if value > 0 else "-Infinity"
    if isinstance(value, list | tuple):
        return [_plain(v) for v in value]
    if isinstance(value, Path):
        return str(value)
    if hasattr(value, "dtype") and hasattr(value, "tolist"):  # NumPy and JAX
        return _plain(np.asarray(value).tolist())
    raise ValueError(f"JSON: numbers, text, lists and dicts expected, {type(value).__name__} came")


def _floats(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _floats(v) for key, v in value.items()}
    if isinstance(value, list):
        return [_floats(v) for v in value]
    return _WORDS.get(value, value) if isinstance(value, str) else value


def _variable(name: str, dimension: str, values: Any, length: int) -> tuple[str, np.ndarray, dict[str, str]]:
    array = np.asarray(values)
    if array.shape != (length,):
        raise ValueError(f"{name}: one number per {dimension} expected, shape ({length},); shape {array.shape} came")
    long_name, units = VARIABLES.get(name, (name.replace("_", " "), "1"))
    return dimension, array, {"long_name": long_name, "units": units}


def _digest(dataset: "xarray.Dataset") -> str:
    """Of names and values. A lost chunk reads as zeros in Zarr, and a folder swapped while it is read gives parts of
    two trajectories: both are seen here.
    """
    found = hashlib.sha256()
    for name in sorted(str(name) for name in dataset.variables):
        values = np.ascontiguousarray(dataset[name].values)
        found.update(f"{name} {values.dtype.str} {values.shape}".encode() + values.tobytes())
    return found.hexdigest()


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
        reason = _one_line(error)
        raise ValueError(
            f"{path}: damaged, an .npz of plain arrays expected ({reason}); restore it from a copy"
        ) from None


def _read_trajectory(path: Path) -> "xarray.Dataset":
    import xarray

    problem: object = "missing; a run that was stopped before its first look has none"
    # The writer may be between its two renames, or swap the folder while it is read: look again.
    for attempt in range(5):
        time.sleep(0.02 * attempt)
        source = path if path.exists() else _beside(path, "old")
        if not source.exists():
            continue
        try:
            # zarr_format=3 refuses format 2, whose codecs may be pickle. No decoding: the numbers are as stored.
            with xarray.open_zarr(source, consolidated=True, zarr_format=3, chunks=None, decode_cf=False) as opened:
                dataset = opened.load()
        except Exception as error:  # whatever Zarr raises on a damaged store
            problem = f"damaged, a Zarr store of format 3 expected ({type(error).__name__}: {_one_line(error)})"
            continue
        if dataset.attrs.pop("digest", None) == _digest(dataset):
            return dataset
        problem = "damaged, its numbers do not match their digest"
    raise ValueError(f"{path}: {problem}; restore it from a copy, or train again")


def _one_line(error: BaseException) -> str:
    return " ".join(str(error).split())[:200]


def _beside(target: Path, kind: str) -> Path:
    return target.with_name(f".{target.name}.{kind}")


@contextlib.contextmanager
def _told(target: Path) -> Iterator[None]:
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
    new = _beside(target, "new")
    with _told(target):
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


def _replace_folder(target: Path, write: Callable[[Path], Any]) -> None:
    new, old = _beside(target, "new"), _beside(target, "old")
    with _told(target):
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

"""A trajectory on disk: an xarray Dataset in Zarr format 3, with a name, a unit and a digest."""

import hashlib
import time
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from .disk import beside, one_line, replace_folder
from .plain import plain

if TYPE_CHECKING:
    import xarray

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


def write_trajectory(
    path: Path,
    epochs: np.ndarray,
    variables: Mapping[str, np.ndarray],
    per_step: Mapping[str, np.ndarray] | None = None,
    attrs: Mapping[str, Any] | None = None,
) -> None:
    """An xarray Dataset in Zarr format 3, replaced as a whole; `RunFolder.write_trajectory` has the arguments."""
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
        attrs=plain(dict(attrs or {})),
    )
    for name, values in variables.items():
        dataset[name] = _variable(name, "epoch", values, dataset.sizes["epoch"])
    for name, values in per_step.items():
        stored = f"{name}_every_epoch" if name in variables else name
        dataset[stored] = _variable(stored, "step", values, dataset.sizes["step"])
    dataset.attrs["digest"] = _digest(dataset)
    # Without a fill value a stored number is never read as a missing one; one chunk each, as all are read at once.
    encoding = {str(name): {"_FillValue": None, "chunks": (max(v.size, 1),)} for name, v in dataset.variables.items()}

    def write(folder: Path) -> None:
        # Consolidated, so that a plain `xarray.open_zarr` of the folder does not warn; writing it does.
        with warnings.catch_warnings(action="ignore", category=UserWarning):
            dataset.to_zarr(folder, mode="w", consolidated=True, zarr_format=3, encoding=encoding)

    replace_folder(path, write)


def read_trajectory(path: Path) -> "xarray.Dataset":
    """The Dataset in memory. **Raises:** `ValueError`, one line, if it is missing, or its digest is not of its numbers."""
    import xarray

    problem: object = "missing; a run that was stopped before its first look has none"
    # The writer may be between its two renames, or swap the folder while it is read: look again.
    for attempt in range(5):
        time.sleep(0.02 * attempt)
        source = path if path.exists() else beside(path, "old")
        if not source.exists():
            continue
        try:
            # zarr_format=3 refuses format 2, whose codecs may be pickle. No decoding: the numbers are as stored.
            with xarray.open_zarr(source, consolidated=True, zarr_format=3, chunks=None, decode_cf=False) as opened:
                dataset = opened.load()
        except Exception as error:  # whatever Zarr raises on a damaged store
            problem = f"damaged, a Zarr store of format 3 expected ({type(error).__name__}: {one_line(error)})"
            continue
        if dataset.attrs.pop("digest", None) == _digest(dataset):
            return dataset
        problem = "damaged, its numbers do not match their digest"
    raise ValueError(f"{path}: {problem}; restore it from a copy, or train again")


def _variable(name: str, dimension: str, values: Any, length: int) -> tuple[str, np.ndarray, dict[str, str]]:
    array = np.asarray(values)
    if array.shape != (length,):
        raise ValueError(f"{name}: one number per {dimension} expected, shape ({length},); shape {array.shape} came")
    long_name, units = VARIABLES.get(name, (name.replace("_", " "), "1"))
    return dimension, array, {"long_name": long_name, "units": units}


def _digest(dataset: "xarray.Dataset") -> str:
    """Of names and values. A lost chunk reads as zeros in Zarr, and a folder swapped while it is read gives parts of
    two trajectories: both are seen here. Zarr does not keep the sign of a NaN or of a zero where all of a chunk is one.
    """
    found = hashlib.sha256()
    for name in sorted(str(name) for name in dataset.variables):
        values = np.ascontiguousarray(dataset[name].values)
        if values.dtype.kind == "f":
            values = np.where(np.isnan(values), np.array(np.nan, values.dtype), values + values.dtype.type(0))
        found.update(f"{name} {values.dtype.str} {values.shape}".encode() + values.tobytes())
    return found.hexdigest()

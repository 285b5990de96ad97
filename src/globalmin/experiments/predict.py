"""Outputs of training in function space, for a network's limit kernel or its tangent kernel at the start."""

from pathlib import Path
from typing import Any, Literal

import jax
import jax.numpy as jnp
import numpy as np
import pydantic

from .. import data as datasets
from .. import report
from ..predict import FunctionSpace
from .options import DatasetOptions


class PredictConfig(DatasetOptions):
    """Which kernel on which data, and what of its training is asked for: exactly one of time, steps, ridge and noise."""

    width: pydantic.PositiveInt | None = None
    """m, the number of hidden neurons; only for the kernel of a finite network."""
    kernel: str = "ntk"
    """ntk or nngp, the limits of infinite width (or another matrix of `globalmin kernel` by its name); empirical: the tangent
    kernel of the network of this width and seed at its initialisation, started at its outputs."""
    test: str | None = None
    """Test inputs: a file with the columns of the data; labels y of a .npz are compared. Default: the data set's own test
    samples."""
    holdout: float | None = pydantic.Field(default=None, gt=0, lt=1)
    """Share of the training samples to hold out as test samples instead, drawn by the seed."""
    time: float | None = None
    """Gradient flow up to this time; inf for its limit."""
    steps: int | None = None
    """Gradient descent, so many steps."""
    step_size: pydantic.PositiveFloat | Literal["auto"] = "auto"
    """Of L = 1/2 |u - y|^2, a sum over samples. auto: 1 / lambda_max of the kernel."""
    ridge: float | None = None
    """Kernel ridge regression with this penalty."""
    noise: float | None = None
    """Gaussian process posterior with this variance of the labels' noise: mean and covariance."""


def predict(config: PredictConfig, *, out: str | Path | None = None) -> dict[str, Any]:
    """Predict, and write `train`, `test` (and `covariance`) with labels and inputs into an .npz.

    **Raises:** `ValueError` for bad input, a kernel that the system does not have, or a singular one where it must not be.
    """
    asked = [name for name in ("time", "steps", "ridge", "noise") if getattr(config, name) is not None]
    if len(asked) != 1:
        raise ValueError(f"one of --time, --steps, --ridge, --noise expected, {' and '.join(asked) or 'none'} came")
    if out is not None and Path(out).exists():
        raise ValueError(f"{out}: a new file expected, one is there; choose another name")
    dataset = config.load_data()
    x, y, x_test, y_test = _split(config, dataset)
    gram, start, error = _gram(config, x if x_test is None else np.concatenate([x, x_test]))
    n = len(y)
    space = FunctionSpace(
        gram[:n, :n],
        y,
        outputs=start[:n] if config.noise is None else None,
        test_train=None if x_test is None else gram[n:, :n],
        test_outputs=None if x_test is None or config.noise is not None else start[n:],
        kernel=f"{config.system}: {config.kernel}",
        entry_error=error,
    )
    found: dict[str, Any] = {
        "system": config.system,
        "kernel": config.kernel,
        "n": n,
        "n_test": 0 if x_test is None else len(x_test),
        "lambda_min": float(space.eigenvalues[0]),
        "lambda_max": space.lambda_max.value,
        "eigenvalue_error": space.error,
        "largest_step_size": space.largest_step_size,
    }
    arrays = {"y": y}
    if config.noise is not None:
        posterior = space.posterior(gram[n:, n:], config.noise)
        found |= {
            "method": f"Gaussian process posterior, noise variance {config.noise:.6g}",
            "log_evidence": posterior.log_evidence,
            "largest_deviation": float(np.sqrt(np.max(np.diag(posterior.covariance), initial=0.0))),
        }
        arrays |= {"test": posterior.mean, "covariance": posterior.covariance}
    else:
        prediction = _predicted(config, space)
        arrays["train"] = prediction.train
        found |= {
            "method": prediction.method,
            "time": prediction.time,
            "stable": prediction.stable,
            "training_loss": prediction.loss,
            "convention": prediction.convention,
        }
        if x_test is not None:
            arrays["test"] = prediction.test
    if y_test is not None and "test" in arrays:
        found["test_mean_square"] = float(np.mean((arrays["test"] - y_test) ** 2))
        arrays["y_test"] = y_test
        if set(np.unique(y)) <= {-1.0, 1.0}:
            found["test_accuracy"] = float(np.mean(np.sign(arrays["test"]) == y_test))
    if out is not None:
        np.savez(out, **arrays)  # pyright: ignore[reportArgumentType]
        found["out"] = str(out)
    return found


def _predicted(config: PredictConfig, space: FunctionSpace):
    if config.time is not None:
        return space.flow(config.time)
    if config.ridge is not None:
        return space.ridge(config.ridge)
    assert config.steps is not None
    if config.step_size == "auto" and space.lambda_max.value == 0:
        raise ValueError("step_size: a number expected, 'auto' has no λ_max to go by: the kernel is 0")
    step = 1 / space.lambda_max.value if config.step_size == "auto" else config.step_size
    return space.descent(step, config.steps)


def _split(config: PredictConfig, dataset):
    """Training inputs and labels, test inputs and, where there are any, labels."""
    if config.test is not None and config.holdout is not None:
        raise ValueError("test or holdout: one of them expected, both came")
    if config.holdout is not None:
        held = round(config.holdout * dataset.n)
        if not 0 < held < dataset.n:
            raise ValueError(f"holdout: a share that leaves samples on both sides expected, {held} of {dataset.n} came")
        order = np.random.default_rng(config.seed).permutation(dataset.n)
        train, test = np.sort(order[held:]), np.sort(order[:held])
        return dataset.x[train], dataset.y[train], dataset.x[test], dataset.y[test]
    if config.test is None:
        return dataset.x, dataset.y, dataset.x_test, dataset.y_test
    x, _ = datasets.load_inputs(config.test, normalize=config.row_norm)
    if x.shape[1] != dataset.d:
        raise ValueError(f"{config.test}: rows of {dataset.d} entries expected, as in the data; {x.shape[1]} came")
    arrays = report.read_arrays(config.test) if config.test.endswith(".npz") else {}
    labels = arrays.get("y")
    return dataset.x, dataset.y, x, None if labels is None else np.asarray(labels, float)


def _gram(config: PredictConfig, x: np.ndarray) -> tuple[np.ndarray, np.ndarray, float]:
    """The kernel on all inputs, the outputs at the start, and the bound on its entries' error."""
    system, rows = config.build_system(), jnp.asarray(x)
    if config.kernel == "empirical":
        if config.width is None:
            raise ValueError("width: a number of hidden neurons expected for the empirical kernel, none came")
        model = system.init(x.shape[1], config.width, key=jax.random.key(config.seed))
        iterate = system.iterate(model, rows, jnp.zeros(len(x)))
        return iterate.gram, iterate.outputs, iterate.entry_error
    kernel = system.kernel()
    matrices = kernel(rows)
    if config.kernel not in matrices:
        raise ValueError(
            f"kernel: empirical or one of {', '.join(sorted(matrices))} expected for {config.system}, "
            f"{config.kernel!r} came"
        )
    return np.asarray(matrices[config.kernel]), np.zeros(len(x)), kernel.entry_error(rows)[config.kernel]

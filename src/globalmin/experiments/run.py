"""One training run from its configuration to its folder: certificate before, monitors during, verdict and report after."""

import dataclasses
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

from .. import data, report, train
from .._core import RESULTS
from ..rigorous.flint import flint
from ..theory import Kantorovich, widths_asked
from .config import RunConfig
from .objectives import CONFIGS, AbstractObjectiveConfig
from .proof import prove

Progress = Callable[[int, int, dict[str, float]], None]
"""Called at every look with the epoch, the number of epochs and the monitored quantities."""

CHECKPOINT_SECONDS = 5.0
"""Checkpoint and trajectory are written at a look if this long has passed since the last time, and at Ctrl-C."""


def execute(
    config: RunConfig | AbstractObjectiveConfig,
    out: str | Path,
    *,
    progress: Progress | None = None,
    on_prepared: Callable[[dict[str, Any]], None] | None = None,
) -> report.Run:
    """Run a configuration, of a network on data or of an objective, into a new folder and return the finished run.

    **Arguments:** `out`, a folder that does not exist yet or is empty; `progress`, called at every look; `on_prepared`,
    called with the certificate (the content of certificate.json) before the first epoch.

    **Raises:** `ValueError` for bad input; `KeyboardInterrupt` after the state was saved: `resume(out)` goes on.
    """
    report.check_free(out)
    if isinstance(config, AbstractObjectiveConfig):
        arrays, settings = config.arrays(), config.stored()
        prepared = config.prepare(arrays)
        certificate = objective_certificate(prepared)
    else:
        dataset = config.load_data()
        config = config.for_data(dataset)
        held_out = {} if dataset.x_test is None else {"x_test": dataset.x_test, "y_test": dataset.y_test}
        arrays, settings = {"x": dataset.x, "y": dataset.y, **held_out}, config.model_dump(mode="json")
        prepared = prepare(config, **arrays)
        certificate = certificate_of(config, dataset, prepared)
    folder = report.RunFolder.create(out, settings, {"seed": config.seed})
    if arrays:
        folder.write_arrays("data.npz", arrays)
    folder.write_arrays("weights/initial.npz", leaves(prepared.state.model))
    folder.write_certificate(certificate)
    if on_prepared is not None:
        on_prepared(certificate)
    return _train(config, folder, prepared, certificate, train.Log(), None, progress)


def resume(path: str | Path, *, progress: Progress | None = None) -> report.Run:
    """Go on with an interrupted run from its last checkpoint, to the same bits as an uninterrupted one.

    **Raises:** `ValueError` if the folder is no run, is damaged, or its data do not match the configuration.
    """
    run = resumable(path)
    stored = run.path / "data.npz"
    arrays = report.read_arrays(stored) if stored.exists() else {}
    settings = dict(run.config)
    if "objective" in settings:
        config = _objective_config(settings)
        prepared = config.prepare(arrays)
    else:
        config = RunConfig(**settings)
        prepared = prepare(config, **report.read_arrays(stored))
    folder = report.RunFolder.reopen(path)
    checkpoint = folder.read_checkpoint()
    log, state = train.Log(), None
    if checkpoint is not None:
        saved, meta = checkpoint
        model, solver, memory = (
            with_leaves(tree, {k[len(part) :]: v for k, v in saved.items() if k.startswith(part)})
            for part, tree in zip(_PARTS, _parts(prepared.state), strict=True)
        )
        state = train.DescentState(model, solver, meta["epoch"], meta["first_loss"], memory)
        log = _log_from(saved, meta)
    return _train(config, folder, prepared, run.certificate, log, state, progress)


def _objective_config(settings: dict[str, Any]) -> AbstractObjectiveConfig:
    name = settings.pop("objective")
    if name not in CONFIGS:
        raise ValueError(
            f"config.json: an objective of {', '.join(CONFIGS)} expected, {name!r} came; upgrade globalmin"
        )
    return CONFIGS[name](**settings)


_PARTS = ("model.", "solver.", "memory.")


def _parts(state: train.DescentState):
    return state.model, state.solver, state.memory


def resumable(path: str | Path) -> report.Run:
    """The run of that folder if it was interrupted or killed. **Raises:** `ValueError` if it ended, or is none."""
    run = report.open_run(path)
    if run.status != "running":
        raise ValueError(f"{path}: an interrupted run expected, this one is {run.status}; see {path}/report.html")
    return run


def certify_run(
    config: RunConfig,
    *,
    weights: str | Path | None = None,
    rigorous: bool = False,
    certificate_file: str | Path | None = None,
) -> dict[str, Any]:
    """Every certificate of a configuration before training: the content of certificate.json.

    **Arguments:** `weights`, an .npz as in a run's weights/, to judge instead of the initialisation; `rigorous`, prove the
    Kantorovich certificate in outward-rounded arithmetic (the key `rigorous`); `certificate_file`, the same, and write the file
    that `rigorous.verify` checks, if everything is proven.

    **Raises:** `ValueError` for bad input, weights of other shapes included; `ImportError` if python-flint is missing.
    """
    if rigorous or certificate_file is not None:
        flint()  # before minutes of work
    dataset = config.load_data()
    config = config.for_data(dataset)
    model = None
    if weights is not None:
        template = config.build_system().init(dataset.d, config.width, key=jax.random.key(config.seed))
        model = with_leaves(template, report.read_arrays(weights))
    prepared = prepare(config, dataset.x, dataset.y, model=model)
    certificate = certificate_of(config, dataset, prepared)
    if rigorous or certificate_file is not None:
        certificate["rigorous"] = prove(prepared, certificate_file)
    return certificate


def prepare(config: RunConfig, x, y, x_test=None, y_test=None, *, model=None) -> train.Prepared:
    """The run before its first epoch, from its configuration and the arrays of data.npz."""
    closest = data.closest_pair(np.asarray(x)) if len(x) > 1 else None
    system, key = config.build_system(), jax.random.key(config.seed)
    reference = system.init(x.shape[1], config.width, key=key, dtype=jnp.dtype(config.dtype)) if config.centre else None
    return train.prepare(
        system,
        jnp.asarray(x),
        jnp.asarray(y),
        width=config.width,
        epochs=config.epochs,
        key=key,
        model=model,
        reference=reference,
        step_size=config.step_size,
        method=config.method,
        looks=config.looks,
        delta=config.delta,
        dtype=jnp.dtype(config.dtype),
        closest=None if closest is None else (closest.angle, *closest.rows),
        test=None if x_test is None else (jnp.asarray(x_test), jnp.asarray(y_test)),
    )


def common_step_size(config: RunConfig) -> float:
    """1/λ_max of a configuration's tangent kernel at the start: its `auto` step size, for other widths to share."""
    dataset = config.load_data()
    system = config.for_data(dataset).build_system()
    model = system.init(dataset.d, config.width, key=jax.random.key(config.seed))
    iterate = system.iterate(model, jnp.asarray(dataset.x), jnp.asarray(dataset.y))
    return 1 / iterate.lambda_max.value


def certificate_of(config: RunConfig, dataset: data.Dataset, prepared: train.Prepared) -> dict[str, Any]:
    """The content of certificate.json before training: data, spectrum, theorems, Kantorovich."""
    descent, flow = prepared.kantorovich
    return {
        "system": prepared.system.name,
        "paper": prepared.system.paper,
        "data": {
            "name": dataset.name,
            "n": dataset.n,
            "d": dataset.d,
            "geometry": data.geometry(dataset.x),
            "provenance": dataset.to_dict(),
        },
        "width": prepared.width,
        "step_size": prepared.step_size,
        "step_size_from": prepared.step_size_from,
        "method": prepared.method,
        "spectrum": spectrum_of(prepared),
        "spectrum_missing": prepared.system.limit_missing,
        "panels": [dataclasses.asdict(panel) for panel in prepared.system.panels],
        "theorems": [t.to_dict() for t in prepared.theorems],
        "widths": widths_asked(prepared.theorems),
        "kantorovich": (flow if config.method == "flow" else descent).summary(),
        "kantorovich_flow": flow.summary(),
    }


def objective_certificate(prepared: train.PreparedObjective) -> dict[str, Any]:
    """The content of certificate.json of an objective before its run: the problem, the steps, the theorems."""
    system = prepared.system
    return {
        "system": system.name,
        "paper": system.paper,
        "loss_name": system.loss_name,
        "problem": system.facts(),
        "step_size": prepared.step_size,
        "step_size_from": prepared.step_size_from,
        "method": prepared.method.name,
        "panels": [dataclasses.asdict(panel) for panel in system.panels],
        "theorems": [t.to_dict() for t in prepared.theorems],
    }


def spectrum_of(prepared: train.Prepared) -> dict[str, Any] | None:
    """The limit kernel's spectrum as plain values, and which monitored quantity tends to its lower end; or `None`."""
    limit, system = prepared.limit, prepared.system
    if limit is None:
        return None
    return {
        "name": limit.name,
        "limit_of": system.limit_of,
        "scale": prepared.width**system.limit_power,
        "eigenvalues": [float(v) for v in limit.eigenvalues],
        "error": limit.error,
        "lambda_min": limit.lambda_min.value,
        "lambda_max": limit.lambda_max.value,
    }


def leaves(tree) -> dict[str, np.ndarray]:
    """The array leaves of a pytree by their path, for .npz files."""
    found = jax.tree_util.tree_leaves_with_path(eqx.filter(tree, eqx.is_array))
    return {jax.tree_util.keystr(path, simple=True, separator="."): np.asarray(leaf) for path, leaf in found}


def with_leaves(tree, arrays: dict[str, np.ndarray]):
    """The pytree with its array leaves replaced by those of `leaves`, shapes and dtypes checked."""

    def put(path, leaf):
        if not eqx.is_array(leaf):
            return leaf
        name = jax.tree_util.keystr(path, simple=True, separator=".")
        if name not in arrays or arrays[name].shape != leaf.shape or arrays[name].dtype != leaf.dtype:
            came = "nothing" if name not in arrays else f"{arrays[name].dtype}{list(arrays[name].shape)}"
            raise ValueError(f"weights: {name} of {leaf.dtype}{list(leaf.shape)} expected, {came} came")
        return jnp.asarray(arrays[name])

    return jax.tree_util.tree_map_with_path(put, tree)


def _train(config, folder, prepared, certificate, log, state, progress) -> report.Run:
    saved_at, look = time.monotonic(), None
    try:
        for look in train.run(prepared, log, state):
            if progress is not None:
                progress(look.epoch, config.epochs, look.quantities)
            if time.monotonic() - saved_at >= CHECKPOINT_SECONDS:
                _save(folder, look.state, log)
                _write_trajectory(folder, prepared, log)
                saved_at = time.monotonic()
    except KeyboardInterrupt:
        if look is not None:
            _save(folder, look.state, log)
            _write_trajectory(folder, prepared, log)
        folder.update_manifest(message=f"interrupted; globalmin resume {folder.path} goes on")
        raise
    verification = train.conclude(prepared, log)
    folder.write_arrays("weights/final.npz", leaves(look.state.model if look is not None else state.model))
    folder.write_certificate({**certificate, "verification": verification})
    _write_trajectory(folder, prepared, log)
    folder.finish("failed" if log.message else "finished", log.message)
    folder.remove_checkpoint()
    report.write_report(folder.path)
    return report.open_run(folder.path)


def _write_trajectory(folder, prepared, log) -> None:
    looks, steps = train.trajectory(prepared, log)
    method = prepared.method if isinstance(prepared.method, str) else prepared.method.name
    attributes = {"step_size": prepared.step_size, "method": method}
    folder.write_trajectory(looks.pop("epoch"), looks, steps, attributes)


def _save(folder, state: train.DescentState, log: train.Log) -> None:
    steps = train.scalars(log.records)
    arrays = {part + k: v for part, tree in zip(_PARTS, _parts(state), strict=True) for k, v in leaves(tree).items()}
    arrays |= {f"steps.{k}": v for k, v in steps.items()}
    arrays |= {f"looks.{k}": np.array([look[k] for look in log.looks]) for k in (log.looks[0] if log.looks else {})}
    certified = {
        name: None if found is None else found.to_fields()
        for name, found in (("certified", log.certified), ("flow_certified", log.flow_certified))
    }
    folder.write_checkpoint(arrays, {"epoch": state.epoch, "first_loss": state.first_loss, **certified})


def _log_from(saved, meta) -> train.Log:
    steps = {k[6:]: v for k, v in saved.items() if k.startswith("steps.")}
    looks = {k[6:]: v for k, v in saved.items() if k.startswith("looks.")}
    epochs = steps.pop("epoch")
    records = [train.Records(epochs, steps, RESULTS.successful, "")] if len(epochs) else []  # pyright: ignore[reportArgumentType]
    rows = [{k: float(v[i]) for k, v in looks.items()} for i in range(len(next(iter(looks.values()))))]
    certified, flow_certified = (
        None if meta[name] is None else Kantorovich.from_fields(meta[name]) for name in ("certified", "flow_certified")
    )
    return train.Log(records, rows, certified, flow_certified)

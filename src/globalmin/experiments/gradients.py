"""Which gradient of a configured equilibrium network or Neural ODE can be trusted, at which tolerance of its solves."""

from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp

from .. import report, train
from ..models import AbstractEquilibriumModel, NeuralODE
from .config import RunConfig

ODE_ACTIVATIONS = ("softplus", "tanh", "gelu", "sin", "relu")
"""What a Neural ODE's report compares where no activation is asked for."""


def gradients(config: RunConfig, *, out: str | Path | None = None) -> dict[str, Any]:
    """The gradient trust report at the initialisation of a configuration.

    **Arguments:** `config`, of which system, its options, data, width and seed are used, in float64 whatever its dtype;
    `out`, a folder that does not exist yet or is empty, for gradients.json, gradients.svg and gradients.pdf. For a Neural
    ODE without an `activation` several are compared.

    **Returns:** `rows`, `references`, `threshold`, `needed` and `needed_at` of `train.Trust`, with `system`, `data`, `n`,
    `d`, `width`, `seed`, `activation`,
    `operator_norm` (‖M‖), `training_tolerance` (where a run's own solves stop; null for equal steps), `activations` (of a
    Neural ODE: what each needs) and the `sentence`.

    **Raises:** `ValueError` for bad input, and for a system in which nothing is solved.
    """
    if out is not None:
        report.check_free(out)
    dataset = config.load_data()
    system = config.for_data(dataset).build_system()
    model = system.init(dataset.d, config.width, key=jax.random.key(config.seed))
    if not isinstance(model, AbstractEquilibriumModel | NeuralODE):
        raise ValueError(f"no equilibrium and no ODE is solved in {config.system}; its gradient is exact")
    x, y = jnp.asarray(dataset.x), jnp.asarray(dataset.y)
    trusted = train.trust(model, x, y, seed=config.seed)
    found: dict[str, Any] = {
        "system": config.system,
        "data": dataset.name,
        "n": dataset.n,
        "d": dataset.d,
        "width": config.width,
        "seed": config.seed,
        "activation": system.activation.name,
        "operator_norm": system.iterate(model, x, y).operator_norm.value,  # pyright: ignore[reportAttributeAccessIssue]
        "training_tolerance": model.tolerance,
        **trusted.to_dict(),
    }
    if isinstance(model, NeuralODE) and config.activation is None:
        found["activations"] = [_needs(config, name, x, y) for name in ODE_ACTIVATIONS]
    found["sentence"] = report.gradient_sentence(found)
    if out is not None:
        report.write_gradients(found, out)
    return found


def _needs(config: RunConfig, name: str, x, y) -> dict[str, Any]:
    """What one activation asks of the solves, and its errors at the loosest tolerance, at the start."""
    system = config.model_copy(update={"activation": name}).build_system()
    model = system.init(x.shape[1], config.width, key=jax.random.key(config.seed))
    trusted = train.trust(model, x, y, seed=config.seed)
    loosest = max(row["tolerance"] for row in trusted.rows)
    errors = {r["method"]: r["error"] for r in trusted.rows if r["tolerance"] == loosest and r["shrink"] == 1}
    return {"activation": name, "needed": {m: trusted.needed(m) for m in trusted.methods}, "errors": errors}

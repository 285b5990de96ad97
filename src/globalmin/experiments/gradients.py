"""Which gradient of a configured equilibrium network can be trusted, at which tolerance of its solves."""

from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp

from .. import report, train
from ..models import AbstractEquilibriumModel
from .config import RunConfig


def gradients(config: RunConfig, *, out: str | Path | None = None) -> dict[str, Any]:
    """The gradient trust report at the initialisation of a configuration.

    **Arguments:** `config`, of which system, its options, data, width and seed are used, in float64 whatever its dtype;
    `out`, a folder that does not exist yet or is empty, for gradients.json, gradients.svg and gradients.pdf.

    **Returns:** `rows`, `references`, `threshold`, `needed` and `needed_at` of `train.Trust`, with `system`, `data`, `n`,
    `d`, `width`, `seed`, `operator_norm` (‖M‖), `training_tolerance` (where a run's own solves stop) and the `sentence`.

    **Raises:** `ValueError` for bad input, and for a system in which no equilibrium is solved.
    """
    if out is not None:
        report.check_free(out)
    dataset = config.load_data()
    model = config.for_data(dataset).build_system().init(dataset.d, config.width, key=jax.random.key(config.seed))
    if not isinstance(model, AbstractEquilibriumModel):
        raise ValueError(f"no equilibrium is solved in {config.system}; its gradient is exact")
    trusted = train.trust(model, jnp.asarray(dataset.x), jnp.asarray(dataset.y), seed=config.seed)
    found: dict[str, Any] = {
        "system": config.system,
        "data": dataset.name,
        "n": dataset.n,
        "d": dataset.d,
        "width": config.width,
        "seed": config.seed,
        "operator_norm": model.operator_norm().value,
        "training_tolerance": model.tolerance,
        **trusted.to_dict(),
    }
    found["sentence"] = report.gradient_sentence(found)
    if out is not None:
        report.write_gradients(found, out)
    return found

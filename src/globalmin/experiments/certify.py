"""`globalmin.certify`: one door for a network at hand and for a configuration."""

from pathlib import Path
from typing import Any, overload

import jax.numpy as jnp

from .. import systems
from ..data import Dataset
from ..models import AbstractModel
from ..theory import Kantorovich
from .config import RunConfig
from .run import certify_run


@overload
def certify(
    subject: RunConfig,
    *,
    weights: str | Path | None = None,
    rigorous: bool = False,
    certificate_file: str | Path | None = None,
) -> dict[str, Any]: ...


@overload
def certify(
    subject: AbstractModel, data: Dataset | tuple[Any, Any], *, step_size: float | None = None, flow: bool = False
) -> Kantorovich: ...


def certify(subject, data=None, **options):
    """What is proven before training: about a network with its present weights, or about a configuration.

    **Arguments:**

    - `subject`, a network of `globalmin.models`, and `data`, a `Dataset` or arrays (x, y), float64, inputs as rows. Then
      `step_size`, η of L = ½‖f(X) − y‖² (a sum; default: the largest that the certificate admits), and `flow`, gradient
      flow instead of descent.
    - Or `subject`, a `RunConfig`, whose data are loaded and whose network is initialised. Then `weights`, an .npz as in a
      run's weights/, to judge instead of the initialisation; `rigorous`, prove the Kantorovich certificate in
      outward-rounded arithmetic (the key `rigorous`); `certificate_file`, the same, and write the file that
      `globalmin verify` checks, if everything is proven.

    **Returns:** for a network, its Kantorovich certificate; for a configuration, the content of certificate.json.

    **Raises:** `ValueError` for bad input, weights of other shapes included; `ImportError` if python-flint is missing.
    """
    if isinstance(subject, RunConfig):
        return certify_run(subject, **options)
    if data is None:
        raise ValueError("data: a Dataset or (x, y) expected beside a network, none came")
    x, y = (data.x, data.y) if isinstance(data, Dataset) else data
    return systems.certify(subject, jnp.asarray(x), jnp.asarray(y), **options)

"""The Kantorovich certificate of a network at hand: the system that its architecture belongs to, found by its type."""

from typing import Any

import numpy as np
from jaxtyping import Array, Float

from .._core import numerics
from ..activations import AbstractActivation
from ..models import AbstractModel
from ..theory import Kantorovich
from .base import AbstractSystem
from .registry import NETWORKS, SYSTEMS


def system_of(model: AbstractModel) -> AbstractSystem:
    """The system of a network, with the options that the network itself carries. **Raises:** `ValueError` if it has none."""
    for kind, name in NETWORKS.items():
        if isinstance(model, kind):
            carried = {option: getattr(model, option, None) for option in SYSTEMS[name].options}
            plain = (int, float, str, tuple, AbstractActivation)
            options: dict[str, Any] = {option: value for option, value in carried.items() if isinstance(value, plain)}
            return SYSTEMS[name](**options)
    names = ", ".join(sorted({kind.__name__ for kind in NETWORKS}))
    raise ValueError(
        f"model: one of {names} expected, {type(model).__name__} came; docs/custom.md shows how to add one"
    )


def certify(
    model: AbstractModel,
    x: Float[Array, "n d"],
    y: Float[Array, " n"],
    *,
    step_size: float | None = None,
    flow: bool = False,
) -> Kantorovich:
    """What is proven about descent from these very weights on these data: the certificate that the trainer monitors.

    **Arguments:** `model`, of any system; `x`, `y`, float64, inputs as rows; `step_size`, η of L = ½‖f(X) − y‖² (a sum), by
    default the largest for which the certificate holds; `flow`, gradient flow instead of gradient descent.

    **Returns:** the certificate, whatever its verdict; `sentence()` says what it proves, `advice()` what would make it hold.

    **Raises:** `ValueError` for bad data, and for a network of an unknown type.

    **Source:** docs/theory/kantorovich.md
    """
    x = numerics.check_inputs(x)
    y = numerics.check_labels(y, len(x))
    system = system_of(model)
    width = np.shape(getattr(model, "readout"))[-1]  # noqa: B009 - every network of NETWORKS has one
    descent, along_flow = system.kantorovich(system.iterate(model, x, y), step_size, width=width)
    return along_flow if flow else descent

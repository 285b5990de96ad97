"""Every system and every objective by its name on the command line."""

import difflib
from typing import Any

from ..activations import get as activation_named
from ..models import (
    AbstractGated,
    AbstractModel,
    ConvResNet,
    Dense,
    Equilibrium,
    Implicit,
    NeuralODE,
    ResNet,
    TwoLayer,
)
from .balancing import BalancingSystem
from .base import AbstractSystem
from .conv_filter import ConvFilterSystem
from .conv_resnet import ConvResNetSystem
from .conv_teacher import ConvTeacherSystem
from .dense import DenseSystem
from .equilibrium import EquilibriumSystem
from .factorization import FactorizationSystem
from .gated import GatedSystem
from .implicit import ImplicitSystem
from .neural_ode import NeuralODESystem
from .objective import AbstractObjectiveSystem
from .resnet import ResNetSystem
from .saddle import SaddleSystem
from .two_layer import TwoLayerSystem

SYSTEMS: dict[str, type[AbstractSystem]] = {
    s.name: s
    for s in (
        TwoLayerSystem,
        EquilibriumSystem,
        ImplicitSystem,
        DenseSystem,
        ResNetSystem,
        ConvResNetSystem,
        GatedSystem,
        NeuralODESystem,
    )
}

NETWORKS: dict[type[AbstractModel], str] = {
    TwoLayer: "two-layer",
    Equilibrium: "equilibrium",
    Implicit: "implicit-relu",
    Dense: "dense",
    ResNet: "resnet",
    ConvResNet: "conv-resnet",
    AbstractGated: "gated",
    NeuralODE: "neural-ode",
}
"""Which system a network belongs to."""

OBJECTIVES: dict[str, type[AbstractObjectiveSystem]] = {
    s.name: s for s in (BalancingSystem, FactorizationSystem, ConvTeacherSystem, ConvFilterSystem, SaddleSystem)
}
"""Objectives that are no networks on data: `globalmin objective` runs them."""


def build(name: str, **options: Any) -> AbstractSystem:
    """The system of that name. `activation` may be given by name.

    **Raises:** `ValueError` for an unknown name, and for an option that the system does not have; each says
    what there is.
    """
    if name in OBJECTIVES:
        raise ValueError(f"system: a network expected, {name!r} is an objective; use `globalmin objective {name}`")
    if name not in SYSTEMS:
        near = difflib.get_close_matches(name, [*SYSTEMS, *OBJECTIVES], n=2)
        hint = f"did you mean {' or '.join(near)}?" if near else f"there are {', '.join(SYSTEMS)}"
        raise ValueError(f"system: {name!r} is unknown; {hint}")
    kind = SYSTEMS[name]
    unknown = [option for option in options if option not in kind.options]
    if unknown:
        raise ValueError(f"{name} has no option {', '.join(unknown)}; it has {', '.join(kind.options) or 'none'}")
    if isinstance(options.get("activation"), str):
        options["activation"] = activation_named(options["activation"])
    return kind(**options)

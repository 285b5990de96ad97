"""Why gradient descent finds global minima of over-parameterized networks: for this network, on this data.

Names are imported when they are first used: importing the package costs nothing, and changes no setting of JAX.
"""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from . import activations as activations
    from . import data as data
    from . import experiments as experiments
    from . import gram as gram
    from . import kernels as kernels
    from . import models as models
    from . import objectives as objectives
    from . import predict as predict
    from . import report as report
    from . import rigorous as rigorous
    from . import solvers as solvers
    from . import systems as systems
    from . import theory as theory
    from . import train as train
    from ._core import RESULTS as RESULTS
    from ._core import Estimate as Estimate
    from .experiments import RunConfig as RunConfig
    from .experiments import certify as certify
    from .experiments import execute as execute
    from .experiments import resume as resume
    from .report import open_run as open_run
    from .theory import Verdict as Verdict

__version__ = "0.1.0"

ROOMS = (
    "activations", "data", "experiments", "gram", "kernels", "models", "objectives", "predict", "report", "rigorous", "solvers",
    "systems", "theory", "train",
)  # fmt: skip

NAMES = {
    "RESULTS": "_core",
    "Estimate": "_core",
    "RunConfig": "experiments",
    "certify": "experiments",
    "execute": "experiments",
    "resume": "experiments",
    "open_run": "report",
    "Verdict": "theory",
}


def __getattr__(name: str) -> Any:
    if name in ROOMS:
        return importlib.import_module(f".{name}", __name__)
    if name in NAMES:
        return getattr(importlib.import_module(f".{NAMES[name]}", __name__), name)
    raise AttributeError(f"module 'globalmin' has no attribute {name!r}; it has {', '.join(__dir__())}")


def __dir__() -> list[str]:
    return sorted([*ROOMS, *NAMES, "__version__"])

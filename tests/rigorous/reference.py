"""The 300-bit references and the attacks of benchmarks/attack_certificates.py and benchmarks/attack_systems.py."""

import importlib.util
import sys
from pathlib import Path
from typing import Any


def _load(name: str) -> Any:
    path = Path(__file__).parents[2] / "benchmarks" / f"{name}.py"
    spec = importlib.util.spec_from_file_location(name, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


harness = _load("attack_certificates")
# They import one another by name, in this order.
layers, deep, solved, systems_harness, files_harness = (
    _load(name) for name in ("attack_layers", "attack_deep", "attack_solved", "attack_systems", "attack_files")
)

"""The 300-bit reference and the attack of benchmarks/attack_certificates.py."""

import importlib.util
import sys
from pathlib import Path
from typing import Any


def _load() -> Any:
    path = Path(__file__).parents[2] / "benchmarks" / "attack_certificates.py"
    spec = importlib.util.spec_from_file_location("attack_certificates", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


harness = _load()

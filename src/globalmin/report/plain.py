"""JSON that any reader takes: numbers, text, lists and objects, and the three words for what JSON cannot write."""

import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

_WORDS = {"Infinity": math.inf, "-Infinity": -math.inf, "NaN": math.nan}


def to_json(value: Any) -> str:
    """Valid JSON of nested dicts and sequences; non-finite floats become "Infinity", "-Infinity", "NaN".

    NumPy and JAX scalars and arrays become numbers and lists. **Raises:** `ValueError` for anything else.
    """
    return json.dumps(plain(value), indent=2, ensure_ascii=False, allow_nan=False) + "\n"


def from_json(text: str) -> Any:
    """The inverse of `to_json`: the three words become floats again. **Raises:** `ValueError` if it is not JSON."""
    return _floats(json.loads(text))


def plain(value: Any) -> Any:
    """`value` in the types of JSON. **Raises:** `ValueError` for a type that has no place there."""
    if isinstance(value, Mapping):
        return {str(key): plain(v) for key, v in value.items()}
    if isinstance(value, str) or value is None or isinstance(value, bool):
        return str(value) if isinstance(value, str) else value  # str(): also of a StrEnum
    if isinstance(value, int):
        return int(value)
    if isinstance(value, float):
        if math.isfinite(value):
            return float(value)
        return "NaN" if math.isnan(value) else "Infinity" if value > 0 else "-Infinity"
    if isinstance(value, list | tuple):
        return [plain(v) for v in value]
    if isinstance(value, Path):
        return str(value)
    if hasattr(value, "dtype") and hasattr(value, "tolist"):  # NumPy and JAX
        return plain(np.asarray(value).tolist())
    raise ValueError(f"JSON: numbers, text, lists and dicts expected, {type(value).__name__} came")


def _floats(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _floats(v) for key, v in value.items()}
    if isinstance(value, list):
        return [_floats(v) for v in value]
    return _WORDS.get(value, value) if isinstance(value, str) else value

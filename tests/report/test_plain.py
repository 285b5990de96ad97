"""JSON that any reader takes: checked by one that knows no more than the standard."""

import json

import numpy as np
import pytest

from globalmin.report import from_json, to_json


def test_json_is_valid_and_comes_back():
    value = {
        "inf": np.inf,
        "minus": -np.float32(np.inf),
        "nan": float("nan"),
        "third": 1 / 3,
        "numpy": np.float64(0.1),
        "int": np.int32(3),
        "flag": np.bool_(True),
        "array": np.array([[1.0, np.inf]]),
        "pair": (1, None, "λ₀"),
    }

    def refuse(word):
        raise AssertionError(f"{word} is not JSON")

    text = to_json(value)
    assert json.loads(text, parse_constant=refuse)["inf"] == "Infinity"
    back = from_json(text)
    assert back["inf"] == np.inf
    assert back["minus"] == -np.inf
    assert np.isnan(back["nan"])
    assert back["third"] == 1 / 3
    assert back["numpy"] == 0.1
    assert back["flag"] is True
    assert back["array"] == [[1.0, np.inf]]
    assert back["pair"] == [1, None, "λ₀"]
    with pytest.raises(ValueError, match="set came"):
        to_json({"a": {1, 2}})

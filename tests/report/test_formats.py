import math
import re

import numpy as np
import pytest

from globalmin.report import formats

DIGITS = {mark: digit for digit, mark in enumerate("⁰¹²³⁴⁵⁶⁷⁸⁹")}


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        (None, "not given"),
        (0.0, "0"),
        (1024, "1024"),
        (1024.0, "1024"),
        (0.0231, "0.0231"),
        (0.03, "0.03"),
        (-0.5, "−0.5"),
        (5.4e13, "5.4×10¹³"),
        (1.6042e-6, "1.604×10⁻⁶"),
        (-2e-15, "−2×10⁻¹⁵"),
        (1e7, "10⁷"),
        (-1e-10, "−10⁻¹⁰"),
        (999_999, "999999"),
        (99999.6, "100000"),
        (123456.7, "123500"),
        (math.inf, "∞"),
        (-math.inf, "−∞"),
        (math.nan, "NaN"),
        (True, "yes"),
        ("relu", "relu"),
        (np.float64(0.25), "0.25"),
    ],
)
def test_number(value, shown):
    assert formats.number(value) == shown


def test_number_is_within_half_a_unit_of_its_last_digit():
    for value in np.random.default_rng(0).normal(size=200) * 10.0 ** np.arange(-20, 20).repeat(5):
        shown = formats.number(float(value)).replace("−", "-")
        mantissa, _, power = shown.partition("×10")
        sign = -1 if power.startswith("⁻") else 1
        exponent = sign * int("".join(str(DIGITS[c]) for c in power.strip("⁻")) or 0)
        # Four significant digits: a relative error of at most 0.5e-3.
        assert float(mantissa) * 10.0**exponent == pytest.approx(value, rel=0.5e-3)
        assert len(re.sub(r"[^0-9]", "", mantissa).strip("0")) <= 4


def test_with_error():
    assert formats.with_error(0.5, 3.14e-14) == "0.5 ± 3.1×10⁻¹⁴"
    assert formats.with_error(0.5, 0.0) == "0.5"
    assert formats.with_error(None, None) == "not given"


@pytest.mark.parametrize(
    ("lhs", "relation", "rhs", "verdict", "said"),
    [
        (1024.0, ">=", 5.4e13, "FAILS", "short by a factor of 5.3×10¹⁰"),
        (0.03, "<=", 0.0231, "FAILS", "over by a factor of 1.3"),
        (18701.0, "<", 1.0, "FAILS", "over by a factor of 19000"),
        (1024.0, ">=", 5.4e13, "HOLDS", ""),
        (-1.0, ">", 0.0, "FAILS", ""),
        (1.0, ">=", math.inf, "FAILS", ""),
        (1.0, ">=", None, "UNDECIDED", ""),
    ],
)
def test_factor_missed(lhs, relation, rhs, verdict, said):
    assert formats.factor_missed({"lhs": lhs, "relation": relation, "rhs": rhs, "verdict": verdict}) == said


def test_fails_is_told_as_silence():
    assert "silent" in formats.meaning("FAILS")


def test_bound_is_a_formula_in_the_epoch():
    promise = {"relation": "<=", "limit": 64.0, "factor": 1 - 3.47e-4, "start": 0}
    assert formats.bound(promise) == "≤ 64 · (1 − 0.000347)^k"
    assert formats.bound({**promise, "start": 40, "factor": 0.5}) == "≤ 64 · 0.5^(k − 40)"
    assert formats.bound({**promise, "factor": 1.0}) == "≤ 64"
    assert formats.bound({**promise, "factor": 1.0, "relation": ">=", "start": 40}) == "≥ 64 from epoch 40 on"


def test_title():
    assert formats.title("GradientDescentRate") == "Gradient descent rate"
    assert formats.title("Theorem1Printed") == "Theorem1 printed"


def test_errata_of_theorems_come_once_with_their_users(certificate, correction):
    theorem = certificate["theorems"][0]
    other = {**theorem, "theorem": "Other", "errata": ["test-1", "from-a-newer-version"]}
    first, second = formats.errata([theorem, other])
    assert first == {**vars(correction), "used_by": "Gradient descent rate, Other"}
    assert second["id"] == "from-a-newer-version"
    assert "unknown" in second["why"]


def test_facts_are_flat_and_readable():
    values = {
        "step_size": 0.03,
        "none": None,
        "empty": [],
        "source": {"name": "x", "none": None},
        "steps": [{"step": "normalize", "norm": "unit"}, {"step": "cut"}],
        "many": list(range(20)),
    }
    assert formats.facts(values) == [
        ("step size", "0.03"),
        ("source: name", "x"),
        ("steps", "step normalize, norm unit; step cut"),
        ("many", "0, 1, 2, 3, 4, 5, 6, 7 and 12 more"),
    ]


def test_geometry_in_words(certificate):
    found = dict(formats.geometry(certificate["data"]["geometry"]))
    assert found["row norms"] == "all 1"
    assert found["closest pair"] == "rows 17 and 40, 0.0731 rad between their lines"
    uneven = {"min_norm": 0.5, "max_norm": 2.0, "closest_pair": {"rows": [1, 2], "angle": 0.1, "opposite": True}}
    found = dict(formats.geometry(uneven))
    assert found["row norms"] == "from 0.5 to 2"
    assert found["closest pair"].endswith("opposite sides")

import inspect
import math

import numpy as np
import pytest
import scipy.integrate

from globalmin.theory import (
    ERRATA,
    AbstractCertificate,
    du2018_conv,
    du2018_filter,
    du2019,
    du2019_deep,
    erratum,
    gao2022,
    ling2023,
    noy2021,
)

CERTIFICATES = [
    cls
    for module in (du2018_conv, du2018_filter, du2019, du2019_deep, gao2022, ling2023, noy2021)
    for _, cls in inspect.getmembers(module, inspect.isclass)
    if issubclass(cls, AbstractCertificate) and not cls.__name__.startswith("Abstract")
]


def test_every_correction_of_the_sources_is_listed():
    assert {f"gao2022-A{k}" for k in range(1, 11)} <= set(ERRATA)
    assert {f"du2019-1{letter}" for letter in "abcdefghijk"} <= set(ERRATA)
    parts = {"2": "abcdefghijklmnopq", "3": "abcdefghij", "4": "abcdefghijk", "5": "abcd"}
    assert {f"du2019-{part}{letter}" for part, letters in parts.items() for letter in letters} <= set(ERRATA)
    assert {f"du2018-conv-5.{k}" for k in range(1, 22)} <= set(ERRATA)
    assert {f"du2018-filter-6.{k}" for k in range(1, 22)} <= set(ERRATA)
    assert {f"ling2023-B{k}" for k in range(1, 14)} <= set(ERRATA)


@pytest.mark.parametrize("entry", ERRATA.values(), ids=lambda e: e.id)
def test_entries_are_complete(entry):
    assert ERRATA[entry.id] is entry
    assert entry.severity in ("substantive", "constant", "typo")
    for text in (entry.source, entry.where, entry.printed, entry.corrected, entry.why):
        assert text.strip() == text != ""
    assert entry.printed != entry.corrected


@pytest.mark.parametrize("cls", CERTIFICATES, ids=lambda c: f"{c.__module__.split('.')[2]}.{c.__name__}")
def test_certificates_name_existing_errata(cls):
    for id in cls.errata_ids:
        assert erratum(id).id == id
    assert cls.source
    assert cls.statement
    assert cls.method in ("any", "flow", "descent", "two-rate descent", "descent with adaptive steps")


def test_all_theorems_are_found():
    assert len(CERTIFICATES) == 57 + 15 + 11  # the networks', then du2018_conv's and du2018_filter's


def test_an_unknown_id_names_its_neighbours():
    with pytest.raises(ValueError, match="ling2023-B1"):
        erratum("ling2023-B14")
    with pytest.raises(ValueError, match="systems --errata"):
        erratum("?")


def test_1b_the_printed_movement_bound_is_exceeded():
    """A network of four neurons on one input, integrated; the exact answer is 2."""
    w, a, y = np.array([1.0, -1.0, -1.0, -1.0]), np.array([1.0, 1.0, 1.0, 1.0]), 1.5

    def output(w):
        return a @ np.maximum(w, 0) / 2

    def flow(_, w):
        return -a / 2 * (output(w) - y) * (w >= 0)

    assert y - output(w) == 1
    h = np.mean(w >= 0)  # H = 1/4 = λ₀/2, λ₀ = 1/2, throughout: nobody changes sign
    lam = 0.5
    assert h == lam / 2
    end = scipy.integrate.solve_ivp(flow, (0, 160), w, rtol=1e-10, atol=1e-12).y[:, -1]
    moved = abs(end - w).max()
    printed = 1 / (math.sqrt(4) * lam)
    assert printed == 1
    assert moved == pytest.approx(2, abs=1e-8)  # the integrator's tolerance times a path of length 2
    assert moved > 1.9 * printed
    assert moved <= 2 * printed * (1 + 1e-9)


def test_1f_the_initial_residual():
    """E f² = 1/2 for a unit input, by sampling networks: 4 standard errors."""
    draw = np.random.default_rng(0)
    f = (draw.choice([-1.0, 1.0], (20000, 16)) * np.maximum(draw.normal(size=(20000, 16)), 0)).sum(1) / 4
    squares = f**2
    assert abs(squares.mean() - 0.5) < 4 * squares.std() / math.sqrt(len(f))


def test_b6_the_factor_four_leaves_no_decrease():
    lam, c_2 = 1.0, 0.25  # (9) with factor 4, with equality
    assert 1 - 0.1 * (lam - 4 * c_2) == 1
    assert 1 - 0.1 * (lam - 4 * lam / 8) == 1 - 0.1 * lam / 2

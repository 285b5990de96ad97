import dataclasses
import math
from typing import Any

import numpy as np
import pytest

from globalmin._core import Estimate
from globalmin.theory import Verdict
from globalmin.theory.du2019 import (
    GradientDescent,
    GradientDescentPrinted,
    GradientFlow,
    GradientFlowPrinted,
    PositiveLimit,
    Start,
)

HOLDS, FAILS, UNDECIDED = Verdict.HOLDS, Verdict.FAILS, Verdict.UNDECIDED
X3 = np.array([[1, 0, 0], [0.6, 0.8, 0], [2 / 3, -1 / 3, 2 / 3]])
LAMBDA_X3 = 0.1944149948257


def start(**changes):
    numbers: dict[str, Any] = {
        "n": 3,
        "width": 10**15,
        "lambda_0": LAMBDA_X3,
        "delta": 0.1,
        "label_bound": 1.0,
        "label_max": 1.0,
    }
    return Start(**(numbers | changes))


def theorems(s, step_size=1e-3):
    return GradientFlow(s), GradientDescent(s, step_size)


def row(certificate, part) -> Any:
    (found,) = [h for h in certificate.hypotheses() if part in h.name]
    return found


def promise(certificate, quantity, conclusion=True):
    (found,) = [p for p in certificate.promises() if p.quantity == quantity and p.conclusion == conclusion]
    return found


def limit_kernel(x):
    cosine = np.clip(x @ x.T, -1, 1)
    return x @ x.T * (np.pi - np.arccos(cosine)) / (2 * np.pi)


def test_explicit_constants():
    """The specification's check C2: 12 digits are printed there, and λ₀ has 13."""
    flow, descent = theorems(start())
    assert row(flow, "8n²").rhs == pytest.approx(11984.83, abs=5e-3)
    assert row(descent, "8n²").rhs == row(flow, "8n²").rhs
    assert row(flow, "512/π").rhs == pytest.approx(3.36808937510e12, rel=1e-11)
    assert row(descent, "8192/π").rhs == pytest.approx(5.38894300017e13, rel=1e-11)
    assert row(descent, "η ≤").rhs == pytest.approx(5.40041652293e-3, rel=1e-11)
    assert promise(flow, "movement", False).limit == pytest.approx(1.12806972926e-4, rel=1e-11)
    assert promise(descent, "movement", False).limit == pytest.approx(5.64034864632e-5, rel=1e-11)


@pytest.mark.parametrize("which", [0, 1])
@pytest.mark.parametrize("residual_0", [None, 0.3])
def test_the_width_is_where_the_movement_meets_its_radius(which, residual_0):
    """R′ < R in the promises exactly when the width hypothesis holds."""
    needed = row(theorems(start(residual_0=residual_0))[which], "/π").rhs
    for width, verdict in ((math.floor(needed), FAILS), (math.ceil(needed), HOLDS)):
        certificate = theorems(start(residual_0=residual_0, width=width))[which]
        inside = promise(certificate, "movement").limit < promise(certificate, "movement", False).limit
        assert row(certificate, "/π").verdict is verdict
        assert inside == (verdict is HOLDS)


@pytest.mark.parametrize("n", [1, 2, 7, 50])
def test_one_step_of_descent_contracts(n):
    """1 − ηλ₀ + 2C_S(n² + n^{3/2})R/δ′ η + η²n² ≤ 1 − ηλ₀/2 at the largest step size, C_S = √(2/π)."""
    certificate = GradientDescent(start(n=n), 1e-9)
    radius, eta = promise(certificate, "movement", False).limit, row(certificate, "η ≤").rhs
    spread = 2 * math.sqrt(2 / math.pi) * (n**2 + n**1.5) * radius / (0.1 / 3)
    left = 1 - eta * LAMBDA_X3 + spread * eta + eta**2 * n**2
    assert left <= (1 - eta * LAMBDA_X3 / 2) * (1 + 1e-12)
    # And the drift of H on that ball stays below λ₀/4, for flow with equality.
    for theorem, share in ((GradientFlow(start(n=n)), 4), (certificate, 8)):
        drift = 4 * n**2 * promise(theorem, "movement", False).limit / (math.sqrt(2 * math.pi) * 0.1 / 3)
        assert drift == pytest.approx(LAMBDA_X3 / share, rel=1e-12)
        assert drift <= promise(theorem, "gram_drift", False).limit * (1 + 1e-12)


def test_rates():
    flow, descent = theorems(start(residual_0=0.5), 2e-3)
    assert promise(flow, "loss").at(0) == promise(descent, "loss").at(0) == 0.125
    assert promise(flow, "loss").at(3) == pytest.approx(0.125 * math.exp(-3 * LAMBDA_X3), rel=1e-12)
    assert promise(descent, "loss").at(3) == pytest.approx(0.125 * (1 - 1e-3 * LAMBDA_X3) ** 3, rel=1e-12)
    assert promise(descent, "lambda_min").limit == LAMBDA_X3 / 2
    assert promise(theorems(start())[0], "loss").limit == pytest.approx(3 * 1.5 / (0.1 / 3) / 2, rel=1e-12)


def test_good_numbers_hold():
    for certificate in theorems(start()):
        assert certificate.verdict is HOLDS
        assert next(e.id for e in certificate.errata()) == "du2019-1a"


@pytest.mark.parametrize(
    ("changes", "part"),
    [
        ({"activation": "tanh"}, "ReLU"),
        ({"norm_deviation": 1e-3}, "‖x_i‖"),
        ({"label_max": 2.0}, "C ≥"),
        ({"lambda_0": 0.0}, "λ₀ > 0"),
        ({"lambda_0": -1e-3}, "λ₀ > 0"),
        ({"width": 10**12}, "/π"),
        ({"width": 11984}, "8n²"),
        ({"delta": 1e-9}, "/π"),
    ],
)
def test_inputs_that_must_not_pass(changes, part):
    for certificate in theorems(start(**changes)):
        assert certificate.verdict is FAILS
        assert row(certificate, part).verdict is FAILS


@pytest.mark.parametrize(("eta", "verdict"), [(5.4e-3, HOLDS), (5.41e-3, FAILS), (0.0, FAILS), (-1.0, FAILS)])
def test_the_step_size(eta, verdict):
    assert GradientDescent(start(), eta).verdict is verdict


def test_a_step_size_beyond_all_rates_promises_no_rate():
    certificate = GradientDescent(start(), 1e3)
    assert {p.quantity for p in certificate.promises()} == {"lambda_min", "movement", "gram_drift"}


def test_another_activation_is_told_in_words():
    assert "says nothing of gelu" in row(GradientFlow(start(activation="gelu")), "ReLU").note


@pytest.mark.parametrize("which", [0, 1])
def test_an_uncertain_eigenvalue_leaves_the_width_undecided(which):
    needed = row(theorems(start())[which], "/π").rhs
    sure = start(width=int(needed * 1.01), lambda_0=Estimate(LAMBDA_X3, LAMBDA_X3 * 1e-3))
    unsure = start(width=int(needed * 1.01), lambda_0=Estimate(LAMBDA_X3, LAMBDA_X3 * 1e-2))
    assert row(theorems(sure)[which], "/π").verdict is HOLDS  # 1.001⁴ < 1.01 < 1.01⁴
    assert row(theorems(unsure)[which], "/π").verdict is UNDECIDED
    assert row(theorems(dataclasses.replace(unsure, width=int(needed * 0.9)))[which], "/π").verdict is FAILS
    assert theorems(start(lambda_0=Estimate(1e-12, 1e-10)))[which].verdict is not HOLDS
    # Promises are made with the lower end.
    assert promise(theorems(unsure)[which], "lambda_min").limit == pytest.approx(LAMBDA_X3 * 0.99 / 2, rel=1e-12)


def test_the_printed_form_is_an_order():
    flow, descent = GradientFlowPrinted(start()), GradientDescentPrinted(start(), 1e-3)
    assert flow.verdict is descent.verdict is UNDECIDED
    assert "not the constant" in row(flow, "m ≥ c").note
    assert row(GradientFlowPrinted(start(), 2.0), "m ≥ c").rhs == pytest.approx(2 * 3**6 / (LAMBDA_X3**6 * 0.1**3))
    assert GradientFlowPrinted(start(), 2.0).verdict is HOLDS
    assert GradientFlowPrinted(start(width=10), 2.0).verdict is FAILS
    assert GradientDescentPrinted(start(), 1e-3, 2.0, 0.25).verdict is HOLDS
    assert GradientDescentPrinted(start(), 1e-2, 2.0, 0.25).verdict is FAILS
    # The printed form stands beside the corrected one, too.
    assert "λ₀⁶" in row(GradientFlow(start()), "/π").note


@pytest.mark.parametrize("changes", [{"n": 0}, {"width": 0}, {"delta": 0.0}, {"delta": 1.0}])
def test_bad_input(changes):
    with pytest.raises(ValueError, match="expected"):
        start(**changes)


@pytest.mark.parametrize(
    ("x", "verdict", "positive"),
    [
        (X3, HOLDS, True),
        (X3[[0, 1, 1]], FAILS, False),  # a duplicate: singular
        (np.array([[1.0, 0], [-1, 0]]), FAILS, True),  # antiparallel: silent, yet H^∞ = I/2
    ],
)
def test_positive_limit(x, verdict, positive):
    unit = x / np.linalg.norm(x, axis=1, keepdims=True)
    i, j = np.triu_indices(len(x), 1)
    # The angle between lines, from the sine's and cosine's sides at once.
    angles = 2 * np.arctan2(
        np.minimum(np.linalg.norm(unit[i] - unit[j], axis=1), np.linalg.norm(unit[i] + unit[j], axis=1)),
        np.maximum(np.linalg.norm(unit[i] - unit[j], axis=1), np.linalg.norm(unit[i] + unit[j], axis=1)),
    )
    lam = np.linalg.eigvalsh(limit_kernel(unit))[0]
    k = int(angles.argmin())
    certificate = PositiveLimit(float(angles[k]), float(lam), (int(i[k]), int(j[k])))
    assert certificate.verdict is verdict
    assert (lam > 1e-6) == positive
    assert f"rows {i[k]} and {j[k]}" in row(certificate, "parallel").note


def test_positive_limit_is_undecided_inside_the_error_of_the_angle():
    assert PositiveLimit(Estimate(1e-17, 1e-16), 0.0).verdict is UNDECIDED
    assert PositiveLimit(Estimate(1e-9, 1e-16), 1e-10).verdict is HOLDS
    assert PositiveLimit(0.5, 0.1, activation="erf").verdict is FAILS


def descend(w, a, x, y, eta, steps):
    """Plain gradient descent: loss, λ_min(H), largest movement and drift of H at every iterate."""
    w_0, m = w, len(a)

    def gram(w):
        p = (x @ w.T >= 0).astype(float)
        return (x @ x.T) * (p @ p.T) / m

    h_0 = gram(w_0)
    for _ in range(steps + 1):
        u = np.maximum(x @ w.T, 0) @ a / math.sqrt(m)
        h = gram(w)
        yield {
            "loss": (u - y) @ (u - y) / 2,
            "lambda_min": np.linalg.eigvalsh(h)[0],
            "movement": np.linalg.norm(w - w_0, axis=1).max(),
            "gram_drift": np.linalg.norm(h - h_0, 2),
        }
        w = w - eta * (a[:, None] * ((x @ w.T >= 0) * (u - y)[:, None]).T) @ x / math.sqrt(m)


def test_descent_keeps_what_is_certified():
    """Labels near the outputs make the measured form hold at 3000 neurons; then all its promises must be kept.

    The theorem allows a share δ of the draws to break them; its margins are wide, so that here none may.
    """
    x = X3[:2]
    lam = float(np.linalg.eigvalsh(limit_kernel(x))[0])
    for seed in range(8):
        draw = np.random.default_rng(seed)
        w, a = draw.normal(size=(3000, 3)), draw.choice([-1.0, 1.0], 3000)
        u = np.maximum(x @ w.T, 0) @ a / math.sqrt(3000)
        y = u + 1e-3 * draw.normal(size=2)
        s = Start(2, 3000, lam, 0.5, 5.0, float(abs(y).max()), residual_0=float(np.linalg.norm(u - y)))
        eta = row(GradientDescent(s, 1e-3), "η ≤").rhs
        certificate = GradientDescent(s, eta)
        assert certificate.verdict is HOLDS
        for k, seen in enumerate(descend(w, a, x, y, eta, 150)):
            for p in certificate.promises():
                assert p.kept(k, seen[p.quantity], 1e-8), (seed, k, p.name)  # outputs carry 1e-13 of 1e-3

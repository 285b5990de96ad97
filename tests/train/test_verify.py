"""Promises held against series: kept, broken at the right epoch, and granted no more than the stated error."""

import numpy as np
import pytest

from globalmin.theory import Promise
from globalmin.train import verify
from globalmin.train.monitors import schedule

EPOCHS = np.arange(6)


def falling(factor):
    return Promise("loss falls", "loss", "<=", 8.0, factor)


def test_a_kept_promise_has_a_margin_above_one():
    found = verify.lay_over(falling(0.5), "T", EPOCHS, 4.0 * 0.5**EPOCHS)
    assert found.kept is True
    assert found.first_broken is None
    assert found.margin == pytest.approx(2.0)
    assert found.compared == 6


def test_the_first_broken_epoch_is_named():
    values = 8.0 * 0.5**EPOCHS
    values[3] *= 1.001
    values[5] *= 2
    found = verify.lay_over(falling(0.5), "T", EPOCHS, values)
    assert found.kept is False
    assert found.first_broken == 3
    assert verify.sentence([found]) == "first broken: loss falls at epoch 3"


def test_lower_bounds_are_lower_bounds():
    promise = Promise("λ_min stays", "lambda_min", ">=", 1.0)
    assert verify.lay_over(promise, "T", EPOCHS, np.full(6, 1.1)).kept is True
    dipped = np.array([1.0, 1.0, 0.9, 1.0, 1.0, 1.0])
    assert verify.lay_over(promise, "T", EPOCHS, dipped).first_broken == 2
    # An error bar of the value is granted to the run, and not more.
    assert verify.lay_over(promise, "T", EPOCHS, dipped, error=0.11).kept is True
    assert verify.lay_over(promise, "T", EPOCHS, dipped, error=0.09).kept is False


def test_epochs_before_the_start_and_missing_looks_do_not_count():
    promise = Promise("from 3 on", "loss", "<=", 1.0, start=3)
    values = np.array([9.0, 9.0, 9.0, 0.5, np.nan, 0.5])
    found = verify.lay_over(promise, "T", EPOCHS, values)
    assert found.kept is True
    assert found.compared == 2


def test_nothing_to_compare_is_neither_kept_nor_broken():
    found = verify.lay_over(falling(0.5), "T", np.zeros(0, int), np.zeros(0))
    assert found.kept is None
    assert "nothing was promised" in verify.sentence([found])


def test_rounding_is_granted_in_the_norm_of_the_residual():
    """At a floor of 1e-6 a residual of 1e-6 is no breach of a bound that has fallen to 0; one of 2e-6 is."""
    promise = Promise("loss falls", "loss", "<=", 1.0, 1e-9)
    for residual, kept in ((0.9e-6, True), (2e-6, False)):
        values = np.full(6, residual**2 / 2)
        assert verify.lay_over(promise, "T", EPOCHS, values, residual_floor=1e-6).kept is kept


def test_steps_of_a_proof_do_not_change_the_sentence():
    proof = verify.lay_over(Promise("a radius", "movement", "<=", 0.1, conclusion=False), "T", EPOCHS, np.ones(6))
    kept = verify.lay_over(falling(0.5), "T", EPOCHS, 4.0 * 0.5**EPOCHS)
    assert proof.kept is False
    assert verify.sentence([proof, kept]) == "held throughout"


def test_floor_of_a_linear_descent_is_never_exceeded():
    """Descent on r = Jθ − y with θ rounded to float32 each step settles below eps‖θ‖/(ησ_min)."""
    g = np.random.default_rng(0)
    u, v = (np.linalg.qr(g.standard_normal((6, 6)))[0] for _ in range(2))
    sigma = np.array([1.0, 0.5, 0.2, 0.1, 0.05, 0.02])
    j = u @ np.diag(sigma) @ v
    solution = g.standard_normal(6) * 10
    y, theta = j @ solution, np.zeros(6, np.float32)
    eta = 1.0
    for _ in range(60_000):
        theta = (theta - np.float32(eta) * (j.T @ (j @ theta.astype(float) - y)).astype(np.float32)).astype(np.float32)
    settled = np.linalg.norm(j @ theta.astype(float) - y)
    floor = verify.residual_floor(float(np.finfo(np.float32).eps), float(np.linalg.norm(solution)), eta, 0.02, 0.0)
    assert 0 < settled <= floor


@pytest.mark.parametrize(("epochs", "looks"), [(1, 1), (7, 40), (1000, 40), (10**6, 12)])
def test_looks_are_log_spaced_from_first_to_last(epochs, looks):
    found = schedule(epochs, looks)
    assert found[0] == 0
    assert found[-1] == epochs
    assert np.all(np.diff(found) > 0)
    assert len(found) <= looks + 3
    steps = np.diff(np.log1p(found[found > epochs**0.5]))
    assert steps.size < 2 or steps.max() < 2 * steps.min() + 0.1


@pytest.mark.parametrize(("epochs", "looks"), [(0, 4), (4, 0)])
def test_no_epochs_or_looks_are_refused(epochs, looks):
    with pytest.raises(ValueError, match="at least 1"):
        schedule(epochs, looks)

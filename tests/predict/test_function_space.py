"""Function-space training against matrix exponentials, explicit iteration, dense solves and scikit-learn."""

import jax.numpy as jnp
import numpy as np
import pytest
import scipy.linalg
from sklearn.gaussian_process import GaussianProcessRegressor
from sklearn.gaussian_process.kernels import RBF
from sklearn.kernel_ridge import KernelRidge

from globalmin import activations
from globalmin.kernels import DenseKernel
from globalmin.predict import FunctionSpace

N, M = 12, 5


@pytest.fixture
def problem():
    rng = np.random.default_rng(0)
    x = rng.standard_normal((N + M, 4))
    gram = np.asarray(DenseKernel(activations.get("erf"), 2)(jnp.asarray(x))["ntk"])
    return x, gram, rng.standard_normal(N), rng.standard_normal(N), rng.standard_normal(M)


def space(problem, **options):
    _, gram, y, start, test_start = problem
    return FunctionSpace(gram[:N, :N], y, outputs=start, test_train=gram[N:, :N], test_outputs=test_start, **options)


@pytest.mark.parametrize("time", [0.0, 0.3, 20.0])
def test_flow_is_the_matrix_exponential(problem, time):
    _, gram, y, start, test_start = problem
    found = space(problem).flow(time)
    k, cross = gram[:N, :N], gram[N:, :N]
    left = scipy.linalg.expm(-k * time) @ (start - y)
    # Outputs of order 1, eigenvalues up to 10, λ_min ~ 0.1: a few hundred eps.
    np.testing.assert_allclose(found.train, y + left, atol=1e-12)
    np.testing.assert_allclose(found.test, test_start + cross @ np.linalg.solve(k, left - (start - y)), atol=1e-11)
    assert found.loss == pytest.approx(left @ left / 2, rel=1e-11)
    assert found.loss == pytest.approx(space(problem).losses([time])[0], rel=1e-11)
    assert "sum over the samples" in found.convention


def test_flow_for_all_time_interpolates(problem):
    _, gram, y, start, test_start = problem
    found = space(problem).flow(np.inf)
    np.testing.assert_allclose(found.train, y, atol=1e-14)
    want = test_start + gram[N:, :N] @ np.linalg.solve(gram[:N, :N], y - start)
    np.testing.assert_allclose(found.test, want, atol=1e-11)
    assert found.loss == 0


@pytest.mark.parametrize("factor", [0.01, 0.7, 1.3])
def test_descent_is_the_iteration(problem, factor):
    """Below, and above, the largest stable step size."""
    _, gram, y, start, test_start = problem
    whole = space(problem)
    step = factor * whole.largest_step_size
    u, v = start.copy(), test_start.copy()
    losses = [0.5 * np.sum((u - y) ** 2)]
    for _ in range(30):
        e = u - y
        u, v = u - step * gram[:N, :N] @ e, v - step * gram[N:, :N] @ e
        losses.append(0.5 * np.sum((u - y) ** 2))
    found = whole.descent(step, 30)
    # Both sides round each step: 30 · 12 eps of the largest number that came by.
    size = max(np.abs(u).max(), np.abs(v).max(), 1.0)
    np.testing.assert_allclose(found.train, u, atol=1e-13 * size)
    np.testing.assert_allclose(found.test, v, atol=1e-12 * size)
    np.testing.assert_allclose(whole.descent_losses(step, np.arange(31)), losses, rtol=1e-10)
    assert found.stable == (factor < 1)
    assert found.time == pytest.approx(30 * step)
    assert (losses[-1] < losses[0]) == (factor < 1)


def test_small_steps_are_flow(problem):
    whole, time = space(problem), 0.7
    flow = whole.flow(time)
    errors = [np.abs(whole.descent(time / k, k).test - flow.test).max() for k in (10**4, 10**6)]
    assert errors[0] / errors[1] == pytest.approx(100, rel=0.01)  # of first order in the step size
    assert whole.largest_step_size == pytest.approx(2 / np.linalg.eigvalsh(problem[1][:N, :N])[-1])


def test_a_step_that_kills_a_component(problem):
    """η λ_max = 1: log 0 is no obstacle, at no step either."""
    whole = space(problem)
    step = whole.largest_step_size / 2
    losses = whole.descent_losses(step, [0, 1])
    assert losses[0] == pytest.approx(whole.losses([0.0])[0])
    assert np.isfinite(losses).all()


def test_ridge_is_scikit_learns():
    rng = np.random.default_rng(1)
    x, y = rng.standard_normal((20, 3)), rng.standard_normal(20)
    gram = np.exp(-((x[:, None] - x) ** 2).sum(-1) / 2)
    model = KernelRidge(alpha=0.3, kernel="precomputed")  # pyright: ignore[reportArgumentType]
    model.fit(gram[:15, :15], y[:15])
    found = FunctionSpace(gram[:15, :15], y[:15], test_train=gram[15:, :15]).ridge(0.3)
    np.testing.assert_allclose(found.test, model.predict(gram[15:, :15]), atol=1e-12)
    np.testing.assert_allclose(found.train, model.predict(gram[:15, :15]), atol=1e-12)


@pytest.mark.parametrize("noise", [0.0, 0.2])
def test_posterior_is_scikit_learns(noise):
    rng = np.random.default_rng(2)
    x, y = rng.standard_normal((20, 3)), rng.standard_normal(20)
    gram = np.exp(-((x[:, None] - x) ** 2).sum(-1) / 2)
    model = GaussianProcessRegressor(RBF(1.0), alpha=max(noise, 1e-300), optimizer=None)  # pyright: ignore[reportArgumentType]
    model.fit(x[:15], y[:15])
    mean, covariance = model.predict(x[15:], return_cov=True)
    found = FunctionSpace(gram[:15, :15], y[:15], test_train=gram[15:, :15]).posterior(gram[15:, 15:], noise)
    # Condition number 1e3 without noise.
    np.testing.assert_allclose(found.mean, mean, atol=1e-11)
    np.testing.assert_allclose(found.covariance, covariance, atol=1e-11)
    assert found.log_evidence == pytest.approx(model.log_marginal_likelihood_value_, abs=1e-9)


def test_posterior_of_a_wide_network_s_prior():
    """Conditioning the NNGP on a training label without noise returns the label, with no uncertainty."""
    x = np.random.default_rng(3).standard_normal((6, 3))
    gram = np.asarray(DenseKernel(activations.get("relu"), 2)(jnp.asarray(x))["nngp"])
    y = np.arange(6.0)
    found = FunctionSpace(gram, y, test_train=gram).posterior(gram)
    np.testing.assert_allclose(found.mean, y, atol=1e-11)
    np.testing.assert_allclose(found.covariance, 0, atol=1e-12)


def test_singular_kernels():
    gram = np.ones((2, 2))
    whole = FunctionSpace(gram, np.array([1.0, -1.0]), test_train=np.ones((1, 2)))
    # What the kernel cannot see never moves; the rest does.
    np.testing.assert_allclose(whole.flow(1e6).train, [0, 0], atol=1e-9)
    assert whole.flow(1e6).loss == pytest.approx(1.0)
    for call in (lambda: whole.flow(np.inf), lambda: whole.ridge(0.0), lambda: whole.posterior(np.ones((1, 1)))):
        with pytest.raises(ValueError, match="a positive definite kernel expected") as error:
            call()
        assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda k, y: FunctionSpace(k[:, :2], y), "a square matrix expected"),
        (lambda k, y: FunctionSpace(k, y[:2]), r"y: shape \(3\) expected, \(2,\) came"),
        (lambda k, y: FunctionSpace(-k, y), "positive semidefinite matrix expected, λ_min = -1"),
        (lambda k, y: FunctionSpace(k + np.triu(k, 1) + np.eye(3, k=1), y), "a symmetric matrix expected"),
        (lambda k, y: FunctionSpace(k.astype(np.float32), y), "train_train: float64 expected"),
        (lambda k, y: FunctionSpace(k * np.nan, y), "train_train: finite entries expected"),
        (lambda k, y: FunctionSpace(k, y, test_outputs=y), "test_train expected with it"),
        (lambda k, y: FunctionSpace(k, y).flow(-1.0), "time: a number of at least 0"),
        (lambda k, y: FunctionSpace(k, y).descent(0.0, 3), "step_size: a positive number"),
        (lambda k, y: FunctionSpace(k, y).descent(0.1, -3), "steps: an integer of at least 0"),
        (lambda k, y: FunctionSpace(k, y).ridge(-1.0), "penalty: a number of at least 0"),
        (lambda k, y: FunctionSpace(k, y).posterior(k), "posterior: test_train expected"),
        (lambda k, y: FunctionSpace(k, y, test_train=k, outputs=y).posterior(k), "a prior of mean 0"),
        (lambda k, y: FunctionSpace(k, y, test_train=k).posterior(k, -1.0), "noise: a variance"),
    ],
)
def test_bad_input(make, message):
    with pytest.raises(ValueError, match=message):
        make(np.eye(3), np.ones(3))

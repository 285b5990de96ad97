import jax
import jax.numpy as jnp
import numpy as np
import pytest

from globalmin._core import RESULTS
from globalmin.solvers import Anderson, Iteration, Splitting, solve

N, M = 3, 20


def affine(getkey, norm, symmetric=False):
    """H = H A + C, whose solution is a linear solve."""
    a = np.asarray(jax.random.normal(getkey(), (M, M)))
    a = a + a.T if symmetric else a
    a = a * (norm / np.linalg.norm(a, 2))
    c = np.asarray(jax.random.normal(getkey(), (N, M)))
    return jnp.asarray(a), jnp.asarray(c), np.linalg.solve((np.eye(M) - a).T, c.T).T


def image(h, args):
    a, c = args
    return h @ a + c


def make(method, a, c, tolerance):
    if method == "splitting":
        return Splitting(tolerance, lambda h: h, a, c)
    return {"iteration": Iteration, "anderson": Anderson}[method](tolerance)


@pytest.mark.parametrize("method", ["iteration", "anderson", "splitting"])
def test_methods_match_dense_algebra(getkey, method):
    a, c, want = affine(getkey, 0.6)
    scale = jnp.linalg.norm(c)
    found = solve(image, jnp.zeros_like(c), (a, c), scale=scale, solver=make(method, a, c, 1e-13))
    assert found.result == RESULTS.successful
    # Relative residual 1e-13 of ‖C‖ < 12, amplified by 1/(1 − 0.6).
    np.testing.assert_allclose(found.value, want, rtol=0, atol=3e-12)


@pytest.mark.parametrize("tolerance", [1e-3, 1e-6, 1e-9])
def test_residual_and_iterations_are_those_of_a_loop(getkey, tolerance):
    a, c, _ = affine(getkey, 0.5)
    scale = float(jnp.linalg.norm(c))
    h, count, residual = np.zeros((N, M)), 0, np.inf
    while residual > tolerance:
        following = h @ np.asarray(a) + np.asarray(c)
        residual, h, count = np.linalg.norm(following - h) / scale, following, count + 1
    found = solve(image, jnp.zeros_like(c), (a, c), scale=scale, solver=Iteration(tolerance))
    assert int(found.iterations) == count
    np.testing.assert_allclose(found.residual, residual, rtol=1e-8)  # rounding against a residual of 1e-9
    np.testing.assert_allclose(found.value, h, rtol=0, atol=1e-14)


def test_anderson_is_exact_in_the_dimension_and_fast_near_norm_one(getkey):
    # On a symmetric map of norm 0.99 the plain iteration needs log(1e-8)/log(0.99) steps, about 1800.
    a, c, want = affine(getkey, 0.99, symmetric=True)
    scale = jnp.linalg.norm(c)
    fast = solve(image, jnp.zeros_like(c), (a, c), scale=scale, solver=Anderson(1e-8))
    slow = solve(image, jnp.zeros_like(c), (a, c), scale=scale, solver=Iteration(1e-8), max_steps=5000)
    assert fast.result == slow.result == RESULTS.successful
    assert 4 * int(fast.iterations) < int(slow.iterations)
    np.testing.assert_allclose(fast.value, want, rtol=0, atol=1e-4)  # 1e-8 ‖C‖ / (1 − 0.99)
    # A window as long as the dimension makes it a Krylov method: it ends after as many steps.
    small = jnp.asarray([[0.5, 0.3], [-0.2, 0.4]])
    right = jnp.asarray([[1.0, 2.0]])
    found = solve(image, jnp.zeros((1, 2)), (small, right), scale=1.0, solver=Anderson(1e-9, depth=3))
    assert int(found.iterations) <= 5


def test_splitting_converges_where_iteration_diverges(getkey):
    # A rotation of length 4: ‖A‖ = 4, one-sided constant 0.
    a = 4 * jnp.asarray([[0.0, 1.0], [-1.0, 0.0]])
    c = jax.random.normal(getkey(), (N, 2))
    found = solve(
        lambda h, args: jnp.tanh(h) @ args[0] + args[1],
        jnp.zeros_like(c),
        (a, c),
        scale=1.0,
        solver=Splitting(1e-12, jnp.tanh, a, c),
    )
    assert found.result == RESULTS.successful
    h = np.asarray(found.value)
    np.testing.assert_allclose(np.tanh(h) @ np.asarray(a) + np.asarray(c), h, rtol=0, atol=1e-11)
    assert solve(image, c, (a, c), scale=1.0, solver=Iteration(1e-6)).result == RESULTS.nonfinite


def test_warm_start_at_the_solution_costs_one_evaluation(getkey):
    a, c, want = affine(getkey, 0.6)
    for method in ("iteration", "anderson", "splitting"):
        solver = make(method, a, c, 1e-10)
        found = solve(image, jnp.asarray(want), (a, c), scale=jnp.linalg.norm(c), solver=solver)
        assert int(found.iterations) == 1


@pytest.mark.parametrize("method", ["iteration", "anderson", "splitting"])
def test_derivatives_are_those_of_the_linear_solve(getkey, method):
    a, c, _ = affine(getkey, 0.6)

    def total(a, c):
        solver = make(method, a, c, 1e-14)
        return jnp.sum(solve(image, jnp.zeros_like(c), (a, c), scale=1.0, solver=solver).value ** 2)

    def direct(a, c):
        return jnp.sum(jnp.linalg.solve((jnp.eye(M) - a).T, c.T) ** 2)

    for got, want in zip(jax.grad(total, (0, 1))(a, c), jax.grad(direct, (0, 1))(a, c), strict=True):
        np.testing.assert_allclose(got, want, rtol=0, atol=1e-10)


def test_failures_are_results(getkey):
    a, c, _ = affine(getkey, 0.9, symmetric=True)
    few = solve(image, c, (a, c), scale=1.0, solver=Iteration(1e-10), max_steps=7)
    assert few.result == RESULTS.not_converged
    assert int(few.iterations) == 7
    with pytest.raises(Exception, match="max_steps"):
        few.checked()
    for start, matrix in ((c.at[0, 0].set(jnp.nan), a), (c, 1e3 * a)):
        assert solve(image, start, (matrix, c), scale=1.0, solver=Iteration(1e-10)).result == RESULTS.nonfinite
    assert jnp.isfinite(few.value).all()


def test_a_map_that_never_settles_ends(getkey):
    found = solve(lambda h, _: -h, jnp.ones((N, M)), scale=1.0, solver=Iteration(1e-6), max_steps=50)
    assert found.result == RESULTS.not_converged
    assert int(found.iterations) == 50


def test_scale_zero(getkey):
    found = solve(lambda h, _: 0.5 * h, jnp.zeros((N, M)), scale=0.0, solver=Iteration(1e-6))
    assert found.result == RESULTS.successful
    assert float(found.residual) == 0.0


def test_bad_settings():
    start = jnp.zeros((N, M), jnp.float32)
    with pytest.raises(ValueError, match="rounding error of float32"):
        solve(lambda h, _: h, start, scale=1.0, solver=Iteration(1e-12))
    with pytest.raises(ValueError, match="rounding error"):
        solve(lambda h, _: h, start, scale=1.0, solver=Iteration(float("nan")))
    with pytest.raises(ValueError, match="max_steps"):
        solve(lambda h, _: h, start, scale=1.0, solver=Iteration(1e-3), max_steps=0)

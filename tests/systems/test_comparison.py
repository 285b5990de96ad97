"""The point that the displacement form compares with: dense algebra for the step, every system's own gradient behind it."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from globalmin import gram, systems
from globalmin.systems.comparison import displacement, fitted
from globalmin.theory import Verdict


def problem(getkey, name, n=4, d=3, m=60):
    x = jax.random.normal(getkey(), (n, d))
    x = x / jnp.linalg.norm(x, axis=1, keepdims=True)
    system = systems.build(name, activation="tanh")
    model = system.init(d, m, key=getkey())
    return system, model, x, model.outputs(x) + 0.05 * jax.random.normal(getkey(), (n,))


@pytest.mark.parametrize("name", ["two-layer", "equilibrium"])
def test_the_gauss_newton_point_fits_and_is_as_near_as_the_pseudo_inverse_says(getkey, name):
    system, model, x, y = problem(getkey, name)
    iterate = system.iterate(model, x, y)
    jacobian = np.asarray(gram.jacobian(model, x))
    shortest = float(np.linalg.norm(np.linalg.pinv(jacobian) @ np.asarray(iterate.residual)))
    assert displacement(iterate) == pytest.approx(shortest, rel=1e-6)  # the solves of Z stop at 1e-9 relative
    found = fitted(system, iterate)
    assert found is not None
    point, comparison = found
    assert comparison.residual.value < 1e-3 * iterate.rho.value
    assert comparison.residual.value == pytest.approx(np.linalg.norm(point.model.outputs(x) - y), rel=1e-3)
    # The move is the pseudo-inverse's up to the curvature, which is of the order of its square.
    assert comparison.distance.value == pytest.approx(shortest, rel=5 * shortest)
    leaves = zip(jax.tree.leaves(model), jax.tree.leaves(point.model), strict=True)
    moved = np.sqrt(sum(float(jnp.sum((a - b) ** 2)) for a, b in leaves))
    assert comparison.distance.value == pytest.approx(moved, rel=1e-12)


def test_duplicate_rows_with_different_labels_have_no_such_point(getkey):
    system, model, x, y = problem(getkey, "two-layer")
    x = x.at[1].set(x[0])
    iterate = system.iterate(model, x, y.at[1].set(y[0] + 1.0))
    assert fitted(system, iterate) is None or displacement(iterate) > 1e3  # a Cholesky factor of rounding at best
    for certificate in system.kantorovich(iterate, 0.01, width=60):
        assert certificate.outcome is not Verdict.HOLDS

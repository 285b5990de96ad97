"""log(1 + e^z) against extended precision, its derivatives against the sigmoid's."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from globalmin._core.softplus import softplus


@pytest.mark.parametrize(("dtype", "lowest", "units"), [("float64", -700.0, 2), ("float32", -80.0, 4)])
def test_softplus_to_a_few_units(dtype, lowest, units):
    z = np.concatenate([np.linspace(lowest, 60, 4001), np.linspace(-2, 2, 4001), [0.0, 1e-300, -1e-30]]).astype(dtype)
    want = np.log1p(np.exp(z.astype(np.longdouble)))
    # The exponential, the quotient, the series and the sum are each good to about half a unit; XLA's float32 exponential
    # to two.
    error = np.abs(np.asarray(softplus(jnp.asarray(z))).astype(np.longdouble) - want) / want
    assert error.max() <= units * np.finfo(dtype).eps


def test_softplus_at_the_ends():
    z = jnp.array([jnp.inf, -jnp.inf, jnp.nan, 1e300, -1e300])
    np.testing.assert_array_equal(softplus(z), [jnp.inf, 0.0, jnp.nan, 1e300, 0.0])


def test_derivatives_of_softplus_also_at_zero():
    z = jnp.array([-30.0, -1.0, 0.0, 0.3, 20.0])
    s = 1 / (1 + np.exp(-np.asarray(z)))
    # A few eps of 1: 1 − s cancels in the reference.
    for order, want in ((1, s), (2, s * (1 - s)), (3, s * (1 - s) * (1 - 2 * s))):
        f = softplus
        for _ in range(order):
            f = jax.grad(f)
        np.testing.assert_allclose(jax.vmap(f)(z), want, rtol=0, atol=1e-15)

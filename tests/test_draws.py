"""The tests' normal deviates are JAX's own, bit for bit."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from . import draws


@pytest.mark.parametrize(("shape", "dtype"), [((33, 40), jnp.float64), ((3, 4, 7), jnp.float32)])
def test_they_are_those_of_jax(getkey, shape, dtype):
    key = getkey()
    found, want = jax.random.normal(key, shape, dtype), draws.original(key, shape, dtype)
    assert jax.random.normal is draws.normal
    assert found.dtype == want.dtype
    np.testing.assert_array_equal(found, want)


def test_in_larger_programs_nothing_changes(getkey):
    keys = jax.random.split(getkey(), 3)
    np.testing.assert_array_equal(
        jax.vmap(lambda key: jax.random.normal(key, (2,)))(keys), [draws.original(key, (2,)) for key in keys]
    )

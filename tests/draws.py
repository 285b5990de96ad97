"""Normal deviates as JAX draws them, by a few programs for all shapes instead of one for each.

JAX's generator counts through an array in the order of its entries, so that a longer array begins with the same numbers;
`test_draws.py` holds that. Compiling it takes half a second, and the tests draw arrays of some two hundred shapes.
"""

import math

import jax
import jax.numpy as jnp
import numpy as np

from globalmin._core.numerics import is_concrete

original = jax.random.normal


def normal(key, shape=(), dtype=None, **more):
    """`jax.random.normal`; outside of a larger program from the beginning of an array whose length is a power of two."""
    count = math.prod(shape)
    if not is_concrete(key) or more or not count:
        return original(key, shape, dtype, **more)
    length = max(1024, 2 ** math.ceil(math.log2(count)))
    return jnp.asarray(np.asarray(original(key, (length,), dtype))[:count].reshape(shape))

"""Every test runs in float64, with strict dtype promotion, with warnings as errors and with checked shapes."""

from jaxtyping import install_import_hook

with install_import_hook("globalmin", "beartype.beartype"):
    import globalmin  # noqa: F401

import jax
import pytest

jax.config.update("jax_enable_x64", True)
jax.config.update("jax_numpy_dtype_promotion", "strict")


@pytest.fixture
def getkey(request):
    """A function that gives a fresh key at each call; the same sequence in every run of the same test."""
    seed = sum(ord(c) * 31**i for i, c in enumerate(request.node.name)) % 2**31
    state = [jax.random.key(seed)]

    def next_key():
        state[0], key = jax.random.split(state[0])
        return key

    return next_key

"""That the suite really checks shapes: a wrong one is an error of the annotation, where the code itself would go on."""

import jax.numpy as jnp
import jaxtyping
import pytest

from globalmin import activations
from globalmin.models import TwoLayer


def test_a_wrong_shape_is_seen_at_the_call(getkey):
    model = TwoLayer.init(3, 4, activations.get("relu"), key=getkey())
    assert model.outputs(jnp.ones((2, 3))).shape == (2,)
    for wrong in (jnp.ones(3), jnp.ones((2, 3), int)):
        with pytest.raises(jaxtyping.TypeCheckError, match="TwoLayer"):
            model.outputs(wrong)

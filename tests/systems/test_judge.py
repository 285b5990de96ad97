"""A network judged by its type: the same numbers as its system's, for every architecture that has one."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import globalmin
from globalmin import data, models, systems


@pytest.mark.parametrize("name", sorted(set(systems.NETWORKS.values())))
def test_a_network_is_certified_by_its_own_system(getkey, name):
    options: dict[str, Any] = {"activation": "tanh"} if "activation" in systems.SYSTEMS[name].options else {}
    if "image_shape" in systems.SYSTEMS[name].options:
        options["image_shape"], options["filter_size"] = (2, 2, 1), 1
    system = systems.build(name, **options)
    x = jax.random.normal(getkey(), (3, 4))
    x = x / jnp.linalg.norm(x, axis=1, keepdims=True) * (2.0 if system.row_norm == "sqrt-d" else 1.0)
    model = system.init(4, 24, key=getkey())
    y = model.outputs(x) + 1e-3 * jnp.arange(3.0)
    found = globalmin.certify(model, (x, y), step_size=1e-3)
    expected = system.kantorovich(system.iterate(model, x, y), 1e-3, width=24)
    assert found.to_fields() == expected[0].to_fields()
    assert found.width == 24
    assert globalmin.certify(model, (np.asarray(x), np.asarray(y)), flow=True).flow


def test_the_options_of_the_network_are_its_systems(getkey):
    model = models.TwoLayer.init(4, 6, globalmin.activations.get("gelu"), key=getkey())
    assert systems.system_of(model).activation.name == "gelu"
    implicit = models.Implicit.init(4, 6, globalmin.activations.get("tanh"), key=getkey(), gamma0=0.3, norm_bound=1.0)
    found = systems.system_of(implicit)
    assert isinstance(found, systems.ImplicitSystem)
    assert found.gamma == pytest.approx(0.3)


def test_a_data_set_serves_and_bad_input_is_named(getkey):
    dataset = data.load("sphere", n=3, d=4, normalize="unit")
    model = models.TwoLayer.init(4, 6, globalmin.activations.get("tanh"), key=getkey())
    assert globalmin.certify(model, dataset).width == 6
    with pytest.raises(ValueError, match="none came"):
        globalmin.certify(model, None)  # pyright: ignore

    class Other(models.TwoLayer):
        pass

    assert systems.system_of(Other(model.hidden, model.readout, model.activation)).name == "two-layer"
    with pytest.raises(ValueError, match="float64"):
        globalmin.certify(model, (jnp.zeros((3, 4), jnp.float32), jnp.zeros(3)))
    with pytest.raises(ValueError, match="expected"):
        globalmin.certify(model, (jnp.zeros((0, 4)), jnp.zeros(0)))

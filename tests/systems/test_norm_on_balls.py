"""‖J‖ on a ball, what descent's c is charged with, is never below the norm of a dense Jacobian in it.

The other networks' bounds are attacked where their Λ is (`tests/theory/test_curvature_*.py`).
"""

import dataclasses
import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.optimize

from globalmin import systems
from globalmin.theory.curvature.equilibrium import EquilibriumCurvature

N, D, M = 3, 4, 6


def two_layer(hidden, readout, x):
    slopes = (1 - np.tanh(x @ hidden.T) ** 2) * readout / np.sqrt(M)
    return (slopes[:, :, None] * x[:, None, :]).reshape(N, -1)


def equilibrium(hidden, inject, readout, x):
    z = np.zeros((N, M))
    for _ in range(2000):
        z = np.tanh(z @ hidden.T + x @ inject.T)
    slopes = 1 - z**2
    r = np.stack([np.linalg.solve(np.eye(M) - s[:, None] * hidden.T, s * readout) for s in slopes])
    blocks = r[:, :, None] * z[:, None, :], r[:, :, None] * x[:, None, :], z
    return np.hstack([b.reshape(N, -1) for b in blocks])


@pytest.mark.parametrize(
    ("name", "options", "moved", "jacobian"),
    [
        ("two-layer", {}, ("hidden",), lambda w, x, a: two_layer(w, a, x)),
        (
            "equilibrium",
            {"sigma_w2": 0.03},
            ("hidden", "inject", "readout"),
            lambda w, u, a, x, _: equilibrium(w, u, a, x),
        ),
    ],
)
def test_the_jacobian_stays_below_its_bound(name, options, moved, jacobian, getkey):
    """At random points, and along the right singular vectors of J, where all parameters act together."""
    system = systems.build(name, activation="tanh", **options)
    x = jax.random.normal(getkey(), (N, D))
    x = 2 * x / jnp.linalg.norm(x, axis=1, keepdims=True)
    model = system.init(D, M, key=getkey())
    parts = [np.asarray(getattr(model, block)) for block in moved]
    sizes = np.cumsum([part.size for part in parts])

    def at(change):
        pieces = np.split(change, sizes[:-1])
        there = [part + piece.reshape(part.shape) for part, piece in zip(parts, pieces, strict=True)]
        return jacobian(*there, np.asarray(x), np.asarray(model.readout))  # pyright: ignore

    _, curvature, reason = system.curvature(system.iterate(model, x, jnp.ones(N)))
    assert curvature is not None, reason
    norm = curvature.norm
    assert norm is not None
    _, values, rows = np.linalg.svd(at(np.zeros(sizes[-1])), full_matrices=False)
    assert values[0] == pytest.approx(curvature.jacobian_norm.value, rel=1e-6)
    assert values[0] <= norm(0.0) * (1 + 1e-9)
    assert norm(0.0) <= 6 * values[0], "not a bound worth having"
    draws = np.random.default_rng(0).standard_normal((20, sizes[-1]))
    for radius in (0.05, 0.3, 1.0):
        bound = norm(radius)
        assert bound >= norm(0.0)
        if np.isinf(bound):  # where no equilibrium is proven
            assert np.isinf(curvature.lipschitz(radius))
            continue
        for direction in (*rows, *-rows, *draws):
            edge = at(radius * direction / np.linalg.norm(direction))
            assert np.linalg.norm(edge, 2) <= bound * (1 + 1e-9)
    assert np.isfinite(norm(0.3))


def test_none_where_the_read_out_is_trained(getkey):
    """Then nothing measured bounds its features: ‖J‖ comes from Λ alone."""
    system = systems.build("two-layer", activation="tanh")
    model = dataclasses.replace(system.init(D, M, key=getkey()), train_readout=True)
    _, found, _ = system.curvature(system.iterate(model, jnp.eye(D), jnp.ones(D)))
    assert found is not None
    assert found.norm is not None
    assert np.isinf(found.norm(0.1))
    assert found.beta(0.1) == pytest.approx(found.jacobian_norm.upper + 0.1 * found.lipschitz(0.1))


def test_the_equilibriums_parts_against_its_own_system():
    """Y′(1 + r′²)^{1/2} with every other number small: r′ = r + T R (1 + r′²)^{1/2}, Y′ = Y + T R Y′, T = 1/(1 − μ − R)."""
    small = {
        "bend": 1e-9,
        "third": 1e-9,
        "g_max": 1e-9,
        "gbend_max": 1e-9,
        "fourth_moment": 1.0,
        "w_row": 1.0,
        "w_column": 1.0,
    }
    radius, mu, adjoint, features = 0.1, 0.3, 0.7, 2.0
    bound = EquilibriumCurvature(
        slope=1.0, slope01=True, w_norm=5.0, mu=mu, a_norm=50.0, features_norm=features, feature_max=1e-3,
        adjoint_max=adjoint, **small,
    )  # fmt: skip
    t = 1 / (1 - mu - radius)
    r = float(scipy.optimize.brentq(lambda r: adjoint + t * radius * math.sqrt(1 + r * r) - r, adjoint, 10))  # pyright: ignore
    want = features / (1 - t * radius) * math.sqrt(1 + r * r)
    assert bound.norm(radius) == pytest.approx(want, rel=1e-5)  # the solution of the system is inflated by 1e-6

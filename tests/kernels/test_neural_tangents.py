"""Deep kernels against stored values of neural-tangents 0.6.5 (jax 0.4.25, float64), which this test does not need.

Made with x_ai = sin i, cos 2i, sin i + 0.001 cos 5i for i = 1 ... 12, as three vectors or as images of 3 × 4 pixels and one
channel, and `stax.serial(Dense(1, W_std=s, b_std=b), φ, ..., Dense(1, W_std=s, b_std=b))` with `depth` layers, or
`Conv(1, (3, 3), padding="SAME", ...)` and `Flatten()` or `GlobalAvgPool()` before the last `Dense`. Upper triangles.
"""

import jax.numpy as jnp
import numpy as np
import pytest

from globalmin import activations
from globalmin.kernels import ConvKernel, DenseKernel

INDEX = np.arange(1.0, 13.0)
X = np.stack([np.sin(INDEX), np.cos(2 * INDEX), np.sin(INDEX) + 1e-3 * np.cos(5 * INDEX)])

DENSE = [
    (
        ("relu", 4, 1.3, 0.2),
        (0.5984697623340538, 0.4277626818187632, 0.5982538549181203, 0.5545662670906188, 0.42761978513749677,
         0.5980383716632615),
        (2.649692766670269, 0.8799187360083156, 2.6473473942650836, 2.4301752904530938, 0.8796094842427432,
         2.6475358133163063),
    ),
    (
        ("erf", 3, 1.5, 0.1),
        (1.0983975398154266, 0.012226544067115212, 1.0983682184195713, 1.092075369798965, 0.012190612782402346,
         1.0983404393105027),
        (6.282808349274384, -0.007002721358728061, 6.2822074523476985, 6.15679317680786, -0.007148634694568846,
         6.281622962302409),
    ),
    (
        ("gelu", 2, 1.2, 0.0),
        (0.23625535195469421, 0.05114864187058349, 0.2360998181791993, 0.20512740360553158, 0.05109867192472111,
         0.2359445901094262),
        (0.762267156101359, 0.07235978977419104, 0.7617635648436155, 0.6614246259955715, 0.07228122405810353,
         0.7612611959233089),
    ),
]  # fmt: skip

CONV = [
    (
        ("relu", 2, "flatten"),
        (0.668329108636775, 0.42855391798403353, 0.6680729363676859, 0.6574633104305172, 0.4284274524356251,
         0.6678171925432318),
        (1.736787325910325, 0.6292848616293508, 1.73565022564483, 1.7041899312915516, 0.62910927218553,
         1.7352515776296955),
    ),
    (
        ("relu", 2, "pool"),
        (0.4133270369615175, 0.38987520962598543, 0.41320462966275273, 0.40118677356156396, 0.3897701022002632,
         0.41308230955464176),
        (0.6469791940667422, 0.5398201829686222, 0.6467458719231756, 0.6145209166700644, 0.5396928013427137,
         0.6465741719653418),
    ),
    (
        ("erf", 3, "pool"),
        (0.3031297245428184, 0.2716760674574137, 0.3031462949208941, 0.2886866783120956, 0.27170439682698155,
         0.30316291387938976),
        (0.7292401168171023, 0.5565072461102676, 0.7292744551811512, 0.6682507274730614, 0.556605617652907,
         0.7293091093524822),
    ),
]  # fmt: skip


def check(grams, nngp, ntk):
    # neural-tangents' arccos leaves 2e-12 in the pair that is 1e-3 apart; the goal of the comparison is 1e-10.
    np.testing.assert_allclose(np.asarray(grams["nngp"])[np.triu_indices(3)], nngp, rtol=0, atol=1e-11)
    np.testing.assert_allclose(np.asarray(grams["ntk"])[np.triu_indices(3)], ntk, rtol=0, atol=1e-11)


@pytest.mark.parametrize(("case", "nngp", "ntk"), DENSE)
def test_dense(case, nngp, ntk):
    name, depth, s, b = case
    kernel = DenseKernel(activations.get(name), depth, weight_std=s, input_std=s, bias_std=b)
    check(kernel(jnp.asarray(X / np.sqrt(12)), only=("nngp", "ntk")), nngp, ntk)


@pytest.mark.parametrize(("case", "nngp", "ntk"), CONV)
def test_conv(case, nngp, ntk):
    name, depth, readout = case
    kernel = ConvKernel(
        activations.get(name), depth, image_shape=(3, 4, 1), readout=readout, weight_std=1.4, bias_std=0.3
    )
    check(kernel(jnp.asarray(X)), nngp, ntk)


def test_only_what_is_asked_for_is_computed():
    kernel = DenseKernel(activations.get("relu"), 2)
    assert set(kernel(jnp.asarray(X), only=["ntk"])) == {"ntk"}
    with pytest.raises(ValueError, match="only: some of nngp, k_h, ntk expected, nope came"):
        kernel(jnp.asarray(X), only=["nope"])

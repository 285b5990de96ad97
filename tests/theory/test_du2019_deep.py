"""The deep networks' theorems against the check values, and their constants against networks written anew."""

import dataclasses
import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from globalmin._core import Estimate
from globalmin.theory import Verdict
from globalmin.theory import du2019_deep as theory

SOFTPLUS = theory.Smooth("softplus", math.log(2), 1.0, 0.25, True, False, 1.0854865029883)
RELU = theory.Smooth("relu", 0.0, 1.0, math.inf, False, False, 2.0)
LINE = theory.Smooth("identity", 0.0, 1.0, 0.0, True, True, 1.0)


def start(depth, lam, **changes):
    """The numbers of the check values: three inputs, ‖y − u(0)‖ = 2."""
    numbers = {
        "activation": SOFTPLUS, "n": 3, "width": 1000, "depth": depth, "delta": 0.1, "lambda_0": lam, "gram_gap": lam / 8,
        "residual_0": 2.0, "weight_norm": 2.0, "readout_2": 1.0, "readout_4": 1.3, "state_min": 1.0, "state_max": 1.0,
        "jacobian_norm": 1.0, "lipschitz": lambda _: 1e-3,
    }  # fmt: skip
    return theory.Start(**(numbers | changes))


def rows(certificate):
    return {h.name: h for h in certificate.hypotheses()}


def test_worked_constants_of_the_fully_connected_network():
    found = theory.DenseDescent(start(2, 0.0232817292), 1e-14)
    assert found.start.c_w == pytest.approx(2.1)
    assert found.c_x == pytest.approx(4.3758407092, rel=1e-10)
    assert found.growth == pytest.approx(5.3758407092, rel=1e-10)
    assert found.gram_constant == pytest.approx(442.7161183, rel=1e-9)
    assert found.radius == pytest.approx(4.38236608e-6, rel=1e-8)
    assert found.needed_width == pytest.approx(1.73116888e21, rel=1e-8)
    assert found.taylor_step == pytest.approx(1.19812654e-13, rel=1e-8)
    assert found.quadratic_step == pytest.approx(6.51449089e-14, rel=1e-8)


def test_worked_constants_of_the_residual_network():
    found = theory.ResidualDescent(start(3, 0.000631424032), 1e-14)
    constants = found.constants
    assert constants.c_x0 == pytest.approx(5.7153022361, rel=1e-10)
    assert constants.c_x == pytest.approx(30.7328850157, rel=1e-10)
    assert constants.gram_constant == pytest.approx(7294.70888950, rel=1e-10)
    assert constants.radius == pytest.approx(2.59677545e-7, rel=1e-8)
    assert constants.movement_constant == pytest.approx(62.2295055, rel=1e-8)
    assert found.needed_width == pytest.approx(2.76555895e25, rel=1e-8)


def test_the_gap_of_one_over_the_depth():
    """H = 64: the source's constant is the residual layers', an order of magnitude below the read-out's."""
    lam = 6.19e-3 / 64**2
    deep = start(64, lam)
    constants = theory.ResidualDescent(deep, 1e-14).constants
    assert constants.movement_constant == pytest.approx(34.0322464, rel=1e-8)
    assert constants.residual_layers == pytest.approx(2.9170081, rel=1e-7)
    gap = "the read-out moves by O(1/H) too: 4c_res c_x0 a₂L√(pq)E²/H ≥ 2c_x0"
    assert rows(theory.ResidualDescentPrinted(deep, 1e-14))[gap].verdict is Verdict.FAILS
    assert rows(theory.ResidualDescentPrinted(start(2, 1e-3), 1e-14))[gap].verdict is Verdict.HOLDS
    # It crosses at H = 2c_res a₂ L E².
    crossing = 2 * 0.5 * 2 * math.exp(2 * 0.5 * 2.1)
    for depth, verdict in ((math.floor(crossing), Verdict.HOLDS), (math.ceil(crossing), Verdict.FAILS)):
        assert rows(theory.ResidualDescentPrinted(start(depth, 1e-3), 1e-14))[gap].verdict is verdict


def with_room(cls, depth, lam):
    """A start and a step size for which everything holds: a width beyond what is needed, a Λ that falls with it."""
    width = math.ceil(1.01 * cls(start(depth, lam), 1e-30).needed_width)
    wide = start(depth, lam, width=width, lipschitz=lambda _: 1e-6, jacobian_norm=5.0)
    return cls(wide, 1e-30)


@pytest.mark.parametrize("cls", [theory.DenseDescent, theory.ResidualDescent])
def test_verdicts(cls):
    good = with_room(cls, 3, 5e-3)
    assert good.verdict is Verdict.HOLDS
    quantities = {p.quantity for p in good.promises()}
    assert quantities == {"loss", "lambda_min_top", "layer_movement", "top_drift"}
    spoil = [
        {"width": good.start.width // 2}, {"gram_gap": 2e-3}, {"residual_0": 3.0}, {"weight_norm": 2.2}, {"readout_2": 2.1},
        {"readout_4": 1.5}, {"state_min": 0.01}, {"state_max": 50.0}, {"norm_deviation": 1e-3}, {"activation": RELU},
        {"activation": LINE}, {"lambda_0": 0.0}, {"lambda_0": -1.0}, {"lipschitz": None}, {"lipschitz": lambda _: math.inf},
        {"lipschitz": lambda _: 1e40},
    ]  # fmt: skip
    for change in spoil:
        fields = {
            k: Estimate(float(v)) if k not in ("width", "activation", "lipschitz", "norm_deviation") else v
            for k, v in change.items()
        }
        bad = dataclasses.replace(good, start=dataclasses.replace(good.start, **fields))
        assert bad.verdict is Verdict.FAILS, change
        bad.promises()
    for eta in (0.0, -1.0, 1.0, 1e-10):
        assert dataclasses.replace(good, step_size=eta).verdict is Verdict.FAILS
    # An error bar that reaches across λ₀/4 decides nothing.
    vague = dataclasses.replace(good.start, gram_gap=Estimate(5e-3 / 4, 1e-3))
    assert dataclasses.replace(good, start=vague).verdict is Verdict.UNDECIDED


def test_printed_orders_are_undecided_without_constants():
    for cls in (theory.DenseDescentPrinted, theory.ResidualDescentPrinted):
        printed = cls(start(2, 0.02), 1e-14)
        assert printed.verdict is Verdict.UNDECIDED
        assert printed.corrected_order >= printed.order
        given = dataclasses.replace(printed, width_constant=1e-30, step_constant=1.0)
        assert given.verdict is Verdict.HOLDS
        assert dataclasses.replace(given, width_constant=1.0).verdict is Verdict.FAILS
        assert dataclasses.replace(printed, start=start(2, 0.02, activation=RELU)).verdict is Verdict.FAILS
    n, lam = 3, 0.02
    assert theory.DenseDescentPrinted(start(2, lam), 1.0).order == pytest.approx(n**4 / lam**4)
    assert theory.DenseDescentPrinted(start(2, lam), 1.0).corrected_order == pytest.approx(n**4 * math.log(10) / lam**4)
    residual = theory.ResidualDescentPrinted(start(2, 1e-4), 1.0)
    assert residual.order == pytest.approx(n**4 / (1e-16 * 2**6))
    assert residual.corrected_order == pytest.approx(n**4 * math.log(10) / (1e-16 * 2**4))
    images = theory.ResidualDescentPrinted(start(2, 1e-4, pixels=3, patch_pixels=3), 1.0)
    assert images.order == pytest.approx(n**4 / (1e-16 * 2**2))


def test_initial_norms():
    dense = theory.InitialNorms(SOFTPLUS, n=3, width=10**9, depth=2, delta=0.1)
    s, g = math.log(2), math.sqrt(2 / math.pi)
    c = SOFTPLUS.c_sigma * (2 * s * g + 3)
    c_2 = s**4 + 8 * s**3 * g + 24 * s**2 + 64 * s * g + 48
    assert dense.needed_width == pytest.approx(4 * SOFTPLUS.c_sigma**2 * c_2 * 3 * 2 * (1 + c) ** 2 / 0.1)
    assert dense.verdict is Verdict.HOLDS
    assert dataclasses.replace(dense, width=1000).verdict is Verdict.FAILS
    residual = theory.ResidualInitialNorms(SOFTPLUS, n=3, width=10**5, delta=0.1)
    c_2 = s**4 + 4 * s**3 * g + 6 * s**2 + 8 * s * g + 3
    assert residual.needed_width == pytest.approx(16 / 9 * SOFTPLUS.c_sigma**2 * c_2 * 3 / 0.1)
    assert residual.verdict is Verdict.HOLDS
    images = dataclasses.replace(residual, pixels=4, c_low=1.5)
    assert images.needed_width == pytest.approx(4 * c_2 * 16 * 1.5**2 * 3 / 0.1)
    for smooth in (RELU,):
        assert dataclasses.replace(dense, activation=smooth).verdict is Verdict.FAILS


def test_the_constants_of_the_initial_norms_against_quadrature():
    """C: Lipschitz constant of α² ↦ c_σE σ(αz)² on [½, 2]-states; C₂ bounds E σ(αz)⁴ for α ≤ 2."""
    z, w = np.polynomial.hermite_e.hermegauss(80)
    w = w / w.sum()

    def moment(alpha, power):
        return float(w @ np.logaddexp(0, alpha * z) ** power)

    s, g = math.log(2), math.sqrt(2 / math.pi)
    c = SOFTPLUS.c_sigma * (2 * s * g + 3)
    for alpha in np.linspace(0.01, 2, 50):
        assert abs(SOFTPLUS.c_sigma * moment(alpha, 2) - 1) <= c * abs(alpha - 1) + 1e-12
        assert moment(alpha, 4) <= s**4 + 8 * s**3 * g + 24 * s**2 + 64 * s * g + 48
    assert moment(1.0, 4) <= s**4 + 4 * s**3 * g + 6 * s**2 + 8 * s * g + 3


def test_limits():
    angle = Estimate(0.5, 1e-15)
    assert theory.PositiveLimit(SOFTPLUS, angle, 0.1).verdict is Verdict.HOLDS
    assert theory.PositiveLimit(LINE, angle, 0.1).verdict is Verdict.FAILS
    assert theory.PositiveLimit(RELU, angle, 0.1).verdict is Verdict.FAILS
    assert theory.PositiveLimit(SOFTPLUS, Estimate(0.0, 1e-15), 0.1).verdict is Verdict.UNDECIDED
    patches = theory.PositiveLimit(SOFTPLUS, angle, 0.1, of_patches=True)
    assert "one pixel" in patches.hypotheses()[-1].name
    assert theory.ResidualLimit(0.1).verdict is Verdict.HOLDS
    assert theory.ResidualLimit(-1e-9).verdict is Verdict.FAILS
    assert theory.InitialGramMeasured(0.01, 0.1).verdict is Verdict.HOLDS
    assert theory.InitialGramMeasured(0.03, 0.1).verdict is Verdict.FAILS
    order = theory.InitialGramPrinted(3, 1000, 2, 0.1, 0.1)
    assert order.verdict is Verdict.UNDECIDED
    assert dataclasses.replace(order, width_constant=1e-3).verdict is Verdict.HOLDS
    assert dataclasses.replace(order, width_constant=1.0).verdict is Verdict.FAILS


def network(kind, depth, m, c_res):
    """G^(H) and the states of a softplus network as functions of its weights, in JAX from scratch."""
    c, conv = SOFTPLUS.c_sigma, kind == "conv"

    def patches(x):  # (pixels, channels)
        if not conv:
            return x
        padded = jnp.pad(x, ((1, 1), (0, 0)))
        return jnp.concatenate([padded[:-2], padded[1:-1], padded[2:]], axis=1)

    def states(weights, x):
        found = []
        for h, w in enumerate(weights, start=1):
            branch = jnp.logaddexp(patches(x) @ w.T, 0.0)
            plain = h == 1 or kind == "dense"
            x = math.sqrt(c / m) * branch if plain else x + c_res / (depth * math.sqrt(m)) * branch
            found.append(x)
        return jnp.stack(found)

    @jax.jit
    def both(weights, a, xs):
        every = jax.vmap(lambda x: states(weights, x))(xs)

        def output(top, x):
            return jnp.sum(a * states([*weights[:-1], top], x)[-1])

        j = jax.vmap(jax.grad(output), (None, 0))(weights[-1], xs).reshape(len(xs), -1)
        return j @ j.T, every

    return both


@pytest.mark.parametrize("kind", ["dense", "resnet", "conv"])
def test_stability_of_states_and_gram(kind):
    """Lemmas 3.3-3.4, 3.10-3.11 and 3.18: on random and on aligned movements of the size that they allow."""
    draw, m, depth, p, q = np.random.default_rng(0), 24, 3, 4, 3
    shape, pixels = ((p, 2), p) if kind == "conv" else ((1, 3), 1)
    width_in, width = (2 * q, q * m) if kind == "conv" else (3, m)
    both = network(kind, depth, m, 0.5)
    for trial in range(6):
        xs = draw.normal(size=(3, *shape))
        xs = jnp.asarray(xs / np.sqrt((xs**2).sum((1, 2), keepdims=True)))
        weights = [draw.normal(size=(m, width_in)), *(draw.normal(size=(m, width)) for _ in range(depth - 1))]
        a = np.clip(draw.normal(size=(pixels, m)), -2, 2)
        numbers = {"pixels": pixels, "patch_pixels": q if kind == "conv" else 1}
        here = start(depth, 1.0, n=3, width=m, **numbers)
        # Inside what the lemmas assume of the start.
        weights = [w * min(1, here.c_w * math.sqrt(m) / np.linalg.norm(w, 2)) for w in weights]
        gram, states = both(weights, a, xs)
        norms = np.sqrt((np.asarray(states) ** 2).sum((2, 3)))
        residual = theory.ResidualDescent(here, 1e-9).constants
        dense = theory.DenseDescent(here, 1e-9)
        c_x0 = dense.c_x0 if kind == "dense" else residual.c_x0
        assert 1 / c_x0 <= norms.min() <= norms.max() <= c_x0
        assert np.linalg.norm(a) <= 2 * math.sqrt(m * pixels)
        assert (a**4).sum() <= 4 * m * pixels
        most = 0.05
        if kind == "dense":
            most = min(most, 1 / (math.sqrt(SOFTPLUS.c_sigma) * dense.growth))
            moved_by = math.sqrt(SOFTPLUS.c_sigma) * dense.c_x0 * dense.growth
            constant = dense.gram_constant
        else:
            most = min(most, residual.c_x0 / residual.c_x)
            moved_by, constant = residual.c_x, residual.gram_constant * 0.25 / depth**2
        for size in (1e-3 * most, most):
            for aligned in (False, True):
                steps = [draw.normal(size=w.shape) for w in [*weights, a]]
                if aligned:  # all entries push the same way as the weights and the read-out already do
                    steps = [np.sign(w) for w in [*weights, a]]
                steps = [size * math.sqrt(m) * s / np.linalg.norm(s) for s in steps]
                there, after = both([w + s for w, s in zip(weights, steps[:-1], strict=True)], a + steps[-1], xs)
                drift = np.sqrt((np.asarray(after - states) ** 2).sum((2, 3))).max()
                assert drift <= moved_by * size
                assert np.linalg.norm(there - gram) <= 3 * constant * size
                assert drift > 0, trial


def test_bad_input():
    with pytest.raises(ValueError, match="depth: an integer of at least 1"):
        start(0, 1.0)
    with pytest.raises(ValueError, match="delta: a failure probability"):
        start(1, 1.0, delta=1.5)
    with pytest.raises(ValueError, match="delta"):
        theory.InitialNorms(SOFTPLUS, n=3, width=10, depth=1, delta=0.0)


def test_nothing_overflows_at_great_depth():
    for cls in (theory.DenseDescent, theory.ResidualDescent):
        found = cls(start(2000, 1e-300), 1e-3)
        assert found.verdict is Verdict.FAILS
        found.promises()

"""The gated system: its iterates against NumPy, its certificate early in training, its ReLU counterpart, its options."""

import dataclasses

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.integrate import quad
from scipy.optimize import root_scalar

from globalmin import systems, train
from globalmin._core import Estimate
from globalmin.models import Gated, Rectified
from globalmin.theory import Verdict, noy2021
from globalmin.theory.curvature import gated as bounds
from globalmin.train.descent import start

from ..gated_reference import Network, build, model_of, numbers_of
from ..helpers import given


def problem(seed, n, d):
    draw = np.random.default_rng(seed)
    x = draw.standard_normal((n, d))
    return jnp.asarray(x / np.linalg.norm(x, axis=1, keepdims=True)), jnp.asarray(draw.standard_normal(n))


@pytest.fixture(scope="module")
def case():
    x, y = problem(0, 5, 4)
    system = systems.build("gated", depth=3)
    model = system.init(4, 24, key=jax.random.key(0))
    return system, model, x, y


def test_iterate_against_single_matrices(case):
    system, model, x, y = case
    assert isinstance(model, Gated)
    net = Network(np.asarray(x), *numbers_of(model))
    iterate = system.iterate(model, x, y)
    np.testing.assert_allclose(iterate.outputs, net.outputs[:, 0], atol=1e-13)
    np.testing.assert_allclose(iterate.gram, net.jacobian @ net.jacobian.T, atol=1e-11)
    np.testing.assert_array_equal(iterate.masks, np.array(net.d[1:]) > 0)
    zeta = max(np.linalg.norm(net.z(i, 2, 1), 2) for i in range(5))
    assert iterate.zeta == pytest.approx(zeta, rel=1e-12)
    # What is stated about errors covers what single precision of the same network does, a factor eps32/eps64 larger.
    coarse = jax.tree.map(lambda a: a.astype(jnp.float32), eqx.filter(model, eqx.is_inexact_array))
    coarse = eqx.combine(coarse, model)
    scale = float(np.finfo(np.float32).eps) / np.finfo(np.float64).eps
    low = np.asarray(coarse.outputs(x.astype(jnp.float32), model.patterns(x)), np.float64) - np.asarray(y)
    assert np.linalg.norm(low - iterate.residual) <= scale * iterate.rho.error
    stack = coarse.tangent_blocks(x.astype(jnp.float32), model.patterns(x))["layers"]
    change = np.abs(np.asarray(stack.right, np.float64) - iterate.features).max()
    assert change <= scale * iterate.factor_error * np.linalg.norm(iterate.features, axis=2).max()
    change = np.abs(np.asarray(stack.left, np.float64) - iterate.adjoints[:, :, 0]).max()
    assert change <= scale * iterate.factor_error * np.linalg.norm(iterate.adjoints, axis=3).max()


def test_watch_measures_what_it_says(case):
    system, model, x, y = case
    moved = eqx.tree_at(lambda m: m.layers, model, model.layers + 0.1)
    found = system.watch(system.iterate(moved, x, y), system.iterate(model, x, y))
    net = Network(np.asarray(x), *numbers_of(moved))
    assert found["tau"] == pytest.approx(2.4, rel=1e-5)  # ‖0.1 · ones(24, 24)‖; Lanczos to 1e-6 of the square
    assert found["pattern_change"] == 0
    masks = np.array(net.d[1:]) > 0
    assert found["open_share"] == masks.mean()
    assert found["dead_share"] == (~masks.any(1)).mean()
    sizes = np.array([(h**2).sum(1) for h in net.h[:-1]])
    assert found["alpha_x"] == pytest.approx(sizes.min(), rel=1e-12)
    assert found["beta_x"] == pytest.approx(sizes.max(), rel=1e-12)
    assert set(found) == {
        "alpha_x", "beta_x", "alpha_y", "beta_y", "gamma_ratio", "dominance", "tau", "open_share", "dead_share",
        "pattern_change",
    }  # fmt: skip


def test_certificate_of_the_check_values():
    """n = 20, d = 100, m = 1000, L = 2, at the start: it holds, with the stated numbers."""
    parts = build(1, 20, 100, 1, 1000, 2)
    system = systems.GatedSystem(depth=2)
    model, x, y = model_of(parts), jnp.asarray(parts[0]), jnp.asarray(parts[1][:, 0])
    iterate = system.iterate(model, x, y)
    found, flow = system.kantorovich(iterate, 1.68517553601e-6, width=1000)
    assert found.outcome is flow.outcome is Verdict.HOLDS
    # Stated to twelve digits; the lower ends of the estimates are about 1e-10 below.
    assert given(flow.sigma_0) == pytest.approx(120.183601302, rel=1e-8)
    assert found.rho_0 == pytest.approx(20.8683807993, rel=1e-11)
    assert iterate.curvature.m2 == pytest.approx(233.279316973, rel=1e-8)
    assert 0.5 / given(flow.h) == pytest.approx(1.48352696067, rel=1e-7)
    # With one κ = 0.9 for the whole path: R_* = 0.25706371355, σ_* = 60.2159537867 and the rate 0.0109986856634. Charged where
    # the path is, κ is larger on the way: nothing is worse, and nothing better than with κ = 1.
    assert 0.9 <= given(found.c) < 1
    # The same equation G(R_*) = ρ₀ by quadrature; the table has intervals of ρ₀/(32 σ₀), and is from above.
    blocks, curvature, _ = system.curvature(iterate)
    assert curvature is not None
    sigma, rho, eta = given(flow.sigma_0), found.rho_0, given(found.step_size)

    def missing(radius):
        bend = eta * curvature.lipschitz(radius) * rho / 2
        slope = lambda p: (1 - eta * curvature.beta(p) ** 2 / 2 - bend) * (sigma - blocks[0].psi(p, p))  # noqa: E731
        return quad(slope, 0.0, radius)[0] - rho

    exact = root_scalar(missing, bracket=(0.1, 0.3)).root
    assert exact * (1 - 1e-9) <= given(found.radius) <= exact + rho / (32 * sigma)
    assert given(flow.radius) <= given(found.radius) <= 0.25706371355 * (1 + 1e-9)
    assert 60.2159537867 * (1 - 1e-9) <= given(found.sigma_star) <= given(flow.sigma_star)
    assert 1 - given(found.rate) ** 2 >= 0.0109986856634 * (1 - 1e-9)
    # Printed theorems are silent here, and what replaces Theorem 3 is not.
    numbers = system.start(iterate)
    assert noy2021.Descent(numbers).verdict is Verdict.FAILS
    assert noy2021.OneStepPrinted(numbers, 1e-6).verdict is Verdict.FAILS


def test_a_run_is_certified_soon_and_keeps_its_promises():
    x, y = problem(0, 10, 30)
    system = systems.build("gated", depth=2)
    prepared = train.prepare(system, x, y, width=300, epochs=40, key=jax.random.key(0), looks=12)
    log = train.Log()
    for _ in train.run(prepared, log):
        pass
    found = train.conclude(prepared, log)
    assert found["certified_epoch"] is not None
    assert found["certified_epoch"] <= 20
    assert found["sentence"] == "held throughout"
    assert {look["pattern_change"] for look in log.looks} == {0.0}
    assert log.looks[-1]["loss"] < 1e-3 * log.looks[0]["loss"]


def test_relu_is_certified_only_where_no_pattern_can_change():
    """At labels so near that the ball is inside the frozen radius: it holds, and descent of the ReLU network obeys."""
    x, _ = problem(3, 3, 6)
    system = systems.GatedSystem(depth=2, gates="relu")
    model = system.init(6, 40, key=jax.random.key(2))
    assert isinstance(model, Rectified)
    u = model.outputs(x)
    iterate = system.iterate(model, x, u)
    reach = iterate.curvature.reach
    assert 0 < reach < np.inf
    y = u + 0.2 * reach * np.sqrt(iterate.lambda_min.value) * jnp.ones(3)
    found, flow = system.kantorovich(system.iterate(model, x, y), None, width=40)
    assert found.outcome is flow.outcome is Verdict.HOLDS, found.reason
    assert given(found.radius) < reach
    assert "while no pattern changes" in found.bound
    masks, rate = model.masks(x), given(found.rate)
    state, records = train.descend(start(model, x), x, y, given(found.step_size), 20)
    np.testing.assert_array_equal(state.model.masks(x), masks)
    rho = np.sqrt(2 * records.values["loss"])
    assert (rho[1:] <= rate * rho[:-1] + 1e-13).all()
    assert float(jnp.linalg.norm(state.model.layers - model.layers)) <= given(found.radius)
    # Further away nothing is said, though the gated network frozen here would be certified.
    far = system.iterate(model, x, u + 50 * (y - u))
    for certificate in system.kantorovich(far, None, width=40):
        assert certificate.outcome is Verdict.FAILS
    watched = system.watch(far, far)
    assert watched["frozen_radius"] == pytest.approx(reach)
    frozen = systems.build("gated", depth=2).kantorovich(
        systems.build("gated", depth=2).iterate(model.freeze(), x, far.y), None, width=40
    )[1]
    assert watched["frozen_kantorovich_h"] == pytest.approx(given(frozen.h), rel=1e-9)


def test_theorems_of_the_system(case):
    system, model, x, y = case
    iterate = system.iterate(model, x, y)
    question = systems.Question(iterate, system.limit(x), 24, 1e-3, 0.1, 1.0, None)
    found = {type(t).__name__: t for t in system.theorems(question)}
    assert len(found) == 11
    assert found["OneStep"].start.alpha_x.value == iterate.spectra.alpha_x
    radius = found["GradientChange"].radius
    assert radius == pytest.approx(iterate.rho.value / np.sqrt(iterate.lambda_min.value), rel=1e-6)
    # Correlations of the limit: the largest c_L over the pairs.
    correlations = system.kernel()(x)["ntk"] / (3 / 4)
    np.fill_diagonal(correlations := np.array(correlations), 0)
    assert found["Decorrelation"].correlation.value == pytest.approx(correlations.max(), rel=1e-12)
    rectified = dataclasses.replace(system, gates="relu")
    first = rectified.iterate(model.rectified(), x, y)
    assert rectified.theorems(dataclasses.replace(question, start=first)) == ()
    np.testing.assert_array_equal(rectified.limit(x).eigenvalues, system.limit(x).eigenvalues)


def test_single_precision_keeps_the_patterns_it_trains_with():
    """Certificates of a float32 run are about the patterns of that run, though its inputs are those of float64."""
    x, y = problem(1, 6, 5)
    prepared = train.prepare(
        systems.build("gated", depth=3), x, y, width=20, epochs=3, key=jax.random.key(5), dtype=jnp.float32
    )
    assert isinstance(prepared.start, systems.GatedIterate)
    np.testing.assert_array_equal(prepared.start.masks, prepared.state.solver.unpack())


def test_options_and_bad_input():
    assert systems.build("gated").describe() == {"system": "gated", "depth": 2, "gates": "chain"}
    for options, message in (
        ({"depth": 0}, "depth: an integer of at least 1 expected"),
        ({"gates": "psi"}, "gates: one of chain, inputs, low-rank, relu expected, 'psi' came"),
        ({"activation": "tanh"}, "gated has no option activation; it has depth, gates"),
    ):
        with pytest.raises(ValueError, match=message):
            systems.build("gated", **options)
    with pytest.raises(ValueError, match="limit kernel of gated, relu came"):
        systems.build("gated", gates="relu").kernel()
    assert systems.GatedSystem(gates="low-rank").kernel().gates == "chain"
    x, y = problem(0, 40, 3)
    with pytest.raises(ValueError, match=r"layer \d of 4 has none for samples .*widen or take another seed"):
        train.prepare(systems.build("gated", depth=4), x, y, width=2, epochs=1, key=jax.random.key(0))


def test_numbers_of_the_start_one_sample_at_a_time():
    """Two outputs, four layers, rows of different norms: each number by its loops, none by the library's formulas."""
    parts = list(build(6, 3, 4, 2, 12, 4))
    parts[0] = parts[0] * np.array([[1.0], [1.25], [0.9]])
    parts[1][1] *= 10  # the row of the largest label
    x, y = parts[:2]
    net, system = Network(x, *parts[2:]), systems.GatedSystem(depth=4)
    iterate = system.iterate(model_of(parts), jnp.asarray(x), jnp.asarray(y.ravel()))
    start, samples = system.start(iterate), range(3)
    pairs = [(i, j) for i in samples for j in samples if i != j]
    inner = [net.f[k + 1][i] @ net.f[k + 1][i].T for k in range(1, 5) for i in samples]
    maps = [np.linalg.eigvalsh(net.g[k][i].T @ net.g[k][i]) for k in range(4) for i in samples]
    lengths = [h @ h for k in range(4) for h in net.h[k]]
    off = max(
        abs(net.h[k - 1][i] @ net.h[k - 1][j]) * np.linalg.norm(net.f[k + 1][i] @ net.f[k + 1][j].T, 2)
        for k in range(1, 5) for i, j in pairs
    )  # fmt: skip
    zeta = max(np.linalg.norm(net.z(i, k, low), 2) for i in samples for k in (2, 3) for low in range(1, k))
    assert zeta > 1
    loss = ((net.outputs - y) ** 2).sum() / 2
    want = {
        "alpha_x": min(lengths), "beta_x": max(lengths), "alpha_y": min(np.linalg.eigvalsh(a)[0] for a in inner),
        "beta_y": max(np.linalg.eigvalsh(a)[-1] for a in inner), "off_diagonal": off, "zeta": zeta, "loss_0": loss,
        "printed_alpha_x": min(v[0] for v in maps), "printed_beta_x": max(v[-1] for v in maps),
    }  # fmt: skip
    for name, value in want.items():
        assert getattr(start, name).value == pytest.approx(value, rel=1e-9), name
    assert (start.n, start.width, start.depth, start.inputs, start.outputs, start.gates) == (3, 12, 4, 4, 2, "chain")
    assert start.correlation == pytest.approx(max(abs(x[i] @ x[j]) for i, j in pairs))
    assert (start.label_square, start.label_row) == (pytest.approx(y[1] @ y[1]), 1)
    assert start.norm_deviation == pytest.approx(0.25)
    # Squares of factors: at most eight times the factors' relative error, in units of the largest square, and rounding.
    relative = 8 * iterate.factor_error + 48 * np.finfo(float).eps
    for name, scale in (("alpha_x", "beta_x"), ("beta_x", "beta_x"), ("alpha_y", "beta_y"), ("beta_y", "beta_y")):
        assert getattr(start, name).error == pytest.approx(relative * want[scale], rel=1e-9, abs=0)
    assert start.off_diagonal.error == pytest.approx(relative * want["beta_x"] * want["beta_y"], rel=1e-9, abs=0)
    assert start.printed_alpha_x is not None
    assert start.printed_alpha_x.error == pytest.approx(relative * want["printed_beta_x"], rel=1e-9, abs=0)
    assert start.loss_0.upper == pytest.approx(iterate.rho.upper**2 / 2, rel=1e-15)
    # The products of a forward pass and of a backward one, each m eps ‖W‖_F, carried on by at most ζ.
    frobenius = [np.linalg.norm(w) for w in net.w]
    top_h = [max(np.linalg.norm(h) for h in net.h[k]) for k in range(4)]
    top_f = {k: max(np.linalg.norm(row) for f in net.f[k] for row in f) for k in range(2, 6)}
    first = 4 * np.linalg.norm(net.c) * 1.25 * max(1.0, frobenius[0])
    forward = 12 * sum(frobenius[k] * top_h[k] for k in range(3)) + first
    backward = 12 * sum(frobenius[k] * top_f[k + 2] for k in range(1, 4))
    error = zeta * (forward / max(top_h) + backward / max(top_f.values()))
    assert iterate.factor_error == pytest.approx(np.finfo(float).eps * error, rel=1e-9, abs=0)
    for paths in ({}, {(2, 1): np.array([0.3, 0.5])}):  # few layers, or short paths: a single gate is a map of norm one
        iterate.__dict__["paths"] = paths
        assert iterate.zeta == 1


def test_theorems_are_asked_at_the_worst_ends(case):
    """λ_min known to a quarter, ρ₀ to a tenth: radius, slope and step sizes from the ends that are hardest."""
    system, model, x, y = case
    iterate = system.iterate(model, x, y)
    low, high = iterate.lambda_min.value, iterate.lambda_max.value
    iterate.__dict__["spectrum"] = (np.array([low, high]), low / 4)
    iterate.__dict__["rho"] = Estimate(iterate.rho.value, iterate.rho.value / 10)
    found = {type(t).__name__: t for t in system.theorems(systems.Question(iterate, None, 24, 1e-3, 0.07, 1.0, None))}
    radius = 1.1 * iterate.rho.value / np.sqrt(0.75 * low)
    for name in ("GradientChange", "KernelChange"):
        assert found[name].radius == pytest.approx(radius, rel=1e-12)
        assert found[name].drift == pytest.approx(iterate.curvature.drift(radius), rel=1e-12)
        smallest = np.sqrt(min(np.diag(np.asarray(iterate.gram))))
        assert found[name].smallest_gradient.value == pytest.approx(smallest, rel=1e-12)
        error = smallest * (4 * iterate.factor_error + 4 * np.finfo(float).eps * 24)
        assert found[name].smallest_gradient.error == pytest.approx(error, rel=1e-9, abs=0)
    assert found["ConvergencePrinted"].lambda_max == pytest.approx(high + low / 4, rel=1e-12)
    assert found["SpectraPrinted"].delta == 0.07
    for name in ("OneStep", "OneStepPrinted", "ConvergencePrinted"):
        assert found[name].step_size == 1e-3
    # Without a limit nothing is known of the correlations.
    assert found["Decorrelation"].verdict is Verdict.UNDECIDED
    (block,), curvature, source = system.curvature(iterate)
    assert curvature is not None
    assert block.sigma.lower == pytest.approx(np.sqrt(0.75 * low), rel=1e-12)
    assert curvature.jacobian_norm.value == pytest.approx(np.sqrt(high), rel=1e-12)
    assert curvature.jacobian_norm.upper >= np.sqrt(high + low / 4) * (1 - 1e-12)
    assert curvature.lipschitz(0.1) == iterate.curvature.lipschitz(0.1)
    assert source == ""
    limit = systems.Limit("ntk", {"ntk": np.array([[2.0, -0.5], [-0.5, 0.8]])}, np.array([0.3, 2.2]), 0.02)
    two = systems.Question(iterate, limit, 24, 1e-3, 0.1, 1.0, None)
    correlation = {type(t).__name__: t for t in system.theorems(two)}["Decorrelation"].correlation
    # −0.5 over √(2 · 0.8); two entries' error of 0.01 over the smaller diagonal, twice.
    assert (correlation.value, correlation.error) == (pytest.approx(-0.5 / 1.6**0.5), pytest.approx(0.025))


def test_watch_tells_the_spectral_norm_of_a_step_and_the_share_of_17(case):
    system, model, x, y = case
    net = Network(np.asarray(x), *numbers_of(model))
    step = 0.1 * np.random.default_rng(0).standard_normal(net.w.shape)
    moved = eqx.tree_at(lambda m: m.layers, model, model.layers + step)
    found = system.watch(system.iterate(moved, x, y), system.iterate(model, x, y))
    # Lanczos to 1e-6 of the square.
    assert found["tau"] == pytest.approx(max(np.linalg.norm(s, 2) for s in step), rel=1e-5)
    assert found["gamma_ratio"] == pytest.approx(system.iterate(moved, x, y).spectra.ratio(5))


def test_curvature_is_that_of_the_network_at_hand(case):
    """Errors of the factors count, and patterns limit the ball of a ReLU network alone, those of its last ReLU included."""
    system, model, x, y = case
    iterate = system.iterate(model, x, y)
    iterate.__dict__["_factor_error"] = 1e-3
    want = bounds.measure(iterate.features, iterate.adjoints, iterate.paths, relative_error=1e-3)
    assert want.m2 > 1.001 * bounds.measure(iterate.features, iterate.adjoints, iterate.paths).m2
    assert iterate.curvature == want
    assert iterate.curvature.reach == np.inf
    # Pre-activations of the last layer so small that its ReLU changes first.
    layers = model.layers.at[-1].multiply(1e-3)
    for final, nearest in ((True, True), (False, False)):
        plain = eqx.tree_at(lambda m: m.layers, model.rectified(final=final), layers)
        found = system.iterate(plain, x, y)
        reach = bounds.frozen_radius(np.asarray(layers), found.features, final=final)
        assert found.curvature.reach == pytest.approx(reach, rel=1e-12)
        whole = bounds.frozen_radius(np.asarray(layers), found.features)
        assert (reach == whole) == nearest

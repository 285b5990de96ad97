"""The deep networks' systems: monitors by NumPy, constants against sampled Jacobians, certificates against descent."""

import dataclasses
import math
import re
from typing import Any

import equinox as eqx
import jax
import jax.flatten_util
import jax.numpy as jnp
import numpy as np
import pytest

from globalmin import activations, gram, systems, train
from globalmin._core import Estimate
from globalmin.experiments import RunConfig
from globalmin.experiments import run as running
from globalmin.models import AbstractDeep, ConvResNet
from globalmin.systems.conv_resnet import patch_angle
from globalmin.systems.deep import residual_kappa
from globalmin.theory import Verdict

from ..helpers import given

X3 = jnp.array([[1.0, 0.0, 0.0], [0.6, 0.8, 0.0], [2 / 3, -1 / 3, 2 / 3]])
SYSTEMS: dict[str, tuple[dict[str, Any], int]] = {
    "dense": ({"depth": 3}, 12),
    "dense, one layer": ({"depth": 1}, 12),
    "resnet": ({"depth": 3}, 12),
    "conv-resnet": ({"depth": 2, "image_shape": "3x3x1"}, 8),
}
jacobian = eqx.filter_jit(gram.jacobian)


def problem(getkey, n=4, d=9):
    x = jax.random.normal(getkey(), (n, d))
    return x / jnp.linalg.norm(x, axis=1, keepdims=True), jax.random.normal(getkey(), (n,))


def built(name, **more):
    system = systems.build(name.split(",")[0], **(SYSTEMS[name][0] | more))
    assert isinstance(system, systems.AbstractDeepSystem)
    return system


def weights_of(model):
    return model.first, model.hidden, model.readout


def moved(model, steps):
    return eqx.tree_at(
        weights_of, model, tuple(w + jnp.asarray(s) for w, s in zip(weights_of(model), steps, strict=True))
    )


def random_steps(getkey, model, length):
    steps = [np.asarray(jax.random.normal(getkey(), w.shape)) for w in weights_of(model)]
    return [length * s / math.sqrt(sum((t**2).sum() for t in steps)) for s in steps]


@pytest.mark.parametrize("name", SYSTEMS)
def test_monitors_by_numpy(getkey, name):
    options, m = SYSTEMS[name]
    x, y = problem(getkey)
    system = built(name)
    model = system.init(9, m, key=getkey())
    assert isinstance(model, AbstractDeep)
    other = moved(model, random_steps(getkey, model, 2.0))
    now, start = system.iterate(other, x, y), system.iterate(model, x, y)
    found = system.watch(now, start)
    j, j_0 = (np.asarray(jacobian(net, x)) for net in (other, model))
    np.testing.assert_allclose(now.gram, j @ j.T, rtol=0, atol=1e-11 * (j**2).sum(1).max())
    # The columns of the Jacobian are W^(1), the stack, a: the last hidden layer is the end of the stack.
    ends = np.cumsum([w.size for w in weights_of(model)])
    size = model.hidden[0].size if options["depth"] > 1 else model.first.size
    top, top_0 = (jac[:, ends[1] - size : ends[1]] for jac in (j, j_0))
    g, g_0 = top @ top.T, top_0 @ top_0.T
    parts = list(zip(map(np.asarray, weights_of(other)), map(np.asarray, weights_of(model)), strict=True))
    r = np.asarray(other.outputs(x)) - np.asarray(y)
    scale = math.sqrt(4) * np.linalg.norm(r)
    want = {
        "lambda_min_top": np.linalg.eigvalsh(g)[0],
        "top_drift": np.linalg.norm(g - g_0, 2),
        "movement_layer_1": np.linalg.norm(parts[0][0] - parts[0][1]) / math.sqrt(m),
        "movement_readout": np.linalg.norm(parts[2][0] - parts[2][1]) / math.sqrt(m),
        "weight_norm": max(np.linalg.norm(w, 2) for w in [parts[0][0], *parts[1][0]]) / math.sqrt(m),
        "gradient_layer_1": np.linalg.norm(j[:, : ends[0]].T @ r) / scale,
        "gradient_top_times_depth": options["depth"] * np.linalg.norm(top.T @ r) / scale,
        "gradient_readout": np.linalg.norm(j[:, ends[1] :].T @ r) / scale,
    }
    if options["depth"] > 1:
        want[f"movement_layer_{options['depth']}"] = np.linalg.norm(parts[1][0][-1] - parts[1][1][-1]) / math.sqrt(m)
    for key, value in want.items():
        np.testing.assert_allclose(found[key], value, rtol=1e-9, atol=1e-12, err_msg=key)
    assert found["layer_movement"] == max(v for k, v in found.items() if k.startswith("movement_"))
    states = [np.linalg.norm(np.asarray(s).reshape(4, -1), axis=1) for s in [*now.passes.inputs, now.passes.last]]
    assert found["state_max"] == pytest.approx(np.max(states))
    assert found["state_min"] == pytest.approx(np.min(states))
    assert abs(now.top_lambda_min.value - want["lambda_min_top"]) <= now.top_lambda_min.error + 1e-14
    assert 0 < now.solve_error < 1e-9
    panels = {quantity for panel in system.panels for quantity, _ in panel.quantities}
    assert panels <= set(found)


@pytest.mark.parametrize("name", SYSTEMS)
@pytest.mark.parametrize("activation", ["softplus", "erf"])
def test_lambda_bounds_differences_of_jacobians_on_the_ball(getkey, name, activation):
    m = SYSTEMS[name][1]
    x, y = problem(getkey)
    system = built(name, activation=activation)
    model = system.init(9, m, key=getkey())
    assert isinstance(model, AbstractDeep)
    blocks, curvature, missing = system.curvature(system.iterate(model, x, y))
    assert curvature is not None
    assert missing == ""
    features = blocks[1].lipschitz
    assert features is not None
    for radius in (1e-3, 0.3, 2.0):
        bound = curvature.lipschitz(radius)
        for _ in range(5):
            steps = [random_steps(getkey, model, radius) for _ in range(2)]
            nets = [moved(model, s) for s in steps]
            distance = math.sqrt(sum(((a - b) ** 2).sum() for a, b in zip(*steps, strict=True)))
            change = np.asarray(jacobian(nets[0], x) - jacobian(nets[1], x))
            assert np.linalg.norm(change, 2) <= bound * distance * (1 + 1e-9)
            read = np.asarray(nets[0].passes(x).last - nets[1].passes(x).last).reshape(4, -1)
            assert np.linalg.norm(read, 2) <= features(radius) * distance * (1 + 1e-9)


@pytest.mark.parametrize("name", ["dense", "resnet", "conv-resnet"])
def test_a_certified_network_keeps_every_promise(getkey, name):
    """Labels near the outputs: certified at once, and descent by JAX's gradient obeys rate, ball and σ_min at every step."""
    x, _ = problem(getkey, n=3)
    image = {"image_shape": "3x3x1"} if name == "conv-resnet" else {}
    system = systems.build(name, activation="erf", depth=2, **image)
    model = system.init(9, 100 if image else 400, key=getkey())
    outputs = model.outputs(x)
    y = outputs + (0.005 if image else 0.02) * jax.random.normal(getkey(), (3,))
    certificate, flow = system.kantorovich(system.iterate(model, x, y), None, width=400)
    assert certificate.outcome is Verdict.HOLDS, certificate.reason
    assert flow.outcome is Verdict.HOLDS
    step_size, rate, radius = (given(certificate.step_size), given(certificate.rate), given(certificate.radius))

    @eqx.filter_jit
    def descend(net):
        loss = lambda net: jnp.sum((net.outputs(x) - y) ** 2) / 2  # noqa: E731
        return eqx.apply_updates(net, jax.tree.map(lambda g: -step_size * g, eqx.filter_grad(loss)(net)))

    # σ_min of the whole Jacobian from its Gram matrix is off by 1e-8 ‖J‖ at most, and the margin is far larger.
    def smallest(net):
        return math.sqrt(max(np.linalg.eigvalsh(tangent(net, x))[0], 0.0))

    tangent = eqx.filter_jit(gram.gram)
    net, residual, path = model, float(jnp.linalg.norm(outputs - y)), 0.0
    for _ in range(40):
        following = descend(net)
        path += math.sqrt(
            sum(float(jnp.sum((a - b) ** 2)) for a, b in zip(*map(weights_of, (net, following)), strict=True))
        )
        net, new = following, float(jnp.linalg.norm(following.outputs(x) - y))
        assert new <= rate * residual + 1e-12
        assert path <= radius
        assert smallest(net) >= given(certificate.sigma_star) * (1 - 1e-8)
        residual = new
    assert residual < 0.95 * float(jnp.linalg.norm(outputs - y))


def test_no_direction_changes_the_convolutional_blocks_more_than_psi(getkey):
    """‖J_*(θ₀ + d) − J_*(θ₀)‖ ≤ ψ(‖d‖) where gradient ascent has sought the worst d: all of J, and the features."""
    x, y = problem(getkey, n=3)
    system = built("conv-resnet", activation="softplus")
    model = system.init(9, 4, key=getkey())
    assert isinstance(model, AbstractDeep)
    blocks, _, _ = system.curvature(system.iterate(model, x, y))
    moved_part, fixed = eqx.partition(model, model.trainable())
    theta, unravel = jax.flatten_util.ravel_pytree(moved_part)

    def whole(v):
        return jax.jacrev(lambda v: eqx.combine(unravel(v), fixed).outputs(x))(v)

    def features(v):
        return eqx.combine(unravel(v), fixed).passes(x).last.reshape(3, -1)

    for block, part in zip(blocks, (whole, features), strict=True):
        start = part(theta)

        @jax.jit
        def size(d, part=part, start=start):
            return jnp.linalg.norm(part(theta + d) - start, 2)

        ascend = jax.jit(jax.value_and_grad(lambda d, r, size=size: size(r * d / jnp.linalg.norm(d))))
        for radius in (0.1, 1.0):
            psi, found, drawn = block.psi(radius, radius), 0.0, 0.0
            for k in range(2):
                d = jax.random.normal(jax.random.key(k), theta.shape)
                for step in range(25):
                    d = d / jnp.linalg.norm(d)
                    value, gradient = ascend(d, radius)
                    drawn = max(drawn, float(value)) if step == 0 else drawn
                    d = d + gradient / (jnp.linalg.norm(gradient) + 1e-300)
                    found = max(found, float(value))
            assert found <= psi * (1 + 1e-9)
            assert found > 1.5 * drawn  # the search climbs: a random direction is no attack


def test_duplicate_rows_never_certify(getkey):
    x, y = problem(getkey)
    x = x.at[1].set(x[0])
    system = systems.build("resnet", depth=3)
    for certificate in system.kantorovich(system.iterate(system.init(9, 12, key=getkey()), x, y), 1e-3, width=12):
        assert certificate.outcome is not Verdict.HOLDS
    limit = system.limit(x)
    assert limit is not None
    assert limit.lambda_min.lower <= 0


@pytest.mark.parametrize("name", SYSTEMS)
def test_theorems_of_a_run(getkey, name):
    """Every theorem of the list is evaluated; a narrow network's width condition fails, its printed order is undecided."""
    options, m = SYSTEMS[name]
    x, y = problem(getkey)
    system = built(name)
    prepared = train.prepare(system, x, y, width=m, epochs=3, key=getkey(), closest=(0.3, 0, 1))
    verdicts = {t.theorem: t.verdict for t in prepared.theorems}
    main = "DenseDescent" if name.startswith("dense") else "ResidualDescent"
    assert verdicts[main] is Verdict.FAILS
    assert verdicts[f"{main}Printed"] is Verdict.UNDECIDED
    assert verdicts["PositiveLimit"] is Verdict.HOLDS
    assert verdicts["InitialGramPrinted"] is Verdict.UNDECIDED
    assert {"InitialGramMeasured", "InitialNorms" if name.startswith("dense") else "ResidualInitialNorms"} <= set(
        verdicts
    )
    assert ("ResidualLimit" in verdicts) == (name == "resnet")
    measured = next(t for t in prepared.theorems if t.theorem == "InitialGramMeasured").hypotheses[1]
    limit = prepared.limit
    assert limit is not None
    block = np.asarray(gram.layer_grams(prepared.start.model, x)[f"layer {options['depth']}"])
    assert measured.lhs == pytest.approx(np.linalg.norm(block - limit.matrices["k_h"], 2), rel=1e-9)
    log = train.Log()
    looks = list(train.run(prepared, log))
    assert looks[-1].epoch == 3
    quantities = {p.quantity for t in prepared.theorems for p in t.promises}
    assert quantities <= set(looks[-1].quantities)


def sampled(system, x, width, seeds, key):
    """G^(H) of `seeds` networks."""
    top = f"layer {system.depth}"
    draw = eqx.filter_jit(lambda key: gram.layer_grams(system.init(x.shape[1], width, key=key), x)[top])
    return np.array([draw(k) for k in jax.random.split(key, seeds)])


IMAGES = jnp.array([[0.5, 0, 0.5, 0.5, 0, 0.5], [0.1, 0.5, -0.7, 0, 0.5, 0]])  # three pixels of two channels


@pytest.mark.parametrize(
    ("name", "options", "x", "widths"),
    [
        ("dense", {"depth": 3}, X3, (50, 450)),
        ("resnet", {"depth": 3}, X3, (50, 450)),
        ("conv-resnet", {"depth": 3, "image_shape": "3x2"}, IMAGES, (30, 270)),
    ],
)
def test_wide_networks_tend_to_the_limit_kernel(getkey, name, options, x, widths):
    """The mean of G^(H)(0) is K^(H) up to 4.5 standard errors at the larger width, and its spread falls as m^(−1/2)."""
    system, seeds = systems.build(name, **options), 50
    limit = system.limit(x)
    assert limit is not None
    want, spread = limit.matrices["k_h"], []
    for width in widths:
        found = sampled(system, x, width, seeds, getkey())
        error = found.std(axis=0, ddof=1) / math.sqrt(seeds)
        spread.append(found.std(axis=0, ddof=1).mean())
        z = np.abs(found.mean(axis=0) - want) / error
        # At the smaller width a bias of order 1/m is allowed for.
        assert (z < 4.5 + (want / error / width if width == widths[0] else 0)).all(), z
    # Each spread is known to about 1/√(2·50) = 10%: the ratio 3 to 5 standard errors of 14%.
    assert 3 / 1.7 < spread[0] / spread[1] < 3 * 1.7


def test_worked_values_of_the_limits():
    """Kernels and λ₀ of the three inputs, and the corrected lower bound of Lemma 3.25."""
    for depth, lam in ((1, 0.0661379942), (2, 0.0232817292), (3, 0.0075565854)):
        limit = systems.DenseSystem(depth=depth).limit(X3)
        assert limit is not None
        assert limit.lambda_min.value == pytest.approx(lam, abs=1e-10)
    for depth, lam in ((2, 5.36e-3), (8, 6.03e-3), (64, 6.19e-3)):
        limit = systems.ResNetSystem(depth=depth).limit(X3)
        assert limit is not None
        assert limit.lambda_min.value * depth**2 == pytest.approx(lam, abs=1e-5)
    angle = Estimate(math.acos(2 / 3), 1e-15)
    kappa = residual_kappa(activations.get("softplus"), angle)
    assert kappa.value == pytest.approx(0.1034773769, abs=1e-10)
    assert kappa.error < 1e-12


def test_the_smallest_angle_of_patches():
    patches = np.zeros((3, 2, 2))
    patches[:, 0] = [[1.0, 0.0], [1.0, 0.0], [0.0, 2.0]]  # the first two are parallel at pixel 0 ...
    patches[:, 1] = [[1.0, 0.0], [-1.0, 1.0], [0.0, 3.0]]  # ... and at pixel 1 no two are
    angle, pair = patch_angle(patches)
    assert angle.value == pytest.approx(math.pi / 4, abs=1e-7)
    assert pair in ((0, 1), (1, 2))
    patches[2] = 0.0
    assert patch_angle(patches)[0].value == 0.0
    assert patch_angle(patches[:1])[0].value == pytest.approx(math.pi / 2)


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("dense", {"activation": "relu"}, r"sup\|σ″\| is not finite \(Condition 3.1\).*kink at 0 \(Condition 3.2\)"),
        ("resnet", {"activation": "identity"}, r"polynomial of degree 1 \(Condition 3.2\)"),
        ("dense", {"activation": "quadratic"}, r"sup\|σ′\| is not finite \(Condition 3.1\)"),
        ("conv-resnet", {"activation": "elu"}, r"not analytic"),
        ("dense", {"depth": 0}, "depth: an integer of at least 1"),
        ("resnet", {"depth": 1}, "depth: an integer of at least 2"),
        ("resnet", {"c_res": 1.0}, r"c_res: a number in \(0, 1\)"),
        ("dense", {"c_res": 0.5}, "no option c_res"),
        ("conv-resnet", {"filter_size": 4}, "odd number"),
        ("conv-resnet", {"image_shape": "3x3x1", "filter_size": 5}, "at most 3"),
        ("conv-resnet", {"image_shape": "8 by 8"}, "as 8x8x1"),
    ],
)
def test_bad_options(name, options, message):
    with pytest.raises(ValueError, match=message):
        systems.build(name, **options)


def test_images_passed_flat_without_their_shape(getkey):
    system = systems.build("conv-resnet")
    with pytest.raises(ValueError, match=re.escape("rows of 64 entries came without it")):
        system.init(64, 5, key=getkey())
    with pytest.raises(ValueError, match="image_shape"):
        system.kernel()
    with pytest.raises(ValueError, match="a shape of 64 entries expected"):
        systems.build("conv-resnet", image_shape="8x7x1").init(64, 5, key=getkey())


def test_the_digits_bring_their_shape(getkey):
    config = RunConfig(system="conv-resnet", data="digits", n=4, width=4, epochs=2)
    dataset = config.load_data()
    assert config.for_data(dataset).image_shape == "8x8x1"
    assert (
        dataclasses.asdict(RunConfig(system="dense", data="digits", n=4, width=4, epochs=2).build_system()).get("depth")
        == 2
    )
    assert RunConfig(system="dense", data="digits", width=4, epochs=2).for_data(dataset).image_shape is None
    given = RunConfig(system="conv-resnet", data="digits", width=4, epochs=2, image_shape="64x1")
    assert given.for_data(dataset).image_shape == "64x1"
    network = config.for_data(dataset).build_system().init(64, 4, key=getkey())
    assert isinstance(network, ConvResNet)
    assert network.readout.shape == (64, 4)
    sphere = RunConfig(system="conv-resnet", data="sphere", n=4, width=4, epochs=2)
    with pytest.raises(ValueError, match="image_shape"):
        running.certify_run(sphere)

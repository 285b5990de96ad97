"""Certificates of layered networks: verified, forged, about other weights, agreeing with floating point, refused."""

import json

import flint
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from globalmin import rigorous, systems
from globalmin.rigorous import file
from globalmin.rigorous.certificate import MAKERS
from globalmin.systems.gated import GatedIterate

CASES = {
    "gated": {"depth": 4},
    "neural-ode": {"activation": "tanh", "layers": 3},
    "dense": {"activation": "tanh", "depth": 2},
    "conv-resnet": {"activation": "softplus", "depth": 2, "image_shape": (3, 2)},
    "two-layer": {"activation": "sin"},
}
SIZES = {"two-layer": (20, 10, 2000), "gated": (4, 6, 24)}


def problem(name, size=1e-7, **options):
    """A network whose residual is `size`; for the two-layer network one that only local constants certify."""
    n, d, m = SIZES.get(name, (4, 6, 16))
    g = np.random.default_rng(0)
    x = g.standard_normal((n, d))
    if name == "two-layer":
        x, size = g.standard_normal(d) + 0.3 * x, 0.006
    x /= np.linalg.norm(x, axis=1, keepdims=True)
    system = systems.build(name, **{**CASES[name], **options})
    model = system.init(d, m, key=jax.random.key(0))
    y = np.asarray(model.outputs(jnp.asarray(x))) + size * g.standard_normal(n) / np.sqrt(n)
    state = model.initial_state(jnp.asarray(x)) if name == "gated" else None
    return system, system.iterate(model, jnp.asarray(x), jnp.asarray(y), state)


@pytest.fixture(scope="module", params=CASES)
def made(request, tmp_path_factory):
    system, iterate = problem(request.param)
    found = rigorous.certify(system, iterate, 0.02 / iterate.lambda_max.value, compare=False)
    path = tmp_path_factory.mktemp(request.param) / "c.json"
    return request.param, found, path, *found.write(path)


def test_what_is_made_is_verified(made):
    name, found, path, *files = made
    assert found.theorem == f"kantorovich-{'path' if name == 'two-layer' else 'block'}-descent"
    assert rigorous.verify(path, *files).statement in found.sentence()


def test_every_forged_number_is_refused(made, tmp_path):
    name, _, path, *files = made
    content = json.loads(path.read_text())

    def refused(change):
        forged = json.loads(json.dumps(content))
        change(forged)
        file.write(tmp_path / "f.json", {k: v for k, v in forged.items() if k != "sha256"})
        with pytest.raises(ValueError) as refusal:  # noqa: PT011  # a dozen reasons, each one line
            rigorous.verify(tmp_path / "f.json", *files)
        assert "\n" not in str(refusal.value)

    # For the local constants a check costs most of a second: the numbers that only they rest on.
    keys = ["path_bend", "path_slope", "sixth_moment"] if name == "two-layer" else content["hypotheses"]
    for key in keys:
        # A residual of 1e-7 is known to six digits.
        for end, factor in ((1, 1 - 1e-3),) if "@" in key else ((0, 1 + 1e-3), (1, 1 - 1e-3)):

            def shrink(c, key=key, end=end, factor=factor):
                interval = c["hypotheses"][key]["interval"]
                interval[end] = (float.fromhex(interval[end]) * factor).hex()

            if float.fromhex(content["hypotheses"][key]["interval"][end]) != 0:
                refused(shrink)
    some = next(iter(keys))
    refused(lambda c: c["hypotheses"].update({f"{some}@77": {**c["hypotheses"][some]}}))
    refused(lambda c: c["conditions"].update(lipschitz=[(0.0).hex(), (1e-9).hex()]))
    refused(lambda c: c.update(ball=(1e-9).hex()))
    options = {
        "gated": [("gates", "inputs"), ("gates", "relu"), ("gates", "all"), ("final", False)],
        "neural-ode": [("layers", 2), ("layers", 0), ("sigma_w", (0.9).hex()), ("horizon", (-1.0).hex())],
        "dense": [("c_sigma", (1.0).hex()), ("c_sigma", (-1.0).hex()), ("activation", "erf")],
        "conv-resnet": [("c_res", (0.4).hex()), ("filter_size", 1), ("image_shape", [2, 3]), ("image_shape", None)],
        "two-layer": [("train_readout", True)],
    }
    for key, value in options[name]:
        refused(lambda c, key=key, value=value: c["system"]["options"].update({key: value}))
    other = {"dense": "conv-resnet", "conv-resnet": "dense"}.get(name, "dense")
    refused(lambda c: c["system"].update(name=other))
    if name == "two-layer":
        refused(lambda c: c["witness"].update(movements=c["witness"]["movements"][:-1]))
        refused(lambda c: c["witness"].update(movements=[]))
        refused(lambda c: c["theorem"].update(id="kantorovich-block-descent"))
        refused(lambda c: c.update(block="all"))


def test_other_weights_and_other_data(made, tmp_path):
    name, _, path, weights, data = made
    arrays = dict(np.load(weights))
    changed = sorted(arrays)[0]
    arrays[changed].flat[0] = np.nextafter(arrays[changed].flat[0], 9)
    np.savez(tmp_path / "w.npz", **arrays)
    with pytest.raises(ValueError, match=f"not about this '{changed}'"):
        rigorous.verify(path, tmp_path / "w.npz", data)
    rows = dict(np.load(data))
    np.savez(tmp_path / "d.npz", X=rows["X"], y=rows["y"] * (1 + 1e-15))
    with pytest.raises(ValueError, match="not about this 'y'"):
        rigorous.verify(path, weights, tmp_path / "d.npz")
    assert name


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("gated", {"depth": 2}),
        ("neural-ode", {"activation": "sin"}),
        ("neural-ode", {"activation": "tanh", "layers": 5}),
        ("neural-ode", {"activation": "relu"}),
        ("dense", {}),
        ("conv-resnet", {}),
    ],
)
def test_constants_agree_with_the_floating_point_ones(name, options):
    """Λ and Λ_* on several balls: the same theorem, evaluated by theory/curvature in floating point; tanh has half slopes."""
    system, iterate = problem(name, **options)
    blocks, curvature, _ = system.curvature(iterate)
    numbers = MAKERS[name](iterate)
    assert ("data_relative" in numbers.quantities) == (options.get("activation") in ("tanh", "relu"))
    with flint.ctx.workprec(128):
        for radius in (1e-6, 1e-3, 0.03, 0.3):
            # 1e-8: both come from their inputs' upper ends, the floating-point ones with a margin for rounding.
            if curvature is not None:
                assert numbers.lipschitz is not None
                assert float(numbers.lipschitz(flint.arb(radius))) == pytest.approx(
                    curvature.lipschitz(radius), rel=1e-8
                )
            theirs = [b.psi(radius, radius) / radius for b in blocks]
            ours = [float(b.lipschitz(flint.arb(radius))) for b in numbers.blocks if b.lipschitz is not None]
            np.testing.assert_allclose(ours, theirs, rtol=1e-8)


def test_relu_with_frozen_patterns_holds_on_small_balls_only(tmp_path):
    system, iterate = problem("gated", gates="relu", depth=3)
    numbers = MAKERS["gated"](iterate)
    assert numbers.lipschitz is not None
    assert isinstance(iterate, GatedIterate)
    reach = iterate.curvature.reach
    with flint.ctx.workprec(128):
        assert numbers.lipschitz(flint.arb(0.99 * reach)) is not None
        assert numbers.lipschitz(flint.arb(1.01 * reach)) is None
    found = rigorous.certify(system, iterate, None)
    assert found.holds
    files = found.write(tmp_path / "c.json")
    rigorous.verify(tmp_path / "c.json", *files)
    content = json.loads((tmp_path / "c.json").read_text())
    content["ball"] = float(1.01 * reach).hex()
    content["nodes"].append(content["ball"])
    file.write(tmp_path / "c.json", {k: v for k, v in content.items() if k != "sha256"})
    with pytest.raises(rigorous.RefutedError, match="pattern of the ReLU network may change"):
        rigorous.verify(tmp_path / "c.json", *files)


def test_a_gate_at_zero_is_undecided():
    system, iterate = problem("gated")
    model = iterate.model
    gates = type(model.gates)(model.gates.matrices.at[1, 3].set(0.0))
    at_zero = type(model)(model.first, model.layers, model.readout, gates, model.final)
    found = rigorous.certify(system, system.iterate(at_zero, iterate.x, iterate.y), None)
    assert found.proof.verdict == "UNDECIDED"
    assert "gate of neuron 3 in layer 2" in found.proof.reason


def test_duplicate_rows_and_other_solvers_are_not_certified():
    for name in ("gated", "neural-ode", "dense"):
        system, iterate = problem(name)
        x = iterate.x.at[3].set(iterate.x[1])
        found = rigorous.certify(system, system.iterate(iterate.model, x, iterate.y), 1e-3)
        assert not found.holds
        assert found.quantities["lambda_min_all"].lower <= 0
    system, iterate = problem("neural-ode", solver="heun")
    assert "train with solver euler" in rigorous.certify(system, iterate, None).sentence()
    system, iterate = problem("neural-ode", activation="relu")
    assert "gradient descent has no certificate" in rigorous.certify(system, iterate, 1e-3).sentence()
    assert rigorous.certify(system, iterate, None).proof.block == "readout"


def test_displacement_of_a_layered_network(tmp_path):
    """A residual along the top of the spectrum: the first form is silent, the displacement form is proven and checked."""
    system, iterate = problem("gated", depth=2)
    x, plain = iterate.x, np.asarray(iterate.outputs)
    _, vectors = np.linalg.eigh(iterate.gram)
    size = 1e-3
    while True:
        current = system.iterate(iterate.model, x, jnp.asarray(plain + size * vectors[:, -1]), iterate.state)
        found = rigorous.certify(system, current, 0.05 / iterate.lambda_max.value)
        if found.comparison is not None:
            break
        assert found.holds, found.sentence()
        size *= 1.5
    weights, data, comparison = found.write(tmp_path / "c.json")
    rigorous.verify(tmp_path / "c.json", weights, data, comparison)
    arrays = dict(np.load(comparison))
    arrays["first"] = np.nextafter(arrays["first"], 9)
    np.savez(tmp_path / "p.npz", **arrays)
    content = json.loads((tmp_path / "c.json").read_text())
    content["comparison"]["first"] = file.fingerprint(arrays["first"])
    file.write(tmp_path / "c.json", {k: v for k, v in content.items() if k != "sha256"})
    with pytest.raises(rigorous.RefutedError, match="'first', which is not trained"):
        rigorous.verify(tmp_path / "c.json", weights, data, tmp_path / "p.npz")

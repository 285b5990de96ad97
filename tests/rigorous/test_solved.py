"""Equilibrium networks: intervals against a dense Jacobian at 300 bits, verification, forgeries, what must not pass."""

import dataclasses
import json

import flint
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from globalmin import rigorous, systems
from globalmin.rigorous import file
from globalmin.theory import certify

from ..helpers import given
from .reference import harness

N, D, M = 4, 5, 12


def problem(name, activation, size, seed=0):
    g = np.random.default_rng(seed)
    x = g.standard_normal((N, D))
    x *= (np.sqrt(D) if name == "equilibrium" else 1.0) / np.linalg.norm(x, axis=1, keepdims=True)
    system = systems.build(name, activation=activation)
    model = system.init(D, M, key=jax.random.key(seed))
    y = np.asarray(model.outputs(jnp.asarray(x))) + size * np.array([0.5, -0.5, 0.5, 0.5])
    return system, system.iterate(model, jnp.asarray(x), jnp.asarray(y))


def truth(name, iterate, activation):
    """Outputs, Jacobian blocks and norms from iterates at 300 bits and dense solves; no formula for the Gram matrix."""
    arb, model = flint.arb, iterate.model
    g = flint.arb(1) if name == "equilibrium" else arb(model.gamma) / arb(M).sqrt()
    w = harness.matrix(np.asarray(model.hidden)) * g
    x = harness.matrix(np.asarray(iterate.x))
    injected = x * harness.matrix(np.asarray(model.inject)).transpose()
    a = np.asarray(model.readout)
    root = arb(M).sqrt()
    outputs, rows, states, adjoints, features, g_all = [], [], [], [], [], []
    for i in range(N):
        q = [injected[i, j] for j in range(M)]
        pairs = [harness.derivatives(activation, v) for v in q]
        c = q if name == "equilibrium" else [p[0] / root for p in pairs]
        z, h = [arb(0)] * M, c
        for _ in range(900):
            h = [sum((w[j, k] * z[k] for k in range(M)), c[j]) for j in range(M)]
            z = [harness.derivatives(activation, v)[0].mid() for v in h]
        slopes = [harness.derivatives(activation, v)[1] for v in h]
        # (I − WᵀD) g = a
        lhs = flint.arb_mat([[(1 if j == k else 0) - w[k, j] * slopes[k] for k in range(M)] for j in range(M)])
        adjoint = lhs.solve(flint.arb_mat([[v] for v in a.tolist()])).entries()
        r = [s * v for s, v in zip(slopes, adjoint, strict=True)]
        output = sum((arb(v) * u for v, u in zip(a.tolist(), z, strict=True)), arb(0))
        row_x = [arb(float(v)) for v in np.asarray(iterate.x)[i]]
        row = [g * u * v for u in r for v in z]
        if name == "equilibrium":
            row += [u * v for u in r for v in row_x] + z
        else:
            skip = np.asarray(model.skip).tolist()
            output += sum((arb(v) * u for v, u in zip(skip, c, strict=True)), arb(0))
            left = [(u + v) * p[1] / root for u, v, p in zip(r, skip, pairs, strict=True)]
            row += [u * v for u in left for v in row_x] + z + c
        outputs.append(output)
        rows.append(row)
        states.append(z)
        features.append(c)
        adjoints.append(r)
        g_all += adjoint
    jacobian = flint.arb_mat(rows)
    values = harness.spectrum(jacobian * jacobian.transpose())
    block = flint.arb_mat(states if name == "equilibrium" else features)
    y = np.asarray(iterate.y).tolist()
    gram = w * w.transpose()
    return {
        "rho_0": sum(((u - arb(v)) * (u - arb(v)) for u, v in zip(outputs, y, strict=True)), arb(0)).sqrt(),
        "lambda_min_all": values[0],
        "lambda_max": values[-1],
        "lambda_min_readout" if name == "equilibrium" else "lambda_min_features": harness.spectrum(
            block * block.transpose()
        )[0],
        "w_norm": harness.spectrum(gram)[-1].sqrt(),
        "mu": harness.spectrum((w + w.transpose()) * arb(0.5))[-1],
        "adjoint_max": max((sum((v * v for v in r), arb(0)).sqrt() for r in adjoints), key=float),
        "feature_max" if name == "equilibrium" else "state_max": max(
            (
                sum((v * v for v in z), arb(0)).sqrt()
                if name != "equilibrium"
                else (sum((v * v for v in z), arb(0)) + sum((x[i, k] * x[i, k] for k in range(D)), arb(0))).sqrt()
                for i, z in enumerate(states)
            ),
            key=float,
        ),
        "g_max": max((abs(v) for v in g_all), key=float),
    }


@pytest.mark.parametrize("name", ["equilibrium", "implicit-relu"])
@pytest.mark.parametrize("activation", ["tanh", "softplus"])
def test_intervals_contain_the_truth_and_are_verified(tmp_path, name, activation):
    system, iterate = problem(name, activation, 1e-6)
    eta = 0.02 / iterate.lambda_max.value
    found = rigorous.certify(system, iterate, eta)
    assert found.holds, found.sentence()
    with flint.ctx.workprec(300):
        for key, ball in truth(name, iterate, activation).items():
            interval = found.quantities[key]
            assert flint.arb(interval.lower) <= ball <= flint.arb(interval.upper), key
            # Sharp: the theorem gets what floating point would give it.
            assert interval.upper - interval.lower <= 1e-9 * max(1.0, abs(interval.upper)), key
    rigorous.verify(tmp_path / "c.json", *found.write(tmp_path / "c.json"))
    # The theorem's h, of the same blocks and forms, in floating point: with β = ‖J‖ + ΛR.
    blocks, curvature, _ = system.curvature(iterate)
    assert curvature is not None
    loose = certify(iterate.rho, blocks, dataclasses.replace(curvature, norm=None), step_size=eta)
    # 1 %: our 32 intervals beyond four times the shortest path. 15 %: there floating point has 42 up to 1e12 times it.
    assert 0.85 * given(loose.h) <= found.proof.conditions["h"].upper <= 1.01 * given(loose.h)
    assert given(found.proof.path) == pytest.approx(given(loose.path), rel=1e-2)


@pytest.mark.parametrize("name", ["equilibrium", "implicit-relu"])
def test_a_bad_solution_is_enclosed_all_the_same(name, monkeypatch):
    """Solutions that are off by 1e-5: the intervals widen, and still contain the truth."""
    from globalmin.rigorous import solved
    from globalmin.rigorous.equilibrium import equilibrium_numbers
    from globalmin.rigorous.implicit import implicit_numbers

    monkeypatch.setattr(solved, "POLISH", 0)
    _, iterate = problem(name, "tanh", 1e-6)
    assert isinstance(iterate, systems.SolvedIterate)
    g = np.random.default_rng(5)
    off = [part + 1e-5 * g.standard_normal(part.shape) for part in iterate.solved[:2]]
    # All outwards, so that the largest norms are above the true ones.
    off[0] = iterate.solved[0] * (1 + 1e-5)
    maker = equilibrium_numbers if name == "equilibrium" else implicit_numbers
    found = maker(iterate.model, np.asarray(iterate.x), np.asarray(iterate.y), (off[0], off[1])).quantities
    assert found["lambda_min_all"].upper - found["lambda_min_all"].lower > 1e-6
    with flint.ctx.workprec(300):
        for key, ball in truth(name, iterate, "tanh").items():
            assert flint.arb(found[key].lower) <= ball <= flint.arb(found[key].upper), key


@pytest.mark.parametrize(("name", "block"), [("equilibrium", "readout"), ("implicit-relu", "features")])
def test_relu_has_the_flow_and_not_descent(tmp_path, name, block):
    system, iterate = problem(name, "relu", 1e-4)
    flow = rigorous.certify(system, iterate, None)
    assert flow.holds, flow.sentence()
    assert flow.proof.block == block
    rigorous.verify(tmp_path / "c.json", *flow.write(tmp_path / "c.json"))
    descent = rigorous.certify(system, iterate, 1e-3)
    assert descent.proof.verdict == "FAILS"
    assert "gradient descent has no certificate" in descent.proof.reason


@pytest.mark.parametrize("name", ["equilibrium", "implicit-relu"])
def test_far_from_the_data_it_is_silent(name):
    system, iterate = problem(name, "tanh", 10.0)
    assert rigorous.certify(system, iterate, 0.01 / iterate.lambda_max.value).proof.verdict == "FAILS"


def test_an_equilibrium_that_is_not_proven_to_exist():
    system, iterate = problem("equilibrium", "tanh", 1e-6)
    model = iterate.model
    large = type(model)(model.hidden * 30, model.inject, model.readout, model.activation, 1e-9, 20, "iteration")
    found = rigorous.certify(system, system.iterate(large, iterate.x, iterate.y), 0.01)
    assert found.proof.verdict == "UNDECIDED"


@pytest.mark.parametrize("name", ["equilibrium", "implicit-relu"])
def test_forgeries(tmp_path, name):
    system, iterate = problem(name, "tanh", 1e-6)
    found = rigorous.certify(system, iterate, 0.02 / iterate.lambda_max.value)
    path = tmp_path / "c.json"
    others = found.write(path)
    content = json.loads(path.read_text())

    def refused(change):
        forged = json.loads(json.dumps(content))
        change(forged)
        file.write(tmp_path / "f.json", {k: v for k, v in forged.items() if k != "sha256"})
        with pytest.raises(ValueError) as refusal:  # noqa: PT011  # a dozen reasons, each one line
            rigorous.verify(tmp_path / "f.json", *others)
        assert "\n" not in str(refusal.value)

    for key in content["hypotheses"]:
        for end, factor in ((0, 1 + 1e-6), (1, 1 - 1e-6)):

            def shrink(c, key=key, end=end, factor=factor):
                interval = c["hypotheses"][key]["interval"]
                interval[end] = (float.fromhex(interval[end]) * factor).hex()

            refused(shrink)
    refused(lambda c: c["conditions"].update(lipschitz=[(0.0).hex(), (1e-3).hex()]))
    refused(lambda c: c["conditions"].update(lipschitz_block=[(0.0).hex(), (1e-9).hex()]))
    refused(lambda c: c.update(ball=(1e3).hex()))
    refused(lambda c: c.update(step_size=(1e3).hex()))
    if name == "equilibrium":
        refused(lambda c: c["witness"].update(drifts=[(0.0).hex()] * 5))
        refused(lambda c: c["witness"].update(drifts=[[(0.0).hex()] * 5] * len(c["nodes"])))
        refused(lambda c: c["witness"].update(drifts=[[(1.0).hex()] * 4] * len(c["nodes"])))
        refused(lambda c: c["witness"].update(drifts=[[]] * len(c["nodes"])))
        refused(lambda c: c["witness"].update(drifts=c["witness"]["drifts"][:-1]))
        refused(lambda c: c["witness"].clear())
    else:
        refused(lambda c: c["system"]["options"].update(gamma=(0.05).hex()))
        refused(lambda c: c["system"]["options"].update(gamma=(-0.1).hex()))


def test_the_checker_solves_where_the_plain_iteration_diverges():
    from globalmin.rigorous.verify.solved import _iterated

    # W = 4 (rotation by 90 degrees): ‖W‖ = 4, μ = 0, so z = tanh(Wz + c) has one solution, and iterating circles around it.
    w, c = 4 * np.array([[0.0, -1.0], [1.0, 0.0]]), np.array([[0.3, 0.1]])
    found = _iterated(lambda z: np.tanh(z @ w.T + c), np.zeros((1, 2)))
    assert np.abs(np.tanh(found @ w.T + c) - found).max() < 1e-12


@pytest.mark.parametrize("activation", ["sin", "tanh"])
@pytest.mark.parametrize("name", ["equilibrium", "implicit-relu"])
def test_constants_agree_with_the_floating_point_ones(name, activation):
    """Λ and Λ_* on several balls: the same theorem, evaluated by theory/curvature in floating point; tanh has half slopes."""
    system, iterate = problem(name, activation, 1e-6)
    blocks, curvature, _ = system.curvature(iterate)
    assert curvature is not None
    from globalmin.rigorous.certificate import MAKERS

    numbers = MAKERS[name](iterate)
    assert ("data_relative" in numbers.quantities) == (activation == "tanh")
    assert numbers.lipschitz is not None
    with flint.ctx.workprec(128):
        for radius in (1e-6, 1e-3, 0.03, 0.1):
            whole = numbers.lipschitz(flint.arb(radius))
            # Both come from their inputs' upper ends; the monotone system is enlarged by 1e-6 there and by 1e-9 here.
            assert float(whole) == pytest.approx(curvature.lipschitz(radius), rel=1e-4)
            theirs = [b.lipschitz(radius) for b in blocks if b.lipschitz is not None]
            ours = [float(b.lipschitz(flint.arb(radius))) for b in numbers.blocks if b.lipschitz is not None]
            assert ours == pytest.approx(theirs, rel=1e-4)
            assert ours[1] == pytest.approx(theirs[1], rel=1e-7)
        assert numbers.lipschitz(flint.arb(1e3)) is None

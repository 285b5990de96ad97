"""Half the path and half slopes: proven, needed, checked, and equal to floating point."""

import json

import flint
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from globalmin import Estimate, rigorous, systems
from globalmin.rigorous import Interval, Numbers, RigorousBlock, file, prove
from globalmin.rigorous.enclosure import Enclosure
from globalmin.rigorous.relative import relative_norm
from globalmin.rigorous.spectrum import lambda_min
from globalmin.theory import certify
from globalmin.theory.kantorovich import Block, Comparison, Curvature

from ..helpers import given
from .reference import layers


def given_name(name: str | None) -> str:
    """The block that every certificate has."""
    assert name is not None
    return name


CASES = {
    "equilibrium": {"activation": "tanh"},
    "implicit-relu": {"activation": "softplus", "gamma": 0.3},
    "neural-ode": {"activation": "tanh", "layers": 3},
    "dense": {"activation": "tanh", "depth": 2},
}


def problem(name, size):
    """A network whose residual is `size`."""
    g = np.random.default_rng(0)
    x = g.standard_normal((4, 6))
    x *= (np.sqrt(6) if name == "equilibrium" else 1.0) / np.linalg.norm(x, axis=1, keepdims=True)
    system = systems.build(name, **CASES[name])
    model = system.init(6, 24, key=jax.random.key(0))
    y = np.asarray(model.outputs(jnp.asarray(x))) + size * np.array([0.5, -0.5, 0.5, 0.5])
    return system, system.iterate(model, jnp.asarray(x), jnp.asarray(y))


@pytest.fixture(scope="module", params=CASES)
def near_the_limit(request, tmp_path_factory):
    """A certificate of the flow at h = 0.45: for the flow h grows with the residual along a line."""
    system, iterate = problem(request.param, 1e-3)
    blocks, _, _ = system.curvature(iterate)
    size = 1e-3 * 0.45 / given(certify(iterate.rho, blocks, None, flow=True).h)
    system, iterate = problem(request.param, size)
    found = rigorous.certify(system, iterate, None, compare=False)
    path = tmp_path_factory.mktemp(request.param) / "c.json"
    return request.param, size, certify(iterate.rho, blocks, None, flow=True), found, path, found.write(path)


def test_equal_to_floating_point(near_the_limit):
    name, size, loose, found, path, files = near_the_limit
    assert found.holds
    assert found.proof.half is not None
    # Four times 48 intervals here and 128 or 512 there, each with the constants of its farther end.
    assert found.proof.conditions["h"].upper == pytest.approx(given(loose.h), rel=5e-3)
    assert given(found.proof.path) == pytest.approx(given(loose.path), rel=2e-2)
    assert given(found.proof.sigma_star) == pytest.approx(given(loose.sigma_star), rel=5e-2)
    rigorous.verify(path, *files)
    system, iterate = problem(name, size * 0.505 / 0.45)
    assert not rigorous.certify(system, iterate, None, compare=False).holds


def test_forged(near_the_limit, tmp_path):
    name, _, _, _, path, files = near_the_limit
    content = json.loads(path.read_text())

    def refused(change):
        forged = json.loads(json.dumps(content))
        change(forged)
        file.write(tmp_path / "f.json", {k: v for k, v in forged.items() if k != "sha256"})
        with pytest.raises(ValueError) as refusal:  # noqa: PT011  # a dozen reasons, each one line
            rigorous.verify(tmp_path / "f.json", *files)
        assert "\n" not in str(refusal.value)

    nodes = content["nodes"]
    refused(lambda c: c.update(half=None))
    refused(lambda c: c["half"].update(block="all"))
    refused(lambda c: c["half"].update({"from": (1e-9).hex()}))
    refused(lambda c: c["half"].update({"from": c["ball"]}))
    refused(lambda c: c.update(block="all"))
    refused(lambda c: c.update(block=c["half"]["block"] + ", " + c["half"]["block"]))
    refused(lambda c: c.update(nodes=nodes[::-1]))
    refused(lambda c: c.update(nodes=[(1e-12).hex(), *nodes[1:]]))
    refused(lambda c: c.update(nodes=[*nodes[:-1], (2 * float.fromhex(nodes[-1])).hex()]))
    refused(lambda c: c.update(nodes=[q for q in nodes if q in (nodes[0], c["half"]["from"], c["ball"])]))
    for key in content["hypotheses"]:
        if key.split("@")[0] in ("data_relative", "feature_relative", "ahead_norm", "power_norm"):
            for end, factor in ((0, 1 + 1e-3), (1, 1 - 1e-3)):

                def change(c, key=key, end=end, factor=factor):
                    interval = c["hypotheses"][key]["interval"]
                    interval[end] = (float.fromhex(interval[end]) * factor).hex()

                refused(change)
    if name != "dense":  # without its half slope the read-out is not enough
        refused(lambda c: c["hypotheses"].pop("data_relative"))


@pytest.mark.parametrize("far", [0.0, 0.05])
@pytest.mark.parametrize("eta", [None, 0.02])
def test_after_other_blocks_the_path_counts_half(eta, far):
    """All with 3 − 10p, the read-out with 1 − p/2: as in floating point, first form and displacement."""
    parts = [("all", 3.0, 10.0, False), ("readout", 1.0, 0.5, True)]
    blocks = [Block(key, Estimate(s), lambda r, v=v: v, apart=apart) for key, s, v, apart in parts]
    ours = tuple(RigorousBlock(key, lambda r, v=v: r * 0 + v, apart=apart) for key, _, v, apart in parts)
    curvature = Curvature(Estimate(3.2), lambda r: 10.0 if far == 0 else 1.0, "")
    held = 0
    for rho in (0.3, 0.7, 0.9, 1.1, 1.3):
        quantities = {f"lambda_min_{key}": Interval(s * s, s * s) for key, s, _, _ in parts}
        quantities |= {"rho_0": Interval(rho, rho), "lambda_max": Interval(3.2**2, 3.2**2)}
        comparison = None
        if far:
            quantities |= {"distance": Interval(far, far), "rho_c": Interval(rho / 2, rho / 2)}
            comparison = Comparison(Estimate(far), Estimate(rho / 2))
        numbers = Numbers(quantities, ours, lambda r: r * 0 + (10.0 if far == 0 else 1.0), {})
        found = prove(numbers, "flow" if eta is None else "descent", eta)
        loose = certify(Estimate(rho), blocks, curvature, step_size=eta, flow=eta is None, comparison=comparison)
        if "h" in found.conditions:
            # The tables charge the farther ends of their intervals, about 100 up to the peak: up to 3 % of h. Ours are
            # exact, but where blocks cross.
            assert 0.97 * given(loose.h) <= found.conditions["h"].upper <= given(loose.h) * 1.002
        if found.verdict == "HOLDS" and loose.outcome.value == "HOLDS":
            held += 1
            assert (found.half is not None) == ("half the path" in given_name(loose.block))
            assert 0.95 * given(loose.path) <= given(found.path) <= 1.005 * given(loose.path)
            assert 0.995 * given(loose.sigma_star) <= given(found.sigma_star) <= 1.1 * given(loose.sigma_star)
    assert held >= 1


@pytest.mark.parametrize(("n", "k", "spread"), [(1, 1, 0), (3, 2, 2), (5, 9, 6), (8, 3, 9)])
def test_norms_relative_to_a_gram_matrix(n, k, spread):
    g = np.random.default_rng(n)
    f = np.diag(10.0 ** np.linspace(0, -spread / 2, n)) @ g.standard_normal((n, n + 2))
    a = g.standard_normal((n, k))
    rows, other = Enclosure.exact(f), Enclosure.exact(a)
    gram, products = rows @ rows.T, other @ other.T
    found = relative_norm(gram, lambda_min(gram), products)
    assert found is not None
    with flint.ctx.workprec(300):
        exact = layers.relative(*(flint.arb_mat(m.tolist()) * flint.arb_mat(m.T.tolist()) for m in (f, a)))
        assert flint.arb(found.lower) <= exact <= flint.arb(found.upper)
    # What K is off by, relatively to its smallest eigenvalue, and the 1e-9 by which the quotient is lowered.
    assert found.upper - found.lower <= (1e-9 + 32 * n * 2.0**-52 * np.linalg.cond(gram.mid)) * found.upper
    assert relative_norm(gram, lambda_min(gram), Enclosure.exact(np.zeros((n, n)))) == Interval(0.0, 0.0)
    singular = Enclosure.exact(np.outer(f[:, 0], f[:, 0]) if n > 1 else np.zeros((1, 1)))
    assert relative_norm(singular, lambda_min(singular), products) is None

"""Certificates of two-layer networks: made, written, verified, forged."""

import json

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from globalmin import rigorous, systems
from globalmin.models import TwoLayer
from globalmin.rigorous import file

from ..helpers import given


def problem(activation="tanh", n=6, d=6, m=64, size=0.01, train_readout=False, seed=0):
    """A network whose residual is `size`, and its step size."""
    g = np.random.default_rng(seed)
    x = g.standard_normal((n, d))
    x /= np.linalg.norm(x, axis=1, keepdims=True)
    system = systems.build("two-layer", activation=activation)
    model = TwoLayer.init(d, m, system.activation, key=jax.random.key(seed), train_readout=train_readout)
    y = np.asarray(model.outputs(jnp.asarray(x))) + size / np.sqrt(n)
    return system, system.iterate(model, jnp.asarray(x), jnp.asarray(y))


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """A certificate file with its weights and data."""
    system, iterate = problem()
    found = rigorous.certify(system, iterate, 0.1)
    path = tmp_path_factory.mktemp("made") / "tanh.json"
    return path, *found.write(path)


def forged(made, tmp_path, change, *, rehash=True):
    content = json.loads(made[0].read_text())
    change(content)
    if rehash:
        content["sha256"] = file.digest_of(content)
    path = tmp_path / "forged.json"
    path.write_text(json.dumps(content))
    return path, *made[1:]


@pytest.mark.parametrize(
    ("activation", "train_readout", "step_size"),
    [
        ("softplus", False, 0.2),
        ("gelu", True, 0.1),
        ("sin", False, None),
        ("elu", False, 0.1),
        ("identity", True, 0.05),
    ],
)
def test_what_is_made_is_verified(tmp_path, activation, train_readout, step_size):
    system, iterate = problem(activation, train_readout=train_readout)
    found = rigorous.certify(system, iterate, step_size)
    assert found.holds, found.sentence()
    checked = rigorous.verify(tmp_path / "c.json", *found.write(tmp_path / "c.json"))
    assert checked.statement in found.sentence()
    # The floating-point certificate sees the same numbers.
    loose = system.kantorovich(iterate, step_size, width=64)[step_size is None]
    assert loose.outcome.value == "HOLDS"
    assert found.quantities["rho_0"].lower <= iterate.rho.value <= found.quantities["rho_0"].upper
    assert found.quantities["lambda_min_all"].lower == pytest.approx(iterate.lambda_min.value, rel=1e-9)


def test_many_neurons_go_block_by_block(tmp_path, monkeypatch):
    from globalmin.rigorous import two_layer
    from globalmin.rigorous.verify import two_layer as check

    system, iterate = problem()
    whole = rigorous.certify(system, iterate, 0.1)
    monkeypatch.setattr(two_layer, "NEURONS", 20)
    monkeypatch.setattr(check, "NEURONS", 17)
    found = rigorous.certify(system, iterate, 0.1)
    assert found.quantities["lambda_min_all"].lower == pytest.approx(
        whole.quantities["lambda_min_all"].lower, rel=1e-10
    )
    rigorous.verify(tmp_path / "c.json", *found.write(tmp_path / "c.json"))


def test_beyond_the_limit_the_checker_multiplies_in_doubles(made, monkeypatch):
    from globalmin.rigorous.verify import balls

    monkeypatch.setattr(balls, "LIMIT", 100)
    assert "double precision" in rigorous.verify(*made).arithmetic


def test_the_checkers_factorisation_serves_for_more_rows(made, tmp_path, monkeypatch):
    from globalmin.rigorous.verify import balls

    monkeypatch.setattr(balls, "SMALL", 2)
    for largest in (0, 320):
        monkeypatch.setattr(balls, "LARGEST_LDL", largest)
        rigorous.verify(*made)
        with pytest.raises(rigorous.RefutedError, match="lambda_min_all"):
            rigorous.verify(*forged(made, tmp_path, widen("lambda_min_all", 0, 1 + 1e-6)))


def test_relu_and_duplicate_rows_are_not_certified(tmp_path):
    system, iterate = problem("relu")
    found = rigorous.certify(system, iterate, None)
    assert found.proof.verdict == "FAILS"
    with pytest.raises(ValueError, match="nothing is proven"):
        found.write(tmp_path / "c.json")
    assert not (tmp_path / "c.json").exists()
    system, iterate = problem()
    x = np.asarray(iterate.x).copy()
    x[3] = x[1]
    for y in (np.asarray(iterate.y), np.asarray(iterate.model.outputs(jnp.asarray(x)))):
        found = rigorous.certify(system, system.iterate(iterate.model, jnp.asarray(x), jnp.asarray(y)), 0.1)
        assert not found.holds
        assert found.quantities["lambda_min_all"].lower <= 0


def test_numbers_beyond_doubles_are_undecided():
    system, iterate = problem()
    found = rigorous.certify(system, system.iterate(iterate.model, iterate.x * 1e200, iterate.y), 0.1)
    assert found.proof.verdict == "UNDECIDED"
    assert "double precision" in found.proof.reason


def test_a_step_size_that_may_shrink():
    system, iterate = problem()
    low, high = 0.01, 10.0
    for _ in range(50):
        middle = (low + high) / 2
        low, high = (middle, high) if rigorous.certify(system, iterate, middle).holds else (low, middle)
    assert not rigorous.certify(system, iterate, high).holds
    shrunk = rigorous.certify(system, iterate, high * (1 + 1e-7), may_shrink=True)
    assert shrunk.holds
    assert shrunk.proof.step_size == pytest.approx(high, rel=1e-3)


def widen(key, end, factor):
    def change(content):
        interval = content["hypotheses"][key]["interval"]
        interval[end] = (float.fromhex(interval[end]) * factor).hex()

    return change


def put(*path):
    *keys, last, value = path

    def change(content):
        for k in keys:
            content = content[k]
        content[last] = value

    return change


def scaled(section, key, factor, end=None):
    def change(content):
        at, k = (content[section], key) if end is None else (content[section][key], end)
        at[k] = (float.fromhex(at[k]) * factor).hex()

    return change


EVERY_FIELD = [
    put("step_size", (1.9).hex()),
    put("step_size", None),
    put("block", "readout"),
    put("ball", (1e-9).hex()),
    put("ball", "nonsense"),
    put("theorem", "id", "kantorovich-block-flow"),
    put("theorem", "id", "another"),
    put("theorem", "statement", "all is well"),
    put("system", "options", "activation", "sin"),
    put("system", "options", "activation", "other"),
    put("system", "options", "train_readout", True),
    put("system", "name", "equilibrium"),
    put("system", "n", 7),
    put("conclusion", "statement", "gradient descent never fails"),
    put("conclusion", "extra", "more"),
    put("hypotheses", "rho_0", "meaning", "nothing"),
    put("hypotheses", "lambda_min_other", {"meaning": "", "interval": [(0.0).hex(), (1.0).hex()]}),
    put("hypotheses", {}),
    put("weights", "hidden", "sha256", "0" * 64),
    put("data", "y", "shape", [7]),
    scaled("conclusion", "radius", 0.999),
    scaled("conclusion", "sigma_star", 1.001),
    scaled("conclusion", "rate", 0.999),
    scaled("conditions", "h", 0.9, 1),
    scaled("conditions", "c", 1.01, 0),
    scaled("conditions", "lipschitz", 0.99, 1),
    scaled("conditions", "beta", 0.99, 1),
    widen("lambda_min_all", 0, 1.01),
    widen("lambda_min_all", 1, 0.99),
    widen("lambda_max", 1, 0.99),
    widen("lambda_max", 0, 1.01),
    widen("rho_0", 1, 0.99),
    widen("rho_0", 0, 1.01),
    widen("data_norm", 1, 0.999),
    widen("fourth_moment", 1, 0.999),
    widen("readout_max", 1, 0.999),
]


@pytest.mark.parametrize("change", EVERY_FIELD)
def test_forgery_is_refused_even_with_a_fresh_hash(made, tmp_path, change):
    with pytest.raises(ValueError, match="changed"):
        rigorous.verify(*forged(made, tmp_path, change, rehash=False))
    with pytest.raises(ValueError) as refusal:  # noqa: PT011  # a dozen reasons, each one line
        rigorous.verify(*forged(made, tmp_path, change))
    assert "\n" not in str(refusal.value)


@pytest.mark.parametrize(
    "section", ["theorem", "system", "hypotheses", "conditions", "conclusion", "weights", "data", "ball"]
)
def test_a_missing_section_is_damage(made, tmp_path, section):
    with pytest.raises(ValueError):  # noqa: PT011
        rigorous.verify(*forged(made, tmp_path, lambda content: content.pop(section)))


def test_other_weights_and_other_data(made, tmp_path):
    path, weights, data = made
    arrays = dict(np.load(weights))
    arrays["hidden"][0, 0] = np.nextafter(arrays["hidden"][0, 0], 9)
    np.savez(tmp_path / "w.npz", **arrays)
    with pytest.raises(ValueError, match="not about this 'hidden'"):
        rigorous.verify(path, tmp_path / "w.npz", data)
    with pytest.raises(ValueError, match="'hidden' expected"):
        rigorous.verify(path, data, data)
    rows = dict(np.load(data))
    np.savez(tmp_path / "d.npz", X=rows["X"][:-1], y=rows["y"][:-1])
    with pytest.raises(ValueError, match="shape"):
        rigorous.verify(path, weights, tmp_path / "d.npz")
    with pytest.raises(FileNotFoundError):
        rigorous.verify(path, weights, tmp_path / "none.npz")
    (tmp_path / "text.npz").write_text("not an archive")
    with pytest.raises(ValueError, match="readable"):
        rigorous.verify(path, weights, tmp_path / "text.npz")
    (tmp_path / "other.json").write_text("{}")
    with pytest.raises(ValueError, match="another file"):
        rigorous.verify(tmp_path / "other.json", weights, data)


def test_version_and_format(made, tmp_path):
    with pytest.raises(ValueError, match="format version 2 expected, 1 came"):
        rigorous.verify(*forged(made, tmp_path, put("format_version", 1)))
    with pytest.raises(ValueError, match="cannot be read"):
        rigorous.verify(made[1], *made[1:])


def test_float32_weights_of_a_run_are_the_same_weights(tmp_path):
    system, iterate = problem()
    short = jax.tree.map(lambda a: a.astype(jnp.float32), iterate.model)
    found = rigorous.certify(system, system.iterate(short, iterate.x, iterate.y), 0.1)
    if not found.holds:
        pytest.fail(found.sentence())
    path = tmp_path / "c.json"
    _, data = found.write(path)
    np.savez(tmp_path / "run.npz", hidden=np.asarray(short.hidden), readout=np.asarray(short.readout))
    rigorous.verify(path, tmp_path / "run.npz", data)


def test_without_flint_one_line_says_what_to_install(monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "flint", None)
    system, iterate = problem()
    with pytest.raises(ImportError, match=r"pip install globalmin\[rigorous\]"):
        rigorous.certify(system, iterate, 0.1)


def test_other_systems_are_named():
    system = systems.build("two-layer")
    with pytest.raises(ValueError, match="one of the systems"):
        rigorous.certify(type("Other", (), {"name": "other"})(), system.iterate(None, None, None), 0.1)  # pyright: ignore


def about_another_point(name, eta):
    """A certificate about a comparison point: its residual is too large for the first form, and well aligned."""
    g = np.random.default_rng(1)
    x = g.standard_normal((6, 6)) if name == "two-layer" else g.standard_normal((3, 4))
    x[-1] = x[0] + 0.05 * x[-1]  # a small eigenvalue, along which the residual below has no part
    x /= np.linalg.norm(x, axis=1, keepdims=True)
    system = systems.build(name, activation="tanh")
    model = system.init(x.shape[1], 64, key=jax.random.key(0))
    plain = system.iterate(model, jnp.asarray(x), jnp.zeros(len(x)))
    _, vectors = np.linalg.eigh(plain.gram)
    top = vectors[:, -1]
    eta = None if eta is None else 0.1 / plain.lambda_max.value
    size = 1e-6
    while True:  # grow the residual until the first form is silent and the second is not yet
        labels = plain.outputs + size * top
        iterate = system.iterate(model, jnp.asarray(x), jnp.asarray(labels))
        found = rigorous.certify(system, iterate, eta)
        if found.comparison is not None:
            return found
        assert found.holds, found.sentence()
        size *= 1.3


@pytest.fixture(scope="module", params=[("two-layer", 0.1), ("two-layer", None), ("equilibrium", None)])
def displaced(request, tmp_path_factory):
    found = about_another_point(*request.param)
    path = tmp_path_factory.mktemp("displaced") / "c.json"
    return found, path, found.write(path)


def test_displacement_is_verified_and_no_other_form_is(displaced, tmp_path):
    found, path, files = displaced
    assert "displacement" in found.theorem
    assert found.holds
    assert len(files) == 3
    rigorous.verify(path, *files)
    assert found.proof.radius is not None
    assert found.proof.path is not None
    assert found.proof.radius <= found.proof.path
    with pytest.raises(ValueError, match="comparison point expected"):
        rigorous.verify(path, *files[:2])
    with pytest.raises(ValueError, match="not about this"):
        rigorous.verify(path, files[0], files[1], files[0])

    def refused(change):
        content = json.loads(path.read_text())
        change(content)
        file.write(tmp_path / "f.json", {k: v for k, v in content.items() if k != "sha256"})
        with pytest.raises(ValueError):  # noqa: PT011
            rigorous.verify(tmp_path / "f.json", *files)

    for key in ("rho_0", "rho_c", "distance", *(f"lambda_min_{b}" for b in given(found.proof.block).split(", "))):
        off = 1e-2 if key == "rho_c" else 1e-3  # a residual of 1e-10 is known to 0.2 %
        refused(widen(key, 0, 1 + off))
        refused(widen(key, 1, 1 - off))
    refused(scaled("conditions", "target", 0.999, 1))
    refused(scaled("conclusion", "path", 0.999))
    refused(scaled("conclusion", "radius", 0.999))
    refused(put("comparison", None))
    refused(put("theorem", "id", found.theorem.replace("displacement", "block")))


def test_displacement_keeps_what_it_promises():
    """Descent stays inside the radius and contracts at the rate."""
    found = about_another_point("two-layer", 0.1)
    eta, rate, radius = given(found.proof.step_size), given(found.proof.rate), given(found.proof.radius)
    system = systems.build("two-layer", activation="tanh")
    start = TwoLayer(jnp.asarray(found.weights["hidden"]), jnp.asarray(found.weights["readout"]), system.activation)
    model, x, y = start, jnp.asarray(found.x), jnp.asarray(found.y)
    before = None
    for _ in range(200):
        step = model.step(x, y, ())
        residual = float(jnp.linalg.norm(step.outputs - y))
        assert before is None or residual <= before * rate * (1 + 1e-12)
        before = residual
        model = TwoLayer(model.hidden - eta * step.gradient.hidden, model.readout, model.activation)
        assert float(jnp.linalg.norm(model.hidden - start.hidden)) <= radius

"""`globalmin predict` as a user types it."""

import json

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.linalg

from globalmin import activations, systems
from globalmin.cli.main import main
from globalmin.kernels import TwoLayerKernel


@pytest.fixture
def points(tmp_path):
    g = np.random.default_rng(0)
    x = g.standard_normal((10, 4))
    x /= np.linalg.norm(x, axis=1, keepdims=True)
    np.savez(tmp_path / "points.npz", X=x[:7], y=np.sign(x[:7, 0]))
    np.savez(tmp_path / "test.npz", X=x[7:], y=np.sign(x[7:, 0]))
    return tmp_path / "points.npz", tmp_path / "test.npz", x


def run(capsys, *arguments):
    assert main(["predict", "two-layer", *arguments, "--json"]) == 0
    return json.loads(capsys.readouterr().out)


def test_flow_under_the_limit_kernel(points, tmp_path, capsys):
    data, test, x = points
    out = tmp_path / "outputs.npz"
    said = run(
        capsys, "--data", str(data), "--test", str(test), "--time", "3", "--activation", "erf", "--out", str(out)
    )
    k = np.asarray(TwoLayerKernel(activations.get("erf"))(jnp.asarray(x))["ntk"])
    y = np.sign(x[:, 0])
    left = scipy.linalg.expm(-3 * k[:7, :7]) @ y[:7]
    with np.load(out) as found:
        np.testing.assert_allclose(found["train"], y[:7] - left, atol=1e-12)
        np.testing.assert_allclose(found["test"], k[7:, :7] @ np.linalg.solve(k[:7, :7], y[:7] - left), atol=1e-11)
        wanted = np.mean((found["test"] - y[7:]) ** 2)
    assert said["training_loss"] == pytest.approx(left @ left / 2)
    assert said["test_mean_square"] == pytest.approx(wanted)
    assert "sum over the samples" in said["convention"]


def test_descent_of_a_network_at_its_start(points, capsys):
    data, _, x = points
    said = run(capsys, "--data", str(data), "--kernel", "empirical", "--width", "30", "--seed", "2", "--steps", "4",
               "--step-size", "0.2", "--activation", "erf")  # fmt: skip
    system = systems.build("two-layer", activation="erf")
    model = system.init(4, 30, key=jax.random.key(2))
    iterate = system.iterate(model, jnp.asarray(x[:7]), jnp.asarray(np.sign(x[:7, 0])))
    e = iterate.residual
    for _ in range(4):
        e = e - 0.2 * iterate.gram @ e
    assert said["training_loss"] == pytest.approx(e @ e / 2, rel=1e-10)
    assert said["time"] == pytest.approx(0.8)


def test_posterior_and_ridge_and_the_table(points, tmp_path, capsys):
    data = str(points[0])
    out = tmp_path / "posterior.npz"
    arguments = ("--data", data, "--holdout", "0.3", "--activation", "erf")
    said = run(capsys, *arguments, "--kernel", "nngp", "--noise", "0.1", "--out", str(out))
    assert (said["n"], said["n_test"]) == (5, 2)
    with np.load(out) as found:
        assert np.linalg.eigvalsh(found["covariance"])[0] > 0
        ridge = run(capsys, *arguments, "--kernel", "nngp", "--ridge", "0.1")
        assert ridge["test_mean_square"] == pytest.approx(np.mean((found["test"] - found["y_test"]) ** 2))
    assert main(["predict", "two-layer", *arguments, "--time", "1"]) == 0
    text = capsys.readouterr().out
    assert "gradient flow at time 1" in text
    assert "largest stable step size" in text


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "one of --time, --steps, --ridge, --noise expected, none came"),
        (["--time", "1", "--steps", "3"], "one of --time, --steps, --ridge, --noise expected, time and steps came"),
        (["--time", "-1"], "time: a number of at least 0 expected"),
        (["--time", "1", "--kernel", "nope"], "kernel: empirical or one of h_infinity, nngp, ntk expected"),
        (["--time", "1", "--kernel", "empirical"], "width: a number of hidden neurons expected"),
        (["--time", "1", "--holdout", "1.5"], "holdout"),
        (["--time", "1", "--holdout", "0.01"], "holdout: a share that leaves samples on both sides"),
        (["--noise", "0.1"], "posterior: test_train expected"),
    ],
)
def test_bad_input_is_one_line(points, capsys, arguments, message):
    assert main(["predict", "two-layer", "--data", str(points[0]), "--activation", "erf", *arguments]) == 2
    error = capsys.readouterr().err
    assert error.startswith("globalmin: ")
    assert error.count("\n") == 1
    assert message in error

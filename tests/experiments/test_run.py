"""A run folder is whole, readable and resumable: after its end, after Ctrl-C, after kill -9, after divergence."""

import os
import signal
import subprocess
import sys
import time

import numpy as np
import pytest

from globalmin import RunConfig, certify, execute, open_run, resume


def config(**changes):
    settings = {
        "system": "two-layer", "data": "sphere", "n": 8, "dimension": 5, "width": 60, "epochs": 300, "looks": 12,
        "activation": "tanh",
    }  # fmt: skip
    return RunConfig(**{**settings, **changes})


def same(a, b):
    """Every variable of two trajectories, bit for bit."""
    assert set(a.variables) == set(b.variables)
    for name in a.variables:
        np.testing.assert_array_equal(a[name].values, b[name].values, err_msg=str(name))


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    return execute(config(), tmp_path_factory.mktemp("runs") / "whole")


def test_a_finished_run_has_every_part(finished):
    parts = {p.name for p in finished.path.iterdir()}
    assert parts >= {
        "config.json", "manifest.json", "certificate.json", "trajectory.zarr", "weights", "figures", "report.html",
    }  # fmt: skip
    assert finished.status == "finished"
    assert RunConfig(**finished.config) == config()
    trajectory = finished.trajectory
    assert {"loss", "bound", "lambda_min", "movement", "kantorovich_h", "gram_drift"} <= set(trajectory.data_vars)
    assert trajectory["epoch"].values[0] == 0
    assert trajectory["epoch"].values[-1] == 300
    assert trajectory["loss"].values[-1] < trajectory["loss"].values[0]
    assert finished.certificate["verification"]["sentence"] == "held throughout"
    assert not (finished.path / "checkpoint").exists()


def test_losses_of_every_epoch_agree_with_the_looks(finished):
    trajectory = finished.trajectory
    every = trajectory["loss_every_epoch"].values
    at = trajectory["epoch"].values[:-1]
    # The same weights, evaluated by two differently fused programs: a few hundred eps.
    np.testing.assert_allclose(every[at], trajectory["loss"].values[:-1], rtol=1e-11)


def test_the_linearised_loss_of_a_linear_network_is_its_own(finished, tmp_path, no_report):
    """φ = identity with the first layer trained is linear in its parameters; tanh is not, and its curves part."""
    for method in ("descent", "flow"):
        linear = execute(config(activation="identity", epochs=40, method=method), tmp_path / method).trajectory
        # Descent: 40 steps' rounding; flow: the integrator's tolerance of 1e-8 a step.
        tolerance = 1e-10 if method == "descent" else 1e-5
        np.testing.assert_allclose(linear["linearized_loss"].values, linear["loss"].values, rtol=tolerance)
    tanh = finished.trajectory
    assert tanh["linearized_loss"].values[0] == pytest.approx(tanh["loss"].values[0], rel=1e-12)
    assert abs(tanh["linearized_loss"].values[-1] / tanh["loss"].values[-1] - 1) > 1e-3


def test_the_same_seed_gives_the_same_bits(finished, tmp_path, no_report):
    again = execute(config(), tmp_path / "again")
    same(finished.trajectory, again.trajectory)


def test_another_seed_gives_another_run(finished, tmp_path, no_report):
    other = execute(config(seed=1), tmp_path / "other")
    assert other.trajectory["loss"].values[0] != finished.trajectory["loss"].values[0]


@pytest.mark.parametrize("system", ["two-layer", "equilibrium"])
def test_interrupted_and_resumed_is_bit_for_bit_the_same(tmp_path, system, no_report):
    settings = {"system": system, "normalize": "sqrt-d", "width": 30, "epochs": 120}
    whole = execute(config(**settings), tmp_path / "whole")

    def interrupt(epoch, epochs, quantities):
        if epoch >= 20:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        execute(config(**settings), tmp_path / "cut", progress=interrupt)
    cut = open_run(tmp_path / "cut")
    assert cut.status == "running"
    assert "resume" in cut.manifest["message"]
    assert cut.trajectory["epoch"].values[-1] < 120
    resumed = resume(tmp_path / "cut")
    assert resumed.status == "finished"
    same(whole.trajectory, resumed.trajectory)
    for name, array in whole.weights("final").items():
        np.testing.assert_array_equal(array, resumed.weights("final")[name])
    assert resumed.certificate["verification"] == whole.certificate["verification"]


SCRIPT = """
import sys, time
import jax
jax.config.update("jax_enable_x64", True)
from globalmin.experiments import RunConfig, execute, run
run.CHECKPOINT_SECONDS = 0.0
config = RunConfig(system="two-layer", data="sphere", n=8, dimension=5, width=60, epochs=300, looks=12, activation="tanh")
execute(config, sys.argv[1], progress=lambda *_: time.sleep(0.3))
"""


def test_killed_and_resumed_is_bit_for_bit_the_same(finished, tmp_path, no_report):
    folder = tmp_path / "killed"
    process = subprocess.Popen([sys.executable, "-c", SCRIPT, str(folder)])
    deadline = time.monotonic() + 120
    while not list((folder / "checkpoint").glob("*")) and time.monotonic() < deadline:
        time.sleep(0.05)
    time.sleep(0.5)
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    assert open_run(folder).status == "running"
    assert (folder / "checkpoint").exists()
    same(finished.trajectory, resume(folder).trajectory)


def test_killed_before_the_first_checkpoint_starts_over(finished, tmp_path, no_report):
    def stop(*_):
        raise SystemExit

    with pytest.raises(SystemExit):
        execute(config(), tmp_path / "early", progress=stop)
    assert open_run(tmp_path / "early").status == "running"
    same(finished.trajectory, resume(tmp_path / "early").trajectory)


def test_a_finished_run_is_not_resumed(finished):
    with pytest.raises(ValueError, match="this one is finished"):
        resume(finished.path)


def test_divergence_leaves_what_was_computed(tmp_path, monkeypatch):
    """A step size inside 2/λ_max at the start that a kinked network leaves later: here the check is put aside."""
    monkeypatch.setattr("globalmin.train.fit._step_size", lambda *_: (50.0, "forced"))
    run = execute(config(activation="softplus"), tmp_path / "diverged")
    assert run.status == "failed"
    assert "lower the step size" in run.manifest["message"]
    assert (run.path / "report.html").exists()
    assert np.isfinite(run.trajectory["loss"].values[0])
    assert run.certificate["verification"]["sentence"].startswith("first broken: loss")


def test_flow_runs_and_is_certified_on_its_own_terms(tmp_path, no_report):
    run = execute(config(method="flow", epochs=60), tmp_path / "flow")
    assert run.certificate["verification"]["sentence"] == "held throughout"
    assert run.certificate["kantorovich"]["flow"] is True


def test_float32_training_is_judged_in_float64(tmp_path, no_report):
    run = execute(config(dtype="float32", epochs=100), tmp_path / "single")
    assert run.weights("final")["hidden"].dtype == np.float32
    assert run.trajectory["lambda_min"].dtype == np.float64
    assert run.certificate["verification"]["sentence"] == "held throughout"


def test_certify_judges_stored_weights(finished, tmp_path):
    final = certify(config(), weights=finished.path / "weights" / "final.npz")
    start = certify(config())
    assert final["kantorovich"]["rho_0"] < start["kantorovich"]["rho_0"]
    with pytest.raises(ValueError, match="expected"):
        certify(config(width=61), weights=finished.path / "weights" / "final.npz")


def test_bad_configurations_are_one_line():
    for changes, message in [
        ({"width": 0}, "greater than 0"),
        ({"epochs": -1}, "greater than 0"),
        ({"colour": "red"}, "Extra inputs"),
        ({"system": "tow-layer"}, "did you mean"),
        ({"activation": "rleu"}, "relu"),
        ({"step_size": -1.0}, "greater than 0"),
    ]:
        with pytest.raises(ValueError, match=message):
            config(**changes)


def test_a_step_size_beyond_stability_is_refused(tmp_path):
    with pytest.raises(ValueError, match="2/λ_max"):
        execute(config(step_size=1e3), tmp_path / "large")
    assert not (tmp_path / "large").exists()


def test_the_certified_step_size_is_refused_where_nothing_is_certified(tmp_path):
    with pytest.raises(ValueError, match="does not hold at epoch 0"):
        execute(config(step_size="certified", activation="relu"), tmp_path / "none")

"""Both convolutional objectives from configuration to report: certificates, monitors, where a run ends, bad input."""

import math

import jax
import jax.numpy as jnp
import numpy as np
import pydantic
import pytest

from globalmin import open_run, train
from globalmin.experiments import execute
from globalmin.experiments.objectives import ConvFilterConfig, ConvTeacherConfig
from globalmin.experiments.objectives.conv_filter import gabor
from globalmin.objectives import ConvFilter, IsotropicPatches
from globalmin.systems import OBJECTIVES, ConvFilterSystem


def verdicts(run):
    return {t["theorem"]: t["verdict"] for t in run.certificate["theorems"]}


def test_good_and_bad_starts_of_the_teacher(tmp_path, one_drawn):
    """The good one keeps every promise of Theorem 5.3; the bad one of Theorem 5.5, and the basins say so before."""
    common = {"dimension": 4, "patches": 6, "ratio": 0.05, "epochs": 400, "seed": 3, "looks": 8}
    good = execute(ConvTeacherConfig(**common, start="good"), tmp_path / "good")
    found = verdicts(good)
    assert found["TwoPhases"] == found["RandomStart"] == found["AngleContracts"] == "HOLDS"
    assert found["SpuriousBasin"] == found["Spurious"] == "FAILS"
    assert found["TwoPhasesPrinted"] == "UNDECIDED"
    after = good.certificate["verification"]
    assert after["sentence"] == "held throughout"
    assert after["results"]["ends in"] == "global minimum"
    assert after["results"]["slow phase"] > 0
    assert after["results"]["fast phase"] > 0
    bad = execute(ConvTeacherConfig(**common, start="bad"), tmp_path / "bad")
    assert verdicts(bad)["TwoPhases"] == "FAILS"
    assert bad.certificate["verification"]["results"]["ends in"] == "spurious point"
    assert bad.certificate["problem"]["the spurious point attracts"]
    trajectory = bad.trajectory
    assert trajectory is not None
    assert np.nanmax(trajectory["recursion_residual"].values) < 1e-14
    assert trajectory["loss"].values[-1] > 0.133
    page = (tmp_path / "bad" / "report.html").read_text()
    assert "spurious point" in page
    assert open_run(tmp_path / "bad").status == "finished"


def test_sampled_gradients_are_no_gradients_of_the_population(tmp_path, no_report):
    run = execute(
        ConvTeacherConfig(dimension=3, patches=4, epochs=40, batch=64, step_size=0.05, looks=3), tmp_path / "r"
    )
    assert verdicts(run)["TwoPhases"] == verdicts(run)["GlobalBasin"] == "FAILS"
    assert run.certificate["verification"]["results"]["certain from"] is None


def test_one_neuron_keeps_every_promise(tmp_path, no_report):
    run = execute(
        ConvFilterConfig(dimension=3, epochs=300, seed=1, start=(0.4, 0.5, 0.2), teacher=(1.0, 0.2, 0.1)),
        tmp_path / "r",
    )
    found = verdicts(run)
    assert found["OneNeuron"] == found["OneNeuronPrinted"] == found["ManyPatches"] == found["Converges"] == "HOLDS"
    assert run.certificate["verification"]["sentence"] == "held throughout"
    assert run.certificate["problem"]["answer"].startswith("easy: from any start")
    assert run.certificate["verification"]["results"]["slope of log distance per step"] < 0


def test_patches_of_a_file(tmp_path, no_report):
    """Rows are cut, patches are taken as they are, and what does not tile is refused."""
    rng = np.random.default_rng(0)
    np.savez(tmp_path / "patches.npz", X=rng.standard_normal((60, 3, 2)))
    run = execute(ConvFilterConfig(data=str(tmp_path / "patches.npz"), epochs=5, looks=2), tmp_path / "r")
    assert run.certificate["problem"]["patches k"] == 3
    assert run.certificate["problem"]["every direction looked at"]
    assert "Closeness" in verdicts(run)
    np.savez(tmp_path / "rows.npz", X=rng.standard_normal((20, 10)), y=np.zeros(20))
    rows = ConvFilterConfig(data=str(tmp_path / "rows.npz"), epochs=5, patch_size=5)
    assert rows.arrays()["patches"].shape == (20, 2, 5)
    for change, message in [
        ({"patch_size": 3}, "divisor of the 10 columns"),
        ({"layout": "image"}, "say --layout row"),
        ({"stride": 2, "patch_size": 5}, "stride: none expected"),
        ({"patch_size": 5, "start": (1.0, 0.0)}, "start: 5 numbers"),
        ({"patch_size": 5, "teacher": (1.0,)}, "teacher: 5 numbers"),
        ({"patch_size": 5, "teacher": "gabor"}, "needs a square patch"),
    ]:
        with pytest.raises(ValueError, match=message) as raised:
            ConvFilterConfig(data=str(tmp_path / "rows.npz"), epochs=5, **change).arrays()
        assert "\n" not in str(raised.value)
    digits = ConvFilterConfig(data="digits", patch_size=4, stride=2, n=40, epochs=5).arrays()["patches"]
    assert digits.shape == (40, 9, 16)
    assert np.linalg.norm(digits, axis=-1).max() <= 1


def test_stochastic_descent_and_its_theorems(tmp_path, no_report):
    run = execute(
        ConvFilterConfig(data="planar", spread=math.inf, epochs=300, batch=1, step_size=0.1, start=(0.5, 0.5), looks=3),
        tmp_path / "r",
    )
    found = verdicts(run)
    assert found["RealizableDescent"] == "HOLDS"
    assert found["StochasticDescent"] == "FAILS"  # the step size is far above δε²γ₁/B²
    assert found["StochasticDescentPrinted"] == "UNDECIDED"
    results = run.certificate["verification"]["results"]
    assert results["largest sampled gradient"] <= 1.0
    assert results["distance at the end, in ‖w*‖"] < 0.01


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"inputs": 10, "dimension": 3}, "do not tile 10"),
        ({"inputs": 12, "dimension": 3, "patches": 5}, "4 of 3 numbers tile 12, 5 came"),
        ({"ratio": 30.0}, "at most k = 20"),
        ({"patches": 1, "ratio": 0.5}, "1 expected with a single patch"),
        ({"teacher_filter": (1.0, 0.0), "dimension": 3}, "3 numbers"),
        ({"teacher_output": (1.0, 0.0), "patches": 3}, "3 numbers"),
        ({"width": 3}, "Extra inputs"),
    ],
)
def test_teachers_that_do_not_fit_are_refused(options, message):
    with pytest.raises(pydantic.ValidationError, match=message):
        ConvTeacherConfig(epochs=3, **options)


def test_zero_teachers_are_refused():
    config = ConvTeacherConfig(epochs=3, teacher_filter=(0.0, 0.0))
    with pytest.raises(ValueError, match="every label is 0"):
        config.build(config.arrays())
    other = ConvFilterConfig(epochs=3, teacher=(0.0,) * 5)
    with pytest.raises(ValueError, match="every label is 0"):
        other.build(other.arrays())
    for options in (
        {"data": "planar", "dimension": 3},
        {"data": "digits", "patches": 3},
        {"data": "planar", "spread": 0.01},
    ):
        with pytest.raises(pydantic.ValidationError, match=r"expected"):
            ConvFilterConfig(epochs=3, **options)


def test_drawn_teachers_have_the_numbers_that_were_asked_for():
    config = ConvTeacherConfig(epochs=3, patches=7, dimension=3, ratio=2.5, square=0.3, seed=5)
    numbers = config.build(config.arrays()).objective.numbers
    assert numbers.ratio == pytest.approx(2.5)
    assert numbers.square == pytest.approx(0.3)
    assert ConvTeacherConfig(epochs=3, inputs=12, dimension=3).arrays()["teacher_output"].shape == (4,)


def test_default_steps_and_the_list(getkey):
    assert {"conv-teacher", "conv-filter"} <= set(OBJECTIVES)
    system = ConvFilterSystem(ConvFilter(IsotropicPatches(3, 3), jnp.ones(3)))
    point = system.objective.init(key=getkey())
    eta, words = system.default_step_size(point)
    assert "allows none" in words  # six L_cross exceed γ
    assert eta == pytest.approx(0.5 / system.easiness.at_zero[1])
    prepared = train.prepare_objective(system, epochs=3, key=jax.random.key(0))
    assert prepared.step_size == eta
    assert gabor(16).shape == (16,)
    assert np.linalg.norm(gabor(16)) == pytest.approx(1.0)

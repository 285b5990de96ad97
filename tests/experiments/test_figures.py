"""Every reproduced figure runs from end to end at a tiny size: claims, page, and a folder for each run."""

import contextlib
import json
import re

import numpy as np
import pytest
import sklearn.datasets
from sklearn.utils import Bunch

from globalmin import train
from globalmin.data import load, openml
from globalmin.experiments import du2019_fig6_3
from globalmin.experiments.config import RunConfig
from globalmin.experiments.reproduce import FIGURES, reproduce
from globalmin.experiments.run import execute, resume
from globalmin.report import open_run, read_arrays
from globalmin.systems.registry import OBJECTIVES, SYSTEMS


def made_up_trust(tolerances):
    """Gradient errors of a Neural ODE as `train.trust` gives them."""
    methods = ("discretised", "backsolve")
    rows = [
        {"method": method, "tolerance": tolerance, "shrink": 1.0, "error": tolerance, "converged": True}
        for method in methods
        for tolerance in tolerances
    ]
    return train.Trust(tuple(rows), (), 1e-2, methods)


TINY = {
    "du2019-fig2.1": ({"n": 6, "widths": [10, 20], "seeds": 1}, {"EPOCHS": 12}),
    "du2019-fig4.1": ({"rows": 6, "columns": 5, "rank": 2, "epochs": 20}, {}),
    "du2019-fig4.2": ({"widths": [4, 4], "dimension": 5, "outputs": 2, "n": 6, "epochs": 20}, {}),
    "du2019-fig7.2": ({"dimension": 3, "L": 1.0, "epochs": 200, "grid": 11}, {}),
    "du2019-fig7.3": ({"dimension": 3, "L": [1.0], "epochs": 300, "seeds": 1}, {}),
    "du2019-fig7.4": ({"dimension": 4, "L": [2.0], "epochs": 10_000, "seeds": 1}, {}),
    "du2019-ch3": (
        {"per_class": 3, "width": 8, "widths": [7, 8], "epochs": 4, "depths": [2], "seeds": 1, "laws": [2, 3]},
        {"LOOKS": 1, "DEEPEST_DENSE": 3},
    ),
    "ling2023-fig1": (
        {"widths": [10, 20], "epochs": 6, "data": {"sphere": {"n": 5, "dimension": 6}}},
        {"LOOKS": 1},
    ),
    # One shape for all runs: they share what JAX compiles.
    "gao2022-fig1": (
        {
            "widths": [12], "epochs": 6, "seeds": 2, "dtype": "float64", "data": {"digits": {"per_class": 3}},
            "kinks": {"n": 6, "dimension": 64, "width": 12, "epochs": 6},
        },
        {"LOOKS": 1},
    ),
    "neural-ode-convergence": (
        {"activations": ["tanh"], "n": 3, "layers": [2, 4], "widths": [8, 16], "seeds": 2, "width_seeds": 2, "epochs": 6},
        {"LOOKS": 1},
    ),
    "neural-ode-activations": (
        # One activation, with closed forms, and both runs of one shape: each activation is a program of its own. What the page
        # says of several, and the gradients, which take two Diffrax programs, are tested in test_neural_ode_activations.py.
        {
            "activations": ["linear"], "per_class": 3, "width": 8, "epochs": 4, "tolerances": [1e-2], "horizons": [1],
            "certified": {"per_class": 3, "width": 8, "epochs": 4},
        },
        {"LOOKS": 1, "CERTIFICATE_LOOKS": 1, "_trust": lambda config, size: made_up_trust(size["tolerances"])},
    ),
    "noy2021-fig2": (
        {
            "n": 6, "dimension": 6, "depth": 2, "powers": [1.0, 0.75], "seeds": 1, "epochs": 5,
            "dynamics": {"data": "diabetes", "n": 6, "width": 12, "depth": 2, "epochs": 8},
        },
        {"LOOKS": 1},
    ),
    "noy2021-fig3": (
        {
            "data": "digits", "per_class": 1, "architectures": [[2, 24]], "epochs": 6,
            "transform": {"per_class": 1, "depth": 2, "width": 24, "epochs": 6},
        },
        {"LOOKS": 1},
    ),
    "noy2021-fig4": (
        {
            "data": "diabetes", "n": 6, "width": 12, "depth": 2, "epochs": 6, "steps": [0.2, 1.0], "high": [1.5, 2.2],
            "shapes": [[2, 12]],
        },
        {"LOOKS": 1},
    ),
    "du2019-fig5.1": ({"epochs": 40}, {}),
    "du2019-fig5.2": ({"epochs": 40}, {}),
    "du2019-table5.1": ({"starts": 40}, {}),
    "du2019-fig6.3": (
        {"spreads": {1.0: 4}, "closenesses": {0.3: 2}, "longest": 4, "images": {"digits": {
            "data": "digits", "n": 20, "patch_size": 4, "batch": 4, "step_size": 1.0, "epochs": 4,
        }}},
        {"DISTANCES": (0.3, 0.6)},
    ),
    "du2019-fig6.4": ({"longer": 0.01}, {}),
}  # fmt: skip

WITHOUT_RUNS = ("du2019-table5.1",)  # 180,000 starts, none of them a folder


@contextlib.contextmanager
def bar(title, epochs):
    yield lambda epoch, total, quantities: None


SLOW = ("du2019-fig6.3",)  # the quadrature of close patches, and eight run folders

EVERY = [pytest.param(figure, marks=pytest.mark.slow) if figure in SLOW else figure for figure in FIGURES]


@pytest.mark.parametrize("figure", EVERY)
def test_a_figure_runs_and_states_its_claims(figure, monkeypatch, tmp_path, one_drawn):
    sizes, constants = TINY[figure]
    monkeypatch.setattr(FIGURES[figure], "SIZES", {"small": sizes})
    for name, value in constants.items():
        monkeypatch.setattr(FIGURES[figure], name, value)
    found = reproduce(figure, tmp_path / "out", bar=bar)
    assert found["claims"]
    for claim in found["claims"]:
        assert set(claim) == {"text", "measured", "asked", "passed"}
        assert type(claim["passed"]) is bool
        assert "nan" not in claim["measured"]
    assert "not given by the source" in found["settings"]
    page = (tmp_path / "out" / "index.html").read_text(encoding="utf-8")
    assert "<svg" in page
    assert page.count("PASS") + page.count("FAIL") >= len(found["claims"])
    stored = json.loads((tmp_path / "out" / "claims.json").read_text())
    assert [c["text"] for c in stored["claims"]] == [c["text"] for c in found["claims"]]
    links = re.findall(r'href="([^"]+)/report\.html"', page)
    assert links or figure in WITHOUT_RUNS
    for link in links:
        run = open_run(tmp_path / "out" / link)
        assert run.status == "finished"
        assert (run.path / "report.html").is_file()


@pytest.mark.parametrize("figure", FIGURES)
def test_sizes_of_both_scales_have_the_same_entries(figure):
    sizes = FIGURES[figure].SIZES
    assert set(sizes) == {"small", "paper"}
    assert set(sizes["small"]) == set(sizes["paper"]) == set(TINY[figure][0])


def test_figures_of_images_take_mnist_where_it_is_at_hand(monkeypatch, tmp_path, no_report):
    """OpenML on this machine: absent, fetched, and used by both figures at the paper's scale."""
    monkeypatch.setenv("GLOBALMIN_CACHE", str(tmp_path / "cache"))
    assert {du2019_fig6_3.images(scale)["data"] for scale in ("small", "paper")} == {"digits"}
    (sentence,) = du2019_fig6_3.advice("paper")
    assert f"put mnist.npz with X (n × 28 × 28) and y (n) into {tmp_path / 'cache'}" in sentence
    assert "\n" not in sentence

    def fetch(*, data_id, **options):
        assert data_id == openml.ENTRIES["mnist"].data_id
        rng = np.random.default_rng(0)
        ramp = np.linspace(0, 1, 28)
        waves = np.sin(rng.uniform(1, 9, (60, 1, 1)) * (ramp[:, None] + ramp) + rng.uniform(0, 6, (60, 1, 1)))
        pixels = np.floor(127 * (1 + waves)).reshape(60, 784)
        return Bunch(data=pixels, target=np.array([str(k % 10) for k in range(60)]), feature_names=[], details={})

    monkeypatch.setattr(sklearn.datasets, "fetch_openml", fetch)
    monkeypatch.setattr(openml, "_reach", lambda data_id: None)
    assert len(load("mnist", per_class=2, classes=tuple(range(10))).x) == 20
    assert du2019_fig6_3.images("small")["data"] == "digits"
    assert "--scale paper takes it" in du2019_fig6_3.advice("small")[0]
    assert du2019_fig6_3.images("paper")["data"] == "mnist"
    assert du2019_fig6_3.advice("paper") == []
    images = {"mnist": {**du2019_fig6_3.IMAGES["mnist"], "n": 30}}
    monkeypatch.setitem(du2019_fig6_3.SIZES, "paper", {**du2019_fig6_3.SIZES["paper"], "images": images, "longest": 3})
    found = reproduce("du2019-fig6.4", tmp_path / "out", scale="paper", bar=bar)
    assert found["settings"]["data"] == "mnist"
    for name in ("random", "gabor"):
        run = open_run(tmp_path / "out" / name)
        assert run.config["data"] == "mnist"
        assert read_arrays(run.path / "data.npz")["patches"].shape == (30, 16, 49)


def test_the_systems_list_every_figure():
    listed = {figure for kind in [*SYSTEMS.values(), *OBJECTIVES.values()] for figure in kind.figures}
    assert listed == set(FIGURES)


def test_the_test_loss_is_that_of_the_stored_weights(tmp_path, no_report):
    """f by 60 passes from zero in NumPy: the map contracts by 0.3 or better, and 0.3^60 is far below eps."""
    config = RunConfig(system="implicit-relu", data="digits", per_class=4, width=12, epochs=5, looks=2)
    run = execute(config, tmp_path / "run")
    weights, data = read_arrays(run.path / "weights/final.npz"), read_arrays(run.path / "data.npz")
    features = np.maximum(data["x_test"] @ weights["inject"].T, 0) / np.sqrt(12)
    z = np.zeros_like(features)
    for _ in range(60):
        z = np.maximum(0.1 / np.sqrt(12) * z @ weights["hidden"].T + features, 0)
    outputs = z @ weights["readout"] + features @ weights["skip"]
    expected = len(data["y"]) / len(data["y_test"]) / 2 * np.sum((outputs - data["y_test"]) ** 2)
    # The equilibrium of a look is solved to 1e-12 or better, its error enlarged by 1/(1 - 0.3) at most.
    np.testing.assert_allclose(run.trajectory["test_loss"].values[-1], expected, rtol=1e-9)


def test_an_interrupted_run_keeps_its_test_samples(tmp_path, no_report):
    config = RunConfig(system="two-layer", data="digits", per_class=4, width=12, epochs=60, looks=6)
    whole = execute(config, tmp_path / "whole")

    def stop(epoch, epochs, quantities):
        if epoch > 5:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        execute(config, tmp_path / "cut", progress=stop)
    resumed = resume(tmp_path / "cut")
    assert {"x_test", "y_test"} <= set(read_arrays(resumed.path / "data.npz"))
    np.testing.assert_array_equal(resumed.trajectory["test_loss"].values, whole.trajectory["test_loss"].values)


def test_data_without_test_samples_have_no_test_loss(tmp_path, no_report):
    config = RunConfig(system="two-layer", data="sphere", n=4, dimension=3, width=8, epochs=3, looks=2)
    assert "test_loss" not in execute(config, tmp_path / "run").trajectory

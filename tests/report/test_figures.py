import subprocess
import sys
import xml.etree.ElementTree as ElementTree

import matplotlib
import numpy as np
import pytest

from globalmin.report import draw, figures, open_run

NAMES = {"loss", "lambda_min", "kantorovich", "movement", "pattern", "solver", "spectrum"}


@pytest.fixture
def run(folder):
    return open_run(folder.path)


def lines(figure, axis=0):
    """Label -> x and y of each line of an axis."""
    return {
        str(line.get_label()): (np.asarray(line.get_xdata()), np.asarray(line.get_ydata()))
        for line in figure.axes[axis].get_lines()
    }


def test_all_figures_are_drawn_from_a_full_run(run, tmp_path):
    before = dict(matplotlib.rcParams)
    texts = figures.save(draw(run.trajectory, run.certificate), tmp_path)
    assert set(texts) == NAMES
    for name in NAMES:
        assert (tmp_path / f"{name}.svg").read_text() == texts[name]
        assert (tmp_path / f"{name}.pdf").read_bytes().startswith(b"%PDF")
        ElementTree.fromstring(texts[name])
    assert dict(matplotlib.rcParams) == before


def test_files_are_the_same_bytes_every_time(run, tmp_path):
    certificate = {k: v for k, v in run.certificate.items() if k != "spectrum"}
    few = run.trajectory[["lambda_min"]]
    for folder in ("one", "two"):
        figures.save(draw(few, certificate), tmp_path / folder)
    for file in ("lambda_min.svg", "lambda_min.pdf"):
        assert (tmp_path / "one" / file).read_bytes() == (tmp_path / "two" / file).read_bytes()


def test_loss_is_drawn_as_recorded_with_bounds_and_certified_epoch(run):
    figure = draw(run.trajectory, run.certificate)["loss"]
    (ax,) = figure.axes
    drawn = lines(figure)
    assert ax.get_yscale() == "log"
    assert "½‖u − y‖²" in ax.get_title("left")
    np.testing.assert_array_equal(drawn["loss"][1], run.trajectory["loss_every_epoch"])
    assert drawn["Kantorovich envelope"][0].min() >= 120
    assert list(drawn["certified from epoch 120 on"][0]) == [120, 120]
    assert any("not all shown" in label for label in drawn)


def test_a_theorem_that_holds_is_not_excused(run):
    certificate = run.certificate
    certificate["theorems"][0]["verdict"] = "HOLDS"
    assert "bound of the theorem" in lines(draw(run.trajectory, certificate)["loss"])


def test_limits_are_those_that_were_promised(run):
    drawn = draw(run.trajectory, run.certificate)
    spectrum = lines(drawn["lambda_min"])
    assert spectrum["λ_min(H) ≥ λ₀/2"][1][0] == 0.0231 / 2
    assert spectrum["limit: λ_min of h_infinity"][1][0] == 0.0231
    assert lines(drawn["movement"], 2)["no neuron moves beyond R"][1][0] == 0.4


def test_a_bound_far_above_is_written_and_not_drawn(run):
    certificate = run.certificate
    certificate["verification"]["promises"][2]["limit"] = 30690.0
    ax = draw(run.trajectory, certificate)["movement"].axes[2]
    assert "no neuron moves beyond R: far above, 31000" in ax.get_legend_handles_labels()[1]
    legend = ax.get_legend()
    assert legend is not None
    assert max(len(line) for text in legend.get_texts() for line in text.get_text().splitlines()) <= 28
    assert ax.get_ylim()[1] < 1


def test_only_an_implicit_network_has_a_limit_of_the_operator_norm(run):
    drawn = draw(run.trajectory, run.certificate)["solver"]
    assert "limit of well-posedness" in lines(drawn, 1)
    explicit = draw(run.trajectory.drop_vars(["forward_iterations", "backward_iterations"]), run.certificate)["solver"]
    assert "limit of well-posedness" not in lines(explicit)


def test_a_long_series_is_drawn_as_mean_and_range(run):
    mean = lines(draw(run.trajectory, run.certificate)["solver"])["equilibrium: mean and range"][1]
    assert len(mean) == figures.STRETCHES
    # 3, 4, 3, 4, ...: stretches of two have the mean 3.5.
    np.testing.assert_array_equal(mean, 3.5)


def test_only_what_is_there(run):
    assert set(draw(None, run.certificate)) == {"spectrum"}
    assert draw(None, {}) == {}
    assert set(draw(run.trajectory[["loss"]], {})) == {"loss"}
    nothing = run.trajectory[["movement"]] * np.nan
    assert draw(nothing, {}) == {}


def test_zero_and_negative_values_are_not_a_warning(run, tmp_path):
    flat = run.trajectory[["loss", "kantorovich_h", "gram_drift"]] * 0
    spectrum = {"name": "k", "eigenvalues": [-1e-17, 0.0, 1e-16, 1.0], "error": 1e-15, "lambda_min": -1e-17}
    drawn = draw(flat, {"spectrum": {**spectrum, "lambda_max": 1.0}})
    figures.save(drawn, tmp_path)
    assert drawn["loss"].axes[0].get_yscale() == "linear"
    labels = drawn["spectrum"].axes[0].get_legend_handles_labels()[1]
    assert "2 not positive: not shown" in labels
    assert "error bound 10⁻¹⁵" in labels


def test_a_user_s_settings_change_nothing(run):
    with matplotlib.rc_context({"text.usetex": True, "axes.facecolor": "red", "lines.linewidth": 9}):
        few = draw(run.trajectory[["lambda_min"]], {})
        text = figures.svg(few["lambda_min"], "lambda_min")
    assert text == figures.svg(draw(run.trajectory[["lambda_min"]], {})["lambda_min"], "lambda_min")


def test_importing_is_light_and_drawing_leaves_pyplot_alone():
    code = (
        "import sys, globalmin.report as report\n"
        "heavy = {'matplotlib', 'xarray', 'zarr', 'rich', 'jinja2', 'pandas'} & set(sys.modules)\n"
        "assert not heavy, heavy\n"
        "report.draw(None, {'spectrum': {'name': 'k', 'eigenvalues': [1.0], 'error': 0.0}})\n"
        "assert 'matplotlib.pyplot' not in sys.modules\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True)

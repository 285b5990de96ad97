"""`globalmin gradients`: the trust report as a user asks for it, for people, for machines, and refused in one line."""

import json
import re
import xml.etree.ElementTree as ElementTree

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from globalmin import activations, report
from globalmin.cli.main import main
from globalmin.models import Equilibrium
from globalmin.report.gradients import draw_gradients
from globalmin.train import trust

from ..helpers import given


@pytest.fixture
def points(tmp_path):
    g = np.random.default_rng(0)
    x = g.standard_normal((4, 3))
    x /= np.linalg.norm(x, axis=1, keepdims=True)
    np.savez(tmp_path / "points.npz", X=x, y=np.sign(x[:, 0]))
    return tmp_path / "points.npz"


def one_line(capsys):
    error = capsys.readouterr().err
    assert error.startswith("globalmin: ")
    assert error.count("\n") == 1
    return error


def test_json_is_the_report_of_the_model_at_hand(points, tmp_path, capsys):
    out = tmp_path / "trust"
    arguments = ["gradients", "equilibrium", "--data", str(points), "--width", "9", "--seed", "2"]
    assert main([*arguments, "--activation", "tanh", "--sigma-w2", "0.1", "--out", str(out), "--json"]) == 0
    said = json.loads(capsys.readouterr().out)
    assert {"system", "data", "n", "d", "width", "seed", "operator_norm", "training_tolerance", "sentence"} <= set(said)
    with np.load(points) as found:
        x, y = jnp.asarray(found["X"]), jnp.asarray(found["y"])
    # The same network, built without configuration or system.
    model = Equilibrium.init(3, 9, activations.get("tanh"), key=jax.random.key(2), sigma_w2=0.1)
    want = json.loads(json.dumps(trust(model, x, y, seed=2).to_dict()))
    assert {name: said[name] for name in want} == want
    np.testing.assert_allclose(said["operator_norm"], np.linalg.norm(np.asarray(model.hidden), 2), rtol=1e-12)
    start, end = said["needed_at"]["1"], said["needed_at"]["0.001"]
    assert end < start
    assert f"to {report.number(start)} at the start" in said["sentence"]
    assert f"to {report.number(end)} once the loss is 10⁶ times smaller" in said["sentence"]
    assert json.loads((out / "gradients.json").read_text()) == said
    assert (out / "gradients.pdf").read_bytes().startswith(b"%PDF")
    assert main([*arguments, "--out", str(out)]) == 2
    assert "new or empty folder expected" in one_line(capsys)


def test_tables_and_figure_of_every_method_and_tolerance(points, tmp_path, capsys):
    out = tmp_path / "trust"
    arguments = ["gradients", "implicit-relu", "--data", str(points), "--width", "8", "--gamma", "0.2"]
    assert main([*arguments, "--out", str(out)]) == 0
    said = capsys.readouterr().out
    found = json.loads((out / "gradients.json").read_text())
    marked = re.findall(r"→ ([^ ]+)", said)[:2]
    assert marked == [report.number(given(found["needed_at"][key])) for key in ("1", "0.001")]
    assert found["sentence"] in said
    assert "one-step gradient is" in said
    svg = (out / "gradients.svg").read_text()
    ElementTree.fromstring(svg)
    for label in ("implicit (what training uses)", "unrolled", "one-step (phantom)", "at the start"):
        assert label in svg
    figure = draw_gradients(found)
    assert len(figure.axes) == 2
    for ax, reference in zip(figure.axes, found["references"], strict=True):
        assert (ax.get_xscale(), ax.get_yscale()) == ("log", "log")
        assert ax.xaxis_inverted()
        for line, method in zip(ax.get_lines(), ("implicit", "unrolled", "phantom"), strict=False):
            rows = [r for r in found["rows"] if (r["method"], r["shrink"]) == (method, reference["shrink"])]
            np.testing.assert_array_equal(line.get_xdata(), [r["tolerance"] for r in rows])
            np.testing.assert_array_equal(line.get_ydata(), [r["error"] for r in rows])


def test_sentence_where_nothing_suffices_and_where_one_step_does():
    rows = [
        {"shrink": 1.0, "tolerance": 1e-3, "method": m, "error": e, "converged": True, "forward": 3, "backward": 3}
        for m, e in (("implicit", 0.5), ("unrolled", 0.5), ("phantom", 0.005))
    ]
    found = {"rows": rows, "references": [{"shrink": 1.0}], "threshold": 0.01, "training_tolerance": 1e-9}
    found |= {"needed": {"phantom": 1e-3}, "needed_at": {"1": None}}
    said = report.gradient_sentence(found)
    assert "more tightly than 0.001, the last tried, at the start" in said
    assert "The one-step gradient does from 0.001 on" in said


@pytest.mark.parametrize(
    ("system", "more", "message"),
    [
        ("two-layer", [], "no equilibrium and no ODE is solved in two-layer; its gradient is exact"),
        ("equilibrum", [], "did you mean equilibrium"),
        ("equilibrium", ["--gamma", "0.1"], "no option gamma"),
        ("implicit-relu", ["--gamma", "0.6"], "gamma"),
        ("equilibrium", ["--width", "0"], "greater than 0"),
        ("equilibrium", ["--data", "missing.npz"], "missing.npz"),
    ],
)
def test_wrong_input_is_one_line_and_writes_nothing(points, tmp_path, capsys, system, more, message):
    out = tmp_path / "trust"
    flags = {"--data": str(points), "--width": "8", "--out": str(out)} | dict(zip(more[::2], more[1::2], strict=True))
    assert main(["gradients", system, *(part for pair in flags.items() for part in pair)]) == 2
    assert message in one_line(capsys)
    assert not out.exists()

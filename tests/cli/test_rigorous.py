"""`globalmin certify --rigorous` and `globalmin verify` as a user types them."""

import json

import numpy as np
import pytest

from globalmin.cli.main import main


@pytest.fixture
def points(tmp_path):
    """Two samples, with labels that a network of 400 neurons is near at the start, and with labels that it is far from."""
    x = np.array([[1.0, 0.0, 0.0], [0.0, 0.6, 0.8]])
    np.savez(tmp_path / "near.npz", X=x, y=np.zeros(2))
    np.savez(tmp_path / "far.npz", X=x, y=np.array([50.0, -50.0]))
    arguments = ["certify", "two-layer", "--activation", "tanh", "--width", "400", "--step-size", "0.01", "--data"]
    return [*arguments, str(tmp_path / "near.npz")], [*arguments, str(tmp_path / "far.npz")]


def one_line(capsys):
    error = capsys.readouterr().err
    assert error.startswith("globalmin: ")
    assert error.count("\n") == 1
    return error


def test_certify_and_verify(points, tmp_path, capsys):
    out = tmp_path / "proof.json"
    near, far = points
    assert main([*far, "--rigorous", "--json"]) == 0
    said = json.loads(capsys.readouterr().out)["rigorous"]
    assert said["verdict"] == "FAILS"
    assert said["quantities"]["rho_0"][0] > 60
    assert main([*far, "--certificate-file", str(out)]) == 1
    assert "nothing is proven" in capsys.readouterr().out
    assert not out.exists()
    assert main([*near, "--certificate-file", str(out), "--require", "kantorovich"]) == 0
    assert "proven: from exactly these weights" in capsys.readouterr().out
    assert main(["verify", str(out)]) == 0
    assert capsys.readouterr().out.startswith("verified: from exactly these weights")
    weights, data = str(tmp_path / "proof.weights.npz"), str(tmp_path / "proof.data.npz")
    assert main(["verify", str(out), "--weights", weights, "--data", data, "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["verified"] is True

    assert main(["verify", str(out), "--weights", data]) == 2
    assert "not in the file" in one_line(capsys)
    content = json.loads(out.read_text())
    out.write_text(json.dumps({**content, "step_size": (0.02).hex()}))
    assert main(["verify", str(out)]) == 2
    assert "was changed" in one_line(capsys)
    from globalmin.rigorous import file

    lie = {**content, "hypotheses": {**content["hypotheses"]}}
    lie["hypotheses"]["rho_0"] = {**lie["hypotheses"]["rho_0"], "interval": [(1e-9).hex(), (2e-9).hex()]}
    file.write(out, {k: v for k, v in lie.items() if k != "sha256"})
    assert main(["verify", str(out)]) == 1
    assert "refuted: rho_0" in one_line(capsys)
    assert main(["verify", str(tmp_path / "none.json")]) == 2
    assert "there is none" in one_line(capsys)


def test_missing_flint(points, capsys, monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "flint", None)
    assert main([*points[0], "--rigorous"]) == 2
    assert "pip install globalmin[rigorous]" in one_line(capsys)

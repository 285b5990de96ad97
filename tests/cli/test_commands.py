"""Every command as a user types it: right input, wrong input, exit codes, JSON for machines."""

import json
import subprocess
import sys

import numpy as np
import pytest

from globalmin.cli.main import main


@pytest.fixture
def points(tmp_path):
    g = np.random.default_rng(0)
    x = g.standard_normal((6, 4))
    x /= np.linalg.norm(x, axis=1, keepdims=True)
    np.savez(tmp_path / "points.npz", X=x, y=np.sign(x[:, 0]))
    return tmp_path / "points.npz"


def one_line(capsys):
    error = capsys.readouterr().err
    assert error.startswith("globalmin: ")
    assert error.count("\n") == 1
    return error


def test_kernel_writes_matrices_and_prints_json(points, tmp_path, capsys):
    out = tmp_path / "K.npz"
    assert main(["kernel", "two-layer", "--data", str(points), "--out", str(out), "--activation", "erf", "--json"]) == 0
    said = json.loads(capsys.readouterr().out)
    with np.load(out) as found:
        assert {"nngp", "ntk", "h_infinity"} <= set(found)
        for name in found:
            assert found[name].shape == (6, 6)
            assert found[name].dtype == np.float64
            assert said["spectra"][name]["lambda_min"] == pytest.approx(np.linalg.eigvalsh(found[name])[0], abs=1e-12)
        x = np.load(points)["X"]
        # erf: E[φφ] = (2/π) arcsin(2c/√((1+2p)(1+2q))), here at unit variance.
        np.testing.assert_allclose(found["nngp"], 2 / np.pi * np.arcsin(2 * (x @ x.T) / 3), atol=1e-13)


def test_kernel_of_an_equilibrium_with_depth_and_options(points, tmp_path, capsys):
    for k, more in enumerate((["--sigma-w2", "0.05"], ["--depth", "3"])):
        out = tmp_path / f"K{k}.npz"
        assert main(["kernel", "equilibrium", "--data", str(points), "--out", str(out), *more]) == 0
        with np.load(out) as found:
            assert "k" in found
    assert "λ_min" in capsys.readouterr().out


def test_certify_prints_the_contract(points, capsys):
    arguments = ["certify", "two-layer", "--data", str(points), "--width", "50", "--seed", "3", "--json"]
    assert main([*arguments, "--activation", "tanh", "--step-size", "0.1"]) == 0
    said = json.loads(capsys.readouterr().out)
    assert {"system", "data", "theorems", "kantorovich"} <= set(said)
    for theorem in said["theorems"]:
        assert {"source", "verdict", "hypotheses"} <= set(theorem)
        for hypothesis in theorem["hypotheses"]:
            assert {"name", "lhs", "rhs", "slack", "error", "verdict"} <= set(hypothesis)
            assert hypothesis["verdict"] in {"HOLDS", "FAILS", "UNDECIDED"}
    wanted = {"verdict", "h", "sigma_0", "lambda", "rho_0", "radius", "rate", "step_size", "needed"}
    assert wanted <= set(said["kantorovich"])
    assert said["kantorovich"]["step_size"] == 0.1


def test_certify_for_people_says_silent(points, capsys):
    assert main(["certify", "equilibrium", "--data", str(points), "--width", "40", "--normalize", "sqrt-d"]) == 0
    said = capsys.readouterr().out
    assert "silent" in said
    assert "Theorem 1" in said


def test_demanding_a_certificate_that_fails_exits_with_one(points, capsys):
    arguments = ["certify", "two-layer", "--data", str(points), "--width", "50", "--json"]
    assert main([*arguments, "--require", "published"]) == 1
    assert main([*arguments, "--require", "kantorovich"]) == 1
    capsys.readouterr()


def test_train_report_and_resume(points, tmp_path, capsys, one_drawn):
    out = tmp_path / "run"
    arguments = ["train", "two-layer", "--data", str(points), "--width", "40", "--epochs", "30", "--seed", "1"]
    assert main([*arguments, "--out", str(out), "--activation", "tanh", "--json"]) == 0
    said = json.loads(capsys.readouterr().out)
    assert said["status"] == "finished"
    assert said["sentence"] == "held throughout"
    (out / "report.html").unlink()
    assert main(["report", str(out)]) == 0
    assert (out / "report.html").exists()
    capsys.readouterr()
    assert main(["resume", str(out)]) == 2
    assert "finished" in one_line(capsys)
    assert main([*arguments, "--out", str(out)]) == 2
    assert "new or empty folder expected" in one_line(capsys)


def test_systems_and_errata(capsys):
    assert main(["systems", "--json"]) == 0
    listed = {entry["name"]: entry for entry in json.loads(capsys.readouterr().out)}
    assert {
        "two-layer", "dense", "resnet", "conv-resnet", "implicit-relu", "equilibrium", "gated", "neural-ode", "balancing",
        "factorization", "conv-teacher", "conv-filter", "saddle",
    } == set(listed)  # fmt: skip
    assert listed["two-layer"]["status"] == "built"
    assert main(["systems", "--errata", "--json"]) == 0
    errata = json.loads(capsys.readouterr().out)
    assert all(e["printed"] and e["corrected"] and e["why"] for e in errata)
    assert main(["systems"]) == 0
    assert main(["systems", "--errata"]) == 0


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"system": "two-leyer"}, "did you mean two-layer"),
        ({"system": "neural-od"}, "neural-ode"),
        ({"--data": "digitz"}, "digits"),
        ({"--data": "missing.npz"}, "missing.npz"),
        ({"--activation": "tanhh"}, "tanh"),
        ({"--width": "0"}, "greater than 0"),
        ({"--sigma-w2": "0.5"}, "sigma_w2"),
    ],
)
def test_wrong_input_is_one_line_and_exit_code_two(points, capsys, change, message):
    given = {"--data": str(points), "--width": "10"} | {k: v for k, v in change.items() if k != "system"}
    flags = [part for pair in given.items() for part in pair]
    assert main(["certify", change.get("system", "two-layer"), *flags]) == 2
    assert message in one_line(capsys)


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        ({"X": np.ones((3, 2)) * np.nan, "y": np.ones(3)}, "rows 0, 1 and 2"),
        ({"X": np.zeros((2, 2)), "y": np.ones(2)}, "zero"),
        ({"X": np.ones((3, 2)), "y": np.ones(2)}, "3"),
        ({"X": np.ones((0, 2)), "y": np.ones(0)}, "at least one"),
        ({"Z": np.ones((2, 2))}, "X"),
    ],
)
def test_wrong_data_is_named(tmp_path, capsys, arrays, message):
    np.savez(tmp_path / "bad.npz", **arrays)
    assert main(["certify", "two-layer", "--data", str(tmp_path / "bad.npz"), "--width", "10"]) == 2
    assert message in one_line(capsys)


def test_sigma_w2_beyond_an_eighth_is_explained(points, capsys):
    assert main(["certify", "equilibrium", "--data", str(points), "--width", "10", "--sigma-w2", "0.2"]) == 2
    assert "1/8" in one_line(capsys)


def test_duplicate_rows_are_named_and_silent(tmp_path, capsys):
    """Two equal rows: λ₀ is 0 within its error; nothing holds, the closest pair is named, nothing crashes."""
    x = np.eye(3)[[0, 1, 0]]
    np.savez(tmp_path / "twins.npz", X=x, y=np.array([1.0, -1.0, -1.0]))
    arguments = ["certify", "two-layer", "--data", str(tmp_path / "twins.npz"), "--width", "30", "--activation", "tanh"]
    assert main([*arguments, "--json"]) == 0
    said = json.loads(capsys.readouterr().out)
    assert said["kantorovich"]["verdict"] != "HOLDS"
    assert all(t["verdict"] != "HOLDS" for t in said["theorems"])
    assert sorted(said["data"]["geometry"]["closest_pair"]["rows"]) == [0, 2]


def test_kernel_refuses_to_overwrite_and_foreign_options(points, tmp_path, capsys):
    out = tmp_path / "K.npz"
    out.write_bytes(b"")
    assert main(["kernel", "two-layer", "--data", str(points), "--out", str(out)]) == 2
    assert "new file expected" in one_line(capsys)
    fresh = str(tmp_path / "K2.npz")
    assert main(["kernel", "equilibrium", "--data", str(points), "--out", fresh, "--bias-std", "1"]) == 2
    assert "no option bias_std" in one_line(capsys)
    assert main(["kernel", "two-layer", "--data", str(points), "--out", fresh, "--depth", "2"]) == 2
    assert "depth" in one_line(capsys)


def test_unknown_figure_and_damaged_run(tmp_path, capsys):
    assert main(["reproduce", "du2019-fig2-1", "--out", str(tmp_path / "f")]) == 2
    assert "did you mean du2019-fig2.1" in one_line(capsys)
    assert main(["report", str(tmp_path / "nothing")]) == 2
    one_line(capsys)


@pytest.mark.parametrize(
    "command",
    ["demo", "systems", "kernel", "certify", "gradients", "train", "resume", "report", "reproduce", "widths"],
)
def test_help_has_an_example(command, capsys):
    with pytest.raises(SystemExit) as left:
        main([command, "--help"])
    assert left.value.code == 0
    assert f"globalmin {command}" in capsys.readouterr().out.split("Example", 1)[1]


def test_help_for_a_system_leaves_out_the_options_of_others(capsys):
    for words, shown in ((["certify", "two-layer", "--help"], False), (["certify", "--help"], True)):
        with pytest.raises(SystemExit):
            main(words)
        said = capsys.readouterr().out
        assert "--width" in said
        assert "--activation" in said
        assert ("--sigma-w2" in said) == shown
    with pytest.raises(SystemExit):
        main(["kernel", "equilibrium", "--help"])
    assert "--depth" in capsys.readouterr().out  # the kernel's own, though the network has none
    assert main(["certify", "two-layer", "--data", "digits", "--width", "9", "--sigma-u", "3"]) == 2
    assert "sigma_u" in one_line(capsys)


def test_unknown_command_exits_with_two(capsys):
    with pytest.raises(SystemExit) as left:
        main(["certfy"])
    assert left.value.code == 2
    capsys.readouterr()


@pytest.mark.parametrize("arguments", [["systems", "--errata", "--json"], ["gradients", "--help"]])
def test_a_reader_that_has_seen_enough_is_no_error(arguments):
    code = f"from globalmin.cli.main import main; raise SystemExit(main({arguments!r}))"
    child = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert child.stdout is not None
    child.stdout.close()
    _, error = child.communicate()
    assert (child.returncode, error) == (0, "")

"""`globalmin objective`: every objective as a user types it, bad input, resuming, and what is listed."""

import json

import numpy as np
import pytest
import scipy.sparse

from globalmin.cli.main import main
from globalmin.experiments import (
    CONFIGS,
    BalancingConfig,
    ConvFilterConfig,
    FactorizationConfig,
    SaddleConfig,
    execute,
    resume,
)
from globalmin.report import open_run


def one_line(capsys):
    error = capsys.readouterr().err
    assert error.startswith("globalmin: ")
    assert error.count("\n") == 1
    return error


def test_a_run_has_every_part_and_says_its_verdict(tmp_path, capsys, one_drawn):
    out = tmp_path / "run"
    arguments = ["objective", "saddle", "--dimension", "3", "--L", "1", "--start", "half", "--out", str(out)]
    assert main([*arguments, "--json"]) == 0
    said = json.loads(capsys.readouterr().out)
    assert said["status"] == "finished"
    assert said["sentence"] == "held throughout"
    assert said["results"]["T_k, first epoch with |x_k| ≥ 2τ"][:2] == [6, 21]
    parts = {p.name for p in out.iterdir()}
    assert parts >= {"config.json", "manifest.json", "certificate.json", "trajectory.zarr", "weights", "report.html"}
    assert json.loads((out / "config.json").read_text())["objective"] == "saddle"
    page = (out / "report.html").read_text()
    assert "Kantorovich" not in page.split("</style>")[1].split("<script")[0]
    assert "figure-monitors" in page
    assert main(["report", str(out)]) == 0
    assert main(arguments) == 2
    assert "new or empty folder expected" in one_line(capsys)


def test_people_read_theorems_and_results(tmp_path, capsys, no_report):
    command = ["objective", "factorization", "--rank", "1", "--rows", "8", "--columns", "6", "--epochs", "40"]
    assert main([*command, "--out", str(tmp_path / "run")]) == 0
    said = capsys.readouterr().out
    for text in ("objective: factorization", "Stage one", "relative error at the end", "report: "):
        assert text in said


def test_balancing_and_sparse_matrices_run(tmp_path, capsys, no_report):
    command = ["objective", "balancing", "--epochs", "5", "--n", "8", "--dimension", "6", "--widths", "4", "3"]
    assert main([*command, "--out", str(tmp_path / "b"), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["sentence"] == "held throughout"
    matrix = scipy.sparse.random_array((12, 9), density=0.3, rng=np.random.default_rng(0), format="csr")
    scipy.sparse.save_npz(tmp_path / "m.npz", matrix)
    command = ["objective", "factorization", "--rank", "2", "--matrix", str(tmp_path / "m.npz"), "--epochs", "5"]
    assert main([*command, "--out", str(tmp_path / "s"), "--json"]) == 0
    capsys.readouterr()
    problem = open_run(tmp_path / "s").certificate["problem"]
    assert problem["M"] == "12 × 9, operator"
    np.testing.assert_allclose(
        problem["leading singular values"], np.linalg.svd(matrix.toarray(), compute_uv=False)[:2], rtol=1e-12
    )


def test_adaptive_steps_keep_each_ones_bound(tmp_path, capsys, no_report):
    command = ["objective", "conv-filter", "--teacher", "first", "--steps", "adaptive", "--epochs", "60"]
    start = ["--start", "0.3", "0.4", "0", "0.3", "0"]
    assert main([*command, *start, "--out", str(tmp_path / "run"), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["sentence"] == "held throughout"
    run = open_run(tmp_path / "run")
    (theorem,) = [t for t in run.certificate["theorems"] if "adaptive" in t["source"]]
    assert theorem["verdict"] == "HOLDS"
    sizes = run.trajectory["step_size_every_epoch" if "step_size_every_epoch" in run.trajectory else "step_size"].values
    assert sizes[0] == run.certificate["step_size"]
    assert np.all(np.diff(sizes) >= 0)
    assert sizes[-1] > 1.2 * sizes[0]


@pytest.mark.parametrize(
    "config",
    [
        SaddleConfig(dimension=3, L=1.0, method_name="perturbed", epochs=400, looks=12),
        SaddleConfig(dimension=4, arithmetic="log", epochs=5000, looks=12),
        FactorizationConfig(rank=2, rows=7, columns=5, epochs=40, exponent=0.6, looks=6),
        BalancingConfig(n=6, dimension=4, widths=(3, 3), epochs=30, looks=6),
        ConvFilterConfig(
            data="sphere", batch=4, steps="adaptive", start=(1.0, 0.5, 0, 0, 0), teacher="first", epochs=40, looks=6
        ),
    ],
    ids=lambda c: f"{c.name}-{getattr(c, 'arithmetic', '')}",
)
def test_interrupted_and_resumed_is_bit_for_bit_the_same(tmp_path, config, no_report):
    whole = execute(config, tmp_path / "whole")

    def interrupt(epoch, epochs, quantities):
        if epoch >= 12:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        execute(config, tmp_path / "cut", progress=interrupt)
    assert open_run(tmp_path / "cut").status == "running"
    again = resume(tmp_path / "cut")
    assert again.status == "finished"
    for name, array in whole.weights("final").items():
        np.testing.assert_array_equal(array, again.weights("final")[name])
    for name, variable in whole.trajectory.items():
        if variable.dims[0] == "epoch":
            np.testing.assert_array_equal(variable.values, again.trajectory[name].values)
    # The certificate is written as JSON: what it says must be the same as far as the looks go.
    assert whole.certificate["verification"]["sentence"] == again.certificate["verification"]["sentence"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["saddle", "--L", "0.5"], "L: a finite number of at least gamma"),
        (["saddle", "--L", "1", "--arithmetic", "log", "--step-size", "0.5"], "less than 1/(2L) = 0.5 expected"),
        (["saddle", "--gamma", "-1"], "gamma: a positive number"),
        (["saddle", "--tau", "1"], "tau: at least e"),
        (["saddle", "--radius", "0.1"], "for perturbed descent only"),
        (["saddle", "--method-name", "perturbed", "--arithmetic", "log"], "float64 expected"),
        (["saddle", "--epochs", "0"], "greater than 0"),
        (["factorization", "--rank", "50"], "globalmin: rank: at most 40 expected"),
        (["factorization", "--rank", "2", "--true-rank", "50"], "true_rank: at most 40 expected"),
        (["factorization", "--rank", "2", "--epsilon", "3"], "epsilon: less than"),
        (["factorization", "--rank", "2", "--matrix", "none.npz"], "none.npz"),
        (["balancing", "--widths", "4", "--filter-width", "30"], "filter_width"),
        (["balancing", "--scale", "1", "2"], "one standard deviation per layer"),
        (["conv-filter", "--steps", "adaptive", "--step-size", "1"], "step_size: none expected"),
        (["conv-filter", "--steps", "adaptive", "--batch", "4"], "patches of bounded length"),
    ],
)
def test_bad_input_is_one_line_and_exit_code_two(tmp_path, capsys, arguments, message):
    assert main(["objective", *arguments, "--out", str(tmp_path / "out")]) == 2
    assert message in one_line(capsys)
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("entries", "message"),
    [
        (np.zeros((3, 2)), "matrix: one that is not zero"), (np.full((3, 2), np.nan), "matrix: finite entries"),
        (np.ones((3, 2)) * 1j, "M of real numbers expected, entries of type complex128 came"),
        (np.array([["a", "b"]]), "M of real numbers expected"),
        (scipy.sparse.csr_array(np.diag([1j, 2.0])), "M of real numbers expected"),
    ],
)  # fmt: skip
def test_matrices_without_finite_real_entries_are_refused(tmp_path, capsys, entries, message):
    if scipy.sparse.issparse(entries):
        scipy.sparse.save_npz(tmp_path / "m.npz", entries)
    else:
        np.savez(tmp_path / "m.npz", M=entries)
    out = ["--out", str(tmp_path / "out")]
    assert main(["objective", "factorization", "--rank", "1", "--matrix", str(tmp_path / "m.npz"), *out]) == 2
    assert message in one_line(capsys)


def test_underflow_is_a_failed_run_that_says_so(tmp_path, capsys):
    out = ["--out", str(tmp_path / "out")]
    assert main(["objective", "saddle", "--start", "half", "--dimension", "4", "--epochs", "3000", *out, "--json"]) in (
        0,
        1,
    )
    said = json.loads(capsys.readouterr().out)
    assert said["status"] in ("finished", "failed")
    assert ("underflow" in said["message"]) == (said["status"] == "failed")


@pytest.mark.parametrize("name", [*CONFIGS, None])
def test_help_has_an_example(name, capsys):
    with pytest.raises(SystemExit) as left:
        main(["objective", *([name] if name else []), "--help"])
    assert left.value.code == 0
    assert "globalmin objective" in capsys.readouterr().out.split("Example", 1)[1]


def test_objectives_are_listed_and_told_from_networks(capsys):
    assert main(["systems", "--json"]) == 0
    listed = {entry["name"]: entry for entry in json.loads(capsys.readouterr().out)}
    for name in CONFIGS:
        assert listed[name]["status"] == "built"
        assert listed[name]["theorems"]
        assert listed[name]["figures"]
    assert main(["certify", "saddle", "--data", "digits", "--width", "10"]) == 2
    assert "globalmin objective saddle" in one_line(capsys)

"""A system without a limit kernel for its activation trains, is certified and reported; only λ₀ is not known."""

import json

import jax
import jax.numpy as jnp
import pytest

from globalmin import RunConfig, activations, execute, systems, train
from globalmin.cli.main import main
from globalmin.theory import Verdict

WHY = "a test says that there is no limit kernel"


class TwoLayerWithout(systems.TwoLayerSystem):
    @property
    def limit_missing(self):
        return WHY


class EquilibriumWithout(systems.EquilibriumSystem):
    @property
    def limit_missing(self):
        return WHY


class ImplicitWithout(systems.ImplicitSystem):
    @property
    def limit_missing(self):
        return WHY


@pytest.mark.parametrize("kind", [TwoLayerWithout, EquilibriumWithout, ImplicitWithout])
def test_theorems_that_need_it_are_undecided_and_nothing_fails(getkey, kind):
    x = jax.random.normal(getkey(), (4, 3))
    x = x / jnp.linalg.norm(x, axis=1, keepdims=True)
    x = x * (3**0.5 if kind.row_norm == "sqrt-d" else 1)
    y = jnp.asarray([0.1, -0.1, 0.1, 0.1])
    given = train.prepare(kind(activations.get("relu")), x, y, width=40, epochs=1, key=getkey(), closest=(0.3, 0, 1))
    assert given.limit is None
    asked = [
        (theorem, row)
        for theorem in given.theorems
        for row in theorem.hypotheses
        if row.name.startswith(("λ₀ > 0", "λ > 0", "λ_* > 0")) and "λ₀/" not in row.name
    ]
    by_limit = {t.theorem for t, row in asked if row.verdict is Verdict.UNDECIDED}
    # What rests on the start's Gram alone (Ling's λ₀ is measured) may hold; all that names the limit's λ_min does not.
    assert by_limit or kind is EquilibriumWithout
    for theorem in given.theorems:
        if theorem.theorem in by_limit:
            assert theorem.verdict is not Verdict.HOLDS
    names = {"PositiveLimit": "not known"}
    for theorem in given.theorems:
        for row in theorem.hypotheses:
            if theorem.theorem in names and "parallel" in row.name:
                assert names[theorem.theorem] in row.note
    # No promise that was computed from a λ₀ that is not known.
    for theorem in given.theorems:
        for promise in theorem.promises:
            assert promise.limit == promise.limit
            assert abs(promise.limit) < 1e15


def test_a_run_without_one_has_its_report_and_says_why(tmp_path):
    config = RunConfig(
        system="implicit-relu", activation="leaky-relu", data="sphere", n=6, dimension=4, width=30, epochs=12, looks=4
    )
    run = execute(config, tmp_path / "run")
    assert run.status == "finished"
    assert run.certificate["spectrum"] is None
    assert "leaky-relu came" in run.certificate["spectrum_missing"]
    page = (run.path / "report.html").read_text()
    assert "Limit kernel: none" in page
    assert "leaky-relu came" in page
    assert {p.name for p in (run.path / "figures").iterdir()} >= {"loss.svg", "lambda_min.svg", "kantorovich.svg"}
    assert not list((run.path / "figures").glob("spectrum*"))


def test_certify_prints_why_there_is_none(capsys):
    common = ["certify", "implicit-relu", "--data", "sphere", "--width", "30", "--activation", "leaky-relu"]
    assert main(common) == 0
    said = capsys.readouterr().out
    assert "limit kernel: none" in said
    assert "leaky-relu came" in said
    assert main([*common, "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["spectrum"] is None
    assert all(t["verdict"] != "HOLDS" for t in found["theorems"] if "Limit" in t["theorem"])

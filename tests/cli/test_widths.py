"""`globalmin widths`: the table by its formulas, the certificate beside it, and bad input."""

import json
import math

import pytest

from globalmin.cli.main import main
from globalmin.theory import noy2021


def test_table_1_by_its_formulas():
    rows = {r.work: r for r in noy2021.table1(10, 3, 20, outputs=2, lambda_0=0.1, eps=1e-2, delta=0.2)}
    assert rows["Du et al. 2019"].width == pytest.approx(1e6 / (1e-4 * 0.008))
    assert rows["Du et al. 2019"].iterations == pytest.approx(100 / 0.01 * math.log(100))
    assert rows["Zou et al. 2018"].width == pytest.approx(1e26 * 3.0**38)
    assert rows["Zou et al. 2018"].iterations == pytest.approx(1e8 * 3**9)
    assert rows["Allen-Zhu et al. 2019"].width == pytest.approx(1e24 * 3**12)
    assert rows["Allen-Zhu et al. 2019"].iterations == pytest.approx(1e6 * 9 * math.log(100))
    assert rows["Zou, Gu 2019"].width == pytest.approx(1e8 * 3**12)
    assert rows["Zou, Gu 2019"].step_size == pytest.approx(1 / (1e8 * 3**14), rel=1e-9, abs=0)
    assert rows["Noy et al. 2021"].width == 600
    assert rows["Noy et al. 2021"].iterations == pytest.approx(math.log(1000 * 3 / (20 * 0.01)))
    assert rows["Noy et al. 2021"].step_size == pytest.approx(20 / (1e4 * 27 * 2))
    assert rows["Du et al. 2019"].step_size == pytest.approx(0.1 / 100)
    assert rows["Zou et al. 2018"].step_size == pytest.approx(1 / (1e29 * 3.0**47), rel=1e-9, abs=0)
    log_width = math.log(1e24 * 3**12)
    assert rows["Allen-Zhu et al. 2019"].step_size == pytest.approx(1 / (1e28 * log_width**5 * 3**14), rel=1e-9, abs=0)
    assert rows["Zou, Gu 2019"].iterations == pytest.approx(100 * 9 * math.log(100))
    failures = [rows[work].failure for work in rows]
    assert failures == [
        0.2,
        None,
        pytest.approx(math.exp(-(log_width**2)), rel=1e-9, abs=0),
        0.1,
        pytest.approx(math.exp(-(600**0.5)), rel=1e-9, abs=0),
    ]
    assert noy2021.table1(10, 3, 20, lambda_0=0.0)[0].width == math.inf
    for changes, message in (({"n": 0}, "n: an integer"), ({"eps": 2.0}, "eps: a number"), ({"delta": 0.0}, "delta")):
        with pytest.raises(ValueError, match=message):
            noy2021.table1(**({"n": 10, "depth": 3, "inputs": 20, "lambda_0": 0.1} | changes))  # pyright: ignore


def test_the_certificate_stands_beside_it(capsys):
    assert main(["widths", "--n", "3", "--depth", "2", "--inputs", "30", "--largest", "512", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    descent, flow = found["rows"][-2:]
    tried = {m["width"]: m for m in found["measured"]}
    assert descent["remark"].startswith("measured")
    assert tried[int(descent["width"])]["h"] < 0.5
    assert tried[int(flow["width"])]["flow_h"] < 0.5
    assert flow["width"] <= descent["width"]
    smaller = [m for w, m in tried.items() if w < descent["width"]]
    assert all(m["h"] is None or m["h"] >= 0.5 for m in smaller)
    assert 1 < descent["iterations"] < 1e6
    assert found["rows"][0]["width"] > 1e3 * descent["width"]
    # Too narrow for it: an extrapolation, and it says so.
    assert main(["widths", "--n", "12", "--depth", "2", "--inputs", "30", "--largest", "64"]) == 0
    shown = capsys.readouterr().out
    assert "if h" in shown
    assert "measured: it" not in shown


def test_bad_input_is_one_line(capsys):
    assert main(["widths", "--n", "3", "--depth", "2", "--inputs", "3", "--eps", "3"]) == 2
    assert capsys.readouterr().err.count("\n") == 1

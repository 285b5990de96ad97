import json
import math

import numpy as np
import pytest

from globalmin.data import assumptions, synthetic
from globalmin.data.assumptions import check, close_pairs, closest_pair, geometry, require


def rotated(u, v, angle):
    return math.cos(angle) * u + math.sin(angle) * v


E = np.eye(5)


def kinds(report):
    return [(f.kind, f.level, f.rows) for f in report.findings]


def test_clean_data_have_no_finding():
    x = synthetic.sphere(40, 10, seed=0)
    report = require(x, synthetic.sign_labels(40, seed=0), norm=1.0, label_bound=1.0)
    assert report.ok
    assert report.findings == ()


@pytest.mark.parametrize("angle", [1e-9, 1e-7, 1e-3, 0.5, 1.5])
@pytest.mark.parametrize("opposite", [False, True])
@pytest.mark.parametrize("scale", [1.0, 1e-200, 1e200])
def test_closest_pair_to_rounding(angle, opposite, scale):
    second = scale * rotated(E[0], E[1], angle) * (-1 if opposite else 1)
    x = np.stack([scale * E[2], scale * E[0], scale * E[3], 3 * second])
    pair = closest_pair(x)
    assert pair is not None
    assert (pair.rows, pair.opposite) == ((1, 3), opposite)
    assert abs(pair.angle - angle) < 5e-16  # the rows themselves are rounded at 1e-16


def test_closest_pair_over_tiles(monkeypatch):
    x = synthetic.sphere(100, 30, seed=4)
    x[83] = rotated(x[17], E_orthogonal(x[17]), 1e-9)
    monkeypatch.setattr(assumptions, "_TILE", 16)
    pair = closest_pair(x)
    assert pair is not None
    assert pair.rows == (17, 83)
    assert abs(pair.angle - 1e-9) < 5e-16
    # Against all pairs, without the selection by cosines and in extended precision.
    rest = np.delete(x, 83, axis=0)
    pair = closest_pair(rest)
    assert pair is not None
    wide = rest.astype(np.longdouble)
    angles = np.abs(wide @ wide.T)
    np.fill_diagonal(angles, 0)
    assert abs(float(np.arccos(angles.max())) - pair.angle) < 1e-14


def E_orthogonal(u):
    v = np.ones_like(u)
    v -= (v @ u) * u
    return v / np.linalg.norm(v)


def test_ties_in_the_cosine_are_told_apart():
    # In float64 both cosines are 1: only the angles know that row 2 is the closer one.
    x = np.stack([E[0], rotated(E[0], E[1], 2e-9), rotated(E[0], E[1], 1e-10), E[3]])
    pair = closest_pair(x)
    assert pair is not None
    assert pair.rows == (0, 2)
    assert [p.rows for p in close_pairs(x)] == [(0, 1), (0, 2), (1, 2)]


def test_pairs_just_inside_the_limit_are_all_found():
    # Their cosines exceed cos(1e-6) by 1e-19: rounding puts about half of the computed ones on the wrong side.
    x = synthetic.nearly_parallel(200, 300, angle=1e-6 * (1 - 1e-7), seed=0)
    assert [p.rows for p in close_pairs(x)] == [(k, k + 1) for k in range(0, 200, 2)]


def test_orthogonal_rows_and_single_rows():
    pair = closest_pair(E)
    assert pair is not None
    assert pair.angle == pytest.approx(math.pi / 2, abs=1e-15)
    assert closest_pair(E[:1]) is None
    assert close_pairs(E[:1]) == []
    assert geometry(E[:1])["closest_pair"] is None


def test_findings_name_the_rows():
    x = np.stack([E[0], E[1], E[0], -2 * E[1], rotated(E[2], E[3], 1e-9), E[2], 7 * E[2], E[4]])
    y = np.array([1.0, 1.0, -1.0, 1.0, 1.0, 1.0, 1.0, 5.0])
    report = check(x, y, norm=1.0, label_bound=2.0)
    assert kinds(report) == [
        ("norm", "error", (3, 6)),
        ("label-bound", "error", (7,)),
        ("duplicate", "error", (0, 2)),
        ("antiparallel", "warning", (1, 3)),
        ("nearly-parallel", "warning", (4, 5)),
        ("nearly-parallel", "warning", (4, 6)),
        ("parallel", "error", (5, 6)),
    ]
    text = "\n".join(f.message for f in report.findings)
    assert "rows 3 and 6 have other norms (row 3: 2); normalize the rows" in text
    assert "rows 0 and 2 are equal and carry different labels" in text
    assert "rows 1 and 3 point to opposite sides" in text
    assert "rows 4 and 5 are nearly parallel (angle 1.000e-09)" in text
    assert "rows 5 and 6 are parallel" in text
    assert "(row 7: 5); scale the labels" in text
    assert json.loads(json.dumps(report.to_dict()))["ok"] is False
    with pytest.raises(
        ValueError, match=r"^rows of norm 1 expected.*\(and 3 more: duplicate, label-bound, parallel\)$"
    ):
        require(x, y, norm=1.0, label_bound=2.0)


def test_warnings_alone_do_not_raise():
    report = require(np.stack([E[0], -E[0], rotated(E[1], E[2], 1e-8), E[1]]))
    assert [f.kind for f in report.findings] == ["antiparallel", "nearly-parallel"]


def test_copies_do_not_hide_other_pairs():
    x = np.concatenate([np.tile(E[0], (60, 1)), [E[1], 2 * E[1]]])  # 1,770 pairs of copies, more than a scan lists
    assert kinds(check(x)) == [("duplicate", "error", tuple(range(60))), ("parallel", "error", (60, 61))]


def test_negative_zero_is_zero():
    assert kinds(check(np.array([[0.0, 1.0], [-0.0, 1.0]]))) == [("duplicate", "error", (0, 1))]


def test_nonfinite_and_zero_rows():
    x = np.array([[1.0, 0.0], [np.nan, 0.0], [0.0, 0.0], [0.0, np.inf]])
    assert kinds(check(x, np.array([1.0, np.nan, 1.0, 1.0]))) == [
        ("nonfinite", "error", (1, 3)),
        ("zero", "error", (2,)),
        ("label", "error", (1,)),
    ]
    with pytest.raises(ValueError, match="zero rows came: 1; drop them"):
        require(np.array([[1.0, 0.0], [0.0, 0.0]]))
    with pytest.raises(ValueError, match="zero rows came: 1"):
        geometry(np.array([[1.0, 0.0], [0.0, 0.0]]))


def test_bad_shapes():
    with pytest.raises(
        ValueError, match=r"x: a matrix with one sample per row expected, an array of shape \(3,\) came"
    ):
        check(np.ones(3))
    with pytest.raises(ValueError, match=r"y: one label per sample expected, shape \(3,\); shape \(2,\) came"):
        check(np.ones((3, 2)), np.ones(2))
    with pytest.raises(ValueError, match="x: real numbers expected"):
        check(np.array([["a", "b"]]))


def test_many_equal_rows_stay_cheap():
    x = np.tile(E[0], (3000, 1))
    (finding,) = check(x).findings
    assert finding.rows == tuple(range(3000))
    assert "and 2992 more" in finding.message
    assert geometry(x)["duplicates"] == 2999


def test_geometry():
    x = np.stack([2 * E[0], E[1], E[1], 3 * E[0] + E[2]])
    got = json.loads(json.dumps(geometry(x)))
    pair = got.pop("closest_pair")
    assert got == {"n": 4, "d": 5, "min_norm": 1.0, "max_norm": math.sqrt(10), "duplicates": 1, "rank": 3}
    assert pair == {"rows": [1, 2], "angle": 0.0, "opposite": False}

import json
import subprocess
import sys
from typing import Any

import numpy as np
import pytest
from sklearn.datasets import load_breast_cancer, load_diabetes, load_digits

from globalmin.data import check, geometry, load, names, synthetic
from globalmin.data.dataset import fingerprint


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("GLOBALMIN_CACHE", str(tmp_path / "cache"))


def rows_of(table):
    return {r.tobytes(): i for i, r in enumerate(np.asarray(table, np.float64))}


def test_digits_are_the_demo():
    data = load("digits")
    assert data.x.shape == (200, 64)
    assert data.image_shape == (8, 8)
    assert data.classes == {"-1": "0", "1": "1"}
    assert sorted(data.y) == [-1.0] * 100 + [1.0] * 100
    np.testing.assert_allclose(np.linalg.norm(data.x, axis=1), 1.0, rtol=1e-15)
    assert check(data.x, data.y, norm=1.0, label_bound=1.0).findings == ()
    assert data.x_test is not None
    assert len(data.x_test) == 78 + 82  # what is left of classes 0 and 1
    assert not rows_of(data.x).keys() & rows_of(data.x_test).keys()


def test_digits_carry_their_labels():
    raw: Any = load_digits()
    where = rows_of(raw.data)
    data = load("digits", classes=(3, 8), per_class=20, test_per_class=7, normalize="none", seed=2)
    assert data.x_test is not None
    assert data.y_test is not None
    assert len(data.y_test) == 14
    for x, y in ((data.x, data.y), (data.x_test, data.y_test)):
        numbers = np.array([where[r.tobytes()] for r in x])
        np.testing.assert_array_equal(raw.target[numbers], np.where(y < 0, 3, 8))
    assert load("digits", n=40, classes=(3, 8)).n == 40
    three = load("digits", classes=(0, 1, 2), per_class=4)
    assert sorted(three.y) == [0.0] * 4 + [1.0] * 4 + [2.0] * 4


def test_all_digits_differ():
    # The promise of the module's docstring; the angle was computed once from the acos of the cosines.
    raw: Any = load_digits()
    got = geometry(np.asarray(raw.data))
    assert got["duplicates"] == 0
    pair = got["closest_pair"]
    assert (pair["rows"], pair["opposite"]) == ([1585, 1648], False)
    assert pair["angle"] == pytest.approx(0.0937031035105, abs=1e-12)


def test_breast_cancer_is_standardised():
    data = load("breast-cancer", normalize="none")
    assert data.classes == {"-1": "malignant", "1": "benign"}
    np.testing.assert_allclose(data.x.mean(axis=0), 0, atol=1e-12)
    np.testing.assert_allclose(data.x.std(axis=0), 1, rtol=1e-12)
    raw: Any = load_breast_cancer()
    where = rows_of(raw.data)
    plain = load("breast-cancer", normalize="none", standardize=False)
    assert [raw.target[where[r.tobytes()]] for r in plain.x] == [0 if v < 0 else 1 for v in plain.y]


def test_diabetes_labels_are_standardised():
    data = load("diabetes", n=300, normalize="none")
    assert abs(data.y.mean()) < 1e-14
    assert abs(data.y.std() - 1) < 1e-14
    assert data.x_test is not None
    assert len(data.x_test) == 142
    raw: Any = load_diabetes()
    where = rows_of(raw.data)
    step = next(s for s in data.steps if s["step"] == "standardize labels")
    target = np.array([raw.target[where[r.tobytes()]] for r in data.x])
    np.testing.assert_allclose(data.y * step["std"] + step["mean"], target, rtol=1e-13)


@pytest.mark.parametrize("name", ["digits", "breast-cancer", "diabetes", "sphere", "gaussian", "nearly-parallel"])
def test_a_seed_decides_every_byte(name):
    one, same, other = load(name, seed=3), load(name, seed=3), load(name, seed=4)
    assert one.to_dict() == same.to_dict()
    assert one.sha256["x"] != other.sha256["x"]
    json.dumps(one.to_dict())


def test_the_print_of_synthetic_data_is_stable():
    # NumPy guarantees the bits that a seed gives; sums may differ between machines, so this set avoids them.
    data = load("gaussian", n=3, d=2, labels="signs", seed=7)
    assert data.sha256["y"] == fingerprint(data.y)
    assert data.sha256["x"] == "1fb4880f7697724acd3ba7ca9b378041bbf9cb34c7077b485926408f51f56004"


@pytest.mark.parametrize(("normalize", "norm"), [(None, 1.0), ("unit", 1.0), ("sqrt-d", np.sqrt(30))])
def test_synthetic(normalize, norm):
    data = load("sphere", n=12, d=30, labels="teacher", normalize=normalize, seed=1)
    np.testing.assert_allclose(np.linalg.norm(data.x, axis=1), norm, rtol=1e-15)
    # The teacher sees the rows as they are handed out.
    np.testing.assert_array_equal(data.y, synthetic.teacher_labels(data.x, seed=1))
    assert set(load("sphere", labels="signs").y) == {-1.0, 1.0}
    assert load("gaussian", n=5, d=7).x.shape == (5, 7)
    assert load("gaussian").steps == ()


def test_nearly_parallel_pairs_and_jitter():
    data = load("nearly-parallel", n=6, d=9, angle=1e-9)
    assert [f.rows for f in check(data.x).findings] == [(0, 1), (2, 3), (4, 5)]
    mended = load("nearly-parallel", n=6, d=9, angle=1e-9, jitter=1e-3)
    assert check(mended.x, norm=1.0).findings == ()
    assert mended.steps[-1]["rows"] == [1, 3, 5]


def mine(tmp_path, **more):
    rng = np.random.default_rng(0)
    path = tmp_path / "mine.npz"
    np.savez(path, X=rng.uniform(1, 2, (30, 4)), y=np.arange(30) % 3, **more)
    return path


def test_files_are_taken_as_they_are(tmp_path):
    path = mine(tmp_path)
    data = load(path)
    stored = np.load(path)
    np.testing.assert_array_equal(data.x, stored["X"])
    np.testing.assert_array_equal(data.y, stored["y"])
    assert data.x_test is None
    unit = load(str(path), normalize="unit")
    np.testing.assert_allclose(unit.x, stored["X"] / np.linalg.norm(stored["X"], axis=1, keepdims=True), rtol=1e-15)


def test_files_choose_rows_and_classes(tmp_path):
    path = mine(tmp_path)
    stored = rows_of(np.load(path)["X"])
    data = load(path, n=20)
    assert data.x_test is not None
    assert (data.n, len(data.x_test)) == (20, 10)
    assert len({stored[r.tobytes()] for r in (*data.x, *data.x_test)}) == 30
    two = load(path, classes=(2, 0), per_class=6)
    assert [(-1.0 if stored[r.tobytes()] % 3 == 2 else 1.0) for r in two.x] == two.y.tolist()
    assert two.classes == {"-1": "2", "1": "0"}
    assert load(path, classes=(0, 1)).n == 10


def test_a_files_own_test_rows_stay_apart(tmp_path):
    path = mine(tmp_path, X_test=np.full((8, 4), 5.0), y_test=np.arange(8) % 2)
    for data in (load(path), load(path, n=30), load(path, n=12), load(path, classes=(0, 1), per_class=10)):
        assert data.x.max() < 5
        assert data.x_test is not None
        assert (data.x_test == 5).all()
        assert len(data.x_test) == 8


def test_names():
    listing = {entry.name: entry.availability for entry in names()}
    assert listing == {
        **dict.fromkeys(("digits", "breast-cancer", "diabetes"), "bundled"),
        **dict.fromkeys(("sphere", "gaussian", "nearly-parallel"), "synthetic"),
        **dict.fromkeys(("mnist", "fashion-mnist", "cifar-10", "svhn", "sgemm"), "download"),
    }


@pytest.mark.parametrize(
    ("source", "options", "message"),
    [
        ("digit", {}, "data set: one of digits, .* expected, 'digit' came; nearest: digits$"),
        ("cifar10", {}, "'cifar10' came; nearest: cifar-10$"),
        ("fashion_mnits", {}, "nearest: fashion-mnist"),
        ("qqq", {}, "'qqq' came$"),
        ("digits", {"normalize": "l2"}, "normalize: one of unit, sqrt-d, none expected, 'l2' came"),
        ("digits", {"n": 10, "per_class": 5}, "n and per_class: one of them expected, both came"),
        ("digits", {"n": 11}, r"n: a multiple of 2 expected \(2 classes of equal size\), 11 came"),
        ("digits", {"n": 0}, "n: an integer of at least 1 expected, 0 came"),
        ("digits", {"seed": -1}, "seed: an integer of at least 0 expected, -1 came"),
        ("digits", {"classes": (0, 12)}, "classes: digits has the classes 0, 1, 2, .* 12 came"),
        ("digits", {"classes": ()}, "classes: two or more different classes expected"),
        ("digits", {"per_class": 200}, r"per_class: at most 178 expected \(class 0 of digits\), 200 came"),
        ("digits", {"angle": 0.1, "d": 3}, "digits: angle, d came, which this data set does not have"),
        ("digits", {"jitter": 2.0}, "jitter: a number in"),
        ("diabetes", {"classes": (0, 1)}, "diabetes: classes came, which this data set does not have"),
        ("diabetes", {"n": 500}, r"n: at most 442 expected \(the training rows of diabetes\), 500 came"),
        ("diabetes", {"size": 3}, "diabetes: images expected for resize"),
        ("sphere", {"per_class": 3}, "sphere: per_class came, which this data set does not have"),
        ("sphere", {"angle": 0.1}, "sphere: angle came"),
        ("sphere", {"labels": "random"}, "labels: one of normal, signs, teacher, ackley expected, 'random' came"),
        ("sphere", {"d": 0}, "d: an integer of at least 1 expected, 0 came"),
    ],
)
def test_bad_input(source, options, message):
    with pytest.raises(ValueError, match=message) as caught:
        load(source, **options)
    assert "\n" not in str(caught.value)


def test_bad_input_with_files(tmp_path):
    path = mine(tmp_path)
    with pytest.raises(ValueError, match="mine: classes expected with per_class, none came"):
        load(path, per_class=3)
    with pytest.raises(ValueError, match="labels came, which this data set does not have"):
        load(path, labels="signs")
    with pytest.raises(ValueError, match=r"n: at most 30 expected \(the training rows of mine\), 31 came"):
        load(path, n=31)
    np.savez(path, X=np.array([[0.0, 0.0], [1.0, 1.0]]), y=np.array([0.5, 1.5]))
    with pytest.raises(ValueError, match="zero rows came: 0; drop them"):
        load(path, normalize="unit")
    with pytest.raises(ValueError, match="mine: labels that are class numbers expected with classes, measured ones"):
        load(path, classes=(0, 1))


def test_import_is_light():
    code = "import sys, globalmin.data; print([m for m in ('sklearn', 'pandas', 'pyarrow') if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"

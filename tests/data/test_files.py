import builtins
import hashlib
import json

import numpy as np
import pytest

from globalmin.data import files, load, load_inputs

X = np.array([[1.0, 2.0, 0.1], [3.0, -4.5e-7, 1 / 3], [5.0, 6.0, 1e20]])
Y = np.array([1.0, -1.0, 0.25])


def npz(folder, **arrays):
    path = folder / "mine.npz"
    np.savez(path, **arrays)
    return path


def text(folder, content, name="mine.csv"):
    path = folder / name
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


def test_npz_round_trip(tmp_path):
    path = npz(tmp_path, X=X, y=Y, X_test=X[:2] + 1, y_test=Y[:2])
    data = files.read(path)
    np.testing.assert_array_equal(data.x, X)
    np.testing.assert_array_equal(data.y, Y)
    assert data.x_test is not None
    np.testing.assert_array_equal(data.x_test, X[:2] + 1)
    assert data.name == "mine"
    assert data.source == {
        "kind": "file",
        "file": "mine.npz",
        "sha256": hashlib.sha256(path.read_bytes()).hexdigest(),
    }
    assert str(tmp_path) not in json.dumps(data.to_dict())


def test_npz_images_and_other_dtypes(tmp_path):
    pixels = np.arange(24, dtype=np.uint8).reshape(2, 2, 2, 3)
    data = files.read(npz(tmp_path, X=pixels, y=np.array([[0], [1]], np.int32)))
    assert data.image_shape == (2, 2, 3)
    np.testing.assert_array_equal(data.x, pixels.reshape(2, 12))
    assert data.y.tolist() == [0.0, 1.0]
    single = npz(tmp_path, X=X.astype(np.float32), y=Y)
    np.testing.assert_array_equal(files.read(single).x, X.astype(np.float32).astype(np.float64))


def test_inputs_need_no_labels(tmp_path):
    path = npz(tmp_path, X=np.ones((2, 3, 4)))
    x, shape = files.read_inputs(path)
    assert x.shape == (2, 12)
    assert shape == (3, 4)
    x, shape = load_inputs(path, normalize="unit")
    np.testing.assert_allclose(np.linalg.norm(x, axis=1), 1.0, rtol=1e-15)
    assert shape == (3, 4)
    x, _ = load_inputs(str(path))
    assert (x == 1.0).all()
    x, shape = load_inputs("digits")
    assert x.shape == (200, 64)
    assert shape == (8, 8)


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        ({"y": Y}, "mine.npz: inputs expected .the array 'X'., 'y' came"),
        ({"x": X, "y": Y}, "mine.npz: inputs expected .the array 'X'., 'x', 'y' came"),
        ({}, "mine.npz: inputs expected .the array 'X'., nothing came"),
        ({"X": X}, "mine.npz: labels expected .the array 'y'., none came"),
        ({"X": X[0], "y": Y}, r"mine.npz: X: n × d numbers, or images .* shape \(3,\) came"),
        ({"X": X[:0], "y": Y[:0]}, r"mine.npz: X: .* at least one; shape \(0, 3\) came"),
        ({"X": np.ones((2, 2, 2, 2, 2)), "y": Y[:2]}, r"shape \(2, 2, 2, 2, 2\) came"),
        ({"X": X, "y": Y[:2]}, r"mine.npz: y: one label per sample expected, shape \(3,\); shape \(2,\) came"),
        ({"X": X, "y": np.ones((3, 2))}, r"one label per sample expected, shape \(3,\); shape \(3, 2\) came"),
        ({"X": np.where(X == 3, np.nan, X), "y": Y}, "X: finite numbers expected, NaN or infinity came in rows 1"),
        ({"X": np.where(X == 6, -np.inf, X), "y": Y}, "X: finite numbers expected, NaN or infinity came in rows 2"),
        ({"X": X, "y": np.where(Y == 1, np.inf, Y)}, "y: finite labels expected, NaN or infinity came at rows 0"),
        ({"X": X.astype(str), "y": Y}, "mine.npz: X: real numbers expected, dtype <U"),
        ({"X": X * 1j, "y": Y}, "mine.npz: X: real numbers expected, dtype complex128 came"),
        ({"X": X, "y": np.array(["a", "b", "c"])}, "mine.npz: y: real numbers expected, dtype <U1"),
        ({"X": X, "y": Y, "X_test": X}, "X_test and y_test expected together"),
        ({"X": X, "y": Y, "X_test": X[:, :2], "y_test": Y}, "test rows of the training rows' 3 columns expected, 2"),
        ({"X": X, "y": Y, "X_test": np.ones((3, 1, 3)), "y_test": Y}, r"X_test of images None .* \(1, 3\) came"),
        ({"X": X, "y": Y, "X_test": X, "y_test": Y[:1]}, "y_test: one label per sample expected"),
    ],
)
def test_npz_bad_input(tmp_path, arrays, message):
    with pytest.raises(ValueError, match=message) as caught:
        files.read(npz(tmp_path, **arrays))
    assert "\n" not in str(caught.value)


class Bomb:
    """Would leave a file behind if it were ever unpickled."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return builtins.open, (str(self.path), "w")


@pytest.mark.parametrize("name", ["X", "y"])
def test_pickled_objects_are_never_loaded(tmp_path, name):
    trace = tmp_path / "trace"
    arrays = {"X": X, "y": Y, name: np.array([Bomb(trace), None, None], object)}
    with pytest.raises(ValueError, match=f"plain numbers expected in '{name}', pickled objects came, which are never"):
        files.read(npz(tmp_path, **arrays))
    assert not trace.exists()


def test_damaged_npz(tmp_path):
    whole = npz(tmp_path, X=X, y=Y).read_bytes()
    with pytest.raises(ValueError, match=r"mine.npz: "):
        files.read(text(tmp_path, whole[: len(whole) // 2], "mine.npz"))
    flipped = bytearray(whole)
    flipped[whole.index(X.tobytes()) + 3] ^= 1
    with pytest.raises(ValueError, match=r"mine.npz: a readable .npz file expected, it is damaged \(Bad CRC"):
        files.read(text(tmp_path, bytes(flipped), "mine.npz"))
    for content in (b"", b"not an archive at all"):
        with pytest.raises(ValueError, match=r"mine.npz: "):
            files.read(text(tmp_path, content, "mine.npz"))
    np.save(tmp_path / "single.npy", X)
    (tmp_path / "single.npy").rename(tmp_path / "single.npz")
    with pytest.raises(ValueError, match=r"single.npz: an .npz archive expected, another file"):
        files.read(tmp_path / "single.npz")


def test_any_damage_is_one_clear_error(tmp_path):
    np.savez_compressed(tmp_path / "whole.npz", X=X, y=Y)
    whole = (tmp_path / "whole.npz").read_bytes()
    rng = np.random.default_rng(0)
    messages = []
    for _ in range(400):
        content = bytearray(whole)
        content[rng.integers(len(content))] ^= 1 << rng.integers(8)
        path = text(tmp_path, bytes(content[: rng.integers(len(content) - 20, len(content) + 1)]), "mine.npz")
        try:
            data = files.read(path)
        except ValueError as error:
            messages.append(str(error))
        else:  # the bit was one that carries nothing
            np.testing.assert_array_equal(data.x, X)
    assert len(messages) > 200
    assert all(m.startswith("mine.npz: ") and "\n" not in m for m in messages)


@pytest.mark.parametrize("label", ["y", "Label", "target"])
def test_csv_with_header_round_trip(tmp_path, label):
    table = np.column_stack([X[:, :1], Y, X[:, 1:]])
    lines = [f"a,{label},b,c", *(",".join(repr(float(v)) for v in row) for row in table)]
    data = load(text(tmp_path, "\r\n".join(lines) + "\r\n\r\n"))
    np.testing.assert_array_equal(data.x, X)  # repr of a float reads back to the same float
    np.testing.assert_array_equal(data.y, Y)


def test_csv_without_header_ends_in_the_label(tmp_path):
    path = tmp_path / "plain.csv"
    np.savetxt(path, np.column_stack([X, Y]), delimiter=",", fmt="%.17g")
    data = files.read(path)
    np.testing.assert_array_equal(data.x, X)
    np.testing.assert_array_equal(data.y, Y)
    with_mark = text(tmp_path, b"\xef\xbb\xbf" + path.read_bytes())  # as spreadsheets write UTF-8
    np.testing.assert_array_equal(files.read(with_mark).x, X)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("", "mine.csv: a line of numbers for each sample expected, an empty file came"),
        ("a,y\n", "mine.csv: comma-separated numbers expected, no line of numbers"),
        ("a,b\n1,2\n", "mine.csv: labels expected .a column named y, label or target., none came"),
        ("y\n1\n", r"mine.csv: X: n × d numbers.* shape \(1, 0\) came"),
        ("a,y,label\n1,2,3\n", "one column of labels expected, y, label came; rename all but one"),
        ("1,abc,3\n1,2,3\n", "comma-separated numbers expected, could not convert string 'abc' .* at row 0, column 2"),
        ("a,y\n1,2\n3,x\n", "could not convert string 'x' .* at row 1, column 2 .rows counted from 0 below the header"),
        ("1,2\n3,\n", "comma-separated numbers expected, could not convert string ''"),
        ("1,2\n3,4,5\n", "comma-separated numbers expected, the number of columns changed from 2 to 3 at row 2"),
        ("a,b,y\n3,4\n", "rows of 3 numbers expected as in the header, 2 came"),
        ("a,y\n1,2\nnan,4\n", "X: finite numbers expected, NaN or infinity came in rows 1"),
        ("a,y\n1,inf\n", "y: finite labels expected, NaN or infinity came at rows 0"),
        (b"1,2\n\xff\xfe,4\n", "mine.csv: "),
    ],
)
def test_csv_bad_input(tmp_path, content, message):
    with pytest.raises(ValueError, match=message) as caught:
        files.read(text(tmp_path, content))
    assert "\n" not in str(caught.value)


def test_paths(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"none.npz: a file with the data expected, there is none"):
        load(tmp_path / "none.npz")
    with pytest.raises(
        ValueError, match=r"m.pkl: a file ending in .npz, .csv, .parquet expected; pickled files are never"
    ):
        load(str(tmp_path / "m.pkl"))
    with pytest.raises(ValueError, match=r"m.txt: a file ending in .npz, .csv, .parquet expected; convert it first"):
        load("m.txt")
    with pytest.raises(ValueError, match=r"folder: a file ending in"):
        load(str(tmp_path / "folder"))


def test_parquet_without_pyarrow_says_what_to_install(tmp_path, monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "pyarrow", None)
    with pytest.raises(ImportError, match=r"mine.parquet: .* not installed; say pip install 'globalmin\[parquet\]'"):
        load(text(tmp_path, "", "mine.parquet"))


def test_parquet(tmp_path):
    pyarrow = pytest.importorskip("pyarrow", reason="the parquet extra (pyarrow) is not installed")
    parquet = pytest.importorskip("pyarrow.parquet", reason="the parquet extra (pyarrow) is not installed")

    path = tmp_path / "mine.parquet"
    columns = {"a": X[:, 0], "b": X[:, 1], "target": Y, "c": X[:, 2]}
    parquet.write_table(pyarrow.table(columns), path)
    data = load(path)
    np.testing.assert_array_equal(data.x, X)
    np.testing.assert_array_equal(data.y, Y)
    for column, message in [
        ([1.0, None, 2.0], "X: finite numbers expected, NaN or infinity came in rows 1"),
        (["u", "v", "w"], "columns of numbers expected, 'd' holds"),
    ]:
        parquet.write_table(pyarrow.table({**columns, "d": column}), path)
        with pytest.raises(ValueError, match=message):
            load(path)
    parquet.write_table(pyarrow.table({"a": X[:, 0]}), path)
    with pytest.raises(ValueError, match=r"labels expected .a column named y, label or target., none came"):
        load(path)
    with pytest.raises(ValueError, match=r"mine.parquet: a readable .parquet file expected, it is damaged"):
        load(text(tmp_path, path.read_bytes()[:40], "mine.parquet"))

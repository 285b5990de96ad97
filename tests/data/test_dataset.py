import hashlib
import json
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from globalmin.data import Dataset
from globalmin.data.dataset import checked_labels, checked_rows, fingerprint, normalized, stream


def two_rows(**changes):
    fields = {"x": np.array([[1.0, 2.0], [3.0, 4.0]]), "y": np.array([-1.0, 1.0]), "name": "two", "source": {}}
    return Dataset(**{**fields, **changes})


def test_fingerprint_is_sha256_of_shape_and_bytes():
    values = np.array([[1.0, -2.5], [0.0, 3.0]])
    want = hashlib.sha256(b"(2, 2)" + values.astype("<f8").tobytes()).hexdigest()
    assert fingerprint(values) == want
    assert fingerprint(np.asfortranarray(values)) == want
    assert fingerprint(np.array([[1.0, -2.5], [-0.0, 3.0]])) == want  # -0 equals 0
    assert fingerprint(values.reshape(4)) != want
    assert fingerprint(np.nextafter(values, 9)) != want


def test_arrays_are_copied_and_read_only():
    x = np.array([[1.0, 2.0], [3.0, 4.0]])
    data = two_rows(x=x)
    before = data.sha256["x"]
    x[0, 0] = 7.0
    assert data.x[0, 0] == 1.0
    with pytest.raises(ValueError, match="read-only"):
        data.x[0, 0] = 7.0
    assert fingerprint(data.x) == before


def test_record_is_json_and_grows_by_steps():
    data = two_rows(classes={"-1": "a", "1": "b"}).then({"step": "double"}, x=np.array([[2.0, 4.0], [6.0, 8.0]]))
    record = json.loads(json.dumps(data.to_dict()))
    assert record["steps"] == [{"step": "double"}]
    assert (record["n"], record["d"], record["n_test"], record["image_shape"]) == (2, 2, 0, None)
    assert record["sha256"] == {"x": fingerprint(data.x), "y": fingerprint(data.y)}
    assert record["sha256"]["x"] != two_rows().sha256["x"]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            {"x": np.zeros((0, 2))},
            r"two: x: a matrix with one sample per row expected, an array of shape \(0, 2\) came",
        ),
        (
            {"x": np.array([[1.0, 2.0], [np.inf, 4.0]])},
            "two: x: finite numbers expected, NaN or infinity came in rows 1",
        ),
        ({"y": np.array([1.0])}, r"two: y: one label per sample expected, shape \(2,\); shape \(1,\) came"),
        ({"y": np.array([np.nan, 1.0])}, "two: y: finite labels expected, NaN or infinity came at rows 0"),
        ({"x_test": np.ones((1, 2))}, "x_test and y_test expected together"),
        (
            {"x_test": np.ones((1, 3)), "y_test": np.ones(1)},
            "test rows of the training rows' 2 columns expected, 3 came",
        ),
        ({"image_shape": (3, 3)}, r"images \(3, 3\) expected, rows of 2 entries came"),
    ],
)
def test_bad_fields_are_named(changes, message):
    with pytest.raises(ValueError, match=message):
        two_rows(**changes)


@pytest.mark.parametrize("dtype", [np.float32, np.int16, np.uint8, np.bool_])
def test_real_numbers_of_any_dtype_become_float64(dtype):
    x = checked_rows("x", np.array([[1, 0], [1, 1]], dtype))
    assert x.dtype == np.float64
    assert checked_labels("y", np.array([[1], [0]], dtype), 2).tolist() == [1.0, 0.0]


@pytest.mark.parametrize("values", [[["a"]], [[1j]], [[None]]])
def test_other_dtypes_are_refused(values):
    with pytest.raises(ValueError, match="x: real numbers expected, dtype"):
        checked_rows("x", np.array(values))


def test_streams_of_one_seed_are_independent_and_repeat():
    a, b = stream(3, "inputs").standard_normal(4000), stream(3, "labels").standard_normal(4000)
    np.testing.assert_array_equal(a, stream(3, "inputs").standard_normal(4000))
    assert abs(np.corrcoef(a, b)[0, 1]) < 5 / math.sqrt(4000)  # five standard errors
    with pytest.raises(ValueError, match="seed: an integer of at least 0 expected, -1 came"):
        stream(-1, "inputs")


rows = hnp.arrays(
    np.float64,
    st.tuples(st.integers(1, 6), st.integers(1, 30)),
    elements=st.floats(-1e300, 1e300, allow_nan=False, allow_infinity=False),
)


@settings(max_examples=200, deadline=None)
@given(rows, st.sampled_from([1.0, math.sqrt(7.0)]))
def test_normalized_rows_have_the_norm(x, norm):
    x = x[np.abs(x).max(axis=1) >= 1e-300]
    if not len(x):
        return
    out = normalized(x, norm)
    for before, after in zip(x, out, strict=True):
        # 4 eps: the norm's sum, its root, the quotient and the product each round once.
        assert abs(math.sqrt(math.fsum(v * v for v in after)) / norm - 1) <= 4 * np.finfo(float).eps
        assert (np.sign(before) * np.sign(after) >= 0).all()
        scale = before[np.argmax(np.abs(before))] / after[np.argmax(np.abs(before))]
        np.testing.assert_allclose(after, before / scale, rtol=1e-14, atol=1e-300)


def test_normalized_names_rows_without_a_direction():
    with pytest.raises(ValueError, match="every row must have a direction, zero rows came: 1 and 2; drop them"):
        normalized(np.array([[1.0, 0.0], [0.0, 0.0], [0.0, -0.0]]), 1.0)
    with pytest.raises(ValueError, match="NaN or infinity came in rows 0"):
        normalized(np.array([[np.nan, 0.0]]), 1.0)

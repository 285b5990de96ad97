import jax
import jax.numpy as jnp
import numpy as np
import pytest
from PIL import Image

from globalmin.data import Dataset, preprocess, synthetic
from globalmin.data.assumptions import close_pairs


def images(n, shape, seed=0, n_test=2):
    rng = np.random.default_rng(seed)
    x = rng.uniform(0.0, 1.0, (n + n_test, int(np.prod(shape))))
    return Dataset(x[:n], np.zeros(n), "images", {}, x_test=x[n:], y_test=np.zeros(n_test), image_shape=shape)


@pytest.mark.parametrize(("norm", "want"), [("unit", 1.0), ("sqrt-d", np.sqrt(12))])
def test_normalize_train_and_test(norm, want):
    data = preprocess.normalize(images(5, (3, 4)), norm)
    assert data.x_test is not None
    for x in (data.x, data.x_test):
        np.testing.assert_allclose(np.linalg.norm(x, axis=1), want, rtol=1e-15)
    assert data.steps == ({"step": "normalize", "norm": norm},)
    assert preprocess.normalize(data, "none") is data
    with pytest.raises(ValueError, match="normalize: one of unit, sqrt-d, none expected, 'l2' came"):
        preprocess.normalize(data, "l2")


def test_standardize_uses_training_rows():
    data = images(50, (2, 3))
    x = np.array(data.x)
    x[:, 4] = 0.1  # constant, and its mean is not exactly 0.1
    data = Dataset(1e3 * x + 7, data.y, "t", {}, x_test=data.x_test, y_test=data.y_test)
    out = preprocess.standardize(data)
    others = [0, 1, 2, 3, 5]
    np.testing.assert_allclose(out.x[:, others].mean(axis=0), 0, atol=1e-13)
    np.testing.assert_allclose(out.x[:, others].std(axis=0), 1, rtol=1e-13)
    assert (out.x[:, 4] == 0).all()
    assert out.steps[0]["constant_columns"] == [4]
    assert out.x_test is not None
    assert data.x_test is not None
    want = (data.x_test[:, 0] - np.mean(data.x[:, 0])) / np.sqrt(np.mean((data.x[:, 0] - np.mean(data.x[:, 0])) ** 2))
    np.testing.assert_allclose(out.x_test[:, 0], want, rtol=1e-13)


def test_standardize_labels():
    data = Dataset(np.ones((3, 1)), np.array([1.0, 2.0, 6.0]), "t", {}, x_test=np.ones((1, 1)), y_test=np.array([3.0]))
    out = preprocess.standardize_labels(data)
    np.testing.assert_allclose(out.y, np.array([-2.0, -1.0, 3.0]) / np.sqrt(14 / 3), rtol=1e-15)
    assert out.y_test is not None
    assert abs(out.y_test[0]) < 1e-15
    with pytest.raises(ValueError, match="t: labels that differ expected, all are 2"):
        preprocess.standardize_labels(Dataset(np.ones((2, 1)), np.array([2.0, 2.0]), "t", {}))


def test_grayscale_is_luma():
    data = images(3, (4, 5, 3))
    out = preprocess.grayscale(data)
    assert out.image_shape == (4, 5)
    pixels = data.x.reshape(3, 4, 5, 3)
    want = 0.299 * pixels[2, 1, 3, 0] + 0.587 * pixels[2, 1, 3, 1] + 0.114 * pixels[2, 1, 3, 2]
    assert abs(out.x.reshape(3, 4, 5)[2, 1, 3] - want) < 1e-15
    # Pillow's "L" of 8-bit pixels is the same luma, rounded.
    eight = np.round(255 * pixels[0]).astype(np.uint8)
    grey = preprocess.grayscale(
        Dataset(eight.reshape(1, -1).astype(float), np.zeros(1), "t", {}, image_shape=(4, 5, 3))
    ).x.reshape(4, 5)
    assert np.abs(grey - np.asarray(Image.fromarray(eight).convert("L"), float)).max() <= 1.0
    assert preprocess.grayscale(out) is out
    one = preprocess.grayscale(images(2, (4, 5, 1)))
    np.testing.assert_array_equal(one.x, images(2, (4, 5, 1)).x)
    assert one.image_shape == (4, 5)


@pytest.mark.parametrize("shape", [(32, 32), (8, 8), (30, 20), (32, 32, 3)])
@pytest.mark.parametrize("size", [28, 16])
def test_resize_is_bilinear_with_antialiasing(shape, size):
    data = images(2, shape)
    out = preprocess.resize(data, size)
    want_shape = (2, size, size, *shape[2:])
    assert out.image_shape == want_shape[1:]
    want = jax.image.resize(jnp.asarray(data.x.reshape(2, *shape)), want_shape, "linear", antialias=True)
    assert want.dtype == jnp.float64
    # 1e-15: convex combinations of pixels in [0, 1], in another order of additions.
    np.testing.assert_allclose(out.x.reshape(want_shape), want, rtol=0, atol=1e-15)


def test_resize_agrees_with_pillow_and_keeps_constants():
    data = images(1, (32, 32))
    want = np.asarray(
        Image.fromarray(data.x.reshape(32, 32).astype(np.float32)).resize((28, 28), Image.Resampling.BILINEAR)
    )
    np.testing.assert_allclose(preprocess.resize(data, 28).x.reshape(28, 28), want, rtol=0, atol=1e-6)  # float32
    flat = Dataset(np.full((1, 1024), 0.3), np.zeros(1), "t", {}, image_shape=(32, 32))
    np.testing.assert_allclose(preprocess.resize(flat, 28).x, 0.3, rtol=1e-15)
    assert preprocess.resize(flat, 32) is flat


def test_images_are_asked_for():
    flat = Dataset(np.ones((2, 6)), np.zeros(2), "table", {})
    with pytest.raises(ValueError, match="table: images expected for resize, rows of 6 numbers came"):
        preprocess.resize(flat, 3)
    with pytest.raises(ValueError, match="table: images expected for grey-scale"):
        preprocess.grayscale(flat)
    with pytest.raises(ValueError, match="images with 1 or 3 channels expected for grey-scale, 2 came"):
        preprocess.grayscale(images(1, (2, 2, 2)))
    with pytest.raises(ValueError, match="size: an integer of at least 1 expected, 0 came"):
        preprocess.resize(images(1, (2, 2)), 0)


def test_jitter_moves_only_the_later_rows_of_parallel_pairs():
    x = synthetic.sphere(8, 20, seed=1)
    x[5] = 3 * x[2]
    x[7] = -x[2]
    x[6] = x[0]
    data = Dataset(x, np.zeros(8), "t", {})
    out = preprocess.jitter(data, 1e-2, seed=3)
    assert out.steps[0] == {"step": "jitter", "amount": 1e-2, "seed": 3, "rows": [5, 6, 7]}
    np.testing.assert_array_equal(out.x[:5], x[:5])
    np.testing.assert_allclose(np.linalg.norm(out.x, axis=1), np.linalg.norm(x, axis=1), rtol=1e-15)
    moved = np.linalg.norm(
        out.x[[5, 6, 7]] / np.linalg.norm(x[[5, 6, 7]], axis=1)[:, None] - x[[2, 0, 2]] * [[1], [1], [-1]], axis=1
    )
    assert (moved > 0.3e-2).all()
    assert (moved < 3e-2).all()
    assert close_pairs(out.x) == []
    np.testing.assert_array_equal(out.x, preprocess.jitter(data, 1e-2, seed=3).x)
    assert not np.array_equal(out.x, preprocess.jitter(data, 1e-2, seed=4).x)


def test_jitter_leaves_clean_data_and_mends_many():
    clean = Dataset(synthetic.sphere(5, 4, seed=0), np.zeros(5), "t", {})
    np.testing.assert_array_equal(preprocess.jitter(clean, 1e-3).x, clean.x)
    many = Dataset(np.tile(synthetic.sphere(1, 30, seed=0), (100, 1)), np.zeros(100), "t", {})  # 4,950 pairs
    assert close_pairs(preprocess.jitter(many, 1e-2).x) == []


@pytest.mark.parametrize("amount", [0.0, 1e-9, 1.0, -0.1, float("nan")])
def test_jitter_amount(amount):
    data = Dataset(np.ones((2, 2)), np.zeros(2), "t", {})
    with pytest.raises(ValueError, match=r"jitter: a number in \[1e-05, 1\) expected"):
        preprocess.jitter(data, amount)
    with pytest.raises(ValueError, match="two columns or more expected"):
        preprocess.jitter(Dataset(np.ones((2, 1)), np.zeros(2), "t", {}), 0.1)


LABELS = np.array([0, 1, 2] * 10)


def test_choose_draws_each_class_without_overlap():
    train, test = preprocess.choose(LABELS, (2, 0), 6, None, seed=1)
    assert sorted(LABELS[train]) == [0] * 6 + [2] * 6
    assert sorted(LABELS[test]) == [0] * 4 + [2] * 4  # all that are left
    assert not set(train) & set(test)
    assert len(set(train)) == 12
    again, _ = preprocess.choose(LABELS, (2, 0), 6, None, seed=1)
    np.testing.assert_array_equal(train, again)
    assert not np.array_equal(train, preprocess.choose(LABELS, (2, 0), 6, None, seed=2)[0])
    assert len(preprocess.choose(LABELS, (0, 1, 2), 3, 2, seed=1)[1]) == 6


def test_choose_keeps_to_the_official_parts():
    train, test = preprocess.choose(LABELS, (0, 1), 5, 4, seed=1, train_rows=18)
    assert train.max() < 18 <= test.min()
    with pytest.raises(ValueError, match="per_class: at most 6 expected"):
        preprocess.choose(LABELS, (0, 1), 7, 4, seed=1, train_rows=18)


@pytest.mark.parametrize(
    ("classes", "per_class", "test_per_class", "message"),
    [
        ((0, 7), 2, 1, "classes: data has the classes 0, 1, 2; 7 came"),
        ((0,), 2, 1, r"classes: two or more different classes expected, \(0,\) came"),
        ((1, 1), 2, 1, r"classes: two or more different classes expected, \(1, 1\) came"),
        ((0, 1), 0, 1, "per_class: an integer of at least 1 expected, 0 came"),
        ((0, 1), 11, 1, r"per_class: at most 10 expected \(class 0 of data\), 11 came"),
        ((0, 1), 8, 3, r"test_per_class: at most 2 expected \(class 0 of data, the rest after training\), 3 came"),
        ((0, 1), 8, -1, "test_per_class: an integer of at least 0 expected"),
    ],
)
def test_choose_bad_input(classes, per_class, test_per_class, message):
    with pytest.raises(ValueError, match=message):
        preprocess.choose(LABELS, classes, per_class, test_per_class, seed=0)


def test_class_labels():
    y, meaning = preprocess.class_labels(np.array([4, 7, 4]), (7, 4))
    assert y.tolist() == [1.0, -1.0, 1.0]
    assert meaning == {"-1": "7", "1": "4"}
    y, meaning = preprocess.class_labels(np.array([2, 0, 1]), (0, 1, 2), ("a", "b", "c"))
    assert y.tolist() == [2.0, 0.0, 1.0]
    assert meaning == {"0": "a", "1": "b", "2": "c"}


@pytest.mark.parametrize("order", ["chw", "hwc"])
def test_channel_order_is_read_off_the_pictures(order):
    rng = np.random.default_rng(0)
    ramp = np.linspace(0, 150, 12)
    pictures = ramp[None, :, None, None] + ramp[None, None, :, None] * 0.5 + rng.uniform(0, 30, (6, 1, 1, 3))
    stored = (np.moveaxis(pictures, -1, 1) if order == "chw" else pictures).reshape(6, -1).astype(np.uint8)
    got, found = preprocess.channels_last(stored, (12, 12, 3))
    assert found == order
    np.testing.assert_array_equal(got.reshape(6, 12, 12, 3), pictures.astype(np.uint8))

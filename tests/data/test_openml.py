import json
import threading
import urllib.error
import warnings

import numpy as np
import pytest
import sklearn.datasets
from sklearn.utils import Bunch

from globalmin.data import load, names, openml


@pytest.fixture
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("GLOBALMIN_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture
def fetched(monkeypatch):
    """OpenML on this machine: small sets in the form in which `fetch_openml` returns them; counts the calls."""
    calls = []

    def fetch(*, data_id, **options):
        calls.append(data_id)
        assert options["as_frame"] is False
        warnings.warn("A network error occurred. Retrying...", stacklevel=2)  # as it does at a retry
        rng = np.random.default_rng(data_id)
        details = {"md5_checksum": f"md5 of {data_id}"}
        if data_id == 43144:
            assert options["target_column"] is None
            columns = [f"S{i}" for i in range(14)] + [f"Run{i} (ms)" for i in range(1, 5)]
            values = rng.uniform(1, 9, (60, 18))
            return Bunch(data=values, target=None, feature_names=columns, details=details)
        d = 784 if data_id in (554, 40996) else 3072
        labels = np.array([str(k % 10 + (1 if data_id == 41081 else 0)) for k in range(120)], dtype=object)
        if d == 784:
            pixels = rng.integers(0, 256, (120, d))
        else:  # smooth pictures, stored colour by colour
            ramp = np.linspace(0, 120, 32)
            pictures = ramp[:, None] + ramp + rng.uniform(0, 15, (120, 3, 1, 1)) * np.array([0.0, 1, 2])[:, None, None]
            pixels = np.floor(pictures).reshape(120, d)
        return Bunch(data=pixels.astype(float), target=labels, feature_names=[], details=details)

    monkeypatch.setattr(sklearn.datasets, "fetch_openml", fetch)
    monkeypatch.setattr(openml, "_reach", lambda data_id: None)
    return calls


@pytest.mark.parametrize("name", ["mnist", "fashion-mnist", "cifar-10", "svhn"])
@pytest.mark.parametrize(("normalize", "norm"), [("unit", 1.0), ("sqrt-d", 28.0)])
def test_images_are_downloaded_once_and_prepared_as_in_the_papers(cache, fetched, name, normalize, norm):
    data = load(name, per_class=5, test_per_class=4, normalize=normalize)
    assert data.x.shape == (10, 784)  # colour pictures: grey and 28 × 28
    assert data.image_shape == (28, 28)
    assert sorted(data.y) == [-1.0] * 5 + [1.0] * 5
    assert data.y_test is not None
    assert sorted(data.y_test) == [-1.0] * 4 + [1.0] * 4
    np.testing.assert_allclose(np.linalg.norm(data.x, axis=1), norm, rtol=1e-15)
    again = load(name, per_class=5, test_per_class=4, normalize=normalize)
    assert again.to_dict() == data.to_dict()
    assert fetched == [openml.ENTRIES[name].data_id]
    source = json.loads(json.dumps(data.to_dict()))["source"]
    assert source["md5_at_openml"] == f"md5 of {source['id']}"
    assert source["origin"] == "downloaded"
    assert sorted(p.name for p in cache.iterdir()) == [f"{name}.json", f"{name}.npz"]
    assert {entry.name: entry.availability for entry in names()}[name] == "cached"


def test_pixels_are_scaled_and_keep_their_dtype_on_disk(cache, fetched):
    raw = openml.read("mnist")
    assert raw.x.dtype == np.uint8
    data = load("mnist", per_class=2, normalize="none")
    assert 0 <= data.x.min() < 0.05
    assert 0.95 < data.x.max() <= 1.0
    row = np.flatnonzero((np.round(data.x[0] * 255) == raw.x).all(axis=1))
    assert len(row) == 1
    np.testing.assert_array_equal(data.x[0], raw.x[row[0]] / 255.0)


def test_colour_on_request_and_channel_order(cache, fetched):
    data = load("cifar-10", per_class=2, gray=False, normalize="none")
    assert data.image_shape == (32, 32, 3)
    assert data.source["stored_order"] == "chw"
    picture = data.x[0].reshape(32, 32, 3)
    # By construction the ramp runs over the pixels, and the first colour has no offset.
    assert abs(picture[0, 0, 0]) < 1e-15
    assert abs(picture[-1, 0, 0] - 120 / 255) < 1e-15
    assert load("cifar-10", per_class=2, size=16).image_shape == (16, 16)


def test_svhn_calls_the_digit_zero_ten(cache, fetched):
    assert sorted(set(openml.read("svhn").y)) == [float(k) for k in range(10)]
    assert load("svhn", per_class=3).classes == {"-1": "0", "1": "1"}


def test_sgemm_has_settings_and_the_log_of_the_mean_run_time(cache, fetched):
    values = np.random.default_rng(43144).uniform(1, 9, (60, 18))
    raw = openml.read("sgemm")
    np.testing.assert_array_equal(raw.x, values[:, :14])
    np.testing.assert_allclose(raw.y, np.log((values[:, 14] + values[:, 15] + values[:, 16] + values[:, 17]) / 4))
    data = load("sgemm", n=20)
    assert data.x.shape == (20, 14)
    assert [s["step"] for s in data.steps] == ["choose", "standardize labels", "standardize columns", "normalize"]
    assert abs(data.y.mean()) < 1e-14


def test_sgemm_with_other_columns_is_refused(cache, fetched, monkeypatch):
    bunch = Bunch(data=np.ones((3, 2)), feature_names=["a", "Run1"], details={})
    monkeypatch.setattr(sklearn.datasets, "fetch_openml", lambda **_: bunch)
    with pytest.raises(ValueError, match=r"14 settings and 4 columns of run times expected, a, Run1 came"):
        load("sgemm")
    assert not (cache / "sgemm.npz").exists()


def test_a_changed_file_is_noticed(cache, fetched):
    load("mnist", per_class=2)
    arrays = dict(np.load(cache / "mnist.npz"))
    arrays["X"][0, 0] ^= 1
    np.savez(cache / "mnist.npz", **arrays)
    with pytest.raises(ValueError, match=r"mnist.npz: sha256 \w{12}... expected, \w{12}... came: the file changed"):
        load("mnist", per_class=2)
    (cache / "mnist.json").unlink()  # what the message says: accept it
    load("mnist", per_class=2)
    (cache / "mnist.json").write_text("{}")
    with pytest.raises(ValueError, match=r"mnist.json: a record with the sha256 expected, it is damaged; delete it"):
        load("mnist", per_class=2)


def put(cache, name="mnist", **arrays):
    cache.mkdir(exist_ok=True)
    np.savez(cache / f"{name}.npz", **arrays)


@pytest.mark.parametrize("shape", [(40, 784), (40, 28, 28)])
def test_a_file_put_there_by_hand_is_taken(cache, shape):
    pixels = np.random.default_rng(0).uniform(0, 1, shape)
    put(cache, X=pixels, y=np.arange(40) % 4)
    data = load("MNIST", classes=(2, 3), per_class=6, normalize="none")
    assert data.source["origin"] == "put there by hand"
    assert data.x.shape == (12, 784)
    assert data.x_test is not None
    assert len(data.x_test) == 8
    assert data.classes == {"-1": "2", "1": "3"}
    assert {r.tobytes() for r in data.x} <= {r.tobytes() for r in pixels.reshape(40, -1)}  # in [0, 1]: not scaled
    assert load("mnist").n == 2 * 5  # half of the smallest class, the rest for the test


def test_colour_pictures_by_hand_may_have_channels_last(cache):
    pixels = np.random.default_rng(0).integers(0, 255, (20, 32, 32, 3))
    put(cache, "cifar-10", X=pixels, y=np.arange(20) % 2)
    data = load("cifar_10", per_class=10, test_per_class=0, gray=False, normalize="none")
    np.testing.assert_array_equal(data.x * 255, pixels.reshape(20, -1))
    assert data.source["stored_order"] is None
    assert data.x_test is None


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        ({"X": np.ones((3, 784))}, "mnist.npz: arrays 'X' and 'y' expected, 'y' not there"),
        (
            {"X": np.ones((3, 700)), "y": np.ones(3)},
            r"mnist.npz: X of shape \(n, 784\) or .* expected, \(3, 700\) came",
        ),
        ({"X": np.ones(784), "y": np.ones(1)}, r"mnist.npz: X of shape .* \(784,\) came"),
        ({"X": np.full((3, 784), np.nan), "y": np.ones(3)}, "NaN or infinity came in rows 0, 1 and 2"),
        ({"X": np.ones((3, 784)), "y": np.ones(4)}, "one label per sample expected"),
        ({"X": np.ones((3, 784)), "y": np.array([0, 1, 0.5])}, "mnist: labels that are class numbers expected"),
    ],
)
def test_bad_files_in_the_cache(cache, arrays, message):
    put(cache, **arrays)
    with pytest.raises(ValueError, match=message):
        load("mnist")


@pytest.mark.parametrize(
    "error", [urllib.error.URLError("no route"), TimeoutError("timed out"), ConnectionResetError()]
)
def test_offline_says_which_file_goes_where(cache, monkeypatch, error):
    def fail(*args, **kwargs):
        raise error

    monkeypatch.setattr("urllib.request.urlopen", fail)
    with pytest.raises(FileNotFoundError) as caught:
        load("mnist")
    message = str(caught.value)
    assert "\n" not in message
    assert message.startswith("mnist: not in the cache, and OpenML could not be reached (")
    assert message.endswith(f"put an .npz file with X (n × 28 × 28, or n × 784) and y (n) at {cache / 'mnist.npz'}")
    assert not cache.exists()


def test_the_real_fetcher_reports_being_offline(cache, monkeypatch):
    # Up to the sockets everything is real; a proxy on a closed port stands for a machine without network.
    for variable in ("http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY"):
        monkeypatch.setenv(variable, "http://127.0.0.1:9")
    monkeypatch.delenv("no_proxy", raising=False)
    monkeypatch.delenv("NO_PROXY", raising=False)
    with pytest.raises(FileNotFoundError, match=r"cifar-10: not in the cache, and OpenML could not be reached"):
        load("cifar-10")


def test_a_download_that_breaks_leaves_nothing(cache, fetched, monkeypatch):
    def broken(file, **arrays):
        file.write(b"half")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(np, "savez_compressed", broken)
    with pytest.raises(OSError, match=r"No space left"):
        load("mnist")
    assert list(cache.iterdir()) == []


def test_two_downloads_at_once(cache, fetched):
    errors = []

    def one():
        try:
            load("mnist", per_class=2)
        except Exception as error:
            errors.append(error)

    threads = [threading.Thread(target=one) for _ in range(2)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    assert errors == []


def test_where_the_cache_is(monkeypatch, tmp_path):
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.delenv("GLOBALMIN_CACHE", raising=False)
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    assert openml.cache_folder() == tmp_path / ".cache" / "globalmin"
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "x"))
    assert openml.cache_folder() == tmp_path / "x" / "globalmin"
    monkeypatch.setenv("GLOBALMIN_CACHE", str(tmp_path / "g"))
    assert openml.cache_folder() == tmp_path / "g"

"""A run folder: what is written is read, and what is missing, damaged or foreign is named."""

import shutil

import numpy as np
import pytest

from globalmin.report import RunFolder, open_run, runs

from .generations import leftovers, one_line


def test_what_is_written_is_read(folder, config, certificate, series):
    run = open_run(folder.path)
    assert run.status == "finished"
    assert run.config == config
    assert run.manifest["seed"] == 0
    assert set(run.manifest["versions"]) >= {"globalmin", "jax", "jaxlib", "equinox", "numpy", "scipy", "python"}
    assert run.certificate["spectrum"]["eigenvalues"] == list(certificate["spectrum"]["eigenvalues"])
    looks, monitored, every = series
    np.testing.assert_array_equal(run.trajectory["epoch"], looks)
    for name, values in monitored.items():
        assert run.trajectory[name].dims == ("epoch",)
        np.testing.assert_array_equal(run.trajectory[name], values)
        assert run.trajectory[name].attrs.keys() == {"long_name", "units"}
    np.testing.assert_array_equal(run.trajectory["loss_every_epoch"], every["loss"])
    assert run.trajectory["forward_iterations"].dims == ("step",)
    assert run.trajectory.attrs == {"step_size": 0.03}
    weights = run.weights()
    np.testing.assert_array_equal(weights["w"], np.arange(6.0).reshape(2, 3))
    assert weights["block.a"].dtype == np.array([1]).dtype
    assert leftovers(folder) == []


def test_create_refuses_what_is_there(tmp_path, folder):
    with pytest.raises(ValueError, match="a run is there") as excinfo:
        RunFolder.create(folder.path, {})
    one_line(excinfo, "resume", str(folder.path))
    (tmp_path / "notes").mkdir()
    (tmp_path / "notes" / "a.txt").write_text("mine")
    with pytest.raises(ValueError, match="other files are there"):
        RunFolder.create(tmp_path / "notes", {})
    with pytest.raises(ValueError, match="a file is there"):
        RunFolder.create(tmp_path / "notes" / "a.txt", {})
    (tmp_path / "empty").mkdir()
    assert RunFolder.create(tmp_path / "empty", {}).path.is_dir()


def test_create_where_nothing_can_be_written(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(OSError, match="cannot be written") as excinfo:
        RunFolder.create(tmp_path / "file" / "run", {})
    one_line(excinfo, "choose another folder")


def test_manifest_tells_how_it_ended(folder):
    folder.finish("failed", "loss is NaN at epoch 3")
    run = open_run(folder.path)
    assert run.status == "failed"
    assert run.manifest["message"] == "loss is NaN at epoch 3"
    with pytest.raises(ValueError, match="'finished' or 'failed'"):
        folder.finish("running")


def test_open_run_refuses_what_is_no_run(tmp_path):
    with pytest.raises(ValueError, match="nothing is there"):
        open_run(tmp_path / "none")
    (tmp_path / "file").write_text("")
    with pytest.raises(ValueError, match="a file is there"):
        open_run(tmp_path / "file")
    with pytest.raises(ValueError, match=r"no config\.json"):
        open_run(tmp_path)


@pytest.mark.parametrize("name", ["config.json", "manifest.json", "certificate.json"])
@pytest.mark.parametrize("content", ["", '{"a": ', "[1]", "\x00\x01"])
def test_damaged_json_is_named(folder, name, content):
    (folder.path / name).write_text(content)
    with pytest.raises(ValueError, match="damaged") as excinfo:
        _ = open_run(folder.path).certificate
    one_line(excinfo, name, "restore")


def test_missing_parts_are_named(folder):
    (folder.path / "certificate.json").unlink()
    shutil.rmtree(folder.path / "trajectory.zarr")
    run = open_run(folder.path)
    assert not run.has("certificate.json")
    with pytest.raises(ValueError, match=r"certificate\.json: missing"):
        _ = run.certificate
    with pytest.raises(ValueError, match=r"trajectory\.zarr: missing"):
        _ = run.trajectory
    with pytest.raises(ValueError, match="there are: final"):
        run.weights("initial")
    (folder.path / "manifest.json").unlink()
    with pytest.raises(ValueError, match=r"manifest\.json: missing"):
        open_run(folder.path)


def test_a_newer_layout_is_refused(folder):
    folder.update_manifest(format=runs.FORMAT + 1)
    with pytest.raises(ValueError, match="upgrade globalmin"):
        open_run(folder.path)


def test_checkpoint_comes_back_bit_for_bit(folder):
    assert folder.read_checkpoint() is None
    arrays = {
        "model.w": np.random.default_rng(0).normal(size=(3, 4)),
        "key": np.array([1, 2], np.uint32),
        "k": np.array(7),
    }
    folder.write_checkpoint(arrays, {"epoch": 7, "first_loss": 0.1, "certified": None, "bound": np.inf})
    found = RunFolder.reopen(folder.path).read_checkpoint()
    assert found is not None
    back, meta = found
    assert meta == {"epoch": 7, "first_loss": 0.1, "certified": None, "bound": np.inf}
    assert back.keys() == arrays.keys()
    for name, want in arrays.items():
        assert (back[name].dtype, back[name].shape, back[name].tobytes()) == (want.dtype, want.shape, want.tobytes())
    folder.write_checkpoint({"k": np.array(8)}, None)
    replaced = folder.read_checkpoint()
    assert replaced is not None
    assert replaced[0]["k"] == 8
    file = folder.path / "checkpoint" / "state.npz"
    file.write_bytes(file.read_bytes()[:100])
    with pytest.raises(ValueError, match="damaged"):
        folder.read_checkpoint()
    folder.remove_checkpoint()
    assert folder.read_checkpoint() is None


@pytest.mark.parametrize("name", ["weights/final.txt", "../final.npz", "/final.npz"])
def test_arrays_stay_inside_the_folder(folder, name):
    with pytest.raises(ValueError, match="inside the run folder"):
        folder.write_arrays(name, {})

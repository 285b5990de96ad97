import contextlib
import errno
import json
import os
import resource
import shutil
import signal
import subprocess
import sys
import threading
import time

import numpy as np
import pytest
import xarray

from globalmin.report import RunFolder, from_json, open_run, read_arrays, runs, to_json


def one_line(excinfo, *words):
    message = str(excinfo.value)
    assert "\n" not in message
    for word in words:
        assert word in message
    return message


def constant(generation, length=30):
    """A trajectory all of whose numbers are its generation: a mixture of two shows."""
    looks = np.arange(length + generation % 7)
    return looks, {name: np.full(len(looks), float(generation)) for name in ("loss", "lambda_min", "distance")}


def generation_of(folder):
    dataset = open_run(folder.path).trajectory
    values = {float(v) for name in ("loss", "lambda_min", "distance") for v in dataset[name].values}
    assert len(values) == 1
    generation = int(values.pop())
    assert dataset.sizes["epoch"] == 30 + generation % 7
    return generation


def leftovers(folder):
    return [p.name for p in folder.path.rglob(".*")]


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


def test_a_plain_xarray_reads_the_trajectory_without_a_warning(folder, series):
    with xarray.open_zarr(folder.path / "trajectory.zarr") as dataset:
        np.testing.assert_array_equal(dataset["loss"], series[1]["loss"])


def test_trajectory_keeps_every_bit_and_dtype(folder):
    odd = np.array([-0.0, np.nan, np.inf, -np.inf, 5e-324, 0.0])
    values = {"odd": odd, "zero": np.zeros(6), "small": np.arange(6, dtype=np.float32), "flag": np.arange(6) % 2 == 0}
    folder.write_trajectory(np.arange(6) * 10, values, {"epoch": np.arange(5, 8), "count": np.zeros(3, np.int32)})
    back = open_run(folder.path).trajectory
    for name, want in values.items():
        assert back[name].dtype == want.dtype
        assert back[name].values.tobytes() == want.tobytes()
    assert back["count"].dtype == np.int32
    np.testing.assert_array_equal(back["step"], [5, 6, 7])


def test_a_quantity_that_is_never_a_number_or_is_minus_zero_is_no_damage(folder):
    """Zarr leaves out chunks of its fill value, whose sign is another: of NaN, which arithmetic gives, and of zero."""
    folder.write_trajectory([0, 1], {"never": np.full(2, -np.nan), "zero": np.full(2, -0.0), "nan": np.full(2, np.nan)})
    found = open_run(folder.path).trajectory
    assert np.all(np.isnan(found["never"].values))
    assert np.all(found["zero"].values == 0)


def test_empty_trajectory(folder):
    folder.write_trajectory(np.zeros(0, int), {"loss": np.zeros(0)})
    assert open_run(folder.path).trajectory.sizes == {"epoch": 0, "step": 0}


def test_trajectory_refuses_another_length(folder):
    with pytest.raises(ValueError, match="loss") as excinfo:
        folder.write_trajectory(np.arange(3), {"loss": np.zeros(4)})
    one_line(excinfo, "(3,)", "(4,)")
    assert open_run(folder.path).trajectory.sizes["epoch"] > 3


def test_json_is_valid_and_comes_back():
    value = {
        "inf": np.inf,
        "minus": -np.float32(np.inf),
        "nan": float("nan"),
        "third": 1 / 3,
        "numpy": np.float64(0.1),
        "int": np.int32(3),
        "flag": np.bool_(True),
        "array": np.array([[1.0, np.inf]]),
        "pair": (1, None, "λ₀"),
    }

    def refuse(word):
        raise AssertionError(f"{word} is not JSON")

    text = to_json(value)
    assert json.loads(text, parse_constant=refuse)["inf"] == "Infinity"
    back = from_json(text)
    assert back["inf"] == np.inf
    assert back["minus"] == -np.inf
    assert np.isnan(back["nan"])
    assert back["third"] == 1 / 3
    assert back["numpy"] == 0.1
    assert back["flag"] is True
    assert back["array"] == [[1.0, np.inf]]
    assert back["pair"] == [1, None, "λ₀"]
    with pytest.raises(ValueError, match="set came"):
        to_json({"a": {1, 2}})


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


def lose_chunk(store):
    next(p for p in (store / "loss").rglob("0")).unlink()


def flip_byte(store):
    chunk = next(p for p in (store / "loss").rglob("0"))
    data = bytearray(chunk.read_bytes())
    data[-1] ^= 0xFF
    chunk.write_bytes(bytes(data))


def cut_metadata(store):
    (store / "zarr.json").write_text("{")


def swap_variables(store):
    chunks = [next(p for p in (store / name).rglob("0")) for name in ("distance", "movement")]
    first, second = (chunk.read_bytes() for chunk in chunks)
    chunks[0].write_bytes(second)
    chunks[1].write_bytes(first)


@pytest.mark.parametrize("damage", [lose_chunk, flip_byte, cut_metadata, swap_variables])
def test_damaged_trajectory_is_never_read(folder, damage):
    damage(folder.path / "trajectory.zarr")
    with pytest.raises(ValueError, match="damaged") as excinfo:
        _ = open_run(folder.path).trajectory
    one_line(excinfo, "trajectory.zarr")


def test_damaged_arrays_are_never_read(folder):
    file = folder.path / "weights" / "final.npz"
    whole = file.read_bytes()
    at = whole.index(np.arange(6.0).tobytes())
    for broken in (b"", whole[:-30], whole[:at] + b"\x01" + whole[at + 1 :], b"not a zip"):
        file.write_bytes(broken)
        with pytest.raises(ValueError, match="damaged") as excinfo:
            open_run(folder.path).weights()
        one_line(excinfo, "final.npz")
    with pytest.raises(ValueError, match="there is none"):
        read_arrays(folder.path / "nowhere.npz")


class Trap:
    """Unpickling it leaves a mark."""

    def __init__(self, mark):
        self.mark = mark

    def __reduce__(self):
        return open, (str(self.mark), "w")


def test_nothing_is_unpickled_from_npz(folder, tmp_path):
    np.savez(folder.path / "weights" / "final.npz", w=np.array([Trap(tmp_path / "mark")], dtype=object))
    with pytest.raises(ValueError, match="damaged"):
        open_run(folder.path).weights()
    assert not (tmp_path / "mark").exists()
    with pytest.raises(ValueError, match="dtype object"):
        folder.write_arrays("weights/final.npz", {"w": np.array([None])})


def test_nothing_is_unpickled_from_zarr(folder, tmp_path):
    import pickle

    store = folder.path / "trajectory.zarr"
    shutil.rmtree(store)
    (store / "loss").mkdir(parents=True)
    (store / ".zgroup").write_text('{"zarr_format": 2}')
    (store / ".zattrs").write_text("{}")
    array = {
        "zarr_format": 2,
        "shape": [1],
        "chunks": [1],
        "dtype": "<f8",
        "fill_value": 0.0,
        "order": "C",
        "compressor": {"id": "pickle", "protocol": 5},
        "filters": None,
    }
    (store / "loss" / ".zarray").write_text(json.dumps(array))
    (store / "loss" / ".zattrs").write_text('{"_ARRAY_DIMENSIONS": ["epoch"]}')
    (store / "loss" / "0").write_bytes(pickle.dumps([Trap(tmp_path / "mark")]))
    with pytest.raises(ValueError, match="damaged"):
        _ = open_run(folder.path).trajectory
    assert not (tmp_path / "mark").exists()


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


class Dead(BaseException):
    """Not an Exception: nothing may catch it."""


def dies_after(monkeypatch, calls):
    """After so many renames and removals every further one fails, those of a clean-up included: as after `kill -9`."""
    left = [calls]

    def guard(function):
        def guarded(*args, **kwargs):
            left[0] -= 1
            if left[0] < 0:
                raise Dead
            return function(*args, **kwargs)

        return guarded

    for module, name in ((os, "replace"), (os, "unlink"), (shutil, "rmtree")):
        monkeypatch.setattr(module, name, guard(getattr(module, name)))


def test_killed_between_any_two_changes(folder, monkeypatch):
    # Zarr renames its own files while it writes: the loop goes over those too, up to a kill that comes too late.
    found = []
    for calls in range(100):
        folder.write_trajectory(*constant(1))
        assert leftovers(folder) == []
        killed = True
        with monkeypatch.context() as patch, contextlib.suppress(Dead):
            dies_after(patch, calls)
            folder.write_trajectory(*constant(2))
            killed = False
        assert open_run(folder.path).has("trajectory.zarr")
        found.append(generation_of(folder))
        if not killed:
            break
    assert found == sorted(found)
    assert found[0] == 1
    assert found[-2:] == [2, 2]  # the last kill left only a backup to remove


def test_killed_file_is_the_old_one(folder, monkeypatch, config):
    with monkeypatch.context() as patch:
        dies_after(patch, 0)
        with pytest.raises(Dead):
            folder.write_json("config.json", {"half": 1})
    assert open_run(folder.path).config == config


def test_a_real_kill(tmp_path):
    code = (
        "import sys, numpy as np; from globalmin.report import RunFolder\n"
        "folder, g = RunFolder.create(sys.argv[1], {}), 0\n"
        "while True:\n"
        "    g += 1; looks = np.arange(30 + g % 7)\n"
        "    values = {n: np.full(len(looks), float(g)) for n in ('loss', 'lambda_min', 'distance')}\n"
        "    folder.write_trajectory(looks, values); print(g, flush=True)\n"
    )
    child = subprocess.Popen([sys.executable, "-c", code, tmp_path / "run"], stdout=subprocess.PIPE, text=True)
    assert child.stdout is not None
    written = max(int(child.stdout.readline()) for _ in range(3))
    time.sleep(0.05)
    child.send_signal(signal.SIGKILL)
    written = max([written, *(int(line) for line in child.stdout)])
    child.stdout.close()
    child.wait()
    assert generation_of(RunFolder(tmp_path / "run")) in (written, written + 1)


def test_a_reader_sees_one_generation_while_another_is_written(folder):
    folder.write_trajectory(*constant(0))
    stop = threading.Event()

    def write():
        generation = 0
        while not stop.is_set():
            generation += 1
            folder.write_trajectory(*constant(generation))

    writer = threading.Thread(target=write)
    writer.start()
    try:
        seen = [generation_of(folder) for _ in range(15)]
    finally:
        stop.set()
        writer.join()
    assert seen == sorted(seen)


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EACCES])
def test_a_refusing_disk_leaves_what_was_there(folder, monkeypatch, config, code):
    folder.write_trajectory(*constant(1))

    def refuse(handle):
        raise OSError(code, os.strerror(code))

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", refuse)
        for write in (
            lambda: folder.write_trajectory(*constant(2)),
            lambda: folder.write_json("config.json", {"half": 1}),
            lambda: folder.write_checkpoint({"k": np.array(1)}),
        ):
            with pytest.raises(OSError, match="no space left" if code == errno.ENOSPC else "not writable") as excinfo:
                write()
            one_line(excinfo, str(folder.path))
            assert excinfo.value.errno == code
    assert generation_of(folder) == 1
    assert open_run(folder.path).config == config
    assert leftovers(folder) == []


def test_a_file_that_cannot_grow(folder):
    # A limit of the kernel on file sizes: writes really fail half-way, in Zarr's threads too.
    folder.write_trajectory(*constant(1))
    noise = np.random.default_rng(0).normal(size=20_000)
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, before[1]))
    try:
        with pytest.raises(OSError, match="File too large") as of_trajectory:
            folder.write_trajectory(np.arange(20_000), {"loss": noise})
        with pytest.raises(OSError, match="File too large") as of_arrays:
            folder.write_arrays("weights/final.npz", {"w": noise})
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    one_line(of_trajectory, "trajectory.zarr")
    one_line(of_arrays, "final.npz")
    assert generation_of(folder) == 1
    assert open_run(folder.path).weights()["w"].shape == (2, 3)
    assert leftovers(folder) == []

"""Trajectories on disk: every bit comes back, and damage is named instead of read."""

import json
import pickle
import shutil

import numpy as np
import pytest
import xarray

from globalmin.report import open_run

from .generations import Trap, one_line


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


def test_nothing_is_unpickled_from_zarr(folder, tmp_path):
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

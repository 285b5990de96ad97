"""Files put in place whole: through kills, full disks, readers at the same time and damage."""

import contextlib
import errno
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

from globalmin.report import RunFolder, open_run, read_arrays

from .generations import Trap, constant, generation_of, leftovers, one_line


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


def test_nothing_is_unpickled_from_npz(folder, tmp_path):
    np.savez(folder.path / "weights" / "final.npz", w=np.array([Trap(tmp_path / "mark")], dtype=object))
    with pytest.raises(ValueError, match="damaged"):
        open_run(folder.path).weights()
    assert not (tmp_path / "mark").exists()
    with pytest.raises(ValueError, match="dtype object"):
        folder.write_arrays("weights/final.npz", {"w": np.array([None])})


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


def test_killed_file_is_the_old_one(folder, monkeypatch, config):
    with monkeypatch.context() as patch:
        dies_after(patch, 0)
        with pytest.raises(Dead):
            folder.write_json("config.json", {"half": 1})
    assert open_run(folder.path).config == config


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

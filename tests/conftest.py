"""Every test runs in float64, with strict dtype promotion, with warnings as errors and with checked shapes."""

import gc
import importlib
import os
import shutil
import tempfile
from pathlib import Path

import jax
import pytest
from jaxtyping import install_import_hook

from . import draws, shapes  # noqa: F401  (the hook takes `shapes` by its path)

# For good, not as a context: the package imports its rooms when they are first used.
install_import_hook(
    [f"globalmin.{room}" for room in ("activations", "gram", "kernels", "models", "solvers")], "tests.shapes.check"
)

jax.config.update("jax_enable_x64", True)
jax.config.update("jax_numpy_dtype_promotion", "strict")


def pytest_configure(config):
    """A store of compiled programs for this session: no worker, and no process that a test starts, compiles one again.

    It starts empty and is removed at the end. Whoever keeps one between sessions (`JAX_COMPILATION_CACHE_DIR`) keeps it.
    """
    if "JAX_COMPILATION_CACHE_DIR" in os.environ:  # the user's, or that of the process that started this worker
        return
    folder = tempfile.mkdtemp(prefix="compiled-programs-")
    config.add_cleanup(lambda: shutil.rmtree(folder, ignore_errors=True))
    for option, value in (
        ("compilation_cache_dir", folder),
        ("persistent_cache_min_compile_time_secs", 0.0),
        ("persistent_cache_min_entry_size_bytes", -1),
    ):
        jax.config.update(f"jax_{option}", value)
        os.environ[f"JAX_{option.upper()}"] = str(value)


MAPS = Path("/proc/self/maps")
MOST_MAPS = 20_000
"""Linux grants a process 65,530 memory mappings, and every compiled program takes some; beyond them it is killed."""


@pytest.fixture(autouse=True)
def _few_compiled_programs(request):
    """Forget what was compiled once there is a lot of it; looked at after every 20th test of a process."""
    yield
    config = request.config
    config.tests_done = getattr(config, "tests_done", 0) + 1
    if config.tests_done % 20 == 0 and MAPS.exists() and MAPS.read_bytes().count(b"\n") > MOST_MAPS:
        jax.clear_caches()
        gc.collect()


@pytest.fixture(scope="session", autouse=True)
def _few_programs_for_normal_deviates():
    """The same numbers, see `draws`."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(jax.random, "normal", draws.normal)
        yield


@pytest.fixture(scope="session", autouse=True)
def _outlines_in_pdf():
    """PDFs with outlines of the letters they show: cutting a font down to them is most of what a report's figures cost.

    `tests/report` makes them as users get them.
    """
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(importlib.import_module("globalmin.report.figures")._STYLE, "pdf.fonttype", 3)
        yield


@pytest.fixture
def no_report(monkeypatch):
    """Runs without figures and page, which are most of a short run's time, where a test looks at neither."""
    monkeypatch.setattr("globalmin.report.write_report", lambda folder: None)


@pytest.fixture
def one_drawn(monkeypatch):
    """Figures of the first run that a test makes; the pages of further ones have none."""
    figures = importlib.import_module("globalmin.report.figures")
    draw = figures.draw

    def first(trajectory, certificate):
        monkeypatch.setattr(figures, "draw", lambda trajectory, certificate: {})
        return draw(trajectory, certificate)

    monkeypatch.setattr(figures, "draw", first)


@pytest.fixture
def getkey(request):
    """A function that gives a fresh key at each call; the same sequence in every run of the same test."""
    seed = sum(ord(c) * 31**i for i, c in enumerate(request.node.name)) % 2**31
    state = [jax.random.key(seed)]

    def next_key():
        state[0], key = jax.random.split(state[0])
        return key

    return next_key

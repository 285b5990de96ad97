"""neural-tangents' side of the deep kernels' benchmark: one request, one line of JSON (see `test_deep_kernels.py`)."""

import json
import pathlib
import sys
import time

import jax
import jax.numpy as jnp
import numpy as np

jax.config.update("jax_enable_x64", True)
jax.config.update("jax_enable_compilation_cache", False)  # first calls are timed

import neural_tangents as nt  # noqa: E402
from neural_tangents import stax  # noqa: E402

INPUTS = np.load(sys.argv[1])
STARTED = {}


def resident(field: str) -> int:
    lines = pathlib.Path("/proc/self/status").read_text().splitlines()
    return 1024 * int(next(line for line in lines if line.startswith(field)).split()[1])


def activation(ask):
    return {"relu": stax.Relu, "erf": stax.Erf, "gelu": stax.Gelu, "sin": stax.Sin}[ask.get("phi", "relu")]()


def prepare(ask):
    """The work of a request as a function of nothing, its arrays made beforehand."""
    dtype = ask.get("dtype", "float64")
    if ask["work"] == "dense":
        x = jnp.asarray(INPUTS["vectors"][: ask["n"]], dtype)
        layer = lambda width: stax.Dense(width, W_std=ask["weight_std"], b_std=ask["bias_std"] or None)  # noqa: E731
        layers = [stax.serial(layer(1), activation(ask)) for _ in range(ask["depth"])]
        run = jax.jit(lambda x: stax.serial(*layers, layer(1))[2](x, None, ("nngp", "ntk"))._asdict())
        return lambda: run(x)
    if ask["work"] == "conv":
        x = jnp.asarray(INPUTS["images"][: ask["n"]], dtype)
        options = {"W_std": ask["weight_std"], "b_std": ask["bias_std"] or None}
        layers = [
            stax.serial(stax.Conv(1, (3, 3), padding="SAME", **options), activation(ask)) for _ in range(ask["depth"])
        ]
        readout = stax.Flatten() if ask["readout"] == "flatten" else stax.GlobalAvgPool()
        kernel_fn = stax.serial(*layers, readout, stax.Dense(1, **options))[2]
        run = jax.jit(lambda x: kernel_fn(x, None, ("nngp", "ntk"))._asdict())
        return lambda: run(x)
    x = jnp.asarray(INPUTS["vectors"][: ask["n"]], jnp.float32)
    init, apply, _ = stax.serial(
        stax.Dense(1024, b_std=None),
        activation(ask),
        stax.Dense(1024, b_std=None),
        activation(ask),
        stax.Dense(1, b_std=None),
    )
    _, parameters = init(jax.random.PRNGKey(0), x.shape)
    parameters = jax.tree_util.tree_map(lambda p: p.astype(jnp.float32), parameters)
    how = nt.NtkImplementation[ask["implementation"]]
    run = jax.jit(nt.empirical_ntk_fn(apply, trace_axes=(-1,), vmap_axes=0, implementation=how))
    return lambda: {"ntk": run(x, None, parameters)}


def answer(ask):
    name = json.dumps({k: v for k, v in ask.items() if k != "save"})
    first = None
    if name not in STARTED:
        pathlib.Path("/proc/self/clear_refs").write_text("5")  # Linux forgets the old peak
        before, clock, cpu = resident("VmRSS"), time.perf_counter(), time.process_time()
        work = prepare(ask)
        found = jax.block_until_ready(work())
        first = {
            "first": time.perf_counter() - clock,
            "first_cpu": time.process_time() - cpu,
            "bytes": resident("VmHWM") - before,
        }
        STARTED[name] = work
        if "save" in ask:
            np.savez(pathlib.Path(ask["save"]), **{k: np.asarray(v) for k, v in found.items()})
        del found
    work, start = STARTED[name], time.process_time()
    jax.block_until_ready(work())
    return {"seconds": time.process_time() - start, **(first or {})}


for line in sys.stdin:
    print(json.dumps(answer(json.loads(line))), flush=True)

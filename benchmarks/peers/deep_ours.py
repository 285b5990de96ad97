"""Our side of the deep kernels' benchmark: one request, one line of JSON (see `test_deep_kernels.py`)."""

import json
import pathlib
import sys
import time

import jax
import jax.numpy as jnp
import numpy as np

jax.config.update("jax_enable_x64", True)
jax.config.update("jax_enable_compilation_cache", False)  # first calls are timed

from globalmin import activations, gram, kernels, models  # noqa: E402

INPUTS = np.load(sys.argv[1])
STARTED = {}


def resident(field: str) -> int:
    lines = pathlib.Path("/proc/self/status").read_text().splitlines()
    return 1024 * int(next(line for line in lines if line.startswith(field)).split()[1])


def prepare(ask):
    """The work of a request as a function of nothing, its arrays made beforehand."""
    phi = activations.get(ask.get("phi", "relu"))
    if ask["work"] == "dense":
        x = jnp.asarray(INPUTS["vectors"][: ask["n"]] / np.sqrt(INPUTS["vectors"].shape[1]))
        s = ask["weight_std"]
        kernel = kernels.DenseKernel(phi, ask["depth"], weight_std=s, input_std=s, bias_std=ask["bias_std"])
        return lambda: kernel(x, only=("nngp", "ntk"), dtype=ask.get("dtype", "float64"))
    if ask["work"] == "conv":
        images = INPUTS["images"][: ask["n"]]
        kernel = kernels.ConvKernel(
            phi, ask["depth"], image_shape=images.shape[1:], readout=ask["readout"],
            weight_std=ask["weight_std"], bias_std=ask["bias_std"],
        )  # fmt: skip
        x = jnp.asarray(images.reshape(len(images), -1))
        return lambda: kernel(x, only=("nngp", "ntk"))
    x = jnp.asarray(INPUTS["vectors"][: ask["n"]] / np.sqrt(INPUTS["vectors"].shape[1]), jnp.float32)
    net = models.Dense.init(x.shape[1], 1024, phi, depth=2, key=jax.random.key(0), dtype=jnp.float32)
    run = jax.jit(lambda x: {"ntk": sum(gram.grams_of(net.tangent_blocks(x)).values())})
    return lambda: run(x)


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

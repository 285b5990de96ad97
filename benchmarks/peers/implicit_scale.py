"""Worker: warm float32 steps of an implicit network from its initialisation on; the request `step` tells the peak memory.

The problem holds `n`, `dimension` and `width`. The peak is the whole process's, the interpreter and JAX included.
"""

import json
import resource
import sys
import time

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

from globalmin import activations
from globalmin.models import Implicit

data = np.load(sys.argv[1])
n, dimension, width = (int(data[k]) for k in ("n", "dimension", "width"))
key = jax.random.key(0)
model = Implicit.init(dimension, width, activations.get("relu"), key=key, gamma0=0.2, dtype=jnp.float32)
x = jax.random.normal(key, (n, dimension), jnp.float32)
x = x / jnp.linalg.norm(x, axis=1, keepdims=True)
y = jnp.where(jnp.arange(n) % 2 == 0, 1.0, -1.0).astype(jnp.float32)
arrays, rest = eqx.partition(model, eqx.is_array)
state = model.initial_state(x)
del model


def advance(arrays, state):
    done = eqx.combine(arrays, rest).step(x, y, state)
    # λ_max is about 0.33 n for nearly orthogonal inputs.
    moved = jax.tree.map(lambda p, g: p - 1.5 / n * g, arrays, eqx.filter(done.gradient, eqx.is_array))
    return moved, done.state, jnp.sum((done.outputs - y) ** 2) / 2, done.info["contraction"]


step = jax.jit(advance, donate_argnums=(0, 1))

for _ in sys.stdin:
    start = time.perf_counter()
    arrays, state, loss, contraction = jax.block_until_ready(step(arrays, state))
    answer = {"seconds": time.perf_counter() - start, "loss": float(loss), "contraction": float(contraction)}
    answer["peak"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    print(json.dumps(answer), flush=True)

"""Worker: gradient descent on an equilibrium network by `globalmin`; requests `step`, `gemm`, `memory`.

The problem is an implicit network where it has a `skip` read-out, else a deep equilibrium model.
"""

import json
import sys
import time

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

from globalmin import activations
from globalmin.models import Equilibrium, Implicit

data = np.load(sys.argv[1])
x, y, rate, chunk = jnp.asarray(data["x"]), jnp.asarray(data["y"]), data["rate"], int(data["chunk"])
names = [name for name in ("hidden", "inject", "readout", "skip") if name in data]
weights, relu = {name: jnp.asarray(data[name]) for name in names}, activations.get("relu")
if "skip" in data:
    model = Implicit(**weights, activation=relu, gamma=float(data["gamma"]))
else:
    model = Equilibrium(**weights, activation=relu)
arrays, rest = eqx.partition(model, eqx.is_array)
state = model.initial_state(x)


def descend(arrays, state):
    # One compiled loop over a chunk of steps, as the trainer runs it.
    def body(carry, _):
        arrays, state = carry
        done = eqx.combine(arrays, rest).step(x, y, state)
        moved = jax.tree.map(lambda p, g: p - rate * g, arrays, eqx.filter(done.gradient, eqx.is_array))
        record = (done.info["forward_iterations"], done.info["backward_iterations"], jnp.sum((done.outputs - y) ** 2))
        return (moved, done.state), record

    return jax.lax.scan(body, (arrays, state), None, length=chunk)


step = jax.jit(descend).lower(arrays, state).compile()
gemm = jax.jit(lambda a, b: jnp.matmul(a, b.T, precision=jax.lax.Precision.HIGHEST))
jax.block_until_ready((step(arrays, state), gemm(model.hidden, x)))

for line in sys.stdin:
    request, answer = line.strip(), {}
    start = time.process_time()
    if request == "gemm":
        gemm(model.hidden, x).block_until_ready()
        answer["seconds"] = time.process_time() - start
    elif request == "memory":
        sizes = step.memory_analysis()
        answer["bytes"] = sizes.argument_size_in_bytes + sizes.output_size_in_bytes + sizes.temp_size_in_bytes
    else:
        (arrays, state), (forward, backward, loss) = jax.block_until_ready(step(arrays, state))
        answer["seconds"] = (time.process_time() - start) / chunk
        answer |= {"forward": forward.tolist(), "backward": backward.tolist(), "loss": loss.tolist()}
    print(json.dumps(answer), flush=True)

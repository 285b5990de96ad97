"""Worker: gradient steps of a Neural ODE by `globalmin`; requests `fixed` (explicit adjoint), `diffrax`, `gemm`, `gradient`.

`fixed`: equal steps through `NeuralODE.step`; `diffrax`: the same network by an adaptive Diffrax solve with checkpointed
backpropagation, written with Diffrax alone; `gradient-fixed`, `gradient-diffrax`: errors against a much finer solve.
"""

import functools
import json
import sys
import time

import diffrax
import jax
import jax.numpy as jnp
import numpy as np

from globalmin import activations
from globalmin.models import NeuralODE

data = np.load(sys.argv[1])
x, y, tolerance = jnp.asarray(data["x"]), jnp.asarray(data["y"]), float(data["tolerance"])
m, d = data["inject"].shape
model = NeuralODE(
    jnp.asarray(data["inject"]),
    jnp.asarray(data["hidden"]),
    jnp.asarray(data["readout"]),
    activations.get("tanh"),
    sigma_u=float(np.sqrt(d)),
    layers=int(data["layers"]),
    solver=str(data["solver"]),
)


def by_diffrax(weights, x, y):
    u, w, v = weights

    def field(t, h, w):
        return jnp.tanh(h) @ w.T / np.float32(np.sqrt(m))

    solution = diffrax.diffeqsolve(
        diffrax.ODETerm(field), diffrax.Dopri5(), 0.0, 1.0, None, x @ u.T, args=w,
        stepsize_controller=diffrax.PIDController(rtol=tolerance, atol=tolerance),
    )  # fmt: skip
    return jnp.sum((jnp.tanh(solution.ys[0]) @ v / np.float32(np.sqrt(m)) - y) ** 2) / 2


def explicit(model, x, y):
    done = model.step(x, y, ())
    tree = done.gradient
    return jnp.sum((done.outputs - y) ** 2) / 2, (tree.inject, tree.hidden, tree.readout)


weights = (model.inject, model.hidden, model.readout)
steps = {
    "fixed": (jax.jit(functools.partial(explicit, model)), (x, y)),
    "diffrax": (jax.jit(jax.value_and_grad(by_diffrax)), (weights, x, y)),
}
gemm = jax.jit(lambda a, b: jnp.matmul(a, b.T, precision=jax.lax.Precision.HIGHEST))
compiled = {}
truth = jax.jit(functools.partial(explicit, model.discretised("rk4", 40)))

for line in sys.stdin:
    request, answer = line.strip(), {}
    kind = request.removeprefix("gradient-")
    if kind in steps and kind not in compiled:
        function, arguments = steps[kind]
        compiled[kind] = function.lower(*arguments).compile()
        jax.block_until_ready(compiled[kind](*arguments))
    start = time.process_time()
    if request == "gemm":
        gemm(x @ model.inject.T, model.hidden).block_until_ready()
        answer["seconds"] = time.process_time() - start
    elif request in steps:
        loss, _ = jax.block_until_ready(compiled[kind](*steps[kind][1]))
        answer |= {"seconds": time.process_time() - start, "loss": float(loss)}
    else:
        exact, found = (
            np.concatenate([np.ravel(g) for g in f[1]]) for f in (truth(x, y), compiled[kind](*steps[kind][1]))
        )
        answer["error"] = float(np.linalg.norm(found - exact) / np.linalg.norm(exact))
        np.save(sys.argv[1] + ".gradient.npy", exact)
    print(json.dumps(answer), flush=True)

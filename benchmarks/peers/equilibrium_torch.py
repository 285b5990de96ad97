"""Worker: the same descent by torchdeq and by a plain PyTorch loop; runs in the peers' environment.

Requests: `torchdeq` and `torchdeq-warm` (fixed_point_iter with implicit differentiation, from zero and from the last
equilibrium), `loop` and `loop-warm` (the explicit adjoint of the same formulas as ours, no autograd), `gemm`, and
`memory`: the peak of the process so far beyond what it held before the first step. The problem is an implicit network
where it has a `skip` read-out v and `gamma`, z = relu(g A z + φ), φ = relu(Wx)/√m, u·z + v·φ; else a deep equilibrium
model.
"""

import json
import resource
import sys
import time

import numpy as np
import torch
from torchdeq import get_deq

torch.set_num_threads(1)
data = np.load(sys.argv[1])
x, y = torch.from_numpy(data["x"]), torch.from_numpy(data["y"])
rate, chunk, tolerance = float(data["rate"]), int(data["chunk"]), float(data["tolerance"])
counts = {}
implicit = "skip" in data
names = ("hidden", "inject", "readout", "skip") if implicit else ("hidden", "inject", "readout")
root = 1 / len(data["readout"]) ** 0.5
gain = float(data["gamma"]) * root if implicit else 1.0


def weights():
    return [torch.from_numpy(data[k].copy()) for k in names]


def inject(u):
    return torch.relu(x @ u.T) * root if implicit else x @ u.T


def through_torchdeq(parameters, memory, warm):
    """Relative stopping, per sample: torchdeq has no other."""
    counts["forward"] = counts["backward"] = 0
    w, u, a, *v = (p.requires_grad_() for p in parameters)
    injected = inject(u)
    scaled = w * gain if implicit else w

    def layer(z):
        counts["forward"] += 1
        return torch.relu(z @ scaled.T + injected)

    start = memory.get("z", torch.zeros_like(injected)) if warm else torch.zeros_like(injected)
    z = deq(layer, start, backward_writer=lambda info: counts.update(backward=int(info["nstep"].max())))[0][-1]
    residual = z @ a - y + (injected @ v[0] if v else 0)
    loss = residual.square().sum()
    (loss / 2).backward()
    with torch.no_grad():
        memory["z"] = z.detach()
        for p in parameters:
            p -= rate * p.grad
            p.grad = None
    return float(loss)


@torch.no_grad()
def by_loop(parameters, memory, warm):
    w, u, a, *v = parameters
    injected = inject(u)
    scaled = w * gain if implicit else w
    z = memory.get("z", torch.zeros_like(injected)) if warm else torch.zeros_like(injected)
    scale = injected.norm()
    for forward in range(1, 100):  # noqa: B007
        last, z = z, torch.relu(torch.addmm(injected, z, scaled.T))
        if (z - last).norm() < tolerance * scale:
            break
    mask = (z > 0).to(z.dtype)
    right = mask * a
    r = memory.get("r", right) if warm else right
    scale = a.norm() * len(x) ** 0.5
    for backward in range(1, 100):  # noqa: B007
        last, r = r, torch.addmm(a, r, scaled) * mask
        if (r - last).norm() < tolerance * scale:
            break
    residual = z @ a - y + (injected @ v[0] if v else 0)
    weighted = r * residual[:, None]
    memory.update(z=z, r=r)
    counts.update(forward=forward, backward=backward)
    gradients = [weighted.T @ z, weighted.T @ x, residual @ z]
    if v:
        direct = (injected > 0) * (weighted + residual[:, None] * v[0]) * root
        gradients = [weighted.T @ z * gain, direct.T @ x, residual @ z, residual @ injected]
    for p, gradient in zip(parameters, gradients, strict=True):
        p -= rate * gradient
    return float(residual.square().sum())


deq = get_deq(
    f_solver="fixed_point_iter",
    b_solver="fixed_point_iter",
    f_max_iter=100,
    b_max_iter=100,
    f_tol=tolerance,
    b_tol=tolerance,
    f_stop_mode="rel",
    b_stop_mode="rel",
    ift=True,
)
deq.train()
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
sides = {}
for line in sys.stdin:
    request, answer = line.strip(), {}
    if request == "gemm":
        start = time.process_time()
        _ = x @ x.T
        answer["seconds"] = time.process_time() - start
    elif request == "memory":
        answer["bytes"] = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) * 1024 + x.nbytes
    else:
        name, _, warm = request.partition("-")
        run = {"torchdeq": through_torchdeq, "loop": by_loop}[name]
        parameters, memory = sides.setdefault(request, (weights(), {}))
        start, losses, forward, backward = time.process_time(), [], [], []
        for _ in range(chunk):
            losses.append(run(parameters, memory, bool(warm)))
            forward.append(counts["forward"])
            backward.append(counts["backward"])
        answer["seconds"] = (time.process_time() - start) / chunk
        answer |= {"forward": forward, "backward": backward, "loss": losses}
    print(json.dumps(answer), flush=True)

"""Worker: the same gradient by torchdiffeq; requests `METHOD-MODE` (dopri5 or rk4; adjoint or direct), also `gradient-...`."""

import json
import sys
import time

import numpy as np
import torch
from torchdiffeq import odeint, odeint_adjoint

torch.set_num_threads(1)
data = np.load(sys.argv[1])
x, y = torch.from_numpy(data["x"]), torch.from_numpy(data["y"])
tolerance, steps = float(data["tolerance"]), int(data["peer_steps"])
u, w, v = (torch.from_numpy(data[k].copy()).requires_grad_() for k in ("inject", "hidden", "readout"))
scale = 1 / len(v) ** 0.5
times = torch.tensor([0.0, 1.0])


class Field(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.w = torch.nn.Parameter(w)

    def forward(self, t, h):
        return scale * torch.tanh(h) @ self.w.T


field = Field()


def step(method, mode):
    solve = odeint_adjoint if mode == "adjoint" else odeint
    options = {"step_size": 1 / steps} if method == "rk4" else None
    h = solve(field, x @ u.T, times, method=method, rtol=tolerance, atol=tolerance, options=options)[-1]
    loss = ((scale * torch.tanh(h) @ v) - y).square().sum() / 2
    loss.backward()
    gradients = [p.grad.numpy().copy() for p in (u, field.w, v)]
    for p in (u, field.w, v):
        p.grad = None
    return float(loss.detach()), gradients


for line in sys.stdin:
    request, answer = line.strip(), {}
    method, mode = request.removeprefix("gradient-").split("-")
    start = time.process_time()
    loss, gradients = step(method, mode)
    answer |= {"seconds": time.process_time() - start, "loss": loss}
    if request.startswith("gradient-"):
        exact = np.load(sys.argv[1] + ".gradient.npy")
        found = np.concatenate([g.ravel() for g in gradients])
        answer["error"] = float(np.linalg.norm(found - exact) / np.linalg.norm(exact))
    print(json.dumps(answer), flush=True)

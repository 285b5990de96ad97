"""Numbers by hand, and a small network in NumPy, that the theorems on equilibrium models are tested on."""

import math
from typing import Any

import numpy as np

from globalmin.theory import Verdict
from globalmin.theory.ling2023 import (
    SmallReadout,
    Start,
)

HOLDS, FAILS, UNDECIDED = Verdict.HOLDS, Verdict.FAILS, Verdict.UNDECIDED

# Numbers that every theorem likes: a tiny residual and read-out, a large λ₀. No network has them all.
GOOD: dict[str, Any] = {
    "n": 2,
    "width": 100,
    "lambda_0": 100.0,
    "rho_0": 1e-6,
    "norm_w": 0.5,
    "norm_u": 2.0,
    "norm_a": 1e-3,
    "norm_x": 3.0,
    "norm_z": 12.0,
    "norm_zx": 15.0,
    "one_sided": 0.4,
    "sigma_w2": 0.05,
}


def start(**changes):
    return Start(**(GOOD | changes))


def settle(certificate) -> Any:
    """With its free numbers filled in, so no longer optional."""
    return certificate.settled()


def row(certificate, part) -> Any:
    (found,) = [h for h in certificate.hypotheses() if part in h.name]
    return found


class Network:
    """Z = relu(WZ + UX), f = aᵀZ; inputs are the columns of x."""

    def __init__(self, w, u, a, x):
        self.w, self.u, self.a, self.x = w, u, a, x
        z = np.zeros((len(w), x.shape[1]))
        for _ in range(400):  # ‖W‖ ≤ 0.9 in these tests: 0.9^400 = 5e-19
            z = np.maximum(w @ z + u @ x, 0)
        self.z = z
        self.f = a @ z

    @classmethod
    def draw(cls, seed, n, d, m, sigma_w2, readout=1.0):
        draw = np.random.default_rng(seed)
        x = draw.normal(size=(d, n))
        x *= math.sqrt(d) / np.linalg.norm(x, axis=0)
        w = draw.normal(size=(m, m)) * math.sqrt(2 * sigma_w2 / m)
        return cls(w, draw.normal(size=(m, d)) * math.sqrt(2 / d), readout * draw.normal(size=m) / math.sqrt(m), x)

    def start(self, y, sigma_w2=0.02):
        zx = np.vstack([self.z, self.x])
        return Start(
            n=len(y),
            width=len(self.a),
            lambda_0=float(np.linalg.eigvalsh(self.z.T @ self.z)[0]),
            rho_0=float(np.linalg.norm(self.f - y)),
            norm_w=float(np.linalg.norm(self.w, 2)),
            norm_u=float(np.linalg.norm(self.u, 2)),
            norm_a=float(np.linalg.norm(self.a)),
            norm_x=float(np.linalg.norm(self.x)),
            norm_z=float(np.linalg.norm(self.z, 2)),
            norm_zx=float(np.linalg.norm(zx, 2)),
            one_sided=float(np.linalg.eigvalsh((self.w + self.w.T) / 2)[-1]),
            sigma_w2=sigma_w2,
        )

    def stepped(self, y, eta, tau=1.0):
        """Gradient descent with step η for a and τη for (W, U); the adjoint by dense solves."""
        r = self.f - y
        gate = self.w @ self.z + self.u @ self.x > 0
        rows = np.stack(
            [np.linalg.solve(np.eye(len(self.a)) - g[:, None] * self.w.T, g * self.a) for g in gate.T.astype(float)], 1
        )
        rw = rows * r
        moved = self.w - tau * eta * rw @ self.z.T, self.u - tau * eta * rw @ self.x.T, self.a - eta * self.z @ r
        return Network(*moved, self.x)

    def watch(self, first, y):
        changes = (self.w - first.w, self.u - first.u, self.a - first.a)
        sigma = np.linalg.svd(self.z, compute_uv=False)[-1]
        return {
            "loss": (self.f - y) @ (self.f - y) / 2,
            "operator_norm": np.linalg.norm(self.w, 2),
            "one_sided_norm": np.linalg.eigvalsh((self.w + self.w.T) / 2)[-1],
            "sigma_min_features": sigma,
            "lambda_min_features": sigma**2,
            "distance": math.sqrt(sum((c**2).sum() for c in changes)),
        }


def attack(certificate, first, y, eta, tau, steps, unit=1.0):
    """Run descent and hold every promise of a certificate that HOLDS against every iterate."""
    assert certificate.verdict is HOLDS
    promises = certificate.promises()
    assert {"loss", "distance"} <= {p.quantity for p in promises} or isinstance(certificate, SmallReadout)
    net = first
    for k in range(steps):
        seen = net.watch(first, y)
        for p in promises:
            assert p.kept(k * unit, seen[p.quantity], 1e-8), (k, p.name, seen[p.quantity], p.at(k * unit))
        net = net.stepped(y, eta, tau)
    return net

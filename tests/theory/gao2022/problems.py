"""Numbers by hand, and a small network in NumPy, that the theorems on implicit networks are tested on."""

import math
from typing import Any

import numpy as np

from globalmin.theory import Verdict
from globalmin.theory.gao2022 import (
    Start,
)

HOLDS, FAILS, UNDECIDED = Verdict.HOLDS, Verdict.FAILS, Verdict.UNDECIDED

QUANTITIES = {
    "loss",
    "lambda_min",
    "lambda_min_features",
    "operator_norm",
    "one_sided_norm",
    "hidden_norm",
    "readout_norm",
    "skip_norm",
    "distance",
    "distance_hidden",
    "distance_implicit",
}


# A width of 10¹² and a small residual: numbers that every theorem which can hold likes. c = 2.
GOOD: dict[str, Any] = {
    "n": 4,
    "width": 10**12,
    "gamma": 0.1,
    "lambda_0": 0.04,
    "features_0": 0.04,
    "rho_0": 2.0,
    "operator_norm": 0.2,
    "one_sided": 0.15,
    "norm_w": 1e6,
    "norm_u": 1e6,
    "norm_v": 1e6,
    "norm_x": 1.5,
}


ZERO = {"norm_u": 0.0, "norm_v": 0.0}


def start(**changes):
    return Start(**(GOOD | changes))


def row(certificate, part) -> Any:
    (found,) = [h for h in certificate.hypotheses() if part in h.name]
    return found


def promise(certificate, quantity) -> Any:
    return next(p for p in certificate.promises() if p.quantity == quantity)


def settle(certificate) -> Any:
    return certificate.settled()


class Network:
    """z = relu(gAz + φ), φ = relu(Wx)/√m, f = u·z + v·φ; inputs are the rows of x."""

    def __init__(self, a, w, u, v, x, gamma):
        self.a, self.w, self.u, self.v, self.x, self.gamma = a, w, u, v, x, gamma
        m = len(u)
        self.g = gamma / math.sqrt(m)
        self.phi = np.maximum(x @ w.T, 0) / math.sqrt(m)
        z = np.zeros_like(self.phi)
        for _ in range(200):  # g‖A‖ ≤ 0.5 in these tests: 0.5^60 is below rounding
            new = np.maximum(self.g * z @ a.T + self.phi, 0)
            if abs(new - z).max() < 1e-16:
                break
            z = new
        self.z, self.f = z, z @ u + self.phi @ v
        gates = (self.g * z @ a.T + self.phi > 0).astype(float)
        self.r = np.stack([np.linalg.solve(np.eye(m) - self.g * k[:, None] * a.T, k * u) for k in gates])
        self.open = x @ w.T > 0

    @classmethod
    def draw(cls, seed, n, d, m, gamma=0.1, readout=1.0):
        draw = np.random.default_rng(seed)
        x = draw.normal(size=(n, d))
        x /= np.linalg.norm(x, axis=1, keepdims=True)
        u, v = readout * draw.choice([-1.0, 1.0], (2, m))
        return cls(draw.normal(size=(m, m)), draw.normal(size=(m, d)), u, v, x, gamma)

    def start(self, y, lambda_0=None, **changes):
        rho = np.clip(self.x @ self.x.T, -1, 1)
        limit = (np.sqrt(1 - rho**2) + (np.pi - np.arccos(rho)) * rho) / (2 * np.pi)
        numbers = {
            "n": len(y),
            "width": len(self.u),
            "gamma": self.gamma,
            "lambda_0": float(np.linalg.eigvalsh(limit)[0]) if lambda_0 is None else lambda_0,
            "features_0": float(np.linalg.eigvalsh(self.phi @ self.phi.T)[0]),
            "rho_0": float(np.linalg.norm(self.f - y)),
            "operator_norm": self.g * float(np.linalg.norm(self.a, 2)),
            "one_sided": self.g * float(np.linalg.eigvalsh((self.a + self.a.T) / 2)[-1]),
            "norm_w": float(np.linalg.norm(self.w, 2)),
            "norm_u": float(np.linalg.norm(self.u)),
            "norm_v": float(np.linalg.norm(self.v)),
            "norm_x": float(np.linalg.norm(self.x, 2)),
        }
        return Start(**(numbers | changes))

    def stepped(self, y, alpha, tau=1.0):
        r = self.f - y
        root = math.sqrt(len(self.u))
        grad_a = self.g * (self.r * r[:, None]).T @ self.z
        grad_w = (self.open * (self.r + self.v) * r[:, None]).T @ self.x / root
        return Network(
            self.a - tau * alpha * grad_a,
            self.w - tau * alpha * grad_w,
            self.u - alpha * self.z.T @ r,
            self.v - alpha * self.phi.T @ r,
            self.x,
            self.gamma,
        )

    def watch(self, first, y):
        moved = [getattr(self, k) - getattr(first, k) for k in ("a", "w", "u", "v")]
        features = self.phi @ self.phi.T
        skip = self.open * (self.r + self.v) / math.sqrt(len(self.u))
        full = features + self.z @ self.z.T + self.g**2 * (self.r @ self.r.T) * (self.z @ self.z.T)
        full += (skip @ skip.T) * (self.x @ self.x.T)
        return {
            "loss": (self.f - y) @ (self.f - y) / 2,
            "lambda_min": np.linalg.eigvalsh(full)[0],
            "lambda_min_features": np.linalg.eigvalsh(features)[0],
            "operator_norm": self.g * np.linalg.norm(self.a, 2),
            "one_sided_norm": self.g * np.linalg.eigvalsh((self.a + self.a.T) / 2)[-1],
            "hidden_norm": np.linalg.norm(self.w, 2),
            "readout_norm": np.linalg.norm(self.u),
            "skip_norm": np.linalg.norm(self.v),
            "distance": math.sqrt(sum((c**2).sum() for c in moved)),
            "distance_hidden": np.linalg.norm(moved[1]),
            "distance_implicit": np.linalg.norm(moved[0]),
        }


def attack(certificate, first, y, alpha, tau, steps, unit=1.0):
    """Run descent and hold every promise of a certificate that HOLDS against every iterate."""
    assert certificate.verdict is HOLDS, [(h.name, h.lhs, h.rhs) for h in certificate.hypotheses()]
    promises = certificate.promises()
    assert {"loss", "lambda_min_features", "operator_norm", "distance_hidden"} <= {p.quantity for p in promises}
    net = first
    for k in range(steps):
        seen = net.watch(first, y)
        for p in promises:
            assert p.kept(k * unit, seen[p.quantity], 1e-8), (k, p.name, seen[p.quantity], p.at(k * unit))
        net = net.stepped(y, alpha, tau)
    return net


GRAM: dict[str, Any] = {"n": 10, "width": 10**9, "lambda_0": 0.1, "delta": 0.01}

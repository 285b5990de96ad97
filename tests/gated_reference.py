"""Gated networks by NumPy, one sample and one m × m matrix at a time, as the formulas stand: no code of the library."""

import jax.numpy as jnp
import numpy as np

from globalmin.models import ChainGates, Gated, InputGates


def build(seed, n, d, dy, m, depth, inputs=False):
    """Data and weights of the check values; the order of the draws matters. Rows are samples here."""
    g = np.random.default_rng(seed)
    x = g.standard_normal((n, d))
    x /= np.linalg.norm(x, axis=1, keepdims=True)
    y = g.standard_normal((n, dy))
    c = g.standard_normal((m, d)) * np.sqrt(2 / d)
    psi = [g.standard_normal((m, d if inputs else m)) * (1 if inputs else np.sqrt(2 / m)) for _ in range(depth)]
    w = [g.standard_normal((m, m)) * np.sqrt(2 / m) for _ in range(depth)]
    b = g.standard_normal((dy, m)) * np.sqrt(2 / dy)
    return x, y, c, np.array(psi), np.array(w), b


def model_of(parts, final=True):
    """The library's network with these weights."""
    _, _, c, psi, w, b = parts
    kind = ChainGates if psi.shape[2] == len(c) else InputGates
    return Gated(jnp.asarray(c), jnp.asarray(w), jnp.asarray(b), gates=kind(jnp.asarray(psi)), final=final)


def numbers_of(model):
    """The weights of a library's network with chain or input gates, as `Network` takes them."""
    return tuple(np.asarray(a) for a in (model.first, model.gates.matrices, model.layers, model.readout))


class Network:
    """d[k][i]: the diagonal of D_k; g[k][i] = D_k W_k G_{k−1}; f[k][i] = F_k for k = 2 … L + 1 (and 1)."""

    def __init__(self, x, c, psi, w, b):
        self.x, self.w, self.b, self.c = x, w, b, c
        n, self.depth, self.m = len(x), len(w), len(c)
        self.d = [[(c @ xi > 0) * 1.0 for xi in x]]
        z = [np.maximum(c @ xi, 0) for xi in x]
        for k in range(self.depth):
            before = [psi[k] @ (z[i] if psi.shape[2] == self.m else x[i]) for i in range(n)]
            self.d.append([(v > 0) * 1.0 for v in before])
            z = [np.maximum(v, 0) for v in before]
        self._maps()

    def _maps(self):
        n = len(self.x)
        self.g = [[self.d[0][i][:, None] * self.c for i in range(n)]]
        for k in range(1, self.depth + 1):
            self.g.append([self.d[k][i][:, None] * (self.w[k - 1] @ self.g[-1][i]) for i in range(n)])
        self.f = {self.depth + 1: [self.b * self.d[self.depth][i] for i in range(n)]}
        for k in range(self.depth, 0, -1):
            self.f[k] = [self.f[k + 1][i] @ self.w[k - 1] * self.d[k - 1][i] for i in range(n)]
        self.h = [np.array([gk[i] @ self.x[i] for i in range(n)]) for gk in self.g]

    def at(self, w):
        """The same patterns with other weights."""
        other = object.__new__(Network)
        other.__dict__.update(self.__dict__)
        other.w = w
        other._maps()
        return other

    def z(self, i, k, low):
        """Z_{k,low} = D_k W_k … W_{low+1} D_low."""
        found = np.diag(self.d[low][i])
        for j in range(low + 1, k + 1):
            found = self.d[j][i][:, None] * (self.w[j - 1] @ found)
        return found

    @property
    def outputs(self):
        return self.h[-1] @ self.b.T

    @property
    def jacobian(self):
        """n d_y rows, the outputs of a sample next to each other; columns layer by layer."""
        rows = [
            np.concatenate([np.outer(self.f[k + 1][i][p], self.h[k - 1][i]).ravel() for k in range(1, self.depth + 1)])
            for i in range(len(self.x))
            for p in range(len(self.b))
        ]
        return np.array(rows)

    def descended(self, y, eta):
        """One step of gradient descent by the Jacobian."""
        step = self.jacobian.T @ (self.outputs - y).ravel()
        return self.at(self.w - eta * step.reshape(self.w.shape))

"""The gated network and its ReLU counterpart, checked: every number recomputed from the weights, sample by sample, in balls."""

import itertools
import math
from typing import Any

import numpy as np

from .balls import Balls
from .claims import Claims, RefutedError
from .constants import Constants
from .layers import symmetric_norm

FIXED = ("first", "readout", "gates.matrices", "gates.left", "gates.right")


def check_gated(
    claims: Claims,
    options: dict,
    weights: dict[str, np.ndarray],
    x: np.ndarray,
    y: np.ndarray,
    *,
    residual_only: bool = False,
) -> Constants:
    """Confirm the claims about f = B D_L W_L … D_1 W_1 max(Cx, 0), and return its constants on balls; or confirm ρ alone."""
    balls = claims.balls
    kind, final = options["gates"], options["final"]
    if kind not in ("chain", "inputs", "low-rank", "relu") or final not in (True, False):
        raise ValueError(f"certificate: gates of a known kind expected, {kind!r} and final {final!r} came")
    network = _Network(balls, kind, final, weights, x)
    b = balls.exact(weights["readout"].T)
    claims.residual(balls.product(network.states[-1], b), balls.exact(y))
    fixed = tuple(name for name in FIXED if name in weights)
    if residual_only:
        return Constants({}, None, fixed=fixed)
    depth = len(network.layers)
    adjoint = _masked(balls, balls.of(len(x), b.nrows(), b.entries() * len(x)), network.open[-1])
    adjoints = [adjoint]
    for k in reversed(range(1, depth)):
        adjoint = _masked(balls, balls.product(adjoint, network.layers[k]), network.open[k - 1])
        adjoints.insert(0, adjoint)
    rights = [balls.product(h, h.transpose()) for h in network.states[:-1]]
    lefts = [balls.product(g, g.transpose()) for g in adjoints]
    gram = None
    for k, (right, left) in enumerate(zip(rights, lefts, strict=True)):
        share = balls.hadamard(right, left)
        gram = share if gram is None else gram + share
        for top in range(k + 1, depth):
            claims.greatest_root(f"cross@{k + 1},{top + 1}", balls.hadamard(right, lefts[top]))
        if network.relu or 0 < k < depth - 1:
            claims.operator_norm(f"layer_norm@{k + 1}", network.layers[k])
    claims.least_eigenvalue("lambda_min_all", gram)
    claims.greatest_eigenvalue("lambda_max", gram)
    m2, betas = _polynomial(claims, depth)

    def chord(radius: Any) -> Any:
        network.must_be_frozen(claims, radius)
        return sum((q * beta * radius ** (q - 2) for q, beta in betas.items()), m2)

    def whole(radius: Any) -> Any:
        return sum((q * (q - 1) * beta * radius ** (q - 2) for q, beta in betas.items()), m2)

    return Constants({"all": chord}, whole, fixed=fixed)


class _Network:
    """The forward pass: layers, states h_0 … h_L, patterns as lists of lists of booleans."""

    def __init__(self, balls: Balls, kind: str, final: bool, weights: dict[str, np.ndarray], x: np.ndarray):
        self.balls = balls
        self.layers = [balls.exact(w) for w in weights["layers"]]
        self.gated = len(self.layers) if final else len(self.layers) - 1
        self.relu = kind == "relu"
        self.frozen: Any = None  # the radius up to which the patterns were shown not to change
        rows = balls.exact(x)
        start = balls.map(self._positive, balls.product(rows, balls.exact(weights["first"]).transpose()))
        self.open: list[list[list[bool]]] = []
        if not self.relu:
            self._read_gates(kind, weights, rows, start)
        self.states, self.before = [start], []
        for k, w in enumerate(self.layers):
            h = balls.product(self.states[-1], w.transpose())
            self.before.append(h)
            if self.relu:
                self.open.append(self._decided(h, k))
            self.states.append(_masked(balls, h, self.open[k]))

    def _read_gates(self, kind: str, weights: dict[str, np.ndarray], rows: Any, start: Any) -> None:
        balls, z = self.balls, rows if kind == "inputs" else start
        for k in range(len(self.layers)):
            if kind == "low-rank":
                thin = balls.product(z, balls.exact(weights["gates.right"][k]).transpose())
                h = balls.product(thin, balls.exact(weights["gates.left"][k]).transpose())
            else:
                h = balls.product(z, balls.exact(weights["gates.matrices"][k]).transpose())
            self.open.append(self._decided(h, k))
            if kind != "inputs":
                z = _masked(balls, h, self.open[-1])

    def _positive(self, v: Any) -> Any:
        return v.max(self.balls.arb(0))

    def _decided(self, h: Any, k: int) -> list[list[bool]]:
        if k >= self.gated:
            return [[True] * h.ncols() for _ in range(h.nrows())]
        rows = h.tolist()
        if not all(v > 0 or v <= 0 for row in rows for v in row):
            raise RefutedError(f"refuted: in layer {k + 1} a gate is neither proven open nor proven closed")
        return [[bool(v > 0) for v in row] for row in rows]

    def must_be_frozen(self, claims: Claims, radius: Any) -> None:
        """For ReLU: refute unless within that radius no pre-activation can reach 0."""
        if self.frozen is not None and radius <= self.frozen:
            return
        drift = [radius * 0] * self.states[0].nrows()
        for k in range(self.gated if self.relu else 0):
            sizes, lengths = self.balls.row_norms(self.states[k]), self.balls.row_norms(self.layers[k])
            for row, size, moved in zip(self.before[k].tolist(), sizes, drift, strict=True):
                least = radius * size
                if not all(abs(v) > least + (w + radius) * moved for v, w in zip(row, lengths, strict=True)):
                    raise RefutedError("refuted: on the claimed ball a pattern of the ReLU network may change")
            norm = claims.upper(f"layer_norm@{k + 1}") + radius
            drift = [radius * size + norm * moved for size, moved in zip(sizes, drift, strict=True)]
        self.frozen = radius


def _polynomial(claims: Claims, depth: int) -> tuple[Any, dict[int, Any]]:
    """M_2, and β_q by q, from the claimed numbers: every set of layers in turn is too many, so sets by their ends and size."""
    arb = claims.arb
    best: dict[int, Any] = {}
    pairs = [[arb(0)] * depth for _ in range(depth)]
    for low, top in itertools.combinations(range(1, depth + 1), 2):
        norms = [claims.upper(f"layer_norm@{k}") for k in range(low + 1, top)]
        # products[j]: the largest product of j of the norms, by dynamic programming over the layers between.
        products = [arb(1)] + [arb(0)] * len(norms)
        for norm in norms:
            for j in range(len(norms), 0, -1):
                products[j] = products[j].max(products[j - 1] * norm)
        for j, product in enumerate(products):
            q = len(norms) - j + 2
            value = product * claims.upper(f"cross@{low},{top}")
            best[q] = value.max(best[q]) if q in best else value
            if q == 2:
                pairs[low - 1][top - 1] = pairs[top - 1][low - 1] = value
    m2 = symmetric_norm(claims.balls, pairs)
    return m2, {q: best[q] * math.comb(depth, q) / arb(depth) ** (arb(q) / 2) for q in range(3, depth + 1)}


def _masked(balls: Balls, a: Any, mask: list[list[bool]]) -> Any:
    zero = balls.arb(0)
    entries = [
        v if on else zero
        for row, opened in zip(a.tolist(), mask, strict=True)
        for v, on in zip(row, opened, strict=True)
    ]
    return balls.of(a.nrows(), a.ncols(), entries)

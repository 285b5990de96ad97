r"""How fast the Jacobian of a multilinear network changes: ψ, Ψ and Λ of gated networks, at any weights and on any ball.

f(W + d) is the finite sum over S = {s_1 < … < s_q} ⊆ {1 … L} of F_{s_q+1} d_{s_q} Z … Z d_{s_1} h_{s_1−1}, with
Z_{k,l} = D_k W_k … W_{l+1} D_l between the places, all at W. For S with q ≥ 2 let w_S^i = Π_j ‖Z^i_{s_{j+1}−1, s_j}‖
(1 for neighbouring layers) and

    Θ_S[(i, ·), (j, ·)] = w_S^i w_S^j ⟨h^i_{s_1−1}, h^j_{s_1−1}⟩ F^i_{s_q+1} F^{jᵀ}_{s_q+1},     b_S = √λ_max(Θ_S).

The term of S has norm over the samples at most b_S Π_{s ∈ S} ‖d_s‖_F (docs/theory/gated.md). With M_2 the norm of the
L × L matrix of the b_{{k,l}} with zero diagonal, and β_q = C(L, q) L^{−q/2} max_{|S|=q} b_S for q ≥ 3,

    ‖J(W + d) − J(W)‖ ≤ ψ(‖d‖_F),   ψ(p) = M_2 p + Σ_q q β_q p^{q−1},        Ψ its integral,
    ‖D²f(W + d)‖ ≤ M(‖d‖_F),        M(p) = M_2 + Σ_q q (q − 1) β_q p^{q−2}.

A ReLU network is this one as long as no pattern changes. On the ball of radius R the pre-activation of neuron j in layer
k moves by at most R‖a_{k−1}‖ + (‖W_{k,j}‖ + R) δ_{k−1}, where ‖a_k‖ moves by δ_k ≤ R‖a_{k−1}‖ + (‖W_k‖ + R) δ_{k−1} and
δ_0 = 0; while that is less than its distance to 0, for all of them, nothing changes: `frozen_radius`.
"""

import dataclasses
import math

import numpy as np
from jaxtyping import Bool, Float

from ..._core import Estimate, linalg, numerics
from ..kantorovich import Block

EXACT_OPERATIONS = 1e11
"""Up to this many operations (a few seconds) the norms of the Z are computed sample by sample; beyond, bounded by Π‖W_k‖."""


@dataclasses.dataclass(frozen=True)
class GatedCurvature:
    """The numbers of the bounds, each from above. `reach` is the radius up to which they are proven: ∞ for fixed gates."""

    m2: float  # M_2
    beta: tuple[float, ...]  # β_3, β_4, … β_L
    reach: float = math.inf

    def block(self, name: str, sigma: Estimate) -> Block:
        """The block of the certificate, σ_min(J) = `sigma` here. Where nothing bends (L = 1) ψ is the line of slope 0."""
        if self.m2 == 0:
            return Block(name, sigma, self.lipschitz)
        return Block(name, sigma, drift=self.drift, drift_integral=self.drift_integral)

    def drift(self, p: float) -> float:
        """ψ(p)."""
        return self._on_the_ball(p, self._sum(p, lambda q: q, 1))

    def drift_integral(self, p: float) -> float:
        """Ψ(p)."""
        return self._on_the_ball(p, self._sum(p, lambda q: 1, 0))

    def lipschitz(self, radius: float) -> float:
        """Λ on the ball: M(R)."""
        return self._on_the_ball(radius, self._sum(radius, lambda q: q * (q - 1), 2))

    def _sum(self, p: float, factor, lowered: int) -> float:
        # The term of degree 2 is M_2 p²/2.
        coefficients = enumerate((self.m2 / 2, *self.beta), start=2)
        try:
            return math.fsum(factor(q) * b * p ** (q - lowered) for q, b in coefficients if b > 0)
        except OverflowError:
            return math.inf

    def _on_the_ball(self, p: float, value: float) -> float:
        return value if p < self.reach else math.inf


def measure(
    features: Float[np.ndarray, "depth n m"],
    adjoints: Float[np.ndarray, "depth n out m"],
    paths: dict[tuple[int, int], Float[np.ndarray, " n"]],
    *,
    relative_error: float = 0.0,
    reach: float = math.inf,
) -> GatedCurvature:
    """The bounds at an iterate.

    **Arguments:** `features`, h_0 … h_{L−1}; `adjoints`, F_2 … F_{L+1}; `paths`, ‖Z_{k,l}‖ from above for
    L − 1 ≥ k > l ≥ 1, keyed by (k, l) (`path_norms`); `relative_error` of the features and adjoints.
    """
    depth = len(features)
    ends: dict[tuple[int, int], dict[int, float]] = {}
    for low in range(1, depth):
        weights = _path_weights(low, depth, paths, features.shape[1])
        for top in range(low + 1, depth + 1):
            kernel = _hadamard(features[low - 1], adjoints[top - 1])
            length = 2 * features.shape[2] + 4
            entry_error = (length * numerics.EPS + 4 * relative_error) * float(kernel.diagonal().max())
            found = {}
            for q, w in weights[top].items():
                w = np.repeat(w, adjoints.shape[2])
                top_value = linalg.lambda_max(w[:, None] * kernel * w, entry_error=entry_error * float(w.max()) ** 2)
                found[q] = top_value.sqrt().upper
            ends[low, top] = found
    pairs = np.zeros((depth, depth))
    for (low, top), found in ends.items():
        pairs[low - 1, top - 1] = pairs[top - 1, low - 1] = found[2]
    m2 = float(np.linalg.norm(pairs, 2)) * (1 + 1e-12)  # the rounding of an SVD of L × L numbers
    beta = tuple(
        math.comb(depth, q) * depth ** (-q / 2) * max(found[q] for found in ends.values() if q in found)
        for q in range(3, depth + 1)
    )
    return GatedCurvature(m2, beta, reach)


def path_norms(
    layers: Float[np.ndarray, "depth m m"], masks: Bool[np.ndarray, "depth n m"]
) -> dict[tuple[int, int], Float[np.ndarray, " n"]]:
    """‖Z_{k,l}^i‖ from above for L − 1 ≥ k > l ≥ 1, from the patterns D_1 … D_L.

    Exact up to rounding, from the rows and columns that are open, where that takes at most `EXACT_OPERATIONS`; otherwise
    Π ‖W_j‖, which is about √2 times larger per factor.
    """
    depth, n, m = masks.shape
    wanted = [(k, low) for low in range(1, depth) for k in range(low + 1, depth)]
    # Per sample and pair: one product for the longer path, a Gram matrix and its largest eigenvalue, of about m/2 rows.
    if len(wanted) * n * 5 * (m / 2) ** 3 > EXACT_OPERATIONS:
        norms = {j: linalg.spectral_norm(layers[j - 1]).upper for j in range(2, depth)}
        return {(k, low): np.full(n, math.prod(norms[j] for j in range(low + 1, k + 1))) for k, low in wanted}
    found = {pair: np.zeros(n) for pair in wanted}
    for i in range(n):
        opened = [np.flatnonzero(row) for row in masks[:, i]]
        for low in range(1, depth):
            path = None
            for k in range(low + 1, depth):
                factor = layers[k - 1][np.ix_(opened[k - 1], opened[k - 2])]
                path = factor if path is None else factor @ path
                found[k, low][i] = linalg.spectral_norm(path).upper if path.size else 0.0
    return found


def frozen_radius(
    layers: Float[np.ndarray, "depth m m"],
    features: Float[np.ndarray, "depth n m"],
    *,
    final: bool = True,
) -> float:
    """The largest R (a thousandth less, at most) such that within ‖d‖_F ≤ R no pattern of the ReLU network changes.

    **Arguments:** `features`, a_0 … a_{L−1}; `final`, whether the last layer has its ReLU.
    """
    gated = layers if final else layers[:-1]
    norms = np.linalg.norm(features, axis=2)
    rows = np.linalg.norm(gated, axis=2)
    tops = [linalg.spectral_norm(w).upper for w in gated[:-1]]  # the last one carries nothing further
    distances = [np.abs(h @ w.T) for h, w in zip(features, gated, strict=False)]
    # A pre-activation is itself off by at most m eps ‖row‖‖a‖.
    slack = [
        d - features.shape[2] * numerics.EPS * a[:, None] * r for d, a, r in zip(distances, norms, rows, strict=False)
    ]

    def frozen(radius: float) -> bool:
        moved = np.zeros(features.shape[1])
        for k, room in enumerate(slack):
            change = radius * norms[k][:, None] + (rows[k] + radius) * moved[:, None]
            if not (change < room).all():
                return False
            if k < len(tops):
                moved = radius * norms[k] + (tops[k] + radius) * moved
        return True

    if not gated.size:
        return math.inf
    high = min(float((room / np.maximum(a, 1e-300)[:, None]).min()) for room, a in zip(slack, norms, strict=False))
    if not high > 0:
        return 0.0
    if frozen(high):
        return high
    low = high
    while low > 1e-300 and not frozen(low):
        high, low = low, low / 2
    while high - low > 1e-3 * high:
        middle = (low + high) / 2
        low, high = (middle, high) if frozen(middle) else (low, middle)
    return low if frozen(low) else 0.0


def _path_weights(low, depth, paths, n) -> dict[int, dict[int, np.ndarray]]:
    """For each end `top` and size q, the largest w_S^i over the S from `low` to `top` with q places, sample by sample.

    λ_max(diag(w) K diag(w)) grows with every entry of w ≥ 0 for positive semidefinite K, so that this covers all S.
    """
    found: dict[int, dict[int, np.ndarray]] = {low: {1: np.ones(n)}}
    for top in range(low + 1, depth + 1):
        here: dict[int, np.ndarray] = {}
        for before in range(low, top):
            step = np.ones(n) if top == before + 1 else paths[top - 1, before]
            for q, w in found[before].items():
                here[q + 1] = np.maximum(here.get(q + 1, 0.0), w * step)
        found[top] = here
    return found


def _hadamard(features: np.ndarray, adjoints: np.ndarray) -> np.ndarray:
    """⟨h^i, h^j⟩ F^i F^{jᵀ}, the outputs of a sample next to each other."""
    outputs = adjoints.shape[1]
    rows = adjoints.reshape(-1, adjoints.shape[2])
    gram = features @ features.T
    return np.repeat(np.repeat(gram, outputs, 0), outputs, 1) * (rows @ rows.T)

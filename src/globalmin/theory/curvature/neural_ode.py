r"""Λ of the residual network with tied weights h_{k+1} = h_k + Δt ŵ W φ(h_k), h_0 = û U x, f = v̂ v·φ(h_L), on a ball.

It is the Neural ODE by Euler's method, the network that is trained; ŵ = σ_w/√m, û = σ_u/√d, v̂ = σ_v/√m. With
D_k = diag φ′(h_k), λ_k = ∂f/∂h_k and b_k = ŵ Wᵀλ_{k+1} the second derivative is

    D²f_i = v̂(dv·D_L dh_L′ + dv′·D_L dh_L) + v̂ Σ_j v_j φ″(h_L)_j dh_L dh_L′
            + Δt Σ_k [ ŵ λ_{k+1}·(dW D_k dh_k′ + dW′ D_k dh_k) + Σ_j b_kj φ″(h_k)_j dh_k dh_k′ ].

Bounds on the ball of radius R, marked by primes. dh grows by e_k ≥ ‖I + Δt ŵ W D_k‖ per layer; p_k ν bounds ‖dH_k‖_F over the
samples and π_k ν the largest ‖dh_k,i‖ where ν = ‖(dU, dW)‖, so that d_k = Rπ_k bounds how far h_k can be from where it was
measured; it depends on earlier layers only, and so does what follows on later ones: no fixed point is needed. q_k bounds
the change of λ_k per unit. With Σ|c_i|‖dh_i‖‖dh_i′‖ ≤ π p νν′ for |c| = 1,

    Λ = ‖((a, b), (b, 0))‖,   a = v̂ v″ π_L p_L + Δt Σ_k (2 ŵ sup|φ′| λ′_{k+1} + b″_k π_k) p_k,   b = v̂ sup|φ′| p_L,

v″ and b″_k bounds of |v ∘ φ″(h_L)| and |b_k ∘ φ″(h_k)|, entrywise. b alone is the Lipschitz constant of the read-out's block
∂f/∂v, and asks for no second derivative.
"""

import dataclasses
import math
from typing import NamedTuple

import numpy as np

from .two_layer import block_norm


class _States(NamedTuple):
    """Per layer 0, ..., L: growth e′ (of the L steps), p, π, and the distance d from where h_k was measured."""

    growth: list[float]
    p: list[float]
    pi: list[float]
    d: list[float]


@dataclasses.dataclass(frozen=True)
class NeuralODECurvature:
    """The numbers of the bound, measured at the iterate, each from above; sequences run over the layers k = 0, 1, ...

    `growth`, if given, is max_i ‖I + Δt ŵ W D_k,i‖; otherwise 1 + Δt ŵ sup|φ′|‖W‖ serves. `bend` and `third` may be
    infinite (kinks): the read-out's block remains.
    """

    slope: float  # sup|φ′|
    bend: float  # sup|φ″|
    third: float  # sup|φ‴|
    step: float  # Δt
    u_scale: float  # û
    w_scale: float  # ŵ
    v_scale: float  # v̂
    w_norm: float  # ‖W‖
    v_max: float  # max_j |v_j|
    data_norm: float  # ‖X‖
    data_max: float  # max_i ‖x_i‖
    features_norm: tuple[float, ...]  # ‖Φ_k‖, k < L
    last_norm: float  # ‖Φ_L‖
    feature_max: tuple[float, ...]  # max_i ‖φ(h_k,i)‖, k < L
    adjoint_max: tuple[float, ...]  # max_i ‖λ_k,i‖, k ≤ L
    readout_bend: float  # max |v ∘ φ″(h_L,i)|, entrywise
    b_max: tuple[float, ...]  # max |b_k,i|, entrywise, k < L
    b_bend: tuple[float, ...]  # max |b_k,i ∘ φ″(h_k,i)|, entrywise, k < L
    growth: tuple[float, ...] | None = None

    def features_lipschitz(self, radius: float) -> float:
        """Λ_*(R) of the read-out's block: v̂ sup|φ′| p_L."""
        return self.v_scale * self.slope * self._states(radius).p[-1]

    def lipschitz(self, radius: float) -> float:
        """Λ(R) of the whole Jacobian; infinite without bounded φ″ and φ‴."""
        if math.isinf(self.bend) or math.isinf(self.third):
            return math.inf
        with np.errstate(over="ignore", invalid="ignore"):
            found = self._whole(radius)[0]
        return math.inf if math.isnan(found) else found

    def norm(self, radius: float) -> float:
        """‖J‖ on the ball by its blocks: v̂‖Φ_L‖′, û max‖λ_0‖′‖X‖ and Δt ŵ Σ_k max‖λ_{k+1}‖′‖Φ_k‖′."""
        with np.errstate(over="ignore", invalid="ignore"):
            found = self._whole(radius)[1]
        return math.inf if math.isnan(found) else found

    def _states(self, radius: float) -> _States:
        w, dt = self.w_scale, self.step
        start = self.u_scale * self.data_norm, self.u_scale * self.data_max
        shared = [0.0, 0.0]  # what dW adds to ‖dH‖_F and to the largest ‖dh_i‖
        own = list(start)  # what dU does
        growths, ps, pis, ds = [], [start[0]], [start[1]], [radius * start[1]]
        for k, (norm, largest) in enumerate(zip(self.features_norm, self.feature_max, strict=True)):
            d = ds[-1]
            cheap = 1 + dt * w * self.slope * (self.w_norm + radius)
            growth = cheap
            if self.growth is not None and math.isfinite(self.bend):
                turned = self.slope * radius + self.bend * d * (self.w_norm + radius)
                growth = min(cheap, self.growth[k] + dt * w * turned)
            norms = norm + self.slope * radius * ps[-1], largest + self.slope * d
            shared = [growth * s + dt * w * f for s, f in zip(shared, norms, strict=True)]
            own = [growth * o for o in own]
            growths.append(growth)
            ps.append(math.hypot(shared[0], own[0]))
            pis.append(math.hypot(shared[1], own[1]))
            ds.append(radius * pis[-1])
        return _States(growths, ps, pis, ds)

    def _whole(self, radius: float) -> tuple[float, float]:
        """Λ and the bound of ‖J‖ on the ball; in the latter λ′ grows from layer to layer as any adjoint, if that is less."""
        growth, p, pi, d = self._states(radius)
        w, dt, slope, bend = self.w_scale, self.step, self.slope, self.bend
        v_bend = min(self.readout_bend + bend * radius + self.third * d[-1] * self.v_max, bend * (self.v_max + radius))
        q = self.v_scale * math.hypot(slope, v_bend * pi[-1])
        corner = self.v_scale * v_bend * pi[-1] * p[-1]
        most, hidden = self.adjoint_max[-1] + radius * q, 0.0
        for k in reversed(range(len(growth))):
            moved = radius * q  # how far λ_{k+1} can be from where it was measured
            adjoint = self.adjoint_max[k + 1] + moved
            b_moved = w * ((self.w_norm + radius) * moved + radius * self.adjoint_max[k + 1])
            b_bend = min(
                self.b_bend[k] + bend * b_moved + self.third * d[k] * self.b_max[k],
                bend * (self.b_max[k] + b_moved),
            )
            corner += dt * (2 * w * slope * adjoint + b_bend * pi[k]) * p[k]
            q = growth[k] * q + dt * (w * slope * adjoint + b_bend * pi[k])
            hidden += dt * w * most * (self.features_norm[k] + slope * radius * p[k])
            most = min(self.adjoint_max[k] + radius * q, growth[k] * most)
        readout = self.v_scale * (self.last_norm + slope * radius * p[-1])
        norm = math.hypot(readout, hidden, self.u_scale * self.data_norm * most)
        return block_norm(corner, self.v_scale * slope * p[-1]), norm


@dataclasses.dataclass(frozen=True)
class HalfSlopes:
    r"""Λ_* of the read-out's block for 0 ≤ φ′ ≤ 1, by finite differences from the centre; asks for no smoothness.

    δh_{k+1} = δh_k + Δt ŵ(W δφ_k + ΔW φ_k,0 + ΔW δφ_k) and δφ_k = ½δh_k + ζ_k, |ζ_k| ≤ ½|δh_k|. The ½'s make C_{k+1} = A C_k +
    Δt ŵ ΔW φ_k,0 with A = I + ½Δt ŵ W for every sample, the rest V = δH − C is driven by ζ and ΔW δφ:

        ‖V_k‖ ≤ Δt Σ_{l<k} (½γ_{k−1−l} + ŵRα^{k−1−l})(‖C_l‖ + ‖V_l‖),   α ≥ ‖A‖, γ_j ≥ ‖A^jŵW‖  (Frobenius over the samples),

    and δΦ_L = ½C_L + ½V_L + ζ_L. With K = v̂²Φ_LΦ_Lᵀ, ‖K^{-1/2}v̂δΦ_L‖ ≤ ½‖K^{-1/2}v̂C_L‖ + (v̂/σ₀)(‖V_L‖ + ½‖C_L‖), of which the
    first part asks only for ‖K^{-1/2}v̂X‖ and ‖K^{-1/2}v̂Φ_l‖. What dU and what dW do are kept apart up to the end.
    """

    step: float  # Δt
    w_scale: float  # ŵ
    v_scale: float  # v̂
    sigma: float  # σ₀ of the block
    common: float  # α
    driven: tuple[float, ...]  # γ_j, j < L
    data_norm: float  # û‖X‖
    features_norm: tuple[float, ...]  # ŵ‖Φ_l‖, l < L
    data_relative: float  # ‖K^{-1/2} v̂ûX‖
    features_relative: tuple[float, ...]  # ‖K^{-1/2} v̂ŵΦ_l‖, l < L

    def lipschitz(self, radius: float) -> float:
        """Λ_*(R), such that σ_min(J_*) ≥ σ₀ − Λ_*(R)R on the ball."""
        layers = len(self.driven)
        powers = self.common ** np.arange(layers + 1)
        back = powers[-2::-1]  # α^{L−1−l}
        kept = np.zeros((layers + 1, 2))  # ‖C_k‖, by dU and by dW
        kept[:, 0] = powers * self.data_norm
        for k in range(1, layers + 1):
            kept[k, 1] = self.step * back[layers - k :] @ np.array(self.features_norm[:k])
        shared = self.step * back @ np.array(self.features_relative)
        rest = np.zeros((layers + 1, 2))
        with np.errstate(over="ignore", invalid="ignore"):
            weights = self.step * (np.array(self.driven) / 2 + self.w_scale * radius * powers[:-1])
            for k in range(1, layers + 1):
                rest[k] = weights[k - 1 :: -1] @ (kept[:k] + rest[:k])
            relative = np.array([powers[-1] * self.data_relative, shared])
            total = self.sigma * relative / 2 + self.v_scale * (rest[-1] + kept[-1] / 2)
            found = float(np.hypot(*total))
        return math.inf if math.isnan(found) else found

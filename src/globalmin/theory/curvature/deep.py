r"""Λ of the deep networks x^(h) = s x^(h−1) + κ_h σ(W^(h) φ(x^(h−1))), f = ⟨a, x^(H)⟩, on a ball, with the 1/√m gain.

s is 0 or 1 (0 at h = 1), φ the identity or the patches of an image, ‖φ‖ ≤ √q. Along a direction, with z_h = φ(x^(h−1)),
ḣ_h = Ẇ^(h) z_h + W^(h) φ(ẋ_{h−1}) and ẋ_h = s ẋ_{h−1} + κ_h D_h ḣ_h; and g_h = ∂f/∂x^(h), δ_h = κ_h D_h g_h. The second
derivative is

    D²f = ȧ·ẋ′_H + ȧ′·ẋ_H + Σ_h ⟨δ_h, Ẇ^(h) φ(ẋ′_{h−1}) + Ẇ′^(h) φ(ẋ_{h−1})⟩ + Σ_h κ_h ⟨g_h ∘ σ″, ḣ_h ∘ ḣ′_h⟩.

With ‖∂x_h/∂h_k‖ ≤ Q_hk, ‖∂h_h/∂h_k‖ ≤ P_hk and Cauchy-Schwarz over the samples, Σ_i c_i D²f_i for |c| = 1 is at most, block
by block: (a, k) Q_Hk ‖Z_k‖; (h, k), k < h: √q Q_{h−1,k} min(max‖δ_h‖ ‖Z_k‖, ‖δ_h‖ max‖z_k‖), the two forms of Schur's
product theorem for the Hadamard product of a backward and a forward Gram matrix; (k, l): Σ_h κ_h max|g_h ∘ σ″| P_hk P_hl
√(χ_k χ_l). Λ is the norm of that (H+1) × (H+1) matrix. Each entry carries a κ, and with it 1/√m.

On the ball every number is the measured one plus a drift, found layer by layer: forward for z, σ′, Q and P, backward for
g, δ and g ∘ σ″. The derivation is in docs/theory/deep-curvature.md.
"""

import dataclasses
import math

import numpy as np
from jaxtyping import Float

USELESS = 1e100
"""A bound beyond this serves no certificate, and its square would overflow: it counts as none."""


@dataclasses.dataclass(frozen=True)
class DeepCurvature:
    """The numbers of the bound, measured at the iterate, each from above; arrays run over the layers 1 ... H."""

    slope: float  # sup|σ′|
    bend: float  # sup|σ″|
    third: float  # sup|σ‴|, infinite if unknown
    skip: bool  # s of the layers 2 ... H
    patch_norm: float  # √q, 1 without patches
    samples: int  # n
    scales: Float[np.ndarray, " depth"]  # κ_h
    weight_norm: Float[np.ndarray, " depth"]  # ‖W^(h)‖
    weight_row: Float[np.ndarray, " depth"]  # largest row norm of W^(h)
    sloped_norm: Float[np.ndarray, " depth"]  # ‖diag(max_i |σ′(h_i)|) W^(h)‖
    slope_max: Float[np.ndarray, " depth"]  # max |σ′(h_i)|, entrywise
    input_norm: Float[np.ndarray, " depth"]  # ‖Z_h‖, the rows of all samples (and pixels) as one matrix
    input_max: Float[np.ndarray, " depth"]  # max_i ‖z_i‖, Frobenius over pixels
    input_row: Float[np.ndarray, " depth"]  # largest row of Z_h: of one pixel's patch
    input_fourth: Float[np.ndarray, " depth"]  # χ_h ≥ sup over unit v of (Σ_i ‖z_i v‖⁴)^{1/2}
    left_norm: Float[np.ndarray, " depth"]  # ‖δ_h‖, as ‖Z_h‖
    left_max: Float[np.ndarray, " depth"]  # max_i ‖δ_i‖
    cotangent_max: Float[np.ndarray, " depth"]  # max |g_i|, entrywise
    bent_max: Float[np.ndarray, " depth"]  # max |g_i ∘ σ″(h_i)|, entrywise
    features_norm: float  # ‖x^(H)‖, of the matrix whose rows they are

    def lipschitz(self, radius: float) -> float:
        """Λ(R) of the whole Jacobian; infinite where the numbers overflow."""
        with np.errstate(over="ignore", invalid="ignore"):
            found = self.blocks(radius)
        if not (found < USELESS).all():  # NaN included
            return math.inf
        return float(np.linalg.norm(found, 2)) * (1 + 1e-12)  # the rounding of a small SVD

    def features_lipschitz(self, radius: float) -> float:
        """Λ_*(R) of the read-out's block, whose rows are the x_i^(H)."""
        with np.errstate(over="ignore", invalid="ignore"):
            forward = _Forward(self, radius)
            found = float(np.linalg.norm(forward.q[-1] * forward.input_norm))
        return found if found < USELESS else math.inf

    def norm(self, radius: float) -> float:
        """‖J‖ on the ball by its blocks: ‖δ_h‖, ‖Z_h‖ in either form of Schur's product theorem, the read-out's features."""
        with np.errstate(over="ignore", invalid="ignore"):
            f = _Forward(self, radius)
            b = _Backward(self, f, radius)
            layers = np.minimum(b.left_max * f.input_norm, b.left_norm * f.input_max)
            found = math.hypot(float(np.linalg.norm(layers)), self.features_norm + f.moved)
        return found if found < USELESS else math.inf

    def blocks(self, radius: float) -> Float[np.ndarray, "blocks blocks"]:
        """The bounds on the second derivative by blocks, in the order W^(1), ..., W^(H), a."""
        f = _Forward(self, radius)
        b = _Backward(self, f, radius)
        depth = len(self.scales)
        root = np.sqrt(f.input_fourth)
        bent = (f.p.T * (self.scales * b.bent)) @ f.p * np.outer(root, root)
        mixed = np.zeros((depth, depth))
        for h in range(1, depth):
            either = np.minimum(b.left_max[h] * f.input_norm[:h], b.left_norm[h] * f.input_max[:h])
            mixed[h, :h] = self.patch_norm * f.q[h - 1, :h] * either
        found = np.zeros((depth + 1, depth + 1))
        found[:depth, :depth] = bent + mixed + mixed.T
        found[depth, :depth] = found[:depth, depth] = f.q[-1] * f.input_norm
        return found


class _Forward:
    """Layer by layer on the ball of radius R: inputs, slopes, and how far a change of layer k reaches."""

    def __init__(self, at: DeepCurvature, radius: float):
        depth, root_q = len(at.scales), at.patch_norm
        self.q, self.p = np.zeros((depth, depth)), np.zeros((depth, depth))
        self.input_norm, self.input_max, self.input_fourth = np.zeros(depth), np.zeros(depth), np.zeros(depth)
        self.slope, self.sloped, self.drift = np.zeros(depth), np.zeros(depth), np.zeros(depth)
        moved = moved_all = 0.0  # how far x_i^(h−1) and all of them together can have gone
        for h in range(depth):
            self.input_max[h] = at.input_max[h] + root_q * moved
            self.input_norm[h] = at.input_norm[h] + root_q * moved_all
            # (Σ ‖z_i v‖⁴)^{1/4} is a norm of the z: it moves by at most their Euclidean movement.
            fourth = math.sqrt(at.input_fourth[h]) + root_q * moved_all
            self.input_fourth[h] = min(fourth * fourth, self.input_max[h] * self.input_norm[h])
            weight = at.weight_norm[h] + radius
            self.p[h, h] = 1.0
            before = np.zeros(depth)
            if h > 0:
                self.p[h, :h] = weight * root_q * self.q[h - 1, :h]
                before = (at.weight_row[h] + radius) * self.q[h - 1]
            # An entry of ḣ: one row of Ẇ or of W, times one patch, which is no longer than the whole image.
            self.drift[h] = radius * math.hypot(float(np.linalg.norm(before * self.input_max)), at.input_row[h] + moved)
            slope = min(at.slope, at.slope_max[h] + at.bend * self.drift[h])
            sloped = at.sloped_norm[h] + at.bend * self.drift[h] * at.weight_norm[h] + slope * radius
            self.slope[h], self.sloped[h] = slope, min(slope * weight, sloped)
            if h > 0:
                self.q[h] = (at.skip + at.scales[h] * root_q * self.sloped[h]) * self.q[h - 1]
            self.q[h, h] = at.scales[h] * slope
            moved = radius * float(np.linalg.norm(self.q[h] * self.input_max))
            moved_all = radius * float(np.linalg.norm(self.q[h] * self.input_norm))
        self.moved = moved_all


class _Backward:
    """And back: the gradients with respect to the states and the left factors."""

    def __init__(self, at: DeepCurvature, f: _Forward, radius: float):
        depth, root_q = len(at.scales), at.patch_norm
        self.bent, self.left_max, self.left_norm = np.zeros(depth), np.zeros(depth), np.zeros(depth)
        each, all_of_them = 1.0, math.sqrt(at.samples)  # ‖ġ_h‖ for a unit direction: of a sample, of all
        for h in reversed(range(depth)):
            change = radius * each
            self.bent[h] = at.bend * (at.cotangent_max[h] + change)
            if math.isfinite(at.third):
                turned = at.bent_max[h] + at.bend * change + at.third * f.drift[h] * at.cotangent_max[h]
                self.bent[h] = min(self.bent[h], turned)
            one, every = (float(np.linalg.norm(f.p[h] * size)) for size in (f.input_max, f.input_norm))  # ‖ḣ_h‖
            scale, slope = at.scales[h], f.slope[h]
            self.left_max[h] = at.left_max[h] + radius * scale * (slope * each + self.bent[h] * one)
            self.left_norm[h] = at.left_norm[h] + radius * scale * (slope * all_of_them + self.bent[h] * every)
            through = at.skip + scale * root_q * f.sloped[h]
            weight = scale * (at.weight_norm[h] + radius) * self.bent[h]
            each = through * each + root_q * (self.left_max[h] + weight * one)
            all_of_them = through * all_of_them + root_q * (self.left_norm[h] + weight * every)

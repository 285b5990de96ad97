r"""Λ of the deep equilibrium model z = φ(Wz + Ux), f = a·z, on a ball around the iterate at hand.

With D = diag φ′(h_i), N_i = (I − W D)^{-1}, S_i = D N_i, r_i = S_iᵀa, g_i = Wᵀr_i + a and s_i = dW z_i + dU x_i, the second
derivative is

    D²f_i = da·S s′ + da′·S s + r_i·(dW S s′ + dW′ S s) + (N s)ᵀ diag(g_i ∘ φ″(h_i)) N s′,

so that with bounds on the ball, marked by primes,  Λ = ‖((2 r′T′Y′ + mq′χ′, T′Y′), (T′Y′, 0))‖. The primed bounds solve a
monotone system: along a straight path of length R no quantity can pass a vector d with (right side at d) ≤ d.

Resolvents. For 0 ≤ φ′ ≤ 1 and μ = λ_max((W + Wᵀ)/2) < 1, every diagonal 0 ≤ D ≤ I has ‖(I − DW)^{-1}D‖ ≤ 1/(1 − μ): from
D^{-1}z − Wz = s, ‖z‖²(1 − μ) ≤ ‖z‖‖s‖. Without that, sup|φ′|‖W‖ < 1 and the Neumann series serve.
"""

import dataclasses
import math

from .two_layer import block_norm


@dataclasses.dataclass(frozen=True)
class EquilibriumCurvature:
    """The numbers of the bound, measured at the iterate, each from above."""

    slope: float  # sup|φ′|
    bend: float  # sup|φ″|
    third: float  # sup|φ‴|
    slope01: bool
    w_norm: float  # ‖W‖
    mu: float  # λ_max((W + Wᵀ)/2)
    a_norm: float  # ‖a‖
    w_row: float  # largest row norm of W
    w_column: float  # largest column norm of W
    features_norm: float  # Y = ‖[Z; X]‖
    feature_max: float  # y = max_i ‖[z_i; x_i]‖
    fourth_moment: float  # χ of the rows [z_i; x_i]
    adjoint_max: float  # max ‖r_i‖
    g_max: float  # max |g_i|, entrywise
    gbend_max: float  # max |g_i ∘ φ″(h_i)|, entrywise

    def global_resolvents(self, radius: float) -> tuple[float, float]:
        """(T, N) on the ball: bounds of ‖(I − DW)^{-1}D‖ and of ‖(I − WD)^{-1}‖, infinite where nothing is proven."""
        return resolvent_bounds(self.w_norm + radius, self.mu + radius, self.slope, self.slope01)

    def lipschitz(self, radius: float) -> float:
        """Λ(R) of the whole Jacobian; infinite where well-posedness is not proven on the ball."""
        bounds = self._on_ball(radius)
        if bounds is None:
            return math.inf
        t, y_norm, _, corner = bounds
        return block_norm(corner, t * y_norm)

    def norm(self, radius: float) -> float:
        """‖J‖ on the ball: Y′(1 + r′²)^{1/2}, of JJᵀ = ZZᵀ + (RRᵀ)∘(ZZᵀ + XXᵀ); infinite as Λ is."""
        bounds = self._on_ball(radius)
        return math.inf if bounds is None else bounds[1] * math.hypot(1.0, bounds[2])

    def _on_ball(self, radius: float) -> tuple[float, float, float, float] | None:
        """(T′, Y′, r′, 2r′T′Y′ + mq′χ′) on the ball, from the smallest solution of the monotone system."""
        d = (0.0,) * 5
        for _ in range(500):
            found = self._right_side(d, radius)
            if found is None or max(found[0]) > 1e12:
                return None
            new = found[0]
            if all(b - a <= 1e-9 * b for a, b in zip(d, new, strict=True)):
                break
            d = new
        # The iteration approaches its limit from below: inflate, then ask for the inequality that proves the bound.
        for inflation in (1e-6, 1e-4, 1e-2):
            guess = tuple(v * (1 + inflation) + 1e-300 for v in d)
            found = self._right_side(guess, radius)
            if found is not None and all(b <= a for a, b in zip(guess, found[0], strict=True)):
                return found[1]
        return None

    def _right_side(self, d, radius):
        d_h, d_g, d_r, d_features, d_feature = d
        t, n = self.global_resolvents(radius)
        if math.isinf(t) or math.isinf(n):
            return None
        y = self.feature_max + d_feature
        y_norm = self.features_norm + d_features
        r = min(self.adjoint_max + d_r, t * (self.a_norm + radius))
        dq = self.bend * d_g + self.third * d_h * self.g_max
        q = min(
            self.gbend_max + dq,
            self.bend * (self.g_max + d_g),
            self.bend * n * (self.a_norm + radius),
        )
        row = min(n, 1 + (self.w_row + radius) * t)
        row_adjoint = min(n, 1 + (self.w_column + radius) * t)
        row_adjoint_w = (self.w_column + radius) * n
        bent = q * n**2
        drive = radius * math.sqrt(1 + r**2)
        new = (
            row * radius * y,
            min(row_adjoint * drive + row_adjoint_w * q * n * radius * y, n * (self.a_norm + radius) + self.g_max),
            t * drive + bent * radius * y,
            t * radius * y_norm,
            t * radius * y,
        )
        chi = min((math.sqrt(self.fourth_moment) + d_features) ** 2, y * y_norm)
        return new, (t, y_norm, r, 2 * r * t * y_norm + bent * chi)


def readout_lipschitz(
    radius: float,
    *,
    w_norm: float,
    mu: float,
    slope: float,
    slope01: bool,
    features_norm: float,
    sigma: float = math.inf,
    relative: float = math.inf,
) -> float:
    """Λ_* of the read-out block Zᵀ by finite differences from the centre: T Y, or ½T(Y + σ₀κ) for 0 ≤ φ′ ≤ 1; kinks or not.

    With s_i = ΔW z_i + ΔU x_i (z_i at the centre, W at the end) the states move by z − z₀ = (I − D̃W)^{-1}D̃ s, D̃ the secant
    slopes. For 0 ≤ φ′ ≤ 1, (z − z₀)·(h − h₀) ≥ ‖z − z₀‖² gives with B = I − (W + Wᵀ)/2 the ball ‖B^{1/2}(z − z₀) −
    ½B^{-1/2}s‖ ≤ ½‖B^{-1/2}s‖: half of T‖s‖ is one matrix ½B^{-1} for all samples, κ ≥ ‖K^{-1/2}[Z; X]‖ in the norm of the
    features' Gram.

    **Arguments:** at the centre, from above: `w_norm` ‖W‖, `mu` λ_max((W + Wᵀ)/2), `features_norm` Y, `sigma` σ₀ of the
    block, `relative` κ.
    """
    t, _ = resolvent_bounds(w_norm + radius, mu + radius, slope, slope01)
    plain = t * features_norm
    if not (slope01 and mu + radius < 1 and math.isfinite(relative)):
        return plain
    return min(plain, (features_norm + sigma * relative) / (2 * (1 - mu - radius)))


def resolvent_bounds(w_norm: float, mu: float, slope: float, slope01: bool) -> tuple[float, float]:
    """Bounds of ‖(I − DW)^{-1}D‖ and ‖(I − WD)^{-1}‖ over all diagonals D that φ′ can make.

    **Source:** the argument in this module's head; infinite where neither μ < 1 (for 0 ≤ φ′ ≤ 1) nor sup|φ′|‖W‖ < 1.
    """
    t = n = math.inf
    if slope * w_norm < 1:
        t, n = slope / (1 - slope * w_norm), 1 / (1 - slope * w_norm)
    if slope01 and mu < 1:
        t = min(t, 1 / (1 - mu))
        n = min(n, 1 + w_norm * t)
    return t, n

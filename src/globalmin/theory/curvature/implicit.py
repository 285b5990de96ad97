r"""Λ of the implicit network z = σ(gAz + φ), φ = σ(Wx)/√m, f = u·z + v·φ, g = γ/√m, on a ball around the iterate at hand.

With p_i = gAz_i + φ_i, q_i = Wx_i, D = diag σ′(p_i), E = diag σ′(q_i), N_i = (I − gAD)^{-1}, S_i = D N_i,
w_i = (I − gAᵀD)^{-1}u, r_i = D w_i = S_iᵀu, and along a direction dφ_i = m^{-1/2}E dW x_i, t_i = g dA z_i + dφ_i (so that
dp_i = N t_i and dz_i = S t_i),

    D²f_i = du·S t′ + du′·S t + dv·dφ′ + dv′·dφ + g r_i·(dA S t′ + dA′ S t) + (N t)ᵀ diag(w_i ∘ σ″(p_i)) N t′
            + m^{-1/2} Σ_j (r_i + v)_j σ″(q_i)_j (dW x_i)_j (dW′x_i)_j.

**By blocks.** Take Σ_i c_i D²f_i with |c| = 1, e = sup|σ′|/√m, and bounds on the ball, marked by primes: T′ ≥ ‖S_i‖,
N′ ≥ ‖N_i‖, Z′ ≥ ‖Z‖, r′ ≥ ‖r_i‖, k′ ≥ ‖w_i ∘ σ″(p_i)‖_∞, l′ ≥ ‖(r_i + v) ∘ σ″(q_i)‖_∞, and χ′_z at least the largest
(Σ_i (z_i·s)⁴)^{1/2} over unit s, χ_x alike. Cauchy-Schwarz over i gives Σ|c_i|‖t_i‖ ≤ gZ′‖dA‖_F + e‖X‖‖dW‖_F and
Σ|c_i|‖dA z_i‖‖dA′z_i‖ ≤ χ′_z‖dA‖_F‖dA′‖_F (Σ(z_iᵀPz_i)² is convex in P ≥ 0, largest at rank one), mixed √(χ′_zχ_x). So Λ
is at most the norm of the symmetric matrix with the entries

    (A, A) 2g²r′T′Z′ + k′N′²g²χ′_z,   (A, W) g r′T′e‖X‖ + k′N′²ge√(χ′_zχ_x),   (W, W) k′N′²e²χ_x + l′χ_x/√m,
    (u, A) T′gZ′,   (u, W) T′e‖X‖,   (v, W) e‖X‖,   all others 0.

**On the ball** ‖θ − θ₀‖ ≤ R. T′ and N′ are the resolvents' global bounds for gA. Subtracting the two equilibria, with a
diagonal of secant slopes, ‖Z − Z₀‖_F ≤ T′R(g²‖Z₀‖² + e²‖X‖²)^{1/2}, and the same row by row. On the ball
τ′ = (g²max‖z_i‖² + e²max‖x_i‖²)^{1/2} bounds ‖t_i‖ per unit of path. Then ‖p − p₀‖_∞ ≤ ν′Rτ′, ν′ = 1 + g(row_A + R)T′
bounding the rows of N = I + gAS. From
dw = (I − gAᵀD)^{-1}(du + g dAᵀr + gAᵀ(w ∘ σ″ ∘ dp)), with ω the drift of w in the supremum norm per unit of path,

    ω ≤ a + b k′,   a = (1 + g(column_A + R)T′)(1 + g²r′²)^{1/2},   b = g(column_A + R)N′·N′τ′,
    k′ ≤ k₀ + sup|σ‴| ν′Rτ′ max|w| + sup|σ″| ‖w − w₀‖_∞,

so that Grönwall bounds ‖w − w₀‖_∞ by (a + b k₀′)(exp(b sup|σ″| R) − 1)/(b sup|σ″|), k₀′ the first two terms of the line
above; or k′ ≤ sup|σ″| N′(‖u‖ + R) outright. In the same way
dr = (I − DgAᵀ)^{-1}(w ∘ σ″ ∘ dp) + Sᵀ(du + g dAᵀr), at most N′²k′τ′ + T′(1 + g²r′²)^{1/2} per unit, and r = D w entrywise.
"""

import dataclasses
import math

import numpy as np

from .equilibrium import resolvent_bounds


@dataclasses.dataclass(frozen=True)
class ImplicitCurvature:
    """The numbers of the bound, measured at the iterate, each from above. Norms of A are those of gA."""

    slope: float  # sup|σ′|
    bend: float  # sup|σ″|
    third: float  # sup|σ‴|
    slope01: bool
    gamma: float
    width: int
    a_norm: float  # g‖A‖
    mu: float  # g λ_max((A + Aᵀ)/2)
    a_row: float  # g times the largest row norm of A
    a_column: float  # g times the largest column norm of A
    u_norm: float  # ‖u‖
    data_norm: float  # ‖X‖
    data_max: float  # max ‖x_i‖
    data_fourth: float  # χ of the rows x_i
    state_norm: float  # ‖Z‖
    state_max: float  # max ‖z_i‖
    state_fourth: float  # χ of the rows z_i
    adjoint_max: float  # max ‖r_i‖
    w_max: float  # max |w_i|, entrywise
    wbend_max: float  # max |w_i ∘ σ″(p_i)|, entrywise
    rv_max: float  # max |r_i + v|, entrywise
    rvbend_max: float  # max |(r_i + v) ∘ σ″(q_i)|, entrywise
    rv_norm: float  # max ‖r_i + v‖
    skip_norm: float  # ‖Φ‖

    @property
    def scale(self) -> float:
        """g = γ/√m."""
        return self.gamma / math.sqrt(self.width)

    def lipschitz(self, radius: float) -> float:
        """Λ(R) of the whole Jacobian; infinite where well-posedness is not proven on the ball."""
        found = self._blocks(radius)
        return math.inf if found is None else float(np.linalg.norm(found, 2)) * (1 + 1e-12)  # a 4 × 4 SVD's rounding

    def norm(self, radius: float) -> float:
        """‖J‖ on the ball by its blocks A, W, u, v: g r′Z′, e max‖r_i + v‖′‖X‖, Z′ and ‖Φ‖′."""
        found = self._on_ball(radius)
        return math.inf if found is None else found[1]

    def features_lipschitz(self, radius: float) -> float:
        """Λ_* of the block Φ alone: sup|σ′|‖X‖/√m, at every radius."""
        return self.slope * self.data_norm / math.sqrt(self.width)

    def _blocks(self, radius: float) -> np.ndarray | None:
        """The 4 × 4 matrix of the bounds, in the order A, W, u, v."""
        found = self._on_ball(radius)
        return None if found is None else found[0]

    def _on_ball(self, radius: float) -> tuple[np.ndarray, float] | None:
        """The matrix and the bound of ‖J‖."""
        g, e = self.scale, self.slope / math.sqrt(self.width)
        # A moves by R, hence gA by gR, in every norm that is used.
        t, n = resolvent_bounds(self.a_norm + g * radius, self.mu + g * radius, self.slope, self.slope01)
        if math.isinf(t) or math.isinf(n):
            return None
        x = e * self.data_norm
        d_state = t * radius * math.hypot(g * self.state_norm, x)
        d_row = t * radius * math.hypot(g * self.state_max, e * self.data_max)
        z, z_max = self.state_norm + d_state, self.state_max + d_row
        chi = min((math.sqrt(self.state_fourth) + d_state) ** 2, z * z_max)
        per_unit = math.hypot(g * z_max, e * self.data_max)

        d_p = min(n, 1 + (self.a_row + g * radius) * t) * radius * per_unit
        most_r = t * (self.u_norm + radius)
        most_k = self.bend * n * (self.u_norm + radius)
        column = self.a_column + g * radius
        drive = min(n, 1 + column * t) * math.hypot(1, g * most_r)
        fed_back = column * n * n * per_unit
        k_0 = self.wbend_max + self.third * d_p * self.w_max
        d_w = min(
            radius * (drive + fed_back * most_k),
            (drive + fed_back * k_0) * _grown(fed_back * self.bend, radius),
        )
        k = min(k_0 + self.bend * d_w, self.bend * (self.w_max + d_w), most_k)
        d_r = radius * (n * n * k * per_unit + t * math.hypot(1, g * most_r))
        r = min(self.adjoint_max + d_r, most_r)
        # r = D w entry by entry, and v moves by R.
        d_rv = self.slope * d_w + self.bend * d_p * self.w_max + radius
        skip = min(
            self.rvbend_max + self.bend * d_rv + self.third * radius * self.data_max * self.rv_max,
            self.bend * (self.rv_max + d_rv),
        )

        bent = k * n * n
        aa = 2 * g * g * r * t * z + bent * g * g * chi
        aw = g * r * t * x + bent * g * e * math.sqrt(chi * self.data_fourth)
        ww = bent * e * e * self.data_fourth + skip * self.data_fourth / math.sqrt(self.width)
        found = np.array(
            [
                [aa, aw, t * g * z, 0.0],
                [aw, ww, t * x, x],
                [t * g * z, t * x, 0.0, 0.0],
                [0.0, x, 0.0, 0.0],
            ]
        )
        norm = math.hypot(g * r * z, x * (self.rv_norm + d_r + radius), z, self.skip_norm + x * radius)
        return (found, norm) if np.isfinite(found).all() else None


def _grown(rate: float, length: float) -> float:
    """∫₀^length exp(rate·s) ds; infinite where it overflows."""
    if rate * length > 700:
        return math.inf
    return length if rate == 0 else math.expm1(rate * length) / rate

"""Infinite width of the equilibrium model z = φ(Wz + Ux), f = aᵀz: the fixed point of a dual map, and its unrolling.

Convention of Ling, Xie, Wang, Zhang and Lin (AISTATS 2023): W_ij ~ N(0, 2σ_w²/m), U_ij ~ N(0, 2/d), a_j ~ N(0, 1/m),
inputs of norm √d. Other norms are taken as they come. Grams are per neuron: `k` is the limit of ZᵀZ/m.

For φ of slopes α₊, α₋ on the two half-lines (ReLU: 1, 0) the angle θ between two pre-activations solves one scalar
equation, which is solved here in τ = 1 − cos θ, and not in cos θ: nearly parallel inputs keep all of their digits.
"""

import math
from collections.abc import Callable

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from .._core import numerics
from .._core.numerics import EPS
from ..activations import AbstractActivation, Covariance, get
from .base import AbstractKernel, homogeneous_slopes

# g(θ) = sin θ − θ cos θ = Σ_k (−1)^{k+1} 2k θ^{2k+1}/(2k+1)!; ten terms leave 1e-21 at θ = 1.
_ARC_SERIES = np.array([(-1) ** (k + 1) * 2 * k / math.factorial(2 * k + 1) for k in range(10, 0, -1)])


class EquilibriumKernel(AbstractKernel):
    r"""Kernels of the equilibrium model at infinite width; with (u, v) the pair of pre-activations at equilibrium:

    - `k` = `nngp` $= E[φ(u)φ(v)]$, the limit of ZᵀZ/m and the covariance of the outputs;
    - `gamma` $= D/(1 − 2σ_w^2 D)$, $D = E[φ'(u)φ'(v)]$, the limit of RᵀR, r_i = ∂f_i/∂(Ux_i);
    - `ntk` $= K ∘ (1 + Γ)$, the limit of the tangent kernel of (W, U, a) over m; U's part is O(d) and vanishes.

    The variances solve q = 2σ_w² E[φ(u)²] + 2|x|²/d and the covariances c = 2σ_w² E[φ(u)φ(v)] + 2xᵀx'/d. For ReLU this
    is cos θ = σ_w² Q(cos θ) + (1 − σ_w²) cos θ₀ with θ₀ the angle of the inputs, K = |x||x'| Q(cos θ)/(d (1 − σ_w²)).

    **Arguments:** `sigma_w2`: σ_w². The theorems of the paper ask σ_w² < 1/8, so that ‖W‖ < 1; the kernel exists for
    σ_w² < 1 (ReLU), and for 2σ_w² sup|φ′|² < 1 for any φ. `activation`: ReLU by default.

    **Raises:** `ValueError` for a σ_w² outside that range or an activation without a finite sup|φ′|.

    **Accuracy, cost:** ReLU: 5e-15 relative to the entry at every angle of the inputs, elementwise work in a fixed
    number of Newton steps (4 for σ_w² ≤ 1/8, 5 to 1/2, 17 at 1 − 1e-6). Other activations: the error of their dual maps
    over 1 − 2σ_w² sup|φ′|², and as many evaluations of the dual as the contraction takes (some 12 at σ_w² = 0.08).

    **Source:** Ling et al., AISTATS 2023, eq. (14), Theorem 3. Γ: the backward pass as if through an independent copy
    of Wᵀ, exact in the limit because the readout is centred and independent of W.
    """

    sigma_w2: float = eqx.field(static=True)
    activation: AbstractActivation
    slopes: tuple[float, float] | None = eqx.field(static=True)  # (α₊, α₋), None if φ is not homogeneous

    def __init__(self, sigma_w2: float, activation: AbstractActivation | None = None):
        self.sigma_w2 = float(sigma_w2)
        self.activation = get("relu") if activation is None else activation
        self.slopes = homogeneous_slopes(self.activation)
        if self.slopes is None and self.activation.lipschitz is None:
            raise ValueError(
                f"activation: one with a finite sup |φ′| expected, {self.activation.name!r} has none, or none that "
                "is known; give `lipschitz=` or take another activation"
            )
        if not (self.sigma_w2 > 0 and self.contraction < 1):
            raise ValueError(
                f"sigma_w2: a number in (0, {self.sigma_w2 / self.contraction:.6g}) expected for "
                f"{self.activation.name!r}, where the fixed point exists for all inputs; {sigma_w2} came; lower it"
                if self.sigma_w2 > 0
                else f"sigma_w2: a positive variance expected, {sigma_w2} came; raise it"
            )

    @property
    def contraction(self) -> float:
        """Lipschitz constant of the dual map c ↦ 2σ_w² E[φ(u)φ(v)]: σ_w² for ReLU, 2σ_w² sup|φ′|² in general."""
        if self.slopes is not None:
            return self.sigma_w2 * (self.slopes[0] ** 2 + self.slopes[1] ** 2)
        assert self.activation.lipschitz is not None
        return 2 * self.sigma_w2 * self.activation.lipschitz**2

    @property
    def bend(self) -> float:
        """β = (α₊ − α₋)²/(α₊² + α₋²): 1 for ReLU, 0 for a line."""
        assert self.slopes is not None
        return (self.slopes[0] - self.slopes[1]) ** 2 / (self.slopes[0] ** 2 + self.slopes[1] ** 2)

    @property
    def kappa(self) -> float:
        """κ = β s/(π(1 − s)) with s the contraction, how far the fixed point is from the inputs' angle."""
        return self.bend * self.contraction / (math.pi * (1 - self.contraction))

    def unrolled(self, depth: int) -> "UnrolledEquilibriumKernel":
        """The kernel K^(l) after `depth` = l passes from z = 0, which tends to `k`."""
        return UnrolledEquilibriumKernel(self, depth)

    def embed(self, x: Float[Array, "n d"]) -> Float[Array, "n d"]:
        """√(2/d) x: the first pre-activation is Ux with U_ij ~ N(0, 2/d)."""
        return math.sqrt(2 / x.shape[1]) * x

    def refined(self, variance: Float[Array, ""]) -> "EquilibriumKernel":
        """With an activation that is accurate at the variance of the equilibrium."""
        if self.slopes is not None:
            return self
        return EquilibriumKernel(self.sigma_w2, self.activation.refined(self._variances(variance)))

    def entries(self, cov: Covariance) -> dict[str, Float[Array, "*pairs"]]:
        """`k`, `nngp`, `gamma` and `ntk` of a tile of pairs."""
        k, gamma = self._iterated(cov) if self.slopes is None else self._homogeneous(cov)
        return {"k": k, "nngp": k, "gamma": gamma, "ntk": k * (1 + gamma)}

    def _homogeneous(self, cov: Covariance) -> tuple[Array, Array]:
        """(K, Γ) for φ of two slopes.

        E[φ(u)φ(v)] = ½√(pq)(α₊² + α₋²) N, N = 1 − τ + β g(θ)/π, τ = 1 − cos θ, g(θ) = sin θ − θ cos θ; so the fixed
        point is τ + κ g(θ) = τ₀. As dg/dτ = θ, Newton's step is (τ − τ₀ + κg)/(1 + κθ); the left side is increasing
        and convex in τ, so that from τ₀ the iterates fall to the root, and never below it. While κg dominates,
        g ~ (2τ)^{3/2}/3 and a step divides τ by 3.

        Where the root is beyond π/2, cos θ₀ < −κ, the same iterates are followed in σ = 2 − τ and ψ = π − θ, with
        g(θ) = g(ψ) + π(1 − σ): the K ~ g(ψ) of nearly antiparallel inputs is small, and so is its error.
        """
        kappa, gain, bend = self.kappa, self.contraction, self.bend
        obtuse = cov.angle > math.acos(-min(kappa, 1.0))
        v_0 = versine(jnp.where(obtuse, math.pi - cov.angle, cov.angle))
        sign, turn = jnp.where(obtuse, -1.0, 1.0), jnp.where(obtuse, math.pi, 0.0)  # θ = turn + sign · angle of v

        def newton(_, v):
            angle = angle_of(v)
            excess = v * (1 + kappa * turn) - v_0 + kappa * (sign * arc(angle, v) - turn)
            return v - excess / (1 + kappa * (turn + sign * angle))

        # Relative errors left, measured over all angles: 1e-7 after two steps at κ = 0.05 (σ_w² = 0.13), 1e-9 after
        # four at κ = 1, and each step squares them; a factor 3 of κ beyond 1 costs one step to come as close.
        steps = 4 if kappa <= 0.05 else 5 + max(0, math.ceil(math.log(kappa, 3)))
        v = jax.lax.fori_loop(0, steps, newton, v_0)
        angle = angle_of(v)
        dual = jnp.where(obtuse, (v - 1) * (1 - bend), 1 - v) + bend / math.pi * arc(angle, v)
        lost = bend / math.pi * (turn + sign * angle)  # 1 − D/D(θ = 0)
        kept = jnp.where(obtuse, 1 - bend + bend / math.pi * angle, 1 - lost)
        half = gain / (2 * self.sigma_w2)  # (α₊² + α₋²)/2 = E[φ′²]
        k = jnp.sqrt(cov.p * cov.q) * (half / (1 - gain)) * dual
        return k, half * kept / (1 - gain + gain * lost)

    def _iterated(self, cov: Covariance) -> tuple[Array, Array]:
        """(K, Γ) by iterating the dual map; √q ↦ √(2σ_w² E[φ²] + b) contracts by the root of the covariances' rate."""
        c_0, p, q = cov.c, self._variances(cov.p), self._variances(cov.q)
        c = _fixed_point(lambda c: self._pass(p, q, c) + c_0, c_0, self.contraction)
        pair = Covariance.of(p, q, c)
        slope = self.activation.dual_derivative(pair)
        return self.activation.dual(pair), slope / (1 - 2 * self.sigma_w2 * slope)

    @eqx.filter_jit
    def _variances(self, first: Array) -> Array:
        return _fixed_point(lambda v: self._pass(v, v, v) + first, first, math.sqrt(self.contraction))

    def _pass(self, p: Array, q: Array, c: Array) -> Array:
        return 2 * self.sigma_w2 * self.activation.dual(Covariance.of(p, q, c))

    def entry_bounds(
        self, variances: Float[Array, " n"], variance_error: float, angle_error: float
    ) -> dict[str, float]:
        r"""The errors of the inputs, carried to the fixed point.

        Two slopes: dτ/dτ₀ = 1/(1 + κθ) ≤ 1 and |dN/dτ| = |1 − βθ/π| ≤ 1, so K moves by its scale times the error of
        the angle at most. Nor does θ move more than θ₀: sin θ₀ ≤ (1 + κθ) sin θ, for with δ = θ₀ − θ the equation gives
        cos θ sin δ ≤ κ g(θ) cos θ/sin θ ≤ κ θ sin θ (the last is sin 2θ ≤ 2θ). Rounding adds some 20 eps to both.

        Other φ, with L = sup|φ′|, γ = 2σ_w² L² and Q the largest variance at equilibrium: the relative error of the
        variances is that of 2|x|²/d and of the dual over 1 − √γ; at a fixed covariance it moves the dual by L √Q ‖φ‖ +
        L² Q per unit. An error of the covariance moves the dual by L² per unit (Price), which the iteration amplifies
        by 1/(1 − γ). D moves in the same way with sup|φ″| for one factor L each; without a finite sup|φ″| the bounds on
        `gamma` and `ntk` are infinite.
        """
        top, rate, s2 = float(jnp.max(variances)), self.contraction, 2 * self.sigma_w2
        if self.slopes is not None:
            slope = rate / s2
            size = top * slope / (1 - rate)
            k = size * (angle_error + variance_error + 20 * EPS)
            slope_error = slope * (self.bend / math.pi * (angle_error + 20 * EPS) + 4 * EPS)
        else:
            lipschitz, curvature = self.activation.lipschitz, self.activation.curvature
            assert lipschitz is not None
            equilibrium, slope = self._variances(variances), lipschitz**2
            root, norm = (
                math.sqrt(float(jnp.max(v))) for v in (equilibrium, self.activation.second_moment(equilibrium))
            )
            size = norm**2
            # The stopping rule of the iteration leaves 4 eps Q, once in the variances and once in the covariances.
            rounding = self.activation.dual_error(equilibrium) + 8 * EPS * root**2 / s2
            spread = (variance_error + s2 * rounding / float(jnp.min(variances))) / (1 - math.sqrt(rate))
            move = lipschitz * root * (norm + lipschitz * root) * spread + rounding
            covariance = (top * (angle_error + variance_error) + s2 * move) / (1 - rate)
            k = slope * covariance + move
            if curvature is None:
                slope_error = math.inf
            else:
                shift = curvature * root * (lipschitz + curvature * root) * spread
                slope_error = curvature**2 * covariance + shift + rounding
        passes = 1 - s2 * slope
        gain = 1 + slope / passes
        gamma = slope_error / passes**2 + 4 * EPS * gain
        return {"k": k, "nngp": k, "gamma": gamma, "ntk": k * gain + size * gamma + 4 * EPS * size * gain}


class UnrolledEquilibriumKernel(AbstractKernel):
    r"""`k` = `nngp` = K^(l): the limit of Z_lᵀZ_l/m for z_0 = 0, z_{j+1} = φ(W z_j + Ux), the same W in each pass.

    For ReLU: cos⁽ˡ⁾ = (1 − 1/ρ_l) Q(cos⁽ˡ⁻¹⁾) + cos θ₀/ρ_l, ρ_l = (1 − σ_w^{2l})/(1 − σ_w²), and K^(l) = |x||x'| ρ_l
    Q(cos⁽ˡ⁾)/d. The paper's (13) has the previous cosine in the place of cos θ₀, and K_ij in that of K_ii.

    **Arguments:** `limit`: the kernel of the equilibrium; `depth`: l.

    **Raises:** `ValueError` unless `depth` is an integer of at least 1.

    **Source:** Ling et al., AISTATS 2023, eq. (13) corrected, Theorem 3.
    """

    limit: EquilibriumKernel
    depth: int = eqx.field(static=True)

    def __check_init__(self):
        numerics.check_count("depth", self.depth)

    def embed(self, x: Float[Array, "n d"]) -> Float[Array, "n d"]:
        """As in the limit."""
        return self.limit.embed(x)

    def refined(self, variance: Float[Array, ""]) -> "UnrolledEquilibriumKernel":
        """As in the limit, whose variances no pass exceeds."""
        return UnrolledEquilibriumKernel(self.limit.refined(variance), self.depth)

    def entries(self, cov: Covariance) -> dict[str, Float[Array, "*pairs"]]:
        """`k` and `nngp` of a tile of pairs."""
        k = self._iterated(cov) if self.limit.slopes is None else self._homogeneous(cov)
        return {"k": k, "nngp": k}

    def _homogeneous(self, cov: Covariance) -> Array:
        gain, tau_0 = self.limit.contraction, versine(cov.angle)

        def normalized_dual(tau):
            return 1 - tau + self.limit.bend / math.pi * arc(angle_of(tau), tau)

        def one_pass(_, state):
            rho, tau = state
            rho = 1 + gain * rho
            return rho, (1 - 1 / rho) * (1 - normalized_dual(tau)) + tau_0 / rho

        rho, tau = jax.lax.fori_loop(1, self.depth, one_pass, (jnp.ones((), tau_0.dtype), tau_0))
        scale = rho * (gain / (2 * self.limit.sigma_w2))
        return scale * jnp.sqrt(cov.p * cov.q) * normalized_dual(tau)

    def _iterated(self, cov: Covariance) -> Array:
        limit, c_0 = self.limit, cov.c

        def one_pass(_, state):
            p, q, c = state
            return limit._pass(p, p, p) + cov.p, limit._pass(q, q, q) + cov.q, limit._pass(p, q, c) + c_0

        pair = jax.lax.fori_loop(1, self.depth, one_pass, (cov.p, cov.q, c_0))
        return limit.activation.dual(Covariance.of(*pair))

    def entry_bounds(
        self, variances: Float[Array, " n"], variance_error: float, angle_error: float
    ) -> dict[str, float]:
        """Those of the limit: the sums of l terms there are the geometric series here."""
        bounds = self.limit.entry_bounds(variances, variance_error, angle_error)
        return {name: bounds[name] for name in ("k", "nngp")}

    def truncation_error(self, x: Float[Array, "n d"]) -> float:
        r"""Bound on max_ij |K_ij − K^(l)_ij|: Theorem 3 (i) with its constant.

        Two slopes, s the contraction: N(c) has Lipschitz constant 1 and |N| ≤ 1, 1 − 1/ρ_l ≤ s and |1/ρ_l − (1 − s)|
        ≤ s^l, so e_l = |cos⁽ˡ⁾ − cos θ| satisfies e_l ≤ s e_{l−1} + 2s^l, e_1 ≤ 2s, hence e_l ≤ 2l s^l, and the kernels
        differ by s^l (2l + 1)/(1 − s) in units of E[φ²] at the first pass, |x||x'|/d for ReLU.

        Other φ: successive passes differ in L² by the factor √γ, γ = 2σ_w² L², so that ‖z − z_l‖ ≤ γ^{l/2} ‖z_1‖/(1 −
        √γ), and the kernels by ‖z − z_l‖ (‖z‖ + ‖z_l‖) ≤ 2γ^{l/2} ‖z_1‖²/(1 − √γ)², ‖z_1‖ ≤ |φ(0)| + L √(2|x|²/d).
        """
        rows = self.embed(numerics.check_inputs(x))
        top, rate, depth = float(jnp.max(jnp.sum(rows * rows, axis=1))), self.limit.contraction, self.depth
        if self.limit.slopes is not None:
            return top * rate / (2 * self.limit.sigma_w2) * rate**depth * (2 * depth + 1) / (1 - rate)
        activation = self.limit.activation
        assert activation.lipschitz is not None
        first = abs(activation.phi0) + activation.lipschitz * math.sqrt(top)
        return 2 * rate ** (depth / 2) * (first / (1 - math.sqrt(rate))) ** 2


def versine(angle: Array) -> Array:
    """1 − cos of an angle, all digits near 0."""
    return 2 * jnp.square(jnp.sin(angle / 2))


def angle_of(tau: Array) -> Array:
    """The angle of versine `tau`; rounding may lift tau above 2."""
    return 2 * jnp.arcsin(jnp.minimum(jnp.sqrt(tau / 2), 1.0))


def arc(theta: Array, tau: Array) -> Array:
    """g(θ) = sin θ − θ cos θ given θ and τ = 1 − cos θ; ~ θ³/3 near 0, where the difference would cancel."""
    square = theta * theta
    series = square * theta * jnp.polyval(jnp.asarray(_ARC_SERIES), square)
    return jnp.where(theta < 1, series, jnp.sqrt(jnp.maximum(tau * (2 - tau), 0.0)) - theta * (1 - tau))


def _fixed_point(step: Callable[[Array], Array], start: Array, rate: float) -> Array:
    """Iterate a contraction of the given rate from `start`, until it moves by 4 eps of the largest entry at most.

    After log(eps)/log(rate) steps what is left is eps of the first error; a loop that goes on then follows rounding.
    """
    most = 1 + math.ceil(math.log(EPS) / math.log(rate))

    def going_on(state):
        k, z, moved = state
        return (k < most) & (moved > 4 * EPS * jnp.max(jnp.abs(z)))

    def once(state):
        k, z, _ = state
        new = step(z)
        return k + 1, new, jnp.max(jnp.abs(new - z))

    return jax.lax.while_loop(going_on, once, (0, start, jnp.asarray(jnp.inf, start.dtype)))[1]

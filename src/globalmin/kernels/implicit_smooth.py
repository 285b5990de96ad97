r"""Infinite width of the implicit network z = φ(γ m^{-1/2} A z + ϕ), ϕ = m^{-1/2} φ(Wx), f = uᵀz + vᵀϕ, for smooth φ.

The outer φ sees pre-activations of order m^{-1/2}, and only its slope at 0 is left of it in the limit: with a = φ'(0),
√m z tends to a(γg + φ(ξ)), linear in the features. (The ReLU, which has no slope at 0, stays what it is: `implicit.py`.)
A φ with φ(0) ≠ 0 has states of order 1 whatever the input, so that the tangent kernel grows with m and has no limit.
"""

import equinox as eqx
import jax.numpy as jnp
from jaxtyping import Array, Float

from .._core.numerics import EPS
from ..activations import AbstractActivation, Covariance
from .base import AbstractKernel


class SmoothImplicitKernel(AbstractKernel):
    r"""Kernels of the implicit network with a smooth φ, φ(0) = 0, at infinite width; a = φ'(0), ξ ~ N(0, |x|²):

    - `g_infinity` $= G^∞ = E[φ(ξ)φ(ξ')]$, the limit of ΦΦᵀ;
    - `nngp` $= S + G^∞$ with $S = a²G^∞/(1 − a²γ²)$, the limit of ZZᵀ + ΦΦᵀ;
    - `ntk` $= S/(1 − a²γ²) + (1 + a²/(1 − a²γ²)) κ ∘ XXᵀ + G^∞$, $κ = E[φ'(ξ)φ'(ξ')]$: the full tangent kernel's limit.

    They follow from S = a²(γ²S + G^∞) and, for the adjoints, M = a²(1 + γ²M); Q = (1 + γ²M)a²κ + κ.

    **Arguments:** `gamma`: γ in (0, 1/sup|φ'|); `activation`: with φ(0) = 0 and finite sup|φ'| and sup|φ''|.

    **Raises:** `ValueError` for others.

    **Accuracy, cost:** those of the two dual maps, elementwise.

    **Source:** this library's extension of Gao et al., ICLR 2022, (14)-(16): A and Aᵀ act as independent copies, because
    u and v are centred and independent of the forward pass. A network of width m is off by O(m^{-1/2}).
    """

    gamma: float = eqx.field(static=True)
    activation: AbstractActivation
    slope: float = eqx.field(static=True)  # a

    def __init__(self, gamma: float, activation: AbstractActivation):
        why = without_limit(activation)
        if why:
            raise ValueError(f"activation: {why}")
        assert activation.lipschitz is not None
        self.gamma, self.activation = float(gamma), activation
        self.slope = float(activation.derivative(jnp.zeros(())))
        if not 0 < self.gamma * activation.lipschitz < 1:
            raise ValueError(
                f"gamma: a number in (0, {1 / activation.lipschitz:.6g}) expected for {activation.name!r}, {gamma} came"
            )

    @property
    def gain(self) -> float:
        """1 + γ²M = 1/(1 − a²γ²)."""
        return 1 / (1 - (self.slope * self.gamma) ** 2)

    def refined(self, variance: Float[Array, ""]) -> "SmoothImplicitKernel":
        """With dual maps that are accurate up to this variance."""
        return SmoothImplicitKernel(self.gamma, self.activation.refined(variance))

    def entries(self, cov: Covariance) -> dict[str, Float[Array, "*pairs"]]:
        """`g_infinity`, `nngp` and `ntk` of a tile of pairs."""
        g, square = self.activation.dual(cov), self.slope**2
        s = square * self.gain * g
        q = (1 + square * self.gain) * self.activation.dual_derivative(cov)
        return {"g_infinity": g, "nngp": s + g, "ntk": s * self.gain + q * cov.c + g}

    def entry_bounds(
        self, variances: Float[Array, " n"], variance_error: float, angle_error: float
    ) -> dict[str, float]:
        r"""The duals' errors, and the errors of the inputs through derivatives; p the largest variance.

        By Price's theorem |dG^∞/dθ| ≤ p sup|φ'|² and |dκ/dθ| ≤ p sup|φ''|². A variance off by a share δ moves ξ by δ√p/2
        in mean square, and φ(ξ), of mean square at most p sup|φ'|², by sup|φ'| times that.
        """
        slope, bend = self.activation.lipschitz, self.activation.curvature
        assert slope is not None
        assert bend is not None
        top, dual, square = float(jnp.max(variances)), self.activation.dual_error(variances), self.slope**2
        moment, kappa = top * slope**2, slope**2
        g = moment * (angle_error + variance_error) + dual + 4 * EPS * moment
        d_kappa = top * bend**2 * angle_error + slope * bend * top**0.5 * variance_error + dual
        share, q = square * self.gain, 1 + square * self.gain
        rows = q * (top * d_kappa + kappa * top * (angle_error + variance_error))
        size = moment * (share * self.gain + 1) + q * kappa * top
        return {
            "g_infinity": g,
            "nngp": (1 + share) * g + 4 * EPS * (1 + share) * moment,
            "ntk": (1 + share * self.gain) * g + rows + 8 * EPS * size,
        }


def without_limit(activation: AbstractActivation) -> str:
    """In words, why the network with this activation has no limit kernel here; "" if it has."""
    if activation.lipschitz is None or activation.curvature is None:
        return (
            "relu, or one with finite sup|φ′| and sup|φ″|, expected for the implicit network's limit kernel; "
            f"{activation.name} came"
        )
    if activation.phi0 != 0:
        return (
            f"one with φ(0) = 0 expected for the implicit network's limit kernel; {activation.name} came, whose states do "
            "not shrink with the width: there is no limit"
        )
    return ""

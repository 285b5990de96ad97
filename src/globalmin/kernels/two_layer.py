"""Infinite-width kernels of f(x) = m^{-1/2} Σ_r a_r φ(s w_rᵀx + b β_r): the first layer trained, or both.

Convention: w_r ~ N(0, I), β_r ~ N(0, 1), a_r = ±1 or N(0, 1), and no √2 in the activation, as in Du, Zhai, Póczos and
Singh (ICLR 2019). With b ≠ 0 the biases β are trained with w, and s, b are fixed.
"""

import math

import equinox as eqx
import jax.numpy as jnp
from jaxtyping import Array, Float

from .._core.numerics import EPS
from ..activations import AbstractActivation, Covariance, get
from .base import AbstractKernel, homogeneous_slopes


class TwoLayerKernel(AbstractKernel):
    r"""With C = s² xᵀx' + b² and (u, v) Gaussian of variances C(x, x), C(x', x') and covariance C(x, x'):

    - `nngp` $= E[φ(u)φ(v)]$, the covariance of the outputs, and the tangent kernel of the readout;
    - `h_infinity` $= C\,E[φ'(u)φ'(v)]$, the tangent kernel of the first layer;
    - `ntk` = `nngp` + `h_infinity`, both layers trained.

    **Raises:** `ValueError` unless `weight_std` > 0 and `bias_std` ≥ 0.

    **Source:** Du et al., ICLR 2019 (arXiv:1810.02054), Assumption 3.1; Jacot, Gabriel and Hongler (2018), Theorem 1.
    """

    activation: AbstractActivation
    weight_std: float = eqx.field(static=True, default=1.0)  # s
    bias_std: float = eqx.field(static=True, default=0.0)  # b

    def __check_init__(self):
        if not 0 < self.weight_std < float("inf"):
            raise ValueError(f"weight_std: a positive number expected, {self.weight_std} came")
        if not 0 <= self.bias_std < float("inf"):
            raise ValueError(f"bias_std: a number of at least 0 expected, {self.bias_std} came")

    def embed(self, x: Float[Array, "n d"]) -> Float[Array, "n e"]:
        """(s x, b): the bias is one more feature, so that angles keep their digits with it too."""
        x = self.weight_std * x
        if self.bias_std == 0:
            return x
        return jnp.concatenate([x, jnp.full((len(x), 1), self.bias_std, x.dtype)], axis=1)

    def refined(self, variance: Float[Array, ""]) -> "TwoLayerKernel":
        """With an activation that is accurate at this variance."""
        return TwoLayerKernel(self.activation.refined(variance), self.weight_std, self.bias_std)

    def entries(self, cov: Covariance) -> dict[str, Float[Array, "*pairs"]]:
        """`nngp`, `h_infinity` and `ntk` of a tile of pairs."""
        nngp = self.activation.dual(cov)
        h_infinity = cov.c * self.activation.dual_derivative(cov)
        return {"nngp": nngp, "h_infinity": h_infinity, "ntk": nngp + h_infinity}

    def entry_bounds(
        self, variances: Float[Array, " n"], variance_error: float, angle_error: float
    ) -> dict[str, float]:
        r"""What the errors of variances and angles do to the duals, by Price's theorem and Cauchy-Schwarz.

        For g = φ or φ′, F = E[g(u)g(v)]: |∂F/∂θ| = √(pq) sin θ |E[g′g′]| ≤ P E[g′²], and a relative error ρ of both
        variances moves F by at most ρ ‖u g′(u)‖ ‖g(v)‖ (norms in L²). Here ‖uφ′‖ ≤ sup|φ′| √P and E[φ″²] ≤ sup|φ″|²;
        for a polynomial of degree k, ‖u g′‖ ≤ 2 √k √P ‖g′‖ and P E[g″²] ≤ k E[g′²], from Hermite expansions; for a
        φ of slopes α, β on the two half-lines E[φ′φ′] is linear in θ, of slope (α − β)²/2π, and free of the
        variances. Infinite when the activation has none of these properties, or none that it knows.
        """
        activation, top = self.activation, float(jnp.max(variances))
        itself = Covariance(variances, variances, jnp.zeros_like(variances))
        size = float(jnp.max(activation.dual(itself)))  # E φ²
        slope = float(jnp.max(activation.dual_derivative(itself)))  # E φ′²
        degree, slopes = activation.polynomial_degree, homogeneous_slopes(activation)
        if slopes is not None:
            radial, turn, radial_slope = (top * slope) ** 0.5, (slopes[0] - slopes[1]) ** 2 / (2 * math.pi), 0.0
        elif degree is not None:
            radial, turn = 2 * (degree * top * slope) ** 0.5, degree * slope
            radial_slope = 2 * degree * slope**0.5
        else:
            lipschitz = float("inf") if activation.lipschitz is None else activation.lipschitz
            curvature = float("inf") if activation.curvature is None else activation.curvature
            radial, turn, radial_slope = lipschitz * top**0.5, top * curvature**2, curvature * top**0.5
        rounding = activation.dual_error(variances)
        nngp = top * slope * angle_error + variance_error * radial * size**0.5 + rounding
        dual_slope = turn * angle_error + variance_error * radial_slope * slope**0.5 + rounding
        h_infinity = top * (slope * (angle_error + variance_error + 4 * EPS) + dual_slope)
        return {"nngp": nngp, "h_infinity": h_infinity, "ntk": nngp + h_infinity + EPS * (size + top * slope)}


def h_infinity(x: Float[Array, "n d"]) -> Float[Array, "n n"]:
    r"""Gram matrix $H^\infty_{ij} = x_i^\top x_j\,(\pi - \theta_{ij}) / 2\pi$ of the trained layer of a ReLU network.

    **Arguments:** `x`: inputs, one per row, float64, of any norms.

    **Returns:** symmetric matrix whose eigenvalues are rates, in 1/(time of the gradient flow). Its diagonal is
    |x_i|²/2; it is positive definite when no two rows are parallel (Theorem 3.1). Antiparallel rows do not make it
    singular by themselves: {x, −x} gives a diagonal matrix. Equal rows do.

    **Raises:** `ValueError` for inputs that are no float64 matrix, not finite, or have zero rows.

    **Accuracy:** a few eps |x_i||x_j| per entry, nearly parallel rows included.

    **Source:** Du, Zhai, Póczos, Singh, ICLR 2019 (arXiv:1810.02054), Assumption 3.1, Theorem 3.1.
    """
    return TwoLayerKernel(get("relu"))(x)["h_infinity"]

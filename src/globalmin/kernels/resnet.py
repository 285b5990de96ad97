"""Infinitely wide residual networks: the limit kernels of chapter 3 of Du's thesis, and NNGP and NTK of all layers.

Convention: x^(1) = √(c_σ/m) σ(W^(1) x), x^(h) = x^(h−1) + c_res/(H√m) σ(W^(h) x^(h−1)) for h = 2 ... H, f = aᵀx^(H), every
weight N(0, 1), c_σ = 1/E[σ(z)²]. There is no skip connection around layer 1.
"""

from typing import ClassVar

import equinox as eqx
import numpy as np
from jaxtyping import Array, Float, Int

from ..activations import AbstractActivation, Covariance
from .base import AbstractKernel, homogeneous_slopes
from .dense import traced_depth
from .recursion import Pairs, VectorLayout, residual, signed
from .rounding import Rounding, residual_bounds


class ResNetKernel(AbstractKernel):
    r"""With K^(h) the covariance and b^(h) the mean of the stream, (u, v) ~ N(0, K^(h−1)), κ = c_res/H:

    K^(0) = xᵀx', K^(1) = c_σ E[σ(u)σ(v)], b^(1) = √c_σ E σ(u), and for h ≥ 2

    K^(h)_ij = K^(h−1)_ij + κ (b_i^(h−1) E σ(v) + b_j^(h−1) E σ(u)) + κ² E[σ(u)σ(v)], b^(h) = b^(h−1) + κ E σ(u).

    - `nngp`: this recursion carried to h = H, the covariance of the outputs and the limit of G^(H+1);
    - `k_h` $= κ^2 K^{(H-1)} E[σ'(u)σ'(v)]$, the tangent kernel of the last layer: K^(H) of Theorem 3.2;
    - `ntk`: all layers trained.

    **Arguments:** `activation`; `depth`: H ≥ 2; `c_res` in (0, 1).

    **Raises:** `ValueError` for others.

    **Source:** Du et al., ICML 2019, Definition 3.2 of the thesis, corrected: the mean of one input is paired with the
    activation of the other, the cross terms are a sum, and K^(H) is built from K^(H−1). The tangent kernel of all layers
    is this library's.
    """

    single: ClassVar[bool] = True

    activation: AbstractActivation
    layers: Int[Array, ""]  # the depth, traced: one compilation serves every depth
    c_res: float = eqx.field(static=True)
    slopes: tuple[float, float] | None = eqx.field(static=True)  # σ on the two half-lines, None if not homogeneous

    def __init__(self, activation: AbstractActivation, depth: int, c_res: float = 0.5):
        self.activation = activation
        self.layers, self.c_res = check_residual(depth, c_res)
        self.slopes = homogeneous_slopes(activation)

    @property
    def depth(self) -> int:
        """H."""
        return int(self.layers)

    def refined(self, variance: Float[Array, ""]) -> "ResNetKernel":
        """With an activation that is accurate at the largest variance of all layers."""
        if self.slopes is not None:
            return self
        return ResNetKernel(refined_for(self.activation, float(variance), self.c_res), self.depth, self.c_res)

    def entries(self, cov: Covariance) -> dict[str, Float[Array, "*pairs"]]:
        """`nngp`, `k_h` and `ntk` of a tile of pairs."""
        first = Pairs(cov.p[:, 0], cov.q[0, :], signed(cov), VectorLayout())
        return residual(self.activation, self.slopes, first, self.layers, self.activation.c_sigma, self.c_res)

    def entry_bounds(
        self, variances: Float[Array, " n"], variance_error: float, angle_error: float
    ) -> dict[str, float]:
        """Errors carried from layer to layer (`residual_bounds`)."""
        first = Rounding(self.activation, self.slopes, np.asarray(variances), variance_error, angle_error)
        return residual_bounds(first, self.depth, self.activation.c_sigma, self.c_res)


def check_residual(depth: int, c_res: float) -> tuple[Int[Array, ""], float]:
    """Depth and scale of a residual network as a kernel keeps them, or `ValueError`."""
    if depth == 1:
        raise ValueError("depth: an integer of at least 2 expected, 1 came; layer 1 has no skip connection")
    if not 0 < c_res < 1:
        raise ValueError(f"c_res: a number in (0, 1) expected, {c_res} came; 0.5 is a common choice")
    return traced_depth(depth, 2), float(c_res)


def refined_for(activation: AbstractActivation, variance: float, c_res: float, window: int = 1) -> AbstractActivation:
    """The activation, accurate at the first pre-activation's variance and at the stream's.

    The root of the stream's variance grows by (c_res/H) √E[σ²] a layer at most: H steps from √(c_σ E[σ(u)²]) are an
    integral that a few large steps overestimate.
    """
    top = v = variance
    stream = activation.c_sigma * float(activation.second_moment(v))
    for _ in range(4):
        v = window * stream
        top = max(top, v)
        stream = (stream**0.5 + c_res / 4 * float(activation.second_moment(v)) ** 0.5) ** 2
    return activation.refined(max(top, window * stream))

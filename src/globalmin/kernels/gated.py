"""Infinite width of gated networks: the layers contribute equally, and only the angles of the patterns matter.

Convention of `models.Gated` with one output, rows x of R^d of any norm: C ~ N(0, 2/d), W, Ψ ~ N(0, 2/m), B ~ N(0, 2).
With κ_0(cos θ) = (π − θ)/π, κ_1(cos θ) = (sin θ + (π − θ) cos θ)/π and s_0 = κ_1(ρ), s_l = κ_1(s_{l−1}) for the features
that the gates of layer l + 1 see,

    c_L(ρ) = κ_1(ρ) Π_{l=1..L} κ_0(s_{l−1})  (chain),    κ_1(ρ) κ_0(ρ)^L  (gates of the input).
"""

import math

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from .._core.numerics import EPS, check_count
from ..activations import Covariance, get
from .base import AbstractKernel
from .equilibrium import angle_of, arc, versine


class GatedKernel(AbstractKernel):
    r"""Kernels of the gated network with L trained layers, in the network's own units per power of its width m:

    - `features` $= |x||x'| κ_1/d$, the limit of $H_0 H_0^⊤/m$;
    - `nngp` $= 2 |x||x'| c_L/d$, the limit of the covariance of the outputs at the start over m;
    - `ntk` $= L |x||x'| c_L/d$, the limit of the tangent kernel over m². λ₀ of the certificates is its λ_min.

    **Arguments:** `depth`, L ≥ 1; `gates`, "chain" or "inputs".

    **Raises:** `ValueError` for another depth or other gates.

    **Source:** this library; the source states no limit kernel. c_L(0) > 0: orthogonal inputs keep correlated features,
    and with chain gates c_L decays like L^{−3} only, where the source's Theorem 6 has (5/6)^L.
    """

    depth: int = eqx.field(static=True)
    gates: str = eqx.field(static=True, default="chain")

    def __check_init__(self):
        check_count("depth", self.depth)
        if self.gates not in ("chain", "inputs"):
            raise ValueError(f"gates: chain or inputs expected for the limit kernel, {self.gates!r} came")

    def embed(self, x: Float[Array, "n d"]) -> Float[Array, "n d"]:
        """√(2/d) x: the first pre-activations have the covariance of these rows."""
        return math.sqrt(2 / x.shape[1]) * x

    def overlap(self, angle: Float[Array, "*pairs"]) -> Float[Array, "*pairs"]:
        """c_L/κ_1: the product of the κ_0, at an angle of the inputs in [0, π]."""
        if self.gates == "inputs":
            return ((math.pi - angle) / math.pi) ** self.depth

        def layer(_, state):
            angle, product = state
            angle = angle_of(feature_versine(angle))
            return angle, product * (math.pi - angle) / math.pi

        return jax.lax.fori_loop(0, self.depth, layer, (angle, jnp.ones_like(angle)))[1]

    def entries(self, cov: Covariance) -> dict[str, Float[Array, "*pairs"]]:
        """`features`, `nngp` and `ntk` of a tile of pairs."""
        features = get("relu").dual(cov)  # E φ(u)φ(v) with variances 2|x|²/d
        whole = features * self.overlap(cov.angle)
        return {"features": features, "nngp": 2 * whole, "ntk": self.depth * whole}

    def entry_bounds(
        self, variances: Float[Array, " n"], variance_error: float, angle_error: float
    ) -> dict[str, float]:
        r"""|dκ_1/dθ| ≤ 1, |dκ_0/dθ| = 1/π, and the angle of the next features moves no more than the one before.

        An angle of features is right to 16 eps more than what it is computed from, an overlap to 4 eps more.
        """
        relu, size = get("relu"), float(jnp.max(variances)) / 2
        features = size * (angle_error + variance_error) + relu.dual_error(variances)
        angles = self.depth * angle_error + 16 * EPS * self.depth * (self.depth + 1) / 2
        if self.gates == "inputs":
            angles = self.depth * angle_error
        whole = features + size * (angles / math.pi + 4 * EPS * self.depth + 2 * EPS)
        return {"features": features, "nngp": 2 * whole, "ntk": self.depth * (whole + EPS * size)}


def feature_versine(angle: Float[Array, "*pairs"]) -> Float[Array, "*pairs"]:
    """1 − κ_1(cos θ) = (1 − cos θ) − (sin θ − θ cos θ)/π, all digits near θ = 0."""
    tau = versine(angle)
    return tau - arc(angle, tau) / math.pi


def c_infinity(depth: int, angle: float = math.pi / 2, gates: str = "chain") -> float:
    """c_L at an angle of the inputs: the correlation of the features of two inputs, and of their shares of the NTK.

    **Raises:** as `GatedKernel`.
    """
    at = jnp.asarray(angle, float)
    return float((1 - feature_versine(at)) * GatedKernel(depth, gates).overlap(at))

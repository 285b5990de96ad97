"""Implicit network z = φ((γ/√m) A z + φ(Wx)/√m), f(x) = uᵀz + vᵀφ(Wx)/√m, all of A, W, u, v trained.

The ReLU network of Gao, Liu, Liu, Rajan and Gao (ICLR 2022), with any Lipschitz φ. How it is solved and warm-started
is in `fixed_point_layer`, here with M = (γ/√m) A and C = Φ = φ(XWᵀ)/√m. γ is fixed at initialisation and not trained.
"""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, PRNGKeyArray, PyTree

from .._core import linalg, numerics
from ..activations import AbstractActivation
from .base import TangentBlock
from .fixed_point_layer import AbstractEquilibriumModel, EquilibriumState, Method, product


class Implicit(AbstractEquilibriumModel):
    """Implicit network of width m on inputs of dimension d; rows of norm 1 are what the theory assumes.

    The equilibrium exists and is unique if sup|φ′| (γ/√m)‖A‖ < 1, or if 0 ≤ φ′ ≤ 1 and (γ/√m) λ_max((A + Aᵀ)/2) < 1
    (`well_posed`).
    """

    hidden: Float[Array, "m m"]  # A
    inject: Float[Array, "m d"]  # W
    readout: Float[Array, " m"]  # u
    skip: Float[Array, " m"]  # v
    activation: AbstractActivation
    gamma: float = eqx.field(static=True)  # γ in (0, 1)
    tolerance: float = eqx.field(static=True, default=1e-6)  # of a training step, relative to ‖Φ‖ and √n ‖u‖
    max_steps: int = eqx.field(static=True, default=500)
    method: Method = eqx.field(static=True, default="iteration")

    def __check_init__(self):
        _check_unit_interval("gamma", self.gamma)

    @classmethod
    def init(
        cls,
        dimension: int,
        width: int,
        activation: AbstractActivation,
        *,
        key: PRNGKeyArray,
        gamma0: float = 0.1,
        norm_bound: float | None = None,
        dtype=jnp.float64,
        tolerance: float = 1e-6,
        max_steps: int = 500,
        method: Method = "iteration",
    ) -> "Implicit":
        """A_ij, W_ij ~ N(0, 1) and u_j, v_j uniform on ±1, independent (Assumption 1); γ = min(γ₀, γ₀/c).

        **Arguments:** `gamma0` in (0, 1) is what (γ/√m)‖A‖ stays below as long as ‖A‖ ≤ c√m (Lemma 2.2).
        `norm_bound` is that c, stated in advance; by default it is measured, the larger of ‖A(0)‖/√m and ‖W(0)‖/√m
        with their error bounds added, near 2 for A. The induction of Theorems 3.1 and 3.2 lets both norms double:
        their γ ≤ min(1/2, 1/(4c)), which keeps the norm below 1/2, holds for every γ₀ ≤ 1/4. The published
        experiments' γ = 0.1 is `gamma0=0.2, norm_bound=2`.

        **Raises:** `ValueError` for a dimension or width below 1, γ₀ outside (0, 1), and c not positive.
        """
        numerics.check_count("dimension", dimension)
        numerics.check_count("width", width)
        _check_unit_interval("gamma0", gamma0)
        if norm_bound is not None and not 0 < norm_bound < np.inf:
            raise ValueError(f"norm_bound: a positive number expected, {norm_bound} came; leave it out to measure it")
        a_key, w_key, u_key, v_key = jax.random.split(key, 4)
        hidden = jax.random.normal(a_key, (width, width), dtype)
        inject = jax.random.normal(w_key, (width, dimension), dtype)
        readout = jax.random.rademacher(u_key, (width,), dtype)
        skip = jax.random.rademacher(v_key, (width,), dtype)
        if norm_bound is None:
            norms = (linalg.spectral_norm(np.asarray(weight, np.float64)) for weight in (hidden, inject))
            norm_bound = max(norm.upper for norm in norms) / float(np.sqrt(width))
        gamma = min(gamma0, gamma0 / norm_bound)
        return cls(
            hidden=hidden,
            inject=inject,
            readout=readout,
            skip=skip,
            activation=activation,
            gamma=gamma,
            tolerance=tolerance,
            max_steps=max_steps,
            method=method,
        )

    def trainable(self) -> PyTree:
        """A, W, u and v."""
        frozen = jax.tree.map(lambda _: False, self)
        return eqx.tree_at(_weights, frozen, (True, True, True, True))

    @property
    def scale(self) -> float:
        """γ/√m."""
        return self.gamma / float(np.sqrt(len(self.readout)))

    def matrix(self) -> Float[Array, "m m"]:
        """(γ/√m) A."""
        return self.hidden * self.scale

    def features(self, x: Float[Array, "*n d"]) -> Float[Array, "*n m"]:
        """Φ = φ(XWᵀ)/√m, what the equilibrium and the output both read."""
        return self.activation(self._injected(x)) * self._root

    def output_scale(self, x: Float[Array, "n d"], state: EquilibriumState | None = None) -> float:
        """max_i ‖u‖‖z_i‖ + max_i ‖v‖‖φ_i‖ (Cauchy-Schwarz)."""
        hidden = jnp.linalg.norm(self.equilibrium(x, state).checked(), axis=1)
        direct = jnp.linalg.norm(self.features(x), axis=1)
        return float(jnp.linalg.norm(self.readout) * jnp.max(hidden) + jnp.linalg.norm(self.skip) * jnp.max(direct))

    def factors(
        self, x: Float[Array, "n d"], z: Float[Array, "n m"], r: Float[Array, "n m"]
    ) -> dict[str, TangentBlock]:
        """∂f_i/∂A = (γ/√m) r_i ⊗ z_i, ∂f_i/∂W = E_i(r_i + v)/√m ⊗ x_i, ∂f_i/∂u = z_i, ∂f_i/∂v = φ_i, exact for any φ.

        E_i = diag φ′(Wx_i). Their Gram matrices are the four terms of Lemma 3.1, H = γ²M∘ZZᵀ + Q∘XXᵀ + ZZᵀ + G:
        γ²M and Q are those of the left factors of "hidden" and "inject", ZZᵀ and G = ΦΦᵀ are the read-outs'. Both
        factors of Q carry the transposed inverse (the printed (16) drops it in one).
        """
        ones = jnp.ones((len(x), 1), x.dtype)
        return {
            "hidden": TangentBlock(r * self.scale, z),
            "inject": TangentBlock(self._slopes(x) * (r + self.skip), x),
            "readout": TangentBlock(z, ones),
            "skip": TangentBlock(self.features(x), ones),
        }

    @property
    def _root(self) -> float:
        return 1 / float(np.sqrt(len(self.readout)))

    def _slopes(self, x: Float[Array, "*n d"]) -> Float[Array, "*n m"]:
        """E/√m. Compiled together with Φ it costs no second product XWᵀ."""
        return self.activation.derivative(self._injected(x)) * self._root

    def shift(self, x: Float[Array, "*n d"]) -> Float[Array, "*n m"]:
        """Φ."""
        return self.features(x)

    def read(self, x: Float[Array, "*n d"], z: Float[Array, "*n m"]) -> Float[Array, "*n"]:
        """Z u + Φ v."""
        return product(z, self.readout) + product(self.features(x), self.skip)

    def _gradient(self, x, z, weighted, rho) -> "Implicit":
        """Equations (10)-(12), with r_i = D_i(I − (γ/√m) AᵀD_i)⁻¹u: two products and two matrix-vector products."""
        direct = self._slopes(x) * (weighted + rho[:, None] * self.skip)
        leaves = (
            product(weighted.T, z) * self.scale,
            product(direct.T, x),
            product(rho, z),
            product(rho, self.features(x)),
        )
        return eqx.tree_at(_weights, eqx.filter(self, self.trainable()), leaves)


def _weights(model: Implicit) -> tuple:
    return model.hidden, model.inject, model.readout, model.skip


def _check_unit_interval(name: str, value: float) -> None:
    if not 0 < value < 1:
        raise ValueError(f"{name}: a number in (0, 1) expected, {value} came; the experiments take γ = 0.1")

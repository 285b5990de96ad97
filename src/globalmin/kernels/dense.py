"""Infinitely wide fully connected networks of any depth: the kernels of the thesis, and NNGP and NTK of all layers.

Convention of Du, Lee, Li, Wang, Zhai (ICML 2019) by default: x^(h) = √(c_σ/m) σ(W^(h) x^(h−1)), f = aᵀx^(H), every weight
N(0, 1), c_σ = 1/E[σ(z)²]. With `weight_std` and `bias_std`, the NTK parametrisation s m^{-1/2} W x + b β of the other
libraries; neural-tangents divides the first layer's product by the number of features too: hand in x/√d to compare. No
√2 is hidden in the activation.
"""

import math
from typing import ClassVar

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from .._core import numerics
from ..activations import AbstractActivation, Covariance
from .base import AbstractKernel, homogeneous_slopes
from .recursion import Pairs, VectorLayout, plain, signed
from .rounding import Rounding


class DenseKernel(AbstractKernel):
    r"""With C^(1) = s_1² xᵀx' + b², C^(h+1) = s² E[φ(u)φ(v)] + b², (u, v) ~ N(0, C^(h)), and H = `depth` hidden layers:

    - `nngp` $= C^{(H+1)}$, the covariance of the outputs, and with b = 0 the limit of G^(H+1) and K^(H) of deeper networks;
    - `k_h` $= s^2 C^{(H)} E_{C^{(H)}}[φ'φ']$, the tangent kernel of the last hidden layer: K^(H) of Theorem 3.1;
    - `ntk` $= Θ^{(H+1)}$, Θ^(1) = C^(1), Θ^(h+1) = C^(h+1) + s² Θ^(h) E[φ′φ′]: all layers trained.

    **Arguments:** `activation`; `depth`: H ≥ 1; `weight_std`: s, by default √c_σ; `input_std`: s_1, by default 1;
    `bias_std`: b, biases are trained where it is not 0.

    **Raises:** `ValueError` for a depth below 1, standard deviations that are not positive, a negative `bias_std`.

    **Accuracy, cost:** ReLU and leaky ReLU: a few eps of the entry at every depth and every angle. Elementwise work on
    tiles that stay in cache, `depth` times; compile time and memory do not depend on the depth.

    **Source:** Du et al., ICML 2019, Definition 3.1 of the thesis with A^(H) in the place of A^(H−1) in the last line;
    Jacot, Gabriel and Hongler (2018), Theorem 1.
    """

    single: ClassVar[bool] = True

    activation: AbstractActivation
    layers: Int[Array, ""]  # the depth, traced: one compilation serves every depth
    weight_std: float = eqx.field(static=True)
    input_std: float = eqx.field(static=True)
    bias_std: float = eqx.field(static=True)
    slopes: tuple[float, float] | None = eqx.field(static=True)  # φ on the two half-lines, None if not homogeneous

    def __init__(
        self,
        activation: AbstractActivation,
        depth: int,
        *,
        weight_std: float | None = None,
        input_std: float = 1.0,
        bias_std: float = 0.0,
    ):
        self.activation = activation
        self.layers = traced_depth(depth)
        self.weight_std = check_deviation("weight_std", activation.c_sigma**0.5 if weight_std is None else weight_std)
        self.input_std = check_deviation("input_std", input_std)
        self.bias_std = check_deviation("bias_std", bias_std, zero=True)
        self.slopes = homogeneous_slopes(activation)

    @property
    def depth(self) -> int:
        """H."""
        return int(self.layers)

    def embed(self, x: Float[Array, "n d"]) -> Float[Array, "n e"]:
        """(s_1 x, b)."""
        x = self.input_std * x
        if self.bias_std == 0:
            return x
        return jnp.concatenate([x, jnp.full((len(x), 1), self.bias_std, x.dtype)], axis=1)

    def refined(self, variance: Float[Array, ""]) -> "DenseKernel":
        """With an activation that is accurate at the largest variance of all layers."""
        if self.slopes is not None:
            return self
        top = v = float(variance)
        for _ in range(self.depth - 1):
            v = self.weight_std**2 * float(self.activation.second_moment(v)) + self.bias_std**2
            top = max(top, v)
        return DenseKernel(
            self.activation.refined(top),
            self.depth,
            weight_std=self.weight_std,
            input_std=self.input_std,
            bias_std=self.bias_std,
        )

    def entries(self, cov: Covariance) -> dict[str, Float[Array, "*pairs"]]:
        """`nngp`, `k_h` and `ntk` of a tile of pairs."""
        first = Pairs(cov.p[:, 0], cov.q[0, :], signed(cov), VectorLayout())
        return plain(self.activation, self.slopes, first, self.layers, self.weight_std**2, self.bias_std**2)

    def entry_bounds(
        self, variances: Float[Array, " n"], variance_error: float, angle_error: float
    ) -> dict[str, float]:
        """Errors carried from layer to layer (`Rounding`)."""
        error = Rounding(self.activation, self.slopes, np.asarray(variances), variance_error, angle_error)
        weight, bias = self.weight_std**2, self.bias_std**2
        for _ in range(self.depth - 1):
            error = error.plain(weight, bias)
        return error.outputs(weight, bias)


def check_deviation(name: str, value: float, *, zero: bool = False) -> float:
    """Return a standard deviation as a float, or raise `ValueError`."""
    if not (0 < value < math.inf or (zero and value == 0)):
        raise ValueError(f"{name}: {'a number of at least 0' if zero else 'a positive number'} expected, {value} came")
    return float(value)


def traced_depth(depth: int, least: int = 1) -> Int[Array, ""]:
    """The depth as an array, so that a kernel of another depth is compiled already; `ValueError` below `least`."""
    with jax.ensure_compile_time_eval():
        return jnp.asarray(numerics.check_count("depth", depth, least))

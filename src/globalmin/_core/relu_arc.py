r"""The function of an angle behind every population loss of ReLUs on Gaussian input.

g(φ) = (π − φ) cos φ + sin φ falls from g(0) = π over g(π/2) = 1 to g(π) = 0, and
E[max(w₁ᵀz, 0) max(w₂ᵀz, 0)] = ‖w₁‖‖w₂‖ g(φ)/(2π) for z ~ N(0, I) and φ the angle between w₁ and w₂.
"""

import math

import jax.numpy as jnp
import scipy.optimize
from jaxtyping import Array, Float

SERIES_BELOW = 0.1
"""Where φ cos φ − sin φ is summed: five terms reach eps there, and the plain difference has lost two digits."""


def arc(phi: Float[Array, "*batch"]) -> Float[Array, "*batch"]:
    """g(φ) for φ in [0, π], to a few eps absolutely.

    **Source:** Du, thesis CMU-ML-19-102, Theorem 5.1.
    """
    return (jnp.pi - phi) * jnp.cos(phi) + jnp.sin(phi)


def arc_gap(phi: Float[Array, "*batch"]) -> Float[Array, "*batch"]:
    """π − g(φ) for φ in [0, π], to a few eps relatively: about πφ²/2 near 0, where subtracting g from π keeps nothing."""
    square = phi * phi
    series = square * (-1 / 3 + square * (1 / 30 + square * (-1 / 840 + square * (1 / 45360 - square / 3991680))))
    rest = jnp.where(phi < SERIES_BELOW, phi * series, phi * jnp.cos(phi) - jnp.sin(phi))
    return 2 * jnp.pi * jnp.sin(phi / 2) ** 2 + rest


def arc_inverse(value: float) -> float:
    """The φ in [0, π] with g(φ) = `value`, for a value in [0, π].

    **Raises:** `ValueError` for a value that g does not take.
    """
    if not 0 <= value <= math.pi:
        raise ValueError(f"value: g takes values in [0, π], {value!r} came")

    def excess(phi: float) -> float:
        return (math.pi - phi) * math.cos(phi) + math.sin(phi) - value

    # At the ends rounding can leave the bracket without a change of sign.
    if excess(0.0) <= 0:
        return 0.0
    return math.pi if excess(math.pi) >= 0 else _root(excess)


def _root(excess) -> float:
    return float(scipy.optimize.root_scalar(excess, bracket=(0.0, math.pi), method="brentq", xtol=1e-15).root)

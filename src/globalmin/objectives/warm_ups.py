"""The three sketches before the counter-example: why a bad start, a far start and a second saddle cost time."""

import jax.numpy as jnp
from jaxtyping import Array, Float

from .saddle import smooth_step


def thin_band(point: Float[Array, "2"]) -> Float[Array, ""]:
    """x₁² − x₂²: with |x₂| ≤ (3/2)^(−m) at the start and η = ¼, m steps to |x₂| = 1."""
    return point[0] ** 2 - point[1] ** 2


def far_start(point: Float[Array, "2"]) -> Float[Array, ""]:
    """A slope −4x₁ + x₂² − 23/6 for x₁ < −2, the saddle x₁² − x₂² for x₁ > −1, joined with two derivatives.

    With η = ¼ the slope halves x₂ at every step of length 1. The source prints no constant for the slope and no
    connector: with t = x₁ + 2, 25/6 − 4t + (4/3)t³ − t⁴/2 + (1 − 2s₅(t))x₂².

    **Source:** Du's thesis, (7.2).
    """
    x, y = point
    t = jnp.clip(x + 2, 0.0, 1.0)
    join = 25 / 6 - 4 * t + 4 / 3 * t**3 - t**4 / 2 + (1 - 2 * smooth_step(t)) * y**2
    return jnp.where(x < -2, -4 * x + y**2 - 23 / 6, jnp.where(x > -1, x**2 - y**2, join))


def two_saddles(point: Float[Array, "2"], L: float, gamma: float) -> Float[Array, ""]:
    """The discontinuous sketch of two saddles in a row, by its regions: x₁ ≤ 1; x₁ > 1 and x₂ ≤ 1; both beyond 1.

    **Source:** Du's thesis, (7.3).
    """
    x, y = point
    second = L * (x - 2) ** 2 + jnp.where(y <= 1, -gamma * y**2, L * (y - 2) ** 2)
    return jnp.where(x <= 1, -gamma * x**2 + L * y**2, second)

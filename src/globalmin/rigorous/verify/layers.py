"""What the checks of layered networks share: norms of small matrices of bounds, masks, and images cut into patches."""

from typing import Any

from .balls import Balls

SQUARINGS = 40


def symmetric_norm(balls: Balls, rows: list[list[Any]]) -> Any:
    """‖A‖ of a symmetric matrix from above: the 2^k-th root of the Frobenius norm of A^(2^k), off by a factor 4^(2^-k)."""
    power = balls.flint.arb_mat(rows)
    for _ in range(SQUARINGS):
        power = power * power
    found = balls.norm(power.entries())
    for _ in range(SQUARINGS):
        found = found.sqrt()
    return found


def length(*parts: Any) -> Any:
    """√(Σ v²)."""
    found = parts[0] * parts[0]
    for v in parts[1:]:
        found = found + v * v
    return found.sqrt()


def smallest(*values: Any) -> Any:
    """The smallest of some balls."""
    found = values[0]
    for v in values[1:]:
        found = found.min(v)
    return found

"""python-flint, imported when it is first needed: ball arithmetic (Arb) in which every operation is rounded outward."""

import contextlib
import math
from collections.abc import Iterator
from typing import Any

PRECISION = 128
"""Bits of the maker's balls where scalars, eigenvalue bounds and the theorem are evaluated."""

MISSING = "rigorous mode computes in ball arithmetic and needs python-flint: pip install globalmin[rigorous]"


def flint() -> Any:
    """The module. **Raises:** `ImportError`, one line that says what to install."""
    try:
        import flint
    except ImportError:
        raise ImportError(MISSING) from None
    return flint


@contextlib.contextmanager
def precision(bits: int) -> Iterator[Any]:
    """The module with `bits` of precision inside the block."""
    module = flint()
    with module.ctx.workprec(bits):
        yield module


def down(ball: Any) -> float:
    """The largest double that is certainly not above the ball, to one unit in the last place; −inf for an unbounded one."""
    module = flint()
    if not ball.is_finite():
        return -math.inf
    found = float(ball.lower())
    while not module.arb(found) <= ball:
        found = math.nextafter(found, -math.inf)
    return found


def up(ball: Any) -> float:
    """The smallest double that is certainly not below the ball, to one unit in the last place; inf for an unbounded one."""
    return 0.0 - down(-ball)

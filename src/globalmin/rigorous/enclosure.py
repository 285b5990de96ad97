r"""Real matrices known up to an entrywise radius, in double precision with outward rounding.

Every operation gives a matrix of midpoints and one of radii such that the exact result for every pair of operands inside the
operands' radii lies inside the result's. With the unit roundoff u = 2^{-53} and γ_k = ku/(1 − ku):

- a sum or product of two doubles is off by u|result| (and 2^{-1074} where a product underflows);
- an inner product of length k, summed in any order, with or without fused operations, is off by γ_k Σ|a_i b_i| + k 2^{-1074}:
  so that nothing is assumed about the order in which BLAS adds (Higham, Accuracy and Stability, section 3.1);
- radii are sums of products of non-negative doubles, whose own rounding is covered by one more factor 1 + 4(k + 4)u.

Overflow makes midpoint or radius infinite or NaN; `Interval` refuses those, and the verdict is then UNDECIDED.
"""

import dataclasses
import math
from typing import Any

import numpy as np

from .flint import down, up

UNIT = 2.0**-53
TINY = 2.0**-1074
BLOCK = 64
"""Terms of an inner product that are left to BLAS at a time."""


class UnboundedError(ValueError):
    """An enclosure that overflowed, or a number that could not be enclosed: nothing is proven, in one line."""


def gamma(k: int) -> float:
    """γ_k, rounded up; k far below 2^53."""
    return k * UNIT * (1 + 4 * k * UNIT + 1e-15)


def grow(radius: np.ndarray, operations: int) -> np.ndarray:
    """A radius that is at least the exact value of an expression of that many additions and products of non-negative terms."""
    return radius * (1 + 4 * (operations + 4) * UNIT) + (operations + 4) * TINY


@dataclasses.dataclass(frozen=True)
class Interval:
    """A real number between two doubles.

    **Raises:** `UnboundedError` where an end is not finite.
    """

    lower: float
    upper: float

    def __post_init__(self):
        if not (math.isfinite(self.lower) and math.isfinite(self.upper) and self.lower <= self.upper):
            raise UnboundedError(
                f"a number left the range of double precision ([{self.lower}, {self.upper}]): rescale the data or the weights"
            )

    @classmethod
    def of(cls, ball: Any) -> "Interval":
        """The smallest interval of doubles around an Arb ball."""
        return cls(down(ball), up(ball))


@dataclasses.dataclass(frozen=True)
class Enclosure:
    """The set of arrays within `rad` of `mid`, entry by entry. Shapes broadcast as NumPy's."""

    mid: np.ndarray
    rad: np.ndarray

    @classmethod
    def exact(cls, values: Any) -> "Enclosure":
        """Doubles (or floats of fewer bits), taken as they are."""
        mid = np.asarray(values, np.float64)
        return cls(mid, np.zeros_like(mid))

    @classmethod
    def ball(cls, ball: Any) -> "Enclosure":
        """An Arb ball as a scalar."""
        found = Interval.of(ball)
        middle = found.lower + (found.upper - found.lower) / 2
        radius = max(math.nextafter(found.upper - middle, math.inf), math.nextafter(middle - found.lower, math.inf))
        return cls(np.asarray(middle), np.asarray(radius))

    @property
    def T(self) -> "Enclosure":
        """The transpose."""
        return Enclosure(self.mid.T, self.rad.T)

    def __getitem__(self, index: Any) -> "Enclosure":
        return Enclosure(self.mid[index], self.rad[index])

    def __neg__(self) -> "Enclosure":
        return Enclosure(-self.mid, self.rad)

    def __add__(self, other: "Enclosure") -> "Enclosure":
        mid = self.mid + other.mid
        return Enclosure(mid, grow(self.rad + other.rad + UNIT * np.abs(mid), 3))

    def __sub__(self, other: "Enclosure") -> "Enclosure":
        return self + (-other)

    def __mul__(self, other: "Enclosure") -> "Enclosure":
        """Entry by entry."""
        mid = self.mid * other.mid
        size = np.abs(self.mid) * other.rad + self.rad * (np.abs(other.mid) + other.rad)
        return Enclosure(mid, grow(size + UNIT * np.abs(mid), 6) + TINY)

    def __matmul__(self, other: "Enclosure") -> "Enclosure":
        k = self.mid.shape[-1]
        depth = k
        if k <= 2 * BLOCK:
            mid = self.mid @ other.mid
        else:  # a sum of short products is rounded γ_(length + number), not γ_k
            depth = BLOCK + math.ceil(k / BLOCK)
            mid = self.mid[..., :BLOCK] @ other.mid[:BLOCK]
            for first in range(BLOCK, k, BLOCK):
                mid = mid + self.mid[..., first : first + BLOCK] @ other.mid[first : first + BLOCK]
        size = np.abs(self.mid) @ (gamma(depth) * np.abs(other.mid) + other.rad)
        if self.rad.any():
            size = size + self.rad @ (np.abs(other.mid) + other.rad)
        return Enclosure(mid, grow(size, 2 * k + 4) + k * TINY)

    def widened(self, radius: Any) -> "Enclosure":
        """The same with non-negative numbers added to the radii."""
        return Enclosure(self.mid, grow(self.rad + radius, 1))

    def magnitude(self) -> np.ndarray:
        """At least |a| for every a inside."""
        return grow(np.abs(self.mid) + self.rad, 1)

    def mignitude(self) -> np.ndarray:
        """At most |a| for every a inside, and at least 0."""
        return np.maximum(np.abs(self.mid) - grow(self.rad, 1) - UNIT * 2 * np.abs(self.mid), 0.0)

    def largest(self) -> Interval:
        """max |a_ij|."""
        return Interval(float(self.mignitude().max(initial=0.0)), float(self.magnitude().max(initial=0.0)))

    def row_norm(self) -> Interval:
        """The largest Euclidean norm of a row."""
        below, above = self.row_norms()
        return Interval(float(below.max(initial=0.0)), float(above.max(initial=0.0)))

    def row_norms_upper(self) -> np.ndarray:
        """The Euclidean norms of the rows, from above."""
        return self.row_norms()[1]

    def norm(self) -> Interval:
        """The Euclidean norm of all entries."""
        return Enclosure(self.mid.reshape(1, -1), self.rad.reshape(1, -1)).row_norm()

    def row_gram(self, off: np.ndarray) -> "Enclosure":
        """AAᵀ for rows that are moreover off by vectors of these norms: ‖a_i‖e_j + e_i‖a_j‖ + e_i e_j (Cauchy-Schwarz)."""
        lengths = self.row_norms_upper()
        outer = np.outer(lengths, off)
        return (self @ self.T).widened(grow(outer + outer.T + np.outer(off, off), 4))

    def row_norms(self) -> tuple[np.ndarray, np.ndarray]:
        """The Euclidean norms of the rows, from below and from above."""
        # Row by row, scaled by a power of two so that squares neither overflow nor vanish.
        above = self.magnitude()
        top = above.max(axis=-1, initial=0.0, keepdims=True)
        with np.errstate(invalid="ignore", divide="ignore", over="ignore"):
            scale = np.ldexp(1.0, -np.clip(np.frexp(np.where(top > 0, top, 1.0))[1], -1000, 1000))
            k = self.mid.shape[-1]
            high = np.sqrt(grow(((above * scale) ** 2).sum(axis=-1), k + 2) + k * TINY)
            low = np.sqrt(((self.mignitude() * scale) ** 2).sum(axis=-1))
            slack = 4 * (k + 8) * UNIT
            # The scale is a power of two; a row so small that scaling back loses digits is covered by TINY.
            return (
                np.maximum(low * (1 - slack) / scale[..., 0] - k * TINY, 0.0),
                high * (1 + slack) / scale[..., 0] + k * TINY,
            )

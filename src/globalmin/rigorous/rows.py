"""Matrices whose rows are known up to a vector of bounded Euclidean norm: how one layer is enclosed after the other.

Entrywise radii grow at every product with W by the row sums of |W|, about √m times ‖W‖; a row that is off by a vector of norm e
is off by at most ‖W‖e after it, and by sup|φ′|e after an activation. So a layer is evaluated at doubles, which are exact, with
the radii of that one evaluation (`Enclosure`, `Elementwise`), and what earlier layers left is carried on in norm. Ten layers of
1,000 neurons lose one digit this way.
"""

import dataclasses

import numpy as np

from .elementwise import Elementwise
from .enclosure import TINY, UNIT, Enclosure, Interval, grow
from .spectrum import operator_norm


@dataclasses.dataclass(frozen=True)
class Rows:
    """The matrices whose row i is within `off[i]` of `mid[i]`."""

    mid: np.ndarray  # n × k
    off: np.ndarray  # n

    @classmethod
    def exact(cls, values: np.ndarray) -> "Rows":
        """Doubles, taken as they are."""
        mid = np.asarray(values, np.float64)
        return cls(mid, np.zeros(len(mid)))

    @classmethod
    def of(cls, found: Enclosure, carried: np.ndarray | float = 0.0) -> "Rows":
        """The rows of an enclosure, off by `carried` besides."""
        return cls(found.mid, grow(Enclosure.exact(found.rad).row_norms_upper() + carried, 1))

    def enclosure(self) -> Enclosure:
        """Entry by entry: no entry is off by more than its row."""
        return Enclosure(self.mid, np.broadcast_to(self.off[:, None], self.mid.shape))

    def times(self, matrix: Enclosure, norm: float) -> "Rows":
        """A Mᵀ, with `norm` ≥ ‖M‖."""
        return Rows.of(Enclosure.exact(self.mid) @ matrix.T, grow(norm * self.off, 1))

    def scaled(self, factor: Enclosure) -> "Rows":
        """A times a scalar."""
        found = Enclosure.exact(self.mid) * factor
        return Rows.of(found, grow(float(factor.magnitude()) * self.off, 1))

    def __add__(self, other: "Rows") -> "Rows":
        return Rows.of(Enclosure.exact(self.mid) + Enclosure.exact(other.mid), grow(self.off + other.off, 1))

    def through(self, phi: Elementwise, order: int = 0) -> "Rows":
        """φ, φ′ or φ″ of every entry."""
        lipschitz = phi.suprema[order]
        assert lipschitz is not None
        return Rows.of(phi(Enclosure.exact(self.mid), order), grow(lipschitz * self.off, 1))

    def hadamard(self, other: "Rows") -> "Rows":
        """A∘B: a∘b − a₀∘b₀ = a₀∘(b − b₀) + (a − a₀)∘b."""
        found = Enclosure.exact(self.mid) * Enclosure.exact(other.mid)
        mine, theirs = (np.abs(part.mid).max(axis=1, initial=0.0) for part in (self, other))
        return Rows.of(found, grow(mine * other.off + self.off * (theirs + other.off), 4))

    def columns(self, factors: Enclosure) -> "Rows":
        """A diag(factors)."""
        found = Enclosure.exact(self.mid) * factors
        return Rows.of(found, grow(factors.largest().upper * self.off, 1))

    def masked(self, mask: np.ndarray) -> "Rows":
        """A with the entries outside the mask set to 0."""
        return Rows(np.where(mask, self.mid, 0.0), self.off)

    def rectified(self) -> "Rows":
        """max(A, 0)."""
        return Rows(np.maximum(self.mid, 0.0), self.off)

    def product(self, other: "Rows") -> Enclosure:
        """ABᵀ: ‖a_i‖e_j + e_i‖b_j‖ + e_i e_j by Cauchy and Schwarz, and the rounding of the product."""
        mine, theirs = (Enclosure.exact(part.mid).row_norms_upper() for part in (self, other))
        reach = np.outer(mine, other.off) + np.outer(self.off, theirs) + np.outer(self.off, other.off)
        return (Enclosure.exact(self.mid) @ Enclosure.exact(other.mid).T).widened(grow(reach, 4))

    def gram(self) -> Enclosure:
        """AAᵀ."""
        return self.product(self)

    def dot(self, vector: Enclosure) -> Enclosure:
        """A v."""
        return (Enclosure.exact(self.mid) @ vector).widened(grow(vector.norm().upper * self.off, 1))

    def row_norm(self) -> Interval:
        """The largest norm of a row."""
        return self.group_norm(len(self.mid))

    def group_norm(self, groups: int) -> Interval:
        """The largest Euclidean norm of `groups` equal runs of rows (the pixels of one image after the other)."""
        stacked = Enclosure.exact(self.mid.reshape(groups, -1))
        off = Enclosure.exact(self.off.reshape(groups, -1)).row_norms_upper()
        below, above = stacked.row_norms()
        low = np.maximum(below - grow(off, 1), 0.0) * (1 - 2 * UNIT)
        return Interval(float(low.max(initial=0.0)), float(grow(above + off, 1).max(initial=0.0)))

    def norm(self) -> Interval:
        """The operator norm: the rows' errors move it by no more than their Frobenius norm."""
        plain, off = operator_norm(Enclosure.exact(self.mid)), Enclosure.exact(self.off).norm().upper
        low = (plain.lower - off) * (1 - 2 * UNIT) - TINY
        return Interval(max(low, 0.0), (plain.upper + off) * (1 + 2 * UNIT) + TINY)

    def largest(self) -> Interval:
        """max |a_ij|."""
        return self.enclosure().largest()

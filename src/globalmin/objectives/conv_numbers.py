r"""What the learning of a two-layer convolutional network depends on: three numbers of its teacher.

With s = ‖w*‖a*, the loss, its critical points and the fate of a start involve the teacher through the number of
patches k, the sum S = 1ᵀs and the square N = ‖s‖² alone. K = k + π − 1 and ρ = S²/N ∈ [0, k] below.
"""

import math

import equinox as eqx

from .._core import numerics
from .._core.relu_arc import arc_inverse


class TeacherNumbers(eqx.Module):
    """k, S and N of a teacher, and what follows from them.

    **Raises:** `ValueError` for fewer than one patch, N that is not positive and finite, or S² > kN.

    **Source:** Du, thesis CMU-ML-19-102, chapter 5 (Du, Lee, Tian, Póczos, Singh, ICML 2018); what goes beyond its
    lemmas (separating points, the ratio at which the spurious point stops attracting) is proved in the docs.
    """

    patches: int  # k
    total: float  # S = 1ᵀs, of either sign
    square: float  # N = ‖s‖²

    def __check_init__(self):
        numerics.check_count("patches", self.patches)
        if not (math.isfinite(self.square) and self.square > 0):
            raise ValueError(f"square: ‖w*‖²‖a*‖² positive and finite expected, {self.square!r} came")
        if not self.total**2 <= self.patches * self.square * (1 + 1e-12):
            raise ValueError(
                f"total: |1ᵀa*|² is at most k‖a*‖² (Cauchy and Schwarz), a ratio of {self.total**2 / self.square:.6g} "
                f"came for k = {self.patches}; lower it or take more patches"
            )

    @classmethod
    def of_ratio(cls, patches: int, ratio: float, square: float = 1.0) -> "TeacherNumbers":
        """From k, ρ = (1ᵀa*)²/‖a*‖² ≥ 0 and N."""
        if not ratio >= 0:
            raise ValueError(f"ratio: (1ᵀa*)²/‖a*‖² is at least 0, {ratio!r} came")
        return cls(patches, math.sqrt(ratio * square), square)

    @property
    def ratio(self) -> float:
        """ρ = S²/N."""
        return self.total**2 / self.square

    @property
    def scale(self) -> float:
        """K = k + π − 1, the largest eigenvalue of 11ᵀ + (π − 1)I."""
        return self.patches + math.pi - 1

    @property
    def bound(self) -> float:
        """M = N + S², which aᵀs never exceeds from a good start."""
        return self.square + self.total**2

    @property
    def largest_step(self) -> float:
        """min{2π/K, √2/M}: the step size under which every invariant of Theorem 5.3 is proved."""
        return min(2 * math.pi / self.scale, math.sqrt(2) / self.bound)

    @property
    def radius(self) -> float:
        """|S|/√k, of the ball from which Theorem 5.4 draws the output weights."""
        return abs(self.total) / math.sqrt(self.patches)

    @property
    def spurious_attracts(self) -> bool:
        """Whether ρ < K/π: otherwise the angle is repelled from π and the spurious point is a saddle."""
        return self.ratio < self.scale / math.pi

    @property
    def spurious_alignment(self) -> float:
        """a_spᵀs = (πS²/K − N)/(π − 1), negative exactly where the spurious point attracts."""
        return (math.pi * self.total**2 / self.scale - self.square) / (math.pi - 1)

    @property
    def spurious_loss(self) -> float:
        """ℓ at the spurious point; at least (π − 2)N/(4(π − 1)) ≈ 0.1333 N."""
        k, mean_square = self.patches, self.total**2 / self.patches
        along = (2 * k + math.pi - 2) / self.scale * mean_square
        return (along + (math.pi - 2) / (math.pi - 1) * (self.square - mean_square)) / 4

    @property
    def separating_arc(self) -> float:
        """g(φ_c) = (K − πρ)/(K − ρ), at most 1; not positive where the spurious point does not attract."""
        return (self.scale - math.pi * self.ratio) / (self.scale - self.ratio)

    @property
    def separating_angle(self) -> float:
        """φ_c ∈ [π/2, π], the angle of the critical points with aᵀs = 0 between the two basins; π where there are none."""
        return arc_inverse(self.separating_arc) if self.spurious_attracts else math.pi

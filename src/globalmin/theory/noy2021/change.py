"""Theorem 3 and Corollary 4: how much gradients and tangent kernel change on a ball, printed and repaired."""

import math
from typing import ClassVar

from ..._core import Estimate
from ..certificate import Hypothesis
from ..estimated import AbstractEstimated, over
from .start import DRAWN, NO_CONSTANT, NUMBERS_ONLY, OURS, PAPER, Start


class GradientChangePrinted(AbstractEstimated):
    """Theorem 3 as printed: R = Õ(n^{1/2} d_x (Ld_y)²/m^{5/2}).

    The gradient of an output by a layer has rank one and ‖·‖²_F about m²/(d_xd_y), not m³; with that and the square root
    R = O(L^{3/2}τ), which does not fall with m at a fixed τ (E18).
    """

    source: ClassVar[str] = f"{PAPER}, Theorem 3, as printed"
    statement: ClassVar[str] = "‖∇y_p(W_0 + W′) − ∇y_p(W_0)‖_F ≤ R‖∇y_p(W_0)‖_F with R = Õ(n^{1/2}d_x(Ld_y)²/m^{5/2})"
    errata_ids: ClassVar[tuple[str, ...]] = ("noy2021-E18",)
    assumed: ClassVar[str] = DRAWN

    start: Start
    width_constant: float | None = None

    @property
    def order(self) -> float:
        """n^{1/2} d_x (Ld_y)²/m^{5/2}."""
        s = self.start
        return math.sqrt(s.n) * s.inputs * (s.depth * s.outputs) ** 2 / s.width**2.5

    def inequalities(self) -> tuple[Hypothesis, ...]:
        """The width, of unknown constant."""
        s = self.start
        order = s.n * s.inputs * s.outputs**2 * s.depth**3
        needed = None if self.width_constant is None else self.width_constant * order
        return (
            *s.data(),
            Hypothesis.at_least("m ≥ K n d_x d_y² L³", s.width, needed, note=f"{NO_CONSTANT}; n d_x d_y² L³ = {order}"),
        )


class GradientChange(AbstractEstimated):
    """Theorem 3 replaced: on the ball of radius p every gradient changes by at most ψ(p), relatively by R = ψ(p)/min‖∇f_i‖."""

    source: ClassVar[str] = f"{OURS}: Theorem 3 with the multilinear bound ψ"
    statement: ClassVar[str] = "‖∇f_i(W + d) − ∇f_i(W)‖_F ≤ R‖∇f_i(W)‖_F for ‖d‖_F ≤ p, with R ≤ 1"
    errata_ids: ClassVar[tuple[str, ...]] = ("noy2021-E18",)
    assumed: ClassVar[str] = NUMBERS_ONLY

    radius: float  # p
    drift: float  # ψ(p)
    smallest_gradient: Estimate  # min_i ‖∇f_i‖
    larger_is_better: ClassVar[tuple[str, ...]] = ("smallest_gradient",)

    @property
    def ratio(self) -> float:
        """R."""
        return over(self.drift, self.smallest_gradient.value)

    def inequalities(self) -> tuple[Hypothesis, ...]:
        """R ≤ 1."""
        note = f"p = {self.radius:.4g} = ρ₀/σ₀, how far the linearised network goes; ψ(p) = {self.drift:.4g}"
        return (Hypothesis.at_most("R = ψ(p)/min‖∇f_i‖ ≤ 1", self.ratio, 1.0, note=note),)


class KernelChange(GradientChange):
    """Corollary 4 with that R: entries of the tangent kernel change by (2R + R²) ≤ 3R relatively.

    |K_ij(W + d) − K_ij(W)| ≤ (2R + R²)‖∇f_i‖‖∇f_j‖. Asked is that this is at most 1/2 for the diagonal.
    """

    source: ClassVar[str] = f"{OURS}: Corollary 4 with R measured"
    statement: ClassVar[str] = "|K_ij(W + d) − K_ij(W)| ≤ 3R‖∇f_i‖‖∇f_j‖ for ‖d‖_F ≤ p, and K_ii stays within a half"

    def inequalities(self) -> tuple[Hypothesis, ...]:
        """R ≤ 1 and 2R + R² ≤ 1/2."""
        r = self.ratio
        return (*super().inequalities(), Hypothesis.at_most("2R + R² ≤ 1/2", 2 * r + r * r, 0.5))

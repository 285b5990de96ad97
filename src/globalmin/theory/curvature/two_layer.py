"""Λ of the two-layer network f = m^{-1/2} Σ a_r φ(w_r·x): how fast its Jacobian can change, with the 1/√m gain.

For |c| = 1 and directions Δ, Δ′ of W,  Σ_i c_i D²f_i[Δ, Δ′] = m^{-1/2} Σ_r a_r Σ_i c_i φ″(h_ir)(Δ_r·x_i)(Δ′_r·x_i),
at most m^{-1/2} max|a| sup|φ″| χ ‖Δ‖‖Δ′‖ with χ ≥ sup over unit v of (Σ_i (x_i·v)⁴)^{1/2}: the matrix Σ_i c_i φ″_ir x_i x_iᵀ of
each neuron has norm at most sup|φ″| sup_v Σ_i |c_i| (x_i·v)², then Cauchy-Schwarz. χ ≤ ‖X‖ max‖x_i‖, the form of Schur's
product theorem. With the read-out trained, the mixed derivative adds m^{-1/2} sup|φ′| ‖X‖ off the diagonal.
"""

import dataclasses
import math


@dataclasses.dataclass(frozen=True)
class TwoLayerCurvature:
    """The numbers of the bound. `lipschitz(R)` is Λ on the ball of radius R; with a fixed read-out it is global."""

    slope: float  # sup|φ′|
    bend: float  # sup|φ″|
    readout_max: float  # max_r |a_r|
    data_norm: float  # ‖X‖, from above
    fourth_moment: float  # χ, from above
    width: int
    train_readout: bool = False

    def lipschitz(self, radius: float) -> float:
        """Λ(R): the norm of the symmetric 2 × 2 matrix of the bounds on the second derivatives by blocks."""
        scale = 1 / math.sqrt(self.width)
        if not self.train_readout:
            return self.bend * self.readout_max * self.fourth_moment * scale
        hidden = self.bend * (self.readout_max + radius) * self.fourth_moment * scale
        mixed = self.slope * self.data_norm * scale
        return block_norm(hidden, mixed)

    def norm(self, radius: float) -> float:
        """‖J‖ anywhere: sup|φ′| max|a| ‖X‖, of JJᵀ = Σ_r a_r² (φ′_r φ′_rᵀ)∘(XXᵀ)/m; infinite where the read-out is trained."""
        return math.inf if self.train_readout else self.slope * self.readout_max * self.data_norm


def block_norm(corner: float, mixed: float) -> float:
    """Operator norm of ((corner, mixed), (mixed, 0)) for non-negative entries."""
    if math.isinf(corner) or math.isinf(mixed):
        return math.inf
    return (corner + math.hypot(corner, 2 * mixed)) / 2

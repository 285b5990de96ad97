"""How far the smallest singular value of a two-layer network's Jacobian can fall along the path of descent: local constants.

Λ = sup|φ″| max|a| χ m^{-1/2} is one number for every direction of the outputs. Correlated data ask for better: σ₀ belongs to
combinations v of samples that smooth functions of x hardly see, and φ″(w_r·x) xxᵀ is such a function. Measure the change of
J in the norm of K = J₀J₀ᵀ: with δ ≥ ‖K^{-1/2}(J − J₀)‖,  σ_min(J) ≥ (1 − δ) σ₀.

**One neuron.** Let neuron r have moved by d_r, q_r = ‖d_r‖, and |u| = 1, v = K^{-1/2}u. To first order vᵀ(J − J₀)_r is
m^{-1/2} a_r A d_r with A = Σ_i v_i φ″_ir x_i x_iᵀ, ‖A‖_F² = (v∘φ″_r)ᵀ(G∘G)(v∘φ″_r), G = XXᵀ; over u that is at most
Σ_ij φ″_ir φ″_jr (G∘G)_ij (K⁻¹)_ij. What is left is at most ½ sup|φ‴| m^{-1/2}|a_r| |v| χ₆ q_r², χ₆² = λ_max(G∘G∘G). So
‖K^{-1/2}(J − J₀)_r‖ ≤ α q_r + κ q_r², and with Σ q_r² ≤ l², the square of the path's length, δ ≤ l (α + κ max q_r).

**No neuron moves alone.** A step of descent is s = η‖Jᵀr‖ ≥ (1 − δ) η‖K^{1/2}r‖, its share in neuron r is η‖J_rᵀr‖ ≤
(υ + αq_r + κq_r²) η‖K^{1/2}r‖ with υ ≥ ‖K^{-1/2}J_{0,r}‖, of the order of (n/m)^{1/2}. Hence q_r ≤ Q(l), the convex solution of
Q′ = (υ + αQ + κQ²)/(1 − δ(l)), Q(0) = 0, and δ(l) = l (α + κQ(l)): a ball whose radius is υ l for each neuron where the
whole network has l. It bounds the path of descent and of flow, not every point of a ball.
"""

import dataclasses

import numpy as np
import scipy.linalg
from jaxtyping import Float

from ..._core import Estimate, linalg, numerics
from .slopes import inverse_doubt

NODES = 400  # of the table of δ; between them δ is convex, so that the chord is above it


@dataclasses.dataclass(frozen=True)
class LocalDrift:
    """δ(l) as a table; `drift(l)` is σ₀δ(l), infinite where 1 − δ has reached 0."""

    sigma: float
    lengths: Float[np.ndarray, " k"]
    deltas: Float[np.ndarray, " k"]
    integrals: Float[np.ndarray, " k"]  # of δ from 0, by the trapezoid rule, which is from above

    def drift(self, length: float) -> float:
        """ψ(l)."""
        if length > self.lengths[-1]:
            return np.inf
        return self.sigma * float(np.interp(length, self.lengths, self.deltas))

    def drift_integral(self, length: float) -> float:
        """Ψ(l)."""
        if length > self.lengths[-1]:
            return np.inf
        k = max(int(np.searchsorted(self.lengths, length)) - 1, 0)
        part = (self.deltas[k] + float(np.interp(length, self.lengths, self.deltas))) * (length - self.lengths[k]) / 2
        return self.sigma * float(self.integrals[k] + part)


def local_drift(
    gram: Float[np.ndarray, "n n"],
    lambda_min: Estimate,
    rows: Float[np.ndarray, "n d"],
    slopes: Float[np.ndarray, "n m"],
    bends: Float[np.ndarray, "n m"],
    readout: Float[np.ndarray, " m"],
    third: float,
) -> LocalDrift | None:
    """The drift of f = m^{-1/2} Σ a_r φ(w_r·x), W trained, from an iterate.

    **Arguments:** `gram`, J₀J₀ᵀ; `lambda_min`, of it, its error bounding every eigenvalue's; `slopes` and `bends`, φ′ and φ″ at
    the pre-activations; `third`, sup|φ‴|.

    **Returns:** `None` where the Gram is not shown positive definite.

    **Cost:** O(n²m) time, no array larger than n × m.
    """
    if not lambda_min.lower > 0:
        return None
    try:
        inverse = scipy.linalg.cho_solve(scipy.linalg.cho_factor(gram), np.eye(len(gram)))
    except scipy.linalg.LinAlgError:
        return None
    doubt = inverse_doubt(gram, lambda_min)
    inner = rows @ rows.T
    scale = np.abs(readout) * np.sqrt(doubt / slopes.shape[1])
    bend_norm = _largest(inner**2 * inverse, bends, scale)
    start_norm = _largest(inner * inverse, slopes, scale)
    size = float(inner.diagonal().max())
    sixth = linalg.lambda_max(inner**3, entry_error=3 * (rows.shape[1] + 1) * numerics.EPS * size**3).upper
    rest = third / 2 * float(scale.max()) * np.sqrt(max(sixth, 0.0) / lambda_min.lower)
    lengths, deltas = tabulate(bend_norm, start_norm, rest)
    steps = np.diff(lengths) * (deltas[1:] + deltas[:-1]) / 2
    return LocalDrift(np.sqrt(lambda_min.upper), lengths, deltas, np.concatenate([[0.0], np.cumsum(steps)]))


def _largest(weights: np.ndarray, factors: np.ndarray, scale: np.ndarray) -> float:
    """max_r of scale_r (factor_rᵀ weights factor_r)^{1/2}; an upper bound of an operator norm by a Frobenius norm."""
    squares = np.einsum("ir,ir->r", weights @ factors, factors)
    return float((scale * np.sqrt(np.maximum(squares, 0.0))).max())


def tabulate(alpha: float, upsilon: float, kappa: float) -> tuple[np.ndarray, np.ndarray]:
    """l and δ(l) ≥ its value, up to where δ would reach 1.

    Each step of Q′ = (υ + αQ + κQ²)/(1 − l(α + κQ)) takes the slope at its right end, the largest of a convex solution: found
    by iteration from below, and refused unless it has converged.
    """
    if alpha == upsilon * kappa == 0:
        return np.array([0.0, 1e300]), np.zeros(2)
    reach = min(1 / alpha if alpha > 0 else np.inf, 1 / np.sqrt(upsilon * kappa) if upsilon * kappa > 0 else np.inf)
    lengths, deltas, moved = [0.0], [0.0], 0.0
    for length in reach * np.arange(1, NODES + 1) / NODES:
        guess = moved
        for _ in range(100):
            delta = length * (alpha + kappa * guess)
            if delta >= 1:
                return np.array(lengths), np.array(deltas)
            better = moved + (length - lengths[-1]) * (upsilon + alpha * guess + kappa * guess**2) / (1 - delta)
            if better <= guess * (1 + 1e-12):
                break
            guess = better
        else:
            return np.array(lengths), np.array(deltas)
        moved = guess * (1 + 1e-12)
        lengths.append(float(length))
        deltas.append(length * (alpha + kappa * moved))
    return np.array(lengths), np.array(deltas)

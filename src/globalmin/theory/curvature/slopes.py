r"""Secant slopes between 0 and 1: what does not depend on the sample is cheap in the norm of the features' own Gram.

Let the rows of F be the features of a read-out block, K = F₀F₀ᵀ, σ₀² = λ_min(K). With δ ≥ ‖K^{-1/2}(F − F₀)‖ every unit v has
‖Fᵀv‖ ≥ ‖F₀ᵀv‖ − δ‖K^{1/2}v‖ ≥ (1 − δ)σ₀. Where 0 ≤ φ′ ≤ 1, φ(h) − φ(h₀) = ½(h − h₀) + ζ with |ζ| ≤ ½|h − h₀|, entry by entry,
kinks or not. The part with ½ moves all samples by one matrix: F₀ or X times it, whose norm in K is about 1 (‖K^{-1/2}F₀‖ = 1),
where the rest costs ‖F₀‖/σ₀. That halves what the readout's drift is without it, or nearly so.
"""

import math

import numpy as np
import scipy.linalg
from jaxtyping import Float

from ..._core import Estimate, linalg, numerics


def inverse_doubt(gram: Float[np.ndarray, "n n"], lambda_min: Estimate) -> float:
    """By what factor K⁻¹ of the true Gram can be above the computed one's, its solves included; infinite without a proof.

    K⁻¹ of the true Gram is at most 1/(1 − error/λ_min) times that of the computed one; a solve adds n eps times the
    condition number, with a factor of 4 to spare.
    """
    if not lambda_min.lower > 0:
        return math.inf
    condition = float(np.abs(gram).sum(0).max()) / lambda_min.lower
    return 1 / (1 - lambda_min.error / lambda_min.value) + 4 * len(gram) * numerics.EPS * condition


def relative_norm(gram: Float[np.ndarray, "n n"], lambda_min: Estimate, rows: Float[np.ndarray, "n p"]) -> float:
    """‖K^{-1/2}A‖ from above; infinite where K is not shown positive definite."""
    doubt = inverse_doubt(gram, lambda_min)
    if math.isinf(doubt):
        return math.inf
    try:
        factor = scipy.linalg.cholesky(gram, lower=True)
    except scipy.linalg.LinAlgError:
        return math.inf
    solved = scipy.linalg.solve_triangular(factor, rows, lower=True)  # LLᵀ = K: ‖L⁻¹A‖ = ‖K^{-1/2}A‖
    return linalg.spectral_norm(solved).upper * math.sqrt(doubt)

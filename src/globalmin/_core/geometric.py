"""A lower bound on λ_0 of the ReLU from the closest pair of directions: kernels offer it, a theorem rests on it."""

import dataclasses
import math

import numpy as np
import scipy.special

from .numerics import EPS, check_count


@dataclasses.dataclass(frozen=True)
class GeometricBound:
    """λ_0 ≥ `value` > 0, taken at the term `k`; (0, None, None) where the bound says nothing.

    `k_0` is the smallest even k with (n − 1) δᵏ < 1, from which on every even term gives a positive bound.
    """

    value: float
    k: int | None
    k_0: int | None


def geometric_lower_bound(count: int, angle: float) -> GeometricBound:
    r"""$λ_0 ≥ \max_k a_k^2 (1 − (n − 1) δ^k)$ over k = 1 and the even k ≥ 2, for n unit rows, δ = max_{i≠j} |x_iᵀx_j|.

    ReLU's expansion gives $G^∞ = \sum_k a_k^2 (XX^⊤)^{∘k}$, a sum of positive semidefinite matrices of which the k-th
    has eigenvalues of at least 1 − (n − 1) δᵏ (Gershgorin). a_k is 0 for odd k ≥ 3, so those give nothing.

    **Arguments:** `count`: n; `angle`: the smallest angle between the lines of two rows, in [0, π/2], so that δ is its
    cosine with all digits of 1 − δ (`data.closest_pair`); it plays no role for n = 1.

    **Returns:** the bound, the k that it is taken at, and k_0. At the angle 0 (or below 1e-8) there is none: 0 and
    None. Where thousands of k compete, 2048 of them are tried; every k gives a bound.

    **Raises:** `ValueError` for a count below 1 or an angle outside [0, π/2].

    **Source:** Gao et al., ICLR 2022, Lemma 3.2 and Lemma A.9 (k_0). The proof as printed allows odd k, whose
    coefficients vanish.
    """
    count = check_count("count", count)
    if not 0 <= angle <= math.pi / 2:
        raise ValueError(f"angle: one between two lines expected, in [0, π/2] radians; {angle} came")
    if count == 1:
        return GeometricBound(0.25, 1, 2)
    # −log δ; away from 0 the cosine is only right to 2 eps absolutely, and is rounded up.
    rate = -math.log1p(-2 * math.sin(angle / 2) ** 2) if angle < 1 else -math.log(math.cos(angle) + 2 * EPS)
    if math.log(count) + 20 >= rate * 1e18:  # k would leave the integers, and the bound is below 1e-40
        return GeometricBound(0.0, None, None)
    # (n − 1) δᵏ < 1 beyond log(n − 1)/rate; 20/rate further on it is below 2e-9, and only a_k² ~ k^{-5/2} falls.
    k_0 = 2 * (math.floor(math.log(count - 1) / rate / 2) + 1)
    steps = math.ceil(10 / rate)
    half = k_0 // 2 + (np.arange(steps + 1) if steps < 4096 else np.unique(np.geomspace(1, steps, 2048).astype(int)))
    k = np.concatenate([[1], 2 * half])
    # 16 eps (1 + k rate) covers the rounding of the exponent, so that the bound stays one.
    powers = (count - 1) * np.exp(-k * rate) * (1 + 16 * EPS * (1 + k * rate))
    bounds = np.concatenate([[0.25], _even_squares(half)]) * (1 - powers)
    best = int(np.argmax(bounds))
    if bounds[best] <= 0:
        return GeometricBound(0.0, None, None)
    return GeometricBound(float(bounds[best]), int(k[best]), k_0)


def _even_squares(half: np.ndarray) -> np.ndarray:
    """a_k² = ((k − 3)!!)²/(2π k!) = binom(k, k/2) 2^{-k}/(2π (k − 1)²), k = 2 half ≥ 2; from below for large k."""
    few = np.minimum(half, 1000.0)  # beyond, logarithms of factorials would cancel
    central = np.exp(scipy.special.gammaln(few + 0.5) - scipy.special.gammaln(few + 1)) / math.sqrt(math.pi)
    return np.where(half <= 1000, central, 1 / np.sqrt(math.pi * (half + 0.5))) / (2 * math.pi * (2.0 * half - 1) ** 2)

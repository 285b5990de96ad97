"""The constants of (14)-(17), measured at an iterate from the layers' features and adjoints."""

import math

import equinox as eqx
import numpy as np
from jaxtyping import Bool, Float

from ..estimated import over


class Spectra(eqx.Module):
    """Extreme sizes of the features h_{k−1}^i and of F_{k+1}^i over samples i and layers k = 1 … L.

    α_x and β_x are those of ‖h‖², which is all that the proofs apply G to (erratum E2); `feature_maps` gives the printed
    ones. `off_diagonal` is γβ² of (16). `dominance` ≤ 1 is what the linear term of Lemma 2 needs of it:
    2 max_i Σ_{j≠i} Σ_k |⟨h^i, h^j⟩|‖F^i F^{jᵀ}‖ / Σ_k λ_min(F^i F^{iᵀ})‖h^i‖².
    """

    alpha_x: float
    beta_x: float
    alpha_y: float
    beta_y: float
    off_diagonal: float
    dominance: float

    @property
    def gamma(self) -> float:
        """γ of (16)."""
        return over(self.off_diagonal, self.beta_x * self.beta_y)

    def ratio(self, n: int) -> float:
        """nγβ²/(α²/2): (17) asks that it is at most 1."""
        return over(2 * n * self.off_diagonal, self.alpha_x * self.alpha_y)


def measure(features: Float[np.ndarray, "depth n m"], adjoints: Float[np.ndarray, "depth n out m"]) -> Spectra:
    """The constants from h_0 … h_{L−1} and F_2 … F_{L+1}; n² d_y² numbers at a time, no matrix of a sample.

    **Source:** Noy et al. (2021), (14)-(17), with erratum E2.
    """
    n, outputs = adjoints.shape[1:3]
    alpha_x = alpha_y = math.inf
    beta_x = beta_y = off = 0.0
    row_sums, diagonal = np.zeros(n), np.zeros(n)
    for h, f in zip(features, adjoints, strict=True):
        inner = np.abs(h @ h.T)
        sizes = inner.diagonal().copy()
        rows = f.reshape(n * outputs, -1)
        blocks = (rows @ rows.T).reshape(n, outputs, n, outputs).transpose(0, 2, 1, 3)
        norms = np.abs(blocks[:, :, 0, 0]) if outputs == 1 else np.linalg.norm(blocks, 2, axis=(2, 3))
        own = blocks[np.arange(n), np.arange(n)]
        smallest = own[:, 0, 0] if outputs == 1 else np.linalg.eigvalsh(own)[:, 0]
        alpha_x, beta_x = min(alpha_x, float(sizes.min())), max(beta_x, float(sizes.max()))
        alpha_y, beta_y = min(alpha_y, float(smallest.min())), max(beta_y, float(norms.diagonal().max()))
        between = inner * norms
        np.fill_diagonal(between, 0)
        off = max(off, float(between.max()))
        row_sums += between.sum(axis=1)
        diagonal += smallest * sizes
    with np.errstate(divide="ignore", invalid="ignore"):
        dominance = float(np.nanmax(2 * row_sums / diagonal))
    return Spectra(alpha_x, beta_x, max(alpha_y, 0.0), beta_y, off, dominance)


def feature_maps(
    first: Float[np.ndarray, "m d"],
    layers: Float[np.ndarray, "depth m m"],
    opened: Bool[np.ndarray, "n m"],
    masks: Bool[np.ndarray, "depth n m"],
) -> tuple[float, float]:
    """The printed α_x and β_x: extreme eigenvalues of G_kᵀG_k over k = 0 … L − 1 and samples (patterns D_0 and D_k).

    n m² d L operations, one m × d matrix at a time. (14) has G Gᵀ, whose smallest eigenvalue is 0 whenever m > d.
    """
    low, high = math.inf, 0.0
    for i, mask in enumerate(opened):
        g = mask[:, None] * first
        for k in range(len(layers)):
            if k > 0:
                g = masks[k - 1, i][:, None] * (layers[k - 1] @ g)
            values = np.linalg.eigvalsh(g.T @ g)
            low, high = min(low, float(values[0])), max(high, float(values[-1]))
    return max(low, 0.0), high


def edges(factors: int, ratio: float) -> tuple[float, float]:
    """Limits of λ_min and λ_max of MᵀM · d/m for M = D_k W_k … D_0 C with K = `factors` gated factors, c = 2d/m = `ratio`.

    K = k + 1 for G_k (d = d_x), K = L + 2 − k for F_k (d = d_y). The lower edge is 0 for c ≥ 1: more columns than open rows.

    **Raises:** `ValueError` for factors below 1 or a ratio that is not positive.

    **Source:** this library: free products of K Gaussian factors, h(z) = (1 + z)(1 + cz)^K/z at its stationary points.
    """
    if factors < 1 or not ratio > 0:
        raise ValueError(f"factors ≥ 1 and ratio > 0 expected, {factors} and {ratio} came")

    def h(z):
        return (1 + z) * (1 + ratio * z) ** factors / z

    # K c z² + (K − 1) c z − 1 = 0
    root = math.sqrt(((factors - 1) * ratio) ** 2 + 4 * factors * ratio)
    low, high = (-(factors - 1) * ratio - root, -(factors - 1) * ratio + root)
    upper = h(high / (2 * factors * ratio))
    return (h(low / (2 * factors * ratio)) if ratio < 1 else 0.0), upper

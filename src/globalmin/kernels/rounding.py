"""What rounding, and the errors of the inputs' angles, have done to the kernels of a deep network by its last layer."""

import dataclasses
import functools
import math

import jax.numpy as jnp
import numpy as np

from .._core.numerics import EPS
from ..activations import AbstractActivation, Covariance
from . import recursion


@dataclasses.dataclass(frozen=True)
class Rounding:
    r"""Bounds on the errors at one layer: of the covariances of its pre-activations and of the tangent kernel so far.

    Smooth φ: with F = E[φ(u)φ(v)], ∂F/∂c = E[φ′φ′] (Price) and ∂F/∂p = ½E[φ″(u)φ(v)], so errors of size e in p, q and c
    move F by at most (E φ′² + ‖φ″‖ ‖φ‖) e, norms in L²; E[φ′φ′] by (‖φ″‖² + ‖φ‴‖ ‖φ′‖) e, where ‖φ‴‖ may be replaced
    by ‖φ″‖/√p since p ∂/∂p E[φ′(u)φ′(v)] = ½E[uφ″(u)φ′(v)]. ‖φ″‖ ≤ sup|φ″|; for a polynomial of degree k,
    √p ‖φ″‖ ≤ √k ‖φ′‖.

    φ of two slopes: an error of the angle is not amplified by a layer, for with τ = 1 − cos θ, dτ'/dτ = 1 − βθ/π ≤ τ'/τ and
    θ cot(θ/2) falls, so that dθ'/dθ ≤ θ'/θ ≤ 1; nor by a sum of parts of shares a_k, b_k, since Σ a_k b_k sin θ_k ≤
    sin θ. A relative error ρ of variances turns a sum by 2ρ at most.
    """

    activation: AbstractActivation
    slopes: tuple[float, float] | None
    variances: np.ndarray  # of the pre-activations; with pixels, a grid between the least and the largest
    relative: float  # of the variances
    angle: float  # absolute
    tangent: float = 0.0  # largest entry of the tangent kernel of the layers before this one
    tangent_error: float = 0.0
    covariance_error: float | None = None  # of variances and covariances; None: what the two above say

    @property
    def top(self) -> float:
        """The largest variance, which no covariance exceeds."""
        return float(self.variances.max())

    @property
    def covariance(self) -> float:
        """Bound on the absolute error of variances and covariances."""
        if self.covariance_error is None or self.slopes is not None:
            return self.top * (self.relative + self.angle + 8 * EPS)
        return self.covariance_error

    @functools.cached_property
    def moments(self) -> np.ndarray:
        """E φ² at each variance."""
        return np.asarray(self.activation.second_moment(jnp.asarray(self.variances)))

    @functools.cached_property
    def dual(self) -> float:
        """Error of E[φ(u)φ(v)]."""
        size = float(self.moments.max())
        if self.slopes is not None:
            return size * (self.relative + self.angle + 16 * EPS)
        slope, bend, _ = self._norms
        return (slope**2 + bend * math.sqrt(size)) * self.covariance + self._series_error + 8 * EPS * size

    @functools.cached_property
    def slope(self) -> tuple[float, float]:
        """The largest E φ′², and the error of E[φ′(u)φ′(v)]."""
        if self.slopes is not None:
            a, b = self.slopes
            turn = (a - b) ** 2 / (2 * math.pi) * self.angle
            return (a * a + b * b) / 2, turn + 8 * EPS * (a * a + b * b)
        slope, bend, third = self._norms
        return slope**2, (bend**2 + third * slope) * self.covariance + self._series_error

    @functools.cached_property
    def mean(self) -> tuple[np.ndarray, float]:
        """E φ at each variance, and its error: the derivative by the variance is ½E φ″."""
        means = np.asarray(recursion.means(self.activation, self.slopes, jnp.asarray(self.variances)))
        size = math.sqrt(float(self.moments.max()))
        if self.slopes is not None:
            return means, size * (self.relative + 4 * EPS)
        return means, self._norms[1] / 2 * self.covariance + 16 * EPS * size

    def tangents(self, weight: float) -> tuple[float, float]:
        """Size and error of `weight` · E[φ′φ′] · (covariance + tangent kernel of the layers before)."""
        slope, slope_error = self.slope
        whole = self.tangent + self.top
        error = slope * (self.tangent_error + self.covariance) + whole * slope_error + 6 * EPS * slope * whole
        return weight * slope * whole, weight * error

    def plain(self, weight: float, bias: float, window: tuple[int, int] = (1, 1)) -> "Rounding":
        """After φ, a layer of pre-activations `weight` · (sum over a window of so many pixels) + `bias`."""
        most = window[1]
        tangent, tangent_error = self.tangents(weight * most)
        variances = over_window(weight * self.moments, window) + bias
        relative = self.relative + (most + 8) * EPS
        return dataclasses.replace(
            self,
            variances=variances,
            relative=relative,
            angle=self.angle + (most + 24) * EPS + (2 * relative if most > 1 or bias > 0 else 0.0),
            tangent=tangent,
            tangent_error=tangent_error + most * EPS * tangent,
            covariance_error=weight * most * self.dual + (most + 8) * EPS * float(variances.max()),
        )

    def outputs(self, weight: float, bias: float, terms: int = 1) -> dict[str, float]:
        """The bounds for `nngp`, `k_h` and `ntk`, after φ and a read-out that adds up `terms` pixels."""
        weight = weight * terms
        size = weight * float(self.moments.max()) + bias
        nngp = weight * self.dual + (terms + 4) * EPS * size
        k_h, last = dataclasses.replace(self, tangent=0.0, tangent_error=0.0).tangents(weight)
        tangent, error = self.tangents(weight)
        return {
            "nngp": nngp,
            "k_h": last + terms * EPS * k_h,
            "ntk": nngp + error + terms * EPS * tangent + EPS * (size + tangent),
        }

    @functools.cached_property
    def _norms(self) -> tuple[float, float, float]:
        """‖φ′‖, ‖φ″‖, and ‖φ‴‖ or its substitute."""
        phi, least, v = self.activation, float(self.variances.min()), jnp.asarray(self.variances)
        slope = math.sqrt(float(jnp.max(phi.dual_derivative(Covariance(v, v, jnp.zeros_like(v))))))
        root = math.sqrt(least) if least > 0 else 0.0
        degree = phi.polynomial_degree
        if phi.curvature is None:
            if degree is None or root == 0:
                return slope, math.inf, math.inf
            return slope, math.sqrt(degree) * slope / root, degree * slope / root**2
        third = math.inf if phi.third is None else phi.third
        return slope, phi.curvature, third if root == 0 else min(third, phi.curvature / root)

    @functools.cached_property
    def _series_error(self) -> float:
        return self.activation.dual_error(jnp.asarray(self.variances))


def over_window(values: np.ndarray, window: tuple[int, int]) -> np.ndarray:
    """What sums of `window[0]` to `window[1]` of these values can be: the values themselves, or a grid of 17."""
    least, most = window
    return values if most == 1 else np.linspace(least * values.min(), most * values.max(), 17)


def residual_bounds(
    first: Rounding,
    depth: int,
    c_sigma: float,
    c_res: float,
    window: tuple[int, int] = (1, 1),
    readout: float = 1.0,
    terms: int = 1,
) -> dict[str, float]:
    """The bounds for `nngp`, `k_h` and `ntk` of a residual network, whose layers have the rounding errors of `first`'s kind.

    The stream's covariance is S + κ(b_i Eφ(v) + b_j Eφ(u)) + κ² E[φφ]: errors add up with these factors. For φ of two
    slopes on vectors all the means b_i/√S_ii coincide, and the sum is one of parts as in `Rounding`. With pixels they do
    not, and no bound is known: infinity.
    """
    kappa, most = c_res / depth, window[1]
    if first.slopes is not None and most > 1:
        return dict.fromkeys(("nngp", "k_h", "ntk"), math.inf)
    means, means_error = first.mean
    stream, mean, mean_error = c_sigma * first.moments, math.sqrt(c_sigma) * means, math.sqrt(c_sigma) * means_error
    error = c_sigma * first.dual + 4 * EPS * float(stream.max())
    tangent, tangent_error = first.tangents(c_sigma)
    layer, relative, angle = first, first.relative, first.angle
    last = (0.0, 0.0)
    for _ in range(2, depth + 1):
        relative, angle = relative + (most + 12) * EPS, angle + 2 * relative + (most + 48) * EPS
        layer = dataclasses.replace(
            first,
            variances=over_window(stream, window),
            relative=relative,
            angle=angle,
            covariance_error=most * (error + (most + 8) * EPS * float(stream.max())),
            tangent=most * tangent,
            tangent_error=most * (tangent_error + most * EPS * tangent),
        )
        more, more_error = layer.tangents(kappa**2)
        last = dataclasses.replace(layer, tangent=0.0, tangent_error=0.0).tangents(kappa**2)
        tangent, tangent_error = tangent + more, tangent_error + more_error + EPS * (tangent + more)
        means, means_error = layer.mean
        crossed = 2 * kappa * (mean * means if most == 1 else np.outer(mean, means))
        sizes = float(np.abs(mean).max()), float(np.abs(means).max())
        error += 2 * kappa * (sizes[0] * means_error + sizes[1] * mean_error) + kappa**2 * layer.dual
        mean = mean + kappa * means if most == 1 else np.array(
            [mean.min() + kappa * means.min(), mean.max() + kappa * means.max()]
        )  # fmt: skip
        mean_error += kappa * means_error + EPS * sizes[0]
        moments = kappa**2 * layer.moments
        stream = stream + crossed + moments if most == 1 else np.maximum(
            [stream.min() + crossed.min() + moments.min(), stream.max() + crossed.max() + moments.max()], 0.0
        )  # fmt: skip
        error += 8 * EPS * float(stream.max())
    size = float(stream.max())
    if first.slopes is not None:
        error = size * (relative + angle + 16 * EPS)
    scale = readout * terms
    nngp = scale * (error + terms * EPS * size)
    return {
        "nngp": nngp,
        "k_h": scale * (last[1] + terms * EPS * last[0]),
        "ntk": nngp + scale * (tangent_error + terms * EPS * tangent + EPS * (size + tangent)),
    }

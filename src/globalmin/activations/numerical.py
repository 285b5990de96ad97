"""Activations whose dual maps are computed by quadrature: no closed form is known, or φ is the user's own."""

import dataclasses
import functools
import math
from collections.abc import Callable
from typing import ClassVar, Self, TypeVar

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from . import quadrature
from .base import AbstractActivation, Covariance

MOST_TERMS = 4096


class AbstractNumerical(AbstractActivation):
    """Dual maps by Hermite series, or in polar coordinates if the only kink is at 0 (`quadrature`).

    The series of a φ with poles at distance d from the real line converges like exp(−2 d √(terms / variance)):
    fast at variances of order 1, slowly at variances of 10 and more, which `dual_error` tells and `refined` mends.
    With a kink away from 0 it converges like a power of the number of terms, and `dual_error` is large.
    """

    closed_form: ClassVar[bool] = False

    terms: eqx.AbstractVar[int]  # of the series

    def dual(self, cov: Covariance) -> Float[Array, "*pairs"]:
        """E[φ(u)φ(v)]; float64. **Cost:** `terms` multiplications a pair, 10⁴ evaluations of φ with a kink at 0."""
        return self._expectation(self.__call__, cov, self._terms(0), 1)

    def dual_derivative(self, cov: Covariance) -> Float[Array, "*pairs"]:
        """E[φ′(u)φ′(v)]; float64. **Cost:** as `dual`."""
        return self._expectation(self.derivative, cov, self._terms(1), 0)

    def dual_error(self, variance: Float[Array, "*shape"] | float) -> float:
        """Bound on the absolute error of both duals for pairs whose two variances are among those given.

        Parseval's bound on what the series leaves out (`quadrature.series_error`); in polar coordinates the change
        when the nodes double (`quadrature.doubling_error`).
        """
        variance = jnp.asarray(variance, float)
        return max(
            self._error(self.__call__, variance, self._terms(0)), self._error(self.derivative, variance, self._terms(1))
        )

    def refined(self, variance: Float[Array, "*shape"] | float, tolerance: float = 1e-13) -> Self:
        """The same φ with the fewest doublings of `terms` that bring `dual_error(variance)` to `tolerance`.

        It stops at 4096 terms, or when doubling no longer helps (rounding): `dual_error` of the result is what counts.
        """
        return _refined(self, tuple(np.unique(np.asarray(variance)).tolist()), tolerance)

    @property
    def _polar(self) -> bool:
        return self.kinks == (0.0,)

    def _terms(self, order: int) -> int:
        degree = self.polynomial_degree
        return self.terms if degree is None else max(degree - order, 0) + 1

    def _expectation(self, phi: Callable[[Array], Array], cov: Covariance, terms: int, parity: int) -> Array:
        if self._polar:
            return quadrature.polar(phi, cov.p, cov.q, cov.angle)
        known = parity if self.odd else None
        return quadrature.series(phi, cov.p, cov.q, cov.angle, terms, self.kinks, parity=known, cosine=cov.cosine)

    def _error(self, phi: Callable[[Array], Array], variance: Array, terms: int) -> float:
        if self._polar:
            return quadrature.doubling_error(
                lambda p, q, t, refine: quadrature.polar(phi, p, q, t, refine=refine), variance
            )
        return quadrature.series_error(phi, variance, terms, self.kinks)


_A = TypeVar("_A", bound=AbstractNumerical)


@functools.lru_cache(maxsize=256)
def _refined(activation: _A, variances: tuple[float, ...], tolerance: float) -> _A:
    """Kept, since every call of a kernel asks again."""
    variance = jnp.asarray(variances)
    best, error = activation, activation.dual_error(variance)
    while error > tolerance and 2 * best.terms <= MOST_TERMS and activation.kinks != (0.0,):
        longer = dataclasses.replace(best, terms=2 * best.terms)
        new_error = longer.dual_error(variance)
        if new_error > 0.9 * error:
            break
        best, error = longer, new_error
    return best


class Activation(AbstractNumerical):
    """The user's own φ, in one line: `Activation(lambda z: jnp.sin(z) + z)`.

    **Arguments:**

    - `phi`: an elementwise JAX function; its derivatives come from autodiff.
    - `name`: default, the function's own.
    - `lipschitz`, `curvature`, `third`: sup |φ′|, sup |φ″|, sup |φ‴| over the line; `None` for unknown, which silences
      the theorems that need them. They are taken on trust.
    - `slope01`, `odd`: whether 0 ≤ φ′ ≤ 1, whether φ(−z) = −φ(z); taken on trust.
    - `polynomial_degree`: its degree, if φ is a polynomial.
    - `kinks`: where φ or one of its derivatives jumps. A kink that is not named costs accuracy, not honesty.
    - `terms`: of the Hermite series.

    **Raises:** `ValueError` for a `phi` that is not elementwise, or an impossible bound, degree or kink.
    """

    phi: Callable[[Array], Array] = eqx.field(static=True)
    name: str = eqx.field(static=True)
    lipschitz: float | None = eqx.field(static=True)
    curvature: float | None = eqx.field(static=True)
    third: float | None = eqx.field(static=True)
    slope01: bool = eqx.field(static=True)
    odd: bool = eqx.field(static=True)
    polynomial_degree: int | None = eqx.field(static=True)
    kinks: tuple[float, ...] = eqx.field(static=True)
    terms: int = eqx.field(static=True)

    def __init__(
        self,
        phi: Callable[[Array], Array],
        *,
        name: str | None = None,
        lipschitz: float | None = None,
        curvature: float | None = None,
        third: float | None = None,
        slope01: bool = False,
        odd: bool = False,
        polynomial_degree: int | None = None,
        kinks: tuple[float, ...] = (),
        terms: int = 256,
    ):
        _check_elementwise(phi)
        self.phi = phi
        self.name = getattr(phi, "__name__", type(phi).__name__) if name is None else name
        self.lipschitz = _bound("lipschitz", lipschitz)
        self.curvature = _bound("curvature", curvature)
        self.third = _bound("third", third)
        self.slope01 = slope01
        self.odd = odd
        if polynomial_degree is not None and polynomial_degree < 0:
            raise ValueError(f"polynomial_degree: None or an integer of at least 0 expected, {polynomial_degree} came")
        self.polynomial_degree = polynomial_degree
        self.kinks = tuple(sorted(float(kink) for kink in kinks))
        if not all(math.isfinite(kink) for kink in self.kinks):
            raise ValueError(f"kinks: finite points expected, {kinks} came")
        if terms < 1:
            raise ValueError(f"terms: an integer of at least 1 expected, {terms} came")
        self.terms = terms

    def __call__(self, z: Float[Array, "*shape"]) -> Float[Array, "*shape"]:
        """φ(z), elementwise."""
        return self.phi(z)


def _check_elementwise(phi: Callable[[Array], Array]) -> None:
    asked = jax.ShapeDtypeStruct((2, 3), jnp.float32)
    try:
        got = jax.eval_shape(phi, asked)
    except Exception as error:
        raise ValueError(f"phi: an elementwise JAX function expected; on an array it raised {error}") from error
    if getattr(got, "shape", None) != asked.shape or got.dtype != asked.dtype:
        raise ValueError(f"phi: an elementwise JAX function expected; from float32 of shape (2, 3) it made {got}")


def _bound(name: str, value: float | None) -> float | None:
    if value is None:
        return None
    if not (math.isfinite(value) and value >= 0):
        raise ValueError(f"{name}: None or a finite number of at least 0 expected, {value} came")
    return float(value)

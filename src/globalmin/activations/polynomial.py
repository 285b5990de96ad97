"""Hermite polynomials h_k and monomials: their Hermite series end, so that dual maps are finite sums.

The limit kernel of a polynomial of degree k has rank at most the dimension of the polynomials of degree k in d
variables, and is singular for more samples than that: `polynomial_degree` says so to the theorems.
"""

import math
from abc import abstractmethod
from typing import ClassVar

import equinox as eqx
import jax.numpy as jnp
from jaxtyping import Array, Float

from .._core import numerics
from . import quadrature
from .base import AbstractActivation, Covariance


class AbstractPolynomial(AbstractActivation):
    """A polynomial φ with φ′ = `slope` times the member of the same family of one degree less."""

    degree: eqx.AbstractVar[int]

    kinks: ClassVar[tuple[float, ...]] = ()

    @property
    @abstractmethod
    def slope(self) -> float:
        """φ′ = slope · (the member of degree − 1)."""

    @staticmethod
    @abstractmethod
    def _expansion(degree: int, variance: Array) -> Array:
        """a_k(variance) for k of the parity of the degree, in ascending order."""

    @property
    def polynomial_degree(self) -> int | None:
        """The degree."""
        return self.degree

    @property
    def slope01(self) -> bool:
        """Only the identity."""
        return self.degree == 1

    @property
    def odd(self) -> bool:
        """Whether the degree is odd."""
        return self.degree % 2 == 1

    @property
    def lipschitz(self) -> float | None:
        """Sup |φ′|, finite only for degree 1."""
        return self._supremum(1)

    @property
    def curvature(self) -> float | None:
        """Sup |φ″|, finite up to degree 2."""
        return self._supremum(2)

    @property
    def third(self) -> float | None:
        """Sup |φ‴|, finite up to degree 3."""
        return self._supremum(3)

    @property
    @abstractmethod
    def _top(self) -> float:
        """The constant derivative of order `degree`."""

    def _supremum(self, order: int) -> float | None:
        if self.degree > order:
            return None
        return self._top if self.degree == order else 0.0

    def dual(self, cov: Covariance) -> Float[Array, "*pairs"]:
        """Σ_k a_k(p) a_k(q) cos^k θ, a finite sum."""
        return self._finite(self.degree, cov)

    def dual_derivative(self, cov: Covariance) -> Float[Array, "*pairs"]:
        """The same with the coefficients of φ′."""
        return self.slope**2 * self._finite(self.degree - 1, cov)

    def dual_error(self, variance: Float[Array, "*shape"] | float) -> float:
        """As for closed forms, with 4 · degree more roundings per term.

        Σ |a_k(p) a_k(q)| ≤ (Eφ(u)² Eφ(v)²)^{1/2} by Cauchy and Schwarz: the scale is still the largest second moment.
        """
        return (1 + self.degree / 4) * super().dual_error(variance)

    def hermite_coefficients(
        self, variance: Float[Array, "*shape"] | float, count: int
    ) -> Float[Array, "{count} *shape"]:
        """The coefficients in closed form; 0 beyond the degree and at the other parity."""
        v = jnp.asarray(variance, float)
        a = jnp.zeros((max(count, self.degree + 1), *v.shape), v.dtype)
        return a.at[self.degree % 2 : self.degree + 1 : 2].set(self._expansion(self.degree, v))[:count]

    def _finite(self, degree: int, cov: Covariance) -> Array:
        x = cov.cosine
        even = quadrature.mehler(self._expansion(degree, cov.p), self._expansion(degree, cov.q), x * x)
        return x * even if degree % 2 else even


class Hermite(AbstractPolynomial):
    """The orthonormal probabilists' Hermite polynomial h_k: h₁ = z, h₂ = (z² − 1)/√2, h₃ = (z³ − 3z)/√6.

    **Raises:** `ValueError` for a degree below 1.
    """

    degree: int = eqx.field(static=True)

    def __init__(self, degree: int):
        self.degree = numerics.check_count("degree", degree)

    @property
    def name(self) -> str:
        """`hermite-<degree>`."""
        return f"hermite-{self.degree}"

    @property
    def slope(self) -> float:
        """h_k′ = √k h_{k−1}."""
        return math.sqrt(self.degree)

    @property
    def _top(self) -> float:
        return math.sqrt(math.factorial(self.degree))

    def __call__(self, z: Float[Array, "*shape"]) -> Float[Array, "*shape"]:
        """h_k(z) by the three-term recurrence."""
        before, now = jnp.zeros_like(z), jnp.ones_like(z)
        for k in range(self.degree):
            before, now = now, (z * now - math.sqrt(k) * before) / math.sqrt(k + 1)
        return now

    @staticmethod
    def _expansion(degree: int, variance: Array) -> Array:
        return _expansion(degree, variance, variance - 1, math.sqrt(math.factorial(degree)))


class Monomial(AbstractPolynomial):
    """z^k; `identity` is z, `quadratic` is z².

    **Raises:** `ValueError` for a degree below 1.
    """

    degree: int = eqx.field(static=True)

    def __init__(self, degree: int):
        self.degree = numerics.check_count("degree", degree)

    @property
    def name(self) -> str:
        """`identity`, `quadratic`, `monomial-<degree>`."""
        return {1: "identity", 2: "quadratic"}.get(self.degree, f"monomial-{self.degree}")

    @property
    def slope(self) -> float:
        """(z^k)′ = k z^{k−1}."""
        return float(self.degree)

    @property
    def _top(self) -> float:
        return float(math.factorial(self.degree))

    def __call__(self, z: Float[Array, "*shape"]) -> Float[Array, "*shape"]:
        """z^k."""
        return z**self.degree

    @staticmethod
    def _expansion(degree: int, variance: Array) -> Array:
        return _expansion(degree, variance, variance, float(math.factorial(degree)))


def _expansion(degree: int, variance: Array, power: Array, norm: float) -> Array:
    """a_k = norm c^{k/2} power^j / (2^j j! √k!) for k = degree − 2j, ascending in k.

    Multiplication theorem of the Hermite polynomials: with power c − 1 and norm √n! it expands h_n(√c z), with power c
    and norm n! it expands (√c z)^n. Each a_k is a single term: nothing cancels.
    """
    root = quadrature.safe_sqrt(variance)
    rows = []
    for k in range(degree % 2, degree + 1, 2):
        j = (degree - k) // 2
        factor = norm / (2.0**j * math.factorial(j) * math.sqrt(math.factorial(k)))
        rows.append(factor * root**k * power**j)
    return jnp.stack(rows)

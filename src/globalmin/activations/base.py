"""What the theory needs to know of an activation φ: derivatives, proven bounds, dual maps, Hermite coefficients."""

from abc import abstractmethod
from typing import ClassVar

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from .._core.numerics import EPS
from . import quadrature


class Covariance(eqx.Module):
    """Covariance of a pair (u, v) of centred Gaussians, or of an array of pairs, kept as variances and angle.

    The angle θ, cov(u, v) = √(pq) cos θ, is what survives for nearly parallel inputs: 1 − cos θ computed from the
    covariance itself has lost half of its digits at θ = 1e-8.

    The three arrays broadcast against each other. For the n × k pairs of two sets of rows pass `p` of shape (n, 1) and
    `q` of shape (1, k): what depends on a variance alone is then computed n + k times and not n k times.
    """

    p: Float[Array, "*#pairs"]  # Var u
    q: Float[Array, "*#pairs"]  # Var v
    angle: Float[Array, "*#pairs"]  # in [0, π]
    cosine: Float[Array, "*#pairs"]  # of the angle
    squared_sine: Float[Array, "*#pairs"]  # of the angle

    def __init__(self, p, q, angle, cosine=None, squared_sine=None):
        """Who knows the cosine and the squared sine without a trigonometric function gives them: most dual maps need no
        angle then, and under `jit` it is never computed."""
        self.p, self.q, self.angle = p, q, angle
        self.cosine = jnp.cos(angle) if cosine is None else cosine
        self.squared_sine = jnp.sin(angle) ** 2 if squared_sine is None else squared_sine

    @classmethod
    def of(cls, p, q, c) -> "Covariance":
        """From the matrix ((p, c), (c, q)); where a variance is 0 the angle is π/2."""
        p, q, c = (jnp.asarray(x, float) for x in (p, q, c))
        scale = jnp.sqrt(p * q)
        flat = scale == 0
        cosine = jnp.where(flat, 0.0, c / jnp.where(flat, 1.0, scale))
        return cls(p, q, jnp.arccos(jnp.clip(cosine, -1.0, 1.0)))

    @property
    def scale(self) -> Float[Array, "*pairs"]:
        """√(pq)."""
        return quadrature.safe_sqrt(self.p * self.q)

    @property
    def c(self) -> Float[Array, "*pairs"]:
        """cov(u, v)."""
        return self.scale * self.cosine

    @property
    def determinant(self) -> Float[Array, "*pairs"]:
        """pq − c² = pq sin²θ, without the cancellation."""
        return self.p * self.q * self.squared_sine


class AbstractActivation(eqx.Module):
    """An activation φ with what is proven about it. It holds no arrays, and is hashable and equal by value.

    A bound of `None` means that no finite bound exists (or, for `Activation`, that none was given), and a theorem
    that needs it is silent. All bounds are over the whole real line; sup |φ″| is the Lipschitz constant of φ′, and is
    `None` where φ′ jumps. A polynomial can have a singular limit kernel: its series ends at its degree.

    Subclasses give φ, the bounds and the dual maps. Where φ has a kink, `derivative` is what autodiff gives there.
    """

    name: eqx.AbstractVar[str]  # `get(name)` gives it back
    lipschitz: eqx.AbstractVar[float | None]  # sup |φ′|
    curvature: eqx.AbstractVar[float | None]  # sup |φ″|
    third: eqx.AbstractVar[float | None]  # sup |φ‴|
    slope01: eqx.AbstractVar[bool]  # 0 ≤ φ′ ≤ 1 everywhere
    odd: eqx.AbstractVar[bool]  # φ(−z) = −φ(z)
    polynomial_degree: eqx.AbstractVar[int | None]  # None: not a polynomial
    kinks: eqx.AbstractVar[tuple[float, ...]]  # where φ is not smooth

    ULPS: ClassVar[int] = 16
    closed_form: ClassVar[bool] = True  # whether the dual maps are, and so work in float32 too

    @abstractmethod
    def __call__(self, z: Float[Array, "*shape"]) -> Float[Array, "*shape"]:
        """φ(z), elementwise, in the dtype of z."""

    def derivative(self, z: Float[Array, "*shape"]) -> Float[Array, "*shape"]:
        """φ′(z), elementwise, in the dtype of z."""
        return jax.jvp(self.__call__, (z,), (jnp.ones_like(z),))[1]

    def second_derivative(self, z: Float[Array, "*shape"]) -> Float[Array, "*shape"]:
        """φ″(z), elementwise, in the dtype of z; where φ′ jumps, that of one side."""
        return jax.jvp(self.derivative, (z,), (jnp.ones_like(z),))[1]

    @property
    def phi0(self) -> float:
        """φ(0)."""
        with jax.ensure_compile_time_eval():
            return float(self(jnp.zeros(()))) + 0.0  # not -0.0

    @abstractmethod
    def dual(self, cov: Covariance) -> Float[Array, "*pairs"]:
        """E[φ(u)φ(v)] for (u, v) ~ N(0, cov), elementwise over the pairs; any variances ≥ 0, any angle in [0, π]."""

    @abstractmethod
    def dual_derivative(self, cov: Covariance) -> Float[Array, "*pairs"]:
        """E[φ′(u)φ′(v)] for (u, v) ~ N(0, cov), elementwise over the pairs; at variance 0, φ′(u) is φ′(0)."""

    def dual_error(self, variance: Float[Array, "*shape"] | float) -> float:
        """Bound on the absolute error of `dual` and `dual_derivative`, for all pairs of the given variances.

        Closed forms: `ULPS` eps times the largest of E[φ(u)²] and E[φ′(u)²], which by Cauchy and Schwarz bound the
        duals. Each form is a sum of at most four terms none of which exceeds that scale, a term a product of a few
        factors good to 1 or 2 ulp; angle and variances are taken to be exact.
        """
        v = jnp.asarray(variance, float)
        same = Covariance(v, v, jnp.zeros_like(v))
        return self.ULPS * EPS * float(jnp.maximum(jnp.max(self.dual(same)), jnp.max(self.dual_derivative(same))))

    def refined(self, variance: Float[Array, "*shape"] | float, tolerance: float = 1e-13) -> "AbstractActivation":
        """The same φ with enough series terms for these variances, if its duals are series; else itself."""
        return self

    def second_moment(self, variance: Float[Array, "*shape"] | float = 1.0) -> Float[Array, "*shape"]:
        """E[φ(u)²] for u ~ N(0, variance)."""
        v = variance if isinstance(variance, jax.Array) else jnp.asarray(variance, float)
        return self.dual(Covariance(v, v, jnp.zeros_like(v)))

    @property
    def c_sigma(self) -> float:
        """1 / E[φ(z)²] at unit variance: the factor that keeps the second moment over depth."""
        with jax.ensure_compile_time_eval():
            return 1 / float(self.second_moment())

    def hermite_coefficients(
        self, variance: Float[Array, "*shape"] | float, count: int
    ) -> Float[Array, "{count} *shape"]:
        """a_k = E[φ(√variance z) h_k(z)], k < count, for the orthonormal probabilists' h_k; k is the first axis."""
        return quadrature.coefficients(self, jnp.asarray(variance, float), count, self.kinks)

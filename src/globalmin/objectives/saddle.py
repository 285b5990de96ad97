"""The smooth function on which gradient descent needs exponentially many steps, on all of R^d, and what it consists of.

A saddle of f has one direction of descent, x_i, which leads through a buffer τ ≤ |x_i| ≤ 2τ to the next saddle, where x_{i+1}
descends. Until then x_{i+1} is contracted: the further along, the closer to the next saddle gradient descent arrives.

The source defines f on a domain D ("the octopus") and extends it by a theorem of Whitney that nobody can compute. Here
    F(x) = h(x_1) + Σ_{i ≥ 2} [(1 − s(x_{i−1})) L x_i² + s(x_{i−1}) h(x_i)],
which is f on D, C² with a Lipschitz Hessian, tridiagonal in its Hessian, and has no other minima.
"""

import functools
import math
from collections.abc import Mapping

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, PRNGKeyArray

from .._core import RESULTS, Estimate
from .base import AbstractObjective, Evaluation

TINY = float(np.finfo(np.float64).tiny)
RECORDED = 16
"""Up to this dimension every coordinate is recorded at every step."""


def check_octopus(dimension: int, L: float, gamma: float, tau: float) -> None:
    """Raise `ValueError` unless d ≥ 1, L ≥ γ > 0 and τ ≥ e, which the construction needs."""
    if isinstance(dimension, bool) or not isinstance(dimension, int) or dimension < 1:
        raise ValueError(f"dimension: an integer of at least 1 expected, {dimension!r} came")
    if not 0 < gamma < math.inf:
        raise ValueError(f"gamma: a positive number expected, {gamma} came; the source's is 1")
    if not gamma <= L < math.inf:
        raise ValueError(
            f"L: a finite number of at least gamma = {gamma:g} expected, {L} came: the buffer's slope is negative only then"
        )
    if not math.e <= tau < math.inf:
        raise ValueError(f"tau: at least e = {math.e:.6g} expected, {tau} came: Lemma 7.2 asks for it")


def smooth_step(t):
    """s₅(t) = 10t³ − 15t⁴ + 6t⁵ on [0, 1]: from 0 to 1, with two derivatives that vanish at both ends."""
    return t**3 * (10 - 15 * t + 6 * t**2)


def smooth_step_slope(t):
    """s₅′ = 30 t²(1 − t)²."""
    return 30 * t**2 * (1 - t) ** 2


def smooth_step_bend(t):
    """s₅″ = 60 t(1 − t)(1 − 2t)."""
    return 60 * t * (1 - t) * (1 - 2 * t)


class Octopus(AbstractObjective):
    r"""F on R^d with its gradient and tridiagonal Hessian in closed form; O(d) each.

    Its $2^d$ minima are $(±4τ)^d$ with value −dν, ν = τ²(37L + 13γ)/6; each other stationary point has a Hessian with
    an eigenvalue of at most −2γ. A run ends within `accuracy` of a minimum (Euclidean). With `bounded`, F∘ψ for a saturation
    ψ that is the identity on [−6τ, 6τ] and constant beyond 8τ: bounded on R^d, the same on D.

    A waiting coordinate shrinks by 1 − 2ηL a step; with `underflow_stops`, a run in which one has underflowed ends as
    underflow, since gradient descent would stay there for ever for no reason but rounding.

    **Raises:** `ValueError` unless d ≥ 1, L ≥ γ > 0, τ ≥ e, accuracy > 0.

    **Source:** Du, Jin, Lee, Jordan, Póczos, Singh, NeurIPS 2017; Du's thesis, section 7.3; the extension is our own.
    """

    dimension: int
    L: float = math.e
    gamma: float = 1.0
    tau: float = math.e
    accuracy: float = 1e-3
    bounded: bool = False
    underflow_stops: bool = True

    def __check_init__(self):
        check_octopus(self.dimension, self.L, self.gamma, self.tau)
        if not 0 < self.accuracy < 2 * self.tau:
            raise ValueError(f"accuracy: a distance in (0, 2τ) expected, {self.accuracy} came")

    @property
    def nu(self) -> float:
        """ν, by which f falls from one saddle to the next."""
        return self.tau**2 * (37 * self.L + 13 * self.gamma) / 6

    def init(self, *, key: PRNGKeyArray) -> Float[Array, " d"]:
        """Uniform on [−1, 1]^d."""
        return jax.random.uniform(key, (self.dimension,), jnp.float64, -1.0, 1.0)

    def g1(self, t):
        """g₁ at y = τ(1 + t): the quartic that joins −γy² to L(y − 4τ)² − ν with two derivatives."""
        L, g = self.L, self.gamma
        quartic = -g - 2 * g * t - g * t**2 + (10 * g - 14 * L) / 3 * t**3 + (10 * L - 6 * g) / 4 * t**4
        return self.tau**2 * quartic

    def g1_slope(self, t):
        """g₁′, which is between −4.135Lτ and −2γτ."""
        L, g = self.L, self.gamma
        return self.tau * (-2 * g - 2 * g * t + (10 * g - 14 * L) * t**2 + (10 * L - 6 * g) * t**3)

    def g1_bend(self, t):
        """g₁″."""
        L, g = self.L, self.gamma
        return -2 * g + 2 * (10 * g - 14 * L) * t + 3 * (10 * L - 6 * g) * t**2

    def g2(self, t):
        """g₂ at y = τ(1 + t), the curvature of the next coordinate: from L to −γ."""
        return self.L - (self.L + self.gamma) * smooth_step(t)

    def g2_slope(self, t):
        """g₂′."""
        return -(self.L + self.gamma) * smooth_step_slope(t) / self.tau

    def _in_buffer(self, y):
        # Clipped, so that no branch of a `where` overflows for an input far outside.
        return jnp.clip(jnp.abs(y) / self.tau - 1, 0.0, 1.0)

    def _profile(self, y):
        """h, h′ and h″ along one coordinate."""
        a, sign, t = jnp.abs(y), jnp.sign(y), self._in_buffer(y)
        inner, outer = a <= self.tau, a >= 2 * self.tau
        far = a - 4 * self.tau

        def pick(near, middle, beyond):
            return jnp.where(inner, near, jnp.where(outer, beyond, middle))

        value = pick(-self.gamma * y**2, self.g1(t), self.L * far**2 - self.nu)
        slope = pick(-2 * self.gamma * y, sign * self.g1_slope(t), sign * 2 * self.L * far)
        return value, slope, pick(-2 * self.gamma, self.g1_bend(t), 2 * self.L)

    def _switch(self, y):
        """s, s′ and s″ along one coordinate: 0 before its buffer, 1 beyond."""
        t = self._in_buffer(y)
        slope = jnp.sign(y) * smooth_step_slope(t) / self.tau
        return smooth_step(t), slope, smooth_step_bend(t) / self.tau**2

    def _saturate(self, y):
        """ψ and ψ′: the identity on [−6τ, 6τ], the constant ±7τ beyond 8τ."""
        if not self.bounded:
            return y, jnp.ones_like(y)
        t = jnp.clip((jnp.abs(y) - 6 * self.tau) / (2 * self.tau), 0.0, 1.0)
        bent = 6 * self.tau + 2 * self.tau * (t - t**4 * (2.5 - 3 * t + t**2))
        return jnp.where(jnp.abs(y) <= 6 * self.tau, y, jnp.sign(y) * bent), 1 - smooth_step(t)

    def value(self, point: Float[Array, " d"]) -> Float[Array, ""]:
        """F(x)."""
        x, _ = self._saturate(point)
        h, (s, _, _) = self._profile(x)[0], self._switch(x)
        return h[0] + jnp.sum((1 - s[:-1]) * self.L * x[1:] ** 2 + s[:-1] * h[1:])

    def gradient(self, point: Float[Array, " d"]) -> Float[Array, " d"]:
        """∇F(x), in closed form."""
        x, inner = self._saturate(point)
        h, slope, _ = self._profile(x)
        s, ds, _ = self._switch(x)
        on = jnp.concatenate([jnp.ones(1, x.dtype), s[:-1]])
        own = on * slope + (1 - on) * 2 * self.L * x
        next_one = jnp.append(ds[:-1] * (h[1:] - self.L * x[1:] ** 2), 0.0)
        return inner * (own + next_one)

    def hessian(self, point: Float[Array, " d"]) -> tuple[Float[Array, " d"], Float[Array, " d-1"]]:
        """Diagonal and off-diagonal of the tridiagonal Hessian of F (not of F∘ψ: they are the same in [−6τ, 6τ]^d)."""
        x = point
        h, slope, bend = self._profile(x)
        s, ds, dds = self._switch(x)
        on = jnp.concatenate([jnp.ones(1, x.dtype), s[:-1]])
        own = on * bend + (1 - on) * 2 * self.L
        next_one = jnp.append(dds[:-1] * (h[1:] - self.L * x[1:] ** 2), 0.0)
        return own + next_one, ds[:-1] * (slope[1:] - 2 * self.L * x[1:])

    def active(self, point: Float[Array, " d"]) -> Array:
        """i − 1, the number of coordinates that are through their buffers; d in the region of a minimum."""
        through = jnp.abs(point) >= 2 * self.tau
        return jnp.argmin(jnp.append(through, False))

    def in_domain(self, point: Float[Array, " d"]) -> Bool[Array, ""]:
        """Whether x is in D, where F is the source's f: 2τ ≤ |x_j| ≤ 6τ for j < i, |x_i| ≤ 2τ, |x_j| ≤ τ for j > i."""
        a, i, k = jnp.abs(point), self.active(point), jnp.arange(self.dimension)
        return jnp.all(jnp.where(k < i, a <= 6 * self.tau, jnp.where(k == i, a <= 2 * self.tau, a <= self.tau)))

    def current_saddle(self, point: Float[Array, " d"]) -> Float[Array, " d"]:
        """The stationary point of the region that x is in: ±4τ where a coordinate is through, else 0."""
        through = jnp.arange(self.dimension) < self.active(point)
        return jnp.where(through, jnp.where(point < 0, -4.0, 4.0) * self.tau, 0.0)

    def minimum_distance(self, point: Float[Array, " d"]) -> Float[Array, ""]:
        """Distance to the nearest of the 2^d minima."""
        return jnp.linalg.norm(jnp.abs(point) - 4 * self.tau)

    def lambda_min(self, point: Float[Array, " d"]) -> Float[Array, ""]:
        """Smallest eigenvalue of the block of x_i and x_{i+1}: on D that of the Hessian, whose rest is 2L."""
        diagonal, off = self.hessian(point)
        i = jnp.minimum(self.active(point), self.dimension - 1)
        p, q = diagonal[i], jnp.append(diagonal, jnp.inf)[i + 1]
        c = jnp.append(off, 0.0)[i]
        q = jnp.where(jnp.isfinite(q), q, 2 * self.L)
        return (p + q) / 2 - jnp.sqrt((p - q) ** 2 / 4 + c**2)

    def measure(self, point: Float[Array, " d"], loss, gradient) -> dict[str, Float[Array, ""]]:
        """Where it is: active index, stage, domain, distances, curvature, slope in the buffer, the waiting coordinates."""
        i, a = self.active(point), jnp.abs(point)
        size = jnp.append(a, jnp.nan)[i]
        buffered = (size >= self.tau) & (size <= 2 * self.tau)
        waiting = jnp.where(jnp.arange(self.dimension) > i, a, jnp.inf)
        found = {
            "active": i.astype(a.dtype) + 1,
            "stage": jnp.where(i == self.dimension, 2.0, jnp.where(buffered, 1.0, 0.0)),
            "in_domain": self.in_domain(point).astype(a.dtype),
            "saddle_distance": jnp.linalg.norm(point - self.current_saddle(point)),
            "minimum_distance": self.minimum_distance(point),
            "curvature": self.lambda_min(point),
            "buffer_slope": jnp.where(buffered, jnp.append(-gradient * jnp.sign(point), jnp.nan)[i], jnp.nan),
            "waiting": jnp.where(i < self.dimension - 1, jnp.min(waiting), jnp.nan),
            "last": a[-1],
        }
        if self.dimension <= RECORDED:
            found |= {f"x{j + 1}": point[j] for j in range(self.dimension)}
        return found

    def step(self, point: Float[Array, " d"], state, epoch) -> Evaluation:
        """As every objective's, with the end by underflow."""
        found = super().step(point, state, epoch)
        if not self.underflow_stops:
            return found
        lost = found.info["waiting"] < TINY  # False where nothing waits: NaN
        result = RESULTS.where(lost, RESULTS.underflow, found.result)
        return Evaluation(found.loss, found.gradient, found.state, found.info, result)

    def watch(self, point: Float[Array, " d"], first: Float[Array, " d"]) -> dict[str, float]:
        """The active index, log₁₀ of the smallest waiting coordinate, and the distance to the nearest minimum."""
        i = int(self.active(point))
        waiting = np.abs(np.asarray(point))[i + 1 :]
        log = float(np.log10(waiting.min())) if waiting.size and waiting.min() > 0 else math.nan
        return {"active": i + 1.0, "log10_waiting": log, "minimum_distance": float(self.minimum_distance(point))}

    def derive(self, steps: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        """What the theorems bound for so long, NaN afterwards: |x_d|, the distance to a minimum, second-order stationarity."""
        epochs, eta = steps["epoch"], steps["step_size"]
        return self.early(
            epochs, eta, steps["last"], steps["minimum_distance"], steps["gradient_norm"], steps["curvature"]
        )

    def early(self, epochs, eta, last, minimum_distance, gradient_norm, curvature) -> dict[str, np.ndarray]:
        """|x_d| and the distance to a minimum up to epoch ((L+γ)/γ)^(d−1), |x_d| before 1/(2ηγ) times that, and the least ε ..

        .. for which the point is ε-second-order stationary: max(‖∇f‖, λ_min²/ρ) where λ_min < 0.
        """
        bound = self.escape_bound
        rho = hessian_lipschitz(self.L, self.gamma, self.tau)
        level = np.maximum(gradient_norm, np.minimum(curvature, 0.0) ** 2 / rho)
        within = epochs <= bound
        return {
            "last_early": np.where(within, last, np.nan),
            "last_early_sharp": np.where(2 * eta * self.gamma * epochs < bound, last, np.nan),
            "minimum_distance_early": np.where(within, minimum_distance, np.nan),
            "second_order_early": np.where(within, level, np.nan),
        }

    @property
    def escape_bound(self) -> float:
        """((L + γ)/γ)^(d−1): for so many steps |x_d| ≤ 2τ."""
        return ((self.L + self.gamma) / self.gamma) ** (self.dimension - 1)

    def reached(self, point: Float[Array, " d"]) -> Bool[Array, ""]:
        """Within `accuracy` of a minimum."""
        return self.minimum_distance(point) <= self.accuracy


@functools.cache
def gradient_lipschitz(L: float, gamma: float, relative: float = 1e-4) -> Estimate:
    """ℓ = max ‖∇²f‖ on D: 2L, or what the buffer's block [[g₁″ + g₂″v², 2g₂′v], [2g₂′v, 2g₂]] has; no τ in it.

    By bisection of cells of (t, v/τ) in [0, 1]²: the norm is Lipschitz with ρ, so that a cell whose centre is further below
    the best value than ρ times its radius is out. Ends when what is left allows no more than `relative` of the value.
    """
    rho = 1.02 * hessian_lipschitz(L, gamma, 1.0)  # that one is a maximum over a grid, below the true one by less
    half = 1 / 64
    centres = np.stack(np.meshgrid(*2 * (np.arange(half, 1, 2 * half),), indexing="ij"), axis=-1).reshape(-1, 2)
    best = 2 * L
    while True:
        p, q, c = _block(centres[:, 0], centres[:, 1], L, gamma)
        norms = np.abs((p + q) / 2) + np.sqrt((p - q) ** 2 / 4 + c**2)
        best, reach = max(best, float(norms.max())), rho * half * math.sqrt(2)
        if reach <= relative * best:
            return Estimate(best + reach / 2, reach / 2)
        half /= 2
        corners = half * np.array([[-1, -1], [-1, 1], [1, -1], [1, 1]])
        centres = (centres[norms + reach > best][:, None] + corners).reshape(-1, 2)


@functools.cache
def hessian_lipschitz(L: float, gamma: float, tau: float) -> float:
    """ρ, the Lipschitz constant of the Hessian on D: the largest |D³f(u, u, u)| over unit u, by a grid; ∝ 1/τ."""
    t, v, angle = np.meshgrid(
        np.linspace(0, 1, 201), np.linspace(0, 1, 101), np.linspace(0, math.pi, 121), indexing="ij"
    )
    third = 2 * (10 * gamma - 14 * L) + 6 * (10 * L - 6 * gamma) * t
    yyy = third - (L + gamma) * 60 * (1 - 6 * t + 6 * t**2) * v**2
    yyv = -2 * (L + gamma) * smooth_step_bend(t) * v
    yvv = -2 * (L + gamma) * smooth_step_slope(t)
    cos, sin = np.cos(angle), np.sin(angle)
    return float(np.max(np.abs(yyy * cos**3 + 3 * yyv * cos**2 * sin + 3 * yvv * cos * sin**2))) / tau


def _block(t, v, L: float, gamma: float):
    """The buffer's block at y = τ(1 + t) and x_{i+1} = τv; τ cancels."""
    bend = -2 * gamma + 2 * (10 * gamma - 14 * L) * t + 3 * (10 * L - 6 * gamma) * t**2
    p = bend - (L + gamma) * smooth_step_bend(t) * v**2
    return p, 2 * (L - (L + gamma) * smooth_step(t)), -2 * (L + gamma) * smooth_step_slope(t) * v

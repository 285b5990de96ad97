r"""Infinite width of the Neural ODE f(x) = (σ_v/√m) v·φ(h_T), dh/dt = (σ_w/√m) W φ(h), h_0 = (σ_u/√d) U x.

One W serves at all times. As m → ∞ the neurons become independent copies of a Gaussian process in time, with
V(s,t) = E[φ(h_s)φ(h′_t)] and V′(s,t) = E[φ′(h_s)φ′(h′_t)] for two inputs x and x′, the covariance C and the tangent
kernel Θ of the states (per neuron) solve two Goursat problems,

    ∂²C/∂s∂t = σ_w² V,   ∂²Θ/∂s∂t = σ_w² (V + V′Θ),   C = Θ = (σ_u²/d) x·x′ on s = 0 and on t = 0,

and Σ* = V(T,T), K^∞ = σ_v² (V + V′Θ)(T,T). Θ is a sum, of Θ^U without the source V and Θ^W without the boundary value,
which gives K^U and K^W. It is the double integral σ_w² ∬ A V ds dt of the adjoint covariance A in another form (A is the
Riemann function of the same equation); this one marches forward along with C and stores one row of the time grid.

W in the forward and Wᵀ in the backward pass act as independent copies, because v is centred and independent of both.
"""

import abc
import dataclasses
import math
from collections.abc import Sequence
from typing import NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax.typing import DTypeLike
from jaxtyping import Array, Float, Int

from .._core import numerics
from .._core.numerics import EPS
from ..activations import AbstractActivation, Covariance, quadrature
from ..activations.numerical import AbstractNumerical
from .base import TILE, AbstractKernel

NAMES = ("sigma_star", "nngp", "k_w", "k_u", "ntk")
"""The matrices of the kernels in this file."""

NODES = 64
"""Chebyshev nodes in the angle of a table for rows of one norm."""

TABLE_TOLERANCE = 1e-10
"""A table is used if its last coefficients are below this share of the largest entry."""

IN_CACHE = 2**18
"""Numbers of a tile that the march goes through again for every time step: 2 MB, a second-level cache."""


class AbstractODEKernel(AbstractKernel):
    """What the tied and the untied limit share: the scalings, the dual maps, tables for rows of one norm, error bounds.

    A subclass gives `entries`, `refinement`, and `_final`, the variance of h_T.
    """

    activation: eqx.AbstractVar[AbstractActivation]
    sigma_u: eqx.AbstractVar[float | None]
    sigma_w: eqx.AbstractVar[float]
    sigma_v: eqx.AbstractVar[float]
    horizon: eqx.AbstractVar[float]
    time_steps: eqx.AbstractVar[int]

    def __check_init__(self):
        for name in ("sigma_w", "sigma_v", "horizon"):
            if not 0 < getattr(self, name) < math.inf:
                raise ValueError(f"{name}: a positive number expected, {getattr(self, name)} came")
        if self.sigma_u is not None and not 0 < self.sigma_u < math.inf:
            raise ValueError(f"sigma_u: a positive number or None (√d) expected, {self.sigma_u} came")
        numerics.check_count("time_steps", self.time_steps)

    def __call__(
        self,
        x: Float[Array, "n d"],
        y: Float[Array, "k d"] | None = None,
        *,
        only: Sequence[str] | None = None,
        dtype: DTypeLike = "float64",
    ) -> dict[str, Float[Array, "n k"]]:
        """The Gram matrices between the rows of `x` and of `y`, as in `AbstractKernel`; float64 only.

        For rows of one norm every entry is a function of the angle, which is tabulated once at 64 Chebyshev nodes. If
        those do not resolve it, or norms differ, every pair is marched on its own, the upper triangle only.

        **Raises:** `ValueError` as the base class does, and if the variance of the states explodes before the horizon.
        """
        self._check_dtype(dtype)
        self.check_growth(x if y is None else jnp.concatenate([x, y]))
        table = self.tabulated(x, y)
        return AbstractKernel.__call__(self, x, y, only=only) if table is None else table(x, y, only=only)

    def check_growth(self, x: Float[Array, "n d"]) -> None:
        """Raise `ValueError` if the variance of h_t for the largest row overflows before the horizon."""
        rows = self.embed(numerics.check_inputs(x))
        if not numerics.is_concrete(rows):
            return
        top = jnp.max(jnp.sum(rows * rows, axis=1))
        if not math.isfinite(float(self.final_variance(top))):
            raise ValueError(
                f"the limit kernel of {self.activation.name} does not exist up to the horizon {self.horizon:g} at sigma_w = "
                f"{self.sigma_w:g}: the variance of the states explodes; lower sigma_w times the horizon"
            )

    def tabulated(self, x: Float[Array, "n d"], y: Float[Array, "k d"] | None = None) -> "TabulatedKernel | None":
        """This kernel as a table in the angle, or `None` where norms differ, pairs are few, or a table is too coarse."""
        kernel, variances, x, y = self._prepared(x, y)
        if not numerics.is_concrete(variances):
            return None
        low, high = float(jnp.min(variances)), float(jnp.max(variances))
        pairs = len(x) * (len(x) + 1) // 2 if y is None else len(x) * len(y)
        if high - low > 1e-9 * high or pairs <= NODES:
            return None
        return _tabulate(kernel, jnp.asarray((low + high) / 2))

    def entry_error(self, x: Float[Array, "n d"], y: Float[Array, "k d"] | None = None) -> dict[str, float]:
        """Bounds on the error of every entry, by name; the share of the time steps is measured by doubling them."""
        table = self.tabulated(x, y)
        found = AbstractKernel.entry_error(self, x, y)
        return found if table is None else {name: found[name] + table.error[name] for name in found}

    def embed(self, x: Float[Array, "n d"]) -> Float[Array, "n d"]:
        """(σ_u/√d) x."""
        return x if self.sigma_u is None else self.sigma_u / math.sqrt(x.shape[1]) * x

    def refined(self, variance: Float[Array, ""]) -> "AbstractODEKernel":
        """With an activation that is accurate at the variance that the states reach."""
        final = self.final_variance(variance)
        if not math.isfinite(float(final)):
            return self
        return dataclasses.replace(self, activation=self.activation.refined(final))

    def final_variance(self, variance: Float[Array, "*shape"] | float) -> Float[Array, "*shape"]:
        """τ² = C(T,T;x,x), the variance of h_T for inputs whose h_0 has this variance (|x|² σ_u²/d)."""
        start = jnp.asarray(variance, float)
        return _final_variance(self, start.ravel()).reshape(start.shape)

    def hermite(self, count: int, variance: float = 1.0) -> Float[Array, " {count}"]:
        r"""a_k of $Σ^* = \sum_k a_k^2 ρ_T^k$, ρ_T the correlation of the h_T of two inputs with h_0 of this variance.

        They are those of φ(τ ·), τ² = C(T,T;x,x), and not of φ: with unit variance Σ*_11 would be 0.394 instead of 0.456
        for tanh at σ_w = T = 1.
        """
        return self.activation.hermite_coefficients(self.final_variance(variance), count)

    def entry_bounds(
        self, variances: Float[Array, " n"], variance_error: float, angle_error: float
    ) -> dict[str, float]:
        """Twice the largest change when the time steps double, and twice the measured slopes times the inputs' errors.

        Over 17 angles and the smallest, the median and the largest variance, plus 64 eps of the largest entry and the
        error of the dual maps at the largest variance of h_T. Measured, and no proof.
        """
        levels = jnp.asarray(np.quantile(np.asarray(variances), (0.0, 0.5, 1.0), method="nearest"))
        p, q = jnp.meshgrid(levels, levels, indexing="ij")
        p, q = p[..., None], q[..., None]
        angle = jnp.linspace(0.02, math.pi - 0.02, 17)
        t = 1e-5
        (value, finer), (turned, _), (scaled, _) = (
            self.refinement(p * factor, q, angle + shift) for factor, shift in ((1.0, 0.0), (1.0, t), (1 + t, 0.0))
        )
        dual = self.activation.dual_error(self.final_variance(levels[-1]))
        bounds = {}
        for name in NAMES:
            by_angle, by_variance = (float(jnp.max(jnp.abs(m[name] - value[name]))) / t for m in (turned, scaled))
            size = float(jnp.max(jnp.abs(value[name])))
            inputs = 2 * (by_angle * angle_error + 2 * by_variance * variance_error)
            steps = 2 * float(jnp.max(jnp.abs(finer[name] - value[name])))
            bounds[name] = steps + inputs + 64 * EPS * size + dual * (1 + size)
        return bounds

    @abc.abstractmethod
    def refinement(
        self, p: Float[Array, "..."], q: Float[Array, "..."], angle: Float[Array, "..."]
    ) -> tuple[dict[str, Float[Array, "..."]], dict[str, Float[Array, "..."]]]:
        """The entries of these pairs, and the same with twice as many time steps."""

    @abc.abstractmethod
    def _final(self, variance: Float[Array, " rows"]) -> Float[Array, " rows"]:
        """The variances of h_T."""

    def _shares(self, v: Array, slope: Array, theta_w: Array, theta_u: Array) -> dict[str, Array]:
        """The matrices from V, V′, Θ^W and Θ^U at T."""
        scale = self.sigma_v**2
        nngp, k_w, k_u = scale * v, scale * slope * theta_w, scale * slope * theta_u
        return dict(zip(NAMES, (v, nngp, k_w, k_u, nngp + k_w + k_u), strict=True))


class NeuralODEKernel(AbstractODEKernel):
    r"""Kernels of the Neural ODE with tied weights at infinite width:

    - `sigma_star` $= Σ^* = E[φ(h_T)φ(h'_T)]$; `nngp` $= K^v = σ_v^2 Σ^*$, the covariance of the outputs and v's share;
    - `k_w` $= K^W$ and `k_u` $= K^U$, the shares of W and U; `ntk` $= K^∞ = K^v + K^W + K^U$.

    **Arguments:**

    - `activation`: any; its dual maps in closed form or by quadrature.
    - `sigma_u` (`None` is √d: h_0 has the variance |x|²), `sigma_w`, `sigma_v`, `horizon` T; only σ_w T matters.
    - `time_steps`: G. Of second order in T/G: V is taken at the middle of a cell, where C is the mean of the two corners
      that are known before the fourth.
    - `richardson`: extrapolate from G and 2G steps.
    - `layers`: L; the limit of the residual network of L layers with tied weights instead of the ODE's. Exact: Euler's rule
      C_{k+1,l+1} = C_{k+1,l} + C_{k,l+1} − C_{k,l} + (σ_w T/L)² V_{kl}, and nothing is extrapolated.

    **Raises:** `ValueError` for scales, horizon or counts that are not positive.

    **Accuracy, cost:** 5e-8 at 16 steps with extrapolation for tanh and softplus, σ_w T = 1; `entry_error` measures it. G²
    evaluations of both dual maps per pair and memory of one row, G + 1 numbers per pair. The problem x = x′ couples
    C(s,t) with C(s,s): it is solved first, once per row, and fixes the Hermite coefficients that all pairs of the row use.

    **Source:** Gao, Sun, Liu, Gao, ICLR 2025 (arXiv:2509.22436), Theorem 2 and Corollary 1. The Goursat problems are this
    library's: the source only says that the limit exists.
    """

    activation: AbstractActivation
    sigma_u: float | None = eqx.field(static=True, default=None)
    sigma_w: float = eqx.field(static=True, default=1.0)
    sigma_v: float = eqx.field(static=True, default=1.0)
    horizon: float = eqx.field(static=True, default=1.0)
    time_steps: int = eqx.field(static=True, default=16)
    richardson: bool = eqx.field(static=True, default=True)
    layers: int | None = eqx.field(static=True, default=None)

    def __check_init__(self):
        if self.layers is not None:
            numerics.check_count("layers", self.layers)

    @property
    def counts(self) -> tuple[int, ...]:
        """The numbers of time steps that a value is made of."""
        if self.layers is not None:
            return (self.layers,)
        return (self.time_steps, 2 * self.time_steps) if self.richardson else (self.time_steps,)

    @property
    def tile(self) -> int:
        """Rows and columns of a tile: a power of two for which the three rows of the march stay in the cache."""
        most = IN_CACHE / (3 * (self.counts[-1] + 1))
        return min(TILE, max(16, 2 ** int(math.log2(most) / 2)))

    def entries(self, cov: Covariance) -> dict[str, Float[Array, "*pairs"]]:
        """All five matrices of a tile of pairs."""
        levels = jax.lax.map(lambda steps: self.march(cov, steps, self.counts[-1]), jnp.asarray(self.counts))
        return {name: _extrapolated(*value) for name, value in levels.items()}

    def refinement(
        self, p: Float[Array, "..."], q: Float[Array, "..."], angle: Float[Array, "..."]
    ) -> tuple[dict[str, Float[Array, "..."]], dict[str, Float[Array, "..."]]]:
        """The entries of these pairs, and the same with twice as many time steps; of the residual network the same."""
        counts = self.counts if self.layers is not None else (*self.counts, 2 * self.counts[-1])
        levels = [_march(self, counts[-1], p, q, angle, jnp.asarray(steps)) for steps in counts]
        used = len(self.counts)
        return tuple(
            {name: _extrapolated(*(level[name] for level in part)) for name in NAMES}
            for part in (levels[:used], levels[-used:])
        )  # pyright: ignore[reportReturnType]

    def march(self, cov: Covariance, steps: Int[Array, ""] | int, most: int) -> dict[str, Float[Array, "*pairs"]]:
        """The entries by `steps` time steps, in arrays for `most` ≥ `steps`: their number may be traced."""
        gain = (self.sigma_w * self.horizon / jnp.asarray(steps, float)) ** 2
        euler = self.layers is not None
        dual, c_0 = _Dual(self.activation), cov.c
        # Both sides in one loop: it is compiled once.
        starts = jnp.concatenate([cov.p.ravel(), cov.q.ravel()])
        split = jnp.split(self._self_problem(starts, steps, most), [cov.p.size], 1)
        sides = (v.reshape(most + 1, *like.shape) for v, like in zip(split, (cov.p, cov.q), strict=True))
        rows, columns = (dual.table(v).by_time() for v in sides)

        def row(k, known):
            here = rows.at(k)

            def cell(l_, state):
                # `known` is row k from l + 1 on and row k + 1 up to l; `before` is its last, `corner` what was there.
                known, before, corner = state
                above = tuple(side[l_ + 1] for side in known)
                at = corner if euler else tuple((one + other) / 2 for one, other in zip(before, above, strict=True))
                v, slope = dual.pair(here, columns.at(l_), at[0])
                sources = (v, v + slope * at[1], slope * at[2])
                after = tuple(b + a - c + gain * s for b, a, c, s in zip(before, above, corner, sources, strict=True))
                known = tuple(side.at[l_ + 1].set(new) for side, new in zip(known, after, strict=True))
                return known, after, above

            first = tuple(side[0] for side in known)  # on the boundary nothing changes
            return jax.lax.fori_loop(0, steps, cell, (known, first, first))[0]

        shape = (most + 1, *c_0.shape)
        known = (jnp.broadcast_to(c_0, shape), jnp.zeros(shape, c_0.dtype), jnp.broadcast_to(c_0, shape))
        c, theta_w, theta_u = (side[steps] for side in jax.lax.fori_loop(0, steps, row, known))
        v, slope = dual.pair(rows.at(steps), columns.at(steps), c)
        return self._shares(v, slope, theta_w, theta_u)

    def _self_problem(self, start: Float[Array, " rows"], steps, most: int) -> Float[Array, "times rows"]:
        """Variances where V is evaluated, one per step, and then at T: by Picard's iteration on the whole grid of x = x′."""
        gain = (self.sigma_w * self.horizon / jnp.asarray(steps, float)) ** 2
        euler = self.layers is not None
        dual = _Dual(self.activation)
        inside = jnp.arange(most) < steps
        cells = (inside[:, None] & inside)[..., None]

        def middles(c):
            return c[:-1, :-1] if euler else (c[1:, :-1] + c[:-1, 1:]) / 2

        def sweep(c):
            at = middles(c)
            table = dual.table(jnp.diagonal(at).T, slopes=False)
            v, _ = dual.pair(table.spread(1), table.spread(0), at, slopes=False)
            inner = gain * jnp.cumsum(jnp.cumsum(jnp.where(cells, v, 0.0), axis=0), axis=1)
            return start + jnp.pad(inner, ((1, 0), (1, 0), (0, 0)))

        def going_on(state):
            k, c, moved = state
            # Volterra: the k-th change falls like 1/(k!)². What overflows is left as it is, to be reported.
            return (k < 400) & (moved > 4 * EPS * jnp.max(jnp.abs(c))) & jnp.isfinite(moved)

        def once(state):
            k, c, _ = state
            new = sweep(c)
            return k + 1, new, jnp.max(jnp.abs(new - c))

        first = jnp.broadcast_to(start, (most + 1, most + 1, start.size))
        _, c, moved = jax.lax.while_loop(going_on, once, (0, first, jnp.asarray(1e300, start.dtype)))
        variances = jnp.concatenate([jnp.diagonal(middles(c)).T, c[-1, -1][None]]).at[steps].set(c[steps, steps])
        bad = ~jnp.isfinite(moved) | (moved > 1e-6 * jnp.max(jnp.abs(c)))
        return jnp.where(bad, jnp.nan, variances)

    def _final(self, variance: Float[Array, " rows"]) -> Float[Array, " rows"]:
        most = self.counts[-1]
        levels = jax.lax.map(
            lambda steps: self._self_problem(variance, steps, most)[steps], jnp.asarray(self.counts)
        )  # fmt: skip
        return _extrapolated(*levels)


class UntiedODEKernel(AbstractODEKernel):
    r"""The limit of the residual network with independent weights in each of its L → ∞ layers, for contrast.

    With increments scaled by 1/√L the covariance follows dC/dt = σ_w² V(t,t) and the tangent kernel of the states dΘ/dt =
    σ_w² (V + V′Θ): no pair of different times is correlated, so that one time is enough. (With increments scaled by 1/L, as
    in the ODE, independent weights leave C at its first value and K^W = 0.) The matrices have the names of
    `NeuralODEKernel`; for tanh at σ_w = T = 1 the tangent kernel is 4% larger than that of tied weights.

    **Arguments:** as `NeuralODEKernel`; `time_steps` of the classical Runge-Kutta method, of fourth order.

    **Raises:** as `NeuralODEKernel`.
    """

    activation: AbstractActivation
    sigma_u: float | None = eqx.field(static=True, default=None)
    sigma_w: float = eqx.field(static=True, default=1.0)
    sigma_v: float = eqx.field(static=True, default=1.0)
    horizon: float = eqx.field(static=True, default=1.0)
    time_steps: int = eqx.field(static=True, default=32)

    def entries(self, cov: Covariance) -> dict[str, Float[Array, "*pairs"]]:
        """All five matrices of a tile of pairs."""
        dual, rate = _Dual(self.activation), self.sigma_w**2

        def slopes(state):
            p, q, c, theta_w, theta_u = state
            v, slope = dual.pair(dual.table(p), dual.table(q), c)
            return (
                rate * self.activation.second_moment(p), rate * self.activation.second_moment(q),
                rate * v, rate * (v + slope * theta_w), rate * slope * theta_u,
            )  # fmt: skip

        c_0 = cov.c
        state = self._runge_kutta(slopes, (cov.p, cov.q, c_0, jnp.zeros_like(c_0), c_0))
        p, q, c, theta_w, theta_u = state
        pair = Covariance.of(p, q, c)
        v, slope = self.activation.dual(pair), self.activation.dual_derivative(pair)
        return self._shares(v, slope, theta_w, theta_u)

    def refinement(
        self, p: Float[Array, "..."], q: Float[Array, "..."], angle: Float[Array, "..."]
    ) -> tuple[dict[str, Float[Array, "..."]], dict[str, Float[Array, "..."]]]:
        """The entries of these pairs, and the same with twice as many time steps."""
        finer = dataclasses.replace(self, time_steps=2 * self.time_steps)
        return _entries(self, p, q, angle), _entries(finer, p, q, angle)

    def _final(self, variance: Float[Array, " rows"]) -> Float[Array, " rows"]:
        rate = self.sigma_w**2
        return self._runge_kutta(lambda s: (rate * self.activation.second_moment(s[0]),), (variance,))[0]

    def _runge_kutta(self, slopes, state):
        dt = self.horizon / self.time_steps

        def moved(state, by, rates):
            return tuple(s + by * r for s, r in zip(state, rates, strict=True))

        def step(state, _):
            one = slopes(state)
            two = slopes(moved(state, dt / 2, one))
            three = slopes(moved(state, dt / 2, two))
            four = slopes(moved(state, dt, three))
            rates = tuple((a + 2 * b + 2 * c + d) / 6 for a, b, c, d in zip(one, two, three, four, strict=True))
            return moved(state, dt, rates), None

        return jax.lax.scan(step, state, None, length=self.time_steps)[0]


class TabulatedKernel(AbstractKernel):
    """A kernel of rows of one norm as Chebyshev series in the angle; made by `AbstractODEKernel.tabulated`."""

    kernel: AbstractODEKernel
    coefficients: dict[str, Float[Array, " terms"]]
    error: dict[str, float]  # what the series leaves out

    def embed(self, x: Float[Array, "n d"]) -> Float[Array, "n d"]:
        """As the kernel."""
        return self.kernel.embed(x)

    def entries(self, cov: Covariance) -> dict[str, Float[Array, "*pairs"]]:
        """The series at the angles of a tile."""
        return {name: _clenshaw(a, 2 / math.pi * cov.angle - 1) for name, a in self.coefficients.items()}

    def entry_bounds(
        self, variances: Float[Array, " n"], variance_error: float, angle_error: float
    ) -> dict[str, float]:
        """Those of the kernel, and what the series leaves out."""
        found = self.kernel.entry_bounds(variances, variance_error, angle_error)
        return {name: bound + self.error[name] for name, bound in found.items()}


class _Table(NamedTuple):
    """Variances with the Hermite coefficients of φ and φ′ there, in front the axis of the terms; none for closed forms."""

    variance: Float[Array, "*shape"]
    a: Float[Array, "terms *shape"] | None
    b: Float[Array, "more *shape"] | None

    def by_time(self) -> "_Table":
        """With time in front, for a scan."""
        return _Table(self.variance, *(None if t is None else jnp.moveaxis(t, 1, 0) for t in (self.a, self.b)))

    def at(self, k) -> "_Table":
        """At one time, after `by_time`."""
        return _Table(self.variance[k], *(None if t is None else t[k] for t in (self.a, self.b)))

    def spread(self, axis: int) -> "_Table":
        """With one more axis of variances."""
        series = (None if t is None else jnp.expand_dims(t, axis + 1) for t in (self.a, self.b))
        return _Table(jnp.expand_dims(self.variance, axis), *series)


class _Dual:
    """V and V′ of a pair from what is tabulated per variance: Hermite coefficients where φ has no closed form."""

    def __init__(self, activation: AbstractActivation):
        self.activation = activation

    def table(self, variance: Float[Array, "*shape"], slopes: bool = True) -> _Table:
        """What pairs need of these variances."""
        phi = self.activation
        if not isinstance(phi, AbstractNumerical) or phi.kinks == (0.0,):
            return _Table(variance, None, None)
        parities = (1, 0) if phi.odd else (None, None)
        a, b = (
            quadrature.coefficients(f, variance, phi.terms, phi.kinks, parity=parity) if wanted else None
            for f, parity, wanted in zip((phi, phi.derivative), parities, (True, slopes), strict=True)
        )
        return _Table(variance, a, b)

    def pair(self, left: _Table, right: _Table, c: Float[Array, "*pairs"], slopes: bool = True) -> tuple[Array, Array]:
        """(V, V′) at the covariance c; V′ is of no use without `slopes`."""
        if left.a is None or right.a is None:
            cov = Covariance.of(left.variance, right.variance, c)
            return self.activation.dual(cov), self.activation.dual_derivative(cov) if slopes else c
        scale = quadrature.safe_sqrt(left.variance * right.variance)
        # Within the error of the time steps |x| may pass 1, where a power series must not go.
        x = jnp.clip(jnp.where(scale > 0, c / jnp.where(scale > 0, scale, 1.0), 0.0), -1.0, 1.0)
        odd = self.activation.odd
        base = x * x if odd else x
        v = quadrature.mehler(left.a, right.a, base)
        slope = c if left.b is None or right.b is None else quadrature.mehler(left.b, right.b, base)
        return (x * v if odd else v), slope


@eqx.filter_jit
def _entries(kernel: AbstractODEKernel, p: Array, q: Array, angle: Array) -> dict[str, Array]:
    return kernel.entries(Covariance(p, q, angle))


@eqx.filter_jit
def _final_variance(kernel: AbstractODEKernel, variance: Array) -> Array:
    return kernel._final(variance)


@eqx.filter_jit
def _march(kernel: NeuralODEKernel, most: int, p: Array, q: Array, angle: Array, steps: Array) -> dict[str, Array]:
    return kernel.march(Covariance(p, q, angle), steps, most)


def _extrapolated(coarse: Array, fine: Array | None = None) -> Array:
    """Richardson's extrapolation of second order, where there are two values."""
    return coarse if fine is None else (4 * fine - coarse) / 3


def _tabulate(kernel: AbstractODEKernel, variance: Array) -> TabulatedKernel | None:
    grid = (np.arange(NODES) + 0.5) * math.pi / NODES
    angle = jnp.asarray(math.pi / 2 * (1 + np.cos(grid)))
    analysis = 2 / NODES * np.cos(np.outer(np.arange(NODES), grid))
    analysis[0] /= 2
    values = _entries(kernel, variance, variance, angle)
    found = {name: analysis @ np.asarray(value) for name, value in values.items()}
    # Of a series that has converged the last eighth is noise, and what is left out is no larger.
    error = {name: float(NODES / 8 * np.abs(a[-NODES // 8 :]).max()) for name, a in found.items()}
    size = max(float(np.abs(np.asarray(value)).max()) for value in values.values())
    if not all(e <= TABLE_TOLERANCE * size for e in error.values()):
        return None
    return TabulatedKernel(kernel, {name: jnp.asarray(a) for name, a in found.items()}, error)


def _clenshaw(coefficients: Float[Array, " terms"], x: Float[Array, "*pairs"]) -> Float[Array, "*pairs"]:
    """Chebyshev series at x in [−1, 1]."""

    def step(state, a):
        one, two = state
        return (a + 2 * x * one - two, one), None

    zero = jnp.zeros_like(x)
    (one, two), _ = jax.lax.scan(step, (zero, zero), coefficients[:0:-1], unroll=8)
    return coefficients[0] + x * one - two

"""Dual maps E[φ(u)φ(v)] of any φ by quadrature: Hermite series for smooth φ, polar coordinates for a kink at 0.

It serves the activations without a closed form and the user's own, and is the reference for the closed forms, with
which it shares nothing but a square root. u = √p x and v = √q (x cos θ + y sin θ) with x, y independent N(0, 1).
"""

import functools
import math
from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from .._core.numerics import EPS, require_float64

Elementwise = Callable[[Array], Array]

# Beyond |z| = 16, |h_k(z)| n(z) ≤ n(z)^{1/2} (Cramér's inequality, n the density) is below 1e-28: φ may grow to 1e12.
HALF_WIDTH = 16.0
# Gauss-Legendre nodes between two kinks: 2√k/2π ≤ 5 oscillations of h_k per unit length ask for π nodes each.
PANEL_NODES = 256
# Nodes of the polar rule, along the radius (cut at 9: e^{-81/2} = 3e-18) and across each sector.
RADIUS, RADIAL_NODES, ANGULAR_NODES = 9.0, 40, 32
# More variances than this, and coefficients are computed for a batch of pairs at a time: 2¹⁵ × 256 terms are 64 MiB.
MOST_VARIANCES, BATCH = 2**15, 2048


def safe_sqrt(x: Float[Array, "..."]) -> Float[Array, "..."]:
    """√x with derivative 0 at x = 0, where the true one is infinite and would turn gradients into NaN."""
    positive = x > 0
    return jnp.where(positive, jnp.sqrt(jnp.where(positive, x, 1.0)), 0.0)


def coefficients(
    phi: Elementwise,
    variance: Float[Array, "*shape"],
    count: int,
    kinks: tuple[float, ...] = (),
    *,
    parity: int | None = None,
    refine: int = 1,
) -> Float[Array, "terms *shape"]:
    r"""Hermite coefficients $a_k(c) = E[\varphi(\sqrt c\,z) h_k(z)]$, h_k the orthonormal probabilists' polynomials.

    **Arguments:**

    - `phi`: an elementwise function; `kinks`: where it is not smooth.
    - `variance`: c ≥ 0, float64, of any shape.
    - `count`: k = 0 ... count − 1; with `parity` 0 or 1 only the even or the odd ones of these.
    - `refine`: 2 for the rule with half the step and a longer line that error estimates compare with.

    **Accuracy, cost:** the trapezoidal rule converges exponentially for φ analytic in a strip; between kinks
    Gauss-Legendre. One φ per variance and node (about 400), one matrix product.
    """
    require_float64("variance", variance)
    root = safe_sqrt(variance)
    if not kinks:
        z, table = _line_rule(count, refine)
        values = phi(root[..., None] * jnp.asarray(z))
        rows = jnp.asarray(table if parity is None else table[parity::2])
        return jnp.tensordot(rows, values, axes=(1, -1), precision=jax.lax.Precision.HIGHEST)
    # The kinks in units of z move with the variance, and the nodes with them: h_k comes from its recurrence.
    z, weight = _panels(root, kinks, refine)
    density = jnp.exp(-z * z / 4) / (2 * math.pi) ** 0.25  # √n: with it, h_k never overflows
    integrand = weight * density * phi(root[..., None] * z)

    a = _projected(z, density, integrand, count)
    return a if parity is None else a[parity::2]


@functools.partial(jax.jit, static_argnames="count")
def _projected(
    z: Float[Array, "*shape nodes"],
    density: Float[Array, "*shape nodes"],
    integrand: Float[Array, "*shape nodes"],
    count: int,
) -> Float[Array, "terms *shape"]:
    """Sums of the integrand times √n h_k, k < count, by the recurrence of h_k; compiled once for all φ."""

    def raise_degree(pair, k):
        before, now = pair
        after = (z * now - jnp.sqrt(k) * before) / jnp.sqrt(k + 1)
        return (now, after), jnp.sum(integrand * now, axis=-1)

    return jax.lax.scan(raise_degree, (jnp.zeros_like(z), density), jnp.arange(count, dtype=z.dtype))[1]


@jax.jit
def mehler(
    a: Float[Array, "terms *p"], b: Float[Array, "terms *q"], x: Float[Array, "*pairs"]
) -> Float[Array, "*all_pairs"]:
    """Σ_k a_k b_k x^k by Horner, with a_k and b_k broadcast against x: never an array of pairs × terms."""
    start = jnp.zeros(jnp.broadcast_shapes(a.shape[1:], b.shape[1:], x.shape), x.dtype)
    # Unrolled, eight terms share one pass over the pairs.
    total, _ = jax.lax.scan(lambda s, ab: (s * x + ab[0] * ab[1], None), start, (a, b), reverse=True, unroll=8)
    return total


def series(
    phi: Elementwise,
    p: Float[Array, "*p"],
    q: Float[Array, "*q"],
    angle: Float[Array, "*pairs"],
    count: int,
    kinks: tuple[float, ...] = (),
    *,
    parity: int | None = None,
    cosine: Float[Array, "*pairs"] | None = None,
) -> Float[Array, "*all_pairs"]:
    r"""$E[\varphi(u)\varphi(v)] = \sum_{k<count} a_k(p)\,a_k(q)\cos^k\theta$ (Mehler).

    **Arguments:** variances `p`, `q` and `angle`, float64, which broadcast against each other. Coefficients are
    computed once per entry of `p` and of `q`: for n rows pass shapes (n, 1) and (1, n), and the cost over the pairs
    is Horner's alone. `parity` 1 for odd φ and 0 for even φ skips the coefficients that vanish. `cosine` is that of
    the angle, where it is known already.

    **Accuracy:** `series_error`.
    """
    x = jnp.cos(angle) if cosine is None else cosine
    shape = jnp.broadcast_shapes(p.shape, q.shape, angle.shape)
    if max(p.size, q.size) > MOST_VARIANCES:
        pairs = tuple(jnp.broadcast_to(a, shape).ravel() for a in (p, q, angle, x))
        one = functools.partial(series, phi, count=count, kinks=kinks, parity=parity)
        return jax.lax.map(lambda pair: one(*pair[:3], cosine=pair[3]), pairs, batch_size=BATCH).reshape(shape)
    a = coefficients(phi, p, count, kinks, parity=parity)
    b = coefficients(phi, q, count, kinks, parity=parity)
    if parity is None:
        return mehler(a, b, x)
    even = mehler(a, b, x * x)
    return x * even if parity else even


def series_error(
    phi: Elementwise, variance: Float[Array, "*shape"], count: int, kinks: tuple[float, ...] = ()
) -> float:
    r"""Bound on the absolute error of `series` for all pairs whose two variances are among those given.

    The tail is at most $(\sum_{k\ge K} a_k(p)^2 \sum_{k\ge K} a_k(q)^2)^{1/2}$, and by Parseval each sum is
    $E\varphi(u)^2 - \sum_{k<K} a_k^2$, whose own rounding (8 eps Eφ²) is added. What the quadrature does to the
    coefficients, δ, is measured against the refined rule and enters as 2‖a‖‖δ‖ + ‖δ‖². Horner's rounding is at most
    eps Σ (2k + 1) |a_k b_k|, doubled for the products and the cosine. All but the measured δ is proven.
    """
    distinct = np.unique(np.asarray(variance))
    # Few shapes for the compiler: the last one repeated up to a power of two.
    c = jnp.asarray(np.pad(distinct, (0, 2 ** math.ceil(math.log2(len(distinct))) - len(distinct)), mode="edge"))
    used = _host_coefficients(phi, c, count, kinks)
    fine = _host_coefficients(phi, c, count, kinks, refine=2)
    moment = _host_coefficients(lambda u: phi(u) ** 2, c, 1, kinks, refine=2)[0]
    tail = np.maximum(moment - np.sum(fine**2, axis=0), 0.0) + 8 * EPS * moment
    delta = np.linalg.norm(used - fine, axis=0).max()
    rounding = 2 * EPS * np.sum((2 * np.arange(count)[:, None] + 1) * used**2, axis=0)
    return float(tail.max() + 2 * math.sqrt(moment.max()) * delta + delta**2 + rounding.max())


def _host_coefficients(
    phi: Elementwise, variance: Array, count: int, kinks: tuple[float, ...], refine: int = 1
) -> np.ndarray:
    """`coefficients` with NumPy's product: whoever looks for the number of terms tries several, and each would be compiled."""
    if kinks:
        return np.asarray(coefficients(phi, variance, count, kinks, refine=refine))
    z, table = _line_rule(count, refine)
    points = np.sqrt(np.asarray(variance))[:, None] * z
    # In blocks of one shape, or every operation of φ and its derivatives is compiled for each number of nodes.
    blocks = np.pad(points.ravel(), (0, -points.size % BATCH)).reshape(-1, BATCH)
    values = np.concatenate([np.asarray(phi(jnp.asarray(block))) for block in blocks])
    return table @ values[: points.size].reshape(points.shape).T


@functools.partial(jax.jit, static_argnames=("phi", "refine"))
def polar(
    phi: Elementwise,
    p: Float[Array, "*p"],
    q: Float[Array, "*q"],
    angle: Float[Array, "*pairs"],
    *,
    refine: int = 1,
) -> Float[Array, "*all_pairs"]:
    """E[φ(u)φ(v)] for φ with a kink at 0 (or none), at any angle: polar coordinates, split where u or v changes sign.

    The plane falls into two sectors of width π − θ (u and v of one sign) and two of width θ. With s across a sector of
    width w, |u| = √p r sin s and |v| = √q r sin(w − s): on each the integrand is as smooth as φ on a half line, so that
    Gauss-Legendre converges exponentially, and at θ = 0 and π nothing degenerates. 10⁴ evaluations of φ per pair.

    **Accuracy:** `doubling_error`.
    """
    for name, x in (("p", p), ("q", q), ("angle", angle)):
        require_float64(name, x)
    root_p, root_q = safe_sqrt(p), safe_sqrt(q)
    radii, radial_weights = legendre(0.0, RADIUS + 2 * (refine - 1), refine * RADIAL_NODES)
    radial_weights = radial_weights * radii * np.exp(-(radii**2) / 2) / (2 * math.pi)
    fractions, weights = legendre(0.0, 1.0, refine * ANGULAR_NODES)
    radial = jnp.asarray(np.stack((radii, radial_weights), axis=1))

    def across(total, node):
        fraction, weight = node
        for width, same in ((math.pi - angle, True), (angle, False)):
            a, b = root_p * jnp.sin(fraction * width), root_q * jnp.sin((1 - fraction) * width)

            def along(inner, node, a=a, b=b, same=same):
                r, w = node
                ahead, back, up, down = phi(r * a), phi(-r * a), phi(r * b), phi(-r * b)
                return inner + w * (ahead * up + back * down if same else back * up + ahead * down), None

            inner, _ = jax.lax.scan(along, jnp.zeros_like(total), radial)
            total = total + weight * width * inner
        return total, None

    start = jnp.zeros(jnp.broadcast_shapes(p.shape, q.shape, angle.shape), angle.dtype)
    total, _ = jax.lax.scan(across, start, jnp.asarray(np.stack((fractions, weights), axis=1)))
    return total


def doubling_error(rule: Callable[[Array, Array, Array, int], Array], variance: Float[Array, "*shape"]) -> float:
    """Measured error of `rule(p, q, angle, refine)`: the largest change when its nodes double, and its rounding.

    Over 33 angles and the smallest, the median and the largest of the variances: the error grows smoothly with the
    variance, but between these points it is an estimate and no proof. Rounding: 64 eps of the largest value, √N eps
    for the N terms of the sum. Exponential convergence makes the doubled rule's own error the square of what is seen.
    """
    c = jnp.asarray(np.quantile(np.asarray(variance), (0.0, 0.5, 1.0), method="nearest"))
    pairs = c[:, None, None], c[None, :, None], jnp.linspace(0.0, math.pi, 33)[None, None]
    used, fine = np.asarray(rule(*pairs, 1)), np.asarray(rule(*pairs, 2))
    return float(np.abs(used - fine).max() + 64 * EPS * np.abs(fine).max())


@functools.lru_cache(maxsize=32)
def _line_rule(count: int, refine: int) -> tuple[np.ndarray, np.ndarray]:
    """Trapezoidal nodes z_i and the table w_i n(z_i) h_k(z_i), one row per k.

    The Fourier transform of h_k n sits at frequencies below √k + 8, so that what aliases at 2π/step is φ's transform
    beyond 60 + √k, at most e^{-60 d} for φ(√c ·) analytic in |Im z| < d.
    """
    step = 2 * math.pi / (60 + 2 * math.sqrt(count)) / refine
    half = math.ceil((HALF_WIDTH + 3 * (refine - 1)) / step)
    z = step * np.arange(-half, half + 1)
    density = np.exp(-z * z / 4) / (2 * math.pi) ** 0.25
    table = np.empty((count, z.size))
    before, now = np.zeros_like(z), density
    for k in range(count):
        table[k] = now
        before, now = now, (z * now - math.sqrt(k) * before) / math.sqrt(k + 1)
    return z, table * (step * density)


@functools.lru_cache(maxsize=32)
def legendre(low: float, high: float, nodes: int) -> tuple[np.ndarray, np.ndarray]:
    """Gauss-Legendre nodes and weights on [low, high]."""
    x, w = np.polynomial.legendre.leggauss(nodes)
    return low + (high - low) * (x + 1) / 2, w * (high - low) / 2


def _panels(
    root: Float[Array, "*shape"], kinks: tuple[float, ...], refine: int
) -> tuple[Float[Array, "*shape nodes"], Float[Array, "*shape nodes"]]:
    """Gauss-Legendre nodes and weights on the line cut at kinks/√c; a kink beyond the line leaves an empty panel."""
    width = HALF_WIDTH + 3 * (refine - 1)
    # At c = 0 the function is constant in z: any cut will do.
    cuts = [jnp.clip(kink / jnp.where(root > 0, root, 1.0), -width, width) for kink in sorted(kinks)]
    edges = jnp.stack([jnp.full_like(root, -width), *cuts, jnp.full_like(root, width)], axis=-1)
    x, w = (jnp.asarray(v) for v in legendre(0.0, 1.0, refine * PANEL_NODES))
    length = jnp.diff(edges, axis=-1)[..., None]
    z, weight = edges[..., :-1, None] + length * x, length * w
    return z.reshape(*root.shape, -1), weight.reshape(*root.shape, -1)

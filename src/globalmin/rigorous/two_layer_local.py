r"""The two-layer network's local constants along the path (theory/curvature/two_layer_local.py), enclosed.

For K = J₀J₀ᵀ the numbers α, υ, κ of that page bound the change of J in the norm of K: on a path of length l on which no neuron
has moved further than x, σ_min(J) ≥ σ₀(1 − l(α + κx)), and x grows per length by at most (υ + αx + κx²)/(1 − l(α + κx)). A row
0 = x_0 ≤ x_1 ≤ … ≤ x_N at lengths 0 = q_0 < q_1 < … < q_N with

    x_j ≥ x_{j−1} + (q_j − q_{j−1})(υ + αx_j + κx_j²)/(1 − q_j(α + κx_j))

bounds x there, and Λ_* = σ₀(α + κx_j) serves every path of length l ≤ q_j. The lengths are the theorem's nodes, the row is the
witness in the file.

K⁻¹ enters by a Loewner bound: for any W with ‖WKWᵀ − I‖ ≤ ε < 1, K⁻¹ lies between WᵀW/(1 + ε) and WᵀW/(1 − ε), and
v ↦ Σ_ij v_i v_j A_ij (K⁻¹)_ij is monotone in K⁻¹ for positive semidefinite A (Schur's product theorem).
"""

import dataclasses
import math
from typing import Any

import numpy as np
import scipy.linalg

from ..models import TwoLayer
from .elementwise import Elementwise
from .enclosure import Enclosure, Interval, UnboundedError, grow
from .flint import PRECISION, precision, up
from .spectrum import lambda_max, root
from .theorem import Numbers, RigorousBlock, claimed

INFLATION = 1e-9
NEURONS = 1024
WIDER = 1e-12
"""By how much the interval of a quadratic form in K⁻¹ is widened, relatively."""


def local_numbers(model: TwoLayer, x: np.ndarray, gram: Enclosure, numbers: Numbers) -> Numbers | None:
    """The numbers with the block of local constants beside the others; `None` where K is not shown regular, or at a scale
    that doubles do not hold.

    **Arguments:** `gram`: K, enclosed.
    """
    try:
        return _with_local(model, x, gram, numbers)
    except UnboundedError:
        return None


def _with_local(model: TwoLayer, x: np.ndarray, gram: Enclosure, numbers: Numbers) -> Numbers | None:
    phi = Elementwise(model.activation.name)
    assert phi.third is not None
    found = _inverse(gram)
    if found is None or not numbers.quantities["lambda_min_all"].lower > 0:
        return None
    inverse, error = found
    rows, width = Enclosure.exact(x), len(model.readout)
    products = rows @ rows.T
    squares = products * products
    forms = squares * inverse, products * inverse
    sizes: list[list[Enclosure]] = [[], []]
    for first in range(0, width, NEURONS):
        part = slice(first, first + NEURONS)
        h = rows @ Enclosure.exact(model.hidden[part]).T
        a = Enclosure.exact(model.readout[part])
        for form, order, kept in zip(forms, (2, 1), sizes, strict=True):
            values = phi(h, order) * a
            kept.append(_column_sums(values * (form @ values)))
    quantities = dict(numbers.quantities)
    with precision(PRECISION) as flint:
        share = Enclosure.ball(1 / flint.arb(width))
    quantities |= claimed({
        "path_bend": _largest_root(sizes[0], share, error),
        "path_slope": _largest_root(sizes[1], share, error),
        "sixth_moment": root(lambda_max(squares * products)),
    })  # fmt: skip
    path = _Path(quantities, phi.third, width)
    block = RigorousBlock("local", None, path.step)
    return dataclasses.replace(numbers, quantities=quantities, blocks=(*numbers.blocks, block))


def _inverse(gram: Enclosure) -> tuple[Enclosure, float] | None:
    """X = WᵀW and ε."""
    lower = np.tril(gram.mid) + np.tril(gram.mid, -1).T
    try:
        factor = scipy.linalg.cholesky(lower, lower=True)
        w = scipy.linalg.solve_triangular(factor, np.eye(len(lower)), lower=True)
    except (scipy.linalg.LinAlgError, ValueError):
        return None
    plain = Enclosure.exact(w)
    near = plain @ (Enclosure(lower, gram.rad) @ plain.T) - Enclosure.exact(np.eye(len(w)))
    error = float(grow(near.magnitude().sum(axis=1), len(w)).max())
    return (plain.T @ plain, error) if error < 0.5 else None


def _column_sums(a: Enclosure) -> Enclosure:
    return Enclosure.exact(np.ones(len(a.mid))) @ a


def _largest_root(parts: list[Enclosure], share: Enclosure, error: float) -> Interval:
    """(largest · share / (1 ± error))^{1/2}, widened a little: another inverse need not give the last digit."""
    found = Enclosure(*(np.concatenate([getattr(p, end) for p in parts]) for end in ("mid", "rad"))) * share
    low, high = float((found.mid - found.rad).max()), float((found.mid + found.rad).max())
    with precision(PRECISION) as flint:
        arb, eps = flint.arb, flint.arb(error)
        wide = flint.arb(WIDER)
        below = (arb(max(low, 0.0)) / (1 + eps)).sqrt() * (1 - wide)
        above = (arb(max(high, 0.0)) / (1 - eps)).sqrt() * (1 + wide)
        return Interval(Interval.of(below).lower, Interval.of(above).upper)


class _Path:
    """Λ_* along a path, from the ends of the quantities."""

    def __init__(self, quantities: dict[str, Interval], third: float, width: int):
        with precision(PRECISION) as flint:
            arb = flint.arb
            upper = {k: arb(v.upper) for k, v in quantities.items()}
            self.sigma = arb(quantities["lambda_min_all"].lower).sqrt()
            self.alpha, self.upsilon = upper["path_bend"], upper["path_slope"]
            self.kappa = arb(third) / 2 * upper["readout_max"] * upper["sixth_moment"]
            self.kappa = self.kappa / (arb(width).sqrt() * self.sigma)

    def step(self, before: float, low: Any, high: Any) -> tuple[Any, float] | None:
        """Λ_* for paths up to the length `high`, and x there from x at `low`; `None` where nothing is shown.

        x as the smaller root of a quadratic in doubles, enlarged, and its inequality shown in balls.
        """
        alpha, upsilon, kappa = (up(v) for v in (self.alpha, self.upsilon, self.kappa))
        far, part = float(high), float(high - low)
        # (x − before)(1 − l(α + κx)) = s(υ + αx + κx²) as ax² − bx + c = 0.
        a, b = (far + part) * kappa, 1 - (far + part) * alpha + far * kappa * before
        c = before * (1 - far * alpha) + part * upsilon
        inside = b * b - 4 * a * c
        if not (b > 0 and inside >= 0):
            return None
        x = 2 * c / (b + math.sqrt(inside)) * (1 + INFLATION)
        with precision(PRECISION) as flint:
            moved = flint.arb(x)
            drift = self.alpha + self.kappa * moved
            left = 1 - high * drift
            if not left > 0:
                return None
            if not flint.arb(before) + (high - low) * (self.upsilon + drift * moved) / left <= moved:
                return None
            return self.sigma * drift, x

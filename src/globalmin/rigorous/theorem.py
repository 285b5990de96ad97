r"""Theorem K of docs/theory/kantorovich.md decided in ball arithmetic, from intervals of its numbers.

With λ = σ₀² ≤ λ_min(J_*J_*ᵀ), ρ₀ ≤ ρ, β = ‖J(θ₀)‖ + ΛR and c = 1 − η(β² + Λρ)/2 (flow: c = 1), all of

    c > 0,   h = Λ_*ρ/(cλ) < 1/2,   R_* = 2ρ/(c(σ₀ + σ_*)) ≤ R,   σ_* = √(λ − 2Λ_*ρ/c)

are shown for the worst ends of the intervals and for a radius R that is part of the result. Nothing depends on how R was found.

The displacement form takes its constants at another point θ_c, at the distance D, where the residual is ρ_c. With
c₁ = 1 − ηβ²/2, b = min(ρ₀, (ρ_c + ΛD²/2)/c₁) and s = σ₀ − Λ_*D it asks for s > 0, c > 0, h = Λ_*b/(cs²) < 1/2 and D + p ≤ R,
p = 2b/(c(s + σ_*)), σ_* = √(s² − 2Λ_*b/c). With D = 0 and b = ρ₀ it is the first form. In the
path form Λ_* bounds what a path of length R does.
"""

import dataclasses
import math
from collections.abc import Callable
from typing import Any, Literal

from .enclosure import TINY, Interval, UnboundedError
from .flint import PRECISION, down, precision, up

Verdict = Literal["HOLDS", "FAILS", "UNDECIDED"]
Method = Literal["descent", "flow"]
HOPE = 1e-9
"""By how much the upper bounds of Λ are taken to be off at most, relatively, where FAILS is told from UNDECIDED."""

Bound = Callable[[Any], Any]
"""From the radius R, an Arb ball, to a ball that is at least the Lipschitz constant on the ball of that radius; `None` where
nothing is proven there."""


@dataclasses.dataclass(frozen=True)
class RigorousBlock:
    """Some of the parameters, with λ_min of their share of the Gram matrix and the Lipschitz constant of their Jacobian.

    `along_path`: all parameters, and `lipschitz` bounds what a path of that length can do, not every point of the ball.
    """

    key: str  # as it stands in the file; `lambda_min_<key>` is its eigenvalue among the quantities
    lipschitz: Bound
    along_path: bool = False

    @property
    def eigenvalue(self) -> str:
        """The key of λ_min."""
        return "lambda_min_all" if self.along_path else f"lambda_min_{self.key}"


@dataclasses.dataclass(frozen=True)
class Numbers:
    """What a system contributes: proven intervals, and the Lipschitz constants that follow from them.

    `quantities` has `rho_0`, `lambda_min_<block>` and, for descent, `lambda_max` (‖J‖²), and whatever else the constants
    rest on; for the displacement form also `rho_c` and `distance`, and all but `rho_0` are about
    θ_c. `lipschitz` is Λ of the whole Jacobian, `None` where none is proven; `missing` says why, in words.
    `witness` gives, for a radius, the numbers with which another program can check the constants without a search.
    `further` makes numbers that cost more and prove more, for where these do not suffice.
    """

    quantities: dict[str, Interval]
    blocks: tuple[RigorousBlock, ...]
    lipschitz: Bound | None
    options: dict[str, Any]
    missing: str = ""
    witness: Callable[[Any], dict[str, list[float]]] = lambda radius: {}
    further: Callable[[], "Numbers | None"] = lambda: None

    @property
    def displaced(self) -> bool:
        """Whether the constants are those of another point."""
        return "distance" in self.quantities


def claimed(quantities: dict[str, Interval]) -> dict[str, Interval]:
    """The intervals as the file will state them: one unit wider at either end.

    Where an end is exact, a ball of another precision around the same number then still lies inside.
    """
    return {
        k: Interval(math.nextafter(v.lower, -math.inf) if v.lower else 0.0, math.nextafter(v.upper, math.inf))
        for k, v in quantities.items()
    }


@dataclasses.dataclass(frozen=True)
class Proof:
    """The theorem's verdict on the numbers, with every number that it used; `None` where one does not exist."""

    verdict: Verdict
    reason: str
    method: Method
    step_size: float | None
    block: str | None
    ball: float | None  # R
    conditions: dict[str, Interval]
    radius: float | None  # no iterate is further away than this, from above
    path: float | None  # length of the whole path, from above
    sigma_star: float | None  # from below
    rate: float | None  # of the residual, per step or per unit of time, from above
    witness: dict[str, list[float]]
    along_path: bool = False


def prove(numbers: Numbers, method: Method, step_size: float | None) -> Proof:
    """Decide the theorem at these numbers.

    **Arguments:** `step_size`: η, a positive double that is taken as it is; `None` for the flow.

    **Returns:** HOLDS only where every inequality is proven; FAILS where they are not met for the best ends of ρ₀, σ₀ and
    ‖J‖ either (and Λ smaller by `HOPE`); UNDECIDED in between. The proof of the block with the smallest h.
    """
    if method == "descent" and (step_size is None or not (step_size > 0 and math.isfinite(step_size))):
        raise ValueError(f"step_size: a positive number expected, {step_size} came")
    eta = step_size if method == "descent" else None
    blocks = [b for b in numbers.blocks if not (numbers.displaced and b.along_path)]
    if not blocks or ((method == "descent" or numbers.displaced) and numbers.lipschitz is None):
        reason = numbers.missing or "no proven bound on the change of the Jacobian"
        return Proof("FAILS", reason, method, eta, None, None, {}, None, None, None, None, {})
    with precision(PRECISION) as flint:
        found = [_search(flint, numbers, block, eta, worst=True) for block in blocks]
        proven = [f for f in found if f.verdict == "HOLDS"]
        if proven:
            best = min(proven, key=lambda f: f.conditions["h"].upper)
            return dataclasses.replace(best, witness=numbers.witness(flint.arb(best.ball)))
        hopeful = any(_search(flint, numbers, block, eta, worst=False).verdict == "HOLDS" for block in blocks)
        best = min(found, key=lambda f: f.conditions["h"].upper if "h" in f.conditions else math.inf)
        words = (
            f"not proven: {best.reason}; it may hold, the error bounds are too wide to tell" if hopeful else best.reason
        )
        silent = dataclasses.replace(best, ball=None, radius=None, path=None, sigma_star=None, rate=None)
        return dataclasses.replace(silent, verdict="UNDECIDED" if hopeful else "FAILS", reason=words)


@dataclasses.dataclass(frozen=True)
class _Attempt:
    """The theorem on the ball of one radius R; `ratio` is (D + p)/R, `None` where an inequality before R_* ≤ R fails."""

    ball: float
    conditions: dict[str, Interval]
    reason: str = ""
    ratio: float | None = None
    radius: float | None = None
    path: float | None = None
    sigma_star: float | None = None
    rate: float | None = None
    fits: bool = False  # R_* ≤ R, proven


def _search(flint: Any, numbers: Numbers, block: RigorousBlock, eta: float | None, *, worst: bool) -> Proof:
    """Find a radius for which the theorem is proven.

    The constants grow with R, so that what fails at ρ/σ₀, below which no radius serves, fails for good. From there R follows
    R_*(R); where that creeps (near the limit of the theorem the two solutions of R_*(R) = R meet) the smallest R_*/R is looked
    for: R_* is convex in R for Λ that is, and then R_*/R has one minimum.
    """
    rho, eigenvalue = numbers.quantities["rho_0"], numbers.quantities[block.eigenvalue]
    r = flint.arb(rho.upper if worst else rho.lower)
    lam = flint.arb(eigenvalue.lower if worst else eigenvalue.upper)
    method: Method = "flow" if eta is None else "descent"
    far = numbers.quantities["distance"].upper if numbers.displaced else None

    def closed(found: _Attempt) -> Proof:
        verdict: Verdict = "HOLDS" if found.fits else "FAILS"
        return Proof(
            verdict, found.reason, method, eta, block.key, found.ball, found.conditions, found.radius, found.path,
            found.sigma_star, found.rate, {}, block.along_path,
        )  # fmt: skip

    def at(ball: float) -> _Attempt:
        return _attempt(flint, numbers, block, eta, r, lam, ball, worst=worst)

    if not lam > 0:
        return closed(_Attempt(0.0, {}, "the Gram matrix is not shown positive definite (σ₀ = 0 within its error)"))
    start = up(r / lam.sqrt()) if far is None else max(far, TINY)
    first = found = at(start)
    for k in range(30):
        if found.fits or found.ratio is None:
            break
        found = at(found.ball * found.ratio * (1 + 1e-12 * 2**k))
    if not found.fits and first.ratio is not None and math.isfinite(first.ratio):
        found = _smallest_ratio(at, start, start * max(4.0 * first.ratio, 4.0))
    for _ in range(3):  # R_* of a ball that fits is a ball that fits, and its constants are smaller
        if found.fits and found.ratio is not None:
            smaller = at(found.ball * found.ratio * (1 + 1e-12))
            found = smaller if smaller.fits else found
    if found.fits or found.reason:
        return closed(found)
    return closed(dataclasses.replace(found, reason="no radius was found on which the constants and the path agree"))


def _smallest_ratio(at: Callable[[float], _Attempt], low: float, high: float) -> _Attempt:
    """Golden section for the smallest R_*/R, on the logarithm of R; the first ball that fits ends it."""
    golden = (math.sqrt(5) - 1) / 2
    a, b = math.log(low), math.log(high)
    x, y = b - golden * (b - a), a + golden * (b - a)
    left, right = at(math.exp(x)), at(math.exp(y))
    best = left
    for _ in range(60):
        for found in (left, right):
            if found.fits:
                return found
        best = left if left.ratio is not None or right.ratio is None else right
        if right.ratio is None or (left.ratio is not None and left.ratio <= right.ratio):
            b, y, right = y, x, left
            x = b - golden * (b - a)
            left = at(math.exp(x))
        else:
            a, x, left = x, y, right
            y = a + golden * (b - a)
            right = at(math.exp(y))
    return best


def _attempt(
    flint: Any, numbers: Numbers, block: RigorousBlock, eta: float | None, r: Any, lam: Any, ball: float, *, worst: bool
) -> _Attempt:
    """Every inequality of the theorem on the ball of that radius, in balls; `r` and `lam` stand for ρ₀ and σ₀²."""
    conditions: dict[str, Interval] = {}

    def silent(reason: str) -> _Attempt:
        return _Attempt(ball, conditions, reason)

    if not math.isfinite(ball):
        return silent("the ball's radius left the range of double precision")
    displaced = numbers.displaced

    def end(name: str) -> Any:
        interval = numbers.quantities[name]
        return flint.arb(interval.upper if worst else max(interval.lower, 0.0))

    unbounded = "on the ball that the residual asks for, nothing bounds the change of the Jacobian"
    radius, c, far, target = flint.arb(ball), flint.arb(1), flint.arb(0), r
    slope = block.lipschitz(radius)
    if slope is None:
        return silent(unbounded)
    slope = slope if worst else slope * (1 - HOPE)
    try:
        conditions["lipschitz_block"] = Interval(0.0, up(slope))
        if eta is not None or displaced:
            assert numbers.lipschitz is not None
            whole = numbers.lipschitz(radius)
            if whole is None:
                return silent(unbounded)
            whole = whole if worst else whole * (1 - HOPE)
            conditions["lipschitz"] = Interval(0.0, up(whole))
            first = flint.arb(1)
            if eta is not None:
                beta = end("lambda_max").sqrt() + whole * radius
                first = 1 - flint.arb(eta) * beta * beta / 2
                c = first - flint.arb(eta) * whole * r / 2
                conditions["beta"] = Interval(0.0, up(beta))
                if not c > 0:
                    return silent(f"the step size {eta:.4g} is too large for the curvature on the ball (c ≤ 0)")
            if displaced:
                far = end("distance")
                target = r.min((end("rho_c") + whole * far * far / 2) / first)
                conditions["target"] = Interval(0.0, up(target))
        left = lam.sqrt() - slope * far
        if not left > 0:
            return silent("the Jacobian may lose its rank between here and the point that fits the data (ΛD ≥ σ₀)")
        h = slope * target / (c * left * left)
        conditions |= {"c": Interval(down(c), 1.0), "h": Interval(0.0, up(h))}
        if not h < flint.arb(0.5):
            return silent(f"h = {float(h):.6g} where less than 1/2 is needed: missed by a factor of {float(2 * h):.6g}")
        star = (left * left - 2 * slope * target / c).sqrt()
        if not star > 0:
            return silent("σ_* is not shown positive")
        more = 2 * target / (c * (left + star))
        path = more + (r - target) / (c * left)
        away = path.min(2 * far + more) if displaced else more
        found = far + more
        rate = (-star * star).exp() if eta is None else 1 - c * flint.arb(eta) * star * star
        ratio = float(found / radius) if ball > 0 else 1.0
        fits = bool(found <= radius)
        return _Attempt(ball, conditions, "", ratio, up(away), up(path), down(star), up(rate), fits)
    except UnboundedError:
        return silent("a number of the theorem left the range of double precision")

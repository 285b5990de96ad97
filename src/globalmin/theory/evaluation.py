"""The Kantorovich theorem evaluated for one block, one step size and one end of the estimates: what `certify` asks.

The theorem and its letters are in `kantorovich`, the proofs in docs/theory/kantorovich.md.
"""

import dataclasses
import functools
import math
from collections.abc import Callable, Sequence
from typing import Any, Protocol

import numpy as np

from .._core import Estimate
from .block import Block, by_halves, envelope, highest, mean_slope, smallest_radius, turning_point

COARSENESS = 1.01  # of the balls on which descent's Λ is taken
DESCENT_NODES = 128  # of the table of c E′ up to four times the shortest path there can be; beyond, a third as many

RADIUS_MARGIN = 1.001  # the constants are taken on a ball this much larger than R_*, so that R_* ≤ R is strict


class BallBounds(Protocol):
    """What an architecture's derivatives give: Λ and a bound of ‖J‖ on the ball of a radius, ∞ where nothing is proven."""

    def lipschitz(self, radius: float) -> float:
        """Λ."""
        ...

    def norm(self, radius: float) -> float:
        """‖J‖, not by way of Λ."""
        ...


@dataclasses.dataclass(frozen=True)
class Curvature:
    """Bounds on the whole Jacobian over a ball: what a finite step needs beyond gradient flow.

    `lipschitz(R)` is Λ on the ball of radius R, nondecreasing in R and infinite where nothing is proven; `norm(R)`, where there
    is one, a bound of ‖J‖ on the ball that does not come from Λ; `source` says which bound it is.
    """

    jacobian_norm: Estimate  # ‖J(θ₀)‖
    lipschitz: Callable[[float], float]
    source: str
    norm: Callable[[float], float] | None = None

    def beta(self, radius: float, lipschitz: float | None = None, centre: float | None = None) -> float:
        """‖J‖ on the ball, from above; of a `lipschitz` and a norm at the `centre` that are known, it takes those."""
        slope = self.lipschitz(radius) if lipschitz is None else lipschitz
        grown = (self.jacobian_norm.upper if centre is None else centre) + slope * radius
        return grown if self.norm is None else min(grown, self.norm(radius))


@dataclasses.dataclass(frozen=True)
class Comparison:
    """A point θ_c near the iterate that fits the data better: where the constants are taken, and how far away it is."""

    distance: Estimate  # D = ‖θ₀ − θ_c‖
    residual: Estimate  # ρ_c = ‖f(θ_c) − y‖


@dataclasses.dataclass(frozen=True)
class Attempt:
    """One evaluation of the theorem for one block and one step size."""

    block: str
    sigma: float
    lipschitz: float
    curvature: float | None
    beta: float | None
    c: float
    h: float
    radius: float | None
    sigma_star: float | None
    path: float | None = None

    @property
    def holds(self) -> bool:
        """Whether every inequality does."""
        return self.radius is not None


@dataclasses.dataclass(frozen=True)
class Task:
    """What is certified, whatever the step size; `blocks` without their envelope."""

    rho: Estimate
    blocks: tuple[Block, ...]
    curvature: Curvature | None
    comparison: Comparison | None
    kept: dict[Any, Any] = dataclasses.field(default_factory=dict)  # what serves every step size

    def all_blocks(self, pessimistic: bool) -> list[Block]:
        """The blocks, their envelope at that end of the estimates, and those that are charged half the path."""
        if pessimistic not in self.kept:
            far = 0.0 if self.comparison is None else self.comparison.distance.upper
            best = envelope(self.blocks, pessimistic=pessimistic)
            halves = by_halves(self.blocks, best, far, pessimistic=pessimistic)
            self.kept[pessimistic] = [*self.blocks, *best, *halves]
        return self.kept[pessimistic]

    def needs_curvature(self, eta: float | None) -> bool:
        """The whole Jacobian's constants: for a finite step, and for the Taylor formula about another point."""
        return eta is not None or self.comparison is not None


def remembering(blocks: Sequence[Block], curvature: Curvature | None) -> tuple[list[Block], Curvature | None]:
    """The same with their Lipschitz constants kept by radius: one radius is asked about many times, by several of them."""
    kept: dict[Callable[[float], float], Callable[[float], float]] = {}

    def once(constant: Callable[[float], float]) -> Callable[[float], float]:
        return kept.setdefault(constant, functools.cache(constant))

    found = [b if b.lipschitz is None else dataclasses.replace(b, lipschitz=once(b.lipschitz)) for b in blocks]
    if curvature is not None:
        norm = None if curvature.norm is None else once(curvature.norm)
        curvature = dataclasses.replace(curvature, lipschitz=once(curvature.lipschitz), norm=norm)
    return found, curvature


def best_of(task: Task, eta: float | None, *, pessimistic: bool) -> Attempt:
    """The block with the smallest h. `eta` None stands for gradient flow."""
    attempts = [attempt_by(task, block, eta, pessimistic=pessimistic) for block in task.all_blocks(pessimistic)]
    return min(attempts, key=lambda a: (not a.holds, a.h))


def attempt_by(task: Task, block: Block, eta: float | None, *, pessimistic: bool) -> Attempt:
    """The theorem for one block: by closed forms for the flow, whose c is 1, by a table for descent."""
    given = _given(task, block, pessimistic)
    if not given.sigma > 0:
        return Attempt(block.name, given.sigma, mean_slope(block, 0.0), None, None, 1.0, math.inf, None, None)
    return _flow(task, block, given) if eta is None else _descent(task, block, given, eta)


@dataclasses.dataclass(frozen=True)
class _Given:
    """The estimates at one of their ends; `far` is D and `left` is ρ_c, 0 in the first form."""

    sigma: float
    rho: float
    far: float
    left: float
    norm: float  # ‖J‖


def _given(task: Task, block: Block, pessimistic: bool) -> _Given:
    def worst(estimate: Estimate | None) -> float:
        return 0.0 if estimate is None else estimate.upper if pessimistic else max(estimate.lower, 0.0)

    distance, residual = (
        (None, None) if task.comparison is None else (task.comparison.distance, task.comparison.residual)
    )
    norm = None if task.curvature is None else task.curvature.jacobian_norm
    sigma = block.sigma.lower if pessimistic else block.sigma.upper
    return _Given(sigma, worst(task.rho), worst(distance), worst(residual), worst(norm))


def _flow(task: Task, block: Block, given: _Given) -> Attempt:
    sigma, far = given.sigma, given.far
    lam, target = None, given.rho
    if task.comparison is not None:
        assert task.curvature is not None
        lam = task.curvature.lipschitz(far)
        target = min(given.rho, given.left + lam * far * far / 2)

    def failed(radius, h):
        return Attempt(block.name, sigma, mean_slope(block, radius), lam, None, 1.0, h, None, None)

    top = math.inf if block.drift is None else turning_point(block, sigma, 0.0)  # a richer ψ asks for no ball
    # R and the constants on its ball depend on each other. Every R tried is at most RADIUS_MARGIN times the smallest one
    # that can serve, and the constants only grow with R, so a failure on the way is a failure for good.
    radius, h = RADIUS_MARGIN * (far if far > 0 else given.rho / sigma), math.inf
    for _ in range(200):
        if block.drift is None:
            top = turning_point(block, sigma, radius)
        height = highest(block, sigma, radius, far, top)
        h = math.inf if not height > 0 else target / (2 * height)
        if not h < 0.5:
            return failed(radius, h)
        more = smallest_radius(block, sigma, radius, target, far, top)
        if far + more <= radius:
            sigma_star = sigma - block.psi(far + more, radius)
            path = more
            if far > 0:  # until the residual has come down to `target` the path is bounded by the contraction alone
                path += (given.rho - target) / (sigma - block.psi(far, radius))
            away = min(path, 2 * far + more)
            return Attempt(block.name, sigma, mean_slope(block, radius), lam, None, 1.0, h, away, sigma_star, path)
        radius = RADIUS_MARGIN * (far + more)
    return failed(radius, h)


@dataclasses.dataclass(frozen=True)
class _Table:
    """At lengths p from 0 on, beyond D: E and E′ of the block, and Λ and ‖J‖ on the ball of radius D + p."""

    p: np.ndarray
    height: np.ndarray
    sigma: np.ndarray
    lipschitz: np.ndarray
    beta: np.ndarray


def _table(task: Task, block: Block, given: _Given) -> _Table:
    assert task.curvature is not None
    curvature, far = task.curvature, given.far
    last = max(turning_point(block, given.sigma, 0.0) - far, 0.0)
    target = given.rho
    if task.comparison is not None:
        target = min(target, given.left + curvature.lipschitz(far) * far * far / 2)
    unit = target / given.sigma
    p = np.linspace(0.0, min(4 * unit, last), DESCENT_NODES + 1)
    if last > 4 * unit > 0:
        p = np.concatenate([p, np.geomspace(4 * unit, min(last, 1e12 * unit), DESCENT_NODES // 3)[1:]])
    at = far + p
    start = block.psi_integral(far, far)
    lost = np.array([block.psi_integral(float(a), float(a)) - start for a in at])
    psi = np.array([block.psi(float(a), float(a)) for a in at])
    lipschitz = np.array([curvature.lipschitz(_rounded_up(float(a))) for a in at])
    with np.errstate(over="ignore", invalid="ignore"):
        beta = [curvature.beta(float(a), float(slope), given.norm) for a, slope in zip(at, lipschitz, strict=True)]
        return _Table(p, given.sigma * p - lost, given.sigma - psi, lipschitz, np.array(beta))


def _rounded_up(radius: float) -> float:
    """The next radius of a coarse set: Λ of a larger ball serves, and few balls serve all blocks."""
    return radius if radius == 0 else COARSENESS ** math.ceil(math.log(radius, COARSENESS))


def _descent(task: Task, block: Block, given: _Given, eta: float) -> Attempt:
    """With c = c(p) where the path is: p serves as R_* if ∫ c E′ up to p, with the Λ of p, is at least the residual.

    Between two nodes of the table c is taken at the farther one, where it is smaller.
    """
    key = (block.name, given)
    if key not in task.kept:
        task.kept[key] = _table(task, block, given)
    table = task.kept[key]
    with np.errstate(over="ignore", invalid="ignore"):
        first = 1 - eta * table.beta**2 / 2  # c₁
        bend = eta * table.lipschitz / 2
        first[~np.isfinite(table.beta)] = -np.inf
        target, early = given.rho, math.inf
        if task.comparison is not None:
            early = float(first[0] - bend[0] * given.rho)
            left = given.left + table.lipschitz[0] * given.far**2 / 2
            target = min(given.rho, float(left / first[0])) if first[0] > 0 else given.rho
        c = first - bend * target
        gains = np.concatenate([[0.0], np.cumsum(first[1:] * np.diff(table.height))]) - bend * target * table.height
        serves = (c > 0) & (table.sigma > 0) & np.isfinite(gains) & (early > 0)
        gains = np.where(serves, gains, -np.inf)
    best = int(np.argmax(gains))

    def found(k: int, h: float, **kept: float) -> Attempt:
        radius = given.far + float(table.p[k])
        return Attempt(
            block.name, given.sigma, mean_slope(block, radius), float(table.lipschitz[k]), float(table.beta[k]),
            min(float(c[k]), early), h, **{"radius": None, "sigma_star": None, **kept},
        )  # fmt: skip

    h = target / (2 * float(gains[best])) if gains[best] > 0 else math.inf
    if not h < 0.5:
        return found(best if serves[best] else 0, h)
    k = max(int(np.argmax(gains >= target)), 1)
    # Before p_k, with c and E′ as they are there, ∫ c E′ is at least this line.
    before = float(gains[k] - c[k] * (table.height[k] - table.height[k - 1]))
    p = float(table.p[k - 1]) + max(target - before, 0.0) / float(c[k] * table.sigma[k]) * (1 + 1e-12)
    p = min(p, float(table.p[k]))
    path = p
    if given.far > 0:
        path += (given.rho - target) / (early * float(table.sigma[0]))
    sigma_star = given.sigma - block.psi(given.far + p, given.far + p)
    return found(k, h, radius=min(path, 2 * given.far + p), sigma_star=sigma_star, path=path)


def largest_step(task: Task) -> float | None:
    """Largest η for which the theorem holds, to three digits and rounded down; `None` if none does."""
    assert task.curvature is not None
    norm = task.curvature.jacobian_norm.upper
    ceiling = 2 / norm / norm if norm > 0 else 1.0

    def holds(log_eta):
        return best_of(task, ceiling * math.exp(log_eta), pessimistic=True).holds

    if not best_of(task, ceiling * 1e-12, pessimistic=True).holds:
        return None
    low, _ = _bisect_steps(holds, math.log(1e-12), 0.0)
    return ceiling * math.exp(low)


def _bisect_steps(holds: Callable[[float], bool], low: float, high: float) -> tuple[float, float]:
    while high - low > 1e-3:
        middle = (low + high) / 2
        low, high = (middle, high) if holds(middle) else (low, middle)
    return low, high


def reason_why(attempt: Attempt, eta: float | None, largest: float | None, flow: bool, least_h: float) -> str:
    """In words, which inequality failed."""
    if not attempt.sigma > 0:
        return "the tangent kernel is not shown positive definite (σ₀ = 0 within its error)"
    if not flow and eta and attempt.c <= 0:
        low = f"; it would hold at step size {largest:.3g}" if largest else ""
        h = f", and h = {least_h:.3g} even at small steps" if least_h >= 0.5 else ""
        return f"the step size {eta:.3g} is too large for the curvature on the ball (c ≤ 0){low}{h}"
    if not flow and eta and largest:
        return f"the step size {eta:.3g} is too large; it would hold at step size {largest:.3g}"
    if math.isinf(least_h):
        return "on the ball that the residual asks for, nothing bounds the change of the Jacobian"
    return f"h = {attempt.h:.3g} where less than 1/2 is needed: missed by a factor of {2 * attempt.h:.3g}"

r"""The Kantorovich certificate: gradient descent from *these* weights converges to zero loss, or by what factor not.

The project's own theorem; it asks for no width and no random initialisation, only for numbers of the iterate at hand.

**Setting.** r = f − y, ρ₀ = ‖r(θ₀)‖, J = ∂f/∂θ. Take a block of columns J_* of J (some of the parameters, or all) with
0 < σ₀ ≤ σ_min(J_*(θ₀)) and an increasing ψ with σ_min(J_*(θ₀ + d)) ≥ σ₀ − ψ(‖d‖), Ψ its integral. On the ball of radius R
let ‖J(θ) − J(θ′)‖ ≤ Λ(R)‖θ − θ′‖ and ‖J‖ ≤ β(R). Put E(p) = σ₀ p − Ψ(p) and

    c(p) = 1 − ηβ(p)²/2 − ηΛ(R)ρ₀/2   (gradient flow: c = 1, and neither Λ nor β is needed),   G(p) = ∫ c E′ from 0 to p.

**Theorem.** If G(R_*) ≥ ρ₀ at some R = R_* with c = c(R_*) > 0 and σ_* = σ₀ − ψ(R_*) > 0, then gradient descent with step size
η has path length at most R_*, ‖r_{k+1}‖ ≤ (1 − cησ_*²)‖r_k‖, and it converges to a point of zero loss in the ball.

With ψ(p) = Λ_* p and one c the condition reads h = Λ_* ρ₀ / (c σ₀²) ≤ 1/2, Newton-Kantorovich's. In general the same number is
h = ρ₀ / (2 max G). The certificate asks for h < 1/2, strictly. Of several blocks the best at every length is taken, too.

**Half the path.** A block whose ψ asks only for the movement of the parameters outside it, as that of a read-out's features, is
charged ψ(p/2): g² ≥ 2ab for the shares a, b of the gradient inside and outside, so the path outside counts twice.

**Displacement.** Not ρ₀/σ₀ but the distance D to a point θ_c that (nearly) fits the data is what the residual needs; the
Gauss-Newton point has D near (rᵀ(JJᵀ)⁻¹r)^{1/2}. With block, ψ, Λ and β about θ_c, ρ_c = ‖r(θ_c)‖ and c₁ = 1 − ηβ(D)²/2,
descent cannot leave the ball of radius D about θ_c while ρ > b = (ρ_c + Λ(D)D²/2)/c₁, and it contracts there. So the theorem
holds with min(b, ρ₀) in place of ρ₀ and everything at D + p. Where Λ is all that is known, that asks for ΛD/σ₀ of at most about
√(c c₁)/(1 + √(c c₁)), where the first form asks for (Λ/σ₀)(ρ₀/σ₀) ≤ c/2.

Both proofs are in docs/theory/kantorovich.md.
"""

import dataclasses
import functools
import math
from collections.abc import Callable, Sequence
from typing import Any, ClassVar, Protocol

import numpy as np

from .._core import Estimate
from .block import Block as Block
from .block import by_halves, envelope, highest, mean_slope, smallest_radius, tabulated, turning_point
from .certificate import AbstractCertificate, Hypothesis, Promise, Verdict

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


class Kantorovich(AbstractCertificate):
    """The certificate's numbers at one iterate. Made by `certify`; `None` where a number does not exist.

    Where c ≤ 0, `h` is its limit at small steps (c = 1), and `block`, `sigma_0` and `lipschitz` belong to that. `h` and
    everything after it belong to the pessimistic ends of the estimates, so that a verdict HOLDS is one for every value inside
    them; `verdict` is UNDECIDED where only the optimistic ends pass.
    """

    source: ClassVar[str] = "globalmin, Kantorovich certificate (docs/theory/kantorovich.md)"
    statement: ClassVar[str] = (
        "from exactly these weights gradient descent converges to zero training loss, inside a ball and at a rate"
    )

    flow: bool
    block: str | None
    bound: str  # which proven bound on the change of the Jacobian was used
    rho_0: float
    sigma_0: float | None
    lipschitz: float | None  # Λ_* of the block on the ball
    curvature: float | None  # Λ of the whole Jacobian on the ball
    beta: float | None
    c: float | None
    h: float | None
    h_error: float
    radius: float | None  # no iterate is further away from θ₀
    sigma_star: float | None
    step_size: float | None
    largest_step_size: float | None
    outcome: Verdict
    reason: str  # which inequality failed, in words; "" if it holds
    loss_0: float
    width: int | None = None
    epoch: int = 0
    path: float | None = None  # the whole path is no longer
    displacement: float | None = None  # D, where the constants belong to a point that fits the data; None: to θ₀

    @property
    def rate(self) -> float | None:
        """Factor by which the residual shrinks at least: per step (descent) or per unit of time (flow)."""
        if self.sigma_star is None:
            return None
        if self.flow:
            return math.exp(-(self.sigma_star**2))
        return 1 - self.c * self.step_size * self.sigma_star**2  # pyright: ignore

    def judge(self, hypotheses: tuple[Hypothesis, ...]) -> Verdict:
        """HOLDS for all values inside the estimates, FAILS for none, else UNDECIDED: decided on all of them at once."""
        return self.outcome

    @property
    def needed(self) -> dict[str, float] | None:
        """What would make it hold with these σ₀ and Λ: the residual, the share of the loss, the width (if Λ ~ m^{-1/2})."""
        if self.outcome is Verdict.HOLDS or self.h is None or self.h <= 0 or not math.isfinite(self.h):
            return None
        needed = {"residual": self.rho_0 / (2 * self.h), "loss": self.loss_0 / (2 * self.h) ** 2, "factor": 2 * self.h}
        if self.width is not None:
            needed["width"] = float(math.ceil(self.width * (2 * self.h) ** 2))
        if self.largest_step_size is not None:
            needed["step_size"] = self.largest_step_size
        return needed

    def hypotheses(self) -> tuple[Hypothesis, ...]:
        """σ₀ > 0, c > 0 and h < 1/2; a number that does not exist leaves its inequality undecided or failed in words."""
        found = [Hypothesis.at_least("σ₀ > 0", self.sigma_0, 0.0, strict=True, note=self.block or self.reason)]
        if not self.flow:
            found.append(
                Hypothesis.at_least(
                    "c = 1 − ηβ²/2 − ηΛρ₀/2 > 0",
                    -math.inf if self.curvature is None or math.isinf(self.curvature) else self.c,
                    0.0,
                    strict=True,
                    note=self.bound,
                )
            )
        h = math.inf if self.h is None else self.h
        found.append(
            Hypothesis.at_most("h = Λρ₀/(cσ₀²) < 1/2", h, 0.5, strict=True, error=self.h_error, note=self.reason)
        )
        return tuple(found)

    def promises(self, epoch: float = 1.0) -> tuple[Promise, ...]:
        """Loss under its envelope, λ_min of the Gram above σ_*², a path no longer than proven; empty unless it holds.

        `epoch`: for flow, the time that an epoch lasts. Not a power of `rate`, which underflows where σ_*² is large.
        """
        if self.outcome is not Verdict.HOLDS or self.path is None or self.sigma_star is None:
            return ()
        shrink = math.exp(-2 * self.sigma_star**2 * epoch) if self.flow else self.rate**2  # pyright: ignore
        return (
            Promise("certified loss", "loss", "<=", self.loss_0, shrink, self.epoch),
            Promise("λ_min of the tangent kernel ≥ σ_*²", "lambda_min", ">=", self.sigma_star**2, start=self.epoch),
            Promise(
                "length of the path from the certified iterate", "path_since_start", "<=", self.path, start=self.epoch
            ),
        )

    def sentence(self) -> str:
        """What was proven, in words; or what is missing."""
        if self.outcome is Verdict.HOLDS and self.flow:
            return (
                "from these weights gradient flow reaches zero training loss; the residual falls at least as "
                f"exp(−{self.sigma_star**2:.4g} t), and the limit lies within {self.radius:.4g} of here"  # pyright: ignore
            )
        if self.outcome is Verdict.HOLDS:
            return (
                f"from these weights gradient descent with step size {self.step_size:.4g} reaches zero training loss; the "
                f"loss falls at least by the factor {self.rate**2:.6g} per step, and the limit lies within "  # pyright: ignore
                f"{self.radius:.4g} of here"
            )
        return f"silent: {self.reason}" if self.reason else "silent"

    def advice(self) -> list[str]:
        """The ways out, with numbers, when it does not hold."""
        needed = self.needed
        if needed is None:
            return []
        ways = [
            f"train until the residual is {needed['residual']:.3g} (now {self.rho_0:.3g}), that is until the loss is "
            f"{needed['loss']:.3g} (now {self.loss_0:.3g})"
        ]
        if "width" in needed:
            ways.append(f"widen to about m = {needed['width']:.3g} (now {self.width}), if Λ falls as m^(−1/2)")
        if "step_size" in needed:
            ways.append(f"lower the step size to {needed['step_size']:.3g}")
        ways.append(
            "centre the output (train f − f at initialisation), or, where φ is smooth, choose one with a smaller sup|φ″|"
        )
        return ways

    def to_fields(self) -> dict[str, Any]:
        """Every field as a plain value, for a checkpoint; `from_fields` is the way back."""
        found = {f.name: getattr(self, f.name) for f in dataclasses.fields(self)}
        return {k: v.value if isinstance(v, Verdict) else v for k, v in found.items()}

    @classmethod
    def from_fields(cls, fields: dict[str, Any]) -> "Kantorovich":
        """The certificate that `to_fields` came from."""
        return cls(**{**fields, "outcome": Verdict(fields["outcome"])})

    def summary(self) -> dict[str, Any]:
        """The object `kantorovich` of the command line's JSON."""
        return {
            "verdict": self.outcome.value,
            "h": self.h,
            "sigma_0": self.sigma_0,
            "lambda": self.lipschitz,
            "rho_0": self.rho_0,
            "radius": self.radius,
            "path": self.path,
            "displacement": self.displacement,
            "rate": self.rate,
            "step_size": self.step_size,
            "needed": self.needed,
            "largest_step_size": self.largest_step_size,
            "flow": self.flow,
            "block": self.block,
            "bound": self.bound,
            "beta": self.beta,
            "c": self.c,
            "sigma_star": self.sigma_star,
            "epoch": self.epoch,
            "statement": self.sentence(),
            "advice": self.advice(),
        }


@dataclasses.dataclass(frozen=True)
class _Attempt:
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
        return self.radius is not None


def certify(
    rho: Estimate,
    blocks: Sequence[Block],
    curvature: Curvature | None,
    *,
    step_size: float | None = None,
    flow: bool = False,
    comparison: Comparison | None = None,
    missing: str = "",
    width: int | None = None,
    epoch: int = 0,
) -> Kantorovich:
    """Evaluate the theorem at an iterate and return the best certificate over the blocks.

    **Arguments:**

    - `rho`: ‖f(X) − y‖ with its error.
    - `blocks`: lower bounds on σ_min(J); the one with the smallest h is taken.
    - `curvature`: Λ and β of the whole Jacobian; `None` where none is proven (ReLU), then only `flow` can hold.
    - `step_size`: the η of the theorem. `None`: the largest η for which it holds is found by bisection.
    - `flow`: gradient flow instead of gradient descent.
    - `comparison`: a point θ_c that fits the data better; `blocks` and `curvature` are then those at θ_c, `rho` stays the
      residual at the iterate.
    - `missing`: why `blocks` or `curvature` is missing, in words.
    - `width`, `epoch`: for the advice and for the promises.

    **Returns:** a `Kantorovich`, whatever the outcome.

    **Source:** docs/theory/kantorovich.md (Theorem K; Theorem C for the richer ψ).
    """
    if comparison is not None:
        blocks = [block for block in blocks if not block.along_path]
    loss = rho.value * rho.value / 2  # not `**`, which raises where the product is inf
    if not blocks or (curvature is None and not (flow and comparison is None)):
        return Kantorovich(
            flow=flow, block=None, bound="none", rho_0=rho.value, sigma_0=blocks[0].sigma.value if blocks else None,
            lipschitz=None, curvature=None, beta=None, c=None, h=None, h_error=0.0, radius=None, sigma_star=None,
            step_size=step_size, largest_step_size=None, outcome=Verdict.FAILS,
            reason=missing or "no proven bound on the change of the Jacobian", loss_0=loss, width=width, epoch=epoch,
        )  # fmt: skip

    blocks, curvature = _remembering(blocks, curvature)
    task = _Task(rho, tuple(tabulated(block) for block in blocks), curvature, comparison)
    largest = None if flow else _largest_step(task)
    eta = step_size if step_size is not None else largest
    if eta is None and not flow:  # no step size serves: show the limit η → 0, which is the flow's h
        eta = 0.0
    attempt = shown = _best(task, eta, pessimistic=True)
    if eta and math.isinf(
        attempt.h
    ):  # c ≤ 0: what is left of h is its limit at small steps, of the block that is best there
        limit = _best(task, 0.0, pessimistic=True)
        block = next(b for b in task.all_blocks(pessimistic=True) if b.name == limit.block)
        attempt = _attempt(task, block, eta, pessimistic=True)
        shown = dataclasses.replace(attempt, h=limit.h, lipschitz=limit.lipschitz)
    least_h = shown.h
    found = attempt.holds and (flow or (eta is not None and eta > 0))
    hopeful = attempt if found else _best(task, eta, pessimistic=False)
    outcome = Verdict.HOLDS if found else Verdict.UNDECIDED if hopeful.holds and (flow or eta) else Verdict.FAILS
    bound = (
        "gradient flow: only the block's ψ is needed"
        if curvature is None or not task.needs_curvature(eta)
        else curvature.source
    )
    return Kantorovich(
        flow=flow,
        block=shown.block,
        bound=bound if comparison is None else f"{bound}; about a point that fits the data",
        rho_0=rho.value,
        sigma_0=shown.sigma,
        lipschitz=shown.lipschitz,
        curvature=attempt.curvature,
        beta=attempt.beta,
        c=attempt.c,
        h=least_h,
        h_error=abs(attempt.h - hopeful.h) if math.isfinite(attempt.h) and not found else 0.0,
        radius=attempt.radius,
        sigma_star=attempt.sigma_star,
        step_size=None if flow else eta,
        largest_step_size=largest,
        outcome=outcome,
        reason="" if found else _reason(attempt, eta, largest, flow, least_h),
        loss_0=loss,
        width=width,
        epoch=epoch,
        path=attempt.path,
        displacement=None if comparison is None else comparison.distance.value,
    )


@dataclasses.dataclass(frozen=True)
class _Task:
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


def _remembering(blocks: Sequence[Block], curvature: Curvature | None) -> tuple[list[Block], Curvature | None]:
    """The same with their Lipschitz constants kept by radius: one radius is asked about many times, by several of them."""
    kept: dict[Callable[[float], float], Callable[[float], float]] = {}

    def once(constant: Callable[[float], float]) -> Callable[[float], float]:
        return kept.setdefault(constant, functools.cache(constant))

    found = [b if b.lipschitz is None else dataclasses.replace(b, lipschitz=once(b.lipschitz)) for b in blocks]
    if curvature is not None:
        norm = None if curvature.norm is None else once(curvature.norm)
        curvature = dataclasses.replace(curvature, lipschitz=once(curvature.lipschitz), norm=norm)
    return found, curvature


def _best(task: _Task, eta: float | None, *, pessimistic: bool) -> _Attempt:
    """The block with the smallest h. `eta` None stands for gradient flow."""
    attempts = [_attempt(task, block, eta, pessimistic=pessimistic) for block in task.all_blocks(pessimistic)]
    return min(attempts, key=lambda a: (not a.holds, a.h))


def _attempt(task: _Task, block: Block, eta: float | None, *, pessimistic: bool) -> _Attempt:
    """The theorem for one block: by closed forms for the flow, whose c is 1, by a table for descent."""
    given = _given(task, block, pessimistic)
    if not given.sigma > 0:
        return _Attempt(block.name, given.sigma, mean_slope(block, 0.0), None, None, 1.0, math.inf, None, None)
    return _flow(task, block, given) if eta is None else _descent(task, block, given, eta)


@dataclasses.dataclass(frozen=True)
class _Given:
    """The estimates at one of their ends; `far` is D and `left` is ρ_c, 0 in the first form."""

    sigma: float
    rho: float
    far: float
    left: float
    norm: float  # ‖J‖


def _given(task: _Task, block: Block, pessimistic: bool) -> _Given:
    def worst(estimate: Estimate | None) -> float:
        return 0.0 if estimate is None else estimate.upper if pessimistic else max(estimate.lower, 0.0)

    distance, residual = (
        (None, None) if task.comparison is None else (task.comparison.distance, task.comparison.residual)
    )
    norm = None if task.curvature is None else task.curvature.jacobian_norm
    sigma = block.sigma.lower if pessimistic else block.sigma.upper
    return _Given(sigma, worst(task.rho), worst(distance), worst(residual), worst(norm))


def _flow(task: _Task, block: Block, given: _Given) -> _Attempt:
    sigma, far = given.sigma, given.far
    lam, target = None, given.rho
    if task.comparison is not None:
        assert task.curvature is not None
        lam = task.curvature.lipschitz(far)
        target = min(given.rho, given.left + lam * far * far / 2)

    def failed(radius, h):
        return _Attempt(block.name, sigma, mean_slope(block, radius), lam, None, 1.0, h, None, None)

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
            return _Attempt(block.name, sigma, mean_slope(block, radius), lam, None, 1.0, h, away, sigma_star, path)
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


def _table(task: _Task, block: Block, given: _Given) -> _Table:
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


def _descent(task: _Task, block: Block, given: _Given, eta: float) -> _Attempt:
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

    def found(k: int, h: float, **kept: float) -> _Attempt:
        radius = given.far + float(table.p[k])
        return _Attempt(
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


def _largest_step(task: _Task) -> float | None:
    """Largest η for which the theorem holds, to three digits and rounded down; `None` if none does."""
    assert task.curvature is not None
    norm = task.curvature.jacobian_norm.upper
    ceiling = 2 / norm / norm if norm > 0 else 1.0

    def holds(log_eta):
        return _best(task, ceiling * math.exp(log_eta), pessimistic=True).holds

    if not _best(task, ceiling * 1e-12, pessimistic=True).holds:
        return None
    low, _ = _bisect_steps(holds, math.log(1e-12), 0.0)
    return ceiling * math.exp(low)


def _bisect_steps(holds: Callable[[float], bool], low: float, high: float) -> tuple[float, float]:
    while high - low > 1e-3:
        middle = (low + high) / 2
        low, high = (middle, high) if holds(middle) else (low, middle)
    return low, high


def _reason(attempt: _Attempt, eta: float | None, largest: float | None, flow: bool, least_h: float) -> str:
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

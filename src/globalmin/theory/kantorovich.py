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
import math
from collections.abc import Sequence
from typing import Any, ClassVar

from .._core import Estimate
from .block import Block as Block
from .block import tabulated
from .certificate import AbstractCertificate, Hypothesis, Promise, Verdict
from .evaluation import Comparison as Comparison
from .evaluation import Curvature as Curvature
from .evaluation import Task, attempt_by, best_of, largest_step, reason_why, remembering


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

    blocks, curvature = remembering(blocks, curvature)
    task = Task(rho, tuple(tabulated(block) for block in blocks), curvature, comparison)
    largest = None if flow else largest_step(task)
    eta = step_size if step_size is not None else largest
    if eta is None and not flow:  # no step size serves: show the limit η → 0, which is the flow's h
        eta = 0.0
    attempt = shown = best_of(task, eta, pessimistic=True)
    if eta and math.isinf(attempt.h):  # c ≤ 0: h is shown at its limit at small steps, of the block that is best there
        limit = best_of(task, 0.0, pessimistic=True)
        block = next(b for b in task.all_blocks(pessimistic=True) if b.name == limit.block)
        attempt = attempt_by(task, block, eta, pessimistic=True)
        shown = dataclasses.replace(attempt, h=limit.h, lipschitz=limit.lipschitz)
    least_h = shown.h
    found = attempt.holds and (flow or (eta is not None and eta > 0))
    hopeful = attempt if found else best_of(task, eta, pessimistic=False)
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
        reason="" if found else reason_why(attempt, eta, largest, flow, least_h),
        loss_0=loss,
        width=width,
        epoch=epoch,
        path=attempt.path,
        displacement=None if comparison is None else comparison.distance.value,
    )

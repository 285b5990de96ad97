"""Lemma 16 and Theorem 3: as printed, and as Newton-Kantorovich with constants from the norms alone (C-GF, C-GD)."""

import math
from typing import ClassVar

from ..._core import Estimate
from ..certificate import Hypothesis, Promise
from ..estimated import AbstractEstimated, over
from ..kantorovich import Block, Curvature, Kantorovich, certify
from .start import DRAWN, NO_CONSTANT, NUMBERS_ONLY, OURS, PAPER, Start, row_norms

PRINTED = (
    "gao2025-C3",
    "gao2025-C7",
    "gao2025-C9",
    "gao2025-C11",
    "gao2025-C12",
    "gao2025-C13",
    "gao2025-C14",
    "gao2025-C16",
)


def _order(x: float, rho: float, lam: float) -> float:
    """‖X‖⁴‖r₀‖²/λ₀³, infinite and no error where it overflows."""
    return over(x * x, lam) * over(x * x, lam) * over(rho * rho, lam)


class Lemma16Printed(AbstractEstimated):
    """Lemma 16 as printed: a width of an order without its constant, and η ≤ 1/‖X‖², which is not small enough."""

    source: ClassVar[str] = f"{PAPER}, Lemma 16 as printed"
    statement: ClassVar[str] = (
        "gradient descent: ‖r_k‖ ≤ (1 − ηλ₀/8)^k ‖r₀‖, blocks move by C‖X‖‖r₀‖/λ₀, λ₀ = λ_min(K_θ(0))"
    )
    method: ClassVar[str] = "descent"
    errata_ids: ClassVar[tuple[str, ...]] = PRINTED
    assumed: ClassVar[str] = DRAWN

    start: Start
    step_size: float
    constant: float | None = None  # of the width, and of the movement

    def inequalities(self) -> tuple[Hypothesis, ...]:
        """Smoothness, λ₀ > 0, the width, the step size."""
        s, k = self.start, self.constant
        lam, x = max(s.lambda_0.value, 0.0), s.norm_x.value
        order = _order(x, s.rho_0.value, lam)
        return (
            *s.smooth(),
            row_norms(s.norm_deviation),
            Hypothesis.at_least("λ₀ > 0", s.lambda_0.value, 0.0, strict=True),
            Hypothesis.at_least(
                "n ≥ K‖X‖⁴‖r₀‖²/λ₀³", s.width, None if k is None else k * order,
                note="" if k else f"{NO_CONSTANT}; ‖X‖⁴‖r₀‖²/λ₀³ = {order:.3g}",
            ),
            Hypothesis.at_most(
                "η ≤ 1/‖X‖²", self.step_size, over(1.0, x**2),
                note=f"not small enough: at η = 1/‖X‖² ηλ_max(K) = {over(s.lambda_max.value, x**2):.3g}, and descent needs "
                "less than 2",
            ),
        )  # fmt: skip

    def promises(self) -> tuple[Promise, ...]:
        """The residual, as loss; the distances where a constant is given."""
        s = self.worst().start
        shrink = 1 - self.step_size * s.lambda_0.value / 8
        found = ()
        if s.lambda_0.value > 0 and 0 <= shrink < 1:
            found = (Promise("loss at rate (1 − ηλ₀/8)²", "loss", "<=", s.loss, shrink**2),)
        if self.constant is None or not s.lambda_0.value > 0:
            return found
        far = self.constant * s.norm_x.value * s.rho_0.value / s.lambda_0.value
        names = (("v", "distance_readout"), ("W", "distance_hidden"), ("U", "distance_inject"))
        return found + tuple(Promise(f"‖{n} − {n}(0)‖ ≤ C‖X‖‖r₀‖/λ₀", q, "<=", far, conclusion=False) for n, q in names)


class Theorem3Printed(AbstractEstimated):
    """Theorem 3 as printed, with the width and the step size of Lemma 16; λ₀ = λ_min(K^∞)."""

    source: ClassVar[str] = f"{PAPER}, Theorem 3 as printed"
    statement: ClassVar[str] = (
        "gradient descent: L_k ≤ (1 − ηλ₀/16)^k L₀ and ‖θ_k − θ₀‖ ≤ C‖X‖√(L₀/λ₀), λ₀ = λ_min(K^∞)"
    )
    method: ClassVar[str] = "descent"
    errata_ids: ClassVar[tuple[str, ...]] = (*PRINTED, "gao2025-C10", "gao2025-C15")
    assumed: ClassVar[str] = DRAWN

    start: Start
    step_size: float
    constant: float | None = None

    def inequalities(self) -> tuple[Hypothesis, ...]:
        """Those of Lemma 16 with λ_min(K^∞)."""
        s, k = self.start, self.constant
        lam, x = max(s.limit_0.value, 0.0), s.norm_x.value
        order = _order(x, s.rho_0.value, lam)
        return (
            *s.smooth(),
            row_norms(s.norm_deviation),
            Hypothesis.at_least("λ₀ > 0", s.limit_0.value, 0.0, strict=True),
            Hypothesis.at_least(
                "n ≥ K‖X‖⁴‖r₀‖²/λ₀³", s.width, None if k is None else k * order,
                note="" if k else f"{NO_CONSTANT}; ‖X‖⁴‖r₀‖²/λ₀³ = {order:.3g}",
            ),
            Hypothesis.at_most("η ≤ 1/‖X‖²", self.step_size, over(1.0, x**2), note="from Lemma 16: not small enough"),
        )  # fmt: skip

    def promises(self) -> tuple[Promise, ...]:
        """The loss; the distance where a constant is given."""
        s = self.worst().start
        lam = s.limit_0.value
        shrink = 1 - self.step_size * lam / 16
        if not (lam > 0 and 0 <= shrink < 1):
            return ()
        loss = s.loss
        found = (Promise("loss at rate 1 − ηλ₀/16", "loss", "<=", loss, shrink),)
        if self.constant is None:
            return found
        far = self.constant * s.norm_x.value * math.sqrt(loss / lam)
        return (*found, Promise("‖θ − θ₀‖ ≤ C‖X‖√(L₀/λ₀)", "distance", "<=", far))


class BlockFlow(AbstractEstimated):
    """Theorem C-GF: gradient flow through the read-out's block, for any Lipschitz φ, from norms alone.

    ∂f/∂v = (σ_v/√m)φ(h_T) is Lipschitz on the ball of radius R with L_v(R) = (σ_v/√m)sup|φ′| E √((σ_u²/d)‖X‖² +
    ((σ_w/√m)∫‖Φ_t‖)²), E = exp(sup|φ′|σ_wT(‖W‖ + R)/√m); 2L_v‖r₀‖ < λ_min(K^v) with R_* ≤ R is enough. An epoch of its
    promises is a unit of time.
    """

    source: ClassVar[str] = f"{OURS}: Theorem C-GF, gradient flow on the read-out's block"
    statement: ClassVar[str] = "gradient flow: ‖r(t)‖ ≤ exp(−σ_∞²t)‖r₀‖, path ≤ R_*, limit of zero loss"
    method: ClassVar[str] = "flow"
    errata_ids: ClassVar[tuple[str, ...]] = ("gao2025-C15", "gao2025-C16")
    assumed: ClassVar[str] = f"{NUMBERS_ONLY}; at kinks the flow is the limit of small steps"

    start: Start

    def solved(self) -> Kantorovich:
        """The certificate behind it, at the values."""
        s = self.start
        block = Block("the read-out's features", s.readout_0.sqrt(), s.curvature().features_lipschitz)
        return certify(Estimate(s.rho_0.value), [block], None, flow=True, width=s.width)

    def inequalities(self) -> tuple[Hypothesis, ...]:
        """φ Lipschitz, λ_min(K^v) > 0, h < 1/2."""
        s = self.start
        found = self.solved() if math.isfinite(s.slope) else None
        h = math.inf if found is None or found.h is None else found.h
        return (
            s.smooth()[0],
            Hypothesis.at_least("λ_min(K^v(0)) > 0", s.readout_0.value, 0.0, strict=True),
            Hypothesis.at_most(
                "h = L_v‖r₀‖/λ_min(K^v) < 1/2", h, 0.5, strict=True,
                note=f"at this λ_min(K^v) it would hold at a width of about {s.width * (2 * h) ** 2:.3g}"
                if math.isfinite(h) and h >= 0.5 else "",
            ),
        )  # fmt: skip

    def promises(self) -> tuple[Promise, ...]:
        """Loss, λ_min(K_θ) and path; none where it does not hold."""
        s, found = self.worst().start, self.worst().solved() if math.isfinite(self.start.slope) else None
        if found is None or found.sigma_star is None or found.radius is None:
            return ()
        loss, sigma = s.loss, found.sigma_star
        return (
            Promise("loss at rate 2σ_∞²", "loss", "<=", loss, math.exp(-2 * sigma**2)),
            Promise("λ_min(K^v) ≥ σ_∞²", "lambda_min_features", ">=", sigma**2),
            Promise("path ≤ R_*", "distance", "<=", found.radius),
        )


class GradientDescent(AbstractEstimated):
    """Lemma 16 repaired (C-GD): Newton-Kantorovich for the discretised network, every constant from norms at the start.

    c = 1 − ηβ²/2 − ηΛ‖r₀‖/2 > 0 takes the place of η ≤ 1/‖X‖², and h = Λ‖r₀‖/(cλ₀) < 1/2 that of the width: Λ is of order
    m^{-1/2}. The `Kantorovich` certificate is the same with the sequences measured layer by layer, and much sharper.
    """

    source: ClassVar[str] = f"{PAPER}, Lemma 16, repaired (Theorem C-GD)"
    statement: ClassVar[str] = "gradient descent: ‖r_{k+1}‖ ≤ (1 − cησ_∞²)‖r_k‖, path ≤ R_*, limit of zero loss"
    method: ClassVar[str] = "descent"
    errata_ids: ClassVar[tuple[str, ...]] = PRINTED
    assumed: ClassVar[str] = NUMBERS_ONLY

    start: Start
    step_size: float

    def solved(self) -> Kantorovich | None:
        """The certificate behind it, at the values; `None` without the bounds that it needs."""
        s = self.start
        if not math.isfinite(s.slope + s.bend + s.third):
            return None
        bound = s.curvature()
        blocks = [
            Block("all parameters", s.lambda_0.sqrt(), bound.lipschitz),
            Block("the read-out's features", s.readout_0.sqrt(), bound.features_lipschitz),
        ]
        curvature = Curvature(s.lambda_max.sqrt(), bound.lipschitz, "Λ from the norms at the start")
        return certify(Estimate(s.rho_0.value), blocks, curvature, step_size=self.step_size, width=s.width)

    def inequalities(self) -> tuple[Hypothesis, ...]:
        """Smoothness up to φ‴, λ₀ > 0, c > 0 and h < 1/2."""
        s, found = self.start, self.solved()
        c = -math.inf if found is None or found.c is None else found.c
        h = math.inf if found is None or found.h is None else found.h
        return (
            *s.smooth(),
            Hypothesis.at_most("sup|φ‴| is finite", s.third, 1e300),
            Hypothesis.at_least("λ₀ = λ_min(K_θ(0)) > 0", s.lambda_0.value, 0.0, strict=True),
            Hypothesis.at_least("c = 1 − ηβ²/2 − ηΛ‖r₀‖/2 > 0", c, 0.0, strict=True, note="printed: η ≤ 1/‖X‖²"),
            Hypothesis.at_most("h = Λ‖r₀‖/(cλ₀) < 1/2", h, 0.5, strict=True, note="printed: n = Ω(‖X‖⁴‖r₀‖²/λ₀³)"),
        )

    def promises(self) -> tuple[Promise, ...]:
        """Loss, λ_min and distances; none where it does not hold."""
        me = self.worst()
        found = me.solved()
        if found is None or found.sigma_star is None or found.radius is None or found.rate is None:
            return ()
        loss, far = me.start.loss, found.radius
        blocks = (("v", "distance_readout"), ("W", "distance_hidden"), ("U", "distance_inject"))
        return (
            Promise("loss at rate (1 − cησ_∞²)²", "loss", "<=", loss, found.rate**2),
            Promise("λ_min(K_θ) ≥ σ_∞²", "lambda_min", ">=", found.sigma_star**2),
            Promise("path ≤ R_*", "distance", "<=", far),
            *(Promise(f"‖{name} − {name}(0)‖ ≤ R_*", quantity, "<=", far) for name, quantity in blocks),
        )


class GlobalConvergence(GradientDescent):
    """Theorem 3 repaired: `GradientDescent`, stated with λ₀ = λ_min(K^∞) and its rate 1 − ηλ₀/16 for the loss.

    λ_min(K_θ(0)) ≥ λ₀/2 is asked of this network, and the rate c σ_∞² ≥ λ₀/16 of the certificate; then (1 − x)² ≤ 1 − x turns
    the residual's rate into the loss's. The distance is R_* ≤ 2‖r₀‖/(cσ₀), without the printed ‖X‖.
    """

    source: ClassVar[str] = f"{PAPER}, Theorem 3, repaired"
    statement: ClassVar[str] = "gradient descent: L_k ≤ (1 − ηλ₀/16)^k L₀ and ‖θ_k − θ₀‖ ≤ R_*, λ₀ = λ_min(K^∞)"
    errata_ids: ClassVar[tuple[str, ...]] = (*PRINTED, "gao2025-C10", "gao2025-C15")

    def inequalities(self) -> tuple[Hypothesis, ...]:
        """Those of Lemma 16 repaired, λ_min(K_θ(0)) ≥ λ₀/2, and the rate."""
        s, found = self.start, self.solved()
        rate = 0.0
        if found is not None and found.sigma_star is not None and found.c is not None:
            rate = found.c * found.sigma_star**2
        return (
            *GradientDescent.inequalities(self),
            Hypothesis.at_least("λ₀ = λ_min(K^∞) > 0", s.limit_0.value, 0.0, strict=True),
            Hypothesis.at_least("λ_min(K_θ(0)) ≥ λ₀/2", s.lambda_0.value, s.limit_0.value / 2),
            Hypothesis.at_least("cσ_∞² ≥ λ₀/16", rate, s.limit_0.value / 16),
        )

    def promises(self) -> tuple[Promise, ...]:
        """Loss at the printed rate, and the distance."""
        me = self.worst()
        found, lam = me.solved(), me.start.limit_0.value
        if found is None or found.radius is None or not lam > 0:
            return ()
        shrink = 1 - self.step_size * lam / 16
        return (
            Promise("loss at rate 1 − ηλ₀/16", "loss", "<=", me.start.loss, shrink),
            Promise("‖θ − θ₀‖ ≤ R_*", "distance", "<=", found.radius),
        )

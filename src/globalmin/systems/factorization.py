"""Asymmetric matrix factorisation: balanced descent finds a global minimum without a regulariser; rank one in two stages."""

import math
from typing import Any, ClassVar

import numpy as np

from ..objectives import Factorization, balance
from ..theory import AbstractCertificate
from ..theory.du2018_balancing import (
    BalancedDescent,
    FactorStart,
    GlobalLimit,
    GlobalLimitPrinted,
    RankOne,
    RankOnePrinted,
    RankOneStart,
    StageOne,
)
from .objective import AbstractObjectiveSystem, MonitorPanel, ObjectiveQuestion


class FactorizationSystem(AbstractObjectiveSystem):
    """`Factorization` with the accuracy ε of Theorem 4.4. The theorems are about the objective without its regulariser."""

    name: ClassVar[str] = "factorization"
    title: ClassVar[str] = "asymmetric matrix factorisation"
    paper: ClassVar[str] = "Du, Hu, Lee, NeurIPS 2018; Du, thesis CMU-ML-19-102, chapter 4"
    loss_name: ClassVar[str] = "½‖UVᵀ − M‖²"
    theorems_listed: ClassVar[tuple[str, ...]] = ("Lemma 4.1", "Theorem 4.4", "Lemma 4.5", "Theorem 4.5")
    figures: ClassVar[tuple[str, ...]] = ("du2019-fig4.1",)
    panels: ClassVar[tuple[MonitorPanel, ...]] = (
        MonitorPanel("‖UᵀU − VᵀV‖", (("balance", "along the run"), ("balance_bound", "‖B₀‖ + Σ η²‖drift‖")), True),
        MonitorPanel("‖U‖², ‖V‖²", (("square_u", "‖U‖²"), ("square_v", "‖V‖²"))),
        MonitorPanel("alignment with the leading vectors", (("alignment_u", "U"), ("alignment_v", "V"))),
        MonitorPanel("rank one: α, β, and what is orthogonal", (
            ("alpha", "α"), ("beta", "β"), ("alpha_across", "α_⊥"), ("beta_across", "β_⊥"),
        )),
    )  # fmt: skip

    objective: Factorization
    epsilon: float

    def theorems(self, question: ObjectiveQuestion) -> tuple[AbstractCertificate, ...]:
        """Lemma 4.1 and Theorem 4.4; for rank one Lemma 4.5 and Theorem 4.5. None with the regulariser."""
        o, point = self.objective, question.point
        if o.regularized:
            return ()
        start = FactorStart(
            rank=o.rank,
            norm=o.matrix.norm,
            largest=float(o.sigma[0]),
            rest=o.rest,
            square_u=float(np.sum(np.square(point["u"]))),
            square_v=float(np.sum(np.square(point["v"]))),
            balance=float(np.linalg.norm(balance(point))),
            epsilon=self.epsilon,
            step_size=question.step_size,
            exponent=question.exponent,
            epochs=question.epochs,
        )
        found: tuple[AbstractCertificate, ...] = (BalancedDescent(start), GlobalLimit(start), GlobalLimitPrinted(start))
        if o.rank > 1 or question.exponent > 0:
            return found
        at = {name: float(value) for name, value in o.reduced(point).items()}
        sigma = float(o.sigma[0])
        rank_one = RankOneStart(
            sigma=sigma,
            rest=o.rest,
            dimension=o.larger_side,
            alpha=at["alpha"],
            beta=at["beta"],
            xi=at["xi"],
            c_init=o.scale / math.sqrt(sigma / o.larger_side),
            c_step=question.step_size * sigma,
        )
        return (StageOne(rank_one), RankOne(rank_one), *found, RankOnePrinted(rank_one, o.scale**2))

    def default_step_size(self, point) -> tuple[float, str]:
        """0.1/σ₁: at a balanced minimum the curvature is at most 2σ₁."""
        return 0.1 / float(self.objective.sigma[0]), "0.1/σ₁(M)"

    def facts(self) -> dict[str, Any]:
        """Size, rank and spectrum of M, and the start."""
        o = self.objective
        d1, d2 = o.matrix.shape
        kind = type(o.matrix).__name__.removesuffix("Matrix").lower()
        return {
            "M": f"{d1} × {d2}, {kind}", "‖M‖_F": o.matrix.norm, "leading singular values": [float(s) for s in o.sigma],
            "σ_{r+1}": o.rest, "rank r": o.rank, "standard deviation of the start": o.scale, "ε": self.epsilon,
            "regularised": o.regularized,
        }  # fmt: skip

    def results(self, looks: dict[str, np.ndarray], steps: dict[str, np.ndarray]) -> dict[str, Any]:
        """Error and balance at the end; for rank one T₁, its bound, and the rate per step against 1 − c_step."""
        found: dict[str, Any] = {"relative error at the end": float(looks["relative_error"][-1])}
        found["‖UᵀU − VᵀV‖ at the start and the end"] = [float(looks["balance"][0]), float(looks["balance"][-1])]
        if "identity_error" in steps:
            found["largest error of the trace's identity"] = float(steps["identity_error"].max())
        if "hessian_min" in looks:
            found["λ_min of the Hessian at the end"] = float(looks["hessian_min"][-1])
        if "stage_one" in steps:
            over = np.flatnonzero(steps["stage_one"] == 0)
            found["T₁"] = int(steps["epoch"][over[0]]) if over.size else None
            error = np.sqrt(2 * steps["loss"])
            # Above rounding and below the second stage's beginning, where the rate is that of the linearisation.
            local = (error < 1e-4 * self.objective.matrix.norm) & (error > 1e-9 * self.objective.matrix.norm)
            at = np.flatnonzero(local)
            if at.size > 2:
                rate = (error[at[-1]] / error[at[0]]) ** (1 / (at[-1] - at[0]))
                found["factor of the error per step near the minimum"] = float(rate)
                found["1 − c_step"] = 1 - float(steps["step_size"][0] * self.objective.sigma[0])
        return found

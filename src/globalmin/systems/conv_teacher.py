"""The two-layer convolutional network with weight normalisation and its teacher, bound to chapter 5 of Du's thesis."""

from typing import Any, ClassVar

import jax.numpy as jnp
import numpy as np

from ..objectives import ConvStudent, ConvTeacher, reduce_student, run_summary
from ..theory import AbstractCertificate, du2018_conv
from .objective import AbstractObjectiveSystem, MonitorPanel, ObjectiveQuestion


class ConvTeacherSystem(AbstractObjectiveSystem):
    """Population or sampled descent on a ConvTeacher."""

    name: ClassVar[str] = "conv-teacher"
    title: ClassVar[str] = "two-layer convolutional network with weight normalisation against a teacher"
    paper: ClassVar[str] = "Du, Lee, Tian, Póczos, Singh, ICML 2018 (Du's thesis, chapter 5)"
    loss_name: ClassVar[str] = "½E(f(Z, v, a) − y)²"
    theorems_listed: ClassVar[tuple[str, ...]] = (
        "Theorem 5.3: two phases to the global minimum, printed and with constants",
        "Theorem 5.4: one of four sign choices is a good start",
        "Theorem 5.5: convergence to the spurious minimum, printed and with constants",
        "trapping sets of both minima",
        "Lemmas 5.2 to 5.5, 5.7, 5.8, 5.10 to 5.12",
    )
    figures: ClassVar[tuple[str, ...]] = ("du2019-fig5.1", "du2019-fig5.2", "du2019-table5.1")
    panels: ClassVar[tuple[MonitorPanel, ...]] = (
        MonitorPanel("angles", (("angle", "φ, between v and w*"), ("angle_to_opposite", "π − φ")), log=True),
        MonitorPanel(
            "output weights",
            (("output_gap", "‖a − s‖"), ("spurious_gap", "‖a − a_sp‖"), ("total_gap", "|1ᵀ(a − s)|")),
            log=True,
        ),
        MonitorPanel("alignment aᵀs and contraction", (("alignment", "aᵀs"), ("contraction", "ηλ cos φ"))),
        MonitorPanel("length of the filter", (("filter_square", "‖v‖²"),)),
    )

    objective: ConvTeacher

    def theorems(self, question: ObjectiveQuestion) -> tuple[AbstractCertificate, ...]:
        """Both minima's theorems, printed and corrected, the trapping sets, and the lemmas of one step."""
        start = self.start(question.point, question.step_size)
        return (
            du2018_conv.TwoPhases(start),
            du2018_conv.TwoPhasesPrinted(start),
            du2018_conv.RandomStart(start),
            du2018_conv.GlobalBasin(start),
            du2018_conv.SpuriousBasin(start),
            du2018_conv.Spurious(start),
            du2018_conv.SpuriousPrinted(start),
            du2018_conv.AngleShrinks(start),
            du2018_conv.AngleContracts(start),
            du2018_conv.AlignmentStaysPositive(start),
            du2018_conv.TotalStaysBelow(start),
            du2018_conv.AlignmentGrows(start),
        )

    def start(self, point: ConvStudent, step_size: float) -> du2018_conv.Start:
        """The numbers that the theorems ask about."""
        numbers, state = self.objective.numbers, reduce_student(self.objective, point)
        return du2018_conv.Start(
            patches=numbers.patches,
            teacher_total=numbers.total,
            square=numbers.square,
            angle=float(state.angle),
            filter_norm=float(state.norm),
            total=float(state.total),
            alignment=float(state.alignment),
            output_gap=float(jnp.linalg.norm(point.output - self.objective.target)),
            output_norm=float(jnp.linalg.norm(point.output)),
            step_size=step_size,
            teacher_norm=float(jnp.linalg.norm(self.objective.filter)),
            sampled=self.objective.batch is not None,
        )

    def default_step_size(self, point: ConvStudent) -> tuple[float, str]:
        """The largest step size of Theorem 5.3."""
        return (
            self.objective.numbers.largest_step,
            "min{2π/(k + π − 1), √2/(‖s‖² + (1ᵀs)²)}, the largest of Theorem 5.3",
        )

    def facts(self) -> dict[str, Any]:
        """The teacher's numbers and its critical points."""
        numbers = self.objective.numbers
        found: dict[str, Any] = {
            "patches k": numbers.patches,
            "patch dimension p": self.objective.dimension,
            "(1ᵀa*)²/‖a*‖²": numbers.ratio,
            "‖s‖² = ‖w*‖²‖a*‖²": numbers.square,
            "the spurious point attracts below the ratio": numbers.scale / np.pi,
            "the spurious point attracts": numbers.spurious_attracts,
            "loss at the spurious point": numbers.spurious_loss,
            "aᵀs at the spurious point": numbers.spurious_alignment,
            "separating angle": numbers.separating_angle,
            "gradients": "population" if self.objective.batch is None else f"{self.objective.batch} inputs a step",
        }
        return found

    def results(self, looks: dict[str, np.ndarray], steps: dict[str, np.ndarray]) -> dict[str, Any]:
        """Where the run ends, and its two phases."""
        if not steps["epoch"].size:
            return {}
        numbers = self.objective.numbers
        small = float(np.max(steps["step_size"])) <= numbers.largest_step * (1 + 1e-12)
        proper = abs(steps["total"][0]) <= abs(numbers.total) * (1 + 1e-12) + 1e-300
        bounded = abs(steps["alignment"][0]) <= numbers.bound and steps["filter_norm"][0] >= 1 - 1e-9
        certain = self.objective.batch is None and small and proper and bounded
        return run_summary(numbers, steps, certain=bool(certain))

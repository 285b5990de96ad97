"""Layers of a homogeneous network on data: balanced by gradient flow, and by descent up to a drift that is known exactly."""

from typing import Any, ClassVar

from ..objectives import HomogeneousNetwork
from ..theory import AbstractCertificate
from ..theory.du2018_balancing import LayerBalance, NodeBalance
from .objective import AbstractObjectiveSystem, MonitorPanel, ObjectiveQuestion

LAYERS = 6
"""Layers of which the report draws the squares; more are recorded all the same."""


class BalancingSystem(AbstractObjectiveSystem):
    """`HomogeneousNetwork`: fully connected or convolutional, linear, ReLU or leaky ReLU."""

    name: ClassVar[str] = "balancing"
    title: ClassVar[str] = "auto-balancing of homogeneous networks"
    paper: ClassVar[str] = "Du, Hu, Lee, NeurIPS 2018; Du, thesis CMU-ML-19-102, chapter 4"
    loss_name: ClassVar[str] = "loss ‖f − y‖²/(2N)"
    theorems_listed: ClassVar[tuple[str, ...]] = ("Theorem 4.1", "Corollary 4.1", "Theorem 4.2", "Theorem 4.3")
    figures: ClassVar[tuple[str, ...]] = ("du2019-fig4.2",)
    panels: ClassVar[tuple[MonitorPanel, ...]] = (
        MonitorPanel("‖Wₕ‖²", tuple((f"square_w{h}", f"layer {h}") for h in range(1, LAYERS)), True),
        MonitorPanel("‖Wₕ‖² − ‖Wₕ₊₁‖²", tuple((f"difference_{h}", f"layers {h}, {h + 1}") for h in range(1, LAYERS))),
        MonitorPanel("‖Wₕ‖²/‖Wₕ₊₁‖²", tuple((f"ratio_{h}", f"layers {h}, {h + 1}") for h in range(1, LAYERS)), True),
        MonitorPanel(
            "against their bounds of 1",
            (
                ("identity_share", "identity, over rounding"), ("drift_share", "|drift|/Σ|steps|"),
                ("spread_share", "spread, over rounding"),
            ),
        ),
    )  # fmt: skip

    objective: HomogeneousNetwork

    def theorems(self, question: ObjectiveQuestion) -> tuple[AbstractCertificate, ...]:
        """Balance of layers, of neurons and, where linear, of matrices."""
        layers, nodes, rounding = self.objective.spreads(question.point)
        flow = question.method == "flow"
        balance = LayerBalance(layers, rounding, flow)
        return (
            (balance, NodeBalance(nodes, rounding, flow)) if self.objective.invariants(question.point) else (balance,)
        )

    def default_step_size(self, point) -> tuple[float, str]:
        """A hundredth."""
        return 0.01, "0.01; the source gives none"

    def facts(self) -> dict[str, Any]:
        """Sizes of the network and of its data."""
        o = self.objective
        kind = "linear" if o.slope == 1 else "ReLU" if o.slope == 0 else f"leaky ReLU, slope {o.slope:g}"
        shapes = [" × ".join(map(str, shape)) for shape in o.shapes]
        return {"samples": len(o.x), "layers": shapes, "activation": kind, "scales of the start": list(o.scales)}

    def results(self, looks, steps) -> dict[str, Any]:
        """Squares of the layers at the end, the largest drift of their differences, and the identity's error."""
        squares = [float(steps[f"square_w{h + 1}"][-1]) for h in range(self.objective.depth)]
        found: dict[str, Any] = {"‖W_h‖² at the end": squares}
        if "relative_drift" in steps:
            found["largest drift of a difference, over Σ‖W_h(0)‖²"] = float(steps["relative_drift"].max())
        if "identity_share" in steps:
            found["largest error of the identity, over rounding"] = float(steps["identity_share"].max())
        return found

"""Theorems 4.1-4.3: layers of homogeneous networks stay balanced; under descent the drift is known exactly and is O(η)."""

from typing import ClassVar

from ..certificate import AbstractCertificate, Hypothesis, Promise
from .factorization import PAPER


class LayerBalance(AbstractCertificate):
    """Corollary 4.1 and Theorem 4.3, for flow exactly and for descent up to 2η(L₀ − L_T) for each pair of layers.

    D = ‖W_h‖² − ‖W_{h+1}‖² moves by η²(‖∇_h‖² − ‖∇_{h+1}‖²) in a step. Where every step descends by η/2 ‖∇L‖² that adds up to
    at most 2η(L₀ − L_T). Homogeneity is a hypothesis with a number: the spread of ⟨W_h, ∇_h⟩ over the layers.
    """

    source: ClassVar[str] = f"{PAPER}, Corollary 4.1, Theorem 4.3, and the drift of descent"
    statement: ClassVar[str] = (
        "flow: ‖W_h‖² − ‖W_{h+1}‖² is constant; descent: it moves by exactly η²(‖∇_h‖² − ‖∇_{h+1}‖²), in sum by at most "
        "2η(L₀ − L_T)"
    )
    errata_ids: ClassVar[tuple[str, ...]] = ("du2018-6a", "du2018-6b", "du2018-6d")
    assumed: ClassVar[str] = "a differentiable loss, tame so that the chain rule holds along the flow"

    spread: float  # largest difference of ⟨W_h, ∇_h⟩ between two layers, at the start
    rounding: float  # what rounding can make of it
    flow: bool

    def hypotheses(self) -> tuple[Hypothesis, ...]:
        """Homogeneity, as far as it shows at the start."""
        return (
            Hypothesis.at_most(
                "⟨W_h, ∇_h⟩ the same for every layer: spread", self.spread, self.rounding,
                note="up to rounding; a bias, a normalisation or a smooth activation breaks it",
            ),
        )  # fmt: skip

    def promises(self) -> tuple[Promise, ...]:
        """The identity, the two bounds of the drift; for flow its constancy."""
        if self.flow:
            return (Promise("drift of ‖W_h‖² − ‖W_{h+1}‖², over ‖W(0)‖²", "relative_drift", "<=", 1e-6),)
        return (
            Promise("drift = Σ η²(‖∇_h‖² − ‖∇_{h+1}‖²), up to rounding", "identity_share", "<=", 1.0),
            Promise("|drift| ≤ Σ η²|‖∇_h‖² − ‖∇_{h+1}‖²|", "drift_share", "<=", 1.0),
            Promise("|drift| ≤ 2η(L₀ − L) while every step descends by η/2 ‖∇L‖²", "drift_of_loss", "<=", 1.0),
            Promise("spread of ⟨W_h, ∇_h⟩, over rounding", "spread_share", "<=", 1.0),
        )


class NodeBalance(AbstractCertificate):
    """Theorem 4.1 for every hidden neuron, and Theorem 4.2, a matrix per pair of layers with a linear map between them."""

    source: ClassVar[str] = f"{PAPER}, Theorems 4.1 and 4.2, and the drift of descent"
    statement: ClassVar[str] = (
        "‖W_h[i, :]‖² − ‖W_{h+1}[:, i]‖² and, linear, W_hW_hᵀ − W_{h+1}ᵀW_{h+1}: constant under flow, under descent they "
        "move by exactly η² times the same of the gradients"
    )
    errata_ids: ClassVar[tuple[str, ...]] = ("du2018-6a", "du2018-6b", "du2018-6c")
    assumed: ClassVar[str] = LayerBalance.assumed

    spread: float  # largest |⟨W_h[i, :], ∇⟩ − ⟨W_{h+1}[:, i], ∇⟩| over hidden neurons, at the start
    rounding: float
    flow: bool

    def hypotheses(self) -> tuple[Hypothesis, ...]:
        """Homogeneity neuron by neuron."""
        return (
            Hypothesis.at_most(
                "⟨W_h[i, :], ∇⟩ = ⟨W_{h+1}[:, i], ∇⟩: largest difference",
                self.spread,
                self.rounding,
                note="up to rounding",
            ),
        )

    def promises(self) -> tuple[Promise, ...]:
        """The largest deviation from the invariant (flow) or from the identity (descent), over ‖W(0)‖²."""
        if self.flow:
            return (Promise("drift of the neurons' invariants, over ‖W(0)‖²", "relative_node_drift", "<=", 1e-6),)
        return (
            Promise("neurons drift by η² times the gradients' difference, up to rounding", "node_identity", "<=", 1.0),
        )

"""Theorem 2: when a gated network has a ReLU network with the same outputs on the training set."""

from typing import ClassVar

from ..certificate import AbstractCertificate, Hypothesis
from .start import OURS, PAPER


class EquivalencePrinted(AbstractCertificate):
    """Theorem 2 as printed: n ≤ m suffices, by (49), which is inverted (E19); with the same B and a last ReLU (E20)."""

    source: ClassVar[str] = f"{PAPER}, Theorem 2, as printed"
    statement: ClassVar[str] = "there is a unique ReLU network with the gated network's outputs on the training set"
    errata_ids: ClassVar[tuple[str, ...]] = tuple(f"noy2021-E{k}" for k in (19, 20, 21, 22, 24))

    n: int
    width: int

    def hypotheses(self) -> tuple[Hypothesis, ...]:
        """n ≤ m."""
        return (Hypothesis.at_most("n ≤ m", self.n, self.width),)


class Equivalence(AbstractCertificate):
    """Theorem 2 repaired: layer by layer the rectified features must have rank n, and there is no ReLU after layer L.

    Sufficient: rank(A_{k−1}) = n for k = 1 … L. n ≤ m is necessary for that and does not suffice (E22). The weights are
    unique as those of minimum norm (E21).
    """

    source: ClassVar[str] = f"{OURS}: Theorem 2 repaired"
    statement: ClassVar[str] = (
        "W̃_k = T_k A_{k−1}⁺ gives a ReLU network, without a last ReLU, with the gated one's outputs"
    )
    errata_ids: ClassVar[tuple[str, ...]] = (*EquivalencePrinted.errata_ids, "noy2021-E23")

    n: int
    width: int
    ranks: tuple[int, ...]  # of A_0 … A_{L−1}

    def hypotheses(self) -> tuple[Hypothesis, ...]:
        """n ≤ m and every rank."""
        found = min(self.ranks)
        note = (
            ""
            if found >= self.n
            else f"rank {found} at layer {self.ranks.index(found)}: equality cannot hold in general"
        )
        return (
            Hypothesis.at_most("n ≤ m", self.n, self.width),
            Hypothesis.at_least("rank(A_{k−1}) ≥ n for every k", found, self.n, note=note),
        )

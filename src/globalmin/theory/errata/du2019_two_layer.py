"""Corrections of chapter 2 of Du's thesis (two-layer ReLU networks)."""

from .base import Erratum

SOURCE = "Du, thesis CMU-ML-19-102, chapter 2"

ERRATA = (
    Erratum(
        id="du2019-1a",
        source=SOURCE,
        where="Theorems 2.2 and 2.3, width",
        printed="m = Ω(n⁶/(λ₀⁶δ³))",
        corrected="m = Ω(n⁶/(λ₀⁴δ³)); with constants m > 512·27/π (flow) or 8192·27/π (descent) times (C²+½)n⁶/(λ₀⁴δ³)",
        why="R′ < R gives the fourth power of λ₀, and the sentence after Theorem 2.2 has it so; the sixth "
        "power would also suffice (λ₀ ≤ ½), at a width that is larger by 1/λ₀².",
        severity="substantive",
    ),
    Erratum(
        id="du2019-1b",
        source=SOURCE,
        where="Lemma 2.3, movement of a neuron under gradient flow",
        printed="‖w_r(t) − w_r(0)‖ ≤ √n ‖y − u(0)‖/(√m λ₀)",
        corrected="‖w_r(t) − w_r(0)‖ ≤ 2√n ‖y − u(0)‖/(√m λ₀)",
        why="The rate λ₀ is that of ‖u − y‖²; the norm itself decays at λ₀/2, and its integral is twice as "
        "large. Witness: n = 1, x = 1, m = 4, w = (1, −1, −1, −1), y − u(0) = 1 moves w_1 by exactly 2; "
        "printed 1, corrected 2.",
        severity="substantive",
    ),
    Erratum(
        id="du2019-1c",
        source=SOURCE,
        where="section 2.3.1, radius of the neurons under gradient descent",
        printed="R = cλ₀/n²",
        corrected="R = cδλ₀/n², explicitly √(2π)δ′λ₀/(32n²) with δ′ = δ/3",
        why="The count of neurons near a kink comes from Markov's inequality and carries 1/δ; without δ in R "
        "the bound Cn²R/δ ≤ λ₀/8 fails for small δ.",
        severity="substantive",
    ),
    Erratum(
        id="du2019-1d",
        source=SOURCE,
        where="Lemma 2.2",
        printed="no condition on m, yet λ_min(H) > λ₀/2 is concluded",
        corrected="the event of Lemma 2.1, m ≥ 8n² ln(2n²/δ′)/λ₀², is needed as well",
        why="The lemma bounds H − H(0); that H(0) is near H^∞ is another event. The expectation in its proof "
        "also needs the supremum over W inside, which is harmless as the neurons it counts do not depend "
        "on W.",
        severity="constant",
    ),
    Erratum(
        id="du2019-1e",
        source=SOURCE,
        where="Lemma 2.1, proof",
        printed="δ′ = n²δ",
        corrected="δ′ = δ/n²",
        why="A union over the n² entries divides the failure probability.",
        severity="typo",
    ),
    Erratum(
        id="du2019-1f",
        source=SOURCE,
        where="after Lemma 2.4, size of the initial residual",
        printed="E‖y − u(0)‖² = Σ(y_i² + y_i E f + E f²) = Σ(y_i² + 1)",
        corrected="E‖y − u(0)‖² = Σ(y_i² + ½)",
        why="The cross term −2y_i E f vanishes, and E max(w·x, 0)² = ½ for a unit input. The printed sum is an "
        "upper bound.",
        severity="constant",
    ),
    Erratum(
        id="du2019-1g",
        source=SOURCE,
        where="Lemma 2.4, proof",
        printed="‖w_r(t₀) − w_r(0)‖² = R",
        corrected="‖w_r(t₀) − w_r(0)‖ = R",
        why="R bounds the distance, not its square.",
        severity="typo",
    ),
    Erratum(
        id="du2019-1h",
        source=SOURCE,
        where="Corollary 2.1, proof",
        printed="‖y − u(k′)‖ inside the sum over k′, beside its decay factor",
        corrected="‖y − u(0)‖ inside the sum",
        why="The decay is already in the factor (1 − ηλ₀/2)^{k′/2}, whose sum is at most 4/(ηλ₀).",
        severity="typo",
    ),
    Erratum(
        id="du2019-1i",
        source=SOURCE,
        where="Theorem 2.1, proof, and indices elsewhere",
        printed="α₁φ(x_i); i ∈ [m]; (2.9) averages φ(x_j); integrable vector fields",
        corrected="α₁φ(x₁); i ∈ [n]; φ(x_i); square-integrable vector fields",
        why="Indices. Likewise: section 2.3.1 means step k + 1 in its second displacement, Lemma 2.5 is proved "
        "in section 2.7, the pattern fraction of section 2.4 sums over n inputs, and C is both a label "
        "bound and a lemma's constant.",
        severity="typo",
    ),
    Erratum(
        id="du2019-1j",
        source=SOURCE,
        where="Theorems 2.2 and 2.3, probability",
        printed="each lemma with probability 1 − δ, the theorem with the same δ",
        corrected="three events with δ′ = δ/3 each",
        why="The proof needs all of them at once: H(0) near H^∞, few neurons near kinks, a bounded initial residual.",
        severity="constant",
    ),
    Erratum(
        id="du2019-1k",
        source=SOURCE,
        where="Theorem 2.2, the flow itself",
        printed="an ordinary differential equation, solved classically",
        corrected="a differential inclusion",
        why="The gradient jumps where a neuron crosses its kink. Existence and the chain rule along such "
        "solutions are taken for granted, here as in the source.",
        severity="constant",
    ),
)

"""Corrections of Ling et al. (2023), deep equilibrium models."""

from .base import Erratum

SOURCE = "Ling et al., AISTATS 2023"

ERRATA = (
    Erratum(
        id="ling2023-B1",
        source=SOURCE,
        where="Assumption 2, inputs",
        printed="x_i ⊥ x_j for i ≠ j",
        corrected="x_i and x_j not parallel; for λ_* > 0 it is enough that no two coincide",
        why="The proofs use |x_i·x_j| < d only. An opposite pair is harmless too: x_i·x_j = −d gives cos θ = "
        "−0.9194 and K_ij = 0.00749 at σ_w² = 0.08.",
        severity="substantive",
    ),
    Erratum(
        id="ling2023-B2",
        source=SOURCE,
        where="Lemma 1, operator norm at initialisation",
        printed="‖W‖ ≤ 2√2 σ_w with probability ≥ 1 − exp(−Ω(m))",
        corrected="‖W‖ ≤ √2 σ_w (2 + t) with probability ≥ 1 − 2 exp(−mt²/2)",
        why="2√2 σ_w is where the spectrum ends in the limit, and finite matrices fluctuate across it: the "
        "printed bound holds with probability about 0.85 at every width.",
        severity="substantive",
    ),
    Erratum(
        id="ling2023-B3",
        source=SOURCE,
        where="appendix, the factor R of the Jacobian",
        printed="R = (a ⊗ I_n) J⁻¹ D",
        corrected="R = (I_n ⊗ aᵀ) J⁻¹ D, of shape n × nm",
        why="The read-out acts on each sample's own features; block i is the row D_i(I − WᵀD_i)⁻¹a.",
        severity="typo",
    ),
    Erratum(
        id="ling2023-B4",
        source=SOURCE,
        where="depth recursion (13)",
        printed="ρ^(l−1) and K_ij^(l−1) in the normalisation",
        corrected="cos θ^(l) = (1 − 1/ρ_l) Q(cos θ^(l−1)) + x_i·x_j/(dρ_l), ρ_l = (1 − σ_w^{2l})/(1 − σ_w²)",
        why="The variance of the l-th pre-activation is σ_w² K_ii^(l−1) + 1 = ρ_l, diagonal entry and index l.",
        severity="typo",
    ),
    Erratum(
        id="ling2023-B5",
        source=SOURCE,
        where="Condition 1, inequality (9)",
        printed="λ₀ ≥ 4(c_w² + c_u²)‖X‖_F², said to hold for m = Ω((n³/λ_*²) log(n/(λ_*t)))",
        corrected="no width satisfies it at the paper's initialisation; a small read-out (B-GD, 3.5), two "
        "learning rates (B-TR) or gradient flow (B-GF) take its place",
        why="λ₀ ≤ ‖Z(0)‖_F²/n ≤ c_a²‖X‖_F²/n, while c_w = c_a ρ̄_a/(1 − ρ̄_w): (9) leaves ρ̄_a ≤ (1 − "
        "ρ̄_w)/(2√n) < ½, and ‖a(0)‖ is close to 1. Measured right side over left at the best δ: 7e3 (n = "
        "1), 3e5 (n = 10), 5e6 (n = 100), the same at m = 1000 and 4000.",
        severity="substantive",
    ),
    Erratum(
        id="ling2023-B6",
        source=SOURCE,
        where="Theorem 1, last line of the proof",
        printed="1 − η(λ₀ − 4C₂) ≤ 1 − ηλ₀/2 from (9) with factor 4, C₂ = (c_w² + c_u²)‖X‖_F²",
        corrected="factor 8 in (9)",
        why="λ₀ ≥ 4C₂ leaves 1 − η(λ₀ − 4C₂) ≤ 1, no decrease at all; 4C₂ ≤ λ₀/2 needs 8.",
        severity="substantive",
    ),
    Erratum(
        id="ling2023-B7",
        source=SOURCE,
        where="Theorem 1, travel of U and a, and (19)",
        printed="‖U − U(0)‖ ≤ δ by (8), ‖a − a(0)‖ ≤ δ by (9); exponent s in (19)",
        corrected="both by (7); exponent s + 1",
        why="(7) has the maximum of c_w, c_u, c_a for this purpose; the loss after step s has contracted s + 1 times.",
        severity="typo",
    ),
    Erratum(
        id="ling2023-B8",
        source=SOURCE,
        where="Theorem 2, width",
        printed="m = Ω((n²/λ_*²) log(n/(λ_*t)))",
        corrected="m = Ω((n²/λ_*²)(log²(n/λ_*) + log(n/t))); explicit in `InitialGram`",
        why="The depth l = Θ(log(n/λ_*)) multiplies log(1/ε) in the size of the net. The explicit bound is far "
        "from sharp: at n = 10 it asks for about 4e10 neurons, and λ₀/(mλ_*) = 0.98 was measured at m = "
        "1000.",
        severity="substantive",
    ),
    Erratum(
        id="ling2023-B9",
        source=SOURCE,
        where="appendix C.2, bound on |cos θ|",
        printed="=",
        corrected="≤",
        why="The triangle inequality was used.",
        severity="typo",
    ),
    Erratum(
        id="ling2023-B10",
        source=SOURCE,
        where="appendix E, definition of Ĝ",
        printed="w ~ N(0, I)",
        corrected="w ~ N(0, 2I)",
        why="What follows uses the variance 2 of the initialisation; as defined, Ĝ would be half as large.",
        severity="constant",
    ),
    Erratum(
        id="ling2023-B11",
        source=SOURCE,
        where="inequality (23)",
        printed="no factor 1/m",
        corrected="1/m in front of the Gram matrices",
        why="The entries of G grow like m, those of K do not.",
        severity="typo",
    ),
    Erratum(
        id="ling2023-B12",
        source=SOURCE,
        where="Lemma 9, size of the net",
        printed="exponent O(1/ε)",
        corrected="exponent O(l log(1/ε))",
        why="A net of mesh ε in a 2l-dimensional ball has (1 + 2/ε)^{2l} points.",
        severity="constant",
    ),
    Erratum(
        id="ling2023-B13",
        source=SOURCE,
        where="Lemma 4, shape of M",
        printed="2l + d + 2 columns",
        corrected="2l + d columns",
        why="Its four blocks have 2(l − 1), 1, 1 and d columns.",
        severity="typo",
    ),
)

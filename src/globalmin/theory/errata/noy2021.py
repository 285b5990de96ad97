"""Corrections of Noy et al. (2021), gated networks."""

from .base import Erratum

SOURCE = "Noy et al., 2021"


def _entry(number: int, where: str, printed: str, corrected: str, why: str, severity: str) -> Erratum:
    return Erratum(f"noy2021-E{number}", SOURCE, where, printed, corrected, why, severity)


ERRATA = (
    _entry(
        1, "equation (1), section 2.1", "D_k defined for k ≥ 1, D_0 used", "D_0^i = diag(1{Cx_i > 0})",
        "The product in (1) begins with D_0 C; layer 0 is a genuine ReLU layer, its gate depends on C.", "typo",
    ),
    _entry(
        2, "equation (14)", "α_x = min λ_min(G Gᵀ)", "λ_min(GᵀG), or min ‖h_k‖², which is all that the proofs use",
        "G is m × d_x: G Gᵀ has rank at most d_x, so that α_x = 0 whenever m > d_x. The proofs apply G_k to x_i only, and "
        "‖h_k‖² stays within [0.44, 1.6] m/d_x where λ_min(GᵀG) is 0.005 m/d_x.", "substantive",
    ),
    _entry(
        3, "Lemma 2, third term; Lemma 3 and (18), first term", "λ_max(F Fᵀ)‖h‖⁴, hence β²β_x", "λ_max(F Fᵀ)²‖h‖⁴, hence β⁴",
        "The squared norm of F Fᵀr‖h‖² has λ_max twice, as (32) has it. F of norm 10 exceeds the printed bound by 100.",
        "substantive",
    ),
    _entry(
        4, "Lemma 3 and (18), second term", "¾η²L²α² ≤ ¼ηα²L, so η ≤ 1/(3L)", "¾η²L²α⁴ ≤ ¼ηα²L, so η ≤ 1/(3Lα²)",
        "The term is the square of nγβ² ≤ α²/2. As printed a step size is compared with a pure number.", "substantive",
    ),
    _entry(
        5, "Lemma 3, collecting the terms", "Λ_i + η²a_i ≤ −¾ηα²L", "−¼ηα²L from the printed step size",
        "Three terms of a quarter each are subtracted from −ηα²L. The step size of `OneStep` leaves three quarters.",
        "substantive",
    ),
    _entry(
        6, "(38) and (39)", "‖h_i‖‖h_j‖‖F F^T‖ ≤ γβ² for i ≠ j; ‖grad‖² ≤ (1 + …)β²l",
        "‖grad_k‖²_F = Σ⟨h_i, h_j⟩r_iᵀF_iF_jᵀr_j ≤ 2(1 + (n − 1)γ)β²l ≤ 3β²l",
        "(16) bounds |⟨h_i, h_j⟩|‖F F^T‖, not the product of norms, which is near β² for all pairs; and ‖r‖² = 2l.",
        "substantive",
    ),
    _entry(
        7, "(40) and the last two terms of (18)", "no C(L, s), s factors Z, 5e^{θ/2}m^{1/4}, 128η·η²",
        "C(L, s) ≤ L^s/2, s − 1 factors Z, 4√L e^{θ/2}θ^{−1/2}, 128nη²",
        "Between s gradients stand s − 1 of the Z; the constant contradicts Lemma 7; the sum over samples is lost.",
        "constant",
    ),
    _entry(
        8, "Assumption 2 and (43)", "‖y_i‖ ≤ m/d_x", "‖y_i‖² ≤ m/d_x",
        "(43) uses ‖f − y‖² ≤ 2‖f‖² + 2‖y‖² (with the factor 2 lost) and ‖y‖² ≤ m/d_x. The conclusion l_0 ≤ 4mn/d_x "
        "survives.", "constant",
    ),
    _entry(
        9, "the bound on τ", "ηT max‖grad‖, with log(l_0/ε) in it", "4√3β√l_0/(α²L), the geometric sum",
        "Losses that fall by a factor have a summable square root. As printed the width depends on the final accuracy.",
        "substantive",
    ),
    _entry(10, "equation (5)", "d_y", "√d_y", "√(β_y l_0)/α² has √d_y, by the proof's own numbers.", "constant"),
    _entry(
        11, "Theorem 6, (52)", "γ ≤ C″(L³τ² + δ(5/6)^L + m^{−1/2})", "γ = Ω(m^{−1/2} + L^{3/2}τ), and m = Ω(n³Ld_y) for (41)",
        "The gates of layer 0 are dropped: ⟨h_0^i, h_0^j⟩ tends to 0.318 m/d_x for orthogonal inputs, not to δ. Of the "
        "product of two bounds only the squares are kept; at k = L one factor is of order 1.", "substantive",
    ),
    _entry(
        12, "Lemma 4", "gates 1{Ψ_k x_i > 0}, overlap below 1/3", "gates 1{Ψ_k z_{k−1} > 0}, overlap κ_0(s_{k−1})/2 up to 1/2",
        "The features z_{k−1} ≥ 0 have a correlation that tends to 1. Overlaps of orthogonal inputs are 0.302, 0.332, 0.353, "
        "0.369 … for k = 1, 2, 3, 4 …, and (5/6)^L becomes L^{−3}. (The second index set must have j.)", "substantive",
    ),
    _entry(
        13, "Lemma 5", "‖Z‖ ≤ √(12L)e^{θ/2}θ^{−1/2}; “with θ = 1/3”; exponent in (53)",
        "the proof gives O(L/θ); ε = 1/3 is meant; exponent k_a − k_b",
        "With r = 48L²/(θ²ε) blocks. Measured the bound is true: ‖Z‖ is 2, 2.6, 3.1, 3.5 for one to four factors.",
        "constant",
    ),
    _entry(
        14, "Theorem 5", "α_x ≥ m/(12d_x) for all m, d_x", "only for m/d_x at least 4, 6, 8.1, 10.2 … for 1, 2, 3, 4 … factors",
        "GᵀG has the spectrum of a product of Gaussian matrices with m/2 rows open: α_x = 0 if m/2 ≤ d_x. At d_x = 200, "
        "m = 400 it is 0 in every layer.", "substantive",
    ),
    _entry(
        15, "Theorem 5 and Lemma 3, probability", "1 − 3L²√m exp(−θm/(4L) + 6√m + 3max(d_x, d_y))",
        "the same, vacuous below m = 10⁴ to 10⁷", "At θ = ½ it is positive from m = 1.1e4 on for L = 2, d = 20, and 7.1e4 "
        "for L = 4, d = 200.", "constant",
    ),
    _entry(
        16, "Theorem 1, step size", "η = d_x/(n⁴L³d_y)", "of order d_xd_y/(m²L), e.g. 1/λ_max(K)",
        "The tangent kernel is of order Lm²/(d_xd_y), so that the two agree at m ~ n²Ld_y only. n = 10, d_x = 20, L = 2: "
        "ηλ_max = 2.3, 7.3, 38.9 at m = 200, 400, 800, and in the last two the loss exceeds 1e30 within 8 steps.",
        "substantive",
    ),
    _entry(
        17, "Theorem 1, number of steps", "η = 1/(β²L) and c_T = 2·81²", "c_T = 8·81⁴ from α²/(4β⁴L), about 3e11/L² from "
        "the last term of (18)", "1/(β²L) is not the smallest term of (18). T is free of n only because (17) forces a "
        "condition number of at most 3β²/α²; measured it is 14 to 150 at n = 100.", "substantive",
    ),
    _entry(
        18, "Theorem 3", "R = Õ(n^{1/2}d_x(Ld_y)²/m^{5/2})", "R = O(L^{3/2}τ), e.g. Õ(√(Lnd_y/m)) at the τ of training",
        "The gradient of an output by a layer has rank one, ‖·‖²_F about m²/(d_xd_y) and not m³/(144d_xd_y), and the ratio "
        "divides by the squared norm. At a fixed τ = 0.05, R = 0.024 to 0.026 for m = 100 to 800.", "substantive",
    ),
    _entry(
        19, "equation (49)", "W̃_k = (GReLU(…))⁺ z_{k−1}", "W̃_k = T_k A_{k−1}⁺, T_k the gated features of layer k",
        "As printed it is inverted, and n × n.", "typo",
    ),
    _entry(
        20, "Theorem 2", "the same outputs with the same B", "only if no ReLU follows layer L",
        "The gated features of the last layer are signed, a ReLU's are not: with it the outputs are off by their own size "
        "(2.09 where the largest is 4.34).", "substantive",
    ),
    _entry(
        21, "Theorem 2", "a unique ReLU network", "unique among those of minimum norm",
        "For n < m the equation W̃A = T has infinitely many solutions.", "typo",
    ),
    _entry(
        22, "Theorem 2", "n ≤ m", "rank(A_{k−1}) = n for k = 1 … L",
        "Rows of A that vanish on all samples do not count, and n = m has rank 97 of 100 (output error 0.36); equal inputs "
        "are harmless.", "substantive",
    ),
    _entry(
        23, "Theorem 2, the ReLU network after it", "pre-activations that are exactly 0 where a gate is closed",
        "targets −c rms(h_k) there: the same features, with gates that are well defined",
        "In floating point 44 to 50% of these zeros come out positive: rounding decides the next gradient.", "substantive",
    ),
    _entry(
        24, "Theorem 2, proof", "Ψ_i; a recursion without [·]⁺; “a ReLU network has an equivalent GReLU network”",
        "Ψ_k; with [·]⁺; the other direction", "The recursion follows the rectified features.", "typo",
    ),
    _entry(
        25, "section 4.4, training, and footnote 1",
        "half of the operations, hence twice as fast; frameworks skip zeroed gradients",
        "1.33 times fewer operations than a ReLU network's, and no difference in dense products",
        "A ReLU network has the same sparsity but for the forward pass (¼ against ½), and open gates differ from sample to "
        "sample, so that nothing can be left out of a dense product.", "substantive",
    ),
    _entry(
        26, "Remark 3", "gates do not die", "they may be dead from the start",
        "With chain gates 1, 5, 8, 11 … % of the neurons of layers 1, 2, 3, 4 … are closed for all of 20 samples.", "constant",
    ),
    _entry(
        27, "Figure 2a", "no width below n²L converges: the bound is tight", "zero loss at a four-hundredth of n²L",
        "With η = 1/λ_max(K) the loss falls to 1e-28 at n = 100, m = 50 … 400: what failed was the step size.", "substantive",
    ),
    _entry(
        28, "section 4.4, inference",
        "Ψ ≈ W H non-negative of rank √m/2 without loss of accuracy", "draw Ψ of low rank before training",
        "Ψ is a signed Gaussian matrix: a non-negative factorisation opens every gate, and the truncated SVD of that rank "
        "keeps 6% of its energy and agrees in 52 to 58% of the gates, where guessing agrees in 50%.", "substantive",
    ),
    _entry(
        29, "section 10.4, evaluation of (18)", "first term O(1/L), six terms", "O(d_x/(mL)), five", "α²/(β²β_xL) has β_x.",
        "constant",
    ),
    _entry(
        30, "section 6.2, SGEMM", "CPU, 18 columns", "GPU kernels; 14 parameters and 4 measured runtimes",
        "The cited UCI set is about an OpenCL kernel; its last four columns are what is to be predicted.", "typo",
    ),
    _entry(
        31, "various", "[d_u]; “k_b < k_b”; F_{t,k+1} in 10.5; (a), (b) of (36) missing; W_0 and W_1 for the start",
        "[d_y]; k_b < k_a; F_{1,k+1}; the two terms of (36); one start", "Slips of the pen.", "typo",
    ),
)  # fmt: skip

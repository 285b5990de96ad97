"""Corrections of Du's thesis, chapter 3 (Du, Lee, Li, Wang, Zhai, ICML 2019): deep smooth networks.

The numbers follow the parts of the chapter: 2 fully connected, 3 residual, 4 convolutional, 5 initialisation.
"""

from .base import Erratum

SOURCE = "Du, thesis CMU-ML-19-102, chapter 3 (Du, Lee, Li, Wang, Zhai, ICML 2019)"


def _entry(id: str, severity: str, where: str, printed: str, corrected: str, why: str) -> Erratum:
    return Erratum(
        id=f"du2019-{id}", source=SOURCE, where=where, printed=printed, corrected=corrected, why=why, severity=severity
    )


ERRATA = (
    _entry(
        "2a", "substantive", "Definition 3.1 (and 3.2, 3.3), last line", "K^(H) from the covariance A^(H−1)",
        "from A^(H), the block of K^(H−1)",
        "The last hidden layer sees x^(H−1), whose covariance is K^(H−1); A^(H−1) is that of the layer before, and "
        "does "
        "not exist for H = 1. At H = 3, softplus, sampled networks reject the printed index.",
    ),
    _entry(
        "2b", "substantive", "Theorem 3.1, first term of the width", "n⁴/λ₀⁴, with ‖y − u(0)‖ = O(√n)",
        "n⁴ log(1/δ)/λ₀⁴",
        "‖u(0)‖ is random: ‖y − u(0)‖ = O(√n) has a probability to pay for, √log(1/δ) as a is Gaussian.",
    ),
    _entry(
        "2c", "constant", "Lemma 3.1, C", "C = c_σL(2|σ(0)|√(2/π) + 2L)", "3L in place of 2L",
        "The proof needs L|α + 1| ≤ 3L for α ≤ 2. The identity violates the printed one: |E σ(αX)² − 1| = (α + 1)|α "
        "− 1|.",
    ),
    _entry(
        "2d", "constant", "Lemma 3.1, variance", "no factor c_σ², last term 512L⁴", "c_σ² kept, 48L⁴",
        "The variance of c_σσ² carries c_σ²; E (Lαz)⁴ = 3L⁴α⁴ ≤ 48L⁴ for α ≤ 2.",
    ),
    _entry(
        "2e", "constant", "Lemma 3.7, step size", "η of order λ₀/(n²H²c_x^(2H) g_{2c_x}(H))", "g_{2c_x}(H)²",
        "‖x^(h)(k+1) − x^(h)(k)‖ carries g once and enters squared. Lemma 3.6 does not imply it: g_{2c_x}(H) ≥ "
        "(2c_x)^(H−1) can "
        "exceed H²c_x^H. In 2^O(H) the difference disappears.",
    ),
    _entry(
        "2f", "substantive", "Lemma 3.22", "entrywise error cλ₀/n², with m of order n² log/λ₀²",
        "entrywise error cλ₀/n",
        "‖·‖ ≤ n max|·| asks for λ₀/n only, which is what that m gives; λ₀/n² would cost n⁴.",
    ),
    _entry(
        "2g", "typo", "Lemma 3.22", "K̂^(H−1) = K̂^(H−1) E[·]", "K̂^(H) = c_σ K̂^(H−1) E[σ′σ′]",
        "The last line of the definition.",
    ),
    _entry(
        "2h", "typo", "section 3.4, gradient", "x^(h−1) aᵀ ∏_{k=h+1}^H (·) J^(h)",
        "δ^(h) x^(h−1)ᵀ, product from H to h + 1",
        "The gradient has the shape of W^(h), m × m, and J^(H) stands next to a.",
    ),
    _entry(
        "2i", "typo", "Lemma 3.4, last display", "a_{2,0}² before both terms; I₂'s second sum without its prefactor",
        "B_G = (2βc_x0 a_{4,0}² + 3√c_σL²a_{2,0}²)Lc_σc_x0²g + 12L²c_x0²c_σa_{2,0}",
        "The sum over r of a_r²|σ′ − σ′| is bounded with ‖a‖₄², and the read-out's own change with ‖a‖₂.",
    ),
    _entry(
        "2j", "typo", "Lemma 3.5, proof", "Σ η(·)¼ηλ₀R′√m", "one η", "The step size is counted once per step.",
    ),
    _entry(
        "2k", "constant", "Lemma 3.6, proof", "sum over h ≤ H; θ − sL′^(h)",
        "the block of a too; θ − sL′ for all blocks at once",
        "a trains: its block contributes O(1/√m). The mean value theorem is along the joint path.",
    ),
    _entry(
        "2l", "typo", "section 3.8", "(y − u)ᵀI₁ ≥ λ_min(G)‖e‖², then 1 − ηλ_min", "factor η; 1 − 2ηλ_min",
        "I₁ = ηGe, and ‖e + d‖² has 2eᵀd.",
    ),
    _entry("2m", "typo", "Condition 3.1", "|σ′(z) − σ′(z)|", "|σ′(z) − σ′(z′)|", "As printed it is 0."),
    _entry("2n", "typo", "Lemma 3.27, proof", "tail e^(t²/2)", "e^(−t²/2)", "A tail falls."),
    _entry(
        "2o", "typo", "Lemma 3.23", "feature σ(wᵀz)z, differentiated n − 2 times", "feature σ(wᵀz), n − 1 (or n) times",
        "This gives σ^(n−1) z^⊗(n−1), which Lemma 3.24 then uses with σ^(n−1) after n − 2 derivatives of its own "
        "feature.",
    ),
    _entry(
        "2p", "typo", "Lemma 3.31", "stated for ⊗n, used for ⊗(n − 1); v_{i,p}/v_{1,1}", "⊗(n − 1); v_{i,p}/v_{i,1}",
        "The proof gives n − 1 too, by induction from n = 2 with power 1.",
    ),
    _entry("2q", "typo", "Proposition 3.1", "refers to (3.8)", "(3.7)", "(3.8) is the definition for the residual network."),
    _entry(
        "3a", "substantive", "Lemma 3.8", "‖σ(Wx)‖ ≤ c_{w,0}L√m‖x‖", "+ |σ(0)|√m",
        "False where σ(0) ≠ 0 (softplus: σ(0) = ln 2). With s = |σ(0)|/(c_{w,0}L): ‖x^(h)‖ ≤ (2 + s)e^(c_res "
        "c_{w,0}L), and from "
        "below (½ + s)(1 − c_res c_{w,0}L/H)^(H−1) − s, which may be negative. For softplus ½ itself, as all "
        "entries only grow.",
    ),
    _entry(
        "3b", "constant", "Lemma 3.8", "lower bound ½e^(−c_res c_{w,0}L)", "for c_res c_{w,0}L ≤ 1",
        "(1 − x/H)^H < e^(−x). With the H − 1 factors that there are, it is right for x ≤ 1, and not at x = 1.9, H "
        "= 2.",
    ),
    _entry(
        "3c", "constant", "Lemma 3.8", "1.99 ≤ c_{w,0} ≤ 2.01", "c_{w,0} > 2, here 2.1; 1 + √(d/m) in layer 1",
        "‖W(0)‖/√m tends to 2: below it the bound fails, at 2.01 it needs a very large m.",
    ),
    _entry(
        "3d", "substantive", "Lemma 3.12", "every weight moves by O(1/H)",
        "the residual layers do; the read-out and layer 1 have no factor 1/H",
        "∂f/∂a = x^(H), and W^(1) is followed by no c_res/H. For a the proof's own 2ηc_x0√n‖e‖ is below its ηQ′ "
        "only while H "
        "≤ 2c_res a_{2,0}Le^(2c_res c_{w,0}L). Softplus, m = 1000: the gradient in a over √n‖e‖ is 1.2 at H = 4 and "
        "1.3 at 64.",
    ),
    _entry(
        "3e", "substantive", "Theorem 3.2", "n⁴/(λ₀⁴H⁶), n²/(λ₀²H²), η = O(λ₀H²/n²), no δ in the first two terms",
        "n⁴ log(1/δ)/(λ₀⁴H⁴), n² log(1/δ)/λ₀², η = O(λ₀/n²)",
        "What the same proof gives without the 1/H of 3d. As λ₀ falls like 1/H², still polynomial in H.",
    ),
    _entry(
        "3f", "substantive", "Lemma 3.11", "‖G^(H)(k) − G^(H)(0)‖ ≤ λ₀/2", "≤ λ₀/4",
        "With λ_min(G^(H)(0)) ≥ ¾λ₀ the printed level leaves λ₀/4, and the step of the induction needs λ₀/2.",
    ),
    _entry(
        "3g", "substantive", "Definition 3.2", "cross terms as a product of (c_res/H) b_i σ(u) and (c_res/H) b_j σ(v)",
        "(c_res/H)(b_i E σ(v) + b_j E σ(u))",
        "The square of x + (c_res/H)σ has each state's mean times the other's σ. At H = 3, softplus, c_res = ½ the "
        "product gives "
        "K^(2)_ii = 1.0436 where networks have 1.2512. With own-variable pairing sampled networks reject unequal "
        "norms.",
    ),
    _entry(
        "3h", "substantive", "Lemma 3.25, Proposition 3.2",
        "a chain of lower bounds down to K^(0); c_H λ(K^(0)); K_ii ≤ c_x0",
        "down to K^(1): κ₁ = c_σ min λ_min(Cov(σ(u_i), σ(u_j))); no c_H; c_x0²",
        "Layer 1 has no skip connection. Three inputs, softplus: λ_min(K^(0)|_ij) = 1/3, and K^(1) has pairs with "
        "0.1035.",
    ),
    _entry(
        "3i", "typo", "section 3.5, gradient", "Σ(y_i − u_i); one formula for all h", "(u_i − y_i); h = 1 by itself",
        "Layer 1 is not residual.",
    ),
    _entry(
        "3j", "typo", "Lemmas 3.10-3.13, proofs",
        "recursion of g(h) without c_res; h = 1 without L; λ^(3/2); 2 for 4 in Q′; "
        "‖L′‖ ≤ λ₀Q′; e^(2Lc_{w,0}); a_{4,0}² lost", "c_res, L, 4, a_{4,0}² inserted; ‖L′‖ ≤ Q′",
        "By the lines before them.",
    ),
    _entry(
        "4a", "substantive", "Definition 3.3", "K^(1) without the sum over a patch; H^(h) = K^(h−1) + ...",
        "a recursion on the pixels' Gram S, covariances from the patches' P = 𝒫(S)",
        "The skip connection adds pixels, the filters see patches: as printed the two are mixed.",
    ),
    _entry(
        "4b", "substantive", "Definition 3.3", "K_{ij,lr} = tr(H_{ij,D_lD_r})", "Σ_o S_{l+o,r+o}",
        "At the border D_l and D_r are padded differently: the trace has to be aligned by offset, P_13 = S_13 and "
        "not S_12 + S_23.",
    ),
    _entry(
        "4c", "substantive", "Definition 3.3", "b_i paired with u, b_j with v", "b_i with v, b_j with u", "As 3g.",
    ),
    _entry(
        "4d", "substantive", "Definition 3.3", "K^(H) without c_res²/H², from A^(H−1)", "with it, from A^(H)",
        "(3.14) has the factor. Without it sampled networks are off by 1 − c_res²/H², 36 standard errors.",
    ),
    _entry(
        "4e", "substantive", "Lemma 3.15", "m = Ω(p²n/(c² δ)), c = c_{σ,1/√p}", "c² in the numerator",
        "c is 1/min E σ²: where the smallest patch gives little, more neurons are needed, not fewer.",
    ),
    _entry(
        "4f", "substantive", "Lemma 3.15", "‖x^(1)‖² ≤ qL²c_σc_{w,0}²", "‖x^(1)‖ ≤ √c_σ(|σ(0)|√p + Lc_{w,0}√q)",
        "As 3a.",
    ),
    _entry(
        "4g", "substantive", "Theorem 3.3", "n⁴/(λ₀⁴H²) as second term; 1/H in all weights",
        "n² log(1/δ)/λ₀² and n⁴ log(1/δ)/(λ₀⁴H⁴), poly(p)",
        "As printed it makes the first term superfluous; then 3d.",
    ),
    _entry("4h", "substantive", "Lemma 3.18", "level λ₀/2", "λ₀/4", "As 3f."),
    _entry(
        "4i", "substantive", "section 3.13", "no proof that λ₀ > 0",
        "an assumption; enough is one pixel with pairwise non-parallel patches",
        "K^(H) is a sum over pixels of positive semidefinite matrices, and that pixel's is definite by Proposition "
        "3.2.",
    ),
    _entry(
        "4j", "typo", "Lemmas 3.19-3.21", "2 for 4, an exponent without c_res, a(k) with x(k+1)", "as 3j",
        "By the lines before them.",
    ),
    _entry(
        "4k", "constant", "Lemma 3.18, proof", "patches bounded by c_x0; absolute value outside a double sum",
        "‖φ(x)‖ ≤ √q c_x0: a factor q, and √q in the change of the pre-activations; absolute value inside",
        "A pixel lies in up to q patches. The source treats q as a constant.",
    ),
    _entry(
        "5a", "substantive", "Theorem 3.4, A_(h)", "A = 1 + max{‖𝒟‖, ‖𝒟·𝒟ᵀ‖}", "without 1 +",
        "Remark 3.7 has 0 (fully connected) and 1 (residual); with the 1 the residual product is at least 2^(H−2), "
        "no polynomial.",
    ),
    _entry(
        "5b", "substantive", "Theorem 3.4, 𝓔", "a product over the layers",
        "Σ_j ε_j ∏_{l>j} κ_l, with 2CAB and 2CA√· in κ",
        "Every layer adds its own error. Residual: O(1) only because the later fluctuations carry c_res/H.",
    ),
    _entry(
        "5c", "constant", "Theorem 3.4, proof",
        "residual summands identically distributed; (3.17) with X_iX_jᵀ misprinted",
        "independent only, given the layers before",
        "The skip connection makes each neuron's mean its own; Bernstein needs m above the logarithm.",
    ),
    _entry(
        "5d", "constant", "Lemmas 3.28, 3.29", "σ(αz) for N(0, α); derivatives bounded by 1/c, 1/c²; ∂ρ/∂A_11 dropped",
        "σ(√α z); |F(A) − F(B)| ≤ (L² + β(|σ(0)| + Ls√(2/π)))max|A − B|",
        "By Price's theorem ∂F/∂A_12 = E σ′σ′ and ∂F/∂A_11 = ½E σ″σ, with no lower bound on the variances. For "
        "softplus at ((1.2, "
        "0.8), (0.8, 0.5)) they are 0.27148 and 0.07802.",
    ),
)  # fmt: skip

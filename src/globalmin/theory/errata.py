"""What is wrong as printed, what is used instead, and why: data, shown by certificates, reports and docs."""

import dataclasses
import difflib


@dataclasses.dataclass(frozen=True)
class Erratum:
    """One correction of a source that the code relies on."""

    id: str  # unique: source key and number, e.g. "ling2023-B5"
    source: str
    where: str
    printed: str
    corrected: str
    why: str
    severity: str  # "substantive": a step fails or a condition changes; "constant"; "typo"


DU2019 = "Du, thesis CMU-ML-19-102, chapter 2"
GAO2022 = "Gao et al., ICLR 2022"
LING2023 = "Ling et al., AISTATS 2023"

_ALL = (
    Erratum(
        id="du2019-1a",
        source=DU2019,
        where="Theorems 2.2 and 2.3, width",
        printed="m = Ω(n⁶/(λ₀⁶δ³))",
        corrected="m = Ω(n⁶/(λ₀⁴δ³)); with constants m > 512·27/π (flow) or 8192·27/π (descent) times (C²+½)n⁶/(λ₀⁴δ³)",
        why="R′ < R gives the fourth power of λ₀, and the sentence after Theorem 2.2 has it so; the sixth "
        "power would also suffice (λ₀ ≤ ½), at a width that is larger by 1/λ₀².",
        severity="substantive",
    ),
    Erratum(
        id="du2019-1b",
        source=DU2019,
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
        source=DU2019,
        where="section 2.3.1, radius of the neurons under gradient descent",
        printed="R = cλ₀/n²",
        corrected="R = cδλ₀/n², explicitly √(2π)δ′λ₀/(32n²) with δ′ = δ/3",
        why="The count of neurons near a kink comes from Markov's inequality and carries 1/δ; without δ in R "
        "the bound Cn²R/δ ≤ λ₀/8 fails for small δ.",
        severity="substantive",
    ),
    Erratum(
        id="du2019-1d",
        source=DU2019,
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
        source=DU2019,
        where="Lemma 2.1, proof",
        printed="δ′ = n²δ",
        corrected="δ′ = δ/n²",
        why="A union over the n² entries divides the failure probability.",
        severity="typo",
    ),
    Erratum(
        id="du2019-1f",
        source=DU2019,
        where="after Lemma 2.4, size of the initial residual",
        printed="E‖y − u(0)‖² = Σ(y_i² + y_i E f + E f²) = Σ(y_i² + 1)",
        corrected="E‖y − u(0)‖² = Σ(y_i² + ½)",
        why="The cross term −2y_i E f vanishes, and E max(w·x, 0)² = ½ for a unit input. The printed sum is an "
        "upper bound.",
        severity="constant",
    ),
    Erratum(
        id="du2019-1g",
        source=DU2019,
        where="Lemma 2.4, proof",
        printed="‖w_r(t₀) − w_r(0)‖² = R",
        corrected="‖w_r(t₀) − w_r(0)‖ = R",
        why="R bounds the distance, not its square.",
        severity="typo",
    ),
    Erratum(
        id="du2019-1h",
        source=DU2019,
        where="Corollary 2.1, proof",
        printed="‖y − u(k′)‖ inside the sum over k′, beside its decay factor",
        corrected="‖y − u(0)‖ inside the sum",
        why="The decay is already in the factor (1 − ηλ₀/2)^{k′/2}, whose sum is at most 4/(ηλ₀).",
        severity="typo",
    ),
    Erratum(
        id="du2019-1i",
        source=DU2019,
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
        source=DU2019,
        where="Theorems 2.2 and 2.3, probability",
        printed="each lemma with probability 1 − δ, the theorem with the same δ",
        corrected="three events with δ′ = δ/3 each",
        why="The proof needs all of them at once: H(0) near H^∞, few neurons near kinks, a bounded initial residual.",
        severity="constant",
    ),
    Erratum(
        id="du2019-1k",
        source=DU2019,
        where="Theorem 2.2, the flow itself",
        printed="an ordinary differential equation, solved classically",
        corrected="a differential inclusion",
        why="The gradient jumps where a neuron crosses its kink. Existence and the chain rule along such "
        "solutions are taken for granted, here as in the source.",
        severity="constant",
    ),
    Erratum(
        id="gao2022-A1",
        source=GAO2022,
        where="equation (16), the matrix Q",
        printed="(I − gDA)⁻¹u in the first factor, without the transpose",
        corrected="(I − gAᵀD)⁻¹u in both factors; r_i = D_i(I − gAᵀD_i)⁻¹u",
        why="The adjoint of the equilibrium is a solve with Aᵀ. As printed Q is not symmetric, and H misses the "
        "Gram matrix of the autodiff Jacobian by 0.5 to 1.2% at m = 50, where the corrected one agrees to "
        "6e-16.",
        severity="substantive",
    ),
    Erratum(
        id="gao2022-A2",
        source=GAO2022,
        where="Lemma 2.3 (ii)",
        printed="a lower bound on λ_min(I − gDA)",
        corrected="a lower bound on σ_min(I − gDA), 1 − g‖A‖",
        why="DA is not symmetric: its eigenvalues bound no inverse. Witness: gDA = ((0, 0.9), (0, 0)) has I − gDA"
        " with both eigenvalues 1 and σ_min = 0.647.",
        severity="typo",
    ),
    Erratum(
        id="gao2022-A3",
        source=GAO2022,
        where="Lemma 3.4, proof and radius",
        printed="‖relu(XWᵀ) − relu(XW₀ᵀ)‖ ≤ ‖X‖‖W − W₀‖ in operator norm; R = √m λ₀/(16c‖X‖²)",
        corrected="the same in Frobenius norm; R′ = ((√3 − √2)/2)√(mλ₀)/‖X‖ for ‖W − W₀‖_F",
        why="An entrywise 1-Lipschitz map is 1-Lipschitz in Frobenius norm only. Witness: Gaussian data, n = "
        "1000, d = 784, m = 2000: ‖relu(XWᵀ)‖ = 565 and ‖X‖‖W‖ = 153; W = 1.1W₀ scales both sides. The "
        "corrected radius has no c and a better power of λ₀.",
        severity="substantive",
    ),
    Erratum(
        id="gao2022-A4",
        source=GAO2022,
        where="Lemma 3.5 (ii) and (iii), the induction",
        printed="‖u(t)‖ ≤ 16c√n‖r₀‖/λ₀ and ‖v(t)‖ ≤ 8c√n‖r₀‖/λ₀ for all t ≥ 0",
        corrected="‖u(t)‖, ‖v(t)‖ ≤ 2√m, with m ≥ max(64c²n/λ₀², 5702‖X‖⁴/λ₀³)‖r₀‖²",
        why="‖u(0)‖ = √m, and the printed bound does not grow with m: its proof needs m ≤ 64c²n‖r₀‖²/λ₀², the "
        "bound on W needs m ≥ 2048c²n‖X‖²‖r₀‖²/λ₀³, and no m has both as ‖X‖ ≥ 1 and λ₀ ≤ ½. Four inputs with"
        " λ₀ = 0.0402, ‖X‖² = 2.05, ‖r₀‖ = 2 and c = 2.1: at most 2.8e6, at least 4.5e9.",
        severity="substantive",
    ),
    Erratum(
        id="gao2022-A5",
        source=GAO2022,
        where="Theorem 3.1, width",
        printed="m = Ω((n²/λ₀²) log(n/δ))",
        corrected="the width of Lemma 3.5 as well, here (2.3)",
        why="Lemma 3.3 asks for that order, Lemma 3.5 for more: with ‖r₀‖² of order n it is n²‖X‖²/λ₀³. For the "
        "four inputs of A4 and δ = 0.1 the printed order is 3.6e4 and (2.3) 1.5e9.",
        severity="substantive",
    ),
    Erratum(
        id="gao2022-A6",
        source=GAO2022,
        where="Lemma 3.6, the last display, and Theorem 3.2",
        printed="(1 − αλ₀/2) from λ₀ − C₀c²n ≥ λ₀/2; m = Ω((n²/λ₀) log(n/δ))",
        corrected="two learning rates, or zero read-outs (Theorem A-GD), rate (1 − αλ₀/4)² for the loss; λ₀² in the "
        "width",
        why="(42) bounds what the step adds to its linear part by αC₀c²n‖r‖², of first order in α: with λ₀ ≤ ½ "
        "and c²n ≥ 1 nothing is left for C₀ > ¼, and a smaller α does not help. The term is proportional to "
        "‖u‖²/m and ‖v‖²/m, which small read-outs make small.",
        severity="substantive",
    ),
    Erratum(
        id="gao2022-A7",
        source=GAO2022,
        where="Lemmas 3.4 and 3.5, the side condition on c",
        printed="c ≳ √λ₀/‖X‖",
        corrected="no such condition; c ≥ 1",
        why="√λ₀/‖X‖ ≤ 0.71 < c always (0.14 for the four inputs of A4), and the steps that quote it do not need it.",
        severity="typo",
    ),
    Erratum(
        id="gao2022-A8",
        source=GAO2022,
        where="section 3, decay under gradient flow",
        printed="L(t) ≤ exp(−λt) L(0) from λ_min(H) ≥ λ",
        corrected="L(t) ≤ exp(−2λt) L(0)",
        why="d‖r‖²/dt = −2rᵀHr. One sample with H = λ decays as exp(−2λt) exactly; the printed bound is true and "
        "not sharp. With λ_min(G) ≥ λ₀/2 both readings give exp(−λ₀t) once.",
        severity="constant",
    ),
    Erratum(
        id="gao2022-A9",
        source=GAO2022,
        where="Lemma 3.2, proof",
        printed="a power k with a_k ≠ 0 and large; “≠ 0” for the form; X^{*k} of unspecified shape",
        corrected="k even (or 1); “> 0”; X^{*k} in R^{n × d^k}",
        why="The Hermite coefficients of the ReLU vanish at every odd k ≥ 3, so k₀ must be taken even. With ϱ = "
        "max|x_i·x_j| the proof then gives λ₀ ≥ max over even k of a_k²(1 − (n − 1)ϱ^k).",
        severity="typo",
    ),
    Erratum(
        id="gao2022-A10",
        source=GAO2022,
        where="sections 2 and 3, the gradient flow itself",
        printed="an ordinary differential equation with the chain rule, taken for granted",
        corrected="the chain rule for path-differentiable functions, a.e. along absolutely continuous curves",
        why="The gradient jumps at the kinks of the ReLU, at which trained pre-activations slide. Any value of "
        "relu′(0) in [0, 1] makes the implicit gradient a conservative field, which is what the proof needs.",
        severity="constant",
    ),
    Erratum(
        id="ling2023-B1",
        source=LING2023,
        where="Assumption 2, inputs",
        printed="x_i ⊥ x_j for i ≠ j",
        corrected="x_i and x_j not parallel; for λ_* > 0 it is enough that no two coincide",
        why="The proofs use |x_i·x_j| < d only. An opposite pair is harmless too: x_i·x_j = −d gives cos θ = "
        "−0.9194 and K_ij = 0.00749 at σ_w² = 0.08.",
        severity="substantive",
    ),
    Erratum(
        id="ling2023-B2",
        source=LING2023,
        where="Lemma 1, operator norm at initialisation",
        printed="‖W‖ ≤ 2√2 σ_w with probability ≥ 1 − exp(−Ω(m))",
        corrected="‖W‖ ≤ √2 σ_w (2 + t) with probability ≥ 1 − 2 exp(−mt²/2)",
        why="2√2 σ_w is where the spectrum ends in the limit, and finite matrices fluctuate across it: the "
        "printed bound holds with probability about 0.85 at every width.",
        severity="substantive",
    ),
    Erratum(
        id="ling2023-B3",
        source=LING2023,
        where="appendix, the factor R of the Jacobian",
        printed="R = (a ⊗ I_n) J⁻¹ D",
        corrected="R = (I_n ⊗ aᵀ) J⁻¹ D, of shape n × nm",
        why="The read-out acts on each sample's own features; block i is the row D_i(I − WᵀD_i)⁻¹a.",
        severity="typo",
    ),
    Erratum(
        id="ling2023-B4",
        source=LING2023,
        where="depth recursion (13)",
        printed="ρ^(l−1) and K_ij^(l−1) in the normalisation",
        corrected="cos θ^(l) = (1 − 1/ρ_l) Q(cos θ^(l−1)) + x_i·x_j/(dρ_l), ρ_l = (1 − σ_w^{2l})/(1 − σ_w²)",
        why="The variance of the l-th pre-activation is σ_w² K_ii^(l−1) + 1 = ρ_l, diagonal entry and index l.",
        severity="typo",
    ),
    Erratum(
        id="ling2023-B5",
        source=LING2023,
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
        source=LING2023,
        where="Theorem 1, last line of the proof",
        printed="1 − η(λ₀ − 4C₂) ≤ 1 − ηλ₀/2 from (9) with factor 4, C₂ = (c_w² + c_u²)‖X‖_F²",
        corrected="factor 8 in (9)",
        why="λ₀ ≥ 4C₂ leaves 1 − η(λ₀ − 4C₂) ≤ 1, no decrease at all; 4C₂ ≤ λ₀/2 needs 8.",
        severity="substantive",
    ),
    Erratum(
        id="ling2023-B7",
        source=LING2023,
        where="Theorem 1, travel of U and a, and (19)",
        printed="‖U − U(0)‖ ≤ δ by (8), ‖a − a(0)‖ ≤ δ by (9); exponent s in (19)",
        corrected="both by (7); exponent s + 1",
        why="(7) has the maximum of c_w, c_u, c_a for this purpose; the loss after step s has contracted s + 1 times.",
        severity="typo",
    ),
    Erratum(
        id="ling2023-B8",
        source=LING2023,
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
        source=LING2023,
        where="appendix C.2, bound on |cos θ|",
        printed="=",
        corrected="≤",
        why="The triangle inequality was used.",
        severity="typo",
    ),
    Erratum(
        id="ling2023-B10",
        source=LING2023,
        where="appendix E, definition of Ĝ",
        printed="w ~ N(0, I)",
        corrected="w ~ N(0, 2I)",
        why="What follows uses the variance 2 of the initialisation; as defined, Ĝ would be half as large.",
        severity="constant",
    ),
    Erratum(
        id="ling2023-B11",
        source=LING2023,
        where="inequality (23)",
        printed="no factor 1/m",
        corrected="1/m in front of the Gram matrices",
        why="The entries of G grow like m, those of K do not.",
        severity="typo",
    ),
    Erratum(
        id="ling2023-B12",
        source=LING2023,
        where="Lemma 9, size of the net",
        printed="exponent O(1/ε)",
        corrected="exponent O(l log(1/ε))",
        why="A net of mesh ε in a 2l-dimensional ball has (1 + 2/ε)^{2l} points.",
        severity="constant",
    ),
    Erratum(
        id="ling2023-B13",
        source=LING2023,
        where="Lemma 4, shape of M",
        printed="2l + d + 2 columns",
        corrected="2l + d columns",
        why="Its four blocks have 2(l − 1), 1, 1 and d columns.",
        severity="typo",
    ),
)

ERRATA: dict[str, Erratum] = {entry.id: entry for entry in _ALL}


def erratum(id: str) -> Erratum:
    """The erratum of that id. **Raises:** `ValueError` that names the nearest ids if there is none."""
    if id not in ERRATA:
        near = difflib.get_close_matches(id, ERRATA, n=3)
        advice = f"did you mean {' or '.join(near)}?" if near else "`globalmin systems --errata` lists them"
        raise ValueError(f"erratum: a known id expected, {id!r} came; {advice}")
    return ERRATA[id]

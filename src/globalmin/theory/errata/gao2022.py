"""Corrections of Gao et al. (2022), implicit ReLU networks."""

from .base import Erratum

SOURCE = "Gao et al., ICLR 2022"

ERRATA = (
    Erratum(
        id="gao2022-A1",
        source=SOURCE,
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
        source=SOURCE,
        where="Lemma 2.3 (ii)",
        printed="a lower bound on λ_min(I − gDA)",
        corrected="a lower bound on σ_min(I − gDA), 1 − g‖A‖",
        why="DA is not symmetric: its eigenvalues bound no inverse. Witness: gDA = ((0, 0.9), (0, 0)) has I − gDA"
        " with both eigenvalues 1 and σ_min = 0.647.",
        severity="typo",
    ),
    Erratum(
        id="gao2022-A3",
        source=SOURCE,
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
        source=SOURCE,
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
        source=SOURCE,
        where="Theorem 3.1, width",
        printed="m = Ω((n²/λ₀²) log(n/δ))",
        corrected="the width of Lemma 3.5 as well, here (2.3)",
        why="Lemma 3.3 asks for that order, Lemma 3.5 for more: with ‖r₀‖² of order n it is n²‖X‖²/λ₀³. For the "
        "four inputs of A4 and δ = 0.1 the printed order is 3.6e4 and (2.3) 1.5e9.",
        severity="substantive",
    ),
    Erratum(
        id="gao2022-A6",
        source=SOURCE,
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
        source=SOURCE,
        where="Lemmas 3.4 and 3.5, the side condition on c",
        printed="c ≳ √λ₀/‖X‖",
        corrected="no such condition; c ≥ 1",
        why="√λ₀/‖X‖ ≤ 0.71 < c always (0.14 for the four inputs of A4), and the steps that quote it do not need it.",
        severity="typo",
    ),
    Erratum(
        id="gao2022-A8",
        source=SOURCE,
        where="section 3, decay under gradient flow",
        printed="L(t) ≤ exp(−λt) L(0) from λ_min(H) ≥ λ",
        corrected="L(t) ≤ exp(−2λt) L(0)",
        why="d‖r‖²/dt = −2rᵀHr. One sample with H = λ decays as exp(−2λt) exactly; the printed bound is true and "
        "not sharp. With λ_min(G) ≥ λ₀/2 both readings give exp(−λ₀t) once.",
        severity="constant",
    ),
    Erratum(
        id="gao2022-A9",
        source=SOURCE,
        where="Lemma 3.2, proof",
        printed="a power k with a_k ≠ 0 and large; “≠ 0” for the form; X^{*k} of unspecified shape",
        corrected="k even (or 1); “> 0”; X^{*k} in R^{n × d^k}",
        why="The Hermite coefficients of the ReLU vanish at every odd k ≥ 3, so k₀ must be taken even. With ϱ = "
        "max|x_i·x_j| the proof then gives λ₀ ≥ max over even k of a_k²(1 − (n − 1)ϱ^k).",
        severity="typo",
    ),
    Erratum(
        id="gao2022-A10",
        source=SOURCE,
        where="sections 2 and 3, the gradient flow itself",
        printed="an ordinary differential equation with the chain rule, taken for granted",
        corrected="the chain rule for path-differentiable functions, a.e. along absolutely continuous curves",
        why="The gradient jumps at the kinks of the ReLU, at which trained pre-activations slide. Any value of "
        "relu′(0) in [0, 1] makes the implicit gradient a conservative field, which is what the proof needs.",
        severity="constant",
    ),
)

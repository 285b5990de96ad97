"""Corrections of chapter 6 of Du's thesis (one convolutional filter)."""

from .base import Erratum

SOURCE = "Du, thesis CMU-ML-19-102, chapter 6"


def _entry(number: int, where: str, printed: str, corrected: str, why: str, severity: str) -> Erratum:
    return Erratum(f"du2018-filter-6.{number}", SOURCE, where, printed, corrected, why, severity)


ERRATA = (
    _entry(
        1,
        "section 6.1",
        "patches of size k, later q and d in sums",
        "patches of p numbers; sums over (1, 1) to (k, k) with 1/k²",
        "One letter for the number of patches and another for their size.",
        "typo",
    ),
    _entry(
        2,
        "after Definition 6.1",
        "a rotation-invariant law has γ(φ) = L(φ)",
        "only at φ = 0 and π; γ = (π − φ − sin φ)/(2π) and L = (π − φ + sin φ)/(2π) for N(0, I)",
        "The wedge where both filters are active is no half-space: along its bisector there is more mass.",
        "substantive",
    ),
    _entry(
        3,
        "Theorem 6.1",
        "assumption on A_{w,w*} only; (1 + γ)w*Aw*; no condition on the step size",
        "A_{w₁,w₂} > 0 for all pairs at an angle below π; α(1 + α)w*ᵀA_{w,−w*}w*; steps that make the loss smaller",
        "The gradient jumps at w = 0; below ℓ(0) a constant small step stays away from it.",
        "substantive",
    ),
    _entry(
        4,
        "Theorem 6.2, proof",
        "−E[...]w_t in the gradient; −η⟨∇ℓ, w − w*⟩ in the recursion",
        "+A_{w,−w*}w_t; −2η⟨∇ℓ, w − w*⟩: the same step size gives 1 − (3/2)ηγ, twice the step 1 − ηγ",
        "The square expands with a factor 2.",
        "constant",
    ),
    _entry(
        5,
        "after Theorem 6.2",
        "γ/(2(L + 2β)²)",
        "γ/(2(L + 4β)²)",
        "As in the theorem.",
        "typo",
    ),
    _entry(
        6,
        "Theorem 6.7, proof",
        "angular measure dθ",
        "dθ/(2π) times the mean square of the plane's part: β = 1/(πp) on the sphere, 1/π for N(0, I)",
        "The printed β = 1 and β ≤ p are upper bounds, larger by πp.",
        "constant",
    ),
    _entry(
        7,
        "Assumption 6.3",
        "λ_max of E[ABᵀ], E[ACᵀ], E[BCᵀ]",
        "operator norms",
        "The matrices are not symmetric.",
        "substantive",
    ),
    _entry(
        8,
        "Theorem 6.3, proof",
        "last term of the gradient; 2β in its bound",
        "three terms, (++, −+), (+−, ++), (+−, −+); 4β",
        "Expanding (A + B)(A + C)ᵀ − E[AAᵀ] leaves ACᵀ, BAᵀ and BCᵀ.",
        "constant",
    ),
    _entry(
        9,
        "Theorem 6.3",
        "γ(θ_t) ≥ γ(φ_t) for k > 1",
        "the least γ over angles up to φ_t, and the largest L",
        "Patches at ±80° with probability ½ and both at 0° otherwise: γ(0) = 0 and γ(20°) = 0.120.",
        "substantive",
    ),
    _entry(
        10,
        "after Theorem 6.3",
        "((γ − 6L_cross)/(L + 10L_cross + 4β))² iterations",
        "the inverse",
        "Harder distributions take more steps.",
        "typo",
    ),
    _entry(
        11,
        "Theorem 6.4, step size",
        "η of the order (γ − 6L_cross)²",
        "the first power, which is what the printed T needs",
        "ηB²/γ₁ is the noise floor.",
        "constant",
    ),
    _entry(
        12,
        "Lemmas 6.2 and 6.3",
        "α = γ(φ₁) − η(L + ...)",
        "α = 2γ₁ with γ₁ = γ(φ₁) − 6L_cross",
        "A square and −6L_cross are missing.",
        "constant",
    ),
    _entry(
        13,
        "Lemma 6.2, proof",
        "(1 − ηα)^(−2T) ≤ 1 + 2ηαT; Azuma with a factor 2; ‖ξ‖ ≤ B; E[ξ_t | F_t] = 0",
        "weights (1 − 2ηγ₁)^(−t) on both sides of the comparison; exponent x²/(2c²); ‖ξ‖ ≤ 2B; F_{t−1}",
        "The inequality is reversed: 0.99^(−2000) = 5·10⁸ against 21. The condition cannot be met for the T that is needed.",
        "substantive",
    ),
    _entry(
        14,
        "Lemma 6.3, proof",
        "Markov's inequality for a difference; ηB/α",
        "Markov's inequality for ‖w_T − w*‖², so η is proportional to δ; ηB²/α",
        "The difference can be negative. With exact labels the noise vanishes at w* and the rate is linear without a floor.",
        "substantive",
    ),
    _entry(
        15,
        "Theorem 6.5",
        "γ ≥ γ_avg − 4(1 − cos ρ) and L_cross ≤ 3μ",
        "γ ≥ γ_avg − P(patches of an input disagree); L_cross ≤ 3μ only if the bound with μ holds at every angle, and then "
        "μ ≥ 2/π",
        "Two patches within 0.02 of a base at −30° or 60°: γ(π/3) = 0.125 against the printed bound 0.494, and a cross term "
        "0.125 where μ = 0. Mass at the boundary of w is not controlled by that at the boundary of w*.",
        "substantive",
    ),
    _entry(
        16,
        "section 6.3.2",
        "‖w₀ − w*‖ < ‖w*‖cos φ*",
        "‖w₀ − w*‖ < ‖w*‖sin φ*",
        "φ₀ is the arcsine of the relative distance.",
        "typo",
    ),
    _entry(
        17,
        "Theorem 6.6, proof",
        "failure probability bounded below; ‖w*‖cos φ*/2; πΓ(p/2 + 1)/Γ(p/2 + ½)",
        "success probability; cos²φ*; Γ(p/2 + 1)/(√π Γ(p/2 + ½))",
        "The density of one coordinate in a ball. The corrected bound is sharper: 0.42 instead of ¼ at α = 1/√(8πp).",
        "constant",
    ),
    _entry(
        18,
        "section 6.4",
        "the second part of the mixture cut to [−π/2, π/2]",
        "cut to a half-circle around −w*",
        "Its centre is −π.",
        "typo",
    ),
    _entry(
        19,
        "section 6.4",
        "β grows as σ → 0",
        "β stays between 0.134 and 0.159; L/γ grows",
        "Concentration along ±w* takes mass away from the boundary.",
        "substantive",
    ),
    _entry(
        20,
        "section 6.4",
        "Figures 6.3a and 6.3c for images",
        "Figures 6.3c and 6.3d",
        "As the captions have it.",
        "typo",
    ),
    _entry(
        21,
        "sections 6.3 and 6.3.1",
        "close patches have a small L_cross; the experiment with σ = 1 agrees with Theorem 6.3",
        "L_cross is at least about (k − 1)/k times the density at the boundary, however close the patches are",
        "Patches straddle the boundary at angles far below σ₂. At σ = 1, k = 5, σ₂ = 0.01: 6L_cross = 0.32 above "
        "γ(0) = 0.19, and the theorem is silent about Figure 6.3b.",
        "substantive",
    ),
)

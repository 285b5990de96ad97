"""Corrections of chapter 5 of Du's thesis (two-layer convolutional network with weight normalisation)."""

from .base import Erratum

SOURCE = "Du, thesis CMU-ML-19-102, chapter 5"


def _entry(number: int, where: str, printed: str, corrected: str, why: str, severity: str) -> Erratum:
    return Erratum(f"du2018-conv-5.{number}", SOURCE, where, printed, corrected, why, severity)


ERRATA = (
    _entry(
        1,
        "Theorem 5.1, last term of the population loss",
        "−2‖w*‖ 1ᵀa 1ᵀa*",
        "−2‖w*‖ 1ᵀa 1ᵀa*/(2π)",
        "Without the factor the loss takes negative values: −3.74 at k = 4, p = 3, v = (1, 2, −1), w* = (2, ½, 1), "
        "a = (½, −1, 2, ¼), a* = (1, −½, ¾, 3/2), where sampling and the corrected formula give 5.534.",
        "substantive",
    ),
    _entry(
        2,
        "Theorem 5.1, proof",
        "no factor ½ in front of the square; B w*",
        "½ of the bracket; B a*",
        "The loss is half the mean square, and B acts on output weights.",
        "typo",
    ),
    _entry(
        3,
        "Theorem 5.2, proof",
        "a*_i σ(Z_i w); 1/π in an expectation; w* in place of w and all signs + in the aggregate; a_j a*_j",
        "a_i σ(Z_i w); 1/(2π); w, with the signs of the gradient that the theorem states; a_i a*_j",
        "The stated gradient is right (autodiff of the corrected loss gives it); the proof's intermediate lines are not.",
        "typo",
    ),
    _entry(
        4,
        "Lemma 5.6, proof",
        "E[z_i² 1{z_1 ≥ 0}] = 1 for i ≠ 1",
        "½",
        "The half-space keeps half of the mass.",
        "typo",
    ),
    _entry(
        5,
        "equation (5.4)",
        "‖a^t‖² in the second term",
        "‖a*‖²",
        "The recursion of (a^t)ᵀa* has the teacher's length in it.",
        "typo",
    ),
    _entry(
        6,
        "after Lemma 5.3",
        "1 − η(k − π − 1)/(2π); η(k + g − 1)/2; (1ᵀa*)² − 1ᵀa* > 0",
        "1 − η(k + π − 1)/(2π); η(k + g − 1)/(2π); S² − uS ≥ 0",
        "From the gradient in a: its matrix is 11ᵀ + (π − 1)I, of largest eigenvalue k + π − 1.",
        "typo",
    ),
    _entry(
        7,
        "Theorem 5.3, β⁰",
        "min{(a⁰)ᵀa*‖w*‖, (g(φ⁰) − 1)‖a*‖²‖a*‖²}",
        "min{(a⁰)ᵀs, (g(φ⁰) − 1)‖s‖²/(π − 1)}",
        "The dimensions do not match as printed, and λ ≥ β⁰/8 needs the factor 1/(π − 1) that Corollary 5.1 has.",
        "constant",
    ),
    _entry(
        8,
        "Theorem 5.3 and Lemma 5.9, step size",
        "η of the order of β⁰cos φ⁰/M",
        "η ≤ min{2π/(k + π − 1), √2/M}",
        "The bound on ‖∇_v ℓ‖² lost a square, so the proof as written asks for β⁰cos φ⁰/(2M²). Adding up "
        "‖v‖² − 1 ≤ (ηM/2)‖v‖ instead gives ‖v‖² ≤ 2 with no reference to the start.",
        "substantive",
    ),
    _entry(
        9,
        "Theorem 5.3, assumptions",
        "‖v⁰‖ free; |1ᵀa⁰| ≤ |1ᵀa*|; nothing on the size of (a⁰)ᵀa*",
        "‖v⁰‖ = 1; |1ᵀa⁰| ≤ ‖w*‖|1ᵀa*|; (a⁰)ᵀs ≤ M",
        "The optimum is ‖w*‖a*. Lemma 5.8 starts its induction at (a⁰)ᵀs ≤ M, which the initialisation of Theorem 5.4 "
        "provides and the assumptions of Theorem 5.3 do not.",
        "substantive",
    ),
    _entry(
        10,
        "Lemma 5.5, proof",
        "a dropped term O(η⁴); λ^t ≤ M/4",
        "the dropped term is −η²λ² sin⁴φ, of order η²; λ^t ≤ M/2",
        "It has the right sign, so the lemma stands.",
        "constant",
    ),
    _entry(
        11,
        "Lemma 5.7, Corollary 5.2",
        "rate η; g(π^t); g(φ)",
        "rate η(π − 1)/(2π); g(φ^t); g(φ) − 1",
        "The decay of aᵀs in its recursion is η(π − 1)/(2π), not η.",
        "constant",
    ),
    _entry(
        12,
        "Lemma 5.8",
        "the bound with ‖w*‖² on (a^t)ᵀa*",
        "the bound is on (a^t)ᵀa*‖w*‖",
        "Both sides must scale alike in ‖w*‖.",
        "typo",
    ),
    _entry(
        13,
        "Phase I",
        "O(1/(cos φ⁰ β⁰)) steps; φ^{T₁} = Θ(1)",
        "O(1/(η cos φ⁰ β⁰)) steps; cos φ^{T₁} = Ω(1)",
        "A number of steps is inversely proportional to η; and the angle keeps falling.",
        "typo",
    ),
    _entry(
        14,
        "Lemma 5.10, proof",
        "1ᵀa* − 1ᵀa*; an equality with g constant",
        "1ᵀa* − 1ᵀa^t; an inequality",
        "g rises as the angle falls.",
        "typo",
    ),
    _entry(
        15,
        "Lemma 5.11",
        "conclusion about a⁰; no 1/(2π) at 11ᵀ; O(1/(ηε)) steps; constant 8(π − 1)/(π − 1)",
        "‖a^t − s‖ ≤ (1 − η(π − 1)/2π)^t ‖a⁰ − s‖ + (π − g(φ⁰))‖s‖/(π − 1)",
        "The proof assumes what it concludes, ‖a^t − a*‖ ≤ ε‖a*‖. The contraction holds from any start, as "
        "11ᵀ + (π − 1)I ≥ (π − 1)I and the angle does not grow.",
        "substantive",
    ),
    _entry(
        16,
        "Lemma 5.12",
        "ℓ ≤ Cε‖a*‖² with an absolute C",
        "C depends on k unless |u − S| ≤ ε‖s‖ as well; the exact loss is used",
        "(u − S)² can be k times as large as ‖a − s‖².",
        "constant",
    ),
    _entry(
        17,
        "Theorem 5.4",
        "φ⁰ = Θ(1/√p) with high probability",
        "cos φ⁰ = Θ(1/√p), with probability 1 − c for any constant c; nothing if 1ᵀa* = 0",
        "A random direction is nearly orthogonal to w*. The lower bounds on |cos φ⁰| and (a⁰)ᵀa* fail with a probability "
        "that does not fall with p. If 1ᵀa* = 0 the ball is a point.",
        "substantive",
    ),
    _entry(
        18,
        "Theorem 5.5 and its proof",
        "poly(q); invariance of g ≤ −2ρ; (a^t)ᵀa* > 0; η < (k + π − 1)/(2π); ‖a*‖₂",
        "p; g ≤ 1 − 2ρ; (a^t)ᵀa* < 0; η < 2π/(k + π − 1); ‖a*‖²; also |(a⁰)ᵀs| ≤ ‖s‖² and η ≤ 4/‖s‖²",
        "g is not negative, so g ≤ −2ρ holds for no angle unless ρ = 0; the bound on η keeps the angle from passing π.",
        "substantive",
    ),
    _entry(
        19,
        "Table 5.1",
        "ratio (1ᵀa*)²/‖a‖²; ‖a*‖ not given",
        "(1ᵀa*)²/‖a*‖²; the entries depend on ‖a*‖ and are met at ‖a*‖² = 0.3",
        "The larger ‖a*‖, the faster the filter moves against the output weights: at k = 81, ρ = 16 the probability is "
        "0.79, 0.81, 0.85 at ‖a*‖² → 0, 0.3, 1.",
        "substantive",
    ),
    _entry(
        20,
        "Lemma 5.2",
        "no condition on the step size",
        "ηλ^t ≤ 2",
        "A larger step passes w* and ends at a larger angle on the other side.",
        "substantive",
    ),
    _entry(
        21,
        "footnote 1 and (5.2)",
        "the best a is a*; teacher f(Z, v*, a*)",
        "the best a is ‖w*‖a*; the teacher is not normalised",
        "The student divides by ‖v‖ and the teacher does not.",
        "typo",
    ),
)

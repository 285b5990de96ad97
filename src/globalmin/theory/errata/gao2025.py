"""Corrections of Gao, Sun, Liu, Gao (2025), Neural ODEs, as stated in the slides on the paper."""

from .base import Erratum

SOURCE = "Gao, Sun, Liu, Gao, ICLR 2025 (slides)"


def _entry(number: int, severity: str, where: str, printed: str, corrected: str, why: str) -> Erratum:
    return Erratum(f"gao2025-C{number}", SOURCE, where, printed, corrected, why, severity)


ERRATA = (
    _entry(
        1, "typo", "backward step of the residual network",
        "λ^{l−1} = λ^l + (T/L) diag(φ′(h^{l−1})) Wᵀ λ^l",
        "λ^{l−1} = λ^l + (T/L)(σ_w/√n) diag(φ′(h^{l−1})) Wᵀ λ^l",
        "The forward step has σ_w/√n in front of W, so its transpose has it too; with it the formula agrees with autodiff to "
        "rounding.",
    ),
    _entry(
        2, "substantive", "why smooth activations",
        "Σ (T/L) φ′(h^l) → ∫ φ′(h_t) dt",
        "the backward pass multiplies the factors I + (T/L)(σ_w/√n) diag(φ′) Wᵀ in order; their limit is a time-ordered "
        "exponential",
        "The factors of different layers do not commute, so no sum of φ′ is the limit of the product.",
    ),
    _entry(
        3, "substantive", "training dynamics",
        "u^{k+1} − y = (I − ηH^k)(u^k − y)",
        "the same up to a remainder of size ηΛ‖θ^{k+1} − θ^k‖‖r‖/2, which the step size must pay for",
        "The outputs are not linear in θ; the printed line is the first order of the expansion.",
    ),
    _entry(
        4, "substantive", "Hermite expansion of Σ*",
        "a_n = E[φ(z)h_n(z)], z ~ N(0, 1); h_2 = x² − 1",
        "a_n = E[φ(τz)h_n(z)], τ² = C(T,T;x,x); h_2 = (x² − 1)/√2",
        "h_T has the variance τ² that the dynamics give it, 1.402 for tanh at σ_w = T = 1. With unit variance Σ*_11 comes out "
        "as 0.394 instead of 0.456 (tanh), 0.921 instead of 1.403 (softplus).",
    ),
    _entry(
        5, "substantive", "Theorem 11, Assumption 1.1",
        "Σ* positive definite if and only if infinitely many a_n ≠ 0, for x_i ≠ x_j",
        "sufficient for inputs of which no two share a line; with x_j = −x_i both infinitely many even and odd a_n are needed",
        "For odd φ and x_j = −x_i, f(−x) = −f(x) and K^∞ is singular: λ_min is 1e-16 for tanh, 2.7e-2 for softplus.",
    ),
    _entry(
        6, "substantive", "Lemma 17",
        "‖h_t‖ ≤ ‖U‖‖x‖ exp(σt‖W‖/√n)",
        "the same plus |φ(0)|√n (e^{ωt} − 1)/sup|φ′|, ω = sup|φ′|σ‖W‖/√n",
        "The proof uses |φ(z)| ≤ |z|, which needs φ(0) = 0: softplus(0) = log 2, and its states exceed the printed bound.",
    ),
    _entry(
        7, "substantive", "Lemma 18, states",
        "‖h_t − h̄_t‖ ≤ ‖θ − θ̄‖‖U‖‖W‖ exp(·)‖x‖",
        "e^{ωt}(‖dU‖ + (σt/√n)‖U‖‖dW‖)‖x‖",
        "The printed constant ‖U‖‖W‖ is of order n, which leaves no room for the 1/√n that the proof goes on with.",
    ),
    _entry(
        8, "substantive", "Lemma 18, adjoint; Lipschitz constant of the Jacobian",
        "‖∇f − ∇f̄‖ ≤ (C/√n)‖θ − θ̄‖ from Euclidean norms of v and Wᵀλ",
        "sup|φ″|‖dh‖ times the entrywise norms of v and (σ_w/√n)Wᵀλ",
        "‖φ″ ∘ dh ∘ v‖ ≤ sup|φ″|‖dh‖|v|_∞; with ‖v‖ ~ √n in the place of |v|_∞ the factor 1/√n is lost.",
    ),
    _entry(
        9, "substantive", "Lemma 16, mean-value step",
        "u^{k+1} − u^k = (∂ũ/∂θ)(θ^{k+1} − θ^k) at one point θ̃",
        "the integral of the Jacobian over the segment",
        "Each output has an intermediate point of its own; no single one serves all of them.",
    ),
    _entry(
        10, "substantive", "Lemma 16 and Theorem 3: α₀, λ₀ and the rates",
        "induction with rate α₀², conclusion α₀²/8, α₀ = σ_min of the read-out block; λ₀/8 in the lemma, λ₀/16 in the theorem",
        "sums at rate α₀²/8 give 8/(ηα₀²); 1/8 belongs to λ_min(K_θ(0)), 1/16 to λ_min(K^∞)/2; the residual's rate becomes the "
        "loss's by (1 − x)^{2k} ≤ (1 − x)^k",
        "The hypothesis that the induction uses must be the one that it proves; the block's eigenvalue is at most the whole's, "
        "so either is legitimate, but one at a time.",
    ),
    _entry(
        11, "substantive", "Lemma 16, step size",
        "η ≤ 1/‖X‖²",
        "η ≤ 1/β², β² ≥ λ_max(K_θ) near θ₀ (here c = 1 − ηβ²/2 − ηΛ‖r₀‖/2 > 0)",
        "20 samples, softplus, σ_w = 1: λ_max(K_θ) = 26.6 and ‖X‖² = 3.5, so ηλ_max = 7.6; the residual grew 6.6-fold in "
        "5 steps.",
    ),
    _entry(
        12, "constant", "constants of the induction",
        "(1 + σT + 1) replaced by σT",
        "keep the sum, or ask for σT ≥ 1",
        "For σT < 1 the parts of U and v are larger than that of W.",
    ),
    _entry(
        13, "typo", "norm of the Jacobian's difference",
        "‖∂f/∂θ − ∂f̄/∂θ‖ = sum of the three blocks' norms",
        "≤ (or the root of the sum of squares)",
        "The norm of stacked blocks is at most the sum.",
    ),
    _entry(
        14, "constant", "Lemma 16, last width assumption",
        "√n ≥ 8C(σT)³e^{CσT}‖X‖³‖r₀‖/α₀², absent from the lemma",
        "with its η the power is ‖X‖, which is implied",
        "η ≤ 1/‖X‖² takes two of the three powers.",
    ),
    _entry(
        15, "constant", "Theorem 3, distance",
        "‖θ_k − θ₀‖ ≤ C‖X‖√(L₀/λ₀)",
        "‖θ_k − θ₀‖ ≤ 2‖r₀‖/(cσ₀)",
        "The length of the path is bounded by the residual over σ_min(J), without ‖X‖; Lemma 16's bound is larger.",
    ),
    _entry(
        16, "constant", "Lemma 16, ‖X‖",
        "operator norm",
        "Frobenius norm; travel of (v, U, W) ≤ (8/λ₀)(1, 1, CσT)Ce^{CσT}‖X‖_F‖r₀‖",
        "Bounds for single samples add up to Σ|r_i|‖x_i‖ ≤ ‖X‖_F‖r‖.",
    ),
    _entry(
        17, "substantive", "Theorem 11, only if; polynomial activations",
        "finitely many a_n ≠ 0 make Σ* singular",
        "true of a line (rank d) and of residual networks of finite depth; not of the ODE with a nonlinear polynomial",
        "Σ* = Σ a_n² ρ_T^{∘n} ends at the degree, but ρ_T is the correlation of h_T, which is no polynomial of the inputs: for "
        "φ = z², σ_wT = 0.3 and six points of a half circle λ_min(Σ*) > 0 beyond its error.",
    ),
)  # fmt: skip

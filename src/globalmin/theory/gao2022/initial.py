"""Lemmas 2.1-2.3 (well-posedness) and 3.2-3.4 (the Gram matrix of the features), printed and corrected."""

import math
from typing import ClassVar

import equinox as eqx

from ..._core import Estimate, numerics
from ..._core.geometric import geometric_lower_bound
from ..certificate import Hypothesis, Promise
from ..estimated import AbstractEstimated, estimate, is_relu, optional_estimate, over
from ..positive_limit import AbstractPositiveLimit
from .start import DRAWN, GAP, NO_CONSTANT, NUMBERS_ONLY, OURS, PAPER, check_gamma, check_probability, row_norms


class InitialNorms(AbstractEstimated):
    """‖A(0)‖, ‖W(0)‖ ≤ (2 + t)√m with probability at least 1 − δ, t = √(2 ln(4/δ)/m): the c of the theorems.

    **Raises:** `ValueError` for `d` or `width` below 1, `gamma` or `delta` outside (0, 1).
    """

    source: ClassVar[str] = f"{PAPER}, norms at initialisation, with their constant"
    statement: ClassVar[str] = "‖A(0)‖, ‖W(0)‖ ≤ c√m and g‖A‖ ≤ 1/2 while ‖A‖ ≤ 2c√m, with c = 2 + t"
    errata_ids: ClassVar[tuple[str, ...]] = ("gao2022-A7",)
    assumed: ClassVar[str] = DRAWN

    d: int
    width: int
    gamma: float
    delta: float

    def __check_init__(self):
        numerics.check_count("d", self.d)
        numerics.check_count("width", self.width)
        check_gamma(self.gamma)
        check_probability(self.delta)

    @property
    def c(self) -> float:
        """2 + t."""
        return 2 + math.sqrt(2 * math.log(4 / self.delta) / self.width)

    def inequalities(self) -> tuple[Hypothesis, ...]:
        """Not more inputs than neurons, and γ ≤ min(1/2, 1/(4c))."""
        return (
            Hypothesis.at_least("m ≥ d", self.width, self.d, note="so that W is no larger than A"),
            Hypothesis.at_most(
                "γ ≤ min(1/2, 1/(4c))", self.gamma, min(0.5, 1 / (4 * self.c)), note=f"c = {self.c:.6g}"
            ),
        )


class Contraction(AbstractEstimated):
    """Lemmas 2.2 and 2.3: while sup|σ′| g‖A‖ = q < 1, the equilibrium exists, is unique, and iteration finds it.

    ‖z^l − z‖ ≤ q^l ‖σ(φ)‖/(1 − q) from z^0 = 0, and σ_min(I − gDA) ≥ 1 − q for every D of slopes.
    """

    source: ClassVar[str] = f"{PAPER}, Lemmas 2.2 and 2.3 ((ii) with σ_min)"
    statement: ClassVar[str] = "the equilibrium exists, and the fixed-point iteration converges to it linearly"
    errata_ids: ClassVar[tuple[str, ...]] = ("gao2022-A2",)
    assumed: ClassVar[str] = NUMBERS_ONLY

    operator_norm: Estimate = eqx.field(converter=estimate)  # g‖A‖
    slope: float = 1.0

    def inequalities(self) -> tuple[Hypothesis, ...]:
        """The contraction factor."""
        return (Hypothesis.at_most("sup|σ′| g‖A‖ < 1", self.slope * self.operator_norm.value, 1.0, strict=True),)

    def promises(self) -> tuple[Promise, ...]:
        """The same at every iterate, for as long as the other theorems lean on it."""
        return (Promise("sup|σ′| g‖A‖ < 1", "operator_norm", "<", 1 / self.slope, conclusion=False),)


class OneSided(AbstractEstimated):
    """The equilibrium exists and is unique while g λ_max((A + Aᵀ)/2) < 1, for slopes in [0, 1].

    Weaker than `Contraction` for slopes up to 1 (for Gaussian A the limit is √2 times further). Plain iteration need not
    converge here, forward-backward splitting does.
    """

    source: ClassVar[str] = f"{OURS}: Lemma 2.2 by monotone operators"
    statement: ClassVar[str] = "the equilibrium exists and is unique"
    assumed: ClassVar[str] = NUMBERS_ONLY

    one_sided: Estimate = eqx.field(converter=estimate)  # g λ_max((A + Aᵀ)/2)
    slope01: bool = True

    def inequalities(self) -> tuple[Hypothesis, ...]:
        """0 ≤ σ′ ≤ 1 and the one-sided norm."""
        return (
            Hypothesis.at_least("0 ≤ σ′ ≤ 1", float(self.slope01), 1.0, note="" if self.slope01 else "a slope outside"),
            Hypothesis.at_most("g λ_max((A + Aᵀ)/2) < 1", self.one_sided.value, 1.0, strict=True),
        )

    def promises(self) -> tuple[Promise, ...]:
        """The same at every iterate, for as long as the other theorems lean on it."""
        return (Promise("g λ_max(sym A) < 1", "one_sided_norm", "<", 1.0, conclusion=False),)


class PositiveLimit(AbstractPositiveLimit):
    """Lemma 3.2: λ₀ = λ_min(G^∞) > 0 when no two inputs are parallel, opposite directions included."""

    source: ClassVar[str] = f"{PAPER}, Lemma 3.2"
    statement: ClassVar[str] = "the limit kernel G^∞ is positive definite"
    errata_ids: ClassVar[tuple[str, ...]] = ("gao2022-A9",)
    assumed: ClassVar[str] = NUMBERS_ONLY


class GeometricLimit(AbstractEstimated):
    """Lemma 3.2 with a number: λ₀ ≥ max_k a_k²(1 − (n − 1)ϱ^k), ϱ = max |x_i·x_j| over i ≠ j, k = 1 and even k.

    G^∞ = Σ_k a_k² (XXᵀ)^{∘k} with the Hermite coefficients a_k of the ReLU, and each power has diagonal 1 and entries at
    most ϱ^k beside it (Gershgorin). **Raises:** `ValueError` for `n` below 1.
    """

    source: ClassVar[str] = f"{PAPER}, Lemma 3.2 and its proof, made quantitative"
    statement: ClassVar[str] = "λ₀ is at least the bound that the closest pair of directions gives"
    errata_ids: ClassVar[tuple[str, ...]] = ("gao2022-A9",)
    assumed: ClassVar[str] = NUMBERS_ONLY

    n: int
    coherence: Estimate = eqx.field(converter=estimate)  # ϱ
    norm_deviation: float = 0.0
    activation: str = "relu"

    def __check_init__(self):
        numerics.check_count("n", self.n)

    @property
    def best(self) -> tuple[int, float]:
        """(k, bound): the power with the largest bound (`kernels.geometric_lower_bound`); (0, 0.0) where there is none."""
        # Without an angle the cosine has to do: 1 − ϱ is then right to eps only, and the bound with it.
        found = geometric_lower_bound(self.n, math.acos(min(max(self.coherence.value, 0.0), 1.0)))
        return found.k or 0, found.value

    def inequalities(self) -> tuple[Hypothesis, ...]:
        """ReLU, unit rows, ϱ < 1, and a positive bound."""
        power, bound = self.best
        return (
            is_relu(self.activation),
            row_norms(self.norm_deviation),
            Hypothesis.at_most("max |x_i·x_j| < 1", self.coherence.value, 1.0, strict=True),
            Hypothesis.at_least("a_k²(1 − (n − 1)ϱ^k) > 0", bound, 0.0, strict=True, note=f"k = {power}"),
        )


class InitialGramPrinted(AbstractEstimated):
    """Lemma 3.3 as printed: an order without a constant. Undecided unless a `width_constant` is supposed."""

    source: ClassVar[str] = f"{PAPER}, Lemma 3.3 as printed"
    statement: ClassVar[str] = "‖G(0) − G^∞‖ ≤ λ₀/4, hence λ_min(G(0)) ≥ 3λ₀/4"
    errata_ids: ClassVar[tuple[str, ...]] = ("gao2022-A5",)
    assumed: ClassVar[str] = DRAWN
    larger_is_better: ClassVar[tuple[str, ...]] = ("lambda_0",)

    n: int
    width: int
    lambda_0: Estimate = eqx.field(converter=estimate)
    delta: float
    norm_deviation: float = 0.0
    activation: str = "relu"
    width_constant: float | None = None

    def __check_init__(self):
        numerics.check_count("n", self.n)
        numerics.check_count("width", self.width)
        check_probability(self.delta)

    def inequalities(self) -> tuple[Hypothesis, ...]:
        """Assumptions, λ₀ > 0 and the printed order."""
        k = self.width_constant
        needed = None if k is None else k * _over_square(self.n**2, self.lambda_0) * math.log(self.n / self.delta)
        return (
            *_data(self.activation, self.norm_deviation, self.lambda_0),
            Hypothesis.at_least("m ≥ K (n²/λ₀²) ln(n/δ)", self.width, needed, note="" if k else NO_CONSTANT),
        )


class InitialGramEntrywise(AbstractEstimated):
    """Lemma 3.3 with its constant: m ≥ 56(n²/λ₀²) ln(n(n + 1)/δ) gives ‖G(0) − G^∞‖_F ≤ λ₀/4, probability 1 − δ.

    Bernstein for each entry: X = relu(s)relu(t) has E X^q ≤ (2q − 1)!!/2 ≤ (q!/2)(3/2)2^{q−2}, so the mean of m of them is
    off by ε with probability at most 2exp(−mε²/(3 + 4ε)); ε = λ₀/(4n), and λ₀ ≤ ½.
    """

    source: ClassVar[str] = f"{PAPER}, Lemma 3.3 with the constant of an entrywise Bernstein bound"
    statement: ClassVar[str] = InitialGramPrinted.statement
    errata_ids: ClassVar[tuple[str, ...]] = ("gao2022-A5",)
    assumed: ClassVar[str] = DRAWN
    larger_is_better: ClassVar[tuple[str, ...]] = ("lambda_0",)

    n: int
    width: int
    lambda_0: Estimate = eqx.field(converter=estimate)
    delta: float
    norm_deviation: float = 0.0
    activation: str = "relu"

    def __check_init__(self):
        numerics.check_count("n", self.n)
        numerics.check_count("width", self.width)
        check_probability(self.delta)

    @property
    def needed_width(self) -> float:
        """The right side of the condition on m."""
        return 56 * _over_square(self.n**2, self.lambda_0) * math.log(self.n * (self.n + 1) / self.delta)

    def inequalities(self) -> tuple[Hypothesis, ...]:
        """Assumptions, λ₀ > 0 and the width."""
        return (
            *_data(self.activation, self.norm_deviation, self.lambda_0),
            Hypothesis.at_least(
                "m ≥ 56(n²/λ₀²) ln(n(n+1)/δ)",
                self.width,
                self.needed_width,
                note="printed: m = Ω((n²/λ₀²) ln(n/δ)), no constant",
            ),
        )


class InitialGramChernoff(AbstractEstimated):
    """Lemma 3.3 by a matrix Chernoff bound: m ≥ 32κ ln(n/δ) gives G(0) ≥ ¾G^∞ with probability 1 − δ.

    κ = λ_max(E[(sᵀG^∞⁻¹s) G^∞^{−1/2}ssᵀG^∞^{−1/2}]), s = relu(Xw), grows like n. From e^{−y} ≤ 1 − y + y²/2 on positive
    semidefinite matrices, at θ = 1/(4κ). `kappa=None`: not computed, undecided.
    """

    source: ClassVar[str] = f"{OURS}: Lemma 3.3 by a matrix Chernoff bound"
    statement: ClassVar[str] = "G(0) ≥ ¾G^∞, hence λ_min(G(0)) ≥ 3λ₀/4"
    errata_ids: ClassVar[tuple[str, ...]] = ("gao2022-A5",)
    assumed: ClassVar[str] = DRAWN
    larger_is_better: ClassVar[tuple[str, ...]] = ("lambda_0",)

    n: int
    width: int
    lambda_0: Estimate = eqx.field(converter=estimate)
    delta: float
    kappa: Estimate | None = eqx.field(converter=optional_estimate, default=None)
    activation: str = "relu"

    def __check_init__(self):
        numerics.check_count("n", self.n)
        numerics.check_count("width", self.width)
        check_probability(self.delta)

    def inequalities(self) -> tuple[Hypothesis, ...]:
        """ReLU, λ₀ > 0 and the width."""
        needed = None if self.kappa is None else 32 * self.kappa.value * math.log(self.n / self.delta)
        return (
            is_relu(self.activation),
            Hypothesis.at_least("λ₀ > 0", self.lambda_0.value, 0.0, strict=True),
            Hypothesis.at_least(
                "m ≥ 32κ ln(n/δ)", self.width, needed, note="" if self.kappa else "κ was not computed for these inputs"
            ),
        )


class InitialGramMeasured(AbstractEstimated):
    """The conclusion of Lemma 3.3 tested on this network: λ_min(G(0)) ≥ 3λ₀/4."""

    source: ClassVar[str] = f"{PAPER}, conclusion of Lemma 3.3, measured"
    statement: ClassVar[str] = "λ_min(G(0)) ≥ 3λ₀/4 at initialisation"
    errata_ids: ClassVar[tuple[str, ...]] = ("gao2022-A5",)
    assumed: ClassVar[str] = NUMBERS_ONLY
    larger_is_better: ClassVar[tuple[str, ...]] = ("features_0",)

    features_0: Estimate = eqx.field(converter=estimate)
    lambda_0: Estimate = eqx.field(converter=estimate)

    def inequalities(self) -> tuple[Hypothesis, ...]:
        """λ₀ stands on the right, so its upper end is the hard one here."""
        ratio = over(self.features_0.value, self.lambda_0.value)
        return (
            Hypothesis.at_least("λ_min(G(0)) > 0", self.features_0.value, 0.0, strict=True),
            Hypothesis.at_least(
                "λ_min(G(0)) ≥ 3λ₀/4",
                self.features_0.value,
                0.75 * self.lambda_0.value,
                note=f"λ_min(G(0))/λ₀ = {ratio:.4g}" if math.isfinite(ratio) else "λ₀ is not shown positive",
            ),
        )


class FeatureRadiusPrinted(AbstractEstimated):
    """Lemma 3.4 as printed: ‖W − W(0)‖ ≤ R = √m λ₀/(16c‖X‖²) keeps λ_min(G) ≥ λ₀/2.

    Its proof takes the ReLU for 1-Lipschitz in operator norm, in particular √m‖Φ‖ ≤ ‖X‖‖W‖; that is so in Frobenius norm
    only. `stretch` = √m‖Φ(0)‖/(‖X‖‖W(0)‖) of the network at hand puts it to the test; `None` leaves it undecided.
    """

    source: ClassVar[str] = f"{PAPER}, Lemma 3.4 as printed"
    statement: ClassVar[str] = "λ_min(G) ≥ λ₀/2 as long as ‖W − W(0)‖ ≤ R"
    errata_ids: ClassVar[tuple[str, ...]] = ("gao2022-A3", "gao2022-A7")
    assumed: ClassVar[str] = NUMBERS_ONLY
    larger_is_better: ClassVar[tuple[str, ...]] = ("lambda_0",)

    width: int
    lambda_0: Estimate = eqx.field(converter=estimate)
    norm_x: Estimate = eqx.field(converter=estimate)
    norm_w: Estimate = eqx.field(converter=estimate)
    stretch: Estimate | None = eqx.field(converter=optional_estimate, default=None)
    distance: Estimate = eqx.field(converter=estimate, default=0.0)  # ‖W − W(0)‖

    def __check_init__(self):
        numerics.check_count("width", self.width)

    @property
    def radius(self) -> float:
        """R, with c = max(1, ‖W(0)‖/√m)."""
        c = max(1.0, self.norm_w.value / math.sqrt(self.width))
        return over(math.sqrt(self.width) * max(self.lambda_0.value, 0.0), 16 * c * self.norm_x.value**2)

    def inequalities(self) -> tuple[Hypothesis, ...]:
        """λ₀ > 0, the radius, and the inequality of the proof on this network."""
        return (
            Hypothesis.at_least("λ₀ > 0", self.lambda_0.value, 0.0, strict=True),
            Hypothesis.at_most("‖W − W(0)‖ ≤ R", self.distance.value, self.radius),
            Hypothesis.at_most(
                "√m‖Φ(0)‖/(‖X‖‖W(0)‖) ≤ 1 (a step of the proof)",
                None if self.stretch is None else self.stretch.value,
                1.0,
                note="the ReLU is 1-Lipschitz in Frobenius norm, not in operator norm",
            ),
        )


class FeatureRadius(AbstractEstimated):
    """Lemma 3.4 corrected: ‖W − W(0)‖_F ≤ R′ = ((√3 − √2)/2)√(mλ₀)/‖X‖ keeps λ_min(G) ≥ λ₀/2.

    ‖Φ − Φ(0)‖_F ≤ ‖X‖‖W − W(0)‖_F/√m, so σ_min(Φ) loses at most (√(3/4) − √(1/2))√λ₀. No c, and √λ₀ instead of λ₀.
    """

    source: ClassVar[str] = f"{PAPER}, Lemma 3.4, corrected (Frobenius norm)"
    statement: ClassVar[str] = "λ_min(G) ≥ λ₀/2 as long as ‖W − W(0)‖_F ≤ R′"
    errata_ids: ClassVar[tuple[str, ...]] = ("gao2022-A3", "gao2022-A7")
    assumed: ClassVar[str] = NUMBERS_ONLY
    larger_is_better: ClassVar[tuple[str, ...]] = ("lambda_0", "features_0")

    width: int
    lambda_0: Estimate = eqx.field(converter=estimate)
    features_0: Estimate = eqx.field(converter=estimate)
    norm_x: Estimate = eqx.field(converter=estimate)
    distance: Estimate = eqx.field(converter=estimate, default=0.0)  # ‖W − W(0)‖_F

    def __check_init__(self):
        numerics.check_count("width", self.width)

    @property
    def level(self) -> float:
        """λ = min(λ₀, 4λ_min(G(0))/3), at least 0."""
        return max(min(self.lambda_0.value, 4 * self.features_0.value / 3), 0.0)

    @property
    def radius(self) -> float:
        """R′."""
        return GAP * over(math.sqrt(self.width * self.level), self.norm_x.value)

    def inequalities(self) -> tuple[Hypothesis, ...]:
        """λ > 0 and the radius."""
        return (
            Hypothesis.at_least(
                "λ > 0", self.level, 0.0, strict=True, note="λ = min(λ₀, 4λ_min(G(0))/3): λ₀ on Lemma 3.3's event"
            ),
            Hypothesis.at_most(
                "‖W − W(0)‖_F ≤ R′",
                self.distance.value,
                self.radius,
                note="printed: ‖W − W(0)‖ ≤ √m λ₀/(16c‖X‖²), operator norm",
            ),
        )

    def promises(self) -> tuple[Promise, ...]:
        """λ_min(G) ≥ λ/2 and the radius inside which it is promised."""
        me = self.worst()
        if not me.level > 0:
            return ()
        return (
            Promise("λ_min(G) ≥ λ/2 inside R′", "lambda_min_features", ">=", me.level / 2, conclusion=False),
            Promise("‖W − W(0)‖_F ≤ R′", "distance_hidden", "<=", me.radius, conclusion=False),
        )


def hermite_square(k: int) -> float:
    """a_k² of the ReLU, a_k = E[relu(z)h_k(z)] with h_k orthonormal: 1/2π, 1/4, ((k − 3)!!)²/(2πk!) for even k.

    Beyond k = 1002 a bound from below, by less than a share of 3e-4.
    """
    if k == 0:
        return 1 / (2 * math.pi)
    if k == 1:
        return 0.25
    if k % 2:
        return 0.0
    j = (k - 2) // 2
    # The central binomial coefficient over 4^j is at least 1/√(π(j + ½)), and above it by a share of 1/(8j).
    share = math.comb(2 * j, j) / 4**j if j <= 500 else 1 / math.sqrt(math.pi * (j + 0.5))
    return share / (2 * math.pi * k * (k - 1))


def _data(activation: str, deviation: float, lambda_0: Estimate) -> tuple[Hypothesis, ...]:
    return (
        is_relu(activation),
        row_norms(deviation),
        Hypothesis.at_least("λ₀ > 0", lambda_0.value, 0.0, strict=True),
    )


def _over_square(x: float, y: Estimate) -> float:
    return over(x, max(y.value, 0.0) ** 2)

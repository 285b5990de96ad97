"""Factorisation against the spec's matrices, NumPy, autodiff, and sparse against dense."""

import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.sparse
import scipy.sparse.linalg

from globalmin import train
from globalmin.objectives import DenseMatrix, Factorization, OperatorMatrix, balance, low_rank
from globalmin.systems import FactorizationSystem
from globalmin.theory.du2018_balancing import (
    BalancedDescent,
    FactorStart,
    GlobalLimit,
    GlobalLimitPrinted,
    RankOne,
    RankOnePrinted,
    RankOneStart,
    StageOne,
)

M = np.array([[2.0, 0, 1], [2, 1, 2], [0, 1, 1], [2, -1, 0]])
POINT = {
    "u": jnp.array([[0.1, 0.2], [-0.1, 0.3], [0.2, 0.0], [0.0, -0.2]]),
    "v": jnp.array([[0.2, -0.1], [0.1, 0.1], [0.0, 0.3]]),
}


def run(objective, point, epsilon=0.1, method: train.AbstractMethod = train.DESCENT, **options):
    system = FactorizationSystem(objective, epsilon)
    prepared = train.prepare_objective(system, point=point, method=method, **options)
    log = train.Log()
    for _ in train.run(prepared, log):
        pass
    return prepared, log, train.trajectory(prepared, log)


def test_check_values_of_rank_two():
    objective = Factorization(DenseMatrix(M), 2, 0.1)
    np.testing.assert_allclose(objective.sigma, [3.988524402984, 2.256473595415], rtol=1e-12)
    assert objective.matrix.norm == pytest.approx(4.582575694956, abs=1e-12)
    assert objective.rest < 1e-14
    assert float(objective.value(POINT)) == pytest.approx(10.27095, abs=1e-13)
    gradient = objective.gradient(POINT)
    moved = {name: p - 0.01 * gradient[name] for name, p in POINT.items()}
    assert float(objective.value(moved)) == pytest.approx(10.249037106794, abs=1e-11)
    np.testing.assert_allclose(
        moved["u"], [[0.10397, 0.20079], [-0.09492, 0.30466], [0.2009, 0.00402], [0.00298, -0.20278]], atol=1e-14
    )
    np.testing.assert_allclose(moved["v"], [[0.19987, -0.09381], [0.10095, 0.10484], [0.00103, 0.30749]], atol=1e-14)
    np.testing.assert_allclose(balance(moved), [[0.0100492774, 1.06347e-5], [1.06347e-5, 0.0599283867]], atol=1e-13)
    # The exact identity of a step.
    np.testing.assert_allclose(balance(moved), balance(POINT) + 1e-4 * balance(gradient), atol=1e-15)


@pytest.mark.parametrize("regularized", [False, True])
def test_gradient_against_autodiff_dense_and_operator(getkey, regularized):
    """The same value and gradient three ways: autodiff of the formula, dense, and through SciPy's products."""
    u, v = jax.random.normal(getkey(), (4, 2)), jax.random.normal(getkey(), (3, 2))

    def formula(point):
        b = point["u"].T @ point["u"] - point["v"].T @ point["v"]
        extra = jnp.sum(b**2) / 8 if regularized else 0.0
        return jnp.sum((point["u"] @ point["v"].T - M) ** 2) / 2 + extra

    point = {"u": u, "v": v}
    want, slopes = jax.value_and_grad(formula)(point)
    general = OperatorMatrix(scipy.sparse.linalg.aslinearoperator(M), float(np.linalg.norm(M)))
    for matrix in (DenseMatrix(M), OperatorMatrix(scipy.sparse.csr_array(M)), general):
        objective = Factorization(matrix, 2, 0.1, regularized=regularized)
        found = objective.step(point, (), jnp.asarray(0))
        assert float(found.loss) == pytest.approx(float(want), rel=1e-13)
        for name in point:
            np.testing.assert_allclose(found.gradient[name], slopes[name], rtol=1e-12, atol=1e-12)


def test_an_operator_descends_as_the_dense_matrix_does():
    options = {"step_size": 0.02, "epochs": 60, "looks": 3}
    dense = run(Factorization(DenseMatrix(M), 2, 0.1), POINT, **options)[2]
    sparse = run(Factorization(OperatorMatrix(scipy.sparse.csr_array(M)), 2, 0.1), POINT, **options)[2]
    np.testing.assert_allclose(sparse[1]["loss"], dense[1]["loss"], rtol=1e-11)
    np.testing.assert_allclose(sparse[0]["relative_error"], dense[0]["relative_error"], rtol=1e-10)


def test_a_large_low_rank_matrix_never_becomes_dense():
    """3000 x 2000 of rank 3 through LinearOperators: found by descent, with products and vectors only."""
    draw = np.random.default_rng(0)
    a, b = draw.normal(size=(3000, 3)), draw.normal(size=(2000, 3))
    matrix = low_rank(a, b)
    assert matrix.norm == pytest.approx(np.linalg.norm(a @ b.T), rel=1e-12)
    objective = Factorization(matrix, 3, 1e-3, accuracy=1e-5)
    np.testing.assert_allclose(objective.sigma, np.linalg.svd(a @ b.T, compute_uv=False)[:3], rtol=1e-10)
    prepared, _, (looks, _) = run(
        objective, objective.init(key=jax.random.key(0)), epsilon=matrix.norm / 2,
        step_size=0.3 / float(objective.sigma[0]), epochs=500, looks=1,
    )  # fmt: skip
    assert looks["epoch"][-1] < 500
    assert looks["relative_error"][-1] <= 1e-5
    assert prepared.theorems[0].verdict == "FAILS"  # steps of practice, above 1/β: the lemma is silent


def test_descent_finds_the_global_minimum_and_stays_balanced(getkey):
    objective = Factorization(DenseMatrix(M), 2, 0.05)
    prepared, log, (looks, steps) = run(objective, objective.init(key=getkey()), step_size=0.05, epochs=900, looks=6)
    assert looks["relative_error"][-1] < 1e-8
    assert looks["hessian_min"][-1] > -1e-9
    assert np.all(steps["balance"] <= steps["balance_bound"] * (1 + 1e-12))
    assert steps["identity_error"].max() < 1e-12
    assert np.nanmin(steps["descent_slack"]) == 0
    assert steps["alignment_u"][-1] == pytest.approx(1, abs=1e-9)
    assert train.conclude(prepared, log)["sentence"] == "held throughout"


def test_check_values_of_the_first_lemma():
    start = FactorStart(2, float(np.linalg.norm(M)), 3.988524402984, 0.0, 0.04, 0.04, 0.01, 0.1, 1.0, 1.0, 10)
    assert start.printed_step == pytest.approx(2.279399932710e-4, rel=1e-12)
    assert start.beta == pytest.approx(436.894037485, rel=1e-11)
    assert 5 * math.sqrt(2) * start.norm == pytest.approx(32.403703492, rel=1e-10)
    assert start.printed_step * start.largest == pytest.approx(9.0914e-4, rel=1e-5)


def test_the_first_lemma_is_kept_and_the_signal_does_not_grow(getkey):
    objective = Factorization(DenseMatrix(M), 2, math.sqrt(0.1 / (8 * 4 * 2)))
    prepared, log, (_, steps) = run(
        objective, objective.init(key=getkey()), method=train.DecreasingSteps(1.0),
        step_size=2.2793999327e-4, epochs=3000, looks=3,
    )  # fmt: skip
    assert [t.verdict for t in prepared.theorems] == ["HOLDS", "HOLDS", "UNDECIDED"]
    assert train.conclude(prepared, log)["sentence"] == "held throughout"
    assert np.all(np.diff(steps["loss"]) <= 0)
    assert 0 < steps["loss"][0] - steps["loss"][-1] < 1e-2  # of 10.5
    assert abs(steps["balance"][-1] - steps["balance"][0]) < 1e-8


def start_of(**changes):
    usual = {
        "rank": 2, "norm": 1.0, "largest": 0.8, "rest": 0.0, "square_u": 0.1, "square_v": 0.1, "balance": 0.05,
        "epsilon": 0.5, "step_size": 1e-4, "exponent": 1.0, "epochs": 100,
    }  # fmt: skip
    return FactorStart(**{**usual, **changes})


@pytest.mark.parametrize(
    ("changes", "failing"),
    [
        ({"rest": 0.1}, "σ_{r+1}(M) = 0, up to rounding"),
        ({"rest": 1e-8}, "σ_{r+1}(M) = 0, up to rounding"),  # rounding is 1e4 eps ‖M‖ = 2e-12
        ({"square_u": 0.6}, "‖U₀‖² ≤ ε"),
        ({"square_v": 0.6}, "‖V₀‖² ≤ ε"),
        ({"balance": 0.3}, "‖U₀ᵀU₀ − V₀ᵀV₀‖ ≤ ε/2"),
        ({"step_size": 0.1}, "η₀ < 1/β"),
        ({"step_size": -1e-4}, "η₀ > 0"),
        ({"step_size": 1e-2, "exponent": 0.0, "epochs": 1000}, "40√r‖M‖³ Σ_{t<T} η_t² ≤ ε/2"),
    ],
)
def test_the_first_lemma_is_silent_where_it_must_be(changes, failing):
    assert BalancedDescent(start_of()).verdict == "HOLDS"
    found = BalancedDescent(start_of(**changes))
    assert found.verdict == "FAILS"
    assert failing in [h.name for h in found.hypotheses() if h.verdict == "FAILS"]


def test_theorem_4_4_needs_vanishing_steps():
    assert GlobalLimit(start_of()).verdict == "HOLDS"
    assert GlobalLimit(start_of(exponent=0.0)).verdict == "FAILS"
    half = [h.name for h in GlobalLimit(start_of(exponent=0.5)).hypotheses() if h.verdict == "FAILS"]
    assert half == ["p > 1/2", "40√r‖M‖³ Σ η_t² ≤ ε/2"]
    assert GlobalLimit(start_of(exponent=0.51)).verdict == "HOLDS"
    assert GlobalLimitPrinted(start_of()).verdict == "UNDECIDED"
    assert GlobalLimitPrinted(start_of(exponent=0.75)).verdict == "FAILS"
    for epsilon in (0.0, 1.0, 2.0):
        with pytest.raises(ValueError, match=r"epsilon: a number in \(0, "):
            start_of(epsilon=epsilon)


def test_the_sum_of_squared_steps_is_never_below_the_true_one():
    for p in (0.0, 0.4, 0.5, 1.0):
        for epochs in (1, 17, 1000):
            exact = math.fsum((t + 1) ** (-2 * p) for t in range(epochs))
            assert exact <= start_of(exponent=p, step_size=1.0, epochs=epochs).squares <= exact * (1 + 1e-8)
        far = start_of(exponent=p, step_size=1.0, epochs=3_000_000)
        exact = float(np.sum(np.arange(1, 3_000_001, dtype=float) ** (-2 * p)))
        assert exact <= far.squares <= exact * (1 + 1e-6)


RANK_ONE = [  # t, α, β, α_⊥, β_⊥, h, error, ‖u‖² − ‖v‖²
    (1, 0.23956, 0.1434, 0.107487889550, 0.0994, -1.965647096, 1.965880786878, 0.03849872),
    (2, 0.267510685452, 0.190323362542, 0.107160654279, 0.098714710158, -1.949086466829, 1.949400744286, 0.037077796326),
    (10, 0.846999581330, 0.830549681969, 0.089513948742, 0.080257802392, -1.296524767099, 1.300452395226, 0.029166948729),
    (20, 1.406386007889, 1.396387523549, 0.018446330685, 0.015998025854, -0.036140125289, 0.049758465995, 0.028107817546),
    (60, 1.419192551602, 1.409252040988, 2.659752e-06, 2.004298e-06, -1.003242e-10, 4.705375e-06, 0.028116183498),
]  # fmt: skip


def rank_one(scale=0.1):
    return Factorization(DenseMatrix(2 * np.outer([0.6, 0.8, 0.0], [0.0, 1.0])), 1, scale)


def test_check_values_of_rank_one():
    objective = rank_one()
    point = {"u": jnp.array([[0.1], [0.2], [-0.1]]), "v": jnp.array([[0.1], [0.1]])}
    sign = float(jnp.sign(objective.left[0, 0]))  # the SVD's vectors have a common sign
    _, _, (_, steps) = run(objective, point, step_size=0.1, epochs=61, looks=2)
    assert abs(steps["alpha"][0]) == pytest.approx(0.22, abs=1e-13)
    for t, *want in RANK_ONE:
        found = [
            sign * steps["alpha"][t], sign * steps["beta"][t], steps["alpha_across"][t], steps["beta_across"][t],
            steps["h"][t], np.sqrt(2 * steps["loss"][t]), steps["square_u"][t] - steps["square_v"][t],
        ]  # fmt: skip
        # The spec prints 12 decimals, and 7 digits of the small ones.
        np.testing.assert_allclose(found, want, rtol=5e-7 if t == 60 else 0, atol=1e-15 if t == 60 else 2e-12)
    # ‖uvᵀ − M‖² from the reduced coordinates.
    across = steps["alpha_across"], steps["beta_across"]
    square = steps["h"] ** 2 + (steps["alpha"] * across[1]) ** 2 + (steps["beta"] * across[0]) ** 2
    np.testing.assert_allclose(2 * steps["loss"], square + (across[0] * across[1]) ** 2, rtol=1e-9)


def seeds_with_signal(objective, count):
    """Starts of which Lemma 4.5 speaks."""
    found = []
    for seed in range(60):
        point = objective.init(key=jax.random.key(seed))
        at = objective.reduced(point)
        if (
            float(at["alpha"] * at["beta"]) > 0
            and min(abs(float(at["alpha"])), abs(float(at["beta"]))) >= 0.1 * objective.scale
        ):
            found.append(point)
    return found[:count]


def test_stage_one_is_reachable_and_kept():
    draw = np.random.default_rng(1)
    u, v = draw.normal(size=50), draw.normal(size=30)
    matrix = DenseMatrix(np.outer(u / np.linalg.norm(u), v / np.linalg.norm(v)))
    objective = Factorization(matrix, 1, 0.01 / math.sqrt(50))
    for point in seeds_with_signal(objective, 3):
        prepared, log, (looks, steps) = run(objective, point, 0.5, step_size=0.1, epochs=260, looks=2)
        verdicts = {t.theorem: t.verdict for t in prepared.theorems}
        assert verdicts["StageOne"] == "HOLDS"
        assert verdicts["RankOne"] == "FAILS"
        assert train.conclude(prepared, log)["sentence"] == "held throughout"
        assert 40 < np.argmin(steps["stage_one"]) < 120  # the spec: about 60 to 95
        results = prepared.system.results(looks, steps)
        assert results["factor of the error per step near the minimum"] == pytest.approx(0.9, abs=2e-3)
        assert results["T₁"] == np.argmin(steps["stage_one"])


def rank_one_start(**changes):
    usual = {
        "sigma": 1.0,
        "rest": 0.0,
        "dimension": 100,
        "alpha": 1e-3,
        "beta": 1e-3,
        "xi": 2e-4,
        "c_init": 0.01,
        "c_step": 0.1,
    }
    return RankOneStart(**{**usual, **changes})


@pytest.mark.parametrize(
    "changes",
    [
        {"alpha": -1e-3}, {"alpha": 1e-5}, {"beta": 1e-5}, {"alpha": 0.5}, {"beta": 0.5}, {"alpha": 0.0},
        {"alpha": -1e-3, "beta": 2e-3}, {"xi": 0.03}, {"c_init": 0.1}, {"c_step": 1.5}, {"c_step": -0.1}, {"c_step": 0.0},
        {"rest": 0.2}, {"rest": 1e-8},
    ],
)  # fmt: skip
def test_stage_one_is_silent_where_it_must_be(changes):
    assert StageOne(rank_one_start()).verdict == StageOne(rank_one_start(alpha=-1e-3, beta=-1e-3)).verdict == "HOLDS"
    assert StageOne(rank_one_start(**changes)).verdict == "FAILS"


def test_the_theorem_of_rank_one_is_out_of_reach_and_not_vacuous():
    assert RankOne(rank_one_start()).verdict == "FAILS"
    tiny = rank_one_start(c_init=1e-4, alpha=1e-5, beta=1e-5, xi=2e-8, c_step=1e-5)
    assert RankOne(tiny).verdict == "HOLDS"
    assert RankOnePrinted(tiny, 1e-5).verdict != "HOLDS"


def test_the_printed_variance_misses_what_the_proof_asks_for():
    """8b, by drawing: with δ the variance ξ₀ is never below 100 c_init² σ₁, with δ² always."""
    draw, d, c = np.random.default_rng(2), 100, 0.01
    delta = c * math.sqrt(1 / d)
    unit = draw.normal(size=(4000, 2, d))
    xi = np.sum(unit[:, :, 1:] ** 2, axis=(1, 2))
    assert np.mean(delta * xi <= 100 * c**2) == 0
    assert np.median(delta * xi) / c**2 == pytest.approx(1970, rel=0.02)
    assert np.mean(delta**2 * xi <= 100 * c**2) == 1
    inside = np.all((np.abs(unit[:, :, 0]) >= 0.1) & (np.abs(unit[:, :, 0]) <= 10), axis=1)
    # 0.85 ± 4 standard errors; with the same sign half of that.
    assert abs(np.mean(inside) - 0.8471) < 4 * math.sqrt(0.13 / 4000)
    assert abs(np.mean(inside & (unit[:, 0, 0] * unit[:, 1, 0] > 0)) - 0.4236) < 4 * math.sqrt(0.25 / 4000)


def test_bad_matrices_are_one_line():
    for build, message in [
        (lambda: Factorization(DenseMatrix(M), 4, 0.1), "rank: at most 3 expected"),
        (lambda: Factorization(DenseMatrix(M), 0, 0.1), "rank: an integer"),
        (lambda: Factorization(DenseMatrix(M), 2, 0.0), "scale"),
        (lambda: Factorization(DenseMatrix(M), 2, 0.1, accuracy=1.0), "accuracy"),
        (lambda: DenseMatrix(np.zeros((3, 2))), "all entries are 0"),
        (lambda: DenseMatrix(M * np.nan), "finite entries"),
        (lambda: DenseMatrix(M.astype(np.float32)), "float64 expected"),
        (lambda: OperatorMatrix(scipy.sparse.linalg.aslinearoperator(M)), "norm: "),
        (lambda: OperatorMatrix(scipy.sparse.csr_array((3, 2))), "all entries are 0"),
    ]:
        with pytest.raises(ValueError, match=message) as raised:
            build()
        assert "\n" not in str(raised.value)


def test_where_each_condition_turns_and_what_is_promised():
    """r = 3, ‖M‖ = 2, ε = 0.5, T = 10 constant steps: drift, curvature and promises by their formulas, written anew."""
    usual = {"rank": 3, "norm": 2.0, "exponent": 0.0, "epochs": 10, "step_size": 1e-4}
    rows = {h.name: (h.lhs, h.rhs) for h in BalancedDescent(start_of(**usual)).hypotheses()}
    root = math.sqrt(3)
    assert rows["40√r‖M‖³ Σ_{t<T} η_t² ≤ ε/2"] == pytest.approx((40 * root * 8 * 10 * 1e-8, 0.25), rel=1e-8)
    assert rows["η₀ < 1/β"] == pytest.approx((1e-4, 1 / ((66 * root + 2) * 2)))
    assert rows["‖U₀‖² ≤ ε"] == (0.1, 0.5)
    assert rows["‖V₀‖² ≤ ε"] == (0.1, 0.5)
    assert rows["‖U₀ᵀU₀ − V₀ᵀV₀‖ ≤ ε/2"] == (0.05, 0.25)
    limits = {p.quantity: p.limit for p in BalancedDescent(start_of(**usual)).promises()}
    bound = pytest.approx(5 * root * 2)
    assert limits == {"balance": 0.5, "loss": 8.0, "square_u": bound, "square_v": bound, "descent_slack": 0.0}
    forever = {h.name: (h.lhs, h.rhs) for h in GlobalLimit(start_of(**{**usual, "exponent": 0.75})).hypotheses()}
    # Σ (t + 1)^(−3/2) = ζ(3/2) = 2.6123753; the tail beyond 1000 terms as an integral from 1000: 1.6e-5 too much.
    left, right = forever["40√r‖M‖³ Σ η_t² ≤ ε/2"]
    assert left is not None
    assert 0 <= left / (40 * root * 8 * 1e-8 * 2.6123753486) - 1 < 2e-5
    assert right == 0.25
    assert forever["η₀ < 1/β"] == pytest.approx((1e-4, 1 / ((66 * root + 2) * 2)))
    assert forever["p ≤ 1"] == (0.75, 1.0)
    printed = {h.name: (h.lhs, h.rhs) for h in GlobalLimitPrinted(start_of(**usual)).hypotheses()}
    assert printed["η₀ ≤ √(ε/r)/(100‖M‖^(3/2))"] == pytest.approx((1e-4, math.sqrt(0.5 / 3) / (100 * 2**1.5)))
    assert printed["p = 1"] == (0.0, 1.0)


def test_where_each_condition_of_rank_one_turns_and_what_is_promised():
    """c_init = 0.01, c_step = 0.1, σ₁ = 1, d = 100: a unit of 1e-3."""
    s = rank_one_start(beta=2e-3)
    rows = {h.name: (h.lhs, h.rhs) for h in StageOne(s).hypotheses()}
    assert rows["|α₀|, |β₀| ≥ 0.1 c_init√(σ₁/d)"] == pytest.approx((1e-3, 1e-4))
    assert rows["|α₀|, |β₀| ≤ 10 c_init√(σ₁/d)"] == pytest.approx((2e-3, 1e-2))
    assert rows["ξ₀ ≤ 200 c_init² σ₁"] == pytest.approx((2e-4, 0.02))
    assert rows["200 c_init² ≤ 1/6"] == pytest.approx((0.02, 1 / 6))
    assert rows["c_step = ησ₁ ≤ 1"] == (0.1, 1.0)
    assert rank_one_start(sigma=4.0, dimension=25).unit == pytest.approx(0.01 * 2 / 5)
    over = 1 + math.log(10 / 0.002) / math.log(1 + 0.1 / 3)
    limits = {(p.quantity, p.relation): (p.limit, p.start) for p in StageOne(s).promises()}
    assert limits == {
        ("growth", ">="): (pytest.approx(1 + 0.1 / 3), 0), ("growth", "<="): (pytest.approx(1.1), 0),
        ("xi_one", "<="): (1.0, 0), ("ratio_one", "<="): (100.0, 0), ("size_one", "<="): (1.0, 0),
        ("stage_one", "<="): (0.0, math.ceil(over)),
    }  # fmt: skip
    c_1 = 1.24988e-5
    rows = {h.name: (h.lhs, h.rhs) for h in RankOne(s).hypotheses()}
    assert rows["c_init² ≤ c₁ ln 2/400"] == pytest.approx((1e-4, c_1 * math.log(2) / 400), rel=1e-5)
    assert math.sqrt(rows["c_init² ≤ c₁ ln 2/400"][1] or 0.0) == pytest.approx(1.47e-4, rel=2e-3)
    assert rows["c_step ≤ c₁"] == pytest.approx((0.1, c_1), rel=1e-5)
    limits = {(p.quantity, p.relation): p.limit for p in RankOne(s).promises()}
    assert limits == {
        ("ratio", ">="): pytest.approx(c_1, rel=1e-5), ("ratio", "<="): pytest.approx(1 / c_1, rel=1e-5), ("h_two", "<="): 0.0,
    }  # fmt: skip
    rows = {h.name: (h.lhs, h.rhs) for h in RankOnePrinted(s, 1e-3).hypotheses()}
    assert rows["variance ≥ δ = c_init√(σ₁/d)"] == pytest.approx((1e-3, 1e-3))
    assert rows["ξ₀ ≤ 100 c_init² σ₁"] == pytest.approx((2e-4, 0.01))

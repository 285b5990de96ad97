"""Descent on objectives: any function, any method, cut anywhere, resumed, perturbed, stopped."""

import dataclasses
from typing import Any, ClassVar

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from globalmin import RESULTS, train
from globalmin.objectives import AbstractExactObjective, AbstractObjective, FunctionObjective
from globalmin.systems import AbstractObjectiveSystem
from globalmin.theory import AbstractCertificate, Hypothesis, Promise
from globalmin.train.methods import uniform_in_ball


class Quadratic(AbstractObjective):
    """½ x·Dx in a dict, the runs end at |x| ≤ accuracy."""

    scales: jax.Array
    accuracy: float = 0.0

    def init(self, *, key):
        return {"x": jax.random.normal(key, self.scales.shape), "label": 3}

    def value(self, point):
        return jnp.sum(self.scales * point["x"] ** 2) / 2

    def gradient(self, point):
        return {"x": self.scales * point["x"], "label": None}

    def measure(self, point, loss, gradient):
        return {"top": jnp.max(jnp.abs(point["x"]))}

    def derive(self, steps):
        return {"path": np.cumsum(steps["step_size"] * steps["gradient_norm"])}

    def watch(self, point, first):
        return {"moved": float(jnp.linalg.norm(point["x"] - first["x"]))}

    def reached(self, point):
        return jnp.linalg.norm(point["x"]) <= self.accuracy


class Rate(AbstractCertificate):
    source: ClassVar[str] = "test"
    statement: ClassVar[str] = "‖x_k‖ falls as (1 − ημ)^k"
    start: float
    factor: float

    def hypotheses(self):
        return (Hypothesis.at_least("μ > 0", 1.0, 0.0, strict=True),)

    def promises(self):
        return (Promise("loss at the rate", "loss", "<=", self.start, self.factor),)


class System(AbstractObjectiveSystem):
    name: ClassVar[str] = "quadratic"
    loss_name: ClassVar[str] = "½ x·Dx"
    objective: Any

    def theorems(self, question):
        start = float(self.objective.value(question.point))
        return (Rate(start, (1 - question.step_size * float(self.objective.scales.min())) ** 2),)

    def default_step_size(self, point):
        return 1 / float(self.objective.scales.max()), "1/ℓ"


SCALES = jnp.array([1.0, 2.0, 4.0])


def finished(prepared, log=None, state=None):
    log = train.Log() if log is None else log
    looks = list(train.run(prepared, log, state))
    return looks, log


def test_a_run_is_descent_with_records_looks_bounds_and_verdict(getkey):
    prepared = train.prepare_objective(System(Quadratic(SCALES)), epochs=20, key=getkey())
    looks, log = finished(prepared)
    assert prepared.step_size == 0.25
    x = np.asarray(prepared.first["x"])
    at, every = train.trajectory(prepared, log)
    for k in range(20):
        assert every["loss"][k] == pytest.approx(float(np.sum(SCALES * x**2)) / 2, rel=1e-13)
        assert every["top"][k] == pytest.approx(np.abs(x).max(), rel=1e-13)
        x = x * (1 - 0.25 * np.asarray(SCALES))
    np.testing.assert_allclose(looks[-1].state.model["x"], x, rtol=1e-13)
    np.testing.assert_allclose(every["path"], np.cumsum(0.25 * every["gradient_norm"]))
    assert at["epoch"][-1] == 20
    assert at["bound"][-1] == pytest.approx(at["loss"][0] * 0.75**40)
    assert train.conclude(prepared, log)["sentence"] == "held throughout"


def test_a_broken_promise_is_named(getkey):
    prepared = train.prepare_objective(System(Quadratic(SCALES)), epochs=20, key=getkey(), step_size=0.1)
    wrong = Rate(float(prepared.state.model["x"] @ (SCALES * prepared.state.model["x"])) / 2, 0.01).evaluate()
    prepared = dataclasses.replace(prepared, theorems=(wrong,))
    _, log = finished(prepared)
    assert train.conclude(prepared, log)["sentence"] == "first broken: loss at the rate at epoch 1"


def test_decreasing_steps(getkey):
    method = train.DecreasingSteps(0.75)
    prepared = train.prepare_objective(System(Quadratic(SCALES)), epochs=30, key=getkey(), step_size=0.3, method=method)
    looks, log = finished(prepared)
    x = np.asarray(prepared.first["x"])
    for k in range(30):
        x = x * (1 - 0.3 * (k + 1) ** -0.75 * np.asarray(SCALES))
    np.testing.assert_allclose(looks[-1].state.model["x"], x, rtol=1e-13)
    steps = train.trajectory(prepared, log)[1]["step_size"]
    np.testing.assert_allclose(steps, 0.3 * np.arange(1, 31) ** -0.75, rtol=1e-15)
    with pytest.raises(ValueError, match="exponent"):
        train.DecreasingSteps(1.5)


def test_a_run_ends_where_the_objective_says_so(getkey):
    prepared = train.prepare_objective(System(Quadratic(SCALES, 1e-3)), epochs=5000, key=getkey())
    looks, log = finished(prepared)
    end = looks[-1]
    norm = float(jnp.linalg.norm(end.state.model["x"]))
    assert norm <= 1e-3 < norm / 0.75  # the slowest coordinate shrinks by 0.75: one step before it was above
    assert end.epoch < 100
    assert end.message == ""
    assert train.scalars(log.records)["epoch"][-1] == end.epoch - 1
    # Going on from there takes no step and yields nothing new.
    again, _ = finished(prepared, log, end.state)
    assert again == []


def test_bits_do_not_depend_on_the_cut_and_perturbations_neither(getkey):
    objective, key = Quadratic(SCALES), getkey()
    method = train.PerturbedDescent(0.1, 0.05, 3, getkey())
    start = train.start_at(objective, objective.init(key=key), method)
    whole, records = train.minimise(objective, start, 0.2, 40, method)
    state, pieces = start, []
    for epochs in (1, 7, 32):
        state, piece = train.minimise(objective, state, 0.2, epochs, method)
        pieces.append(piece)
    np.testing.assert_array_equal(whole.model["x"], state.model["x"])
    joined = train.scalars(pieces)
    np.testing.assert_array_equal(joined["perturbed"], records.values["perturbed"])
    assert state.memory == whole.memory == int(np.flatnonzero(records.values["perturbed"])[-1])


def test_perturbed_descent_is_algorithm_two(getkey):
    """Against a plain loop: when it perturbs, by what, and where the gradient is taken."""
    objective, key = Quadratic(SCALES), getkey()
    first = objective.init(key=getkey())
    found = train.perturbed_gradient_descent(
        objective, first, step_size=0.2, radius=0.1, threshold=0.05, wait=3, epochs=40, key=key
    )
    x, last, perturbed = np.asarray(first["x"]), -4, []
    for t in range(40):
        due = np.linalg.norm(SCALES * x) <= 0.05 and t - last > 3
        perturbed.append(due)
        if due:
            x, last = x + 0.1 * np.asarray(uniform_in_ball(jax.random.fold_in(key, t), 3)), t
        x = x - 0.2 * np.asarray(SCALES) * x
    np.testing.assert_array_equal(found.steps["perturbed"], perturbed)
    assert sum(perturbed) >= 3
    np.testing.assert_allclose(found.point["x"], x, rtol=0, atol=1e-14)
    assert not found.reached


def test_noise_is_uniform_in_the_ball(getkey):
    """P(‖ξ‖ ≤ s) = s^d, every coordinate has mean 0 and variance 1/(d + 2): 4 standard errors."""
    points = np.asarray(jax.vmap(lambda k: uniform_in_ball(k, 3))(jax.random.split(getkey(), 20000)))
    norms = np.linalg.norm(points, axis=1)
    assert norms.max() <= 1
    for s in (0.3, 0.6, 0.9):
        assert abs(np.mean(norms <= s) - s**3) < 4 * np.sqrt(s**3 * (1 - s**3) / 20000)
    assert np.all(np.abs(points.mean(axis=0)) < 4 * np.sqrt(1 / 5 / 20000))
    assert np.all(np.abs(points.var(axis=0) - 1 / 5) < 4 * np.sqrt(1 / 20000) / 5)


def test_any_function_of_a_pytree(getkey):
    """Himmelblau's function: a zero of its gradient and of itself."""

    def himmelblau(point):
        x, y = point
        return (x**2 + y - 11) ** 2 + (x + y**2 - 7) ** 2

    start = (jnp.asarray(4.0), jnp.asarray(1.0))
    found = train.gradient_descent(himmelblau, start, step_size=0.01, epochs=1500)
    assert found.epoch == 1500
    assert found.steps["loss"][-1] < 1e-20
    np.testing.assert_allclose(found.point, (3.0, 2.0), atol=1e-10)
    assert FunctionObjective(himmelblau, start).init(key=getkey()) is start


def test_divergence_is_said_and_negative_losses_are_no_divergence():
    def up(x):
        return jnp.sum(x**2)

    found = train.gradient_descent(up, jnp.ones(2), step_size=2.0, epochs=500)
    assert "lower the step size" in found.message
    assert np.isfinite(found.steps["loss"]).all()

    def down(x):
        return -jnp.sum(jnp.sin(x)) - 5

    assert train.gradient_descent(down, jnp.zeros(2), step_size=0.1, epochs=200).message == ""


class Halving(AbstractExactObjective):
    """x²/2 with the exact solution of descent at step ½, one jump for any number of steps."""

    def init(self, *, key):
        return {"x": jnp.asarray(1.0)}

    def value(self, point):
        return point["x"] ** 2 / 2

    def advance(self, point, step_size, epochs):
        left = int(np.ceil(np.log2(float(point["x"]) / 1e-6)))
        taken = min(epochs, left)
        return {"x": point["x"] * (1 - step_size) ** taken}, taken

    def reached(self, point):
        return point["x"] <= 1e-6


class HalvingSystem(AbstractObjectiveSystem):
    name: ClassVar[str] = "halving"
    loss_name: ClassVar[str] = "½ x²"
    objective: Any

    def theorems(self, question):
        return ()

    def default_step_size(self, point):
        return 0.5, "fixed"


def test_an_update_of_its_own_is_used(getkey):
    prepared = train.prepare_objective(HalvingSystem(Halving()), epochs=100, key=getkey())
    looks, log = finished(prepared)
    assert looks[-1].epoch == 20  # 2^-20 < 1e-6 < 2^-19
    at, steps = train.trajectory(prepared, log)
    np.testing.assert_allclose(at["loss"], 0.5 * 0.25 ** at["epoch"].astype(float), rtol=1e-13)
    np.testing.assert_allclose(steps["loss"], 0.5 * 0.25 ** steps["epoch"].astype(float), rtol=1e-13)
    assert log.records[0].result == RESULTS.successful
    with pytest.raises(ValueError, match="plain descent expected"):
        train.prepare_objective(HalvingSystem(Halving()), epochs=9, key=getkey(), method=train.DecreasingSteps(1.0))


def test_bad_input_is_one_line(getkey):
    system = System(Quadratic(SCALES))
    for options, message in [
        ({"epochs": 0}, "epochs"),
        ({"step_size": -1.0}, "step_size: a positive number"),
        ({"step_size": float("nan")}, "step_size: a positive number"),
        ({"point": {"x": jnp.full(3, jnp.nan), "label": 3}}, "NaN or infinite"),
        ({"key": None}, "key or point expected"),
    ]:
        with pytest.raises(ValueError, match=message) as raised:
            train.prepare_objective(system, **{"epochs": 5, "key": getkey(), **options})
        assert "\n" not in str(raised.value)
    for name, value in [("radius", 0.0), ("threshold", -1.0), ("wait", -1)]:
        options = {"radius": 1.0, "threshold": 1.0, "wait": 1, name: value}
        with pytest.raises(ValueError, match=name):
            train.PerturbedDescent(**options, key=getkey())


def test_functions_and_points_that_cannot_be_descended_are_one_line():
    for function, point, message in [
        (lambda x: 2 * x, jnp.ones(2), r"a function to a scalar array expected, one to shape \(2,\) came"),
        (lambda x: x**2, jnp.asarray(1), "point: a pytree with at least one array of floats"),
    ]:
        with pytest.raises(ValueError, match=message) as raised:
            train.gradient_descent(function, point, step_size=0.1, epochs=3)
        assert "\n" not in str(raised.value)

"""The population loss against planar quadrature and sampling, its gradient against autodiff, critical points, starts."""

import dataclasses
import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.integrate
from numpy.testing import assert_allclose

from globalmin.objectives import (
    ConvStudent,
    ConvTeacher,
    TeacherNumbers,
    by_halving,
    choose_signs,
    draw_start,
    radius_from_labels,
    reduce_student,
)

TEACHER = ConvTeacher(jnp.array([2.0, 0.5, 1.0]), jnp.array([1.0, -0.5, 0.75, 1.5]))
STUDENT = ConvStudent(jnp.array([1.0, 2.0, -1.0]), jnp.array([0.5, -1.0, 2.0, 0.25]))


def relu_moment(w1, w2):
    """E[σ(w₁z)σ(w₂z)] by quadrature in the plane of the two vectors."""
    w1, w2 = np.asarray(w1, float), np.asarray(w2, float)
    lengths = np.linalg.norm(w1) * np.linalg.norm(w2)
    phi = math.acos(np.clip(w1 @ w2 / lengths, -1, 1))
    found = scipy.integrate.quad(lambda t: math.cos(t) * math.cos(t - phi), phi - math.pi / 2, math.pi / 2)[0]
    return lengths * found / math.pi


def loss_by_quadrature(teacher, v, a):
    """½E(f − y)² expanded: patches are independent, so two different ones contribute a product of means ‖w‖/√(2π)."""
    v = np.asarray(v) / np.linalg.norm(v)
    w, a, a_star = np.asarray(teacher.filter), np.asarray(a), np.asarray(teacher.output)

    def pair(x, wx, y, wy):
        cross = np.outer(x, y)
        means = np.linalg.norm(wx) * np.linalg.norm(wy) / (2 * math.pi)
        return np.trace(cross) * relu_moment(wx, wy) + (cross.sum() - np.trace(cross)) * means

    return (pair(a, v, a, v) - 2 * pair(a, v, a_star, w) + pair(a_star, w, a_star, w)) / 2


def test_the_published_check_values():
    assert float(TEACHER.value(STUDENT)) == pytest.approx(5.534213124568682, rel=1e-14)
    gradient = TEACHER.gradient(STUDENT)
    assert_allclose(gradient.filter, [-0.60248526, 0.06024853, -0.48198821], atol=6e-9)
    assert_allclose(gradient.output, [-0.78143093, -0.95139947, -0.21328017, -0.98040855], atol=6e-9)
    assert float(reduce_student(TEACHER, STUDENT).angle) == pytest.approx(1.206439601423194, rel=1e-14)
    numbers = TEACHER.numbers
    assert numbers.spurious_loss == pytest.approx(5.213090513299224, rel=1e-14)
    assert numbers.ratio == pytest.approx(1.861538, abs=5e-7)
    assert numbers.scale / math.pi == pytest.approx(1.954930, abs=5e-7)
    assert numbers.spurious_alignment == pytest.approx(-0.475763, abs=5e-7)
    assert_allclose(TEACHER.spurious_output, [0.43512817, 2.03997668, 0.70260292, -0.09982133], atol=6e-9)


def test_loss_is_half_the_mean_square(getkey):
    """Quadrature to 1e-12, three random teachers; and the sampled loss within 4 standard errors of it."""
    for _ in range(3):
        teacher = ConvTeacher(jax.random.normal(getkey(), (3,)), jax.random.normal(getkey(), (4,)))
        v, a = jax.random.normal(getkey(), (3,)), jax.random.normal(getkey(), (4,))
        student = ConvStudent(v, a)
        value = float(teacher.value(student))
        assert value == pytest.approx(loss_by_quadrature(teacher, v, a), rel=1e-11)
        z = teacher.draw(40_000, key=getkey())
        squares = np.asarray((teacher.predict(student, z) - teacher.labels(z)) ** 2 / 2)
        assert float(teacher.sampled_loss(student, z)) == pytest.approx(squares.mean(), rel=1e-12)
        assert abs(squares.mean() - value) < 4 * squares.std() / math.sqrt(len(squares))


def test_gradient_is_the_derivative_of_the_loss(getkey):
    automatic = jax.grad(lambda s: TEACHER.value(s))(STUDENT)
    found = TEACHER.gradient(STUDENT)
    assert_allclose(found.filter, automatic.filter, atol=1e-13)
    assert_allclose(found.output, automatic.output, atol=1e-13)
    # And of the quadrature, by central differences: (1e-4)² of truncation, 1e-12/1e-4 of noise.
    for i in range(3):
        ahead, behind = (STUDENT.filter.at[i].add(h) for h in (1e-4, -1e-4))
        slope = (
            loss_by_quadrature(TEACHER, ahead, STUDENT.output) - loss_by_quadrature(TEACHER, behind, STUDENT.output)
        ) / 2e-4
        assert slope == pytest.approx(float(found.filter[i]), abs=1e-6)


def test_a_sampled_step_is_unbiased(getkey):
    """The mean of 400 batches' gradients, each coordinate within 4.5 standard errors (7 coordinates)."""
    teacher = dataclasses.replace(TEACHER, batch=32, noise=getkey())
    step = jax.jit(lambda epoch: teacher.step(STUDENT, (), epoch).gradient)
    found = jax.vmap(step)(jnp.arange(400))
    want = TEACHER.gradient(STUDENT)
    for name in ("filter", "output"):
        drawn = np.asarray(getattr(found, name))
        assert np.all(np.abs(drawn.mean(0) - getattr(want, name)) < 4.5 * drawn.std(0) / 20)
    with pytest.raises(ValueError, match="noise: a key"):
        dataclasses.replace(TEACHER, batch=32)


@pytest.mark.parametrize("seed", range(3))
def test_critical_points_have_no_gradient(seed):
    rng = np.random.default_rng(seed)
    k = (4, 9, 1)[seed]
    teacher = ConvTeacher(jnp.asarray(rng.standard_normal(3)), jnp.asarray(rng.standard_normal(k)))
    numbers = teacher.numbers
    points = teacher.critical_points()
    assert [p.name for p in points] == ["global", "spurious", "separating"][: 3 if numbers.spurious_attracts else 2]
    for point in points:
        student = ConvStudent(2.0 * teacher.at_angle(point.angle), point.output)
        gradient = teacher.gradient(student)
        # Scaled by the target: at rounding level of the terms that cancel, and sin π = 1e-16.
        size = 1e-14 * (1 + numbers.bound) * k
        assert float(jnp.linalg.norm(gradient.filter)) < size
        assert float(jnp.linalg.norm(gradient.output)) < size
        assert float(teacher.value(student)) == pytest.approx(point.loss, rel=1e-12, abs=size)
    assert numbers.spurious_loss >= (math.pi - 2) / (4 * (math.pi - 1)) * numbers.square * (1 - 1e-14)


def test_the_separating_point_of_the_two_phase_run():
    a = np.cos(np.arange(1, 21)) + 0.2
    teacher = ConvTeacher(jnp.eye(25)[0], jnp.asarray(a / np.linalg.norm(a)))
    numbers = teacher.numbers
    assert numbers.ratio == pytest.approx(1.92262, abs=5e-6)
    assert numbers.separating_angle == pytest.approx(1.706711, abs=5e-7)
    assert numbers.separating_arc == pytest.approx(0.796356, abs=5e-7)
    assert teacher.critical_points()[2].loss == pytest.approx(0.186628, abs=5e-7)


def test_ratios_at_which_the_spurious_point_stops_attracting():
    for k, ratio in zip((25, 36, 49, 64, 81, 100), (8.64, 12.14, 16.28, 21.05, 26.46, 32.51), strict=True):
        assert TeacherNumbers.of_ratio(k, ratio - 0.01).spurious_attracts
        assert not TeacherNumbers.of_ratio(k, ratio + 0.01).spurious_attracts


def test_starts_are_on_the_sphere_and_in_the_ball(getkey):
    numbers = TEACHER.numbers
    starts = jax.vmap(lambda key: TEACHER.init(key=key))(jax.random.split(getkey(), 4000))
    lengths = np.linalg.norm(np.asarray(starts.output), axis=1) / numbers.radius
    assert lengths.max() <= 1 + 1e-15
    assert_allclose(np.linalg.norm(np.asarray(starts.filter), axis=1), 1, atol=1e-14)
    # Uniform in a ball of R^4: P(length ≤ s) = s⁴; and no direction preferred. 4 standard errors.
    for s in (0.5, 0.8):
        assert abs(np.mean(lengths <= s) - s**4) < 4 * math.sqrt(s**4 * (1 - s**4) / 4000)
    for directions in (starts.filter, starts.output):
        drawn = np.asarray(directions)
        assert np.all(np.abs(drawn.mean(0)) < 4 * drawn.std(0) / math.sqrt(4000))


def test_radius_needs_labels_only(getkey):
    """4 standard errors of the mean label, times √(2π/k)."""
    z = TEACHER.draw(40_000, key=getkey())
    error = float(jnp.std(TEACHER.labels(z))) / 200 * math.sqrt(2 * math.pi / 4)
    assert abs(float(radius_from_labels(TEACHER, key=getkey(), samples=40_000)) - TEACHER.numbers.radius) < 4 * error


@pytest.mark.parametrize("good", [True, False])
def test_signs_are_chosen_as_the_theorem_asks(getkey, good):
    for _ in range(5):
        student = draw_start(TEACHER, 1.0, key=getkey())
        state = reduce_student(TEACHER, choose_signs(TEACHER, student, good))
        assert (float(state.angle) < math.pi / 2) is good
        assert (float(state.alignment) > 0) is good
        assert len({tuple(np.sign(s.filter)) + tuple(np.sign(s.output)) for s in student.signs()}) == 4


def test_halving_finds_a_good_start_without_the_teacher(getkey):
    numbers = TEACHER.numbers
    start, halvings = by_halving(TEACHER, key=getkey(), step_size=numbers.largest_step, steps=3000)
    assert 0 <= halvings <= 20
    student = start
    for _ in range(200):
        student = TEACHER.moved(student, numbers.largest_step)
    assert float(TEACHER.value(student)) < numbers.spurious_loss
    with pytest.raises(ValueError, match="no radius succeeded within 1 steps"):
        by_halving(TEACHER, key=getkey(), step_size=numbers.largest_step, steps=1, most=1)


@pytest.mark.parametrize(
    ("filter", "output", "message"),
    [
        ([0.0, 0.0], [1.0], "every label is 0"),
        ([1.0, 0.0], [0.0, 0.0], "every label is 0"),
        ([1.0, math.nan], [1.0], "finite numbers expected"),
        ([1.0], [math.inf], "finite numbers expected"),
    ],
)
def test_a_teacher_without_direction_is_refused(filter, output, message):
    with pytest.raises(ValueError, match=message) as raised:
        ConvTeacher(jnp.asarray(filter), jnp.asarray(output))
    assert "\n" not in str(raised.value)


def test_numbers_that_no_teacher_has_are_refused():
    for options, message in [
        ((4, 3.0, 1.0), "at most k"),
        ((0, 0.0, 1.0), "patches"),
        ((4, 0.0, 0.0), "positive and finite"),
    ]:
        with pytest.raises(ValueError, match=message):
            TeacherNumbers(*options)
    with pytest.raises(ValueError, match="at least 0"):
        TeacherNumbers.of_ratio(4, -1.0)
    with pytest.raises(ValueError, match="0 or π expected"):
        ConvTeacher(jnp.ones(1), jnp.ones(2)).at_angle(1.0)

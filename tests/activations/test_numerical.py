"""The user's own activation in one line, and series that grow with the variance."""

import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from globalmin.activations import Activation, Covariance, Relu, Tanh

from .reference import plane


def covariance(p, q, angle):
    return Covariance(*(jnp.asarray(x, float) for x in (p, q, angle)))


def test_one_line_is_enough():
    phi = Activation(jnp.arctan)
    assert phi.name == "arctan"
    assert (phi.lipschitz, phi.curvature, phi.third, phi.polynomial_degree) == (None, None, None, None)
    assert not phi.slope01
    assert not phi.odd
    z = jnp.array([-1.0, 0.0, 2.0])
    np.testing.assert_allclose(phi.derivative(z), 1 / (1 + z * z), rtol=1e-15)
    np.testing.assert_allclose(phi.second_derivative(z), -2 * z / (1 + z * z) ** 2, rtol=1e-14)
    # Poles at ±i: at variance 0.5 the claim is met by far fewer than 256 terms.
    claim = phi.dual_error(0.5)
    assert claim < 1e-13
    for angle in (0.0, 1.0, 3.0):
        gap = abs(float(phi.dual(covariance(0.5, 0.5, angle))) - plane(np.arctan, 0.5, 0.5, angle))
        assert gap <= claim + 1e-14
        slope = plane(lambda z: 1 / (1 + z * z), 0.5, 0.5, angle)
        assert abs(float(phi.dual_derivative(covariance(0.5, 0.5, angle))) - slope) <= claim + 1e-14


def test_it_is_a_value_without_arrays():
    assert Activation(jnp.tanh) == Activation(jnp.tanh)
    assert Activation(jnp.tanh) != Activation(jnp.tanh, odd=True)
    assert hash(Activation(jnp.tanh)) == hash(Activation(jnp.tanh))
    assert jax.tree.leaves(Activation(jnp.tanh)) == []
    assert Activation(jnp.tanh)(jnp.ones(2, jnp.float32)).dtype == jnp.float32


def test_a_users_rectifier_matches_the_closed_form():
    mine = Activation(lambda z: jnp.where(z >= 0, z, 0.0), name="mine", kinks=(0,))
    assert mine.name == "mine"
    cov = Covariance(jnp.array([[0.4], [1.0], [0.0]]), jnp.array([[1.0, 2.0, 0.0]]), jnp.asarray(1e-6))
    claim = mine.dual_error(jnp.array([0.0, 0.4, 1.0, 2.0]))
    assert claim < 1e-13
    np.testing.assert_allclose(mine.dual(cov), Relu().dual(cov), rtol=0, atol=claim)
    np.testing.assert_allclose(mine.dual_derivative(cov), Relu().dual_derivative(cov), rtol=0, atol=claim)


def test_declared_parity_and_degree_change_nothing_but_the_cost():
    cov = covariance(1.0, 0.6, 0.7)
    plain = Activation(jnp.tanh)
    for phi in (Activation(jnp.tanh, odd=True), Tanh()):
        assert float(phi.dual(cov)) == pytest.approx(float(plain.dual(cov)), abs=1e-15)
        assert float(phi.dual_derivative(cov)) == pytest.approx(float(plain.dual_derivative(cov)), abs=1e-15)
    cubic = Activation(lambda z: z**3 - z, polynomial_degree=3)
    # E (u³ − u)(v³ − v) = 9c + 6c³ − 6c + c for unit variances.
    c = math.cos(0.7)
    assert float(cubic.dual(covariance(1.0, 1.0, 0.7))) == pytest.approx(6 * c**3 + 4 * c, abs=1e-13)
    constant = Activation(jnp.ones_like, polynomial_degree=0)
    assert float(constant.dual(cov)) == pytest.approx(1.0, abs=1e-14)
    assert float(constant.dual_derivative(cov)) == pytest.approx(0.0, abs=1e-14)


def test_refined_adds_terms_until_the_error_is_small():
    assert Tanh().refined(1.0) == Tanh()
    assert Relu().refined(1e3) == Relu()
    variance = 6.0
    assert Tanh().dual_error(variance) > 1e-9
    longer = Tanh().refined(variance, 1e-11)
    assert longer.terms > 256
    assert longer.dual_error(variance) <= 1e-11
    slope = plane(lambda z: np.cosh(z) ** -2.0, variance, variance, 0.0)
    assert float(longer.dual_derivative(covariance(variance, variance, 0.0))) == pytest.approx(slope, abs=1e-11)


def test_bounds_are_kept_as_given():
    phi = Activation(jnp.sin, lipschitz=1, curvature=1.0, third=1, slope01=False, odd=True)
    assert (phi.lipschitz, phi.curvature, phi.third, phi.odd) == (1.0, 1.0, 1.0, True)
    assert phi.phi0 == 0.0
    assert phi.c_sigma == pytest.approx(2 / (1 - math.exp(-2)), rel=1e-14)


@pytest.mark.parametrize(
    ("phi", "options", "message"),
    [
        (jnp.sum, {}, "an elementwise JAX function expected; from float32"),
        (math.sin, {}, "an elementwise JAX function expected; on an array it raised"),
        (lambda z: z > 0, {}, "an elementwise JAX function expected; from float32"),
        (jnp.tanh, {"lipschitz": -1.0}, "lipschitz: None or a finite number of at least 0 expected, -1.0 came"),
        (jnp.tanh, {"third": math.inf}, "third: None or a finite number"),
        (jnp.tanh, {"kinks": (math.nan,)}, "kinks: finite points expected"),
        (jnp.tanh, {"polynomial_degree": -1}, "polynomial_degree: None or an integer of at least 0 expected, -1 came"),
        (jnp.tanh, {"terms": 0}, "terms: an integer of at least 1 expected, 0 came"),
    ],
)
def test_bad_input_is_refused(phi, options, message):
    with pytest.raises(ValueError, match=message):
        Activation(phi, **options)

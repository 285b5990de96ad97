"""Enclosures contain what exact rational arithmetic gives, for every operand inside their radii."""

import math
from fractions import Fraction

import numpy as np
import pytest

from globalmin.rigorous import Enclosure, Interval
from globalmin.rigorous.enclosure import UnboundedError


def exact(a):
    return [[Fraction(v) for v in row] for row in np.atleast_2d(a).tolist()]


def inside(enclosure, truth):
    mid, rad = np.atleast_2d(enclosure.mid).tolist(), np.atleast_2d(enclosure.rad).tolist()
    return all(
        abs(Fraction(m) - t) <= Fraction(r)
        for row_m, row_r, row_t in zip(mid, rad, truth, strict=True)
        for m, r, t in zip(row_m, row_r, row_t, strict=True)
    )


def operand(g, shape, scale):
    """An enclosure, and a matrix of doubles at the very edge of it."""
    mid = g.standard_normal(shape) * scale * 10.0 ** g.uniform(-3, 3, shape)
    member = mid * (1 + g.choice([0.0, 1e-15, -1e-15, 1e-3], shape))
    return Enclosure(mid, np.nextafter(np.abs(member - mid), np.inf)), member


@pytest.mark.parametrize("scale", [1.0, 1e-150, 1e-162, 1e150])
def test_operations_contain_the_exact_result(scale):
    g = np.random.default_rng(0)
    for _ in range(20):
        m, k, n = g.integers(1, 9, 3)
        (a, in_a), (b, in_b), (c, in_c) = (operand(g, s, scale) for s in ((m, k), (k, n), (m, k)))
        fa, fb, fc = exact(in_a), exact(in_b), exact(in_c)
        product = [[sum(x * y for x, y in zip(row, col, strict=True)) for col in zip(*fb, strict=True)] for row in fa]
        assert inside(a @ b, product)
        pairs = [list(zip(x, y, strict=True)) for x, y in zip(fa, fc, strict=True)]
        assert inside(a + c, [[x + y for x, y in row] for row in pairs])
        assert inside(a - c, [[x - y for x, y in row] for row in pairs])
        assert inside(a * c, [[x * y for x, y in row] for row in pairs])


@pytest.mark.parametrize("scale", [1.0, 1e-200, 1e200])
def test_norms_contain_the_exact_ones(scale):
    g = np.random.default_rng(1)
    for _ in range(20):
        a, member = operand(g, tuple(g.integers(1, 9, 2)), scale)
        squares = [sum(v * v for v in row) for row in exact(member)]
        for interval, square in ((a.row_norm(), max(squares)), (a.norm(), sum(squares))):
            assert Fraction(interval.lower) ** 2 <= square <= Fraction(interval.upper) ** 2
        largest = max(abs(v) for row in exact(member) for v in row)
        assert Fraction(a.largest().lower) <= largest <= Fraction(a.largest().upper)
        assert all(Fraction(v) ** 2 >= s for v, s in zip(a.row_norms_upper().tolist(), squares, strict=True))


def test_a_cancelling_sum_is_not_taken_for_exact():
    # In exact arithmetic 1e16 + 1 − 1e16 = 1; in doubles 0 or 2, whatever the order.
    a, b = Enclosure.exact([[1e16, 1.0, -1e16]]), Enclosure.exact([[1.0], [1.0], [1.0]])
    assert inside(a @ b, [[Fraction(1)]])


def test_what_overflows_is_refused():
    with np.errstate(over="ignore", invalid="ignore"):
        big = Enclosure.exact([[1e300, 1e300]])
        product = big @ big.T
        with pytest.raises(UnboundedError, match="double precision"):
            product.norm()
    with pytest.raises(UnboundedError):
        Interval(0.0, math.inf)
    with pytest.raises(UnboundedError):
        Interval(1.0, 0.0)

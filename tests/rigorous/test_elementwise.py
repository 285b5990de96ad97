"""Activations: values against 300 bits in other formulas, suprema against a subdivision of the real line."""

import flint
import numpy as np
import pytest

from globalmin.rigorous import Enclosure
from globalmin.rigorous.elementwise import FORMULAS, Elementwise
from globalmin.rigorous.verify.activations import Phi

from .reference import harness


@pytest.mark.parametrize("name", FORMULAS)
def test_values_contain_the_truth(name):
    g = np.random.default_rng(0)
    z = np.concatenate([g.standard_normal(60) * 10.0 ** g.integers(-12, 3, 60), [0.0, -0.0, 1e-60, 700.0, -750.0]])
    radius = np.abs(z) * g.choice([0.0, 1e-14, 1e-2], len(z))
    phi = Elementwise(name)
    with flint.ctx.workprec(300):
        other = Phi(flint.arb, name)
        for order in range(len(FORMULAS[name])):
            if phi.suprema[order] is None:
                continue
            found = phi(Enclosure(z, radius), order)
            for i, (v, r) in enumerate(zip(z.tolist(), radius.tolist(), strict=True)):
                at = flint.arb(v) + flint.arb(r) * (1 - flint.arb(2) ** -40)
                truths = [(other.value, other.slope, other.bend)[order](at)]
                if order < 2 and name != "elu":
                    truths.append(harness.derivatives(name, at)[order])
                for truth in truths:
                    # Far out both are below 2^-1000: a few units of the smallest double.
                    slack = flint.arb(5e-324) * 2
                    assert abs(truth - flint.arb(float(found.mid[i]))) <= flint.arb(float(found.rad[i])) + slack, (v, r)


def largest(f, bound):
    """An upper bound of |f| on [−bound, bound] by bisection in balls, and a value that is reached."""
    arb = flint.arb
    reached, pieces = arb(0), [(-bound, bound)]
    for _ in range(40):
        kept = []
        for low, high in pieces:
            middle = (low + high) / 2
            value = abs(f(arb(middle)))
            reached = value.lower() if value.lower() > reached else reached
            for a, b in ((low, middle), (middle, high)):
                kept.append((a, b, abs(f(arb(a).union(arb(b)))).abs_upper()))
        pieces = [(a, b) for a, b, top in kept if not top <= reached * (1 + arb(1e-6))]
        if not pieces:
            break
    top = reached * (1 + arb(1e-6))
    for a, b in pieces:
        piece = abs(f(arb(a).union(arb(b)))).abs_upper()
        top = top if piece <= top else piece
    return reached, top


@pytest.mark.parametrize("name", ["tanh", "softplus", "sigmoid", "erf", "gelu", "silu", "sin"])
def test_suprema_by_subdivision(name):
    phi = Elementwise(name)
    with flint.ctx.workprec(100):
        other = Phi(flint.arb, name)
        for f, mine, theirs in ((other.slope, phi.slope, other.sup1), (other.bend, phi.bend, other.sup2)):
            assert mine is not None
            # Beyond 40 every φ′ is within 1e-15 of a constant below its supremum, and sin is periodic.
            reached, top = largest(f, 40.0)
            for claimed in (flint.arb(mine), theirs):
                assert reached <= claimed + flint.arb(2) ** -60
                assert claimed <= top * (1 + flint.arb(2e-6))
        assert abs(flint.arb(phi.third) - other.sup3) <= flint.arb(1e-15)


def test_third_derivative_of_silu():
    # Its maximum is a literal in the checker: reached, and not passed on a fine grid, by finite differences of φ″.
    with flint.ctx.workprec(200):
        phi = Phi(flint.arb, "silu")
        step = flint.arb(2) ** -60
        third = [
            abs((phi.bend(z + step) - phi.bend(z - step)) / (2 * step)) for z in map(flint.arb, np.linspace(0, 8, 3000))
        ]
        top = max(float(v) for v in third)
        assert float(phi.sup3) * (1 - 1e-6) <= top <= float(phi.sup3)


def test_an_unknown_activation_is_refused():
    with pytest.raises(ValueError, match="no proven bounds"):
        Elementwise("my-own")

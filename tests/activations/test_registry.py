"""Activations by name."""

import pytest

from globalmin import activations
from globalmin.activations import Hermite, LeakyRelu, Monomial, Relu, Silu


def test_every_name_gives_itself_back():
    plain = [name for name in activations.names() if "<" not in name]
    assert len(plain) == 12
    for name in [*plain, "hermite-3", "monomial-5", "leaky-relu-0.25"]:
        assert activations.get(name).name == name


def test_aliases_and_spellings():
    assert activations.get("linear") == activations.get("monomial-1") == Monomial(1)
    assert activations.get("quadratic") == activations.get("monomial-2") == Monomial(2)
    assert activations.get("ReLU") == Relu()
    assert activations.get("leaky_relu-0.2") == LeakyRelu(0.2)
    assert activations.get("swish") == Silu()
    assert activations.get("hermite-3") == Hermite(3)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("relo", "'relo' came; did you mean .*relu"),
        ("softmax", "did you mean .*softplus"),
        ("hermit-3", "did you mean hermite-3"),
        ("xyzzy", "known: relu, leaky-relu"),
        ("hermite-two", "hermite-<int> expected, 'hermite-two' came"),
        ("hermite-0", "degree: an integer of at least 1 expected, 0 came"),
        ("leaky-relu-1.5", r"slope: a number in \[0, 1\) expected, 1.5 came"),
    ],
)
def test_unknown_names_name_the_nearest(name, message):
    with pytest.raises(ValueError, match=message):
        activations.get(name)

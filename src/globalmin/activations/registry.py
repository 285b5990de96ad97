"""Activations by name, as configurations and the command line write them."""

import difflib

from .base import AbstractActivation
from .elu import Elu
from .erf import Erf
from .gelu import Gelu
from .polynomial import Hermite, Monomial
from .relu import LeakyRelu, Relu
from .sigmoid import Sigmoid
from .silu import Silu
from .sin import Sin
from .softplus import Softplus
from .tanh import Tanh

PLAIN = {
    "relu": Relu,
    "leaky-relu": LeakyRelu,
    "erf": Erf,
    "sin": Sin,
    "tanh": Tanh,
    "sigmoid": Sigmoid,
    "softplus": Softplus,
    "gelu": Gelu,
    "silu": Silu,
    "elu": Elu,
    "identity": lambda: Monomial(1),
    "quadratic": lambda: Monomial(2),
}
WITH_NUMBER = {"leaky-relu": (LeakyRelu, float), "hermite": (Hermite, int), "monomial": (Monomial, int)}
ALIASES = {"linear": "identity", "swish": "silu", "logistic": "sigmoid", "sine": "sin", "square": "quadratic"}


def names() -> tuple[str, ...]:
    """The names that `get` knows; `<k>` stands for a degree of at least 1, `<slope>` for a number in [0, 1)."""
    return (*PLAIN, "leaky-relu-<slope>", "hermite-<k>", "monomial-<k>")


def get(name: str) -> AbstractActivation:
    """The activation of this name: `get("relu")`, `get("hermite-3")`, `get("leaky-relu-0.1")`.

    Capitals and underscores are forgiven, and `linear`, `swish`, `logistic`, `sine`, `square` are other names of
    `identity`, `silu`, `sigmoid`, `sin`, `quadratic`.

    **Raises:** `ValueError` with the nearest names for an unknown one, and for a degree or slope out of range.
    """
    plain = name.strip().lower().replace("_", "-")
    plain = ALIASES.get(plain, plain)
    if plain in PLAIN:
        return PLAIN[plain]()
    family, _, number = plain.rpartition("-")
    if family in WITH_NUMBER:
        make, kind = WITH_NUMBER[family]
        try:
            value = kind(number)
        except ValueError:
            raise ValueError(f"activation: {family}-<{kind.__name__}> expected, {name!r} came") from None
        return make(value)
    known = [*PLAIN, *ALIASES, "hermite-2", "hermite-3", "monomial-3"]
    near = difflib.get_close_matches(plain, known, n=3, cutoff=0.5)
    advice = f"did you mean {' or '.join(near)}?" if near else f"known: {', '.join(names())}"
    raise ValueError(f"activation: the name of one expected, {name!r} came; {advice}")

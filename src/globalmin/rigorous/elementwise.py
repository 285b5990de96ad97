r"""φ, φ′ and φ″ of an enclosed array, and sup|φ′|, sup|φ″|, sup|φ‴|, through Arb.

At a midpoint φ is evaluated in balls of 64 bits; the radius of the argument enters by the mean value theorem with the supremum
of the next derivative. (Balls in the argument would serve too, and are wider: the formulas name their argument more than once.)
"""

from collections.abc import Callable
from typing import Any

import numpy as np

from .enclosure import TINY, Enclosure, UnboundedError, grow
from .flint import PRECISION, flint, precision, up

BITS = 64


def _normal(z: Any) -> Any:
    pi = flint().arb.pi()
    return (-z * z / 2).exp() / (2 * pi).sqrt()


def _distribution(z: Any) -> Any:
    return (-z / flint().arb(2).sqrt()).erfc() / 2


def _logistic(z: Any) -> Any:
    return 1 / (1 + (-z).exp())


def _softplus(z: Any) -> Any:
    return z + (-z).exp().log1p() if z > 0 else z.exp().log1p()


def _silu_slope(z: Any) -> Any:
    s = _logistic(z)
    return s + z * s * (1 - s)


def _silu_bend(z: Any) -> Any:
    s = _logistic(z)
    return s * (1 - s) * (2 + z * (1 - 2 * s))


def _root(f: Callable[[Any], Any], low: float, high: float) -> Any:
    """A ball that contains a zero of the continuous f, which changes sign on it."""
    arb = flint().arb
    sign = 1 if f(arb(low)) > 0 else -1
    for _ in range(52):
        middle = (low + high) / 2
        value = sign * f(arb(middle))
        if value > 0:
            low = middle
        elif value < 0:
            high = middle
        else:
            break
    assert sign * f(arb(low)) > 0 > sign * f(arb(high))
    return arb(low).union(arb(high))


def _gelu_suprema() -> tuple[Any, Any, Any]:
    arb = flint().arb
    two = arb(2).sqrt()
    z = ((7 - arb(33).sqrt()) / 2).sqrt()
    return _distribution(two) + two * _normal(two), 2 * _normal(arb(0)), _normal(z) * z * (4 - z * z)


def _silu_suprema() -> tuple[Any, Any, Any]:
    # In x = z/2, T = tanh x, S = 1 − T²: φ′ = (1 + T + xS)/2 is largest where xT = 1, and |φ‴| = S|3T + x − 3xT²|/4 at
    # the smaller positive zero of −1 + 3T² + 2xT − 3xT³ (activations/silu.py says why).
    def third(x: Any) -> Any:
        t = x.tanh()
        return x.sech() ** 2 * (3 * t + x - 3 * x * t * t) / 4

    top = _root(lambda x: x * x.tanh() - 1, 1.0, 1.5)
    bent = _root(lambda x: 3 * x.tanh() ** 2 + 2 * x * x.tanh() - 3 * x * x.tanh() ** 3 - 1, 0.25, 1.0)
    return (1 + top.tanh() + top * top.sech() ** 2) / 2, flint().arb(1) / 2, third(bent)


def _suprema(name: str) -> tuple[Any, Any, Any]:
    arb = flint().arb
    three, pi, e = arb(3).sqrt(), arb.pi(), arb.const_e()
    return {
        "tanh": lambda: (arb(1), 4 / (3 * three), arb(2)),
        "softplus": lambda: (arb(1), arb(1) / 4, three / 18),
        "sigmoid": lambda: (arb(1) / 4, three / 18, arb(1) / 8),
        "erf": lambda: (2 / pi.sqrt(), 4 / (2 * pi * e).sqrt(), 4 / pi.sqrt()),
        "gelu": _gelu_suprema,
        "silu": _silu_suprema,
        "sin": lambda: (arb(1), arb(1), arb(1)),
        "elu": lambda: (arb(1), arb(1), None),
        "relu": lambda: (arb(1), None, None),
        "identity": lambda: (arb(1), arb(0), arb(0)),
    }[name]()


FORMULAS: dict[str, tuple[Callable[[Any], Any], ...]] = {
    "tanh": (lambda z: z.tanh(), lambda z: z.sech() ** 2, lambda z: -2 * z.tanh() * z.sech() ** 2),
    "softplus": (_softplus, _logistic, lambda z: (z / 2).sech() ** 2 / 4),
    "sigmoid": (
        _logistic,
        lambda z: (z / 2).sech() ** 2 / 4,
        lambda z: -((z / 2).sech() ** 2) * (z / 2).tanh() / 4,
    ),
    "erf": (
        lambda z: z.erf(),
        lambda z: 2 / flint().arb.pi().sqrt() * (-z * z).exp(),
        lambda z: -4 * z / flint().arb.pi().sqrt() * (-z * z).exp(),
    ),
    "gelu": (
        lambda z: z * _distribution(z),
        lambda z: _distribution(z) + z * _normal(z),
        lambda z: (2 - z * z) * _normal(z),
    ),
    "silu": (lambda z: z * _logistic(z), _silu_slope, _silu_bend),
    "sin": (lambda z: z.sin(), lambda z: z.cos(), lambda z: -z.sin()),
    "elu": (lambda z: z if z >= 0 else z.expm1(), lambda z: flint().arb(1) if z >= 0 else z.exp()),
    "relu": (lambda z: z if z >= 0 else flint().arb(0),),
    "identity": (lambda z: z, lambda z: flint().arb(1), lambda z: flint().arb(0)),
}
"""φ and as many of its derivatives as are continuous, by the activation's name."""


class Elementwise:
    """One activation in rigorous arithmetic.

    **Raises:** `ValueError` for an activation without formulas here (a user's own φ has no proven bounds).
    """

    def __init__(self, name: str):
        if name not in FORMULAS:
            raise ValueError(
                f"activation: one of {', '.join(FORMULAS)} expected in rigorous mode, {name!r} came: "
                "no proven bounds of it are known"
            )
        self.name = name
        with precision(PRECISION):
            self.suprema = tuple(None if s is None else up(s) for s in _suprema(name))

    @property
    def slope(self) -> float:
        """sup|φ′|, from above."""
        assert self.suprema[0] is not None
        return self.suprema[0]

    @property
    def bend(self) -> float | None:
        """sup|φ″|, the Lipschitz constant of φ′, from above; `None` where φ′ jumps."""
        return self.suprema[1]

    @property
    def third(self) -> float | None:
        """sup|φ‴|, the Lipschitz constant of φ″, from above; `None` where φ″ jumps."""
        return self.suprema[2]

    def __call__(self, z: Enclosure, order: int = 0) -> Enclosure:
        """The derivative of that order at every array inside `z`.

        **Raises:** `UnboundedError` for entries that are not finite.
        """
        if not (np.isfinite(z.mid).all() and np.isfinite(z.rad).all()):
            raise UnboundedError("a pre-activation left the range of double precision: rescale the data or the weights")
        lipschitz = self.suprema[order]
        assert lipschitz is not None
        f = FORMULAS[self.name][order]
        with precision(BITS) as module:
            arb = module.arb
            balls = [f(arb(v)) for v in z.mid.ravel().tolist()]
            mid = np.array([float(b) for b in balls])
            sharp = np.fromiter((b.rel_accuracy_bits() >= 56 for b in balls), bool, len(balls))
            # A ball good to 56 bits, and its conversion to the nearest or the next double, is off by 2^{-52} at most.
            rad = np.abs(mid) * 2.0**-51 + TINY
            for i in np.flatnonzero(~sharp).tolist():
                rad[i] = up(abs(balls[i] - mid[i]))
        found = Enclosure(mid.reshape(z.mid.shape), rad.reshape(z.mid.shape))
        return found.widened(grow(lipschitz * z.rad, 1)) if z.rad.any() else found

"""φ, its derivatives and their suprema for the checker, in other formulas than the maker's."""

from collections.abc import Callable
from typing import Any

import numpy as np
import scipy.special

GUESSES: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    "tanh": np.tanh,
    "softplus": lambda z: np.logaddexp(z, 0.0),
    "sigmoid": scipy.special.expit,
    "erf": scipy.special.erf,
    "gelu": lambda z: z * scipy.special.ndtr(z),
    "silu": lambda z: z * scipy.special.expit(z),
    "sin": np.sin,
    "elu": lambda z: np.where(z > 0, z, np.expm1(np.minimum(z, 0.0))),
    "relu": lambda z: np.maximum(z, 0.0),
    "identity": lambda z: z,
}
"""φ in doubles, for approximations whose residual is then enclosed."""


class Phi:
    """An activation in ball arithmetic: `value`, `slope`, `bend` as functions, the suprema as balls (`None` if infinite).

    **Raises:** `ValueError` for a name that is not known.
    """

    def __init__(self, arb: Any, name: str):
        self.arb, self.name = arb, name
        kinds: dict[str, Callable[[], None]] = {
            "tanh": self._tanh,
            "softplus": self._softplus,
            "sigmoid": self._sigmoid,
            "erf": self._erf,
            "gelu": self._gelu,
            "silu": self._silu,
            "sin": self._sin,
            "elu": self._elu,
            "relu": self._relu,
            "identity": self._identity,
        }
        if name not in kinds:
            raise ValueError(
                f"certificate: an activation of {', '.join(kinds)} expected, {name!r} came; the file is damaged"
            )
        self.slope01 = name in ("tanh", "softplus", "sigmoid", "elu", "relu", "identity")
        kinds[name]()
        self.guess = GUESSES[name]

    def _set(self, value: Any, slope: Any, bend: Any, suprema: tuple[Any, Any, Any]) -> None:
        self.value, self.slope, self.bend = value, slope, bend
        self.sup1, self.sup2, self.sup3 = suprema

    def _half(self, z: Any) -> Any:
        return (z / 2).tanh()

    def _tanh(self) -> None:
        arb = self.arb

        def value(z: Any) -> Any:
            e = (-2 * abs(z)).exp()  # no cancellation and no overflow, and symmetric
            t = (1 - e) / (1 + e)
            return t if z >= 0 else -t

        def slope(z: Any) -> Any:
            e = (-2 * abs(z)).exp()
            return 4 * e / (1 + e) ** 2

        self._set(value, slope, lambda z: -2 * value(z) * slope(z), (arb(1), (arb(16) / 27).sqrt(), arb(2)))

    def _softplus(self) -> None:
        arb = self.arb

        def value(z: Any) -> Any:
            return (2 * (z / 2).cosh()).log() + z / 2

        def slope(z: Any) -> Any:
            return (1 + self._half(z)) / 2

        suprema = (arb(1), arb(1) / 4, 1 / arb(108).sqrt())
        self._set(value, slope, lambda z: slope(z) * (1 - slope(z)), suprema)

    def _sigmoid(self) -> None:
        arb = self.arb

        def slope(z: Any) -> Any:
            t = self._half(z)
            return (1 - t * t) / 4  # not t ** 2, which is NaN for a ball around 0

        suprema = (arb(1) / 4, 1 / arb(108).sqrt(), arb(1) / 8)
        self._set(lambda z: (1 + self._half(z)) / 2, slope, lambda z: -slope(z) * self._half(z), suprema)

    def _erf(self) -> None:
        arb = self.arb
        root = arb.pi().sqrt()

        def slope(z: Any) -> Any:
            return 2 / (root * (z * z).exp())

        suprema = (2 / root, (arb(8) / (arb.pi() * arb(1).exp())).sqrt(), 4 / root)
        self._set(lambda z: 1 - z.erfc(), slope, lambda z: -2 * z * slope(z), suprema)

    def _gelu(self) -> None:
        arb = self.arb
        root = (2 * arb.pi()).sqrt()

        def cumulative(z: Any) -> Any:
            return (1 + (z / arb(2).sqrt()).erf()) / 2

        def density(z: Any) -> Any:
            return 1 / (root * (z * z / 2).exp())

        def third(z: Any) -> Any:
            return density(z) * (4 * z - z**3)

        two = arb(2).sqrt()
        at = ((7 - arb(33).sqrt()) / 2).sqrt()
        suprema = ((1 + arb(1).erf()) / 2 + two * density(two), 2 / root, third(at))
        self._set(
            lambda z: z * cumulative(z),
            lambda z: cumulative(z) + z * density(z),
            lambda z: (2 - z * z) * density(z),
            suprema,
        )

    def _silu(self) -> None:
        arb = self.arb

        def value(z: Any) -> Any:
            return z / 2 * (1 + self._half(z))

        def slope(z: Any) -> Any:
            t = self._half(z)
            return (1 + t) / 2 + z / 4 * (1 - t * t)

        def bend(z: Any) -> Any:
            t = self._half(z)
            return (1 - t * t) / 2 - z / 4 * t * (1 - t * t)

        # The maxima as decimal literals with one unit of slack; tests/rigorous prove them by subdividing the real line.
        suprema = (arb("1.09983932012886719"), arb("0.5"), arb("0.30818151579647928"))
        self._set(value, slope, bend, suprema)

    def _sin(self) -> None:
        arb = self.arb
        self._set(lambda z: z.sin(), lambda z: z.cos(), lambda z: -z.sin(), (arb(1), arb(1), arb(1)))

    def _elu(self) -> None:
        arb = self.arb

        def value(z: Any) -> Any:
            return z.max(arb(0)) + z.min(arb(0)).exp() - 1

        self._set(value, lambda z: z.min(arb(0)).exp(), None, (arb(1), arb(1), None))

    def _relu(self) -> None:
        arb = self.arb
        self._set(lambda z: z.max(arb(0)), None, None, (arb(1), None, None))

    def _identity(self) -> None:
        arb = self.arb
        self._set(lambda z: z, lambda z: arb(1), lambda z: arb(0), (arb(1), arb(0), arb(0)))

"""Lipschitz constants of the deep networks for the checker, written from the formulas of docs/theory/deep-curvature.md."""

from typing import Any

from .activations import Phi
from .claims import Claims
from .layers import length, smallest, symmetric_norm


class DeepConstants:
    """Λ and the read-out's Λ_* on a ball; layers count from 1, and dictionaries are keyed by them."""

    def __init__(self, claims: Claims, phi: Phi, kappas: list[Any], patch_pixels: int, samples: int, skip: bool):
        self.claims, self.phi, self.skip = claims, phi, skip
        self.depth = len(kappas)
        self.kappa = dict(enumerate(kappas, start=1))
        self.root_q, self.root_n = claims.arb(patch_pixels).sqrt(), claims.arb(samples).sqrt()

    def readout(self, radius: Any) -> Any:
        """N(Q_Hk ‖Z_k‖)."""
        ball = self._forward(radius)
        return length(*(ball["Q", self.depth, k] * ball["norm", k] for k in self.kappa))

    def whole(self, radius: Any) -> Any:
        """The norm of the matrix of the bounds T0, T1 and T2 by blocks."""
        ball = self._forward(radius)
        self._backward(ball, radius)
        zero, top = radius * 0, self.depth
        found = [[zero] * (top + 1) for _ in range(top + 1)]
        for k in self.kappa:
            found[top][k - 1] = found[k - 1][top] = ball["Q", top, k] * ball["norm", k]  # T0
            for j in range(1, k + 1):
                bent = zero  # T2
                for h in range(k, top + 1):
                    bent = bent + self.kappa[h] * ball["bent", h] * ball["P", h, k] * ball["P", h, j]
                bent = bent * (ball["chi", k] * ball["chi", j]).sqrt()
                if j < k:  # T1, of the layer above
                    sides = ball["left", k] * ball["norm", j], ball["lefts", k] * ball["max", j]
                    bent = bent + self.root_q * ball["Q", k - 1, j] * smallest(*sides)
                found[k - 1][j - 1] = found[j - 1][k - 1] = bent
        return symmetric_norm(self.claims.balls, found)

    def _forward(self, radius: Any) -> dict[tuple, Any]:
        """Everything that only needs the layers before it, on the ball."""
        ball: dict[tuple, Any] = {}
        own, all_of_them = radius * 0, radius * 0  # by how much x_{h−1} can have moved
        for h, kappa in self.kappa.items():

            def c(name: str, h: int = h) -> Any:
                return self.claims.upper(f"{name}@{h}")

            ball["max", h] = c("input_max") + self.root_q * own
            ball["norm", h] = c("input_norm") + self.root_q * all_of_them
            known = f"input_fourth@{h}" in self.claims.names
            chi = c("input_fourth") if known else c("input_max") * c("input_norm")
            chi = chi.sqrt() + self.root_q * all_of_them
            ball["chi", h] = smallest(chi * chi, ball["max", h] * ball["norm", h])
            below = range(1, h)
            reach = [c("input_row") + own]
            reach += [(c("weight_row") + radius) * ball["Q", h - 1, k] * ball["max", k] for k in below]
            shift = radius * length(*reach)
            slope = smallest(self.phi.sup1, c("slope_max") + self.phi.sup2 * shift)
            weight = c("weight_norm") + radius
            steep = smallest(
                slope * weight, c("sloped_norm") + slope * radius + self.phi.sup2 * shift * c("weight_norm")
            )
            ball["shift", h], ball["slope", h], ball["weight", h] = shift, slope, weight
            ball["through", h] = kappa * self.root_q * steep + (1 if self.skip else 0)
            for k in below:
                ball["P", h, k] = self.root_q * weight * ball["Q", h - 1, k]
                ball["Q", h, k] = ball["through", h] * ball["Q", h - 1, k]
            ball["P", h, h], ball["Q", h, h] = radius * 0 + 1, kappa * slope
            own, all_of_them = (
                radius * length(*(ball["Q", h, k] * ball[size, k] for k in range(1, h + 1))) for size in ("max", "norm")
            )
        return ball

    def _backward(self, ball: dict[tuple, Any], radius: Any) -> None:
        """And everything that needs the layers after it."""
        single, together = radius * 0 + 1, self.root_n
        for h in range(self.depth, 0, -1):
            kappa, weight, slope = self.kappa[h], ball["weight", h], ball["slope", h]

            def c(name: str, h: int = h) -> Any:
                return self.claims.upper(f"{name}@{h}")

            turned = self.phi.sup2 * radius * single + self.phi.sup3 * ball["shift", h] * c("cotangent_max")
            bent = smallest(self.phi.sup2 * (c("cotangent_max") + radius * single), c("bent_max") + turned)
            moves = [length(*(ball["P", h, k] * ball[size, k] for k in range(1, h + 1))) for size in ("max", "norm")]
            ball["bent", h] = bent
            ball["left", h] = c("left_max") + radius * kappa * (slope * single + bent * moves[0])
            ball["lefts", h] = c("left_norm") + radius * kappa * (slope * together + bent * moves[1])
            single, together = (
                ball["through", h] * gamma + self.root_q * (ball[left, h] + kappa * weight * bent * move)
                for gamma, left, move in zip((single, together), ("left", "lefts"), moves, strict=True)
            )

"""The deep equilibrium model's numbers, enclosed: z = φ(Wz + Ux), f = a·z, all of W, U, a trained.

H = ZZᵀ + RRᵀ∘(ZZᵀ + XXᵀ), and Λ by the monotone system of theory/curvature/equilibrium.py, evaluated in balls.
The system's solution is the witness in the file: whoever has it checks five inequalities and iterates nothing.
"""

from typing import Any

import jax.numpy as jnp
import numpy as np

from ..models import Equilibrium
from .elementwise import Elementwise
from .enclosure import Enclosure
from .flint import PRECISION, precision, up
from .relative import relative_norm
from .solved import SLOPE01, resolvents, solve
from .spectrum import extreme_eigenvalues, lambda_max, lambda_min, root
from .theorem import Numbers, RigorousBlock, claimed

INFLATION = (1e-9, 1e-6, 1e-4, 1e-2)
"""The iteration approaches the solution from below: by how much it is enlarged before the inequalities are asked for."""


def equilibrium_numbers(
    model: Equilibrium, x: np.ndarray, y: np.ndarray, solution: tuple[np.ndarray, np.ndarray]
) -> Numbers:
    """Intervals of ρ₀, of both blocks' λ_min, of ‖J‖² and of what Λ rests on. `solution`: approximate Z and R.

    **Raises:** `UnboundedError`, also where the equilibrium is not proven to exist; `ValueError` for an activation without
    formulas.
    """
    phi = Elementwise(model.activation.name)
    rows, w, a = Enclosure.exact(x), Enclosure.exact(model.hidden), Enclosure.exact(model.readout)
    shift = rows @ Enclosure.exact(model.inject).T
    found = solve(phi, w, shift, a, *solution, lambda h: np.asarray(model.activation(jnp.asarray(h))))
    z, slope01 = found.state, phi.name in SLOPE01
    stacked = Enclosure(np.hstack([z.mid, rows.mid]), np.hstack([z.rad, rows.rad]))
    states, products = found.states, rows @ rows.T
    both = states + products
    quantities = {
        "rho_0": (found.read - Enclosure.exact(y)).norm(),
        "lambda_min_readout": lambda_min(states),
        "w_norm": found.norm,
        "mu": found.mu,
        "features_norm": root(lambda_max(both)),
    }
    relative = relative_norm(states, quantities["lambda_min_readout"], products) if slope01 else None
    if relative is not None:
        quantities["data_relative"] = relative
    options: dict[str, Any] = {"activation": phi.name}
    smooth = found.adjoint is not None and found.weighted is not None and phi.third is not None
    if smooth:
        assert found.adjoint is not None
        assert found.weighted is not None
        assert found.adjoints is not None
        low, high = extreme_eigenvalues(states + found.adjoints * both)
        quantities |= {
            "lambda_min_all": low,
            "lambda_max": high,
            "a_norm": a.norm(),
            "w_row": w.row_norm(),
            "w_column": w.T.row_norm(),
            "feature_max": stacked.row_norm(),
            "fourth_moment": root(lambda_max(both * both)),
            "adjoint_max": found.weighted.row_norm(),
            "g_max": found.adjoint.largest(),
            "gbend_max": (found.adjoint * phi(found.before, 2)).largest(),
        }
    quantities = claimed(quantities)
    bound = _Bound({k: v.upper for k, v in quantities.items()}, phi, slope01, quantities["lambda_min_readout"].lower)
    readout = RigorousBlock("readout", bound.readout, apart=True, unshown=slope01 and relative is None)
    if not smooth:
        missing = f"{phi.name} has no finite sup|φ″| or sup|φ‴|: gradient descent has no certificate, flow may have one"
        return Numbers(quantities, (readout,), None, options, missing)
    return Numbers(
        quantities, (RigorousBlock("all", bound.whole), readout), bound.whole, options, witness=bound.witness
    )


class _Bound:
    """Λ and Λ_* on a ball, from the upper ends of the quantities."""

    def __init__(self, upper: dict[str, float], phi: Elementwise, slope01: bool, least: float):
        self.upper, self.phi, self.slope01, self.least = upper, phi, slope01, least
        self._known: dict[float, tuple[tuple[float, ...], tuple[Any, Any, Any]] | None] = {}

    def whole(self, radius: Any) -> Any:
        """Λ of the whole Jacobian: the norm of ((corner, side), (side, 0))."""
        found = self._solution(radius)
        if found is None:
            return None
        s, y_norm, corner = found[1]
        side = s * y_norm
        return (corner + (corner * corner + 4 * side * side).sqrt()) / 2

    def readout(self, radius: Any) -> Any:
        """TY, by differences from the centre, or ½T(Y + σ₀κ) for 0 ≤ φ′ ≤ 1, κ² = 1 + ‖K^{-1/2}X‖²: asks for no smoothness."""
        with precision(PRECISION) as flint:
            both, arb = self._resolvents(flint, radius), flint.arb
            if both is None:
                return None
            size = arb(self.upper["features_norm"])
            left = 1 - arb(self.upper["mu"]) - radius
            if "data_relative" not in self.upper or not left > 0:
                return both[0] * size
            kappa = (1 + arb(self.upper["data_relative"]) * arb(self.upper["data_relative"])).sqrt()
            return (both[0] * size).min((size + arb(self.least).sqrt() * kappa) / (2 * left))

    def witness(self, radius: Any) -> dict[str, list[float]]:
        """Five numbers that solve the system on this ball."""
        found = self._solution(radius)
        return {} if found is None else {"drifts": list(found[0])}

    def _resolvents(self, flint: Any, radius: Any) -> tuple[Any, Any] | None:
        norm, mu = (flint.arb(self.upper[k]) + radius for k in ("w_norm", "mu"))
        return resolvents(flint, norm, mu, flint.arb(self.phi.slope), self.slope01)

    def _solution(self, radius: Any) -> tuple[tuple[float, ...], tuple[Any, Any, Any]] | None:
        key = float(radius)
        if key not in self._known:
            with precision(PRECISION) as flint:
                self._known[key] = self._solve(flint, radius)
        return self._known[key]

    def _solve(self, flint: Any, radius: Any) -> tuple[tuple[float, ...], tuple[Any, Any, Any]] | None:
        both = self._resolvents(flint, radius)
        if both is None:
            return None
        # From the solution on the next smaller ball, which is below this one's.
        smaller = max((r for r, found in self._known.items() if found is not None and r < float(radius)), default=None)
        known = None if smaller is None else self._known[smaller]
        drifts = (0.0,) * 5 if known is None else known[0]
        for _ in range(500):
            new = tuple(up(v) for v in self._right_side(flint, drifts, radius, both)[0])
            if not max(new) < 1e12:
                return None
            settled = all(b - a <= 1e-12 * b for a, b in zip(drifts, new, strict=True))
            drifts = new
            if settled:
                break
        for inflation in INFLATION:
            guess = tuple(v * (1 + inflation) + 1e-300 for v in drifts)
            right, bounds = self._right_side(flint, guess, radius, both)
            if all(b <= flint.arb(a) for a, b in zip(guess, right, strict=True)):
                return guess, bounds
        return None

    def _right_side(
        self, flint: Any, drifts: Any, radius: Any, both: Any
    ) -> tuple[tuple[Any, ...], tuple[Any, Any, Any]]:
        arb, (t, n) = flint.arb, both
        u = {k: arb(v) for k, v in self.upper.items()}
        bend, third = arb(self.phi.bend), arb(self.phi.third)
        d_h, d_g, d_r, d_features, d_feature = (arb(v) for v in drifts)
        y, y_norm = u["feature_max"] + d_feature, u["features_norm"] + d_features
        most_g = n * (u["a_norm"] + radius)
        r = (u["adjoint_max"] + d_r).min(t * (u["a_norm"] + radius))
        change = bend * d_g + third * d_h * u["g_max"]
        q = (u["gbend_max"] + change).min(bend * (u["g_max"] + d_g)).min(bend * most_g)
        row = n.min(1 + (u["w_row"] + radius) * t)
        row_adjoint = n.min(1 + (u["w_column"] + radius) * t)
        row_adjoint_w = (u["w_column"] + radius) * n
        bent = q * n * n
        drive = radius * (1 + r * r).sqrt()
        right = (
            row * radius * y,
            (row_adjoint * drive + row_adjoint_w * q * n * radius * y).min(most_g + u["g_max"]),
            t * drive + bent * radius * y,
            t * radius * y_norm,
            t * radius * y,
        )
        wide = u["fourth_moment"].sqrt() + d_features
        chi = (wide * wide).min(y * y_norm)
        return right, (t, y_norm, 2 * r * t * y_norm + bent * chi)

"""The implicit network's numbers, enclosed: z = φ(gAz + Φ), Φ = φ(Wx)/√m, f = u·z + v·Φ, g = γ/√m, all of A, W, u, v trained.

H = ZZᵀ + ΦΦᵀ + g²(RRᵀ)∘(ZZᵀ) + (QQᵀ)∘(XXᵀ), Q = (R + v)∘φ′(XWᵀ)/√m, and Λ by theory/curvature/implicit.py, evaluated in balls.
"""

from typing import Any

import jax.numpy as jnp
import numpy as np

from ..models import Implicit
from .elementwise import Elementwise
from .enclosure import Enclosure
from .flint import PRECISION, precision
from .relative import relative_norm
from .solved import SLOPE01, resolvents, solve
from .spectrum import extreme_eigenvalues, lambda_max, lambda_min, operator_norm, root, symmetric_norm
from .theorem import Numbers, RigorousBlock, claimed


def implicit_numbers(model: Implicit, x: np.ndarray, y: np.ndarray, solution: tuple[np.ndarray, np.ndarray]) -> Numbers:
    """Intervals of ρ₀, of both blocks' λ_min, of ‖J‖² and of what Λ rests on. `solution`: approximate Z and R.

    **Raises:** `UnboundedError`, also where the equilibrium is not proven to exist; `ValueError` for an activation without
    formulas.
    """
    phi = Elementwise(model.activation.name)
    width = len(model.readout)
    with precision(PRECISION) as flint:
        unit = Enclosure.ball(1 / flint.arb(width).sqrt())
        scale = Enclosure.ball(flint.arb(model.gamma) / flint.arb(width).sqrt())
    rows, u, v = Enclosure.exact(x), Enclosure.exact(model.readout), Enclosure.exact(model.skip)
    matrix = Enclosure.exact(model.hidden) * scale
    injected = rows @ Enclosure.exact(model.inject).T
    features = phi(injected) * unit
    found = solve(phi, matrix, features, u, *solution, lambda h: np.asarray(model.activation(jnp.asarray(h))))
    z, slope01 = found.state, phi.name in SLOPE01
    shares, products = features @ features.T, rows @ rows.T
    quantities = {
        "rho_0": (found.read + features @ v - Enclosure.exact(y)).norm(),
        "lambda_min_features": lambda_min(shares),
        "w_norm": found.norm,
        "mu": found.mu,
        "data_norm": operator_norm(rows),
    }
    relative = relative_norm(shares, quantities["lambda_min_features"], products) if slope01 else None
    if relative is not None:
        quantities["data_relative"] = relative
    options: dict[str, Any] = {"activation": phi.name, "gamma": float(model.gamma).hex()}
    smooth = found.adjoint is not None and found.weighted is not None and phi.third is not None
    if smooth:
        assert found.adjoint is not None
        assert found.weighted is not None
        g, r = found.adjoint, found.weighted
        both = r + v
        left = both * phi(injected, 1) * unit
        assert found.adjoints is not None
        states = found.states
        gram = states + shares + found.adjoints * states * (scale * scale) + (left @ left.T) * products
        low, high = extreme_eigenvalues(gram)
        quantities |= {
            "lambda_min_all": low,
            "lambda_max": high,
            "w_row": matrix.row_norm(),
            "w_column": matrix.T.row_norm(),
            "a_norm": u.norm(),
            "data_max": rows.row_norm(),
            "fourth_moment": root(lambda_max(products * products)),
            "state_norm": root(lambda_max(states)),
            "state_max": z.row_norm(),
            "state_fourth": root(lambda_max(states * states)),
            "adjoint_max": r.row_norm(),
            "g_max": g.largest(),
            "gbend_max": (g * phi(found.before, 2)).largest(),
            "rv_max": both.largest(),
            "rvbend_max": (both * phi(injected, 2)).largest(),
        }
    quantities = claimed(quantities)
    least = quantities["lambda_min_features"].lower
    bound = _Bound({k: q.upper for k, q in quantities.items()}, phi, slope01, model.gamma, width, least)
    block = RigorousBlock("features", bound.features, apart=True, unshown=slope01 and relative is None)
    if not smooth:
        missing = f"{phi.name} has no finite sup|φ″| or sup|φ‴|: gradient descent has no certificate, flow may have one"
        return Numbers(quantities, (block,), None, options, missing)
    return Numbers(quantities, (RigorousBlock("all", bound.whole), block), bound.whole, options)


class _Bound:
    """Λ and the features' Λ_* on a ball, from the upper ends of the quantities. The comments follow the theory's names."""

    def __init__(
        self, upper: dict[str, float], phi: Elementwise, slope01: bool, gamma: float, width: int, least: float
    ):
        self.upper, self.phi, self.slope01, self.gamma, self.width = upper, phi, slope01, gamma, width
        self.least = least

    def features(self, radius: Any) -> Any:
        """sup|φ′|‖X‖/√m, or (‖X‖ + σ₀‖K^{-1/2}X‖)/(2√m) for 0 ≤ φ′ ≤ 1, as long as the equilibrium exists on the ball."""
        with precision(PRECISION) as flint:
            root_m = flint.arb(self.width).sqrt()
            if self._resolvents(flint, radius) is None:
                return None
            arb, size = flint.arb, flint.arb(self.upper["data_norm"])
            plain = arb(self.phi.slope) * size / root_m
            if "data_relative" not in self.upper:
                return plain
            return plain.min((size + arb(self.least).sqrt() * arb(self.upper["data_relative"])) / (2 * root_m))

    def whole(self, radius: Any) -> Any:
        """The norm of the symmetric matrix of bounds by blocks A, W, u, v."""
        with precision(PRECISION) as flint:
            both = self._resolvents(flint, radius)
            if both is None:
                return None
            return symmetric_norm(flint, self._matrix(flint, radius, *both))

    def _resolvents(self, flint: Any, radius: Any) -> tuple[Any, Any] | None:
        g = flint.arb(self.gamma) / flint.arb(self.width).sqrt()
        norm, mu = (flint.arb(self.upper[k]) + g * radius for k in ("w_norm", "mu"))
        return resolvents(flint, norm, mu, flint.arb(self.phi.slope), self.slope01)

    def _matrix(self, flint: Any, radius: Any, t: Any, n: Any) -> list[list[Any]]:
        arb = flint.arb
        q = {k: arb(value) for k, value in self.upper.items()}
        slope, bend, third = (arb(s) for s in self.phi.suprema)
        root_m = arb(self.width).sqrt()
        g, e = arb(self.gamma) / root_m, slope / root_m

        def hypot(a: Any, b: Any) -> Any:
            return (a * a + b * b).sqrt()

        x = e * q["data_norm"]
        d_state = t * radius * hypot(g * q["state_norm"], x)
        d_row = t * radius * hypot(g * q["state_max"], e * q["data_max"])
        z, z_max = q["state_norm"] + d_state, q["state_max"] + d_row
        wide = q["state_fourth"].sqrt() + d_state
        chi_z, chi_x = (wide * wide).min(z * z_max), q["fourth_moment"]
        per_unit = hypot(g * z_max, e * q["data_max"])
        d_p = n.min(1 + (q["w_row"] + g * radius) * t) * radius * per_unit
        most_r = t * (q["a_norm"] + radius)
        most_k = bend * n * (q["a_norm"] + radius)
        column = q["w_column"] + g * radius
        turn = hypot(arb(1), g * most_r)
        drive = n.min(1 + column * t) * turn
        fed_back = column * n * n * per_unit
        k_0 = q["gbend_max"] + third * d_p * q["g_max"]
        rate = fed_back * bend
        # ∫₀^R exp(rate s) ds
        grown = (rate * radius).expm1() / rate if rate > 0 else radius * (rate * radius).exp()
        d_w = (radius * (drive + fed_back * most_k)).min((drive + fed_back * k_0) * grown)
        k = (k_0 + bend * d_w).min(bend * (q["g_max"] + d_w)).min(most_k)
        r = (q["adjoint_max"] + radius * (n * n * k * per_unit + t * turn)).min(most_r)
        d_rv = slope * d_w + bend * d_p * q["g_max"] + radius
        skip = (q["rvbend_max"] + bend * d_rv + third * radius * q["data_max"] * q["rv_max"]).min(
            bend * (q["rv_max"] + d_rv)
        )
        bent = k * n * n
        aa = 2 * g * g * r * t * z + bent * g * g * chi_z
        aw = g * r * t * x + bent * g * e * (chi_z * chi_x).sqrt()
        ww = bent * e * e * chi_x + skip * chi_x / root_m
        ua, uw, zero = t * g * z, t * x, arb(0)
        return [[aa, aw, ua, zero], [aw, ww, uw, x], [ua, uw, zero, zero], [zero, x, zero, zero]]

"""The deep equilibrium model, checked: f = a·z, z = φ(Wz + Ux), every claimed number recomputed in ball matrices."""

from typing import Any

import numpy as np

from .activations import Phi
from .claims import Claims, RefutedError
from .constants import Constants
from .layers import smallest
from .solved import resolvent_bounds, solve


def check_equilibrium(
    claims: Claims,
    options: dict,
    weights: dict[str, np.ndarray],
    x: np.ndarray,
    y: np.ndarray,
    *,
    residual_only: bool = False,
) -> Constants:
    """Confirm the claims, and return the Lipschitz constants as functions of the radius; or confirm ρ alone."""
    balls, arb = claims.balls, claims.arb
    phi = Phi(arb, options["activation"])
    w, readout, rows = balls.exact(weights["hidden"]), balls.exact(weights["readout"]), balls.exact(x)
    claims.operator_norm("w_norm", w)
    claims.greatest_eigenvalue("mu", (w + w.transpose()) * arb(0.5))
    shift = balls.product(rows, balls.exact(weights["inject"]).transpose())
    found = solve(balls, claims, phi, w, shift, readout)
    states = found.states
    products = balls.product(rows, rows.transpose())
    both = states + products
    claims.residual(found.read, balls.exact(y))
    if residual_only:
        return Constants({}, None)
    claims.least_eigenvalue("lambda_min_readout", states)
    claims.greatest_root("features_norm", both)
    half = "data_relative" in claims.names and phi.slope01
    if half:
        claims.relative_norm("data_relative", states, products)

    def of_readout(radius: Any) -> Any:
        bounds, y = resolvent_bounds(claims, phi, radius), claims.upper("features_norm")
        if bounds is None:
            return None
        room = 1 - (claims.upper("mu") + radius)
        if not half or not room > 0:
            return bounds[0] * y
        # K^{-1/2}[Z; X] has the square I + K^{-1/2}XXᵀK^{-1/2}, K = ZZᵀ.
        kappa = (
            (claims.lower("lambda_min_readout") * (1 + claims.upper("data_relative") ** 2)).nonnegative_part().sqrt()
        )
        return smallest(bounds[0] * y, (y / 2 + kappa / 2) / room)

    if "lambda_min_all" not in claims.names:
        return Constants({"readout": of_readout}, None, apart=("readout",))
    gram = states + balls.hadamard(found.adjoints, both)
    claims.least_eigenvalue("lambda_min_all", gram)
    claims.greatest_eigenvalue("lambda_max", gram)
    claims.number("a_norm", balls.norm(readout.entries()))
    claims.number("w_row", balls.largest(balls.row_norms(w)))
    claims.number("w_column", balls.largest(balls.row_norms(w.transpose())))
    lengths = [
        (balls.squares(z) + balls.squares(r)).sqrt() for z, r in zip(found.state.tolist(), rows.tolist(), strict=True)
    ]
    claims.number("feature_max", balls.largest(lengths))
    claims.greatest_root("fourth_moment", balls.hadamard(both, both))
    claims.number("adjoint_max", balls.largest(balls.row_norms(found.weighted)))
    claims.number("g_max", balls.largest([abs(v) for v in found.adjoint.entries()]))
    bends = balls.hadamard(found.adjoint, balls.map(phi.bend, found.before))
    claims.number("gbend_max", balls.largest([abs(v) for v in bends.entries()]))

    drifts = options["witness"].get("drifts", {})

    def whole(radius: Any) -> Any:
        row = drifts.get(float(radius))
        if not row:  # nothing is claimed there
            return None
        corner, side = _system(claims, phi, radius, [arb(v) for v in row])
        return corner / 2 + (corner * corner / 4 + side * side).sqrt()

    return Constants({"all": whole, "readout": of_readout}, whole, apart=("readout",))


def _system(claims: Claims, phi: Phi, radius: Any, drifts: list[Any]) -> tuple[Any, Any]:
    """(2rTY + bent χ, TY) on the ball, after the five inequalities that make the witness a bound of the drifts."""
    bounds = resolvent_bounds(claims, phi, radius)
    if bounds is None or len(drifts) != 5 or not all(v >= 0 for v in drifts):
        raise RefutedError("refuted: on the claimed ball the equilibrium is not proven to exist")
    t, n = bounds
    c = claims.upper
    h, g, r, z_all, z_one = drifts
    largest_feature, features = c("feature_max") + z_one, c("features_norm") + z_all
    a = c("a_norm") + radius
    adjoint = smallest(c("adjoint_max") + r, t * a)
    bend = smallest(
        c("gbend_max") + phi.sup2 * g + phi.sup3 * h * c("g_max"), phi.sup2 * (c("g_max") + g), phi.sup2 * n * a
    )
    forced = radius * (1 + adjoint * adjoint).sqrt()
    pull = radius * largest_feature
    column = c("w_column") + radius
    needed = (
        smallest(n, 1 + (c("w_row") + radius) * t) * pull,
        smallest(smallest(n, 1 + column * t) * forced + column * n * bend * n * pull, n * a + c("g_max")),
        t * forced + bend * n * n * pull,
        t * radius * features,
        t * pull,
    )
    if not all(right <= left for left, right in zip(drifts, needed, strict=True)):
        raise RefutedError("refuted: the witness of the curvature's system does not solve it on the claimed ball")
    side = t * features
    moved = c("fourth_moment").sqrt() + z_all
    return 2 * adjoint * side + bend * n * n * smallest(moved * moved, largest_feature * features), side

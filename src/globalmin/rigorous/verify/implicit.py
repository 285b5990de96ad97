"""The implicit network, checked: f = u·z + v·Φ, z = φ(gAz + Φ), Φ = φ(Wx)/√m, g = γ/√m; all numbers recomputed in balls."""

from typing import Any

import numpy as np

from .. import file
from .activations import Phi
from .claims import Claims, RefutedError
from .constants import Constants
from .layers import length, smallest, symmetric_norm
from .solved import resolvent_bounds, solve


def check_implicit(
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
    root = arb(len(weights["readout"])).sqrt()
    g = arb(file.from_hex("gamma", options["gamma"])) / root
    if not g > 0:
        raise RefutedError("certificate: a positive gamma expected")
    matrix, rows = balls.exact(weights["hidden"]) * g, balls.exact(x)
    u, v = balls.exact(weights["readout"]), balls.exact(weights["skip"])
    claims.operator_norm("w_norm", matrix)
    claims.greatest_eigenvalue("mu", (matrix + matrix.transpose()) * arb(0.5))
    injected = balls.product(rows, balls.exact(weights["inject"]).transpose())
    features = balls.map(phi.value, injected) * (1 / root)
    found = solve(balls, claims, phi, matrix, features, u)
    shares = balls.product(features, features.transpose())
    claims.residual(found.read + balls.product(features, v), balls.exact(y))
    if residual_only:
        return Constants({}, None)
    claims.least_eigenvalue("lambda_min_features", shares)
    claims.operator_norm("data_norm", rows)
    products = balls.product(rows, rows.transpose())
    half = "data_relative" in claims.names and phi.slope01
    if half:
        claims.relative_norm("data_relative", shares, products)

    def of_features(radius: Any) -> Any:
        if resolvent_bounds(claims, phi, g * radius) is None:
            return None
        found = phi.sup1 * claims.upper("data_norm")
        if half:
            relative = claims.lower("lambda_min_features").nonnegative_part().sqrt() * claims.upper("data_relative")
            found = smallest(found, (claims.upper("data_norm") + relative) / 2)
        return found / root

    if "lambda_min_all" not in claims.names:
        return Constants({"features": of_features}, None, apart=("features",))
    n = len(x)
    states = found.states
    r = found.weighted
    both = r + balls.of(n, 1, [arb(1)] * n) * v.transpose()
    left = balls.hadamard(both, balls.map(phi.slope, injected)) * (1 / root)
    gram = states + shares + balls.hadamard(found.adjoints, states) * (g * g)
    gram = gram + balls.hadamard(balls.product(left, left.transpose()), products)
    claims.least_eigenvalue("lambda_min_all", gram)
    claims.greatest_eigenvalue("lambda_max", gram)
    claims.number("w_row", balls.largest(balls.row_norms(matrix)))
    claims.number("w_column", balls.largest(balls.row_norms(matrix.transpose())))
    claims.number("a_norm", balls.norm(u.entries()))
    claims.number("data_max", balls.largest(balls.row_norms(rows)))
    claims.greatest_root("fourth_moment", balls.hadamard(products, products))
    claims.greatest_root("state_norm", states)
    claims.number("state_max", balls.largest(balls.row_norms(found.state)))
    claims.greatest_root("state_fourth", balls.hadamard(states, states))
    claims.number("adjoint_max", balls.largest(balls.row_norms(r)))

    def entrywise(a: Any) -> Any:
        return balls.largest([abs(e) for e in a.entries()])

    claims.number("g_max", entrywise(found.adjoint))
    claims.number("gbend_max", entrywise(balls.hadamard(found.adjoint, balls.map(phi.bend, found.before))))
    claims.number("rv_max", entrywise(both))
    claims.number("rvbend_max", entrywise(balls.hadamard(both, balls.map(phi.bend, injected))))

    def whole(radius: Any) -> Any:
        bounds = resolvent_bounds(claims, phi, g * radius)
        if bounds is None:
            return None
        return symmetric_norm(claims.balls, _by_blocks(claims, phi, radius, g, phi.sup1 / root, root, *bounds))

    return Constants({"all": whole, "features": of_features}, whole, apart=("features",))


def _by_blocks(claims: Claims, phi: Phi, radius: Any, g: Any, e: Any, root: Any, t: Any, n: Any) -> Any:
    """The matrix of bounds on the second derivatives by blocks A, W, u, v; theory/curvature/implicit.py derives it."""
    arb, c = claims.arb, claims.upper
    sup1, sup2, sup3 = phi.sup1, phi.sup2, phi.sup3
    drive_w = e * c("data_norm")
    moved = t * radius * length(g * c("state_norm"), drive_w)
    moved_row = t * radius * length(g * c("state_max"), e * c("data_max"))
    z, z_row = c("state_norm") + moved, c("state_max") + moved_row
    chi_z = (c("state_fourth").sqrt() + moved) * (c("state_fourth").sqrt() + moved)
    chi_z, chi_x = smallest(chi_z, z * z_row), c("fourth_moment")
    tau = length(g * z_row, e * c("data_max"))
    column = c("w_column") + g * radius
    p = smallest(n, 1 + (c("w_row") + g * radius) * t) * tau * radius
    u = c("a_norm") + radius
    push = length(arb(1), g * t * u)
    a, b = smallest(n, 1 + column * t) * push, column * n * n * tau
    k_first = c("gbend_max") + sup3 * p * c("g_max")
    exponent = b * sup2 * radius
    # (exp(bs R) − 1)/(bs) = R (e^x − 1)/x, at most R e^x, and R itself where x is 0.
    growth = radius * exponent.expm1() / exponent if exponent > 0 else radius * exponent.exp()
    w = smallest((a + b * sup2 * n * u) * radius, (a + b * k_first) * growth)
    k = smallest(k_first + sup2 * w, sup2 * (c("g_max") + w), sup2 * n * u)
    r = smallest(c("adjoint_max") + (n * n * k * tau + t * push) * radius, t * u)
    rv = sup1 * w + sup2 * p * c("g_max") + radius
    skip = smallest(
        c("rvbend_max") + sup2 * rv + sup3 * radius * c("data_max") * c("rv_max"), sup2 * (c("rv_max") + rv)
    )
    bent = n * n * k
    rows = [[arb(0)] * 4 for _ in range(4)]
    rows[0][0] = g * g * (2 * r * t * z + bent * chi_z)
    rows[0][1] = g * (r * t * drive_w + bent * e * (chi_z * chi_x).sqrt())
    rows[1][1] = chi_x * (bent * e * e + skip / root)
    rows[0][2], rows[1][2], rows[1][3] = t * g * z, t * drive_w, drive_w
    for i in range(4):
        for j in range(i):
            rows[i][j] = rows[j][i]
    return rows

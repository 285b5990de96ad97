"""The two-layer network, checked: every claimed number recomputed from weights and data in ball matrices."""

import numpy as np

from .activations import Phi
from .claims import Claims
from .constants import Constants
from .two_layer_local import check_local

NEURONS = 1024


def check_two_layer(
    claims: Claims,
    options: dict,
    weights: dict[str, np.ndarray],
    x: np.ndarray,
    y: np.ndarray,
    *,
    residual_only: bool = False,
) -> Constants:
    """Confirm the claims about f = m^{-1/2} Σ a_r φ(w_r·x), and return its Lipschitz constants as functions of the
    radius; or confirm ρ alone."""
    balls, arb = claims.balls, claims.arb
    phi = Phi(arb, options["activation"])
    trained = options["train_readout"]
    hidden, readout = weights["hidden"], weights["readout"]
    width, n = len(readout), len(x)
    rows = balls.exact(x)
    products = balls.product(rows, rows.transpose())
    outputs, slopes, features = balls.exact(np.zeros(n)), None, None
    for first in range(0, width, NEURONS):
        a = balls.exact(readout[first : first + NEURONS])
        h = balls.product(rows, balls.exact(hidden[first : first + NEURONS]).transpose())
        z = balls.map(phi.value, h)
        outputs = outputs + balls.product(z, a)
        slope = balls.scale_columns(balls.map(phi.slope, h), a.entries())
        share = balls.product(slope, slope.transpose())
        slopes = share if slopes is None else slopes + share
        if trained:
            share = balls.product(z, z.transpose())
            features = share if features is None else features + share
    gram = balls.hadamard(slopes, products)
    if features is not None:
        gram = gram + features
    gram = gram * (arb(1) / width)
    claims.residual(outputs * (1 / arb(width).sqrt()), balls.exact(y))
    if residual_only:
        return Constants({}, None)
    claims.least_eigenvalue("lambda_min_all", gram)
    claims.greatest_eigenvalue("lambda_max", gram)
    claims.operator_norm("data_norm", rows)
    claims.greatest_root("fourth_moment", balls.hadamard(products, products))
    claims.number("readout_max", balls.largest([abs(v) for v in balls.exact(readout).entries()]))

    def lipschitz(radius):
        chi, most = claims.upper("fourth_moment"), claims.upper("readout_max")
        if not trained:
            return phi.sup2 * most * chi / arb(width).sqrt()
        # The larger eigenvalue of ((p, q), (q, 0)).
        p = phi.sup2 * (most + radius) * chi / arb(width).sqrt()
        q = phi.sup1 * claims.upper("data_norm") / arb(width).sqrt()
        return p / 2 + (p * p / 4 + q * q).sqrt()

    fixed = () if trained else ("readout",)
    if "path_bend" not in claims.names or trained:
        return Constants({"all": lipschitz}, lipschitz, fixed=fixed)
    local = check_local(claims, phi, weights, rows, gram, options["witness"].get("movements", {}))
    return Constants({"all": lipschitz, "local": local}, lipschitz, along_path=("local",), fixed=fixed)

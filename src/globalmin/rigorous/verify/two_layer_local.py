"""The local constants of the two-layer network, checked: K⁻¹ by Newton's iteration in balls, and the witness of movements."""

from typing import Any

import numpy as np

from .activations import Phi
from .claims import Claims, RefutedError

NEURONS = 1024
NEWTON = 6


def check_local(
    claims: Claims,
    phi: Phi,
    weights: dict[str, np.ndarray],
    rows: Any,
    gram: Any,
    movements: dict[float, list[float]],
) -> Any:
    """Confirm α, υ and χ₆, and return Λ_* of paths as a function of the length, for the nodes' lengths.

    **Arguments:** `gram`: K, whose λ_min was confirmed; `movements`: the witness, how far a neuron has moved by node.
    """
    balls, arb = claims.balls, claims.arb
    products = balls.product(rows, rows.transpose())
    squares = balls.hadamard(products, products)
    claims.greatest_root("sixth_moment", balls.hadamard(squares, products))
    inverse = _inverse(claims, gram)
    readout, width = weights["readout"], len(weights["readout"])
    bends, slopes = [], []
    for first in range(0, width, NEURONS):
        part = slice(first, first + NEURONS)
        h = balls.product(rows, balls.exact(weights["hidden"][part]).transpose())
        shares = [arb(v) * arb(v) / width for v in readout[part].tolist()]
        for weight, f, found in ((squares, phi.bend, bends), (products, phi.slope, slopes)):
            values = balls.map(f, h)
            images = balls.product(balls.hadamard(weight, inverse), values)
            sums = [arb(0)] * len(shares)
            for row, image in zip(values.tolist(), images.tolist(), strict=True):
                sums = [s + v * w for s, v, w in zip(sums, row, image, strict=True)]
            found += [s * share for s, share in zip(sums, shares, strict=True)]
    claims.number("path_bend", balls.largest(bends).nonnegative_part().sqrt())
    claims.number("path_slope", balls.largest(slopes).nonnegative_part().sqrt())

    sigma = claims.lower("lambda_min_all").nonnegative_part().sqrt()
    alpha, upsilon = claims.upper("path_bend"), claims.upper("path_slope")
    kappa = phi.sup3 * claims.upper("readout_max") * claims.upper("sixth_moment") / (2 * sigma * arb(width).sqrt())
    known: dict[float, Any] = {}
    length, before = arb(0), arb(0)
    for j, (node, row) in enumerate(movements.items()):
        if not row:  # no more is claimed from here on
            break
        if len(row) != 1 or (j == 0 and (node, row[0]) != (0.0, 0.0)):
            raise RefutedError("certificate: one movement for every node expected, from 0 on, others came")
        moved, part = arb(row[0]), node - length
        drift = alpha + kappa * moved
        room = 1 - drift * node
        if not (room > 0 and before + (upsilon + drift * moved) * part / room <= moved):
            raise RefutedError("refuted: the witness of the neurons' movements does not bound them on the claimed path")
        known[node] = sigma * drift
        length, before = arb(node), moved

    return lambda radius: known.get(float(radius))


def _inverse(claims: Claims, gram: Any) -> Any:
    """A ball matrix around K⁻¹: for any X, K⁻¹ − X = K⁻¹(I − KX), and ‖K⁻¹‖ ≤ 1/λ_min."""
    balls = claims.balls
    middle = balls.middles(gram)
    try:
        found = balls.exact(np.linalg.inv(np.tril(middle) + np.tril(middle, -1).T))
    except np.linalg.LinAlgError:
        raise RefutedError("refuted: the Gram matrix has no inverse in floating point") from None
    rest = _identity_less(balls, balls.product(gram, found))
    for _ in range(NEWTON):
        size = balls.norm(rest.entries())
        if size < balls.arb(2) ** -70:
            break
        found = found + balls.product(found, rest)
        rest = _identity_less(balls, balls.product(gram, found))
    far = (balls.norm(rest.entries()) / claims.lower("lambda_min_all")).abs_upper()
    return balls.map(lambda v: v + balls.arb(0, far), found)


def _identity_less(balls: Any, a: Any) -> Any:
    """I − A."""
    return -balls.shifted(a, balls.arb(1))

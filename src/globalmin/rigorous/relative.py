r"""‖K^{-1/2}A‖, proven: the norm of one matrix in that of a Gram matrix, for the half slopes of theory/curvature/slopes.py.

Its square is the smallest s with sK − AAᵀ positive semidefinite. For an s a little above the largest eigenvalue of the pencil,
found in floating point, that is shown by a lower bound of λ_min as for any other matrix; the other end is a quotient
vᵀAAᵀv / vᵀKv.
"""

import numpy as np
import scipy.linalg

from .enclosure import UNIT, Enclosure, Interval, UnboundedError
from .spectrum import lambda_min, quotient, root

TRIES = 12


def relative_norm(gram: Enclosure, least: Interval, products: Enclosure) -> Interval | None:
    """‖K^{-1/2}A‖ for all matrices inside; `None` where it is not shown.

    **Arguments:** `gram`: K; `least`: its λ_min; `products`: AAᵀ.
    """
    k, b = (np.tril(m.mid) + np.tril(m.mid, -1).T for m in (gram, products))
    if not (least.lower > 0 and np.isfinite(k).all() and np.isfinite(b).all()):
        return None
    if not (products.mid.any() or products.rad.any()):
        return Interval(0.0, 0.0)
    try:
        values, vectors = scipy.linalg.eigh(b, k, check_finite=False)
    except (scipy.linalg.LinAlgError, ValueError):
        return None
    guess, v = float(values[-1]), Enclosure.exact(vectors[:, -1])
    if not (np.isfinite(guess) and np.isfinite(v.mid).all() and guess > 0):
        return None
    try:
        below = quotient(v @ (Enclosure(b, products.rad) @ v), v @ (Enclosure(k, gram.rad) @ v))
    except UnboundedError:
        return None
    # Below this sK − AAᵀ is not seen to be positive: its radii, and the rounding of what shows it.
    lost = float((guess * gram.rad + products.rad).sum(axis=1).max())
    lost += 4 * len(k) * UNIT * (guess * float(np.trace(k)) + float(np.trace(b)))
    share = 4 * lost / (guess * least.lower)
    for _ in range(TRIES):
        s = guess * (1 + share)
        if not np.isfinite(s):
            return None
        if lambda_min(Enclosure(k, gram.rad) * Enclosure.exact(s) - Enclosure(b, products.rad)).lower >= 0:
            return root(Interval(min(max(below.lower * (1 - 1e-9), 0.0), s), s))
        share = max(8 * share, 1e-15)
    return None

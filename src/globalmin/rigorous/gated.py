r"""The gated network's numbers, enclosed: f = B D_L W_L … D_1 W_1 h_0, h_0 = max(Cx, 0), W_1 … W_L trained.

K = Σ_k (F_{k+1}F_{k+1}ᵀ)∘(h_{k−1}h_{k−1}ᵀ), and the polynomial ψ of theory/curvature/gated.py in the form of two constants on a
ball of radius R: ψ(p) ≤ Λ_*p for p ≤ R with Λ_* = ψ(R)/R, since ψ is convex with ψ(0) = 0, and Λ = ψ′(R). What lies between two
layers is bounded by the product of the norms there. A gate counts once its sign is proven; one that is not makes everything
UNDECIDED. The ReLU network has its own signs for gates, and Λ only on balls on which none of them changes.
"""

import itertools
import math
from typing import Any

import numpy as np

from ..models import AbstractGated, Gated, Rectified
from ..models.gates import GATES
from .enclosure import Enclosure, Interval, UnboundedError, grow
from .flint import PRECISION, precision, up
from .rows import Rows
from .spectrum import extreme_eigenvalues, lambda_max, operator_norm, root, symmetric_norm
from .theorem import Numbers, RigorousBlock, claimed


def gated_numbers(model: AbstractGated, x: np.ndarray, y: np.ndarray) -> Numbers:
    """Intervals of ρ₀, λ_min and λ_max of the tangent kernel, and of what ψ rests on.

    **Raises:** `UnboundedError`, also for a gate whose sign is not proven; `ValueError` for several outputs.
    """
    if len(model.readout) != 1:
        raise ValueError(f"rigorous mode: a gated network with one output expected, one with {len(model.readout)} came")
    layers = [Enclosure.exact(w) for w in model.layers]
    norms = [operator_norm(w) for w in layers]
    first = Enclosure.exact(model.first)
    start = Rows.exact(x).times(first, 0.0).rectified()
    masks = _masks(model, x, start) if isinstance(model, Gated) else []
    features, moves = [start], []  # h_0 … h_L; the distances of the ReLU network's pre-activations from 0
    for k, (w, norm) in enumerate(zip(layers, norms, strict=True)):
        before = features[-1].times(w, norm.upper)
        if isinstance(model, Rectified):
            ends = k == len(layers) - 1 and not model.final
            masks.append(np.ones(before.mid.shape, bool) if ends else _signs(before, k))
            if not ends:
                moves.append(before.enclosure().mignitude())
        features.append(before.masked(masks[k]))
    readout = Enclosure.exact(model.readout[0])
    back = [Rows.exact(np.broadcast_to(readout.mid, features[-1].mid.shape)).masked(masks[-1])]  # F_{L+1} … F_2
    for w, norm, mask in zip(layers[:0:-1], norms[:0:-1], masks[-2::-1], strict=True):
        back.append(back[-1].times(w.T, norm.upper).masked(mask))
    adjoints = back[::-1]
    forward, backward = [h.gram() for h in features[:-1]], [f.gram() for f in adjoints]
    gram = forward[0] * backward[0]
    for one, other in zip(forward[1:], backward[1:], strict=True):
        gram = gram + one * other
    low, high = extreme_eigenvalues(gram)
    depth = len(layers)
    quantities = claimed({
        "rho_0": (features[-1].dot(readout) - Enclosure.exact(y)).norm(),
        "lambda_min_all": low,
        "lambda_max": Interval(max(high.lower, 0.0), high.upper),
        **{
            f"cross@{a + 1},{b + 1}": root(lambda_max(forward[a] * backward[b]))
            for a, b in itertools.combinations(range(depth), 2)
        },
        **{f"layer_norm@{k + 1}": norms[k] for k in (range(depth) if isinstance(model, Rectified) else range(1, depth - 1))},
    })  # fmt: skip
    reach = math.inf
    if isinstance(model, Rectified):
        reach = _frozen(features, layers, [quantities[f"layer_norm@{k + 1}"].upper for k in range(depth)], moves)
    bound = _Bound({k: v.upper for k, v in quantities.items()}, depth, reach)
    kind = next((name for name, cls in GATES.items() if isinstance(getattr(model, "gates", None), cls)), "relu")
    options = {"gates": kind, "final": bool(model.final)}
    return Numbers(quantities, (RigorousBlock("all", bound.chord),), bound.whole, options)


def _masks(model: Gated, x: np.ndarray, start: Rows) -> list[np.ndarray]:
    """D_1 … D_L from the gates, with proven signs."""
    gates: Any = model.gates
    found = []
    if hasattr(gates, "left"):
        factors = [(np.asarray(v), np.asarray(u)) for u, v in zip(gates.left, gates.right, strict=True)]
    else:
        factors = [(np.asarray(m),) for m in gates.matrices]
    by_inputs = isinstance(gates, GATES["inputs"])
    z = Rows.exact(x) if by_inputs else start
    for k, parts in enumerate(factors):
        before = z
        for part in parts:
            matrix = Enclosure.exact(part)
            before = before.times(matrix, 0.0 if by_inputs else operator_norm(matrix).upper)
        if k == len(factors) - 1 and not model.final:
            found.append(np.ones(before.mid.shape, bool))
            break
        found.append(_signs(before, k))
        z = z if by_inputs else before.rectified()
    return found


def _signs(before: Rows, k: int) -> np.ndarray:
    """Which entries are positive, each proven."""
    found = before.enclosure()
    opened, closed = found.mid - found.rad > 0, found.mid + found.rad <= 0
    if not (opened | closed).all():
        sample, neuron = (int(v[0]) for v in np.nonzero(~(opened | closed)))
        raise UnboundedError(
            f"the gate of neuron {neuron} in layer {k + 1} for sample {sample} is within its error of 0, open or closed: move "
            "the sample, or take another seed"
        )
    return opened


def _frozen(features: list[Rows], layers: list[Enclosure], norms: list[float], moves: list[np.ndarray]) -> float:
    """A radius, from below, within which no pattern of the ReLU network changes; 0 where none is shown."""
    sizes = [Enclosure.exact(h.mid).row_norms_upper() + h.off for h in features[:-1]]
    rows = [w.row_norms_upper() for w in layers]

    def frozen(radius: float) -> bool:
        drift = np.zeros(len(features[0].mid))
        for size, row, norm, distance in zip(sizes, rows, norms, moves, strict=False):
            moved = radius * size[:, None] + drift[:, None] * (row + radius)
            if not (grow(moved, 8) < distance).all():
                return False
            drift = grow(radius * size + (norm + radius) * drift, 8)
        return True

    high = 1.0
    while frozen(high) and high < 1e300:
        high *= 2
    low = high / 2
    while not frozen(low):
        high, low = low, low / 2
        if low < 1e-300:
            return 0.0
    for _ in range(40):
        middle = (low + high) / 2
        low, high = (middle, high) if frozen(middle) else (low, middle)
    return low


class _Bound:
    """Λ_* and Λ on a ball, from the upper ends of the quantities."""

    def __init__(self, upper: dict[str, float], depth: int, reach: float):
        self.depth, self.reach = depth, reach
        with precision(PRECISION) as flint:
            self.m2, self.beta = self._coefficients(flint, upper)

    def chord(self, radius: Any) -> Any:
        """ψ(R)/R."""
        return self._sum(radius, lambda q: q)

    def whole(self, radius: Any) -> Any:
        """ψ′(R)."""
        return self._sum(radius, lambda q: q * (q - 1))

    def _sum(self, radius: Any, factor: Any) -> Any:
        if not radius <= self.reach:
            return None
        with precision(PRECISION) as flint:
            terms = (factor(q) * b * radius ** (q - 2) for q, b in enumerate(self.beta, start=3))
            found = sum(terms, flint.arb(0)) + self.m2
            return found if found.is_finite() and up(found) < math.inf else None

    def _coefficients(self, flint: Any, upper: dict[str, float]) -> tuple[Any, list[Any]]:
        """M_2 and β_3 … β_L."""
        arb, depth = flint.arb, self.depth
        largest = {q: arb(0) for q in range(2, depth + 1)}
        pairs = [[arb(0)] * depth for _ in range(depth)]
        for low, high in itertools.combinations(range(1, depth + 1), 2):
            between = sorted((upper[f"layer_norm@{k}"] for k in range(low + 1, high)), reverse=True)
            for q in range(2, len(between) + 3):
                # Of the layers between, q − 2 are in S; the product of the other norms is largest without the smallest ones.
                value = arb(upper[f"cross@{low},{high}"])
                for norm in between[: len(between) + 2 - q]:
                    value = value * arb(norm)
                largest[q] = largest[q].max(value)
                if q == 2:
                    pairs[low - 1][high - 1] = pairs[high - 1][low - 1] = value
        if depth == 1:
            return arb(0), []
        found = symmetric_norm(flint, pairs)
        if found is None:
            raise UnboundedError("the bounds on the second derivative left the range of double precision")
        root_depth = arb(depth).sqrt()
        return found, [math.comb(depth, q) * largest[q] / root_depth**q for q in range(3, depth + 1)]

"""Lower bounds on σ_min(J) near a point: one block's, tabulated, and the best of several."""

import dataclasses
import math
from collections.abc import Callable, Sequence

import numpy as np

from .._core import Estimate

NODES = 128  # of the table of a ψ that comes from a Λ growing with the ball
ENVELOPE_NODES = 512  # of the table of the best of several blocks


@dataclasses.dataclass(frozen=True)  # no module: bisections call its methods thousands of times
class Block:
    """A lower bound on σ_min(J) near θ₀: σ_min(J_*) ≥ sigma − ψ(p), with ψ(p) = lipschitz(R) · p on the ball of radius R.

    A richer ψ is given as `drift(p)` with its integral `drift_integral(p)`, ψ increasing. With `along_path` it bounds what a
    path of descent or flow of length p from θ₀ can do, and not every point of the ball: no help about another point. With
    `apart` p need only be how far the parameters *outside* the block have moved, as for a read-out: its columns are features.
    """

    name: str
    sigma: Estimate
    lipschitz: Callable[[float], float] | None = None
    drift: Callable[[float], float] | None = None
    drift_integral: Callable[[float], float] | None = None
    along_path: bool = False
    apart: bool = False

    def psi(self, p: float, radius: float) -> float:
        """ψ(p) for p ≤ radius."""
        return self.drift(p) if self.drift is not None else self.lipschitz(radius) * p  # pyright: ignore

    def psi_integral(self, p: float, radius: float) -> float:
        """Ψ(p), the integral of ψ from 0."""
        if self.drift_integral is not None:
            return self.drift_integral(p)
        return self.lipschitz(radius) * p * p / 2  # pyright: ignore[reportOptionalCall]


def tabulated(block: Block) -> Block:
    """The same block with ψ(p) = Λ(p)p, where Λ grows with the ball: at a distance p only the ball of radius p counts.

    Between two nodes Λ is taken at the farther one, so that ψ and its integral are from above; beyond ψ = σ nothing is asked.
    """
    sigma = block.sigma.upper
    if block.lipschitz is None or block.drift is not None or not sigma > 0:
        return block
    least = block.lipschitz(0.0)
    if not 0 < least < math.inf or block.lipschitz(sigma / least) == least:  # constant: there is a closed form
        return block
    lipschitz = block.lipschitz
    _, end = bisect(lambda p: lipschitz(p) * p < sigma, 0.0, sigma / least, most=40)
    nodes = np.linspace(0.0, end, NODES + 1)
    slopes = np.array([lipschitz(float(p)) for p in nodes[1:]])
    sums = np.concatenate([[0.0], np.cumsum(slopes * np.diff(nodes**2) / 2)])

    def drift(p: float) -> float:
        if p > end:
            return math.inf
        return float(slopes[max(int(np.searchsorted(nodes, p)) - 1, 0)]) * p

    def drift_integral(p: float) -> float:
        if p > end:
            return math.inf
        k = max(int(np.searchsorted(nodes, p)) - 1, 0)
        return float(sums[k] + slopes[k] * (p * p - nodes[k] ** 2) / 2)

    return dataclasses.replace(block, lipschitz=None, drift=drift, drift_integral=drift_integral)


def envelope(blocks: Sequence[Block], *, pessimistic: bool) -> list[Block]:
    """The best block at every length: σ_min(J) ≥ max_b (σ_b − ψ_b(p)), itself of the form σ − ψ(p).

    **Returns:** one block or, where one of them is the best all along, none.

    Between two nodes every ψ_b is taken at the farther one, so that ψ and its integral are from above.
    """
    ends = [block.sigma.lower if pessimistic else block.sigma.upper for block in blocks]
    sigma = max(ends, default=0.0)
    if len(blocks) < 2 or not 0 < sigma < math.inf:
        return []
    last = max(turning_point(block, end, 0.0) if end > 0 else 0.0 for block, end in zip(blocks, ends, strict=True))
    if not 0 < last < math.inf:
        return []
    nodes = np.linspace(0.0, last, ENVELOPE_NODES + 1)
    left = np.array(
        [[end - block.psi(float(p), float(p)) for p in nodes] for block, end in zip(blocks, ends, strict=True)]
    )
    best = left[:, 1:].max(axis=0)
    if any(np.all(row[1:] >= best) for row in left):
        return []
    values = sigma - best
    sums = np.concatenate([[0.0], np.cumsum(values * np.diff(nodes))])

    def drift(p: float) -> float:
        if p > last:
            return math.inf
        return float(values[max(int(np.searchsorted(nodes, p)) - 1, 0)])

    def drift_integral(p: float) -> float:
        if p > last:
            return math.inf
        k = max(int(np.searchsorted(nodes, p)) - 1, 0)
        return float(sums[k] + values[k] * (p - nodes[k]))

    order = [blocks[k].name for k in np.argsort([-end for end in ends])]
    return [Block("the best of " + ", ".join(order), Estimate(sigma), drift=drift, drift_integral=drift_integral)]


def by_halves(blocks: Sequence[Block], best: Sequence[Block], far: float, *, pessimistic: bool) -> list[Block]:
    """Blocks of which only half the path is charged, each from `far` on and from where it overtakes the best of all.

    Of a path of length p, a block that is `apart` need not be charged more than ψ(p/2): while the parameters outside it move by
    p/2, those inside move as much or the residual falls faster than the theorem asks. Where another block served up to a
    length s, all of s may have been outside, and then it is ψ((p + s)/2).

    **Arguments:** `best`, the envelope of the blocks, if it is not one of them; `far`, the distance from the centre.

    **Source:** docs/theory/kantorovich.md, "Half the path".
    """
    found = []
    for block in blocks:
        end = block.sigma.lower if pessimistic else block.sigma.upper
        if not block.apart or not block.psi(far, far) < end:
            continue
        found.append(_half(block, far))
        for other in best or [one for one in blocks if one is not block]:
            sigma = other.sigma.lower if pessimistic else other.sigma.upper
            start = _overtaken(other, sigma, block, end, far)
            if start is not None:
                found.append(_half(block, start, other, sigma - end, sigma))
    return found


def _overtaken(other: Block, sigma: float, block: Block, end: float, far: float) -> float | None:
    """Where twice the block's bound, its worth by half the path, exceeds the other's; `None` if at once or never."""

    def ahead(p: float) -> bool:
        return sigma - other.psi(p, p) > 2 * (end - block.psi(p, p))

    last = turning_point(block, end, 0.0)
    if not far < last < math.inf or not ahead(far):
        return None
    start = bisect(ahead, far, last, most=60)[1]
    return start if start < last else None


def _half(block: Block, start: float, before: Block | None = None, gap: float = 0.0, sigma: float = 0.0) -> Block:
    """σ − ψ of `before` up to `start`, then the block's at (p + start)/2; `gap` is by how much the former's σ is larger."""
    first = block if before is None else before
    lost = first.psi_integral(start, start), block.psi_integral(start, start)

    def drift(p: float) -> float:
        if p <= start:
            return first.psi(p, p)
        half = (p + start) / 2
        return gap + block.psi(half, half)

    def drift_integral(p: float) -> float:
        if p <= start:
            return first.psi_integral(p, p)
        half = (p + start) / 2
        return lost[0] + gap * (p - start) + 2 * (block.psi_integral(half, half) - lost[1])

    name = f"{block.name} by half the path" + ("" if before is None else f", after {first.name}")
    return Block(
        name,
        block.sigma if before is None else Estimate(sigma),
        drift=drift,
        drift_integral=drift_integral,
        along_path=True,
    )


def mean_slope(block: Block, radius: float) -> float:
    """Λ_* to report: the Lipschitz constant on the ball, or the mean slope of a general ψ."""
    if block.lipschitz is not None:
        return block.lipschitz(radius)
    radius = radius if radius > 0 else 1e-9
    while math.isinf(block.psi(radius, radius)) and radius > 1e-300:  # ψ may end before the ball does
        radius /= 2
    return block.psi(radius, radius) / radius


def turning_point(block: Block, sigma: float, radius: float) -> float:
    """Root of ψ = σ, rounded down: E increases up to there."""
    if block.lipschitz is not None and block.drift is None:
        slope = block.lipschitz(radius)  # infinite where nothing is proven on the ball: the root is then 0
        return sigma / slope if slope > 0 else math.inf
    low, high = 0.0, 1.0
    while block.psi(high, high) < sigma and high < 1e300:
        low, high = high, 2 * high
    return bisect(lambda p: block.psi(p, p) < sigma, low, high)[0]


def highest(block: Block, sigma: float, radius: float, far: float, top: float) -> float:
    """max E: the value of σp − (Ψ(far + p) − Ψ(far)) where ψ(far + p) = σ; infinite without such a p."""
    if math.isinf(top):
        return math.inf
    if top <= far:
        return 0.0
    if block.lipschitz is not None and block.drift is None:
        return (sigma - block.lipschitz(radius) * far) * (top - far) / 2
    return sigma * (top - far) - (block.psi_integral(top, radius) - block.psi_integral(far, radius))


def smallest_radius(block: Block, sigma: float, radius: float, target: float, far: float, top: float) -> float:
    """Smallest p with σp − (Ψ(far + p) − Ψ(far)) ≥ target, rounded up and checked by that very inequality."""
    if block.lipschitz is not None and block.drift is None:
        # The stable form of (s − √(s² − 2Λ·target))/Λ, right for Λ = 0 too; nudged up past its own rounding.
        slope = block.lipschitz(radius)
        left = sigma - slope * far
        root = math.sqrt(max(left * left - 2 * slope * target, 0.0))
        p = 2 * target / (left + root) * (1 + 1e-12)
        return min(p, top - far)
    start = block.psi_integral(far, radius)
    return bisect(lambda p: sigma * p - (block.psi_integral(far + p, radius) - start) < target, 0.0, top - far)[1]


def bisect(below: Callable[[float], bool], low: float, high: float, *, most: int = 200) -> tuple[float, float]:
    """Ends of the last interval in which `below` changes from true to false."""
    for _ in range(most):
        middle = (low + high) / 2
        if middle in (low, high):
            break
        low, high = (middle, high) if below(middle) else (low, middle)
    return low, high

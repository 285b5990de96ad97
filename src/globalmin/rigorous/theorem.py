r"""The theorem of docs/theory/kantorovich.md decided in ball arithmetic, from intervals of its numbers.

At distances D = q_0 < q_1 < … < q_N from the point where the constants were taken (D = 0: the weights themselves) take Λ_j, a
Lipschitz constant of J on the ball of radius q_j, and for every block Λ_bj with σ_min(J_b) ≥ σ_b − Λ_bj q at distances q ≤ q_j
(or at the end of paths of length q). On (q_{j−1}, q_j], with b₀ ≥ ‖J‖ at the point and b the best block there,

    c(q) = 1 − η(b₀ + Λ_j q)²/2 − ηΛρ/2  (flow: 1),      e(q) = σ_b − Λ_bj q,

which is a polynomial, so that ∫ce is exact up to rounding: a lower bound of the theorem's G. R is one of the nodes, Λ the
constant of its ball. Shown are c > 0 up to R, σ_* = max_b(σ_b − Λ_b R) > 0 and ∫ce ≥ ρ up to R; and h = ρ/(2∫ce) < 1/2 up to
the last node. Nothing depends on how the nodes were found.

From a node S on, S = D among them, half of the path may be charged to a block that only the other parameters move, as a
read-out's features: e(q) = σ_b − Λ_bj (q + S)/2, with Λ_bj for distances of the others up to (q_j + S)/2.

The displacement form takes its constants at another point θ_c, at the distance D, where the residual is ρ_c: with
c₁ = 1 − ηβ(D)²/2 it puts min(ρ₀, (ρ_c + Λ_0D²/2)/c₁) in the place of ρ, and asks for c_D = c₁ − ηΛ_0ρ₀/2 > 0 besides.

Why a grid serves: the largest of the e's of all intervals that are not over yet falls with q, and bounds σ_min(J) from below;
likewise for c. So the sum is at most the G of an admissible ψ and β.
"""

import dataclasses
import itertools
import math
from collections.abc import Callable, Sequence
from typing import Any, Literal

from .enclosure import Interval
from .flint import PRECISION, down, precision, up

Verdict = Literal["HOLDS", "FAILS", "UNDECIDED"]
Method = Literal["descent", "flow"]
HOPE = 1e-9
"""By how much the upper bounds of Λ are taken to be off at most, relatively, where FAILS is told from UNDECIDED."""
NODES = 48
"""Intervals up to four times the shortest path that there can be; where the ball ends before, up to its end."""
FURTHER = 32
"""Intervals beyond."""
FINER = 4
"""So many times as many, where h comes out near 1/2."""
FAR = 2.0**40
"""Radii looked at, in units of the shortest path there can be."""
SLACK = 2.0**-50
"""By how much a stated bound is wider, relatively: other formulas need not give its last digit."""

Bound = Callable[[Any], Any]
"""From the radius R, an Arb ball, to a ball that is at least the Lipschitz constant on the ball of that radius; `None` where
nothing is proven there."""

Step = Callable[[float, Any, Any], tuple[Any, float] | None]
"""From (what is carried along, p, q) to Λ_* for the paths whose length is between p and q, and what is carried further."""


@dataclasses.dataclass(frozen=True)
class RigorousBlock:
    """Some of the parameters, with λ_min of their share of the Gram matrix, and how fast their least singular value can fall.

    `march`, in place of `lipschitz`: all parameters, and a bound of what a path of that length can do, node by node. `apart`:
    the radius that `lipschitz` is asked for need only be how far the parameters outside the block have moved.
    """

    key: str  # as it stands in the file; `lambda_min_<key>` is its eigenvalue among the quantities
    lipschitz: Bound | None
    march: Step | None = None
    apart: bool = False
    unshown: bool = False  # a Λ_* of half the size may be right, but was not shown: nothing fails for lack of it

    @property
    def along_path(self) -> bool:
        """Whether it is about paths, and not about every point of the ball."""
        return self.march is not None

    @property
    def eigenvalue(self) -> str:
        """The key of λ_min."""
        return "lambda_min_all" if self.along_path else f"lambda_min_{self.key}"


@dataclasses.dataclass(frozen=True)
class Numbers:
    """What a system contributes: proven intervals, and the Lipschitz constants that follow from them.

    `quantities` has `rho_0`, `lambda_min_<block>` and, for descent, `lambda_max` (‖J‖²), and whatever else the constants
    rest on; for the displacement form also `rho_c` and `distance`, and all but `rho_0` are about
    θ_c. `lipschitz` is Λ of the whole Jacobian, `None` where none is proven; `missing` says why, in words.
    `witness` gives, for a radius, the numbers with which another program can check the constants without a search.
    `further` makes numbers that cost more and prove more, for where these do not suffice.
    """

    quantities: dict[str, Interval]
    blocks: tuple[RigorousBlock, ...]
    lipschitz: Bound | None
    options: dict[str, Any]
    missing: str = ""
    witness: Callable[[Any], dict[str, list[float]]] = lambda radius: {}
    further: Callable[[], "Numbers | None"] = lambda: None
    kept: dict[Any, Any] = dataclasses.field(default_factory=dict, repr=False, compare=False)  # constants by radius

    @property
    def displaced(self) -> bool:
        """Whether the constants are those of another point."""
        return "distance" in self.quantities

    def constant(self, bound: Bound, radius: Any) -> Any:
        """`bound` at a radius; one radius is asked about for several step sizes."""
        key = (bound, float(radius))
        if key not in self.kept:
            self.kept[key] = bound(radius)
        return self.kept[key]


def claimed(quantities: dict[str, Interval]) -> dict[str, Interval]:
    """The intervals as the file will state them: one unit wider at either end.

    Where an end is exact, a ball of another precision around the same number then still lies inside.
    """
    return {
        k: Interval(math.nextafter(v.lower, -math.inf) if v.lower else 0.0, math.nextafter(v.upper, math.inf))
        for k, v in quantities.items()
    }


@dataclasses.dataclass(frozen=True)
class Proof:
    """The theorem's verdict on the numbers, with every number that it used; `None` where one does not exist."""

    verdict: Verdict
    reason: str
    method: Method
    step_size: float | None
    block: str | None = None  # those that were the best on some interval, joined by ", "
    ball: float | None = None  # R
    conditions: dict[str, Interval] = dataclasses.field(default_factory=dict)
    radius: float | None = None  # no iterate is further away than this, from above
    path: float | None = None  # length of the whole path, from above
    sigma_star: float | None = None  # from below
    rate: float | None = None  # of the residual, per step or per unit of time, from above
    nodes: tuple[float, ...] = ()  # q_0, …, q_N
    half: tuple[str, float] | None = None  # the block that half of the path is charged to, and S
    witness: dict[str, list[list[float]]] = dataclasses.field(default_factory=dict)  # node by node
    along_path: bool = False


def prove(numbers: Numbers, method: Method, step_size: float | None) -> Proof:
    """Decide the theorem at these numbers.

    **Arguments:** `step_size`: η, a positive double that is taken as it is; `None` for the flow.

    **Returns:** HOLDS only where every inequality is proven; FAILS where on a grid of this fineness they are not met for the
    best ends of ρ₀, σ₀ and ‖J‖ either (and Λ smaller by `HOPE`); UNDECIDED in between.
    """
    if method == "descent" and (step_size is None or not (step_size > 0 and math.isfinite(step_size))):
        raise ValueError(f"step_size: a positive number expected, {step_size} came")
    eta = step_size if method == "descent" else None
    blocks = [b for b in numbers.blocks if not (numbers.displaced and b.along_path)]
    if not blocks or ((method == "descent" or numbers.displaced) and numbers.lipschitz is None):
        return Proof("FAILS", numbers.missing or "no proven bound on the change of the Jacobian", method, eta)
    with precision(PRECISION) as flint:
        found = _search(_Sum(flint, numbers, blocks, eta, worst=True))
        if found.verdict == "HOLDS":
            rows = [numbers.witness(flint.arb(q)) if _asked(numbers, found, q) else {} for q in found.nodes]
            names = {name for row in rows for name in row}
            witness = {name: [row.get(name, []) for row in rows] for name in sorted(names)}
            return dataclasses.replace(found, witness={**witness, **found.witness})
        hopeful = _search(_Sum(flint, numbers, blocks, eta, worst=False)).verdict == "HOLDS"
        words = f"not proven: {found.reason}; it may hold, the error bounds are too wide to tell"
        return dataclasses.replace(
            found, verdict="UNDECIDED" if hopeful else "FAILS", reason=words if hopeful else found.reason
        )


def _asked(numbers: Numbers, proof: Proof, q: float) -> bool:
    """Whether the constants of all parameters on that ball are part of the proof."""
    if proof.method == "descent" or (numbers.displaced and q == proof.nodes[0]):
        return True
    ends = proof.half is not None and q > proof.half[1]
    return not ends and "all" in (proof.block or "").split(", ")


@dataclasses.dataclass(frozen=True)
class _Row:
    """The sum up to a node. `carried` is that of the blocks along the path."""

    q: float
    first: Any  # c without the share of Λ: 1 − ηβ²/2
    least: Any  # the smallest of these so far
    whole: Any  # Λ on the ball; 0 where it is not needed
    lines: tuple[Any, ...]  # by block (u, v), e(q) = u − vq; `None` where nothing is proven
    left: Any  # the largest of them at q
    used: int | None  # the best block on the interval that ends here
    charged: Any  # ∫ (1 − ηβ²/2) e
    plain: Any  # ∫ e
    carried: tuple[float | None, ...]


class SilentError(Exception):
    """Why the theorem says nothing, in words."""


class _Sum:
    """The sums of the theorem, node after node, from the worst or the best ends of the intervals."""

    def __init__(
        self, flint: Any, numbers: Numbers, blocks: Sequence[RigorousBlock], eta: float | None, *, worst: bool
    ):
        self.flint, self.numbers, self.blocks, self.worst = flint, numbers, blocks, worst
        self.half: tuple[int, float] | None = None  # which block, and S
        self.eta: Any = None if eta is None else flint.arb(eta)
        values = (numbers.quantities[b.eigenvalue] for b in blocks)
        self.squares = [flint.arb(v.lower if worst else v.upper) for v in values]
        self.sigmas = [v.sqrt() if v > 0 else flint.arb(0) for v in self.squares]
        self.rho = self.end("rho_0")
        self.far = self.end("distance") if numbers.displaced else flint.arb(0)
        self.norm = flint.arb(0) if eta is None else self.end("lambda_max").sqrt()

    def end(self, name: str) -> Any:
        """A quantity that is bounded from above."""
        interval = self.numbers.quantities[name]
        return self.flint.arb(interval.upper if self.worst else max(interval.lower, 0.0))

    def hoped(self, slope: Any, unshown: bool = False) -> Any:
        """A Lipschitz constant at that end."""
        return slope if slope is None or self.worst else slope * (0.5 if unshown else 1 - HOPE)

    def whole(self, radius: Any) -> Any:
        """Λ of the whole Jacobian, `None` where nothing is proven."""
        assert self.numbers.lipschitz is not None
        return self.hoped(self.numbers.constant(self.numbers.lipschitz, radius))

    def start(self) -> _Row:
        """The row at D."""
        zero, one = self.flint.arb(0), self.flint.arb(1)
        if not self.numbers.displaced:
            lines = tuple((sigma, zero) for sigma in self.sigmas)
            carried = tuple(0.0 if b.along_path else None for b in self.blocks)
            return _Row(0.0, one, one, zero, lines, self._left(lines, zero), None, zero, zero, carried)
        none = (None,) * len(self.blocks)
        whole, lines = self.whole(self.far), self._lines(none, self.far, self.far, whole_path=True)[0]
        if whole is None or not any(lines):
            raise SilentError(UNBOUNDED)
        first, left = self._first(whole, self.far), self._left(lines, self.far)
        if not left > 0:
            raise SilentError("the Jacobian may lose its rank between here and the point that fits the data (ΛD ≥ σ₀)")
        return _Row(float(self.far), first, first, whole, lines, left, None, zero, zero, none)

    def target(self, start: _Row) -> tuple[Any, Any]:
        """The residual that G has to reach, and c_D."""
        if not self.numbers.displaced:
            return self.rho, self.flint.arb(1)
        early = start.first
        if self.eta is not None:
            early = early - self.eta * start.whole * self.rho / 2
        if not early > 0:
            raise SilentError(
                f"the step size {float(self.eta or 0):.4g} is too large for the curvature on the ball (c ≤ 0)"
            )
        return self.rho.min((self.end("rho_c") + start.whole * self.far * self.far / 2) / start.first), early

    def step(self, before: _Row, q: float) -> _Row | None:
        """The row at q; `None` where nothing is proven on that ball, or σ_min may be 0 there."""
        radius, low = self.flint.arb(q), self.flint.arb(before.q)
        whole = self.flint.arb(0)
        if self.eta is not None:
            whole = self.whole(radius)
            if whole is None:
                return None
        lines, carried = self._lines(before.carried, low, radius)
        left = self._left(lines, radius)
        if left is None or not left > 0:
            return None
        middle, length = (low + radius) / 2, radius - low
        best, plain = None, None
        for b, line in enumerate(lines):
            if line is not None:
                area = length * (line[0] - line[1] * middle)
                if plain is None or area.mid() > plain.mid():
                    best, plain = b, area
        assert best is not None
        first, charged = self._first(whole, radius), plain
        if self.eta is not None:  # Simpson's rule is exact for a cubic
            height, slope = lines[best]
            parts = [self._first(whole, at) * (height - slope * at) for at in (low, middle, radius)]
            charged = length * (parts[0] + 4 * parts[1] + parts[2]) / 6
        least = first if first.mid() < before.least.mid() else before.least
        return _Row(
            q, first, least, whole, lines, left, best, before.charged + charged, before.plain + plain,
            carried,
        )  # fmt: skip

    def bend(self, row: _Row, target: Any) -> Any:
        """ηΛρ/2."""
        return self.flint.arb(0) if self.eta is None else self.eta * row.whole * target / 2

    def gain(self, row: _Row | None, target: Any) -> Any:
        """∫ce up to this node as R; `None` unless c > 0 up to there."""
        if row is None:
            return None
        bend = self.bend(row, target)
        return row.charged - bend * row.plain if row.least - bend > 0 else None

    def positive(self, whole: Any, q: float, target: Any) -> bool:
        """Whether c > 0 at that distance, with the Λ of its ball."""
        return bool(self._first(whole, self.flint.arb(q)) - self.eta * whole * target / 2 > 0)

    def alive(self, q: float) -> bool:
        """Whether some block is proven regular at that distance."""
        radius = self.flint.arb(q)
        carried: tuple[float | None, ...] = tuple(0.0 if b.along_path else None for b in self.blocks)
        lines: tuple[Any, ...] = ()
        half = self.half is not None and q > self.half[1]
        count = NODES if not half and any(b.along_path for b in self.blocks) else 1
        for low, high in itertools.pairwise([radius * j / count for j in range(count)] + [radius]):
            lines, carried = self._lines(carried, radius if half else low, high, whole_path=not half)
        left = self._left(lines, radius)
        return left is not None and bool(left > 0)

    def _lines(
        self, carried: Sequence[float | None], low: Any, radius: Any, *, whole_path: bool = False
    ) -> tuple[tuple[Any, ...], tuple[float | None, ...]]:
        """The blocks' lines between two radii, and what is carried along."""
        lines, moved = [], []
        half = self.half if self.half is not None and not whole_path and low >= self.half[1] else None
        for b, (block, sigma, before) in enumerate(zip(self.blocks, self.sigmas, carried, strict=True)):
            line, after = None, None
            if half is not None:
                if half[0] == b:
                    slope = self._slope(block, (radius + half[1]) / 2)
                    line = None if slope is None else (sigma - slope * half[1] / 2, slope / 2)
            elif block.march is not None:
                found = None if before is None else block.march(before, low, radius)
                line, after = (None, None) if found is None else ((sigma, self.hoped(found[0])), found[1])
            else:
                slope = self._slope(block, radius)
                line = None if slope is None else (sigma, slope)
            lines.append(line)
            moved.append(after)
        return tuple(lines), tuple(moved)

    def _slope(self, block: RigorousBlock, radius: Any) -> Any:
        assert block.lipschitz is not None
        return self.hoped(self.numbers.constant(block.lipschitz, radius), block.unshown)

    def _first(self, whole: Any, radius: Any) -> Any:
        if self.eta is None:
            return self.flint.arb(1)
        beta = self.norm + whole * radius
        return 1 - self.eta * beta * beta / 2

    def _left(self, lines: Sequence[Any], radius: Any) -> Any:
        found = None
        for line in lines:
            if line is not None:
                value = line[0] - line[1] * radius
                found = value if found is None else found.max(value)
        return found


UNBOUNDED = "on the ball that the residual asks for, nothing bounds the change of the Jacobian"
OUT_OF_RANGE = "a number of the theorem left the range of double precision"


def _search(total: _Sum) -> Proof:
    """Nodes on which the theorem is proven, or what is missing."""
    method: Method = "flow" if total.eta is None else "descent"
    eta = None if total.eta is None else float(total.eta)

    def decided() -> Proof:
        try:
            return _decided(total, method, eta)
        except SilentError as silent:
            return Proof("FAILS", str(silent), method, eta)

    best = decided()
    for half in _halves(total):
        total.half = half
        found = decided()
        if (found.verdict != "HOLDS", _h(found)) < (best.verdict != "HOLDS", _h(best)):
            best = found
    return best


def _h(proof: Proof) -> float:
    return proof.conditions["h"].upper if "h" in proof.conditions else math.inf


def _halves(total: _Sum) -> list[tuple[int, float]]:
    """From where on half the path is charged to a block: at once, and from where that is worth as much as the best of all."""
    found: list[tuple[int, float]] = []
    for b, block in enumerate(total.blocks):
        if not block.apart or not total.sigmas[b] > 0:
            continue
        try:
            start = total.start()
            unit = _unit(total, start)
            alive, _ = _turning(total, start.q, unit)
        except SilentError:
            continue
        rows = _rows(total, start, [start.q + p for p in _grid(alive - start.q, unit, NODES)])
        found.append((b, start.q))

        def ahead(row: _Row | None, b: int = b) -> bool:
            line = None if row is None else row.lines[b]
            return row is not None and line is not None and bool(row.left > 2 * (line[0] - line[1] * row.q))

        last = max((k for k, row in enumerate(rows) if ahead(row)), default=None)
        if last is not None and last + 1 < len(rows):
            low, high = rows[last].q, rows[last + 1].q
            for _ in range(12):
                middle = (low + high) / 2
                low, high = (middle, high) if ahead(total.step(rows[last], middle)) else (low, middle)
            if low > start.q:
                found.append((b, low))
    return found


def _unit(total: _Sum, start: _Row) -> float:
    """The length of the shortest path there can be, whatever the step size."""
    asked = total.rho
    if total.numbers.displaced:
        asked = total.rho.min(total.end("rho_c") + start.whole * total.far * total.far / 2)
    unit = float(asked / start.left)
    if not (math.isfinite(unit) and math.isfinite(start.q)):
        raise SilentError(OUT_OF_RANGE)
    return max(unit, 2.0**-52 * start.q, 1e-300)


def _decided(total: _Sum, method: Method, eta: float | None) -> Proof:
    if not any(v > 0 for v in total.squares):
        raise SilentError("the Gram matrix is not shown positive definite (σ₀ = 0 within its error)")
    start = total.start()
    target, early = total.target(start)
    unit = _unit(total, start)
    alive, dead = _open(total, target, start.q, unit, _turning(total, start.q, unit))
    rows = _rows(total, start, [start.q + p for p in _grid(alive - start.q, unit, NODES)])
    if len(rows) < 2:
        raise SilentError(UNBOUNDED)
    peak = _peak(total, rows, target)
    if peak is None:
        raise SilentError(
            f"the step size {eta:.4g} is too large for the curvature on the ball (c ≤ 0)"
            if eta is not None
            else UNBOUNDED
        )
    straight = all(_same(rows[1], row) for row in rows[2:])
    h = float(target / (2 * total.gain(rows[peak], target)))
    near = 0.4 < h < 0.7
    if near and not straight:
        last = min(alive, start.q + 1.3 * (rows[peak].q - start.q))
        fine = _rows(total, start, [start.q + p for p in _grid(last - start.q, unit, FINER * NODES)])
        found = _peak(total, fine, target)
        if found is not None:
            rows, peak = fine, found
    steps = 60 if 0.49 < h < 0.52 else 28
    rows = _refined(total, rows, peak, target, dead, steps) if near or straight else rows[: peak + 1]
    h = target / (2 * total.gain(rows[-1], target))
    conditions = _conditions(total, rows[-1], target, early, h)
    if not 2 * h < 1:
        reason = f"h = {float(h):.6g} where less than 1/2 is needed: missed by a factor of {float(2 * h):.6g}"
        return Proof("FAILS", reason, method, eta, _blocks(total, rows, []), None, conditions)
    rows, at = _at_the_radius(total, rows, target)
    final, last = rows[at], rows[-1]
    h = target / (2 * total.gain(last, target))
    c = _least(early, final.first - total.bend(final, target))
    radius = total.flint.arb(final.q)
    path = radius - total.far + (total.rho - target) / (early * start.left)
    away = path.min(total.far + radius) if total.numbers.displaced else path
    star = final.left
    rate = (-star * star).exp() if total.eta is None else 1 - c * total.eta * star * star
    found = (up(away), up(path), down(star), up(rate))
    conditions = _conditions(total, final, target, early, h)
    if not (2 * h < 1 and all(math.isfinite(v) for v in (*found, float(h)))):
        raise SilentError(OUT_OF_RANGE)
    witness = {}
    for b, block in enumerate(total.blocks):
        if block.along_path and any(row.used == b for row in rows):
            moved = (row.carried[b] for row in rows)
            witness["movements"] = [[] if v is None else [v] for v in moved]
    blocks = _blocks(total, rows, [start, final] if total.numbers.displaced else [final])
    return Proof(
        "HOLDS", "", method, eta, blocks, final.q, conditions, *found,
        nodes=tuple(row.q for row in rows), half=_named(total, rows), witness=witness, along_path=bool(witness),
    )  # fmt: skip


def _conditions(total: _Sum, row: _Row, target: Any, early: Any, h: Any) -> dict[str, Interval]:
    """What the file states of the node R besides its hypotheses; Λ_* is that of the best block there."""
    wide, radius = 1 + total.flint.arb(SLACK), total.flint.arb(row.q)
    known = (line for line in row.lines if line is not None)
    slope = max(known, key=lambda line: (line[0] - line[1] * radius).mid())[1]
    try:
        found = {
            "lipschitz_block": Interval(0.0, up(slope * wide)),
            "c": Interval(down(_least(early, row.first - total.bend(row, target)) / wide), 1.0),
            "h": Interval(0.0, up(h * wide)),
        }
        if total.eta is not None:
            found["lipschitz"] = Interval(0.0, up(row.whole * wide))
            found["beta"] = Interval(0.0, up((total.norm + row.whole * radius) * wide))
        if total.numbers.displaced:
            found["target"] = Interval(0.0, up(target * wide))
    except ValueError:
        raise SilentError(OUT_OF_RANGE) from None
    return found


def _blocks(total: _Sum, rows: Sequence[_Row], points: Sequence[_Row]) -> str:
    """The best blocks of the intervals, and at the points whose σ_min counts."""
    used = {row.used for row in rows}
    for row in points:
        radius = total.flint.arb(row.q)
        known = [b for b, line in enumerate(row.lines) if line is not None]
        used.add(max(known, key=lambda b, row=row, radius=radius: (row.lines[b][0] - row.lines[b][1] * radius).mid()))
    return ", ".join(block.key for b, block in enumerate(total.blocks) if b in used)


def _named(total: _Sum, rows: Sequence[_Row]) -> tuple[str, float] | None:
    if total.half is None or not total.half[1] < rows[-1].q:
        return None
    return total.blocks[total.half[0]].key, total.half[1]


def _least(a: Any, b: Any) -> Any:
    return a.min(b)


def _same(one: _Row, other: _Row) -> bool:
    """Whether the constants do not depend on the ball."""
    numbers = [[row.whole, *(None if line is None else line[1] for line in row.lines)] for row in (one, other)]
    return all(
        (u is None) == (v is None) and (u is None or float(u) == float(v)) for u, v in zip(*numbers, strict=True)
    )


def _grid(length: float, unit: float, nodes: int) -> list[float]:
    """Where nodes are put, from 0 on."""
    near = min(4 * unit, length)
    found = [near * j / nodes for j in range(1, nodes + 1)]
    if length > near:
        count = FURTHER * (nodes // NODES)
        found += [near + (length - near) * j / count for j in range(1, count + 1)]
    return found


def _turning(total: _Sum, far: float, unit: float) -> tuple[float, float]:
    """Two radii near which the bound of σ_min comes down to 0: above at the first, not shown to be at the second."""
    low, high = far, far + unit
    while high < far + FAR * unit and total.alive(high):
        low, high = high, far + 2 * (high - far)
    if low > far and high >= far + FAR * unit:
        return low, low
    for _ in range(14 if low > far else 30):
        middle = low + (high - low) / 2
        if total.alive(middle):
            low = middle
        else:
            high = middle
    if low == far:
        raise SilentError(UNBOUNDED)
    return low, high


def _open(total: _Sum, target: Any, far: float, unit: float, ends: tuple[float, float]) -> tuple[float, float]:
    """The same two radii, or, where that comes before, those near which c comes down to 0."""
    if total.eta is None:
        return ends

    def positive(q: float) -> bool:
        whole = total.whole(total.flint.arb(q))
        return whole is not None and total.positive(whole, q, target)

    low, high = far, far + unit
    while high < ends[0] and positive(high):
        low, high = high, far + 2 * (high - far)
    if high >= ends[0] and positive(ends[0]):
        return ends
    high = min(high, ends[0])
    for _ in range(10 if low > far else 30):
        middle = low + (high - low) / 2
        low, high = (middle, high) if positive(middle) else (low, middle)
    return (low, high) if low > far else ends


def _rows(total: _Sum, start: _Row, nodes: Sequence[float]) -> list[_Row]:
    """The sums at the nodes, as far as they are proven; S is one of them."""
    if total.half is not None:
        nodes = sorted({*nodes, total.half[1]})
    rows = [start]
    for q in nodes:
        if not q > rows[-1].q:
            continue
        row = total.step(rows[-1], q)
        if row is None:
            break
        rows.append(row)
    return rows


def _peak(total: _Sum, rows: Sequence[_Row], target: Any) -> int | None:
    """Where G is largest."""
    best, most = None, None
    for k, row in enumerate(rows[1:], start=1):
        gain = total.gain(row, target)
        if gain is not None and gain > 0 and (most is None or gain > most):
            best, most = k, gain
    return best


def _refined(total: _Sum, rows: list[_Row], peak: int, target: Any, dead: float, steps: int) -> list[_Row]:
    """The rows up to where G is largest between the nodes, by golden sections on either side of the node where it is."""
    golden = (math.sqrt(5) - 1) / 2
    best, most = rows[: peak + 1], total.gain(rows[peak], target)
    after = rows[peak + 1].q if peak + 1 < len(rows) else max(dead, rows[peak].q)
    for kept, end in ((rows[:peak], rows[peak].q), (rows[: peak + 1], after)):
        low, high = kept[-1].q, end

        def at(q: float, kept: list[_Row] = kept) -> tuple[_Row | None, Any]:
            row = total.step(kept[-1], q) if q > kept[-1].q else None
            return row, total.gain(row, target)

        if not high > low:
            continue
        x, y = high - golden * (high - low), low + golden * (high - low)
        left, right = at(x), at(y)
        for _ in range(steps):
            for row, gain in (left, right):
                if row is not None and gain is not None and gain > most:
                    best, most = [*kept, row], gain
            # What lies too far out has no G: the peak is on this side of it.
            if left[1] is None or right[1] is None or left[1] > right[1]:
                high, y, right = y, x, left
                x = high - golden * (high - low)
                left = at(x)
            else:
                low, x, left = x, y, right
                y = low + golden * (high - low)
                right = at(y)
    return best


def _at_the_radius(total: _Sum, rows: list[_Row], target: Any) -> tuple[list[_Row], int]:
    """The rows with one more at the smallest R with G(R) ≥ ρ, as far as it is worth looking, and its place."""

    def reaches(row: _Row | None) -> bool:
        gain = total.gain(row, target)
        return gain is not None and bool(gain >= target)

    k = next(k for k in range(1, len(rows)) if reaches(rows[k]))
    before, best = rows[k - 1], rows[k]
    low: _Row | None = before
    for turn in range(60):
        bottom = before.q if low is None else low.q
        # G is concave: its tangent at the lower end is above it, and its chord below.
        q = bottom + (best.q - bottom) / 2
        ends = [total.gain(row, target) for row in (low, best)]
        if turn % 3 == 0 and low is not None and ends[0] is not None:
            steep = (low.first - total.bend(low, target)) * low.left
            q = bottom + float((target - ends[0]) / steep) if steep > 0 else q
        elif turn % 3 == 1 and ends[0] is not None and ends[1] > ends[0]:
            q = bottom + (best.q - bottom) * float((target - ends[0]) / (ends[1] - ends[0]))
        if not bottom < q < best.q:
            q = bottom + (best.q - bottom) / 2
        row = total.step(before, q) if bottom < q < best.q else None
        if row is None:
            break
        if reaches(row):
            best = row
        else:
            low = row
    # Not the very last digit: the other program's constants need not be these.
    safer = total.step(before, best.q * (1 + 2e-14))
    if safer is not None and safer.q < rows[k].q and reaches(safer):
        best = safer
    found = [*rows[:k], best]
    for row in rows[k:]:
        following = total.step(found[-1], row.q) if row.q > found[-1].q else None
        if following is not None:
            found.append(following)
    if not (found[-1] is best or total.gain(found[-1], target) is not None):
        found = found[: k + 1]
    return found, k

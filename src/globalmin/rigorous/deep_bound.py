"""Λ of the deep networks on a ball, in balls of Arb: theory/curvature/deep.py, whose names the comments follow."""

import dataclasses
import math
from collections.abc import Callable
from typing import Any

from .flint import PRECISION, precision
from .spectrum import symmetric_norm


@dataclasses.dataclass(frozen=True)
class DeepBound:
    """The constants as functions of the radius, from the upper ends of the quantities."""

    upper: dict[str, float]
    suprema: tuple[float | None, ...]  # of σ′, σ″ and σ‴
    skip: bool  # s of the layers 2 … H
    patch_pixels: int  # q
    samples: int  # n
    kappas: Callable[[Any], list[Any]]
    depth: int

    def whole(self, radius: Any) -> Any:
        """The norm of the (H + 1) × (H + 1) matrix of bounds."""
        with precision(PRECISION) as flint:
            forward = _Forward(flint, self, radius)
            return symmetric_norm(flint, _blocks(flint, self, forward, _Backward(flint, self, forward, radius)))

    def readout(self, radius: Any) -> Any:
        """The Lipschitz constant of the rows x_i^(H)."""
        with precision(PRECISION) as flint:
            forward = _Forward(flint, self, radius)
            found = _norm(flint, [q * z for q, z in zip(forward.q[-1], forward.input_norm, strict=True)])
            return found if found.is_finite() and math.isfinite(float(found)) else None

    def at(self, flint: Any, name: str) -> list[Any]:
        """One quantity of all layers."""
        return [flint.arb(self.upper[f"{name}@{h}"]) for h in range(1, self.depth + 1)]


def _norm(flint: Any, parts: list[Any]) -> Any:
    squares: Any = sum((v * v for v in parts), flint.arb(0))
    return squares.sqrt()


class _Forward:
    """Layer by layer on the ball of radius R: inputs, slopes, and how far a change of layer k reaches."""

    def __init__(self, flint: Any, at: DeepBound, radius: Any):
        arb, depth = flint.arb, at.depth
        root_q = arb(at.patch_pixels).sqrt()
        sup_slope, bend = arb(at.suprema[0]), arb(at.suprema[1])
        self.kappa, self.root_q = at.kappas(flint), root_q
        self.weight = [w + radius for w in at.at(flint, "weight_norm")]
        names = ("weight_norm", "weight_row", "sloped_norm", "slope_max", "input_norm", "input_max", "input_row")
        measured = {name: at.at(flint, name) for name in names}
        self.q: list[list[Any]] = []
        self.p: list[list[Any]] = []
        self.input_norm: list[Any] = []
        self.input_max: list[Any] = []
        self.fourth: list[Any] = []
        self.slope: list[Any] = []
        self.sloped: list[Any] = []
        self.drift: list[Any] = []
        moved = moved_all = arb(0)
        for h in range(depth):
            m = {name: rows[h] for name, rows in measured.items()}
            one, every = m["input_max"] + root_q * moved, m["input_norm"] + root_q * moved_all
            self.input_max.append(one)
            self.input_norm.append(every)
            key = f"input_fourth@{h + 1}"
            fourth = arb(at.upper[key]) if key in at.upper else m["input_max"] * m["input_norm"]
            wide = fourth.sqrt() + root_q * moved_all
            self.fourth.append((wide * wide).min(one * every))
            earlier = self.q[-1] if h else []
            self.p.append([self.weight[h] * root_q * v for v in earlier] + [arb(1)])
            rows = [(m["weight_row"] + radius) * v * z for v, z in zip(earlier, self.input_max, strict=False)]
            self.drift.append(radius * _norm(flint, [*rows, m["input_row"] + moved]))
            slope = sup_slope.min(m["slope_max"] + bend * self.drift[h])
            sloped = m["sloped_norm"] + bend * self.drift[h] * m["weight_norm"] + slope * radius
            self.slope.append(slope)
            self.sloped.append((slope * self.weight[h]).min(sloped))
            through = int(at.skip) + self.kappa[h] * root_q * self.sloped[h]
            self.q.append([through * v for v in earlier] + [self.kappa[h] * slope])
            moved = radius * _norm(flint, [a * z for a, z in zip(self.q[h], self.input_max, strict=True)])
            moved_all = radius * _norm(flint, [a * z for a, z in zip(self.q[h], self.input_norm, strict=True)])


class _Backward:
    """And back: the gradients with respect to the states and the left factors."""

    def __init__(self, flint: Any, at: DeepBound, f: _Forward, radius: Any):
        arb, depth = flint.arb, at.depth
        bend, third = arb(at.suprema[1]), arb(at.suprema[2])
        lefts, norms, cotangents = (at.at(flint, k) for k in ("left_max", "left_norm", "cotangent_max"))
        bents = at.at(flint, "bent_max")
        self.bent, self.left_max, self.left_norm = ([arb(0)] * depth for _ in range(3))
        each, together = arb(1), arb(at.samples).sqrt()
        for h in reversed(range(depth)):
            change = radius * each
            turned = bents[h] + bend * change + third * f.drift[h] * cotangents[h]
            self.bent[h] = turned.min(bend * (cotangents[h] + change))
            one, every = (
                _norm(flint, [a * z for a, z in zip(f.p[h], sizes, strict=False)])
                for sizes in (f.input_max, f.input_norm)
            )
            kappa, slope = f.kappa[h], f.slope[h]
            self.left_max[h] = lefts[h] + radius * kappa * (slope * each + self.bent[h] * one)
            self.left_norm[h] = norms[h] + radius * kappa * (slope * together + self.bent[h] * every)
            through = int(at.skip) + kappa * f.root_q * f.sloped[h]
            weight = kappa * f.weight[h] * self.bent[h]
            each = through * each + f.root_q * (self.left_max[h] + weight * one)
            together = through * together + f.root_q * (self.left_norm[h] + weight * every)


def _blocks(flint: Any, at: DeepBound, f: _Forward, b: _Backward) -> list[list[Any]]:
    """The bounds on the second derivative by blocks, in the order W^(1), …, W^(H), a."""
    depth, zero = at.depth, flint.arb(0)
    found = [[zero] * (depth + 1) for _ in range(depth + 1)]
    roots = [v.sqrt() for v in f.fourth]
    for k in range(depth):
        for j in range(k + 1):
            total = sum((f.kappa[h] * b.bent[h] * f.p[h][k] * f.p[h][j] for h in range(k, depth)), zero)
            total = total * roots[k] * roots[j]
            if j < k:
                either = (b.left_max[k] * f.input_norm[j]).min(b.left_norm[k] * f.input_max[j])
                total = total + f.root_q * f.q[k - 1][j] * either
            found[k][j] = found[j][k] = total
        found[depth][k] = found[k][depth] = f.q[-1][k] * f.input_norm[k]
    return found

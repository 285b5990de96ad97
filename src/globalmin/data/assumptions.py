"""What the theorems take for granted about the data, checked, with the offending rows named.

Angles are of directions: min(θ, π − θ) by Kahan's form 2 atan2(|x̂ ∓ ŷ|, |x̂ ± ŷ|), correct to a few eps near 0 where
arccos(x̂·ŷ) cannot tell 1e-9 from 1e-8. Cosines by matrix products only select the pairs that are worth it.
"""

import dataclasses
import math
from typing import Any

import numpy as np
from jaxtyping import Float64

from .._core import numerics
from .._core.numerics import name_rows
from .dataset import as_float64, normalized

PARALLEL = 1e-12
"""Radians below which two directions differ by no more than rounding: the pair is called parallel (an error)."""

NEARLY_PARALLEL = 1e-6
"""Radians below which a pair is named in a warning: copies rounded to float32 are 1e-8 to 1e-7 apart."""

PAIRS_LISTED = 1000
"""A scan stops listing close pairs after this many (n equal rows would give n²/2)."""

_TILE = 1024


@dataclasses.dataclass(frozen=True)
class Pair:
    """Two rows, the angle between their lines in [0, π/2], and whether they point to opposite sides."""

    rows: tuple[int, int]
    angle: float
    opposite: bool


@dataclasses.dataclass(frozen=True)
class Finding:
    """One assumption that the data break: which rows, and what to do.

    `kind`: nonfinite, zero, norm, duplicate, parallel, nearly-parallel, antiparallel, label, label-bound. `level`: an
    `error` breaks a theorem's hypothesis (or every computation); a `warning` makes its numbers small or void.
    """

    kind: str
    level: str
    rows: tuple[int, ...]
    message: str
    value: float | None = None


@dataclasses.dataclass(frozen=True)
class Report:
    """All findings; empty when the data satisfy every assumption that was asked for."""

    findings: tuple[Finding, ...]

    @property
    def ok(self) -> bool:
        """Whether no finding is an error."""
        return not self.errors

    @property
    def errors(self) -> tuple[Finding, ...]:
        """The findings that a theorem cannot live with."""
        return tuple(f for f in self.findings if f.level == "error")

    def to_dict(self) -> dict[str, Any]:
        """JSON-able."""
        return {"ok": self.ok, "findings": [{**vars(f), "rows": list(f.rows)} for f in self.findings]}


def check(
    x: np.ndarray, y: np.ndarray | None = None, *, norm: float | None = None, label_bound: float | None = None
) -> Report:
    """Every assumption on the data, with the rows that break it.

    **Arguments:**

    - `x`: inputs (n, d); `y`: labels (n,), if they are to be looked at.
    - `norm`: the norm that every row must have (1, √d), up to `numerics.UNIT_NORM_TOLERANCE`; None asks for none.
    - `label_bound`: C in |y_i| ≤ C.

    **Returns:** a report: non-finite and zero rows, norms, duplicates (with labels that contradict each other),
    parallel, nearly parallel and antiparallel pairs, labels. Non-finite and zero rows end the check early for the
    angles, which they do not have.

    **Raises:** `ValueError` for shapes that cannot be looked at.

    **Cost:** 2 n² d operations for the angles, in tiles of 1024 × 1024.

    **Source:** Du et al. (2019) Theorem 3.1 and Assumption 3.1; Ling et al. (2023) Assumption 2.
    """
    x, y = _shapes(x, y)
    findings: list[Finding] = []

    def found(kind, level, rows, message, value=None):
        findings.append(Finding(kind, level, tuple(int(r) for r in rows), message, value))

    finite = np.isfinite(x).all(axis=1)
    if not finite.all():
        rows = np.flatnonzero(~finite)
        found("nonfinite", "error", rows, f"finite numbers expected, NaN or infinity came in rows {name_rows(rows)}")
    zero = np.flatnonzero(~x.any(axis=1))
    if zero.size:
        found("zero", "error", zero, f"rows with a direction expected, zero rows came: {name_rows(zero)}; drop them")
    if norm is not None and finite.all():
        norms = np.linalg.norm(x, axis=1)
        bad = np.flatnonzero(np.abs(norms - norm) > numerics.UNIT_NORM_TOLERANCE * norm)
        if bad.size:
            message = f"rows of norm {norm:.6g} expected; rows {name_rows(bad)} have other norms (row {bad[0]}: "
            found("norm", "error", bad, f"{message}{norms[bad[0]]:.6g}); normalize the rows", float(norms[bad[0]]))
    if y is not None:
        _check_labels(y, label_bound, found)
    if finite.all():
        copies = _duplicates(x)
        for group in copies:
            message = f"different rows expected, rows {name_rows(np.array(group))} are equal"
            if y is not None and len({float(y[r]) for r in group}) > 1:
                message += " and carry different labels, so no function fits both; keep one of them"
            else:
                message += ", which makes the limit kernel singular; keep one of them"
            found("duplicate", "error", group, message)
        if not zero.size:
            later = [r for group in copies for r in group[1:]]
            kept = np.delete(np.arange(len(x)), later)  # copies are named already
            _check_pairs(close_pairs(x[kept]), kept, found)
    return Report(tuple(findings))


def require(
    x: np.ndarray, y: np.ndarray | None = None, *, norm: float | None = None, label_bound: float | None = None
) -> Report:
    """`check`, but errors raise one `ValueError` in one line; warnings are in the report that comes back."""
    report = check(x, y, norm=norm, label_bound=label_bound)
    if report.errors:
        first, *rest = report.errors
        more = f" (and {len(rest)} more: {', '.join(sorted({f.kind for f in rest}))})" if rest else ""
        raise ValueError(f"{first.message}{more}")
    return report


def closest_pair(x: Float64[np.ndarray, "n d"]) -> Pair | None:
    """The two rows whose lines enclose the smallest angle, in [0, π/2]; None for a single row.

    **Accuracy, cost:** a few 1e-16 radians; 2 n² d operations, 16 MiB beside the rows. Rows: finite and not zero.
    """
    return _scan(normalized(x, 1.0), 0.0)[0]


def close_pairs(x: Float64[np.ndarray, "n d"], within: float = NEARLY_PARALLEL) -> list[Pair]:
    """Pairs of rows whose lines enclose at most `within` radians, by row; the first `PAIRS_LISTED` of them at least."""
    return sorted(_scan(normalized(x, 1.0), within)[1], key=lambda p: p.rows)


def geometry(x: Float64[np.ndarray, "n d"]) -> dict[str, Any]:
    """The data's shape in numbers, JSON-able, for reports.

    **Returns:** `n`, `d`, `min_norm`, `max_norm`, `duplicates` (rows equal to an earlier one), `rank` (singular
    values above max(n, d) eps times the largest), and `closest_pair`: `rows`, `angle` (radians), `opposite`; None
    for a single row.

    **Raises:** `ValueError` for NaN, infinite or zero rows, which are named.
    """
    unit = normalized(x, 1.0)
    pair = _scan(unit, 0.0)[0]
    norms = np.linalg.norm(x, axis=1)
    return {
        "n": len(x),
        "d": x.shape[1],
        "min_norm": float(norms.min()),
        "max_norm": float(norms.max()),
        "duplicates": sum(len(g) - 1 for g in _duplicates(x)),
        "rank": int(np.linalg.matrix_rank(x)),
        "closest_pair": None
        if pair is None
        else {"rows": list(pair.rows), "angle": pair.angle, "opposite": pair.opposite},
    }


def _shapes(x: Any, y: Any) -> tuple[np.ndarray, np.ndarray | None]:
    x = as_float64("x", x)
    if x.ndim != 2 or 0 in x.shape:
        raise ValueError(f"x: a matrix with one sample per row expected, an array of shape {x.shape} came")
    if y is None:
        return x, None
    y = as_float64("y", y)
    if y.shape != (len(x),):
        raise ValueError(f"y: one label per sample expected, shape ({len(x)},); shape {y.shape} came")
    return x, y


def _check_labels(y: np.ndarray, label_bound: float | None, found) -> None:
    bad = np.flatnonzero(~np.isfinite(y))
    if bad.size:
        found("label", "error", bad, f"finite labels expected, NaN or infinity came at rows {name_rows(bad)}")
    if label_bound is not None:
        large = np.flatnonzero(np.abs(y) > label_bound)
        if large.size:
            worst = large[np.argmax(np.abs(y[large]))]
            found(
                "label-bound",
                "error",
                large,
                f"labels |y| ≤ {label_bound:.6g} expected, larger ones came at rows {name_rows(large)} "
                f"(row {worst}: {y[worst]:.6g}); scale the labels or raise the bound",
                float(abs(y[worst])),
            )


def _check_pairs(pairs: list[Pair], row: np.ndarray, found) -> None:
    for pair in pairs:
        i, j = (int(row[k]) for k in pair.rows)
        if pair.opposite:
            kind, level = "antiparallel", "warning"
            message = (
                f"rows {i} and {j} point to opposite sides (angle π − {pair.angle:.1e}); the theorems exclude it, "
            )
            message += "and the kernel's smallest eigenvalue decides; drop one, or add a little noise (jitter)"
        elif pair.angle <= PARALLEL:
            kind, level = "parallel", "error"
            message = f"directions that differ expected, rows {i} and {j} are parallel (angle {pair.angle:.1e}); "
            message += "drop one, or add a little noise (jitter)"
        else:
            kind, level = "nearly-parallel", "warning"
            message = (
                f"rows {i} and {j} are nearly parallel (angle {pair.angle:.3e}), which makes the kernel's smallest "
            )
            message += "eigenvalue about as small; drop one, or add a little noise (jitter)"
        found(kind, level, (i, j), message, pair.angle)


def _duplicates(x: np.ndarray) -> list[tuple[int, ...]]:
    groups: dict[bytes, list[int]] = {}
    for i, row in enumerate(x + 0.0):  # + 0.0: -0.0 and 0.0 are the same number with different bytes
        groups.setdefault(row.tobytes(), []).append(i)
    return [tuple(g) for g in groups.values() if len(g) > 1]


def _scan(unit: np.ndarray, within: float) -> tuple[Pair | None, list[Pair]]:
    """The closest pair, and all pairs at most `within` apart (or the first `PAIRS_LISTED` and a few)."""
    n, d = unit.shape
    starts = range(0, n, _TILE)
    tops = {}
    for a in starts:
        for b in range(a, n, _TILE):
            tops[a, b] = _cosines(unit, a, b).max()
    top = max(tops.values())
    if top < 0:  # a single row
        return None, []
    # Computed cosines are off by up to (d + 2) eps each: any pair this close to the top may be the closest.
    slack = 2 * (d + 8) * numerics.EPS
    threshold = min(top, math.cos(within)) - slack if within else top - slack
    best: Pair | None = None
    close: list[Pair] = []
    for (a, b), tile_top in tops.items():
        if tile_top < threshold:
            continue
        rows, columns = np.nonzero(_cosines(unit, a, b) >= max(threshold, 0.0))
        for chunk in range(0, len(rows), _TILE):
            i, j = a + rows[chunk : chunk + _TILE], b + columns[chunk : chunk + _TILE]
            minus = np.linalg.norm(unit[i] - unit[j], axis=1)
            plus = np.linalg.norm(unit[i] + unit[j], axis=1)
            angle = 2 * np.arctan2(np.minimum(minus, plus), np.maximum(minus, plus))
            k = int(np.argmin(angle))
            if best is None or angle[k] < best.angle:
                best = _pair(i[k], j[k], angle[k], minus[k], plus[k])
            for k in np.flatnonzero(angle <= within) if within else ():
                close.append(_pair(i[k], j[k], angle[k], minus[k], plus[k]))
            if len(close) >= PAIRS_LISTED:
                return best, close
    return best, close


def _pair(i, j, angle, minus, plus) -> Pair:
    return Pair((int(i), int(j)), float(angle), bool(plus < minus))


def _cosines(unit: np.ndarray, a: int, b: int) -> np.ndarray:
    """|cosines| of one tile of pairs i < j; −1 where i ≥ j."""
    cosines = np.abs(unit[a : a + _TILE] @ unit[b : b + _TILE].T)
    if a == b:
        cosines[np.tril_indices(len(cosines))] = -1.0
    return cosines

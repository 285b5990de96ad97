"""The width that each theorem asks for: what its hypotheses of the form m ≥ ... come to, as printed and as corrected."""

import math
import re
from collections.abc import Iterable
from typing import Any

from .certificate import Evaluated, Hypothesis

ASKS = re.compile(r"(^|\) )m [≥>]")
"""How the name of a hypothesis about the width begins, after the number of its equation."""


def widths_asked(theorems: Iterable[Evaluated]) -> list[dict[str, Any]]:
    """One row for every theorem with a hypothesis about the width.

    **Returns:** `theorem`, `source`, `method`, `verdict`; `width`, the largest right side that has a value at these data,
    `None` if the source gives orders only; `orders`, the right sides whose constant nobody gave; `assumed`, the law and
    the probability that the theorem speaks of.
    """
    rows = []
    for theorem in theorems:
        asked = [h for h in theorem.hypotheses if ASKS.search(h.name)]
        if asked:
            given = [h.rhs for h in asked if h.rhs is not None and not math.isnan(h.rhs)]
            rows.append(
                {
                    "theorem": theorem.theorem,
                    "source": theorem.source,
                    "method": theorem.method,
                    "verdict": theorem.verdict.value,
                    "width": max(given, default=None),
                    "orders": [_order(h) for h in asked if h.rhs is None],
                    "assumed": theorem.assumed,
                }
            )
    return rows


def _order(hypothesis: Hypothesis) -> str:
    return ASKS.split(hypothesis.name)[-1].strip()

"""Figure 7.3 of Du's thesis: escaping five saddles; see `du2019_escapes`."""

from pathlib import Path
from typing import Any

from .du2019_escapes import escapes

SOURCE = "Du, Jin, Lee, Jordan, Póczos, Singh, NeurIPS 2017; Du, thesis CMU-ML-19-102, Figure 7.3"

SIZES: dict[str, dict[str, Any]] = {
    "small": {"dimension": 5, "L": [1.0, 1.5, 2.0, 3.0], "epochs": 100_000, "seeds": 20},
    "paper": {"dimension": 5, "L": [1.0, 1.5, 2.0, 3.0], "epochs": 100_000, "seeds": 100},
}


def run(out: Path, scale: str, seed: int, bar) -> dict[str, Any]:
    """d = 5."""
    return escapes(out, SIZES[scale], seed, bar)

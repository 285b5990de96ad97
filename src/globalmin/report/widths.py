"""The widths that theorems ask for, as a table."""

import math
from collections.abc import Mapping
from typing import Any

from .formats import number


def print_widths(found: Mapping[str, Any], console: Any = None) -> None:
    """What `experiments.widths` returns."""
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    title = f"n = {found['n']}, L = {found['depth']}, d_x = {found['inputs']}, d_y = {found['outputs']}, ε = {found['eps']:g}"
    table = Table("work", "width", "iterations", "step size", "fails with", "remark", title=title)
    for row in found["rows"]:
        cells = (row["width"], row["iterations"], row["step_size"], row["failure"])
        shown = ["–" if v is None or math.isnan(v) else "∞" if math.isinf(v) else number(v) for v in cells]
        table.add_row(row["work"], *shown, Text(row["remark"]))
    console = Console() if console is None else console
    console.print(table)
    console.print(
        f"The published rows are orders without their constants and logarithms (λ₀ = {found['lambda_0']:.3g}). The last two "
        "are evaluated on gated networks with random unit inputs and labels N(0, 1), at the start of training."
    )

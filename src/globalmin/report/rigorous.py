"""A rigorous certificate in the terminal: the verdict, the intervals, and what was written."""

from collections.abc import Mapping
from typing import Any

_LABELS = {
    "rho_0": "ρ₀",
    "lambda_min_all": "λ_min(JJᵀ)",
    "lambda_max": "λ_max(JJᵀ)",
    "data_norm": "‖X‖",
    "fourth_moment": "χ",
    "readout_max": "max |a|",
    "rho_c": "ρ_c, at the comparison point",
    "distance": "D, its distance",
    "target": "b",
    "lipschitz_block": "Λ of the block",
    "lipschitz": "Λ",
    "beta": "β",
    "c": "c",
    "h": "h",
}


def print_rigorous(rigorous: Mapping[str, Any], console: Any = None) -> None:
    """Print the object `rigorous` of a certificate; bounds that matter from one side only are shown from that side."""
    from rich.console import Console
    from rich.table import Table

    console = Console() if console is None else console
    table = Table(title=f"rigorous: {rigorous['verdict']}", title_justify="left", show_header=False)
    layers = [name for name in rigorous["quantities"] if "@" in name]
    for name, (low, high) in rigorous["quantities"].items():
        if name in layers:
            continue
        table.add_row(_LABELS.get(name, name), f"[{low:.12g}, {high:.12g}]".replace("[", r"\["))
    if layers:
        table.add_row("of single layers", f"{len(layers)} more, in the file and with --json")
    for name, (low, high) in rigorous["conditions"].items():
        table.add_row(_LABELS.get(name, name), f"≥ {low:.12g}" if name == "c" else f"≤ {high:.12g}")
    for label, name, sign in (
        ("R_*", "radius", "≤"),
        ("σ_*", "sigma_star", "≥"),
        ("factor of the residual", "rate", "≤"),
    ):
        if rigorous[name] is not None:
            table.add_row(label, f"{sign} {rigorous[name]:.12g}")
    console.print(table)
    console.print(rigorous["statement"], markup=False, highlight=False)
    for path in rigorous.get("files", []):
        console.print(f"written: {path}", markup=False, highlight=False, soft_wrap=True)
    if rigorous.get("files") == []:
        console.print("no certificate file was written: nothing is proven", markup=False, highlight=False)

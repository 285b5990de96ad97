"""A plan as a table, and its widths over the number of samples as a log-log figure."""

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from . import figures
from .formats import number, power
from .runs import RunFolder

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def print_plan(found: Mapping[str, Any], console: Any = None) -> None:
    """One row per sample size, then the widths that the published theorems ask for at the largest."""
    from rich import box
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    console = Console() if console is None else console
    config, rows = found["config"], found["rows"]
    title = f"{config['system']} on {config['data']}: target {number(config['target'])} of the first loss"
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, title=Text(title, "bold"), title_justify="left")
    names = (
        "n", "λ₀", "trains from m", "certified at start", f"certified in {config['epochs']}", "step size", "epochs expected",
        "taken",
    )  # fmt: skip
    for name in names:
        table.add_column(name, justify="right")
    for row in rows:
        trains = f"> {row['widest']}" if row["trains"] is None else str(row["trains"])
        table.add_row(
            str(row["n"]), _or_dash(row["lambda_0"]), trains, _width(row["certified_at_start"]),
            _width(row["certified_within"]), number(row["step_size"]), _or_dash(row["epochs_expected"]),
            _or_dash(row["epochs_taken"]),
        )  # fmt: skip
    console.print(table)
    console.print(Text("~: more than was tried, continued by h ~ m^(−1/2); widths are powers of two", "dim"))
    published = rows[-1]["published"]
    if published:
        table = Table(box=box.SIMPLE_HEAD, pad_edge=False, title_justify="left")
        table.title = Text(f"widths that the theorems ask for at n = {rows[-1]['n']}", "bold")
        table.add_column("theorem")
        table.add_column("width", justify="right")
        for row in published:
            width = ", ".join(row["orders"]) if row["width"] is None else number(row["width"])
            table.add_row(Text(row["source"]), Text(width))
        console.print(table)


def draw_plan(found: Mapping[str, Any]) -> "Figure":
    """Widths over n, log-log: what trains, what our certificate asks for, what the published theorems ask for."""
    from matplotlib.figure import Figure
    from matplotlib.ticker import FuncFormatter, NullFormatter

    rows = found["rows"]
    sizes = [row["n"] for row in rows]
    least = [min((p["width"] for p in row["published"] if p["width"] is not None), default=None) for row in rows]
    lines = (
        ("published, explicit constants (least)", least, figures.ORANGE, "^"),
        ("certified at initialisation", [row["certified_at_start"]["width"] for row in rows], figures.BLUE, "o"),
        (
            f"certified within {found['config']['epochs']} epochs",
            [row["certified_within"]["width"] for row in rows], figures.GREEN, "s",
        ),
        ("trains", [row["trains"] for row in rows], figures.GREY, "D"),
    )  # fmt: skip
    plain = FuncFormatter(lambda value, _: power(value))
    with figures.style():
        figure = Figure(figsize=(4.4, 4.0), layout="constrained")
        ax = figure.subplots()
        for label, widths, color, mark in lines:
            there = [(n, width) for n, width in zip(sizes, widths, strict=True) if width is not None]
            if there:
                ax.plot(*zip(*there, strict=True), color=color, marker=mark, label=label)
        ax.set_xscale("log")
        ax.set_yscale("log")
        ax.set_xticks(sizes, [str(n) for n in sizes])
        ax.xaxis.set_minor_formatter(NullFormatter())
        ax.yaxis.set_major_formatter(plain)
        ax.set_xlabel("samples n")
        ax.set_ylabel("width m")
        ax.set_title(f"{found['config']['system']} on {found['config']['data']}")
        figure.legend(loc="outside lower center", ncols=1)
    return figure


def write_plan(found: Mapping[str, Any], folder: str | Path) -> None:
    """Write plan.json, plan.svg and plan.pdf into a folder, which is made if it is not there."""
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    RunFolder(folder).write_json("plan.json", found)
    figures.save({"plan": draw_plan(found)}, folder)


def _width(found: Mapping[str, Any]) -> str:
    if found["width"] is None:
        return "silent"
    return f"~ {number(found['width'])}" if found["extrapolated"] else str(found["width"])


def _or_dash(value: float | None) -> str:
    return "-" if value is None else number(value)

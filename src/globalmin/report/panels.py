"""A paper's figure: panels of lines by width, its claims as a table, and a page that links the runs behind it."""

import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from . import figures

if TYPE_CHECKING:
    from matplotlib.figure import Figure

SHADES = ("#9ecae1", "#4292c6", "#08519c", "#d55e00", "#009e73", "#aa4499", "#6e7781")
"""Widths in order: three blues that darken, then colours that colour-blind readers tell apart."""

MARKS = ("o", "s", "^", "D", "v", "P", "X")


@dataclasses.dataclass(frozen=True)
class Line:
    """One curve: label, the x values (epochs unless the panel says otherwise) and the y values."""

    label: str
    epochs: np.ndarray
    values: np.ndarray


@dataclasses.dataclass(frozen=True)
class Panel:
    """One panel of a figure: title, what the axes are, its lines, and which axes are logarithmic."""

    title: str
    y_label: str
    lines: Sequence[Line]
    log: bool = False
    x_label: str = "epoch"
    log_x: bool = False
    kinds: bool = False  # lines are kinds of things and not steps of a scale: hues instead of shades
    marks: bool = True  # markers along the lines; without them lines of fewer than three points are markers alone
    contours: tuple[np.ndarray, np.ndarray, np.ndarray] | None = (
        None  # x, y and the heights of a function below the lines
    )


@dataclasses.dataclass(frozen=True)
class Picture:
    """One panel that is a grey-scale image, such as a filter: dark is small, light is large."""

    title: str
    pixels: np.ndarray


def draw_panels(panels: Sequence[Panel | Picture], columns: int = 3) -> "Figure":
    """All panels in one figure, `columns` in a row; a legend in the first, and in those whose lines are others."""
    from matplotlib.figure import Figure
    from matplotlib.layout_engine import ConstrainedLayoutEngine

    columns = 2 if len(panels) == 4 else min(columns, len(panels))  # four make a square, and pairs stand side by side
    rows = -(-len(panels) // columns)
    with figures.style():
        # One panel as wide as two: pages show figures at one width, and its text would be twice as large.
        size = figures.WIDE if len(panels) == 1 else (3.1 * columns, 2.5 * rows)
        # Room between an axis' label and the title below it.
        figure = Figure(figsize=size, layout=ConstrainedLayoutEngine(h_pad=0.09))
        axes = np.atleast_1d(np.asarray(figure.subplots(rows, columns))).ravel()
        first = next((panel for panel in panels if isinstance(panel, Panel)), None)
        for ax, panel in zip(axes, panels, strict=False):
            ax.set_title(panel.title)
            if isinstance(panel, Picture):
                ax.imshow(panel.pixels, cmap="gray", interpolation="nearest")
                ax.set_axis_off()
                continue
            if panel.contours is not None:
                ax.contour(*panel.contours, levels=24, colors=figures.GREY, linewidths=0.4, linestyles="solid")
            colors = (*figures.PALETTE[2:], SHADES[0], SHADES[1]) if panel.kinds else SHADES
            for k, line in enumerate(panel.lines):
                few = not panel.marks and len(line.epochs) < 3
                ax.plot(
                    line.epochs, line.values, label=line.label, color=colors[k % len(colors)],
                    marker=MARKS[k % len(MARKS)] if panel.marks or few else "", linestyle="" if few else "-",
                    markersize=6 if few else None, markevery=max(1, len(line.epochs) // 8),
                )  # fmt: skip
            ax.set_xlabel(panel.x_label)
            ax.set_ylabel(panel.y_label)
            if panel.log:
                ax.set_yscale("log", nonpositive="mask")
                figures.log_ticks(ax)
            if panel.log_x:
                _powers_of_two(ax, panel)
            labels = [line.label for line in panel.lines]
            if first is None or panel is first or labels != [line.label for line in first.lines]:
                ax.legend()
        for ax in axes[len(panels) :]:
            ax.set_visible(False)
    return figure


def _powers_of_two(ax, panel: Panel) -> None:
    """A logarithmic x axis with the panel's own values as its ticks, if they are few."""
    from matplotlib.ticker import FixedLocator, FuncFormatter, NullLocator

    values = np.unique(np.concatenate([line.epochs for line in panel.lines]))
    ax.set_xscale("log")
    if len(values) <= 8 and values.min() >= 1:
        ax.xaxis.set_major_locator(FixedLocator(list(values)))
        ax.xaxis.set_minor_locator(NullLocator())
        ax.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))


def print_claims(found: Mapping[str, Any], console: Any = None) -> None:
    """The claims of a reproduced figure, PASS or FAIL each."""
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(
        "claim", "measured", "asked", "", title=f"{found['figure']} ({found['source']}), scale {found['scale']}"
    )
    for claim in found["claims"]:
        verdict = Text("PASS", "bold green") if claim["passed"] else Text("FAIL", "bold red")
        table.add_row(Text(claim["text"]), Text(claim["measured"]), Text(claim["asked"]), verdict)
    console = Console() if console is None else console
    if "table" in found:
        measured = Table(*found["table"]["columns"])
        for row in found["table"]["rows"]:
            measured.add_row(*(Text(str(cell)) for cell in row))
        console.print(measured)
    console.print(table)
    for sentence in found.get("advice", ()):
        console.print(Text(f"- {sentence}"), soft_wrap=True)
    if "page" in found:
        console.print(f"page: {found['page']}", soft_wrap=True)


def print_spectrum(spectra: Mapping[str, Mapping[str, float]], title: str, console: Any = None) -> None:
    """Smallest and largest eigenvalue of each kernel, with the error bound that serves both."""
    from rich.console import Console
    from rich.table import Table

    from .formats import number, with_error

    table = Table("kernel", "λ_min", "λ_max", title=title)
    for name, ends in spectra.items():
        table.add_row(name, with_error(ends["lambda_min"], ends["error"]), number(ends["lambda_max"]))
    (Console() if console is None else console).print(table)


def write_figure_page(
    folder: str | Path, found: Mapping[str, Any], panels: Sequence[Panel | Picture], runs: Sequence[Any]
) -> Path:
    """Save the panels as SVG and PDF, the claims as claims.json, and one page over them that links every run's report.

    **Returns:** the page's path.
    """
    from . import page
    from .runs import RunFolder

    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    target = RunFolder(folder)
    target.write_json("claims.json", found)
    texts = figures.save({"figure": draw_panels(panels)}, folder)
    links = [
        {
            "name": run.path.name,
            "href": f"{run.path.name}/report.html",
            "sentence": run.certificate["verification"]["sentence"],
        }
        for run in runs
    ]
    return target.write_text("index.html", page.render("figure.html.j2", found=found, svg=texts["figure"], runs=links))

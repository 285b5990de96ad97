"""Figures of a run as SVG and PDF: what the trajectory has is drawn, nothing is computed.

Matplotlib's object interface only (no pyplot, no global state kept); files are the same bytes for the same run.
"""

import io
import itertools
import textwrap
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from .disk import replace_file
from .formats import number, power

if TYPE_CHECKING:
    import xarray
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

INK, GRID = "#24292f", "#d0d7de"
# Okabe and Ito's colours, told apart by colour-blind readers; dashes and markers tell the lines apart without colour.
BLUE, ORANGE, GREEN, PURPLE, GREY = "#0072b2", "#d55e00", "#009e73", "#aa4499", "#6e7781"
PALETTE = (INK, GRID, BLUE, ORANGE, GREEN, PURPLE, GREY)
"""Every colour that a figure uses: the page replaces them by its own for light and dark."""

_STYLE = {
    "svg.fonttype": "none",  # text stays text: searchable, read aloud, and restyled by the page
    "pdf.fonttype": 42,
    "font.family": "DejaVu Sans",  # comes with Matplotlib: the same figure on every machine
    "font.size": 8,
    "axes.titlesize": 8.5,
    "axes.titlelocation": "left",
    "axes.labelsize": 8,
    "axes.edgecolor": GREY,
    "axes.labelcolor": INK,
    "axes.titlecolor": INK,
    "axes.linewidth": 0.6,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "axes.xmargin": 0.02,
    "grid.color": GRID,
    "grid.linewidth": 0.5,
    "xtick.color": GREY,
    "ytick.color": GREY,
    "xtick.labelcolor": INK,
    "ytick.labelcolor": INK,
    "xtick.labelsize": 7.5,
    "ytick.labelsize": 7.5,
    "legend.fontsize": 7.5,
    "legend.labelcolor": INK,
    "legend.frameon": False,
    "legend.handlelength": 2.2,
    "lines.linewidth": 1.4,
    "lines.markersize": 2.6,
    "figure.facecolor": "none",
    "axes.facecolor": "none",
    "savefig.facecolor": "none",
}

WIDE, NARROW = (6.9, 2.9), (3.4, 2.5)
"""Inches: across two columns of a paper, and one."""

STRETCHES = 150
"""A series of every epoch is drawn by its mean and range over at most so many stretches."""

FAR = 4
"""A bound so many times above the largest value is written and not drawn."""


def draw(trajectory: "xarray.Dataset | None", certificate: Mapping[str, Any]) -> "dict[str, Figure]":
    """Every figure that the run has something for, by name: loss, lambda_min, kantorovich, movement, spectrum, solver,
    pattern.

    **Arguments:** `trajectory` as in `trajectory.zarr`, or `None`; `certificate` as in `certificate.json`.
    """
    makers: dict[str, tuple[Callable[..., Any], tuple[str, ...]]] = {
        "loss": (_loss, ("loss", "loss_every_epoch")),
        "lambda_min": (_lambda_min, ("lambda_min", "lambda_min_features", "lambda_min_top")),
        "kantorovich": (_kantorovich, ("kantorovich_h", "kantorovich_flow_h")),
        "movement": (_movement, ("gram_drift", "distance", "path_length", "movement")),
        "solver": (_solver, ("forward_iterations", "backward_iterations", "operator_norm", "one_sided_norm")),
        "pattern": (_pattern, ("pattern_change",)),
    }
    figures = {}
    with style():
        for name, (maker, needs) in makers.items():
            there = [need for need in needs if trajectory is not None and _has(trajectory, need)]
            if there:
                figures[name] = maker(trajectory, certificate, there)
        panels = [_shown(trajectory, panel) for panel in certificate.get("panels") or ()]
        if trajectory is not None and any(shown["quantities"] for shown in panels):
            figures["monitors"] = _monitors(trajectory, certificate, [p for p in panels if p["quantities"]])
        if certificate.get("spectrum"):
            figures["spectrum"] = _spectrum(certificate["spectrum"])
    return figures


def svg(figure: "Figure", name: str) -> str:
    """A figure as SVG text, without date; `name` seeds the ids of its parts."""
    file = io.StringIO()
    with style(**{"svg.hashsalt": name}):
        figure.savefig(file, format="svg", metadata={"Date": None, "Creator": None})
    return file.getvalue()


def save(figures: "Mapping[str, Figure]", folder: str | Path) -> dict[str, str]:
    """Write NAME.svg and NAME.pdf of each figure into `folder`, each by one rename; returns the SVG texts."""
    folder = Path(folder)
    texts = {name: svg(figure, name) for name, figure in figures.items()}
    for name, figure in figures.items():
        pdf = io.BytesIO()
        figure.set_layout_engine("none")  # laid out for the SVG already
        with style():
            figure.savefig(pdf, format="pdf", metadata={"CreationDate": None})
        replace_file(folder / f"{name}.svg", lambda file, text=texts[name]: file.write(text.encode()))
        replace_file(folder / f"{name}.pdf", lambda file, pdf=pdf: file.write(pdf.getvalue()))
    return texts


def style(**more: Any):
    """Matplotlib's defaults and ours, whatever the user's settings are; left as they were afterwards."""
    import matplotlib.style

    return matplotlib.style.context(["default", {**_STYLE, **more}])


def _has(trajectory: "xarray.Dataset", name: str) -> bool:
    return name in trajectory and bool(np.isfinite(trajectory[name].values).any())


def _series(trajectory: "xarray.Dataset", name: str) -> tuple[np.ndarray, np.ndarray]:
    """Epochs and values where there is a finite value."""
    variable = trajectory[name]
    epochs, values = trajectory[str(variable.dims[0])].values, variable.values
    use = np.isfinite(values)
    return epochs[use], values[use]


def _panels(titles: list[str], size: tuple[float, float], x_label: str = "epoch") -> "tuple[Figure, list[Axes]]":
    from matplotlib.figure import Figure

    figure = Figure(figsize=size, layout="constrained")
    axes = list(np.atleast_1d(np.asarray(figure.subplots(1, len(titles)))))
    for i, (ax, title) in enumerate(zip(axes, titles, strict=True)):
        # Bold on the page only (by this id): a second font would double the time of a PDF.
        ax.set_title(title, gid=f"title-{i}")
        ax.set_xlabel(x_label)
    return figure, axes


def _line(ax: "Axes", trajectory: "xarray.Dataset", name: str, label: str, color: str, dash: str = "-") -> None:
    epochs, values = _series(trajectory, name)
    mark = "o" if len(epochs) <= 60 and dash == "-" else ""
    ax.plot(epochs, values, color=color, linestyle=dash, marker=mark, label=label)


def _band(ax: "Axes", trajectory: "xarray.Dataset", name: str, label: str, color: str, dash: str = "-") -> None:
    """A line; a series too long for one is shown as the range and the mean over stretches of epochs."""
    epochs, values = _series(trajectory, name)
    if len(epochs) <= STRETCHES:
        _line(ax, trajectory, name, label, color, dash)
        return
    starts = np.linspace(0, len(epochs), STRETCHES, endpoint=False).astype(int)
    low, high = np.minimum.reduceat(values, starts), np.maximum.reduceat(values, starts)
    mean = np.add.reduceat(values, starts) / np.diff(starts, append=len(epochs))
    ax.fill_between(epochs[starts], low, high, color=color, alpha=0.25, linewidth=0, step="mid")
    ax.plot(epochs[starts], mean, color=color, linestyle=dash, label=f"{label}: mean and range")


def _log(ax: "Axes") -> None:
    """A logarithmic axis, unless nothing positive is there to be shown on one, or something negative would be lost."""
    values = [np.asarray(line.get_ydata(), float) for line in ax.get_lines()]
    if not any((v > 0).any() for v in values) or any((v < 0).any() for v in values):
        return
    ax.set_yscale("log", nonpositive="mask")
    log_ticks(ax)


def log_ticks(ax: "Axes") -> None:
    """Ticks of a logarithmic y axis: powers of ten, with 2 and 5 between them on less than two decades, and numbers as on a
    linear axis on less than a factor of three."""
    from matplotlib.ticker import FuncFormatter, LogLocator, MaxNLocator, NullLocator

    low, high = ax.get_ylim()
    if high < 3 * low:
        ax.yaxis.set_major_locator(MaxNLocator(5))
    elif high < 1e2 * low:
        ax.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    if high < 1e2 * low:
        ax.yaxis.set_minor_locator(NullLocator())
    # Plain text with superscripts, not mathtext: one font in the file, and text that a browser can restyle.
    ax.yaxis.set_major_formatter(FuncFormatter(lambda value, _: number(value) if high < 1e2 * low else power(value)))
    ax.yaxis.set_minor_formatter(FuncFormatter(lambda value, _: ""))


def _certified(ax: "Axes", certificate: Mapping[str, Any], say: bool = True) -> None:
    epoch = (certificate.get("verification") or {}).get("certified_epoch")
    if epoch is not None:
        label = f"certified from epoch {epoch} on" if say else None
        ax.axvline(epoch, color=GREEN, linestyle=(0, (1, 1.2)), linewidth=1.2, label=label)


def _limits(ax: "Axes", certificate: Mapping[str, Any], quantity: str) -> None:
    """The constant bounds that theorems promise for a quantity; the same bound is drawn once."""
    promises = (certificate.get("verification") or {}).get("promises") or ()
    dashes = ((0, (5, 2)), (0, (5, 1.5, 1, 1.5)), (0, (2, 2)))
    drawn: dict[float, str] = {}
    for promise in promises:
        if promise["quantity"] == quantity and promise.get("factor", 1.0) == 1 and np.isfinite(promise["limit"]):
            drawn.setdefault(promise["limit"], promise["name"])
    top = max(float(np.max(np.abs(line.get_ydata()), initial=0)) for line in ax.get_lines())
    for (limit, name), dash in zip(drawn.items(), itertools.cycle(dashes), strict=False):
        if limit <= FAR * top:
            label = name if abs(limit) > 0.02 * top else f"{name}: far below, {number(limit, 2)}"
            ax.axhline(limit, color=ORANGE, linestyle=dash, linewidth=1.1, label=label)
        else:  # a line there would press the curve onto the axis
            ax.plot([], [], " ", label=f"{name}: far above, {number(limit, 2)}")


def _from_zero(ax: "Axes") -> None:
    """An axis that shows zero, with room above a curve that is nearly constant."""
    low, high = ax.get_ylim()
    ax.set_ylim(min(0.0, low) if low < -0.1 * high else 0.0, 1.05 * high)


def _legend(ax: "Axes", below: bool = False) -> None:
    """Where it hides least; below the axis in a panel too narrow to hold it."""
    handles, labels = ax.get_legend_handles_labels()
    if labels and below:
        labels = [textwrap.fill(label, 28) for label in labels]
        ax.legend(
            handles, labels, loc="upper left", bbox_to_anchor=(0, -0.27), borderaxespad=0, borderpad=0, handlelength=1.6
        )
    elif labels:
        ax.legend(loc="best")


def _loss(trajectory, certificate, there):
    title = certificate.get("loss_name") or "training loss ½‖u − y‖²"
    bounded = any(_has(trajectory, name) for name in ("bound", "kantorovich_bound"))
    figure, (ax,) = _panels([f"{title} against its bounds" if bounded else title], WIDE)
    name = "loss_every_epoch" if "loss_every_epoch" in there else "loss"
    _line(ax, trajectory, name, "loss", BLUE)
    if _has(trajectory, "linearized_loss"):
        _line(ax, trajectory, "linearized_loss", "loss under the tangent kernel of the start", GREY, ":")
    if _has(trajectory, "test_loss"):
        _line(ax, trajectory, "test_loss", "test loss, scaled to as many samples", PURPLE, ":")
    if _has(trajectory, "bound"):
        holds = any(
            theorem["verdict"] == "HOLDS"
            and any(p["quantity"] == "loss" and p["conclusion"] for p in theorem["promises"])
            for theorem in certificate.get("theorems") or ()
        )
        label = "bound of the theorem" if holds else "bound of the theorem (its hypotheses are not all shown)"
        _line(ax, trajectory, "bound", label, ORANGE, "--")
    if _has(trajectory, "kantorovich_bound"):
        _line(ax, trajectory, "kantorovich_bound", "Kantorovich envelope", GREEN, "-.")
    _certified(ax, certificate)
    ax.set_ylabel("loss")
    _log(ax)
    _legend(ax)
    return figure


def _lambda_min(trajectory, certificate, there):
    names = {
        "lambda_min": "λ_min of the tangent kernel H(k)",
        "lambda_min_features": "λ_min of the features' Gram G(k)",
        "lambda_min_top": "λ_min of the last layer's Gram G^(H)(k)",
    }
    figure, axes = _panels([names[name] for name in there], NARROW if len(there) == 1 else WIDE)
    spectrum = certificate.get("spectrum")
    for ax, name in zip(axes, there, strict=True):
        _line(ax, trajectory, name, "along the run", BLUE)
        if _has(trajectory, f"{name}_error"):
            epochs, values = _series(trajectory, name)
            errors = np.interp(epochs, *_series(trajectory, f"{name}_error"))
            ax.fill_between(epochs, values - errors, values + errors, color=BLUE, alpha=0.2, linewidth=0)
        if spectrum and name == spectrum.get("limit_of", "lambda_min"):
            scale = spectrum.get("scale", 1)
            label = f"limit: {'m times ' if scale != 1 else ''}λ_min of {spectrum['name']}"
            ax.axhline(scale * spectrum["lambda_min"], color=GREY, linewidth=1, label=label)
        _limits(ax, certificate, name)
        _certified(ax, certificate)
        _from_zero(ax)
        _legend(ax)
    return figure


def _kantorovich(trajectory, certificate, there):
    figure, (ax,) = _panels(["Kantorovich h(k)"], NARROW)
    if "kantorovich_h" in there:
        _line(ax, trajectory, "kantorovich_h", "gradient descent", BLUE)
    if "kantorovich_flow_h" in there:
        _line(ax, trajectory, "kantorovich_flow_h", "gradient flow", PURPLE, "--")
    ax.axhline(0.5, color=ORANGE, linestyle=(0, (5, 2)), linewidth=1.1, label="certifies below 1/2")
    _certified(ax, certificate)
    _log(ax)
    _legend(ax)
    return figure


def _movement(trajectory, certificate, there):
    titles = {
        "gram_drift": "drift ‖H − H(0)‖",
        "distance": "distance ‖θ − θ(0)‖",
        "path_length": "length of θ's path",
        "movement": "largest neuron movement",
    }
    # Distance and path share a panel: the path is never shorter, and the gap shows how far it bends.
    panels = [name for name in there if not (name == "path_length" and "distance" in there)]
    figure, axes = _panels([titles[name] for name in panels], NARROW if len(panels) == 1 else WIDE)
    for ax, name in zip(axes, panels, strict=True):
        both = name == "distance" and "path_length" in there
        _line(ax, trajectory, name, "distance" if both else "along the run", BLUE)
        _limits(ax, certificate, name)
        if both:
            ax.set_title("distance, path of θ")
            _line(ax, trajectory, "path_length", "path length", PURPLE, "--")
            _limits(ax, certificate, "path_length")
        _certified(ax, certificate)
        _from_zero(ax)
        _legend(ax, below=len(panels) > 2)
    return figure


def _spectrum(spectrum):
    figure, (ax,) = _panels([f"eigenvalues of the limit kernel {spectrum['name']}"], NARROW, "rank")
    values = np.sort(np.asarray(spectrum["eigenvalues"], float))[::-1]
    ranks, error = np.arange(1, len(values) + 1), spectrum["error"]
    ax.plot(ranks, np.where(values > 0, values, np.nan), color=BLUE, marker="o", linestyle="", label="eigenvalues")
    smallest = values[values > 0].min(initial=np.inf)
    if error > 1e-3 * smallest:
        ax.axhline(error, color=GREY, linestyle=(0, (5, 2)), linewidth=1, label=f"error bound {number(error, 2)}")
    else:
        ax.plot([], [], " ", label=f"error bound {number(error, 2)}, far below")
    _log(ax)
    hidden = int((values <= 0).sum())
    if hidden:
        ax.plot([], [], " ", label=f"{hidden} not positive: not shown")
    _legend(ax)
    return figure


def _solver(trajectory, certificate, there):
    implicit = "forward_iterations" in there  # only then does the norm decide whether there is an equilibrium
    groups = (
        ("iterations of the solves per epoch", ("forward_iterations", "backward_iterations")),
        (
            "norm of the hidden weight: well posed below 1" if implicit else "norm of the hidden weight",
            ("operator_norm", "one_sided_norm"),
        ),
    )
    labels = {
        "forward_iterations": ("equilibrium", BLUE, "-"),
        "backward_iterations": ("adjoint", ORANGE, "--"),
        "operator_norm": ("operator norm", BLUE, "-"),
        "one_sided_norm": ("λ_max of the symmetric part", PURPLE, "--"),
    }
    shown = [(title, [n for n in names if n in there]) for title, names in groups if any(n in there for n in names)]
    figure, axes = _panels([title for title, _ in shown], NARROW if len(shown) == 1 else WIDE)
    for ax, (_, names) in zip(axes, shown, strict=True):
        for name in names:
            _band(ax, trajectory, name, *labels[name])
        if implicit and ("operator_norm" in names or "one_sided_norm" in names):
            ax.axhline(1.0, color=GREY, linestyle=(0, (5, 2)), linewidth=1, label="limit of well-posedness")
        _certified(ax, certificate, say=False)
        _from_zero(ax)
        _legend(ax)
    return figure


def _shown(trajectory, panel: Mapping[str, Any]) -> dict[str, Any]:
    """A panel with those of its quantities that were recorded, from every epoch where there are such."""
    found = []
    for name, label in panel["quantities"]:
        every = f"{name}_every_epoch"
        there = [n for n in (every, name) if trajectory is not None and _has(trajectory, n)]
        found += [(there[0], name, label)] if there else []
    return {**panel, "quantities": found}


def _monitors(trajectory, certificate, panels):
    from matplotlib.figure import Figure

    columns = min(2, len(panels))
    rows = -(-len(panels) // columns)
    figure = Figure(figsize=(WIDE[0] if columns == 2 else NARROW[0], 2.5 * rows), layout="constrained")
    axes = np.atleast_1d(np.asarray(figure.subplots(rows, columns))).ravel()
    for i, (ax, panel) in enumerate(zip(axes, panels, strict=False)):
        colours = itertools.cycle((BLUE, PURPLE, GREEN, GREY))
        for (stored, name, label), colour in zip(panel["quantities"], colours, strict=False):
            epochs, values = _series(trajectory, stored)
            ax.plot(epochs, values, color=colour, label=label, marker="o" if len(epochs) <= 60 else "")
            _limits(ax, certificate, name)
        ax.set_title(panel["title"], gid=f"title-{i}")
        ax.set_xlabel("epoch")
        if panel["log"]:
            _log(ax)
        _legend(ax)
    for ax in axes[len(panels) :]:
        ax.set_visible(False)
    return figure


def _pattern(trajectory, certificate, there):
    figure, (ax,) = _panels(["share of activation patterns changed"], NARROW)
    _line(ax, trajectory, "pattern_change", "along the run", BLUE)
    _limits(ax, certificate, "pattern_change")
    _certified(ax, certificate)
    _from_zero(ax)
    _legend(ax)
    return figure

"""The gradient trust report of an equilibrium network or a Neural ODE: tables, a sentence, error against tolerance."""

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from . import figures
from .formats import number, power
from .runs import RunFolder

if TYPE_CHECKING:
    from matplotlib.figure import Figure

LOOKS = {
    "implicit": ("implicit (what training uses)", figures.BLUE, "-", "o"),
    "unrolled": ("unrolled", figures.GREEN, "--", "s"),
    "phantom": ("one-step (phantom)", figures.ORANGE, "-.", "^"),
    "discretised": ("discretise, then optimise (what training uses)", figures.BLUE, "-", "o"),
    "backsolve": ("adjoint equation (backsolve)", figures.ORANGE, "-.", "^"),
}
"""Label, colour, dash and mark of each method."""


def gradient_sentence(found: Mapping[str, Any]) -> str:
    """Which tolerance training really needs, at the start and once the loss is small, and what a cheaper gradient costs.

    **Arguments:** `found`, the dictionary of `experiments.gradients`.
    """
    share = f"{number(100 * found['threshold'], 2)}%"
    shrinks = [reference["shrink"] for reference in found["references"]]
    tightest = min(row["tolerance"] for row in found["rows"])
    parts = []
    for shrink in shrinks:
        needed = found["needed_at"][f"{shrink:g}"]
        solved = (
            f"to {number(needed)}" if needed is not None else f"more tightly than {number(tightest)}, the last tried,"
        )
        parts.append(f"{solved} {_when(shrink)}")
    if "backsolve" in found["needed"]:
        return _ode_sentence(found, share, parts)
    text = f"To keep the implicit gradient within {share} of the exact one, solve {' and '.join(parts)}"
    text += f"; training solves to {number(found['training_tolerance'])}."
    last = [row for row in found["rows"] if row["method"] == "phantom" and row["tolerance"] == tightest]
    least = min(row["error"] for row in last)
    if found["needed"]["phantom"] is not None:
        return f"{text} The one-step gradient does from {number(found['needed']['phantom'])} on."
    return f"{text} The one-step gradient is {number(100 * least, 2)}% off or more however tightly one solves."


def _ode_sentence(found: Mapping[str, Any], share: str, parts: list[str]) -> str:
    text = f"To keep the gradient of adaptive steps within {share} of the exact one, solve {' and '.join(parts)}."
    needed = found["needed"]["backsolve"]
    worst = max(
        row["error"] for row in found["rows"] if row["method"] == "backsolve" and row["tolerance"] == _loosest(found)
    )
    if needed is None:
        return (
            f"{text} The adjoint equation's gradient stays further off at every tolerance tried: do not train with it."
        )
    return (
        f"{text} The adjoint equation's needs {number(needed)}; at {number(_loosest(found))} it is up to "
        f"{number(100 * worst, 2)}% off. Equal steps with the explicit adjoint have no such error."
    )


def _loosest(found: Mapping[str, Any]) -> float:
    return max(row["tolerance"] for row in found["rows"])


def print_gradients(found: Mapping[str, Any], console: Any = None) -> None:
    """One table per residual: relative error of each gradient by tolerance, passes through the layer; the sentence."""
    from rich import box
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    console = Console() if console is None else console
    for reference in found["references"]:
        shrink = reference["shrink"]
        title = f"{found['system']}, {found['activation']}, width {found['width']}, {_when(shrink)}: "
        title += f"loss {number(reference['loss'])}"
        table = Table(box=box.SIMPLE_HEAD, pad_edge=False, title=Text(title, "bold"), title_justify="left")
        methods = list(found["needed"])
        units = ("evaluations", "and back") if "backsolve" in methods else ("passes", "adjoint")
        for name in ("tolerance", *(LOOKS[method][0].split(" (")[0] for method in methods), *units):
            table.add_column(name, justify="right")
        for tolerance in sorted({row["tolerance"] for row in found["rows"]}, reverse=True):
            at = {
                row["method"]: row for row in found["rows"] if row["tolerance"] == tolerance and row["shrink"] == shrink
            }
            cells = [_cell(at[method], found["threshold"]) for method in methods]
            needed = tolerance == found["needed_at"][f"{shrink:g}"]
            solve = at[methods[0]]
            table.add_row(
                Text(f"{'→ ' if needed else ''}{number(tolerance)}", "bold" if needed else ""),
                *cells,
                str(solve["forward"]),
                str(solve["backward"]),
            )
        console.print(table)
    console.print(
        Text("relative error of the gradient over all parameters; → the loosest tolerance that suffices", "dim")
    )
    noise = max(reference["difference_error"] for reference in found["references"])
    console.print(Text(f"the exact gradient agrees with finite differences to {number(noise, 2)}", "dim"))
    if found.get("activations"):
        console.print(_by_activation(found))
    console.print(Text(found["sentence"], "bold"), soft_wrap=True)


def _by_activation(found: Mapping[str, Any]):
    """What each activation needs, and what the two gradients are off by at the loosest tolerance."""
    from rich import box
    from rich.table import Table
    from rich.text import Text

    title = f"by activation; errors at tolerance {number(_loosest(found))}, at the start"
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, title=Text(title, "bold"), title_justify="left")
    methods = list(found["needed"])
    for name in (
        "activation",
        *(f"{LOOKS[m][0].split(' (')[0]}: {what}" for m in methods for what in ("error", "needs")),
    ):
        table.add_column(name, justify="right" if name != "activation" else "left")
    for row in found["activations"]:
        cells = []
        for method in methods:
            needed = row["needed"][method]
            cells += [number(row["errors"][method], 2), "more than tried" if needed is None else number(needed)]
        table.add_row(row["activation"], *cells)
    return table


def draw_gradients(found: Mapping[str, Any]) -> "Figure":
    """Relative gradient error against the solves' tolerance, tight ones to the right; a panel per residual, log-log."""
    from matplotlib.figure import Figure
    from matplotlib.ticker import FuncFormatter

    references = found["references"]
    tolerances = np.array(sorted({row["tolerance"] for row in found["rows"]}, reverse=True))
    plain = FuncFormatter(lambda value, _: power(value))
    with figures.style():
        figure = Figure(figsize=figures.WIDE, layout="constrained")
        axes = np.atleast_1d(np.asarray(figure.subplots(1, len(references), sharey=True)))
        for i, (ax, reference) in enumerate(zip(axes, references, strict=True)):
            shrink = reference["shrink"]
            for method in found["needed"]:
                label, color, dash, mark = LOOKS[method]
                errors = {
                    row["tolerance"]: row["error"]
                    for row in found["rows"]
                    if row["method"] == method and row["shrink"] == shrink
                }
                values = [errors[t] for t in tolerances]
                # Broad below, so that the implicit line is seen where both coincide.
                width = 3.5 if method == "unrolled" else None
                order = 3 if method in ("implicit", "discretised") else 2
                ax.plot(
                    tolerances, values, color=color, linestyle=dash, marker=mark, label=label, linewidth=width, zorder=order
                )  # fmt: skip
            ax.axhline(found["threshold"], color=figures.GREY, linestyle=(0, (1, 1.2)), label="what descent tolerates")
            needed = found["needed_at"][f"{shrink:g}"]
            if needed is not None:
                ax.axvline(needed, color=figures.PURPLE, linewidth=1, label="loosest tolerance that suffices")
            # Logarithmic last, then turned: the locators are made anew by each change of scale.
            ax.set_xscale("log")
            ax.set_yscale("log", nonpositive="mask")
            ax.xaxis.set_major_formatter(plain)
            ax.yaxis.set_major_formatter(plain)
            ax.invert_xaxis()
            ax.set_title(f"{found['activation']}, {_when(shrink)}", gid=f"title-{i}")
            ax.set_xlabel("tolerance of the solves")
        axes[0].set_ylabel("relative error of the gradient")
        every = {}
        for ax in axes:
            handles, labels = ax.get_legend_handles_labels()
            every |= dict(zip(labels, handles, strict=True))
        figure.legend(list(every.values()), list(every), loc="outside lower center", ncols=3)
    return figure


def write_gradients(found: Mapping[str, Any], folder: str | Path) -> None:
    """Write gradients.json, gradients.svg and gradients.pdf into a folder, which is made if it is not there."""
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    RunFolder(folder).write_json("gradients.json", found)
    figures.save({"gradients": draw_gradients(found)}, folder)


def _when(shrink: float) -> str:
    if shrink == 1:
        return "at the start"
    return f"once the loss is {number(1 / shrink**2, 2)} times smaller"


def _cell(row: Mapping[str, Any], threshold: float):
    from rich.text import Text

    if not row["converged"]:
        return Text(f"{number(row['error'], 2)} (not solved)", "red")
    return Text(number(row["error"], 2), "green" if row["error"] <= threshold else "")

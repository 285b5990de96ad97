"""A certificate in the terminal: rich tables, and the same as plain text."""

import io
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from . import formats
from .formats import number

if TYPE_CHECKING:
    from rich.console import RenderableType
    from rich.table import Table
    from rich.text import Text

_STYLES = {"HOLDS": "bold green", "FAILS": "bold red", "UNDECIDED": "bold yellow"}


def print_certificate(certificate: Mapping[str, Any], console: Any = None, *, errata: bool = False) -> None:
    """Print a certificate (the object in `certificate.json`) to a rich console; standard output without one.

    `errata` adds the corrections that it rests on in full; without, each theorem names their ids.
    """
    from rich.console import Console

    console = Console() if console is None else console
    for part in certificate_parts(certificate, errata=errata):
        console.print(part)


def certificate_text(certificate: Mapping[str, Any], width: int = 110) -> str:
    """The same as plain text without colours, `width` characters wide."""
    from rich.console import Console

    file = io.StringIO()
    console = Console(file=file, width=width, color_system=None, legacy_windows=False)
    print_certificate(certificate, console, errata=True)
    return "\n".join(line.rstrip() for line in file.getvalue().splitlines()) + "\n"


def certificate_parts(certificate: Mapping[str, Any], *, errata: bool = True) -> "list[RenderableType]":
    """Data, spectrum, theorems, Kantorovich certificate, promises, corrections: those of them that there are."""
    parts: list[RenderableType] = []
    if certificate.get("data"):
        parts.append(data_table(certificate["data"]))
    if certificate.get("problem"):
        parts.append(_facts(f"objective: {certificate['system']}", formats.facts(certificate["problem"])))
    if certificate.get("spectrum"):
        parts.append(spectrum_table(certificate["spectrum"]))
    elif certificate.get("spectrum_missing"):
        parts.append(_facts("limit kernel: none", [("why", certificate["spectrum_missing"])]))
    theorems = certificate.get("theorems") or []
    for theorem in theorems:
        parts += theorem_parts(theorem)
    if certificate.get("kantorovich"):
        parts += kantorovich_parts(certificate["kantorovich"])
    flow = certificate.get("kantorovich_flow")
    if flow and not (certificate.get("kantorovich") or {}).get("flow"):
        parts += kantorovich_parts(flow)
    if certificate.get("widths"):
        parts.append(widths_table(certificate["widths"], certificate))
    if certificate.get("verification"):
        parts += verification_parts(certificate["verification"])
    if errata and any(t.get("errata") for t in theorems):
        parts += errata_parts(theorems)
    return parts


def widths_table(widths: Sequence[Mapping[str, Any]], certificate: Mapping[str, Any]) -> "Table":
    """The width that every theorem asks for on these data, beside the Kantorovich certificate's and the network's own."""
    from rich import box
    from rich.table import Table
    from rich.text import Text

    title = f"width that each theorem asks for (this network: m = {certificate['width']})"
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, title=Text(title, "bold"), title_justify="left")
    for name, justify in (("theorem", "left"), ("width", "right"), ("speaks of", "left")):
        table.add_column(name, justify=justify)  # pyright: ignore[reportArgumentType]
    for row in widths:
        orders = ", ".join(row["orders"])
        width = "" if row["width"] is None else f"{row['width']:.3g}"
        table.add_row(Text(row["source"]), Text(", ".join(filter(None, (width, orders)))), Text(row["assumed"]))
    for key, method in (("kantorovich", "this step size"), ("kantorovich_flow", "gradient flow")):
        found = certificate.get(key) or {}
        if found.get("verdict") == "HOLDS":
            width = f"{certificate['width']} (holds)"
        else:
            width = f"about {found['needed']['width']:.3g}" if (found.get("needed") or {}).get("width") else "silent"
        table.add_row(f"Kantorovich certificate, {method}", width, "these very weights, with certainty")
    return table


def data_table(data: Mapping[str, Any]) -> "Table":
    """Name, size and geometry of the data."""
    title = f"data: {data.get('name', 'unnamed')}, n = {data['n']} samples in d = {data['d']} dimensions"
    rest = {k: v for k, v in data.get("geometry", {}).items() if k not in ("n", "d")}
    return _facts(title, formats.geometry(rest))


def spectrum_table(spectrum: Mapping[str, Any]) -> "Table":
    """Ends of the limit kernel's spectrum with the error bound that serves all eigenvalues."""
    low, error = spectrum["lambda_min"], spectrum["error"]
    sign = "positive beyond its error bound" if low > error else "not shown positive: inside its error bound"
    if low < -error:
        sign = "negative beyond its error bound"
    rows = [
        ("λ_min", f"{formats.with_error(low, error)} ({sign})"),
        ("λ_max", formats.with_error(spectrum["lambda_max"], error)),
    ]
    return _facts(f"limit kernel {spectrum['name']}: spectrum", rows)


def theorem_parts(theorem: Mapping[str, Any]) -> "list[RenderableType]":
    """One theorem: its statement, what it assumes, its hypotheses, and its verdict in words."""
    from rich.text import Text

    head = Text.assemble("\n", verdict_text(theorem["verdict"]), (f"  {formats.title(theorem['theorem'])}", "bold"))
    lines: list[RenderableType] = [head, Text(theorem["source"], "dim"), Text(theorem["statement"])]
    if theorem.get("assumed"):
        lines.append(Text(f"assumed, not checked: {theorem['assumed']}", "italic"))
    lines.append(hypotheses_table(theorem["hypotheses"]))
    lines.append(Text(f"{theorem['verdict']}: {formats.meaning(theorem['verdict'])}", _STYLES[theorem["verdict"]]))
    if theorem.get("errata"):
        lines.append(Text(f"rests on the corrections {', '.join(theorem['errata'])}", "dim"))
    return lines


def hypotheses_table(hypotheses: Sequence[Mapping[str, Any]]) -> "Table":
    """Left side, relation, right side, slack with its error bound, verdict and remark of each hypothesis."""
    columns = ("hypothesis", "left side>", "", "right side>", "slack>", "verdict", "remark")
    rows = [
        (
            h["name"],
            number(h["lhs"]),
            formats.relation(h["relation"]),
            number(h["rhs"]),
            formats.with_error(h["slack"], h.get("error")),
            verdict_text(h["verdict"]),
            formats.remark(h),
        )
        for h in hypotheses
    ]
    return _table(columns, rows)


def kantorovich_parts(kantorovich: Mapping[str, Any]) -> "list[RenderableType]":
    """The Kantorovich certificate at one iterate: verdict, sentence, its numbers, and what would make it hold."""
    from rich.text import Text

    flow = ", gradient flow" if kantorovich.get("flow") else ""
    head = Text.assemble("\n", verdict_text(kantorovich["verdict"]), (f"  Kantorovich certificate{flow}", "bold"))
    lines: list[RenderableType] = [head, Text(kantorovich.get("statement", ""))]
    lines.append(_facts(None, kantorovich_facts(kantorovich)))
    lines += [Text(f"  to make it hold: {way}") for way in kantorovich.get("advice", ())]
    return lines


def kantorovich_facts(kantorovich: Mapping[str, Any]) -> list[tuple[str, str]]:
    """The numbers of a Kantorovich certificate with what each is; those that exist."""
    names = (
        ("h", "h (certifies below 1/2)"),
        ("rho_0", "ρ₀, norm of the residual"),
        ("sigma_0", "σ₀, lower bound of the Jacobian's smallest singular value"),
        ("lambda", "Λ, Lipschitz constant of the Jacobian on the ball"),
        ("displacement", "D, distance of the point that fits the data"),
        ("radius", "R, radius of the ball"),
        ("path", "length of the whole path, at most"),
        ("rate", f"factor of the residual per {'unit of time' if kantorovich.get('flow') else 'step'}"),
        ("step_size", "step size η"),
        ("largest_step_size", "largest step size that certifies"),
        ("block", "block of parameters"),
        ("bound", "bound on the change of the Jacobian"),
    )
    return [(text, number(kantorovich[key])) for key, text in names if kantorovich.get(key) not in (None, "")]


def verification_parts(verification: Mapping[str, Any]) -> "list[RenderableType]":
    """The verdict over the run, the certified epoch, and every promise with what became of it."""
    from rich.text import Text

    lines: list[RenderableType] = [Text(f"\n{verification['sentence']}", "bold")]
    if "results" in verification:
        lines.append(_facts(None, formats.facts(verification["results"])))
    else:
        lines.append(Text(certified_sentence(verification)))
    for source, promises in formats.by_source(verification.get("promises") or ()).items():
        rows = [
            (
                p["name"],
                "conclusion" if p.get("conclusion", True) else "step of the proof",
                formats.bound(p),
                Text(formats.kept(p), _STYLES[tone(p)]),
                number(p.get("margin")),
            )
            for p in promises
        ]
        lines += [Text(f"\n{source}", "dim"), _table(("promise", "kind", "bound", "along the run", "margin>"), rows)]
    return lines


def certified_sentence(verification: Mapping[str, Any]) -> str:
    """From which epoch on the Kantorovich certificate holds, in words."""
    epoch, flow = verification.get("certified_epoch"), verification.get("flow_certified_epoch")
    if epoch is not None:
        return f"the Kantorovich certificate first holds at epoch {epoch}"
    if flow is not None:
        return (
            f"the Kantorovich certificate first holds at epoch {flow} for gradient flow; "
            "for descent it held at no monitored epoch"
        )
    return "the Kantorovich certificate held at no monitored epoch"


def tone(promise: Mapping[str, Any]) -> str:
    """The verdict whose colour a promise takes; a step of the proof that is left refutes nothing."""
    if promise.get("kept") is None:
        return "UNDECIDED"
    return "HOLDS" if promise["kept"] else "FAILS" if promise.get("conclusion", True) else "UNDECIDED"


def errata_parts(theorems: Sequence[Mapping[str, Any]]) -> "list[RenderableType]":
    """The corrections that these theorems rest on: where, as printed, used instead. The reasons are in the report."""
    from rich.padding import Padding
    from rich.text import Text

    lines: list[RenderableType] = [Text("\ncorrections used (reasons: globalmin systems --errata)", "bold")]
    for e in formats.errata(theorems):
        lines.append(Text.assemble((f"{e['id']}", "bold"), f"  {e['where']}"))
        used = f"printed: {e['printed']}\nused:    {e['corrected']}" if e["printed"] else e["why"]
        lines.append(Padding(Text(used), (0, 0, 0, 4)))
    return lines


def verdict_text(verdict: str) -> "Text":
    """A verdict in its colour."""
    from rich.text import Text

    return Text(verdict, _STYLES[verdict])


def _table(columns: Sequence[str], rows: Sequence[Sequence[Any]]) -> "Table":
    """A `>` at the end of a column's name sets it flush right. Cells are `Text`: brackets are no markup."""
    from rich import box
    from rich.table import Table
    from rich.text import Text

    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for column in columns:
        table.add_column(Text(column.rstrip(">")), justify="right" if column.endswith(">") else "left", overflow="fold")
    for row in rows:
        table.add_row(*(cell if isinstance(cell, Text) else Text(cell) for cell in row))
    return table


def _facts(title: str | None, rows: Sequence[tuple[str, str]]) -> "Table":
    from rich import box
    from rich.table import Table
    from rich.text import Text

    named = None if title is None else Text(title, "bold")
    table = Table(box=box.SIMPLE, show_header=False, title=named, title_justify="left", title_style="", pad_edge=False)
    for name, value in rows:
        table.add_row(Text(name, "dim"), Text(value))
    return table

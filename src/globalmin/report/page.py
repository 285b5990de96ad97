"""One self-contained HTML page for a run, and a small one that links several; opened from disk, no network."""

import importlib.resources
import os
import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import quote

from . import figures, formats, tables
from .runs import Run, RunFolder, open_run

CAPTIONS = {
    "loss": (
        "Training loss ½‖u − y‖². Dashed: what a theorem promises if its hypotheses hold. Dash-dotted: the Kantorovich "
        "envelope, proven from the certified epoch on. Dotted: the test loss, where there are test samples."
    ),
    "lambda_min": (
        "Smallest eigenvalue of the tangent kernel H along the run: the loss falls at this rate. Grey: λ₀, its value "
        "at infinite width. Dashed: what the proof needs."
    ),
    "kantorovich": "Kantorovich number h. Below 1/2, convergence to zero loss is proven from that epoch on.",
    "movement": (
        "How far the run has left its start. A run that stays inside the proof keeps below the dashed lines; leaving "
        "them puts it outside the proof and refutes nothing."
    ),
    "spectrum": "Eigenvalues of the limit kernel on these data, largest first; those near the error bound are unknown.",
    "solver": (
        "Operator norm of the hidden weight. An implicit network has its equilibrium while the norm is below 1; the work "
        "of its solves stands beside it."
    ),
    "monitors": "What the proofs watch along the run. Orange: what a theorem promises if its hypotheses hold.",
    "pattern": "Share of the (neuron, sample) pairs whose activation is switched otherwise than at the start.",
}
"""Below each figure; also what a screen reader hears."""

_COLOURS = dict(zip(figures.PALETTE, ("ink", "grid", "blue", "orange", "green", "purple", "grey"), strict=True))
_TONES = {"HOLDS": "holds", "FAILS": "fails", "UNDECIDED": "undecided"}
_KNOWN = ("format", "versions", "status", "message", "platform", "device", "started", "finished")


def write_report(path: str | Path) -> Path:
    """Draw `figures/` of a run and write its `report.html`; returns the page's path.

    A run that is unfinished or failed gets a page of what it has. **Raises:** `ValueError` as `open_run`, and for a
    damaged part; `OSError`, one line, where the folder cannot be written.
    """
    run = open_run(path)
    certificate = run.certificate if run.has("certificate.json") else {}
    trajectory = run.trajectory if run.has("trajectory.zarr") else None
    drawn = figures.draw(trajectory, certificate)
    texts = figures.save(drawn, run.path / "figures")
    # "auto" in the configuration: the certificate has the number.
    resolved = {k: certificate[k] for k in ("step_size", "step_size_from") if certificate.get(k) is not None}
    captions = _captions(certificate)
    text = render(
        "report.html.j2",
        run=run,
        config=run.config,
        manifest=run.manifest,
        certificate=certificate,
        verification=certificate.get("verification") or {},
        geometry=_geometry(certificate),
        in_short=_in_short({**run.config, **resolved}),
        asked=formats.facts({**run.config, **resolved}),
        problem=formats.facts(certificate.get("problem") or {}),
        results=formats.facts((certificate.get("verification") or {}).get("results") or {}),
        provenance=_provenance(certificate),
        verdict=verdict(run),
        tiles=_tiles(run, certificate, trajectory),
        svg={name: inline_svg(svg, name, captions) for name, svg in texts.items()},
        wide=[name for name, figure in drawn.items() if figure.get_figwidth() > figures.NARROW[0]],
        captions=captions,
        environment=formats.facts({k: v for k, v in run.manifest.items() if k not in _KNOWN}),
    )
    return RunFolder(run.path).write_text("report.html", text)


def write_index(paths: Iterable[str | Path], out: str | Path) -> Path:
    """A page that links the reports of several runs with their verdicts; returns its path.

    `out` is an HTML file, or a folder that gets an index.html. **Raises:** `ValueError` as `open_run`.
    """
    out = Path(out)
    out = out if out.suffix == ".html" else out / "index.html"
    rows = []
    for path in paths:
        run = open_run(path)
        certificate = run.certificate if run.has("certificate.json") else {}
        verification = certificate.get("verification") or {}
        rows.append(
            {
                "href": quote(os.path.relpath(run.path / "report.html", out.parent).replace(os.sep, "/")),
                "name": run.path.name,
                "system": certificate.get("system") or run.config.get("system", ""),
                "data": (certificate.get("data") or {}).get("name") or run.config.get("data", ""),
                "width": run.config.get("width"),
                "verdict": verdict(run),
                "certified_epoch": verification.get("certified_epoch"),
                "theorems": [(t["theorem"], t["verdict"]) for t in certificate.get("theorems") or ()],
            }
        )
    return RunFolder(out.parent).write_text(out.name, render("index.html.j2", rows=rows))


def verdict(run: Run) -> dict[str, str]:
    """The first thing to read about a run: `sentence`, `tone` ("holds", "fails", "undecided") and `detail`."""
    verification = (run.certificate.get("verification") or {}) if run.has("certificate.json") else {}
    message = str(run.manifest.get("message") or "")
    sentence = str(verification.get("sentence") or "")
    if run.status == "failed":
        return {"sentence": "the run failed", "tone": "fails", "detail": message or sentence}
    if run.status != "finished":
        return {"sentence": "the run is not finished", "tone": "undecided", "detail": message or "it can be resumed"}
    kantorovich = "" if "results" in verification else " and of the Kantorovich certificate"
    tone = "holds" if sentence.startswith("held") else "fails" if sentence.startswith("first broken") else "undecided"
    detail = {
        "holds": f"Every conclusion of the theorems{kantorovich} was kept at all epochs compared.",
        "fails": "A conclusion was left. A theorem whose hypotheses fail had promised nothing: it is silent here.",
        "undecided": "No conclusion could be compared with the run.",
    }[tone]
    return {"sentence": sentence or "no verdict was recorded", "tone": tone, "detail": message or detail}


def _captions(certificate: Mapping[str, Any]) -> dict[str, str]:
    """Those of the run's kind: the loss of an objective is its own."""
    if not certificate.get("loss_name"):
        return CAPTIONS
    return {
        **CAPTIONS,
        "loss": f"{certificate['loss_name']} along the run. Dashed: what a theorem promises of it, if one does.",
    }


def inline_svg(svg: str, name: str, captions: Mapping[str, str] = CAPTIONS) -> str:
    """A figure's SVG made fit to stand in a page: ids its own, colours the page's, its caption for screen readers."""
    svg = svg[svg.index("<svg") :]
    svg = re.sub(r"<metadata>.*?</metadata>|<style.*?</style>", "", svg, flags=re.DOTALL)
    svg = re.sub(r'\bid="', f'id="{name}-', svg)
    svg = re.sub(r"url\(#", f"url(#{name}-", svg)
    svg = re.sub(r'href="#', f'href="#{name}-', svg)
    for colour, variable in _COLOURS.items():
        svg = svg.replace(colour, f"var(--{variable})")
    caption = _escape(captions.get(name, name))
    # Width and height would fix it in points; the viewBox alone lets it fill its column.
    head = re.sub(r'\s(width|height)="[^"]*"', "", svg[: svg.index(">") + 1], count=2)
    return f'{head[:-1]} role="img" aria-label="{caption}">{svg[svg.index(">") + 1 :]}'


def _geometry(certificate: Mapping[str, Any]) -> list[tuple[str, str]]:
    values = (certificate.get("data") or {}).get("geometry") or {}
    return formats.geometry({k: v for k, v in values.items() if k not in ("n", "d")})


def _provenance(certificate: Mapping[str, Any]) -> list[tuple[str, str]]:
    values = (certificate.get("data") or {}).get("provenance") or {}
    short = {name: f"{digest[:12]}…" for name, digest in (values.get("sha256") or {}).items()}
    return formats.facts({k: v for k, v in {**values, "sha256": short}.items() if k not in ("name", "n", "d")})


def _in_short(config: Mapping[str, Any]) -> str:
    """What was asked, in one line."""
    said = {
        "rank": "rank {}",
        "dimension": "dimension {}",
        "activation": "{}",
        "depth": "depth {}",
        "width": "width {}",
        "method": "{}",
        "epochs": "{} epochs",
        "step_size": "step size {}",
        "seed": "seed {}",
    }
    return ", ".join(form.format(formats.number(config[k])) for k, form in said.items() if config.get(k) is not None)


def _tiles(run: Run, certificate: Mapping[str, Any], trajectory) -> list[tuple[str, str]]:
    """A few numbers to know the run by."""
    data, spectrum = certificate.get("data"), certificate.get("spectrum")
    verification = certificate.get("verification") or {}
    tiles = []
    if data:
        tiles.append(("samples × dimensions", f"{data['n']} × {data['d']}"))
    if run.config.get("width"):
        tiles.append(("width", formats.number(run.config["width"])))
    if spectrum:
        tiles.append((f"λ₀ = λ_min({spectrum['name']})", formats.number(spectrum["lambda_min"], 3)))
    if trajectory is not None and trajectory.sizes["epoch"] and "loss" in trajectory:
        first, last = (formats.number(float(trajectory["loss"].values[i]), 3) for i in (0, -1))
        tiles.append((f"loss, epoch 0 → {int(trajectory['epoch'].values[-1])}", f"{first} → {last}"))
    if verification and "results" not in verification:
        epoch, flow = verification.get("certified_epoch"), verification.get("flow_certified_epoch")
        shown = str(epoch) if epoch is not None else "never" if flow is None else f"{flow} (flow)"
        tiles.append(("certified from epoch", shown))
    return tiles


def _escape(text: str) -> str:
    from markupsafe import escape

    return str(escape(text))


def _math(text: Any) -> str:
    """λ_min and (1 − ηλ₀)^k with real sub- and superscripts; everything else of the text is escaped."""
    from markupsafe import Markup

    marked = re.sub(r"\b([λσRwayxL])_(min|max|[ijkr*]|\d)(?!\w)", r"\1<sub>\2</sub>", _escape(str(text)))
    return Markup(re.sub(r"\^(?:\(([^()]*)\)|(\w))", r"<sup>\1\2</sup>", marked))


def render(template: str, **values: Any) -> str:
    """A page from a template of this room, with its style and script inside."""
    import jinja2
    from markupsafe import Markup

    # Escaping is on for everything but our own style, script and drawings.
    environment = jinja2.Environment(
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        loader=jinja2.FunctionLoader(_resource),
    )
    environment.filters.update(
        {
            name: getattr(formats, name)
            for name in (
                "number",
                "with_error",
                "remark",
                "meaning",
                "title",
                "kept",
                "bound",
                "relation",
                "by_source",
                "facts",
            )
        },
        math=_math,
        errata=formats.errata,
        tone=lambda verdict: _TONES[verdict],
        promise_tone=lambda promise: _TONES[tables.tone(promise)],
        kantorovich_facts=tables.kantorovich_facts,
        certified_sentence=tables.certified_sentence,
        svg=Markup,
        inline=lambda text, name: Markup(inline_svg(text, name)),
    )
    return environment.get_template(template).render(
        style=Markup(_resource("page.css")), script=Markup(_resource("page.js")), **values
    )


def _resource(name: str) -> str:
    return importlib.resources.files("globalmin.report").joinpath(name).read_text(encoding="utf-8")

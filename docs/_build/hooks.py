"""Hooks of the documentation's build: the list of errata comes from the code, and formulas become MathML."""

import html
import re
from collections.abc import Iterable

MARKER = "<!-- errata -->"
_FORMULA = re.compile(r'<(span|div) class="arithmatex">\\[([](.+?)\\[])]</\1>', re.DOTALL)


def on_page_markdown(markdown: str, **_) -> str:
    """Put the errata where a page asks for them."""
    if MARKER not in markdown:
        return markdown
    from globalmin.theory import ERRATA

    return markdown.replace(MARKER, errata_markdown(ERRATA.values()))


def on_page_content(content: str, **_) -> str:
    """Formulas as MathML, which browsers draw by themselves: no script, no font."""
    from latex2mathml.converter import convert

    def drawn(found: re.Match) -> str:
        display = "block" if found[1] == "div" else "inline"
        return convert(html.unescape(found[2]), display=display)

    return _FORMULA.sub(drawn, content)


def errata_markdown(errata: Iterable) -> str:
    """Every erratum under its own anchor, by source. The texts are HTML blocks, so that no `*` or `_` is lost in them."""
    lines, source = [], None
    for e in errata:
        if e.source != source:
            source = e.source
            lines += [f"## {source}", ""]
        lines += [
            f"### {e.id} {{#{e.id}}}",
            "",
            f"<p><em>{_plain(e.where)}</em> ({_plain(e.severity)})</p>",
            "",
            "<dl>",
        ]
        for label, text in (("Printed", e.printed), ("Corrected", e.corrected), ("Why", e.why)):
            lines.append(f"<dt>{label}</dt><dd>{_plain(text)}</dd>")
        lines += ["</dl>", ""]
    return "\n".join(lines)


def _plain(text: str) -> str:
    return html.escape(text, quote=False)

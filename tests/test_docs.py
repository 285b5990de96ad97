"""The documentation keeps up with the code: public names, errata and links; without the tools that build it."""

import ast
import importlib.util
import re
from pathlib import Path

import pytest

import globalmin
from globalmin.theory import ERRATA

ROOT = Path(__file__).parent.parent
DOCS = ROOT / "docs"
PAGES = sorted(DOCS.rglob("*.md"))


def public_names(init: Path) -> list[str]:
    """Names that an __init__.py exports, `from .x import A as A`."""
    imports = [node for node in ast.parse(init.read_text()).body if isinstance(node, ast.ImportFrom)]
    return [alias.asname for node in imports for alias in node.names if alias.asname]


def hooks():
    spec = importlib.util.spec_from_file_location("docs_hooks", DOCS / "_build" / "hooks.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def anchors(markdown: str) -> set[str]:
    """Anchors of a page's headings: the stated one, else the words in lower case."""
    found = set()
    for title in re.findall(r"^#+ (.+)$", markdown, re.MULTILINE):
        stated = re.search(r"\{#(\S+)\}\s*$", title)
        plain = re.sub(r"[^\w\s-]", "", title).strip().lower()
        found.add(stated[1] if stated else re.sub(r"[\s-]+", "-", plain))
    return found


@pytest.mark.parametrize("room", globalmin.ROOMS)
def test_every_public_name_has_its_directive(room):
    directives = re.findall(r"^::: (\S+)$", (DOCS / "api" / f"{room}.md").read_text(), re.MULTILINE)
    names = public_names(ROOT / "src" / "globalmin" / room / "__init__.py")
    assert names
    assert {f"globalmin.{room}.{name}" for name in names} - set(directives) == set()
    assert len(set(directives)) == len(directives)


@pytest.mark.parametrize(
    "paper", ["du2018_conv", "du2018_filter", "du2019_deep", "gao2022", "gao2025", "ling2023", "noy2021"]
)
def test_every_theorem_has_its_directive(paper):
    page = (DOCS / "api" / "theory.md").read_text()
    names = public_names(ROOT / "src" / "globalmin" / "theory" / paper / "__init__.py")
    assert names
    assert [name for name in names if f"::: globalmin.theory.{paper}.{name}\n" not in page] == []


def test_no_directive_names_what_is_gone():
    for page in (DOCS / "api").glob("*.md"):
        for path in re.findall(r"^::: (\S+)$", page.read_text(), re.MULTILINE):
            found = globalmin
            for part in path.split(".")[1:]:
                found = getattr(found, part)


def test_errata_page_is_made_of_the_errata():
    page = hooks().on_page_markdown((DOCS / "errata.md").read_text())
    for e in ERRATA.values():
        assert f"### {e.id} {{#{e.id}}}" in page
        for text in (e.printed, e.corrected, e.why):
            assert hooks()._plain(text) in page
    assert hooks().MARKER not in page
    other = "# no errata here\n"
    assert hooks().on_page_markdown(other) == other


def test_errata_text_cannot_become_markup():
    class Wrong:
        id, source, where, severity = "a-1", "A", "w", "typo"
        printed, corrected, why = "x < y & <b>", "λ_* and X^{*k}", "|a|"

    page = hooks().errata_markdown([Wrong])
    assert "x &lt; y &amp; &lt;b&gt;" in page
    assert "<dd>λ_* and X^{*k}</dd>" in page


@pytest.mark.parametrize("page", PAGES, ids=lambda p: str(p.relative_to(DOCS)))
def test_links_resolve(page):
    render = hooks().on_page_markdown
    text = re.sub(r"^```.*?^```", "", page.read_text(), flags=re.MULTILINE | re.DOTALL)
    for target in re.findall(r"\]\(([^)\s]+)\)", text):
        if re.match(r"[a-z]+:", target):
            continue
        path, _, anchor = target.partition("#")
        found = (page.parent / path).resolve() if path else page
        assert found.is_file(), target
        assert found.is_relative_to(DOCS), target
        if anchor:
            assert anchor in anchors(render(found.read_text())), target


def test_every_page_is_in_the_navigation():
    listed = re.findall(r"- (\S+\.md)$", (ROOT / "mkdocs.yml").read_text(), re.MULTILINE)
    assert sorted(listed) == sorted(str(page.relative_to(DOCS)) for page in PAGES)

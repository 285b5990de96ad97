import html.parser
import re
import shutil
import subprocess

import numpy as np
import pytest

from globalmin.report import Line, Panel, RunFolder, open_run, write_figure_page, write_index, write_report
from globalmin.report.page import inline_svg
from globalmin.theory import ERRATA

from .conftest import CORRECTION

CHROMIUM = next((p for p in map(shutil.which, ("chromium", "chromium-browser", "google-chrome")) if p), None)
FLAGS = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--enable-logging=stderr",
    "--virtual-time-budget=5000",
)


class Page(html.parser.HTMLParser):
    """Tags with their attributes, text, and what a browser would fetch."""

    def __init__(self, path):
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.feed(path.read_text())
        self.ids = [attrs["id"] for _, attrs in self.tags if "id" in attrs]
        self.fetched = [
            value or ""
            for tag, attrs in self.tags
            for name, value in attrs.items()
            if name in ("src", "srcset", "action", "data", "poster") or (name == "href" and tag in ("link", "base"))
        ]
        self.links = [attrs.get("href") or "" for tag, attrs in self.tags if tag == "a"]

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data):
        self.text += data


@pytest.fixture(scope="module")
def reported(written, tmp_path_factory):
    """A run with its page: drawn once, and only read."""
    path = shutil.copytree(written, tmp_path_factory.mktemp("reported") / "run")
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(ERRATA, CORRECTION.id, CORRECTION)
        return write_report(path)


@pytest.fixture
def short(folder):
    """A run without a trajectory: its page is quick to write."""
    shutil.rmtree(folder.path / "trajectory.zarr")
    return folder


def test_page_is_self_contained(reported):
    page = Page(reported)
    assert [url for url in page.fetched if not url.startswith("data:")] == []
    assert "default-src 'none'" in reported.read_text()
    assert "@import" not in reported.read_text()
    assert not re.search(r"url\((?!#)", reported.read_text())
    for link in page.links:
        if link.startswith("#"):
            assert link[1:] in page.ids
        else:
            assert (reported.parent / link).is_file()
    assert len(page.ids) == len(set(page.ids))
    assert [p.name for p in reported.parent.rglob(".*.new")] == []


def test_page_says_what_the_run_was(reported):
    text = re.sub(r"\s+", " ", Page(reported).text)
    for words in (
        "two-layer on digits",
        "width 1024, 300 epochs, step size 0.03, seed 0",
        "held throughout",
        "Kantorovich certificate first holds at epoch 120",
        "rows 17 and 40, 0.0731 rad between their lines",
        "0.0231 ± 3.1×10⁻¹⁴",
        "the theorem is silent here",
        "short by a factor of 5.3×10¹⁰; [derived] constant",
        "first broken at epoch 7",
        "train until the residual is 0.43 (now 11.3)",
        "Certified at epoch 120",
        "a square is missing",
        "‖e‖ ≤ 1 & <x>",
        "jaxlib",
    ):
        assert words in text
    assert text.index("held throughout") < text.index("training loss")
    figures = {attrs.get("id") for tag, attrs in Page(reported).tags if tag == "figure"}
    names = ("loss", "lambda_min", "kantorovich", "movement", "pattern", "solver", "spectrum")
    assert figures == {f"figure-{name}" for name in names}
    assert all(
        attrs.get("aria-label") for tag, attrs in Page(reported).tags if tag == "svg" and attrs.get("role") == "img"
    )


def test_text_is_escaped(short, certificate, config):
    certificate["data"]["name"] = "<script>alert(1)</script>"
    certificate["theorems"][0]["hypotheses"][0]["note"] = '"><img src=x>'
    certificate["verification"]["promises"][0]["name"] = "λ_min <b>bold</b>"
    short.write_certificate(certificate)
    short.write_json("config.json", {**config, "<i>": "</style><script>"})
    page = Page(write_report(short.path))
    assert [tag for tag, _ in page.tags].count("script") == 1
    assert not {"img", "i", "b"} & {tag for tag, _ in page.tags}
    assert ("sub", {}) in page.tags


def test_a_chosen_step_size_is_told_as_a_number(short, certificate, config):
    short.write_json("config.json", {**config, "step_size": "auto"})
    short.write_certificate({**certificate, "step_size": 0.0786, "step_size_from": "1 / λ_max at epoch 0"})
    text = Page(write_report(short.path)).text
    assert "step size 0.0786, seed 0" in text
    assert "1 / λ_max at epoch 0" in text


def test_a_broken_promise_comes_first(short, certificate):
    certificate["verification"]["sentence"] = "first broken: λ_min(H) ≥ λ₀/2 at epoch 9"
    short.write_certificate(certificate)
    page = write_report(short.path)
    assert 'class="verdict fails"' in page.read_text()
    assert "first broken: λ_min(H) ≥ λ₀/2 at epoch 9" in Page(page).text


def test_a_failed_run_is_told_with_what_it_has(short):
    short.finish("failed", "stopped at epoch 3: the loss is NaN")
    (short.path / "certificate.json").unlink()
    text = Page(write_report(short.path)).text
    assert "the run failed" in text
    assert "stopped at epoch 3: the loss is NaN" in text
    assert "No trajectory was recorded." in text


def test_a_run_that_was_killed(tmp_path, config):
    folder = RunFolder.create(tmp_path / "run", config)
    assert "the run is not finished" in Page(write_report(folder.path)).text


def test_ids_and_colours_of_a_drawing_become_the_page_s():
    svg = '<?xml?><svg width="9pt" height="9pt" viewBox="0 0 9 9"><metadata>x</metadata><path id="p1" style="fill: #0072b2"/>'
    svg += '<use xlink:href="#p1" clip-path="url(#c)"/></svg>'
    inline = inline_svg(svg, "loss")
    assert inline.startswith('<svg viewBox="0 0 9 9" role="img" aria-label="Training loss')
    assert 'id="loss-p1"' in inline
    assert 'href="#loss-p1"' in inline
    assert "url(#loss-c)" in inline
    assert "fill: var(--blue)" in inline
    assert "metadata" not in inline


@pytest.mark.parametrize("out", ["all.html", "."])
def test_index_links_every_run(folder, tmp_path, out):
    other = shutil.copytree(folder.path, tmp_path / "b & c")
    RunFolder(other).finish("failed", "no")
    index = write_index([folder.path, other], tmp_path / out)
    page = Page(index)
    assert page.links == ["run/report.html", "b%20%26%20c/report.html"]
    assert "held throughout" in page.text
    assert "the run failed" in page.text
    assert index.name == ("all.html" if out == "all.html" else "index.html")


def test_figure_page(folder, tmp_path):
    panels = [Panel("(a) loss", "½‖u − y‖²", [Line("m = 4", np.arange(3), np.array([1.0, 0.1, 0.01]))], True)]
    claims = [{"text": "falls <fast>", "measured": "yes", "asked": "yes", "passed": True}]
    claims += [{"text": "‖W‖ < 1", "measured": "1.1", "asked": "< 1", "passed": False}]
    found = {"figure": "fig", "source": "paper", "scale": "small", "seed": 0, "settings": {"n": 3}, "claims": claims}
    page = Page(write_figure_page(tmp_path, found, panels, [open_run(folder.path)]))
    assert "1 of 2 claims pass" in page.text
    assert "falls <fast>" in page.text
    assert page.links[-1] == "run/report.html"
    assert (tmp_path / "figure.pdf").exists()
    assert (tmp_path / "claims.json").exists()


PROBE = """
<script>
const table = document.querySelector("table.hypotheses");
const names = () => [...table.tBodies[0].rows].map((row) => row.cells[0].textContent).join("|");
const said = [names()];
const press = (column) => { table.tHead.rows[0].cells[column].querySelector("button").click(); said.push(names()); };
press(1); press(1); press(5);
document.getElementById("fold-all").click();
said.push([...document.querySelectorAll("details")].some((fold) => fold.open) ? "open" : "folded");
document.body.dataset.said = said.join("~");
</script>
"""


def browse(path, tmp_path):
    """The page's DOM after its scripts ran, and what it wrote to the console."""
    if CHROMIUM is None:
        pytest.skip("no Chromium on this machine")
    # The browser has its own idea of temporary folders: everything of it goes into this one.
    profile = f"--user-data-dir={tmp_path / 'profile'}"
    done = subprocess.run(
        [CHROMIUM, *FLAGS, profile, "--dump-dom", path.as_uri()],
        capture_output=True,
        text=True,
        timeout=120,
        check=True,
    )
    return done.stdout, [line for line in done.stderr.splitlines() if "CONSOLE" in line]


@pytest.mark.browser
def test_page_in_a_browser(reported, tmp_path):
    probed = reported.with_name("probed.html")
    probed.write_text(reported.read_text().replace("</body>", f"{PROBE}</body>"))
    dom, console = browse(probed, tmp_path)
    assert console == []
    assert 'data-ready="yes"' in dom
    found = re.search(r'data-said="([^"]*)"', dom)
    assert found is not None
    first, by_left, by_left_down, by_verdict, folded = found[1].replace("&gt;", ">").split("~")
    positive, width, constant, step = first.split("|")
    # Left sides 0.0231, 1024, 1024, 0.03; the sort is stable, and down is the exact reverse of up.
    assert by_left.split("|") == [positive, step, width, constant]
    assert by_left_down.split("|") == [constant, width, step, positive]
    # FAILS, UNDECIDED, HOLDS.
    assert by_verdict.split("|") == [width, step, constant, positive]
    assert folded == "folded"


@pytest.mark.browser
def test_the_browser_refuses_the_network(reported, tmp_path):
    # The check above can fail: a picture from elsewhere is refused by the page's own policy, and the console says so.
    probed = reported.with_name("leaky.html")
    probed.write_text(reported.read_text().replace("</body>", '<img src="http://127.0.0.1:9/x.png"></body>'))
    _, console = browse(probed, tmp_path)
    assert any("Content Security Policy" in line for line in console)

"""The documentation as readers have it: built, opened from a folder, in a browser. ``make test-docs`` runs this."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from support.browser import AXE, chromium, page

pytestmark = pytest.mark.site

ROOT = Path(__file__).parents[2]
RULES = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa"]
FIRST = {
    "NashConv": "glossary.html#nashconv",
    "open loop": "glossary.html#open-loop",
    "feedback equilibrium": "glossary.html#feedback-equilibrium",
    "cite": "cite.html",
    "bibtex": "cite.html",
    "solve": "reference/baselines/solve.html",
}
"""what is searched for, and where it is explained"""
EVERY = 8
"""how many pages of the reference stand for each other: all have one template"""


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    """The folder of ``SITE``, or one that is built without a warning."""
    if "SITE" in os.environ:
        return ROOT / os.environ["SITE"]
    for needed in ("mkdocs", "material", "mkdocstrings", "latex2mathml", "nbclient"):
        pytest.importorskip(needed)
    folder = tmp_path_factory.mktemp("site")
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", str(folder)]
    environment = os.environ | {"NO_MKDOCS_2_WARNING": "1"}
    built = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, env=environment, check=False)
    assert built.returncode == 0, built.stderr
    return folder


def names(site):
    """All pages, the one for what is not found aside: its paths are those of a server."""
    return sorted(each.relative_to(site).as_posix() for each in site.rglob("*.html") if each.name != "404.html")


def some(site):
    """All pages that were written, and some of the reference."""
    symbols = [each for each in names(site) if each.count("/") == 2 and each.startswith("reference/")]
    return sorted(set(names(site)) - set(symbols) | set(symbols[::EVERY]))


def test_nothing_is_fetched_and_every_public_name_has_a_page(site):
    """Formulas are MathML, and no role of Sphinx is left."""
    pages = {name: (site / name).read_text(encoding="utf-8") for name in names(site)}
    for text in pages.values():
        links = [tag for tag in re.findall(r"<link\b[^>]*>", text) if "stylesheet" in tag or "preconnect" in tag]
        for tag in [*re.findall(r"<(?:script|img|iframe)\b[^>]*>", text), *links]:
            assert not re.search(r"""(?:src|href)=["']?(?:https?:)?//""", tag), tag
        assert "arithmatex" not in text
        assert not re.search(r":(?:data|class|func|meth|attr|exc|mod):", text)
    assert "<math" in pages["concepts/grid.html"]

    from makertaker import baselines, envs, training

    for module in (envs, baselines, training):
        package = module.__name__.rpartition(".")[2]
        for name in module.__all__:
            if f"environments/{name}.html" not in pages:
                found = [where for where, text in pages.items() if f'id="{module.__name__}.{name}"' in text]
                assert len(found) == 1, name
                assert found[0].startswith(f"reference/{package}/{name}")


def test_the_tutorial_was_run(site):
    """As a notebook too: every cell that has something to show shows it, and its own learner has learned."""
    nbformat = pytest.importorskip("nbformat")
    notebook = nbformat.read(site / "tutorial.ipynb", as_version=4)
    nbformat.validate(notebook)
    cells = [cell for cell in notebook["cells"] if cell["cell_type"] == "code"]
    assert all(cell["execution_count"] for cell in cells)
    shown = [output for cell in cells for output in cell["outputs"]]
    assert {"image/png", "image/gif"} <= {kind for each in shown for kind in each.get("data", {})}
    text = "".join(each.get("text", "") for each in shown)
    assert "\x1b" not in text
    found = [float(each) for each in re.findall(r"([\d.]+)% of the equilibrium payoffs", text)]
    assert len(found) == 1
    assert found[0] < 0.1  # percent; 0.03 with this seed
    html = (site / "tutorial.html").read_text(encoding="utf-8")
    assert html.count('class="output highlight"') >= 10


def test_search_works_in_a_folder_and_finds_explanations_first(site):
    with chromium() as browser, page(browser) as found:
        found.goto((site / "index.html").as_uri())
        for asked, where in FIRST.items():
            found.fill(".md-search__input", "")
            found.type(".md-search__input", asked)  # the search listens to keys
            link = found.locator(f".md-search-result__item:first-child a[href*='{where.partition('#')[0]}']").first
            link.wait_for(timeout=20_000)
            links = found.locator(".md-search-result__item:first-child a").evaluate_all(
                "all => all.map(each => each.getAttribute('href'))"
            )
            assert any(re.sub(r"\?[^#]*", "", each).endswith(where) for each in links[:2]), (asked, links)


@pytest.mark.parametrize("part", range(2))
def test_pages_are_accessible_and_fit_a_phone(site, part):
    """By axe-core, for WCAG 2.1 AA: in light and dark colours, at the width of a screen and of a phone. Pages are as
    wide as the screen; what is wider scrolls, and a line says so; buttons stand beside code."""
    if not AXE.is_file():
        pytest.skip("axe-core is not installed: make browser")
    found = {}
    with chromium() as browser, page(browser, reduced_motion="reduce") as opened:
        for name in some(site)[part::2]:
            opened.set_viewport_size({"width": 1280, "height": 900})
            opened.goto((site / name).as_uri())
            opened.evaluate(AXE.read_text(encoding="utf-8"))
            colours = {"runOnly": ["color-contrast"]}
            others = {"runOnly": RULES, "rules": {"color-contrast": {"enabled": False}}}
            for width, scheme, options in [
                (1280, "default", {"runOnly": RULES}),
                (1280, "slate", colours),
                (390, "default", others),
            ]:
                opened.set_viewport_size({"width": width, "height": 900})
                opened.evaluate("name => document.body.setAttribute('data-md-color-scheme', name)", scheme)
                opened.evaluate(DRAWN)
                run = "options => axe.run(document, {...options, resultTypes: ['violations']})"
                for each in opened.evaluate(run, options)["violations"]:
                    found[name, width, scheme, each["id"]] = each["nodes"][0]["html"]
            for what in (WIDER, WIDE, COVERED):  # on the phone
                if wrong := opened.evaluate(what):
                    found[name, what] = wrong
    assert found == {}


DRAWN = "() => new Promise(done => requestAnimationFrame(() => requestAnimationFrame(done)))"
"""when the page has heard of its new width"""
WIDER = "() => document.documentElement.scrollWidth > document.documentElement.clientWidth"
"""than the screen"""
WIDE = """() => [...document.querySelectorAll('.md-content :is(img, table, .formula)')].filter(each => {
  const region = each.closest('.md-typeset__scrollwrap, .formula, p:has(> img:only-child), #explorer') ?? each;
  const cued = region.previousElementSibling?.classList.contains('scroll-cue') && region.tabIndex === 0;
  return each.getBoundingClientRect().right > document.documentElement.clientWidth + 1 && !cued;
}).map(each => each.outerHTML.slice(0, 100))"""
COVERED = """() => [...document.querySelectorAll('pre:has(> .md-code__nav)')].filter(each => {
  const [code, copy] = ['code', '.md-code__nav'].map(name => each.querySelector(`:scope > ${name}`));
  return code.getBoundingClientRect().right > copy.getBoundingClientRect().left + 1;
}).map(each => each.outerHTML.slice(0, 100))"""

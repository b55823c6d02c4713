"""Debian's Chromium, driven by playwright, and axe-core: pages are tested in a browser where both are installed."""

import contextlib
import shutil
from pathlib import Path

import pytest

AXE = Path(__file__).parents[2] / "build/axe/node_modules/axe-core/axe.min.js"
"""where ``make browser`` puts it"""
NAMES = ("chromium", "chromium-browser", "google-chrome")


@contextlib.contextmanager
def chromium():
    """A browser; the test is skipped where there is none."""
    playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed (extra dev)")
    program = next(filter(None, map(shutil.which, NAMES)), None)
    if program is None:
        pytest.skip(f"no browser: none of {NAMES} is installed (apt-get install chromium)")
    with playwright.sync_playwright() as driver:
        found = driver.chromium.launch(executable_path=program, args=["--no-sandbox"])  # root has no sandbox
        yield found
        found.close()


@contextlib.contextmanager
def page(browser, **options):
    """A page, in which no script may fail and which fetches from nowhere but this machine."""
    context = browser.new_context(viewport={"width": 1280, "height": 900}, **options)
    found = context.new_page()
    errors, fetched = [], []
    found.on("pageerror", lambda error: errors.append(str(error)))
    found.on("request", lambda request: fetched.append(request.url))
    yield found
    context.close()
    assert errors == []
    assert fetched
    assert [url for url in fetched if not url.startswith(("http://127.0.0.1:", "file://", "data:"))] == []


def violations(page):
    """What axe-core finds fault with, by rule: the first element of each. The inside of charts, which are images with a
    description, is left out."""
    if not AXE.is_file():
        pytest.skip("axe-core is not installed: make browser")
    page.evaluate(AXE.read_text(encoding="utf-8"))
    found = page.evaluate("axe.run({exclude: [['.plot-container']]}, {resultTypes: ['violations']})")
    return {each["id"]: each["nodes"][0]["html"] for each in found["violations"]}

"""A headless Chromium, and axe-core: what pages are looked at with, where both are installed (make test-browser)."""

import shutil
from contextlib import contextmanager
from pathlib import Path

import pytest

MISSING = "is missing: make test-browser installs it"


@contextmanager
def opened():
    """The browser; a test is skipped where there is none."""
    playwright = pytest.importorskip("playwright.sync_api", reason=f"playwright {MISSING}")
    names = ("chromium", "chromium-browser", "google-chrome")
    program = next(filter(None, map(shutil.which, names)), None)
    if program is None:
        pytest.skip("Chromium is missing, Debian's package chromium or another")
    with playwright.sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=program, args=["--no-sandbox"])
        yield browser
        browser.close()


def violations(page):
    """What axe-core finds fault with, by rule: the first element of each. The inside of charts, which are images with a
    description, is left out."""
    axe = pytest.importorskip("axe_playwright_python", reason=f"axe-playwright-python {MISSING}")
    page.evaluate((Path(axe.__file__).parent / "axe.min.js").read_text(encoding="utf-8"))
    found = page.evaluate("axe.run({exclude: [['.plot-container']]}, {resultTypes: ['violations']})")
    return {each["id"]: each["nodes"][0]["html"] for each in found["violations"]}

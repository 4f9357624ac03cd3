"""Pages in a real browser: Chromium, headless, with what the tests of pages share."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

playwright = pytest.importorskip("playwright.sync_api")
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
FLAGS = ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-sync"]
FLAGS += ["--disable-background-networking", "--disable-component-update"]
AXE = Path(sys.prefix) / "node_modules" / "axe-core" / "axe.min.js"  # npm install --prefix .venv axe-core
needed = pytest.mark.skipif(CHROMIUM is None, reason="no Chromium here")


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with playwright.sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=CHROMIUM, headless=True, args=FLAGS)
        yield browser
        browser.close()


def fits(page: Any, width: int) -> bool:
    """Whether nothing of the page sticks out to the side in a window so wide."""
    page.set_viewport_size({"width": width, "height": 800})
    found: bool = page.evaluate("document.documentElement.scrollWidth") <= width
    return found


def barriers(page: Any) -> list[str]:
    """What axe-core finds hard to use for people with disabilities: `rule: selector` each. Skips without axe-core."""
    if not AXE.exists():
        pytest.skip("axe-core is not installed")
    page.evaluate(AXE.read_text())  # a policy that forbids scripts of others holds for elements, not for this
    found = page.evaluate("axe.run(document, { resultTypes: ['violations'] })")
    return [f"{rule['id']}: {' '.join(node['target'])}" for rule in found["violations"] for node in rule["nodes"]]

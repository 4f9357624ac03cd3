"""The page of a graph in a real browser: what a person can do with it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from deploy import Graph
from deploy.report import page, report
from tests.browser import barriers, browser, fits, needed

__all__ = ["browser"]
pytestmark = needed


@pytest.fixture(scope="module")
def address(graph: Graph, tmp_path_factory: pytest.TempPathFactory) -> str:
    path: Path = tmp_path_factory.mktemp("page") / "small.html"
    path.write_text(page(report(graph, "small")))
    return path.as_uri()


@pytest.fixture
def opened(browser: Any, address: str) -> Iterator[Any]:
    """The page; whatever the browser complains of, or is asked for, fails the test."""
    context = browser.new_context(viewport={"width": 1280, "height": 900})
    opened = context.new_page()
    complaints: list[str] = []
    opened.on("pageerror", lambda error: complaints.append(str(error)))
    opened.on("console", lambda message: complaints.append(message.text) if message.type == "error" else None)
    opened.on("request", lambda request: complaints.append(request.url) if request.url != address else None)
    opened.goto(address)
    yield opened
    context.close()
    assert complaints == []


def test_a_node_is_chosen_by_mouse_and_keys_and_tells_its_history(opened: Any) -> None:
    after = opened.locator("[data-which=after] .node")
    assert after.count() < opened.locator("[data-which=before] .node").count()
    opened.locator("[data-which=after] .node:has-text('Conv + bias + relu')").first.click()
    told = opened.inner_text("#chosen")
    assert "fold_batch_norm" in told and "BatchNormInference" in told and "multiply-adds" in told
    assert opened.locator("[data-which=before] .node.related").count() >= 4
    opened.keyboard.press("ArrowUp")
    assert "Permute" in opened.inner_text("#chosen h3")
    opened.keyboard.press("ArrowDown")
    assert "Conv + bias + relu" in opened.inner_text("#chosen h3")
    assert opened.evaluate("document.activeElement.classList.contains('node')")


def test_every_part_is_filled_and_zoom_changes_the_drawing(opened: Any) -> None:
    for part in ("#sums div", "#pass-rows td", "#call-rows td", ".buffer-box", ".histogram", "#card-rows dt"):
        assert opened.locator(part).count() > 0, part
    width = "document.querySelector('[data-which=after] svg').clientWidth"
    before = opened.evaluate(width)
    opened.click("[aria-label='Smaller: graph after']")
    assert opened.evaluate(width) < before
    opened.locator(".buffer-box").first.focus()
    opened.keyboard.press("ArrowRight")
    assert "from byte" in opened.inner_text("#buffer")
    opened.locator("#call-rows button").nth(1).click()
    assert opened.locator("[data-which=after] .node.chosen-one").count() == 1


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_nothing_is_cut_off_and_nobody_shut_out(opened: Any, scheme: str) -> None:
    opened.emulate_media(color_scheme=scheme)
    assert fits(opened, 320) and fits(opened, 1600)
    assert opened.locator("#show-before").is_hidden()
    assert fits(opened, 390)
    opened.click("#show-before")
    assert opened.locator("[data-which=before]").is_visible() and opened.locator("[data-which=after]").is_hidden()
    assert barriers(opened) == []

"""The page in a real browser: a person gives it an image and sees the answer."""

import base64
import io
import shutil

import pytest
from fakes import LABELS
from PIL import Image

playwright = pytest.importorskip("playwright.sync_api")
BROWSER = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
FLAGS = ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-sync"]
FLAGS += ["--disable-background-networking", "--disable-component-update"]
pytestmark = pytest.mark.skipif(BROWSER is None, reason="no Chromium here")


def png(colour: str = "navy", size: tuple[int, int] = (90, 60)) -> bytes:
    stream = io.BytesIO()
    Image.new("RGB", size, colour).save(stream, "PNG")
    return stream.getvalue()


@pytest.fixture(scope="module")
def browser():
    with playwright.sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=BROWSER, headless=True, args=FLAGS)
        yield browser
        browser.close()


@pytest.fixture
def page(browser, live):
    """The page, freshly opened; whatever the browser complains of fails the test."""
    context = browser.new_context(viewport={"width": 1000, "height": 800})
    page = context.new_page()
    page.set_default_timeout(15_000)
    complaints: list[str] = []
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.on("console", lambda message: complaints.append(message.text) if "Security Policy" in message.text else None)
    page.on("request", lambda request: complaints.append(request.url) if live.address not in request.url
            and not request.url.startswith("blob:") else None)  # fmt: skip
    page.goto(f"http://{live.address}/")
    page.wait_for_selector("text=10 classes")
    yield page
    context.close()
    assert complaints == []


def choose(page, content: bytes, name: str = "photo.png") -> None:
    page.set_input_files("#file", {"name": name, "mimeType": "image/png", "buffer": content})


def drop(page, content: bytes) -> None:
    """Let go of a file over the page, as a mouse would."""
    page.evaluate(
        """([text, name]) => {
            const bytes = Uint8Array.from(atob(text), (c) => c.charCodeAt(0));
            const data = new DataTransfer();
            data.items.add(new File([bytes], name, { type: "image/png" }));
            document.getElementById("drop").dispatchEvent(
                new DragEvent("drop", { dataTransfer: data, bubbles: true, cancelable: true }));
        }""",
        [base64.b64encode(content).decode(), "photo.png"],
    )


@pytest.mark.parametrize("give", [choose, drop])
def test_an_image_is_shown_and_answered_with_labelled_bars(page, give):
    give(page, png())
    page.wait_for_selector("#bars li")
    rows = page.locator("#bars li")
    assert rows.count() == 10
    assert sorted(rows.locator(".label").all_inner_texts()) == sorted(LABELS)
    shares = [float(text.removesuffix(" %")) for text in rows.locator(".share").all_inner_texts()]
    assert shares == sorted(shares, reverse=True) and abs(sum(shares) - 100) < 1
    assert page.locator("#preview").is_visible() and page.locator("#hint").is_hidden()
    assert page.evaluate("document.getElementById('preview').naturalWidth") == 90
    assert rows.nth(0).locator(".label").inner_text() in page.inner_text("#status")
    meter = rows.nth(0).locator("progress")
    assert abs(100 * float(meter.get_attribute("value")) - shares[0]) < 0.1


def test_a_pasted_image_is_answered(page):
    page.evaluate(
        """(text) => {
            const bytes = Uint8Array.from(atob(text), (c) => c.charCodeAt(0));
            const data = new DataTransfer();
            data.items.add(new File([bytes], "x.png", { type: "image/png" }));
            document.dispatchEvent(new ClipboardEvent("paste", { clipboardData: data, bubbles: true }));
        }""",
        base64.b64encode(png()).decode(),
    )
    page.wait_for_selector("#bars li")


def test_an_error_is_shown_as_text_and_is_gone_with_the_next_image(page):
    choose(page, b"<b>not an image</b>")
    page.wait_for_selector("#status.error")
    assert "not an image file" in page.inner_text("#status")
    assert page.locator("#bars li").count() == 0 and page.locator("#hint").is_visible()
    choose(page, png())
    page.wait_for_selector("#bars li")
    assert page.locator("#status.error").count() == 0


def test_it_works_by_keyboard_and_is_named_for_screen_readers(page):
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.id") == "file"  # the browser's own control: it opens with Enter
    assert page.get_attribute("#status", "aria-live") == "polite"
    assert page.get_by_label("Drop an image here").count() == 1


def test_it_shows_the_line_for_the_terminal(page, live):
    assert page.inner_text("#curl") == f"curl --data-binary @photo.jpg http://{live.address}/v2/models/resnet9/classify"


@pytest.mark.parametrize("width", [320, 1400])
def test_nothing_is_cut_off(page, width):
    page.set_viewport_size({"width": width, "height": 700})
    choose(page, png(size=(2000, 500)))
    page.wait_for_selector("#bars li")
    assert page.evaluate("document.documentElement.scrollWidth") <= width


def test_only_its_own_files_are_allowed(client):
    answer = client.get("/")
    assert answer.mimetype == "text/html" and "default-src 'none'" in answer.headers["Content-Security-Policy"]
    assert "unsafe" not in answer.headers["Content-Security-Policy"]
    assert "http://" not in answer.text.replace("curl --data-binary @photo.jpg http://127.0.0.1:8000/", "")
    assert "https://" not in answer.text
    for name in ("page.css", "page.js", "icon.svg"):
        assert client.get(f"/pages/{name}").status_code == 200
    for name in ("..%2fapp.py", "../app.py", "none.js"):
        assert client.get(f"/pages/{name}").status_code == 404

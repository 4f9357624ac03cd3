"""The page in a real browser: a person gives it an image and sees the answer."""

import base64
import io
import urllib.request

import pytest
from fakes import LABELS
from PIL import Image

import zoo
from serving.routes.about import EXAMPLES, FILES
from tests.browser import barriers, browser, fits, needed

__all__ = ["browser"]
pytestmark = needed


def png(colour: str = "navy", size: tuple[int, int] = (90, 60)) -> bytes:
    stream = io.BytesIO()
    Image.new("RGB", size, colour).save(stream, "PNG")
    return stream.getvalue()


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
    page.wait_for_selector("#labels:has-text('and nothing else')")
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
    page.wait_for_selector(".bars li")
    rows = page.locator(".bars li")
    assert rows.count() == 10
    assert sorted(rows.locator(".label").all_inner_texts()) == sorted(LABELS)
    shares = [float(text.removesuffix(" %")) for text in rows.locator(".share").all_inner_texts()]
    assert shares == sorted(shares, reverse=True) and abs(sum(shares) - 100) < 1
    assert page.locator("#preview").is_visible() and page.locator("#hint").is_hidden()
    assert page.evaluate("document.getElementById('preview').naturalWidth") == 90
    assert rows.nth(0).locator(".label").inner_text() in page.inner_text(".answer .status")
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
    page.wait_for_selector(".bars li")


def test_an_error_is_shown_as_text_and_is_gone_with_the_next_image(page):
    choose(page, b"<b>not an image</b>")
    page.wait_for_selector(".answer .status.error")
    assert "not an image file" in page.inner_text(".answer .status")
    assert page.locator(".bars li").count() == 0 and page.locator("#hint").is_visible()
    choose(page, png())
    page.wait_for_selector(".bars li")
    assert page.locator(".answer .status.error").count() == 0


def test_a_refused_file_leaves_no_picture_behind(page):
    choose(page, png())
    page.wait_for_selector("#preview:visible")
    choose(page, b"<svg xmlns='http://www.w3.org/2000/svg' width='9' height='9'/>", "drawing.svg")  # browsers show it
    page.wait_for_selector(".answer .status.error")
    page.wait_for_timeout(100)
    assert page.locator("#preview").is_hidden() and page.locator("#seen").is_hidden()
    assert page.locator("#hint").is_visible()


def test_example_drawings_are_answered(page):
    examples = page.locator("#examples button")
    texts = examples.get_by_role("img").evaluate_all("all => all.map(one => one.alt)")
    names = [text.removeprefix("A drawing of: ") for text in texts]
    assert len(names) == 8 and set(names) <= set(LABELS)
    examples.last.click()
    page.wait_for_selector(".bars li")
    assert page.evaluate("document.getElementById('preview').naturalWidth") == 256


def answering(page, probability: float) -> None:
    """Let the server say `bird` with this probability."""
    rest = (1 - probability) / 9
    found = [{"label": name, "probability": probability if name == "bird" else rest} for name in LABELS]
    found.sort(key=lambda one: -one["probability"])
    page.route("**/classify", lambda route: route.fulfill(json={"predictions": found}))


SAID = [(0.3, "Not sure: perhaps bird"), (0.69, "Not sure"), (0.71, "bird with 71.0 %")]


@pytest.mark.parametrize("probability, says", SAID)
def test_an_uncertain_answer_looks_uncertain(page, probability, says):
    answering(page, probability)
    choose(page, png("black"))
    page.wait_for_selector(".bars li")
    assert page.inner_text(".answer .status").startswith(says)
    assert page.locator(".answer .status.unsure").count() == (probability < 0.7)


def repository(server, model: str, order: str) -> None:
    address = f"http://{server.address}/v2/repository/models/{model}/{order}"
    urllib.request.urlopen(urllib.request.Request(address, b""), timeout=20).close()


def test_a_model_that_is_unloaded_is_missed_and_found_again(page, live):
    repository(live, "resnet9", "unload")
    try:
        choose(page, png())
        page.wait_for_selector("text=resnet9 is not loaded")
        assert page.locator(".bars li").count() == 0 and "waits for it" in page.inner_text(".answers")
    finally:
        repository(live, "resnet9", "load")
    page.wait_for_selector(".bars li")  # the image that waited, without a word from its owner


def test_another_model_can_be_picked_and_is_asked_again(page):
    answering(page, 0.9)
    choose(page, png())
    page.wait_for_selector(".bars li")
    assert page.locator("#pick option").all_inner_texts() == ["resnet9", "other"]
    with page.expect_response("**/v2/models/other/classify") as response:
        page.select_option("#pick", "other")
    assert response.value.ok
    page.wait_for_selector(".bars li")
    assert "/v2/models/other/classify" in page.inner_text("#image .code") and page.url.endswith("#other")


def test_two_models_answer_side_by_side_with_the_time_they_took(page):
    choose(page, png())
    page.wait_for_selector(".bars li")
    page.select_option("#image .beside select", "other")
    page.locator(".bars li").nth(19).wait_for()
    assert page.locator(".answer h2").all_inner_texts() == ["resnet9", "other"]
    assert all("ms in the server" in text for text in page.locator(".timing").all_inner_texts())
    assert fits(page, 1400) and fits(page, 390)


def test_a_drawing_is_answered_by_pointer_and_by_keys(page):
    page.click("#use-pen")
    board = page.locator("#board").bounding_box()
    with page.expect_response("**/classify"):
        page.mouse.move(board["x"] + 50, board["y"] + 50)
        page.mouse.down()
        page.mouse.move(board["x"] + 150, board["y"] + 150, steps=3)
        page.mouse.up()
    page.wait_for_selector(".bars li")
    page.click("#clear")
    inked = """() => {
        const { data } = document.getElementById("board").getContext("2d").getImageData(0, 0, 320, 320);
        return data.some((value) => value < 255);
    }"""
    assert not page.evaluate(inked)
    page.focus("#board")
    with page.expect_response("**/classify"):
        for key in ("Space", "ArrowRight", "ArrowRight", "Space", "ArrowDown"):
            page.keyboard.press(key)
    assert page.evaluate(inked)


def test_its_links_lead_to_what_people_can_read(page):
    page.click("footer nav a[href=docs]")
    page.wait_for_selector("summary:has-text('/v2/models/{model}/classify')")
    page.fill("#search", "sample")
    assert page.locator(".operation:visible").count() == 1
    page.click(".operation:visible summary")
    told = page.inner_text(".operation:visible")
    assert "between" in told and "1 to 32" in told and "2^63 - 1" in told and "429" in told
    assert fits(page, 320) and barriers(page) == []
    page.click("text=Back to the place to play")
    page.wait_for_selector("#labels:has-text('and nothing else')")


def test_it_works_by_keyboard_and_is_named_for_screen_readers(page):
    page.wait_for_selector("#learn:visible")
    page.focus("#pick")
    reached = []
    for _ in range(4):
        page.keyboard.press("Tab")
        reached.append(page.evaluate("document.activeElement.id"))
    assert reached == ["learn", "use-file", "use-pen", "file"]  # the browser's own control: it opens with Enter
    page.keyboard.press("Tab")
    page.keyboard.press("Enter")
    page.wait_for_selector(".bars li")
    assert page.get_attribute(".answer .status", "aria-live") == "polite"
    assert page.get_by_label("Drop an image here").count() == 1


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_nobody_is_shut_out(page, scheme):
    page.emulate_media(color_scheme=scheme)
    choose(page, png())
    page.wait_for_selector(".bars li")
    assert barriers(page) == []


def test_it_shows_the_lines_for_the_terminal_and_python(page, live):
    address = f"http://{live.address}/v2/models/resnet9/classify"
    curl, python = page.locator("#image .code code").all_inner_texts()
    assert curl == f"curl --data-binary @photo.jpg {address}"
    body = png()
    given = {"open": lambda *args: io.BytesIO(body), "print": lambda found: given.update(found=found)}
    exec(python, given)
    assert len(given["found"]) == 3 and given["found"][0]["label"] in LABELS


@pytest.mark.parametrize("width", [320, 1400])
def test_nothing_is_cut_off(page, width):
    choose(page, png(size=(2000, 500)))
    page.wait_for_selector(".bars li")
    assert fits(page, width)


def test_only_its_own_files_are_allowed(client):
    answer = client.get("/")
    assert answer.mimetype == "text/html" and "default-src 'none'" in answer.headers["Content-Security-Policy"]
    assert "unsafe" not in answer.headers["Content-Security-Policy"]
    for name in FILES:
        text = client.get(f"/pages/{name}").text
        assert text and "https://" not in text, name
        assert "http://" not in text.replace("http://www.w3.org/2000/svg", ""), name
    for name in ("..%2fapp.py", "../app.py", "none.js"):
        assert client.get(f"/pages/{name}").status_code == 404


def test_the_drawings_are_what_the_trained_model_takes_them_for(browser, live):
    model = zoo.load("resnet9", pretrained=True)
    context = browser.new_context(viewport={"width": 256, "height": 256})
    page = context.new_page()
    for name in EXAMPLES:
        page.goto(f"http://{live.address}/pages/{name}.svg")
        ((label, probability),) = model.predict(page.screenshot(), top=1)
        assert label == name and probability > 0.75, (name, label, probability)
    context.close()

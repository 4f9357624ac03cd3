"""The page in a real browser, with models of every kind: texts, pictures from noise, tensors, fine-tuning, keys."""

import base64
import io
import json
import re
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import texts
from conftest import real
from PIL import Image

import zoo
from deploy import freeze
from needle import nn
from needle.weights import save_safetensors
from tests.browser import barriers, browser, fits, needed

__all__ = ["browser"]
pytestmark = needed


@pytest.fixture(scope="module")
def playing(tmp_path_factory) -> Iterator[str]:
    """The address of a server with models of every kind, most of them small and not trained: two for text."""
    folder = tmp_path_factory.mktemp("play")
    for name in ("bard", "other"):
        texts.save("gpt-char", folder / f"{name}.safetensors")
    tiny = zoo.entry("dcgan").tiny.model
    state = np.random.get_state()
    np.random.seed(1)
    generator, linear = zoo.load("dcgan", **tiny), nn.Linear(4, 2)
    np.random.set_state(state)
    facts = {"model": "dcgan", "config": json.dumps(tiny)}
    save_safetensors(folder / "dcgan.safetensors", generator.state_dict(), facts)
    freeze(linear, np.zeros((1, 4), "float32")).save(folder / "linear.nd")
    models = [*map(str, sorted(folder.iterdir())), "resnet9"]
    with real("--engine", "instant", "--train-nice", "0", "--models", *models, models=5) as server:
        yield f"http://{server.address}/"


@pytest.fixture
def page(browser, playing):
    """A fresh page; whatever the browser complains of fails the test."""
    context = browser.new_context(viewport={"width": 1000, "height": 800})
    page = context.new_page()
    page.set_default_timeout(15_000)
    complaints: list[str] = []
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.on("console", lambda message: complaints.append(message.text) if "Security Policy" in message.text else None)
    yield page
    context.close()
    assert complaints == []


def opened(page, playing: str, model: str, panel: str) -> None:
    page.goto(f"{playing}#{model}")
    page.wait_for_selector(f"#{panel}:visible")


def test_a_text_is_written_stopped_and_refused(page, playing):
    opened(page, playing, "bard", "text")
    page.fill("#prompt", "O Rome")
    page.fill("#tokens", "40")
    page.click("#go")
    page.wait_for_selector("text=Done: 40 tokens")
    first = page.inner_text(".text")
    assert first.startswith("O Rome") and page.locator(".text .token").count() == 40
    page.click("#go")
    page.wait_for_selector("text=Done:")
    assert page.inner_text(".text") == first  # the same seed
    page.fill("#stop", first[20:22].replace("\n", "\\n"))
    page.click("#go")
    page.wait_for_selector("text=it ended by itself")
    assert len(page.inner_text(".text")) < len(first)
    page.route("**/v1/completions", lambda route: None)  # an answer that never comes
    page.click("#go")
    page.wait_for_selector("text=Writing")
    page.click("#go")
    page.wait_for_selector("text=Stopped.")
    page.unroute("**/v1/completions")
    page.fill("#prompt", "é")
    page.click("#go")
    page.wait_for_selector(".writing .status.error")
    assert "U+00E9" in page.inner_text(".writing .status")


def test_a_token_tells_what_else_might_have_come(page, playing):
    opened(page, playing, "bard", "text")
    page.fill("#tokens", "12")
    page.click("#go")
    page.wait_for_selector("text=Done:")
    page.locator(".text .token").evaluate_all("all => all.find((one) => one.textContent.trim()).id = 'this'")
    page.hover("#this")
    assert page.locator(".told li").count() == 5
    values = page.locator(".told progress").evaluate_all("all => all.map((one) => one.value)")
    assert values == sorted(values, reverse=True) and 0 < sum(values) <= 1.0001
    assert barriers(page) == [] and fits(page, 320)
    page.focus(".text")
    page.keyboard.press("ArrowRight")
    assert page.get_attribute(".token.current", "data-k") is not None
    page.keyboard.press("Escape")
    assert page.locator(".told").is_hidden()


def test_two_models_write_side_by_side(page, playing):
    opened(page, playing, "bard", "text")
    page.select_option("#text .beside select", "other")
    page.fill("#tokens", "10")
    page.click("#go")
    page.locator("text=Done:").nth(1).wait_for()
    first, second = page.locator(".text").all_inner_texts()
    assert first == second  # the same weights, the same seed
    assert page.locator(".writing h2").all_inner_texts() == ["bard", "other"]


def test_pictures_come_from_seeds_and_lie_on_a_way(page, playing):
    opened(page, playing, "dcgan", "noise")
    page.wait_for_selector("text=From seed 1 to seed 2, in 32 steps")
    page.fill("#many", "5")
    page.fill("#first", "7")
    page.click("#sample button.main")
    page.wait_for_selector("text=From seed 7 to seed 8")
    assert page.locator("#grid canvas").count() == 5
    page.click("[aria-label='Picture of seed 11']")
    page.wait_for_selector("text=From seed 8 to seed 11")
    pixels = "(canvas) => [...canvas.getContext('2d').getImageData(0, 0, canvas.width, canvas.height).data]"
    seeds = [page.locator(f"[aria-label='Picture of seed {seed}'] canvas").evaluate(pixels) for seed in (8, 11)]
    way = []
    for place in ("0", "31"):
        page.locator("#way").fill(place)
        way.append(page.locator("#walk").evaluate(pixels))
    assert way == seeds and seeds[0] != seeds[1]
    assert '"between":[8,11]' in page.inner_text("#noise .code")
    assert barriers(page) == [] and fits(page, 390)


def test_a_model_of_tensors_shows_how_it_is_asked(page, playing):
    opened(page, playing, "linear", "tensors")
    assert "FP32, (batch, 4)" in page.inner_text("#ports")
    assert "/v2/models/linear/infer" in page.inner_text("#tensors .code") and barriers(page) == []


def test_a_key_is_asked_for_and_used(page, playing):
    given: list[str | None] = []

    def answer(route):
        given.append(route.request.headers.get("authorization"))
        if given[-1] == "Bearer secret":
            return route.continue_(headers={k: v for k, v in route.request.headers.items() if k != "authorization"})
        return route.fulfill(status=401, json={"error": "[key] a key is needed"})

    page.route(re.compile("/v[12]/"), answer)
    page.goto(playing)
    page.wait_for_selector("text=A key is needed")
    page.fill("#key-text", "secret")
    page.keyboard.press("Enter")
    page.wait_for_selector("#text:visible")
    assert page.locator("#key").is_hidden() and None in given
    assert 'curl -H "Authorization: Bearer $KEY" -N http' in page.inner_text("#text .code")


class Tuning:
    """The routes of fine-tuning as the contract says, for a job that makes a step each time that it is looked at."""

    def __init__(self, page, steps: int = 12):
        self.steps, self.step, self.created, self.files, self.cancelled = steps, 0, [], [], False
        page.route("**/openapi.json", lambda route: route.fulfill(json={"paths": {"/v1/fine_tuning/jobs": {}}}))
        page.route("**/v1/files", self._file)
        page.route("**/v1/fine_tuning/**", self._jobs)
        page.route("**/v1/models", self._models)

    def _models(self, route):
        names = {"bard": None, "other": None, "resnet9": None}
        names |= {"ft:bard:org::x": "bard"} if self.status == "succeeded" else {}
        route.fulfill(json={"object": "list", "data": [{"id": k, "parent": v} for k, v in names.items()]})

    def _file(self, route):
        self.files.append(route.request.post_data_buffer)
        route.fulfill(json={"id": "file-1", "object": "file"})

    @property
    def status(self) -> str:
        if self.cancelled:
            return "cancelled"
        return "succeeded" if self.step >= self.steps else "running"

    def job(self):
        made = "ft:bard:org::x" if self.status == "succeeded" else None
        return {
            "id": "ftjob-1", "model": "bard", "created_at": 1, "status": self.status, "fine_tuned_model": made,
            "error": None, "estimated_finish": None, "metadata": self.created[-1].get("metadata"),
        }  # fmt: skip

    def _jobs(self, route):
        path = route.request.url.partition("/v1/fine_tuning/jobs")[2].partition("?")[0]
        if path.endswith("/events"):
            self.step = min(self.steps, self.step + 3)
            rows = [
                {"id": f"e{k}", "type": "metrics", "level": "info", "message": f"Step {k}",
                 "data": {"step": k, "total_steps": self.steps, "train_loss": 3 / (1 + k)}}
                for k in range(self.step, 0, -1)
            ]  # fmt: skip
            return route.fulfill(json={"data": rows, "has_more": False})
        if path.endswith("/checkpoints"):
            metrics = {"step": 6, "valid_loss": 1.5}
            rows = [{"step_number": 6, "fine_tuned_model_checkpoint": "bard", "metrics": metrics}]
            return route.fulfill(json={"data": rows if self.step >= 6 else [], "has_more": False})
        if path.endswith("/cancel"):
            self.cancelled = True
        elif route.request.method == "POST":
            self.created.append(route.request.post_data_json)
            self.step, self.cancelled = 0, False
        elif path == "":
            return route.fulfill(json={"data": [self.job()] if self.created else [], "has_more": False})
        return route.fulfill(json=self.job())


@pytest.fixture
def tuning(page, playing) -> Tuning:
    found = Tuning(page)
    page.goto(f"{playing}#bard")
    page.wait_for_selector("#text:visible")
    page.click("#learn")
    page.wait_for_selector("#tune:visible")
    return found


def test_a_text_is_learned_watched_and_compared(page, tuning, tmp_path):
    book = Path(tmp_path / "book.txt")
    book.write_text("O Romeo, Romeo, wherefore art thou Romeo?\n" * 20)
    page.click("#tune button.main")
    page.wait_for_selector("text=Choose a file first.")
    page.set_input_files("#material", str(book))
    page.fill("[name=suffix]", "mine")
    page.fill("[name=n_epochs]", "2")
    page.click("#tune button.main")
    page.wait_for_selector("text=After step 6:")  # a sample of what it had learned by then
    page.wait_for_selector(".job .status:has-text('Done')")
    (asked,) = tuning.created
    assert asked["model"] == "bard" and asked["training_file"] == "file-1" and asked["suffix"] == "mine"
    assert asked["method"]["supervised"]["hyperparameters"] == {"n_epochs": 2}
    assert b'filename="book.txt"' in tuning.files[0] and b'name="purpose"' in tuning.files[0]
    assert "at step 12" in page.get_attribute(".chart svg", "aria-label")
    assert page.locator(".chart circle").count() == 1
    assert "fine_tuning.jobs.create" in page.inner_text("#tune .code")
    assert barriers(page) == [] and fits(page, 320) and fits(page, 1400)


def test_photographs_are_made_small_and_sent_as_rows(page, tuning):
    page.select_option("#base", "resnet9")
    page.click("#tune button.main")
    page.wait_for_selector("text=Give two classes or more")
    stream = io.BytesIO()
    Image.new("RGBA", (600, 300), (0, 0, 0, 0)).save(stream, "PNG")
    for row, label in zip(page.locator(".classes p").all(), ("left", "right"), strict=True):
        row.locator("[type=text]").fill(label)
        files = [{"name": f"{i}.png", "mimeType": "image/png", "buffer": stream.getvalue()} for i in range(2)]
        row.locator("[type=file]").set_input_files(files)
    page.check("[name=sided]")
    page.click("#tune button.main")
    page.wait_for_selector("text=The job has begun.")
    assert tuning.created[-1]["method"] == {"type": "supervised", "supervised": {"images": {"flip": 0}}}
    body = tuning.files[-1]
    assert b'filename="photos.jsonl"' in body
    rows = [json.loads(line) for line in body.decode(errors="replace").splitlines() if line.startswith('{"image"')]
    assert [row["label"] for row in rows] == ["left", "left", "right", "right"]
    picture = Image.open(io.BytesIO(base64.b64decode(rows[0]["image"])))
    assert picture.size == (256, 128) and min(picture.getpixel((5, 5))) > 250  # white where it was transparent


def test_a_job_is_cancelled(page, tuning, tmp_path):
    tuning.steps = 10_000
    Path(tmp_path / "book.txt").write_text("O Romeo\n" * 50)
    page.set_input_files("#material", str(tmp_path / "book.txt"))
    page.click("#tune button.main")
    page.click(".job button:has-text('Cancel')")
    page.wait_for_selector(".job .status:has-text('Cancelled')")
    assert tuning.cancelled and page.locator(".job button").count() == 0


@pytest.mark.thorough
def test_a_book_is_learned_by_the_real_server_and_stands_beside_its_base(page, playing, tmp_path):
    (tmp_path / "book.txt").write_text("O Romeo, Romeo, wherefore art thou Romeo?\n" * 40)
    opened(page, playing, "bard", "text")
    page.click("#learn")
    page.set_input_files("#material", str(tmp_path / "book.txt"))
    page.fill("[name=suffix]", "romeo")
    page.fill("[name=n_epochs]", "1")
    page.click("#tune button.main")
    page.wait_for_selector(".job .status:has-text('Done')", timeout=180_000)
    page.locator(".samples li").first.wait_for()  # both are asked for once more when the job has ended
    page.locator(".chart circle").first.wait_for(state="attached")
    page.click("text=Try it beside its base")
    page.fill("#tokens", "5")
    page.click("#go")
    page.locator("text=Done:").nth(1).wait_for()
    tuned, base = page.locator(".writing h2").all_inner_texts()
    assert tuned.startswith("ft:bard:") and ":romeo:" in tuned and base == "bard"


def test_without_the_routes_no_panel_is_offered(page, playing):
    page.route("**/openapi.json", lambda route: route.fulfill(json={"paths": {}}))
    with page.expect_response("**/openapi.json"):
        opened(page, playing, "bard", "text")
    assert page.locator("#learn").is_hidden()

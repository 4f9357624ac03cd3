"""The pages of the models say what was recorded: those in the documents are what `needle-zoo card --pages` writes."""

import json
import re
import xml.etree.ElementTree as xml
from dataclasses import replace
from pathlib import Path

import pytest

import zoo
from zoo.cli import main
from zoo.curves import COLOURS, LEFT, LETTER, RIGHT, ROW, TOP, WIDTH, label, legend, panels, sparkline, svg, ticks
from zoo.heatmap import heatmap, shade
from zoo.pages import MARKS, pages
from zoo.runs import Record, Run, Shipped, write_record

ROOT = Path(__file__).resolve().parent.parent.parent
PAGES = ROOT / "docs" / "zoo"
Capture = pytest.CaptureFixture[str]


def test_the_pages_are_not_stale() -> None:
    expected = pages(map(zoo.entry, zoo.names()), PAGES)
    stale = [path.name for path, text in expected.items() if not path.is_file() or path.read_text() != text]
    assert not stale, "run: needle-zoo card --pages docs/zoo"
    assert {path for path in expected if path.parent == PAGES} == set(PAGES.iterdir()), "a page of no model"


def test_links_and_pictures_of_the_pages_are_there() -> None:
    for page in PAGES.glob("*.md"):
        for target in re.findall(r"\]\(([^)#\s]+)\)", page.read_text()):
            assert (page.parent / target).is_file(), f"{page.name} shows {target}"
    for target in re.findall(r'src="([^"]+)"', (PAGES.parent / "zoo.md").read_text()):
        assert (PAGES.parent / target).is_file()


def test_the_log_names_every_recorded_run() -> None:
    rows = (PAGES.parent / "training-log.md").read_text().splitlines()
    for name in zoo.names():
        for run in zoo.entry(name).runs:
            row = next(row for row in rows if row.startswith(f"| [{name}](zoo/{name}.md) | {run.seed} |"))
            for metric, value in run.metrics.items():
                assert zoo.card.shown(metric, value) in row, (name, run.seed, metric)


def test_pages_are_written_where_they_are_wanted(tmp_path: Path, capsys: Capture) -> None:
    overview = tmp_path / "zoo.md"
    overview.write_text("Before\n" + "\nan old table\n".join(MARKS) + "\nAfter\n")
    assert main(["card", "--pages", str(tmp_path / "zoo"), "--json"]) == 0
    assert len(json.loads(capsys.readouterr().out)) == len(list((tmp_path / "zoo").iterdir())) + 1
    text = overview.read_text()
    assert text.startswith("Before\n") and text.endswith("\nAfter\n") and "an old table" not in text
    assert all(f"[{name}](zoo/{name}.md)" in text for name in zoo.names())
    assert main(["card", "--pages", str(tmp_path / "zoo")]) == 0
    assert "every page is up to date" in capsys.readouterr().out
    overview.write_text("no marks")
    for arguments, says in (
        (["--pages", str(tmp_path / "zoo")], "between which the table of models goes"),
        (["--pages", str(tmp_path / "a" / "b")], "is no folder: --pages names one in it"),
        (["--pages", "/"], "/ has no name, nor would FOLDER.md have"),
        (["resnet9", "--pages", str(tmp_path)], "leave out the name"),
        ([], "needs the name of a model, or --pages FOLDER"),
    ):
        assert main(["card", *arguments]) == 1
        assert says in capsys.readouterr().err


@pytest.mark.parametrize("named", [".", "..", "../zoo"])
def test_a_folder_may_be_named_by_where_it_is(named: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    inside = tmp_path / "zoo" / "deeper"
    inside.mkdir(parents=True)
    (tmp_path / "zoo.md").write_text("\n".join(MARKS))
    monkeypatch.chdir(inside if named == ".." else inside.parent)
    assert main(["card", "--pages", named]) == 0
    assert (tmp_path / "zoo" / "airnet.md").is_file() and "[airnet](zoo/airnet.md)" in (tmp_path / "zoo.md").read_text()


def test_the_overview_has_the_time_of_the_run_whose_numbers_it_has(tmp_path: Path) -> None:
    entry = replace(zoo.entry("resnet9"), home=tmp_path)
    shipped = Shipped("x-seed1.safetensors", "cd", "float16", {"top1": 0.9})
    runs = tuple(
        replace(RUN, seed=seed, seconds=seconds, metrics={"top1": top1}, shipped=shipped if seed == 1 else None)
        for seed, seconds, top1 in ((0, 60.0, 0.5), (1, 7200.0, 0.9), (2, 120.0, 0.7))
    )
    (tmp_path / "cards").mkdir()
    write_record(tmp_path / "cards" / "resnet9.json", Record({}, runs))
    (tmp_path / "zoo.md").write_text("\n".join(MARKS))
    row = pages([entry], tmp_path / "zoo")[tmp_path / "zoo.md"].splitlines()[-2]
    assert "| top1 90.00 % " in row and "| 2 h 0 min on a machine " in row
    assert entry.measured["top1"].std == pytest.approx(0.2)  # of 0.5, 0.7 and 0.9, with n - 1
    assert "mean of 3 seeds 70.00 %, standard deviation (n - 1) 20.00 %" in zoo.card.render(entry)


LOG = {"epoch": [1, 2, 3], "loss_d": [1.5, 1.0, 0.5], "loss_g": [1.0, None, 2.0], "d_real": [0.5, 0.7, 0.9]}
LOG["lr"] = [1e-3, 1e-3, 1e-3]
RUN = Run(0, "x-seed0.safetensors", "ab", {}, 4000.0, "c0ffee", "needle-zoo train x", "a machine", LOG)


def test_curves_are_a_picture_of_every_column_and_run() -> None:
    runs = [RUN, replace(RUN, seed=1, log={**LOG, "d_real": [0.4, 0.5, float("nan")]})]
    loss, fraction = panels(runs)
    assert {name: len(lines) for name, lines in loss.lines.items()} == {"loss_d": 2, "loss_g": 2}
    assert loss.lines["loss_g"][0] == [(1, 1.0), (3, 2.0)]
    assert {name: len(lines) for name, lines in fraction.lines.items()} == {"d_real": 1}
    picture = svg("a <model>", runs)
    root = xml.fromstring(picture)
    assert picture == svg("a <model>", runs) and root.get("width") == "720"
    assert root.get("aria-label") == "a <model>: curves of its training"
    numbers = [float(x) for path in re.findall(r' d="M([\d. L]+)"', picture) for x in re.split("[ L]", path)]
    assert len(numbers) == 2 * (2 * 3 + 2 * 2 + 3) and min(numbers) >= 0 and max(numbers) <= 360
    assert svg("none", [replace(RUN, log={})]) == ""
    one = svg("one row, one value", [replace(RUN, log={"epoch": [1], "loss": [0.0]})])
    assert xml.fromstring(one).get("width") == "360"


def test_the_names_of_all_lines_are_inside_and_told_apart() -> None:
    for name in zoo.names():
        for panel in panels(zoo.entry(name).runs):
            assert len(panel.lines) <= len(COLOURS) == len(set(COLOURS))
            names = legend(panel.lines)
            ends = [x + LETTER * len(label(column)) for (x, _), column in zip(names, panel.lines, strict=True)]
            assert max(ends) <= WIDTH - RIGHT, name
            below = [x for i, (x, y) in enumerate(names) if i and y > names[i - 1][1]]
            assert set(below) <= {LEFT} and len(set(names)) == len(names)
    log = {"epoch": [1, 2], **{f"a_long_{name}_fraction": [0.1, 0.9] for name in "abcde"}}
    root = xml.fromstring(svg("x", [replace(RUN, log=log)]))
    texts = [each for each in root.iter("{http://www.w3.org/2000/svg}text") if each.get("font-weight") == "bold"]
    assert len({each.get("fill") for each in texts}) == 5 and int(texts[-1].get("y", 0)) == 20 + 2 * ROW
    axes = next(path for path in re.findall(r'd="M46 (\d+)V', xml.tostring(root, encoding="unicode")))
    assert int(axes) == TOP + 2 * ROW


@pytest.mark.parametrize("labels", [("cat", "an ankle boot"), ("the longest of all names", "dog")])
def test_names_beside_a_confusion_matrix_are_inside(labels: tuple[str, str]) -> None:
    root = xml.fromstring(heatmap("x", labels, [[9, 1], [0, 5]]))
    width = int(root.get("width", 0))
    for text in root.iter("{http://www.w3.org/2000/svg}text"):
        x, y, length = float(text.get("x", 0)), float(text.get("y", 0)), 6.5 * len(text.text or "")
        if text.get("transform"):  # upwards to the right, by 60 degrees
            assert x + length / 2 + 4 <= width and y - 0.87 * length >= 4
        elif text.get("text-anchor") == "end":
            assert x - length >= 0


def test_a_confusion_matrix_is_a_picture_of_its_numbers() -> None:
    picture = heatmap("x", ("cat", "<dog>"), [[9, 1], [0, 0]])
    root = xml.fromstring(picture)
    texts = [each.text for each in root.iter("{http://www.w3.org/2000/svg}text")]
    assert texts == ["cat", "cat", "<dog>", "<dog>", "9", "1"]  # by rows; a zero is an empty cell
    assert len(list(root.iter("{http://www.w3.org/2000/svg}rect"))) == 1 + 4
    assert shade((0, 114, 178), 0) == "#f6f6f6" and shade((0, 114, 178), 1) == "#0072b2"


@pytest.mark.parametrize(("low", "high", "expected"), [
    (0.0, 1.0, [0, 0.2, 0.4, 0.6, 0.8, 1.0]), (1, 12, [2, 4, 6, 8, 10, 12]),
    (1e-6, 4e-6, [x * 5e-7 for x in range(2, 9)]), (-3.0, 3.0, [-3, -2, -1, 0, 1, 2, 3]), (5, 5, [5]),
])  # fmt: skip
def test_ticks_are_round(low: float, high: float, expected: list[float]) -> None:
    assert ticks(low, high) == pytest.approx(expected)


def test_a_column_as_bars() -> None:
    assert sparkline([1.0, None, 2.0, 3.0]) == "▁▄█" or sparkline([1.0, None, 2.0, 3.0]) == "▁▅█"
    assert sparkline([2.0, 2.0]) == "▁▁" and sparkline([]) == "" and len(sparkline(list(range(1000)))) <= 40


def test_every_kind_of_model_shows_what_it_makes(tmp_path: Path, capsys: Capture) -> None:
    shipped = replace(RUN, shipped=Shipped("x-seed0.safetensors", "cd", "float16", {}))
    sample = {"prompt": "\n", "max_tokens": 9, "temperature": 0.8, "seed": 0, "text": "\nTo be\n\n or [not\n"}
    text = {"samples": [sample]}
    for name, shown, says, pictured in (
        ("dcgan", {"sheet": "dcgan.png"}, str(tmp_path / "cards" / "dcgan.png"), "![samples](../cards/dcgan.png)"),
        ("dcgan", {"nearest": "n.png"}, str(tmp_path / "cards" / "n.png"), "![nearest training images](../cards/n.png"),
        ("gpt-char", text, "    To be\n\n     or [not\n", "    To be\n\n     or [not\n"),
    ):
        entry = replace(zoo.entry(name), home=tmp_path)
        (tmp_path / "cards").mkdir(exist_ok=True)
        write_record(tmp_path / "cards" / f"{name}.json", Record({}, (shipped,), shown))
        assert entry.record == Record({}, (shipped,), shown)
        card, page = zoo.card.render(entry), zoo.card.render(entry, "../cards")
        assert says in card and pictured in page and "1 h 7 min" in card and "a machine" in card
        assert "loss d" in card and f"![curves of its training]({name}.svg)" in page


def test_an_untrained_model_says_how_to_train_it() -> None:
    for name in zoo.names():
        entry = zoo.entry(name)
        page = (PAGES / f"{name}.md").read_text()
        assert f"needle-zoo train {name}" in page and entry.limits in page
        assert ("Not trained yet" in page) == (not entry.runs)

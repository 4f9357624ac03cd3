"""What the documents say is true: links lead somewhere, commands exist, the example runs, files stay short."""

import re
import subprocess
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
PAGES = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").glob("*.md")])


def tracked() -> list[Path]:
    """The files of the repository, or all text files of an unpacked archive."""
    done = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=False)
    names = done.stdout.split("\0") if done.returncode == 0 else [str(p.relative_to(ROOT)) for p in ROOT.rglob("*.*")]
    return [ROOT / name for name in names if name and (ROOT / name).is_file()]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_somewhere(page: Path) -> None:
    text = re.sub(r"```.*?```", "", page.read_text(), flags=re.DOTALL)
    for target in re.findall(r"\]\(([^)#\s]+)[^)]*\)", text):
        if not target.startswith(("http://", "https://")):
            assert (page.parent / target).exists(), f"{page.name} links to {target}"


def test_the_readme_names_commands_that_exist() -> None:
    import deploy.cli
    import serving.cli
    import zoo.cli

    text = (ROOT / "README.md").read_text()
    scripts = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["scripts"]
    modules = {"needle-zoo": zoo.cli, "needle-deploy": deploy.cli, "needle-serve": serving.cli}
    parsers = {name: module.parser() for name, module in modules.items()}
    assert set(scripts) == set(parsers)
    for line in re.findall(r"^    (needle-(?:zoo|deploy) .+)$", text, flags=re.MULTILINE):
        program, rest = line.split(" ", 1)
        known = parsers[program].format_help()
        for part in rest.split("|"):
            assert part.split()[0] in known, f"{program} has no command {part.split()[0]}"
    targets = re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(), flags=re.MULTILINE)
    for target in re.findall(r"(?:`|^    )make ([a-z]+)", text, flags=re.MULTILINE):
        assert target in targets


def test_the_readme_s_gradient_example_runs() -> None:
    import needle as ndl

    code = re.search(r"```python\n(.*?)```", (ROOT / "README.md").read_text(), flags=re.DOTALL)
    assert code is not None and "ndl.relu(x @ w).sum()" in code.group(1)
    x, w = ndl.Tensor([[1.0, 2.0]]), ndl.Tensor([[3.0], [4.0]])
    ndl.relu(x @ w).sum().backward()
    assert w.grad.numpy().ravel().tolist() == [1.0, 2.0]


def test_the_tour_is_seven_files_that_can_be_read_in_an_hour() -> None:
    tour = (ROOT / "docs" / "tour.md").read_text()
    stops = re.findall(r"^\d+\. \*\*\[([^]]+)\]\(\.\./([^)]+)\)", tour, flags=re.MULTILINE)
    lines = {name: len((ROOT / path).read_text().splitlines()) for name, path in stops}
    assert len(lines) == 7 and all(name == path for name, path in stops)
    assert "at most 1,200 lines" in tour and sum(lines.values()) <= 1200, lines


def test_no_machine_paths_in_the_repository() -> None:
    pattern = re.compile(r"(?:^|[^\w.])/(?:" + "|".join(["work", "farm", "root", "opt/wheels"]) + r")/")
    for path in tracked():
        if path.suffix not in {".png", ".safetensors"}:
            for number, line in enumerate(path.read_text(errors="replace").splitlines(), 1):
                assert not pattern.search(line), f"{path.relative_to(ROOT)}:{number}: {line.strip()}"


def test_files_are_short_enough_to_read() -> None:
    for path in tracked():
        if path.suffix in {".py", ".h", ".cpp"}:
            lines = len(path.read_text().splitlines())
            assert lines <= 400, f"{path.relative_to(ROOT)} has {lines} lines: is there a seam?"

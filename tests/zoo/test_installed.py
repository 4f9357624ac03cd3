"""Installed from a wheel, in an empty folder, without a network: every model with weights answers."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
from PIL import Image

import zoo
from needle.backend_ndarray import ndarray_backend_cpu
from zoo.adapted import SHIPPED as SHIPPED_ADAPTERS
from zoo.adapted import shipped_adapters
from zoo.card import PICTURES
from zoo.signature import Labels, Text

ROOT = Path(__file__).resolve().parent.parent.parent
PACKAGES = ("needle", "deploy", "zoo", "serving")  # wheel.packages of pyproject.toml
SHIPPED = [name for name in zoo.names() if zoo.entry(name).shipped]


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What a wheel unpacks: the files that the build packs, the compiled extension, nothing beside them."""
    site = tmp_path_factory.mktemp("site-packages")
    for source in packed():
        target = site / source.relative_to(ROOT)
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(source, target)
    extension = Path(ndarray_backend_cpu.__file__)
    shutil.copyfile(extension, site / "needle" / "backend_ndarray" / extension.name)
    return site


def packed() -> list[Path]:
    """The packages' files that git does not ignore, as scikit-build-core picks them."""
    done = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard", "-z", *PACKAGES],
        cwd=ROOT, capture_output=True, text=True,
    )  # fmt: skip
    if done.returncode == 0:
        files = [ROOT / name for name in done.stdout.split("\0") if name]
    else:  # an unpacked archive
        found = (path for package in PACKAGES for path in (ROOT / package).rglob("*"))
        files = [path for path in found if "__pycache__" not in path.parts and path.suffix != ".so"]
    return [path for path in files if path.is_file()]


def answer(installed: Path, folder: Path, *arguments: str) -> str:
    """What `needle-zoo` prints there."""
    environment = {key: value for key, value in os.environ.items() if not key.startswith(("NEEDLE_", "PYTHON"))}
    environment |= {"PYTHONPATH": str(installed), "NEEDLE_OFFLINE": "1", "NEEDLE_HOME": str(folder / "kept")}
    command = [sys.executable, "-m", "zoo.cli", *arguments]
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    assert not (folder / "kept").exists(), "it kept something"
    return done.stdout


def test_the_packages_are_those_of_the_wheel() -> None:
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["scikit-build"]
    assert set(settings["wheel"]["packages"]) == set(PACKAGES)


def test_weights_and_cards_are_packed() -> None:
    files = set(packed())
    for name in zoo.names():
        entry = zoo.entry(name)
        assert all(entry.home / "weights" / file.file in files for _, file in entry.shipped)
        assert not entry.runs or entry.home / "cards" / f"{name}.json" in files
        shown = entry.record.shown
        assert all(entry.home / "cards" / shown[kind] in files for kind, _, _ in PICTURES if kind in shown)
    kept = {file.file for name in zoo.names() for _, file in zoo.entry(name).shipped}
    adapters = {SHIPPED_ADAPTERS / name / "adapter_model.safetensors" for name in shipped_adapters()}
    weights = {path for path in files if path.suffix == ".safetensors"}
    assert adapters and adapters <= weights
    assert {path.name for path in weights - adapters} == kept, "weights that no card names"


@pytest.mark.parametrize("name", SHIPPED)
def test_it_answers_with_the_weights_in_the_package(name: str, installed: Path, tmp_path: Path) -> None:
    folder = tmp_path / "empty"
    folder.mkdir()
    match zoo.entry(name).output:
        case Labels(labels):
            Image.new("RGB", (48, 40), "navy").save(tmp_path / "photo.png")
            lines = answer(installed, folder, "predict", name, "../photo.png", "--top", "3").splitlines()
            assert len(lines) == 3 and all(line.split(" %  ")[1] in labels for line in lines)
        case Text():
            assert len(answer(installed, folder, "generate", name, "--tokens", "20")) > 10
            for adapter in shipped_adapters():
                if adapter.startswith(f"{name}-"):
                    assert len(answer(installed, folder, "generate", name, "--tokens", "20", "--adapter", adapter)) > 10
        case zoo.Image():
            answer(installed, folder, "sample", name, "--count", "4", "--output", "../sheet.png")
            with Image.open(tmp_path / "sheet.png") as sheet:
                assert sheet.size[0] > 32
        case other:
            raise AssertionError(f"say here how a model with the output {other} is used")
    assert not list(folder.iterdir())


def test_a_card_is_read_there(installed: Path, tmp_path: Path) -> None:
    assert SHIPPED and answer(installed, tmp_path, "card", SHIPPED[0]).startswith(f"# {SHIPPED[0]}\n")

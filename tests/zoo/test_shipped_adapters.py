"""The adapters in the package: small, found by their names everywhere, and what their cards say."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

import zoo
from needle.errors import DataError
from zoo.adapted import SHIPPED, adapter_folder, base_of, read_card, shipped_adapters
from zoo.cli import main
from zoo.image_classifier import ImageClassifier
from zoo.language_model import LanguageModel

NAMES = shipped_adapters()


def test_there_are_examples_of_both_kinds() -> None:
    models = [zoo.load(base_of(SHIPPED / name), tiny=True) for name in NAMES]
    assert all(any(isinstance(model, kind) for model in models) for kind in (ImageClassifier, LanguageModel))


@pytest.mark.parametrize("name", NAMES)
def test_a_shipped_adapter_is_loaded_by_its_name(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)  # with no such folder
    card, base = read_card(SHIPPED / name), base_of(SHIPPED / name)
    model = zoo.load(base, adapter=name)
    assert model.card["adapter"] == card and {"data", "before", "after"} <= card.keys()
    assert sum(file.stat().st_size for file in (SHIPPED / name).iterdir()) < 3e6
    if isinstance(model, LanguageModel):
        assert card["after"]["bits_per_byte"] < card["before"]["bits_per_byte"]
        assert model.generate("Alice ", 8, seed=1) != zoo.load(base, pretrained=True).generate("Alice ", 8, seed=1)
    else:
        assert model.card["labels"] == card["labels"] and card["after"]["accuracy"] > card["before"]["accuracy"]


def test_a_folder_of_ones_own_comes_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    name = NAMES[0]
    monkeypatch.chdir(tmp_path)
    assert adapter_folder(Path(name)) == SHIPPED / name
    Path(name).mkdir()
    Path(name, "adapter_config.json").write_text("{}")
    assert adapter_folder(Path(name)) == Path(name)
    with pytest.raises(DataError, match=f"in the package are .*{name}"):
        adapter_folder(Path("nothing"))


def test_the_list_of_models_names_them(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["list"]) == 0
    text = capsys.readouterr().out
    assert all(f"with --adapter {name}: " in text for name in NAMES)
    assert main(["list", "--json"]) == 0
    found = {each["name"]: each["adapters"] for each in json.loads(capsys.readouterr().out)}
    assert sorted(name for adapters in found.values() for name in adapters) == NAMES

"""The zoo's records: loading, predicting, cards."""

import json
import warnings
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

import needle as ndl
import zoo
from needle.data.images import open_image, prepare
from needle.errors import DataError, SettingError
from needle.weights import save_safetensors
from zoo.registry import HERE, Measured

pytestmark = pytest.mark.filterwarnings("ignore::zoo.UntrainedWarning")


def drawing(size: tuple[int, int] = (64, 48)) -> Image.Image:
    """A drawn photograph: a gradient with a dark disc."""
    x, y = np.meshgrid(np.linspace(0, 1, size[0]), np.linspace(0, 1, size[1]))
    disc = ((x - 0.5) ** 2 + (y - 0.5) ** 2 < 0.05)[..., None]
    pixels = np.stack([255 * x, 255 * y, 255 * (1 - x)], axis=-1)
    return Image.fromarray(np.where(disc, 30, pixels).astype("uint8"))


@pytest.fixture(scope="module")
def model() -> ndl.nn.Module:
    return zoo.load("resnet9")


def test_unknown_names_are_answered_with_the_known_ones() -> None:
    with pytest.raises(zoo.ZooError, match=r"no model 'resnet10'; there are .*resnet9"):
        zoo.load("resnet10")


def test_predict_takes_paths_bytes_images_and_arrays_alike(model: ndl.nn.Module, tmp_path: Path) -> None:
    image = drawing()
    path = tmp_path / "drawing.png"
    image.save(path)
    answers = [model.predict(given) for given in (path, str(path), path.read_bytes(), image, np.asarray(image))]
    assert all(answer == answers[0] for answer in answers)
    assert len(answers[0]) == 10 and abs(sum(p for _, p in answers[0]) - 1) < 1e-6
    assert [p for _, p in answers[0]] == sorted((p for _, p in answers[0]), reverse=True)
    assert model.predict(image, top=2) == answers[0][:2]


def test_predict_leaves_the_training_mode_as_it_was(model: ndl.nn.Module) -> None:
    model.train()
    model.predict(drawing())
    assert model.training and model.net.training


def test_preprocessing_crops_the_centre_and_normalises() -> None:
    spec = zoo.entry("resnet9").input.spec()
    pixels = np.full((40, 80, 3), 255, dtype="uint8")
    pixels[:, :20] = pixels[:, 60:] = 0  # outside the central square
    array = prepare(Image.fromarray(pixels), spec)
    expected = (1 - np.array(spec["mean"])) / np.array(spec["std"])
    assert array.shape == (3, 32, 32) and array.dtype == np.float32
    np.testing.assert_allclose(array[:, 4:-4, 4:-4], np.broadcast_to(expected[:, None, None], (3, 24, 24)), rtol=1e-5)


@pytest.mark.parametrize("mode", ["L", "LA", "P", "RGBA", "CMYK", "I;16", "1"])
def test_every_kind_of_image_becomes_rgb(mode: str) -> None:
    image = drawing()
    deep = Image.fromarray(np.asarray(image.convert("L")).astype("uint16") * 257)
    converted = deep if mode == "I;16" else image.convert(mode)
    array = prepare(converted, zoo.entry("resnet9").input.spec())
    assert array.shape == (3, 32, 32) and np.isfinite(array).all() and array.std() > 0.1


def test_bad_images_are_refused_in_words(tmp_path: Path) -> None:
    image = drawing()
    path = tmp_path / "cut.png"
    image.save(path)
    path.write_bytes(path.read_bytes()[:200])
    cases = ((b"", "not an image"), (b"GIF89a", "image"), (str(path), "cut"), (tmp_path / "none.png", "No such file"))
    for source, says in cases:
        with pytest.raises(DataError, match=says):
            open_image(source)
    with pytest.raises(DataError, match="the limit is 100"):
        image.save(tmp_path / "big.png")
        open_image(tmp_path / "big.png", max_pixels=100)
    with pytest.raises(DataError, match="uint8"):
        prepare(np.zeros((4, 4)), zoo.entry("resnet9").input.spec())


def test_exif_orientation_is_applied(tmp_path: Path) -> None:
    image = drawing((64, 32))
    exif = Image.Exif()
    exif[0x0112] = 6  # to be shown rotated by a quarter
    image.save(tmp_path / "turned.jpg", exif=exif)
    assert open_image(tmp_path / "turned.jpg").size == (32, 64)


def test_loading_trained_weights_keeps_the_generator() -> None:
    np.random.seed(5)
    expected = np.random.rand()
    np.random.seed(5)
    zoo.load("resnet9", pretrained=True)
    assert np.random.rand() == expected


def test_the_recorded_recipe_is_the_recipe() -> None:
    for name in zoo.names():
        path = HERE / "cards" / f"{name}.json"
        if path.exists():
            recorded = json.loads(path.read_text())["recipe"]
            assert {key: asdict(zoo.entry(name).recipe)[key] for key in recorded} == recorded


def test_the_weights_in_the_package_are_as_many_as_they_may_be() -> None:
    def megabytes(folder: str) -> float:
        return sum(path.stat().st_size for path in (HERE / folder).rglob("*") if path.is_file()) / 1e6

    page = (HERE.parent / "docs" / "zoo.md").read_text()
    weights, adapters = megabytes("weights"), megabytes("adapters")
    assert weights <= 35 and f"are {weights:.1f} MB; the two adapters in `zoo/adapters`, {adapters:.1f} MB" in page
    assert f"both together are {weights + adapters:.1f} MB" in page


def test_weights_from_a_file_are_those_of_that_model(tmp_path: Path) -> None:
    model = zoo.load("resnet9", tiny=True)
    path = tmp_path / "weights.safetensors"
    save_safetensors(path, model.state_dict(), {"model": "resnet9"})
    loaded = zoo.load("resnet9", weights=path)
    assert not loaded.training and loaded.predict(drawing()) == model.predict(drawing())
    for facts, says in (({"model": "gpt"}, "of gpt, not of resnet9"), ({"model": "resnet9", "config": "[1"}, "JSON")):
        save_safetensors(path, model.state_dict(), facts)
        with pytest.raises(zoo.ZooError, match=says):
            zoo.load("resnet9", weights=path)


def test_an_untrained_model_says_so_once_and_a_trained_one_does_not(tmp_path: Path) -> None:
    model = zoo.load("resnet9", tiny=True)
    with pytest.warns(zoo.UntrainedWarning, match=r"\[resnet9\] is untrained.*needle-zoo train resnet9"):
        model.predict(drawing())
    text = zoo.load("gpt-char", tiny=True)
    with pytest.warns(zoo.UntrainedWarning, match="gpt-char"):
        text.generate("the", 2)
    with pytest.warns(zoo.UntrainedWarning, match="dcgan"):
        zoo.load("dcgan", tiny=True).sample(1)
    stepped = zoo.load("resnet9", tiny=True)
    for parameter in stepped.parameters():
        parameter.data = parameter * 0.5
    save_safetensors(tmp_path / "weights", model.state_dict(), {"model": "resnet9"})
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        model.predict(drawing())  # it was said
        stepped.predict(drawing())
        zoo.load("resnet9", weights=tmp_path / "weights").predict(drawing())


SETTINGS = {
    "resnet20": [{"blocks": -1}, {"blocks": 2.5}, {"widths": (4, 0, 4)}],
    "resnet9-dawn": [{"widths": (4, 8)}, {"widths": (4, 8, 8, -1)}],
    "gpt-char": [{"layers": 0}, {"heads": True}, {"context": -3}, {"width": 0}],
    "lstm-char": [{"layers": -1}, {"hidden": 0}],
    "dcgan": [{"latent": 0}, {"width": -2}],
}


@pytest.mark.parametrize(("name", "given"), [(name, given) for name, cases in SETTINGS.items() for given in cases])
def test_sizes_that_mean_nothing_are_refused(name: str, given: dict[str, Any]) -> None:
    with pytest.raises(SettingError, match=r"must be a whole number from 1 on, got|needs four widths, got"):
        zoo.load(name, **given)


def test_a_list_of_no_labels_is_refused(model: ndl.nn.Module) -> None:
    for top in (0, -1, 1.5):
        with pytest.raises(SettingError, match="top must be a whole number from 1 on"):
            model.predict(drawing(), top=top)


def test_a_number_without_its_command_cannot_be_constructed() -> None:
    with pytest.raises(TypeError):
        Measured(0.78, 0.002, 3)  # type: ignore[call-arg]

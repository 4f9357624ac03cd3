"""Folders of images as a data set."""

import numpy as np
import pytest
from PIL import Image

from needle.data import DataLoader, ImageFolder
from needle.data.transforms import Compose, Normalize, RandomResizedCrop, Resize
from needle.errors import DataError

pytestmark = pytest.mark.both_modes


def pixels(seed, height=12, width=16):
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype="uint8")


@pytest.fixture
def folder(tmp_path):
    for name in ("cats", "dogs", ".hidden"):
        (tmp_path / name).mkdir()
    (tmp_path / "dogs" / "puppies").mkdir()
    for seed, name in enumerate(("cats/b.png", "cats/a.bmp", "dogs/puppies/p.webp", "dogs/z.PNG", ".hidden/h.png")):
        Image.fromarray(pixels(seed)).save(tmp_path / name, lossless=True)
    (tmp_path / "cats" / "notes.txt").write_text("not an image")
    (tmp_path / "readme.png").write_text("not in a class")
    return tmp_path


def test_classes_are_folders_and_samples_their_images(folder):
    dataset = ImageFolder(folder)
    assert dataset.classes == ["cats", "dogs"] and dataset.y.tolist() == [0, 0, 1, 1] and len(dataset) == 4
    assert [path.name for path in dataset.paths] == ["a.bmp", "b.png", "p.webp", "z.PNG"]
    for place, seed in enumerate((1, 0, 2, 3)):
        image, label = dataset[place]
        np.testing.assert_array_equal(image, pixels(seed).transpose(2, 0, 1))
        assert label == place // 2 and image.dtype == "uint8"
    images, labels = dataset[np.array([3, 0])]
    np.testing.assert_array_equal(images, np.stack([pixels(3), pixels(1)]).transpose(0, 3, 1, 2))
    assert labels.tolist() == [1, 0] and dataset[1:][0].shape == (3, 3, 12, 16)
    with pytest.raises(IndexError):
        dataset[4]


def test_an_empty_class_keeps_its_number_and_is_said(folder):
    (folder / "bees").mkdir()
    (folder / "bees" / "b.tiff").write_text("of no known format")
    with pytest.warns(UserWarning, match=r"has no images \(.png, .*\) of the classes 'bees'; they keep their numbers"):
        dataset = ImageFolder(folder)
    assert dataset.classes == ["bees", "cats", "dogs"] and dataset.y.tolist() == [1, 1, 2, 2]
    assert dataset[0][1] == 1 and len(dataset) == 4


def test_a_split_without_a_folder_takes_the_classes_of_another(folder):
    with pytest.warns(UserWarning, match="of the classes 'bees', 'eels'"):
        dataset = ImageFolder(folder, classes=["dogs", "bees", "cats", "eels"])
    assert dataset.classes == ["dogs", "bees", "cats", "eels"] and dataset.y.tolist() == [0, 0, 2, 2]
    assert [path.name for path in dataset.paths] == ["p.webp", "z.PNG", "a.bmp", "b.png"]
    with pytest.raises(DataError, match=r"every folder in .*, each once; lacking: dogs"):
        ImageFolder(folder, classes=["cats"])
    with pytest.raises(DataError, match="some are given twice"):
        ImageFolder(folder, classes=["cats", "cats", "dogs"])


def test_what_systems_leave_is_neither_sample_nor_class(folder):
    expected = ImageFolder(folder).paths
    picture = (folder / "cats" / "b.png").read_bytes()
    strays = (
        "cats/.DS_Store", "cats/Thumbs.db", "cats/desktop.ini", "cats/._b.png", "cats/.b.png", "dogs/puppies/._p.webp",
        "cats/.ipynb_checkpoints/b-checkpoint.png", ".ipynb_checkpoints/c.png", "__MACOSX/cats/._b.png",
        "__MACOSX/cats/b.png", "@eaDir/b.png", "cats/@eaDir/b.png", ".DS_Store", "Thumbs.db", "$RECYCLE.BIN/b.png",
    )  # fmt: skip
    for name in strays:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(picture)
    (folder / "cats" / "folder.png").mkdir()
    dataset = ImageFolder(folder)
    assert dataset.classes == ["cats", "dogs"] and dataset.paths == expected
    hidden = folder / ".hidden"  # the folder itself may be anywhere
    (hidden / "owls").mkdir()
    (hidden / "owls" / "o.png").write_bytes(picture)
    assert ImageFolder(hidden).classes == ["owls"]


def test_images_stand_upright_in_the_size_asked_for(folder):
    sideways = Image.fromarray(pixels(9, 16, 12))
    exif = sideways.getexif()
    exif[0x0112] = 6  # to be turned by a quarter
    sideways.save(folder / "cats" / "c.png", exif=exif)
    images, _ = ImageFolder(folder)[:]
    np.testing.assert_array_equal(images[2], np.rot90(pixels(9, 16, 12), -1).transpose(2, 0, 1))
    assert ImageFolder(folder, 8)[:][0].shape == (5, 3, 8, 8) and ImageFolder(folder, (6, 10))[0][0].shape == (3, 6, 10)
    np.testing.assert_array_equal(ImageFolder(folder, (12, 16))[:][0], images)


def test_workers_read_augmented_batches(folder):
    augment = Compose(RandomResizedCrop(9), Resize((4, 6)), Normalize(0.5, 0.25))
    found = [
        np.concatenate([x.numpy() for x, _ in DataLoader(ImageFolder(folder), 3, seed=1, augment=augment, workers=n)])
        for n in (0, 2)
    ]
    np.testing.assert_array_equal(*found)
    assert found[0].shape == (4, 3, 4, 6)


def test_what_cannot_be_read_is_named(folder, tmp_path):
    Image.fromarray(pixels(0, 5, 5)).save(folder / "dogs" / "small.png")
    with pytest.raises(DataError, match=r"give a size: .*small.png is \(3, 5, 5\), .*a.bmp \(3, 12, 16\)"):
        ImageFolder(folder)[:]
    (folder / "dogs" / "broken.png").write_bytes(b"\x89PNG\r\n\x1a\nnothing more")
    with pytest.raises(DataError, match=r"broken.png\] is not an image of a known format"):
        list(DataLoader(ImageFolder(folder, 8), 2, workers=1))
    for empty in (folder / "cats", folder / "none"):
        with pytest.raises(DataError, match="needs folders named after classes"):
            ImageFolder(empty)

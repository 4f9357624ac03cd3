"""Images in folders that are named after their classes."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy

from ... import reprs
from ...errors import DataError
from ..dataset import Dataset, batched

SUFFIXES = (".png", ".jpg", ".jpeg", ".webp", ".bmp", ".gif")
SYSTEM = ("__macosx", "@eadir", "$recycle.bin", "system volume information", "lost+found")  # folders no user makes


class ImageFolder(Dataset):
    """Samples (image uint8 (3, height, width), label) of the images in `folder`/CLASS/..., in the order of their paths.

    `classes` are the names of the folders, sorted; a label is an index into them, `y` (n,) int64 are all. A folder
    without images keeps its index, with a UserWarning: the same folders have the same numbers in every split. Where a
    split may lack a folder, give it the `classes` of another: `ImageFolder("val", classes=train.classes)`. Files and
    folders that are hidden (".DS_Store", "._a.jpg", ".ipynb_checkpoints") or the system's are passed over.

    Images are read when they are asked for: upright, as RGB, and with `size` (a number or (height, width)) cropped
    around the centre and scaled to it. Without it, the images of a batch must be of one size. A loader makes floats of
    them with `augment=ToFloat()` or `Normalize`.

    Raises DataError if there are no folders with images, for a folder that is none of the `classes` given, and, naming
    the file, for an image that cannot be read.
    """

    def __init__(
        self, folder: str | Path, size: int | tuple[int, int] | None = None, *, classes: Sequence[str] | None = None
    ) -> None:
        super().__init__()
        self.folder = Path(folder)
        self.size = (size, size) if isinstance(size, int) else size
        folders = [path.name for path in self.folder.glob("*/") if _visible(path.name)]
        self.classes = sorted(folders) if classes is None else list(classes)
        unknown, twice = set(folders) - set(self.classes), len(set(self.classes)) < len(self.classes)
        if unknown or twice:
            raise DataError(
                f"[ImageFolder] classes need the name of every folder in {folder}, each once; "
                + ("some are given twice" if twice else f"lacking: {', '.join(sorted(unknown))}")
            )
        found = [_images(self.folder / name) for name in self.classes]
        self.paths = [path for paths in found for path in paths]
        if not self.paths:
            raise DataError(f"[ImageFolder] {folder} needs folders named after classes with images in them")
        counts = [len(paths) for paths in found]
        self.y = numpy.repeat(numpy.arange(len(found)), counts)
        empty = [name for name, count in zip(self.classes, counts, strict=True) if count == 0]
        if empty:
            names = ", ".join(map(repr, empty[:10])) + (f" and {len(empty) - 10} more" if len(empty) > 10 else "")
            warnings.warn(
                f"[ImageFolder] {folder} has no images ({', '.join(SUFFIXES)}) of the classes {names}; they keep their "
                "numbers, but no sample has them",
                stacklevel=2,
            )

    def _counts(self) -> list[str]:
        return [*super()._counts(), reprs.count(len(getattr(self, "classes", ())), "class", "classes")]

    def __len__(self) -> int:
        return len(self.paths)

    @batched
    def __getitem__(self, index: Any) -> tuple[numpy.ndarray, Any]:
        indices = numpy.arange(len(self))[index]
        if numpy.ndim(indices) == 0:
            return self._pixels(int(indices)), self.y[index]
        images = [self._pixels(i) for i in indices.tolist()]
        for i, image in zip(indices, images, strict=True):
            if image.shape != images[0].shape:
                raise DataError(
                    f"[ImageFolder] images of a batch must have one size, or give a size: {self.paths[i]} is "
                    f"{image.shape}, {self.paths[indices[0]]} {images[0].shape}"
                )
        return numpy.stack(images), self.y[index]

    def _pixels(self, index: int) -> numpy.ndarray:
        from ..image_geometry import fitted  # in here: most who import needle read no image files
        from ..images import open_image, rgb

        image = rgb(open_image(self.paths[index]))
        if self.size is not None:
            image = fitted(image, *self.size)
        return numpy.ascontiguousarray(numpy.asarray(image).transpose(2, 0, 1))


def _images(folder: Path) -> list[Path]:
    """The user's images in a folder and its folders, sorted."""
    found = (path for path in folder.rglob("*") if path.suffix.lower() in SUFFIXES and not path.is_dir())
    return sorted(path for path in found if all(map(_visible, path.relative_to(folder).parts)))


def _visible(name: str) -> bool:
    """Whether a file or folder of this name is the user's: neither hidden nor one that systems make by themselves."""
    return not name.startswith(".") and name.lower() not in SYSTEM

"""Images in folders that bear the names of their classes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy

from ...errors import DataError
from ..data_basic import Dataset
from ..images import open_image, rgb
from ..shrink import fitted

SUFFIXES = (".png", ".jpg", ".jpeg", ".webp", ".bmp", ".gif")


class ImageFolder(Dataset):
    """Samples (image uint8 (3, height, width), label) of the images in `folder`/CLASS/..., in the order of their paths.

    `classes` are the names of the folders, sorted; a label is a place among them, `y` (n,) int64 are all. Images are
    read when they are asked for: upright, as RGB, and with `size` (a number or (height, width)) cropped around the
    centre and scaled to it. Without it, the images of a batch must be of one size.

    Raises DataError if there are no folders with images, and, naming the file, for an image that cannot be read.
    """

    def __init__(self, folder: str | Path, size: int | tuple[int, int] | None = None) -> None:
        super().__init__()
        self.folder = Path(folder)
        self.size = (size, size) if isinstance(size, int) else size
        folders = sorted(path for path in self.folder.glob("*/") if not path.name.startswith("."))
        found = [[path for path in sorted(each.rglob("*")) if path.suffix.lower() in SUFFIXES] for each in folders]
        self.classes = [each.name for each, paths in zip(folders, found, strict=True) if paths]
        if not self.classes:
            raise DataError(f"[ImageFolder] {folder} needs folders named after classes with images in them")
        full = [paths for paths in found if paths]
        self.paths = [path for paths in full for path in paths]
        self.y = numpy.repeat(numpy.arange(len(full)), [len(paths) for paths in full])

    def __len__(self) -> int:
        return len(self.paths)

    def __getitem__(self, index: Any) -> tuple[numpy.ndarray, Any]:
        places = numpy.arange(len(self))[index]
        if numpy.ndim(places) == 0:
            return self._pixels(int(places)), self.y[index]
        images = [self._pixels(place) for place in places.tolist()]
        for place, image in zip(places, images, strict=True):
            if image.shape != images[0].shape:
                raise DataError(
                    f"[ImageFolder] images of a batch must have one size, or give a size: {self.paths[place]} is "
                    f"{image.shape}, {self.paths[places[0]]} {images[0].shape}"
                )
        return numpy.stack(images), self.y[index]

    def _pixels(self, place: int) -> numpy.ndarray:
        image = rgb(open_image(self.paths[place]))
        if self.size is not None:
            image = fitted(image, *self.size)
        return numpy.ascontiguousarray(numpy.asarray(image).transpose(2, 0, 1))

"""A loader's batches in rounds of so many steps: measuring follows the steps, not the size of the data."""

from __future__ import annotations

from needle.data import DataLoader
from needle.data.epochs import Batch, EpochIterator, Loader


class Rounds(Loader):
    """Pass after pass over a loader with a seed, cut into rounds of `steps` batches: each is an epoch for `fit`."""

    def __init__(self, loader: DataLoader, steps: int) -> None:
        self.loader, self.steps, self.seed = loader, steps, loader.seed

    def __len__(self) -> int:
        return self.steps

    def _begin(self, epoch: int, position: int) -> EpochIterator:
        """Batch i of round r is batch r steps + i of all, counted over the passes."""
        passes: dict[int, EpochIterator] = {}

        def make(at: int) -> Batch:
            number, place = divmod(epoch * self.steps + at, len(self.loader))
            if number not in passes or passes[number].position != place:
                passes.clear()
                passes[number] = self.loader._begin(number, place)
            return next(passes[number])

        return EpochIterator(epoch, position, self.steps, make)

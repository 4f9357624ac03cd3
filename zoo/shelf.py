"""The data sets that models of the zoo are trained on: what they are, where they lie, how they get there."""

from __future__ import annotations

from pathlib import Path
from typing import Any, NamedTuple

from needle.data.download import DATASETS, PREPARED, dataset_folder, located
from needle.errors import DataError

from .registry import entry, names


class About(NamedTuple):
    """What a data set holds, its size in bytes as it is published, and under which terms."""

    what: str
    size: int
    licence: str


ABOUT: dict[str, About] = {
    "cifar-10": About(
        "60,000 colour photographs of 32 x 32, ten classes", 170_498_071, "none is published; cite Krizhevsky 2009"
    ),
    "mnist": About("70,000 handwritten digits of 28 x 28", 11_594_722, "CC BY-SA 3.0, as commonly stated"),
    "fashion-mnist": About("70,000 pictures of clothes of 28 x 28, ten classes", 30_878_645, "MIT"),
    "ptb": About(
        "Penn Treebank in Mikolov's words, 10,000 different ones", 5_951_345, "none that is open: LDC and Dow Jones"
    ),
    "tinyshakespeare": About("1.1 million characters of Shakespeare's plays", 1_115_394, "public domain"),
    "gutenberg-novels": About("five novels, 6.9 million characters", 6_876_950, "public domain in the USA"),
}


def known(name: str) -> str:
    """The data set that `name` means, hyphens aside: cifar10 is cifar-10. Raises DataError if it means none."""
    for each in ABOUT:
        if each.replace("-", "") == name.lower().replace("-", ""):
            return each
    raise DataError(f"[data] there is no data set {name!r}; there are {', '.join(ABOUT)}")


def facts(name: str) -> dict[str, Any]:
    """Everything about a data set as plain data; `folder` and `bytes` are None where it is not on this machine."""
    about, folder = ABOUT[name], located(name)
    models = [each for each in names() if entry(each).recipe.dataset == name]
    return {
        "name": name, "what": about.what, "licence": about.licence, "models": models, "published_bytes": about.size,
        "folder": str(folder) if folder else None, "bytes": size(folder) if folder else None,
        "downloadable": name in DATASETS,
    }  # fmt: skip


def size(folder: Path) -> int:
    """The bytes of all files in a folder."""
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


def line(found: dict[str, Any]) -> str:
    """A data set in words: what it is, where it lies or how to get it, its licence, who is trained on it."""
    get = f"needle-zoo data {found['name']}"
    have = f"{megabytes(found['published_bytes'])} to download: {get}" if found["downloadable"] else f"to make: {get}"
    where = f"{found['folder']}, {megabytes(found['bytes'])}" if found["folder"] else f"not here, {have}"
    models = f"; trains {', '.join(found['models'])}" if found["models"] else ""
    return f"{found['name']:<17} {found['what']}{models}\n{'':<17} {where}; licence: {found['licence']}"


def megabytes(count: int) -> str:
    """A number of bytes as people read it."""
    return f"{count / 1e6:.1f} MB"


def get(name: str) -> Path:
    """The folder of a data set, downloaded and checked against its checksums if it is not on this machine.

    Raises DataError, saying how to make it, for one that nobody publishes in this form.
    """
    return dataset_folder(known(name))


def lacking(name: str) -> str:
    """That a data set is not on this machine, and what helps."""
    what = "says how to put it together" if name in PREPARED else f"downloads {megabytes(ABOUT[name].size)}, checked"
    return (
        f"the data set {name} is not on this machine: `needle-zoo data {name}` {what}; or set NEEDLE_DATA to a folder "
        f"around one that is called {name}"
    )

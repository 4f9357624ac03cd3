"""What may be served: trained models of the zoo by name, files of models by path, and folders of them.

A folder holds `NAME.nd`, or `NAME/1/model.nd`, `NAME/2/model.nd`, ... of which the one with the highest number counts,
or `NAME/adapter_config.json`: an adapter of a model of the zoo.
"""

import re
import threading
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import deploy
import zoo
from deploy.card import image_of, labels_of
from deploy.ir import describe, dims
from needle.errors import DataError
from needle.sizes import Size
from needle.weights import read_safetensors
from serving.engine.errors import NotFound, ServingError
from zoo.adapted import adapter_folder, base_of, holds_adapter
from zoo.signature import shape_of

NAME = re.compile(r"\w[\w.:-]{0,127}", re.ASCII)  # what may stand in a path of a URL
RECORDING = threading.Lock()  # of graphs is a mode of the whole process: no other module may be built meanwhile
RESERVED = ("stats",)  # words that stand in a URL where a name does
TUNED = "ft:"  # how the names of fine-tuned models begin


class Source(NamedTuple):
    """Where a model comes from, and the engine that is to run it; without a path it is the zoo's own.

    `version` is 0 where the source has none of its own. Other content has another `digest`. `weights` is the file of an
    adapter's base, where that is not the zoo's own.
    """

    name: str
    path: Path | None = None
    engine: str = "instant"
    version: int = 0
    digest: str = ""
    weights: Path | None = None


def is_tuned(name: str) -> bool:
    """Whether a name is that of a fine-tuned model, which one key alone may use."""
    return name.startswith(TUNED)


def names() -> list[str]:
    """The models of the zoo that can be served: those with trained weights in the package."""
    records = [zoo.entry(name) for name in zoo.names()]
    return [x.name for x in records if x.shipped and shape_of(x.input.spec()) is not None]


def sources(models: Iterable[str], engine: str = "instant") -> list[Source]:
    """The models that the words of `--models` mean; a file is served by its name without its ending, or as NAME=FILE.

    Raises NotFound for a name or file that there is not, ServingError for a name that is no name or stands there twice.
    """
    found: dict[str, Source] = {}
    for word in models:
        given, _, file = word.rpartition("=")
        path = Path(file) if file.endswith(tuple(READERS)) else None
        if path is None and holds_adapter(Path(file)):
            path = Path(file) if Path(file).is_dir() else adapter_folder(Path(file))
        if path is None and word not in names():
            raise NotFound(_unknown(word))
        source = latest(Source(given or path.stem if path else word, path, engine))
        if not NAME.fullmatch(source.name) or source.name in RESERVED or is_tuned(source.name):
            needed = "a name is made of letters, digits, '-', '_' and '.', and does not begin with 'ft:'"
            raise ServingError(f"[models] {needed}, got {source.name!r}")
        if source.name in found:
            raise ServingError(f"[models] {source.name!r} was given twice")
        found[source.name] = source
    return list(found.values())


def latest(source: Source) -> Source:
    """The source as it is now: its newest version where versions are folders, and the digest of its content.

    Raises NotFound where it is not there (any more).
    """
    if source.path is None:
        shipped = zoo.entry(source.name).shipped if source.name in zoo.names() else ()
        return source._replace(digest=shipped[0][1].sha256 if shipped else "")
    path = source.path
    if _is_version(path.parent):
        path = _newest(path.parent.parent) or path
    try:
        about = (adapter_folder(path) / "adapter_model.safetensors" if path.is_dir() else path).stat()
    except (OSError, DataError):
        raise NotFound(f"[models] there is no file {source.path}") from None
    version = int(path.parent.name) if _is_version(path.parent) else 0
    return source._replace(path=path, version=version, digest=f"{about.st_size}.{about.st_mtime_ns}")


def scan(folder: Path, engine: str = "instant") -> Iterator[Source]:
    """The models in a folder, in the order of their names. Raises NotFound unless there is such a folder."""
    if not folder.is_dir():
        raise NotFound(f"[models] there is no folder {folder}")
    for entry in sorted(folder.iterdir()):
        if is_tuned(entry.name) or entry.stem in RESERVED:
            continue
        if entry.is_file() and entry.suffix in READERS and NAME.fullmatch(entry.stem):
            yield latest(Source(entry.stem, entry, engine))
        elif entry.is_dir() and NAME.fullmatch(entry.name):
            newest = _newest(entry) or (entry if holds_adapter(entry) else None)
            if newest is not None:
                yield latest(Source(entry.name, newest, engine))


def _newest(folder: Path) -> Path | None:
    """The model file in the subfolder with the highest number; None if there is none."""
    versions = [x for x in folder.iterdir() if _is_version(x) and x.is_dir()] if folder.is_dir() else []
    for version in sorted(versions, key=lambda x: -int(x.name)):
        file = next((x for x in sorted(version.iterdir()) if x.suffix in READERS), None)
        if file is not None:
            return file
    return None


def _is_version(folder: Path) -> bool:
    """Whether a folder is called 1, 2, ..."""
    return re.fullmatch("[1-9][0-9]{0,8}", folder.name) is not None


def _unknown(name: str) -> str:
    """Why there is no such model, and what would help."""
    if name not in zoo.names():
        files = ", ".join(READERS)
        there = f"there are {', '.join(names())}, files that end with {files}, and folders of adapters"
        return f"[models] there is no model {name!r}; {there}"
    return (
        f"[models] {name} has no trained weights in the package; name the file that `needle-zoo train {name}` wrote: "
        f"needle-serve --models {name}=$(ls runs/{name}-seed0/*.safetensors)"
    )


def opened(source: Source) -> Any:
    """The model of a source: a `deploy.Graph` with its card, or a module of the zoo.

    Raises NeedleError if it cannot be had, OSError if it cannot be read.
    """
    if source.path is None:
        return zoo.load(source.name, pretrained=True)
    if source.path.is_dir():
        return zoo.load(base_of(source.path), pretrained=True, weights=source.weights, adapter=source.path)
    return READERS[source.path.suffix](source.path)


def _frozen_file(path: Path) -> deploy.Graph:
    graph = deploy.Graph.load(path)
    image_of(graph.card)  # the file may come from anywhere
    labels_of(graph.card)
    return graph


def _trained_file(path: Path) -> zoo.Model:
    """What `needle-zoo train` wrote: the file says which model it is."""
    _, facts = read_safetensors(path)
    return zoo.load(facts.get("model", ""), weights=path)


def _onnx_file(path: Path) -> deploy.Graph:
    """A model of anybody's, in which the open size of axis 0 may have any name: here it is the batch."""
    from deploy import onnx  # when it is asked for: it needs a package that a server may lack

    graph = onnx.load(path)
    if dims(graph).keys() <= {"batch"}:
        return graph
    names = graph.card.get("names", {})  # those of the file, where they are no identifiers
    return onnx.load(path, {names.get(x.op.name, x.op.name): _batched(x.shape) for x in graph.inputs})


def _batched(shape: tuple[int, ...]) -> list[int | str]:
    """The shape with an open axis 0 called batch."""
    named: list[int | str] = [str(n) if isinstance(n, Size) else n for n in shape]
    return ["batch", *named[1:]] if shape and isinstance(shape[0], Size) else named


READERS = {".nd": _frozen_file, ".safetensors": _trained_file, ".onnx": _onnx_file}


def check_batches(name: str, graph: deploy.Graph) -> None:
    """Raises ServingError unless requests to a graph can be joined: axis 0 of all is the batch, from 1 on."""
    if graph.state:
        raise ServingError(f"[{name}] keeps a state from call to call, and requests are answered each by itself")
    for node in (*graph.inputs, *(node for _, node in graph.outputs)):
        if [str(n) for n in node.shape if isinstance(n, Size)] != ["batch"] or not isinstance(node.shape[0], Size):
            raise ServingError(
                f"[{name}] axis 0 of inputs and outputs must be the batch, and no other size open, got "
                f"{describe(node.type)}; freeze with batch='batch'"
            )
    if dims(graph)["batch"].low > 1:
        raise ServingError(f"[{name}] a batch of one must do, and the bounds of 'batch' begin at "
                           f"{dims(graph)['batch'].low}")


def labels_for(graph: deploy.Graph, node: Any) -> tuple[str, ...]:
    """What an output's numbers stand for: the card's labels if there are as many; for images else their numbers."""
    labels = labels_of(graph.card)
    classes = int(node.shape[1]) if len(node.shape) == 2 else 0
    if len(labels) == classes:
        return labels
    return tuple(map(str, range(classes))) if image_of(graph.card) else ()

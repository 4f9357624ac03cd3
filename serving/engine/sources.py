"""What may be served: trained image models of the zoo by name, and `.nd` files of any model by path."""

import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import deploy
import zoo
from deploy.card import Image, image_of, labels_of
from deploy.commands import frozen
from deploy.ir import describe, dims
from needle.sizes import Size
from serving.engine.errors import NotFound, ServingError
from zoo.signature import Labels

NAME = re.compile(r"\w[\w.-]{0,79}", re.ASCII)  # what may stand in a path of a URL
SUFFIX = ".nd"

Sources = dict[str, Path | None]  # the name a model is served by -> its file, None for one of the zoo


def names() -> list[str]:
    """The models of the zoo that can be served: those that classify images and were trained."""
    records = [zoo.entry(name) for name in zoo.names()]
    return [x.name for x in records if isinstance(x.input, Image) and isinstance(x.output, Labels) and x.shipped]


def sources(models: Iterable[str]) -> Sources:
    """The models that the words of `--models` mean; a file is served by its name without `.nd`.

    Raises NotFound for a name or file that there is not, ServingError for a name that is no name or stands there twice.
    """
    found: Sources = {}
    for word in models:
        path = Path(word) if word.endswith(SUFFIX) else None
        name = path.stem if path else word
        if path is None and name not in names():
            raise NotFound(_unknown(name))
        if path is not None and not path.is_file():
            raise NotFound(f"[models] there is no file {word}")
        if not NAME.fullmatch(name):
            raise ServingError(f"[models] a name is made of letters, digits, '-', '_' and '.', got {name!r}")
        if name in found:
            raise ServingError(f"[models] {name!r} was given twice")
        found[name] = path
    return found


def _unknown(name: str) -> str:
    """Why there is no such model, and what would help."""
    if name not in zoo.names():
        return f"[models] there is no model {name!r}; there are {', '.join(names())}, and files that end with {SUFFIX}"
    freeze = f"needle-deploy freeze zoo:{name} --weights FILE -o {name}{SUFFIX}"
    return f"[models] {name} has no recorded weights of an image classifier; freeze what you trained: {freeze}"


def graph_of(name: str, path: Path | None) -> deploy.Graph:
    """The graph of a model with its card. Raises NeedleError if it cannot be had or takes no batches."""
    if path is None:
        return frozen(zoo.load(name, pretrained=True), name)
    graph = deploy.Graph.load(path)
    image_of(graph.card)  # the file may come from anywhere
    labels_of(graph.card)
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
    return graph


def labels_for(graph: deploy.Graph, node: Any) -> tuple[str, ...]:
    """What an output's numbers stand for: the card's labels if there are as many; for images else their numbers."""
    labels = labels_of(graph.card)
    classes = int(node.shape[1]) if len(node.shape) == 2 else 0
    if len(labels) == classes:
        return labels
    return tuple(map(str, range(classes))) if image_of(graph.card) else ()

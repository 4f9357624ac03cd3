"""The zoo: models that were really trained with needle. `zoo.load("resnet9", pretrained=True).predict("photo.jpg")`."""

from . import resnet as resnet  # each registers its models
from .registry import Entry, Model, ZooError, entry, load, names

__all__ = ["Entry", "Model", "ZooError", "entry", "load", "names"]

"""The zoo: models that were really trained with needle. `zoo.load("resnet9", pretrained=True).predict("photo.jpg")`."""

from . import airnet as airnet  # each registers its models
from . import dcgan as dcgan
from . import gpt as gpt
from . import lstm as lstm
from . import resnet as resnet
from .registry import Entry, Model, ZooError, entry, load, names

__all__ = ["Entry", "Model", "ZooError", "entry", "load", "names"]

"""The zoo: models that were really trained with needle. `zoo.load("resnet9", pretrained=True).predict("photo.jpg")`."""

from deploy.card import Image

from . import airnet as airnet  # each registers its models
from . import dcgan as dcgan
from . import gpt as gpt
from . import lstm as lstm
from . import resnet as resnet
from .base import Model, UntrainedWarning
from .classify import Classification, NesterovRecipe
from .datasets import Split
from .recipe import Data, Recipe, Step
from .registry import Entry, Tiny, ZooError, entry, load, model, names
from .signature import Labels, Latent, Text
from .text import LanguageModel
from .vision import ImageClassifier

__all__ = [
    "Classification", "Data", "Entry", "Image", "ImageClassifier", "Labels", "LanguageModel", "Latent", "Model",
    "NesterovRecipe", "Recipe", "Split", "Step", "Text", "Tiny", "UntrainedWarning", "ZooError", "entry", "load",
    "model", "names",
]  # fmt: skip

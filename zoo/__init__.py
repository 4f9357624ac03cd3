"""The zoo: models that were really trained with needle. `zoo.load("resnet9", pretrained=True).predict("photo.jpg")`."""

from deploy.card import Image

from . import models as models  # which registers them
from .base import Model, UntrainedWarning
from .datasets import Split
from .image_classifier import ImageClassifier
from .language_model import LanguageModel
from .recipes.base import Data, Recipe, Step
from .recipes.classification import Classification, NesterovRecipe
from .registry import Entry, Tiny, ZooError, entry, load, model, names
from .signature import Labels, Latent, Text

__all__ = [
    "Classification", "Data", "Entry", "Image", "ImageClassifier", "Labels", "LanguageModel", "Latent", "Model",
    "NesterovRecipe", "Recipe", "Split", "Step", "Text", "Tiny", "UntrainedWarning", "ZooError", "entry", "load",
    "model", "names",
]  # fmt: skip

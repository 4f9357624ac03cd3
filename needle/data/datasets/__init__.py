"""The data sets, one file each."""

from .cifar10_dataset import CIFAR10Dataset
from .image_folder import ImageFolder
from .mnist_dataset import MNISTDataset
from .ndarray_dataset import NDArrayDataset
from .ptb_dataset import Corpus, Dictionary, batchify, get_batch
from .text_dataset import TextColumns, TextDataset

__all__ = [
    "CIFAR10Dataset", "Corpus", "Dictionary", "ImageFolder", "MNISTDataset", "NDArrayDataset", "TextColumns",
    "TextDataset", "batchify", "get_batch",
]  # fmt: skip

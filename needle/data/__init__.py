"""Data sets, transforms of single images and of whole batches, and the loader that makes batches."""

from .dataset import Dataset, batched
from .datasets import (
    CIFAR10Dataset,
    Corpus,
    Dictionary,
    ImageFolder,
    MNISTDataset,
    NDArrayDataset,
    TextColumns,
    TextDataset,
    batchify,
    get_batch,
)
from .loader import DataLoader
from .text import BPETokenizer, CharTokenizer, Tokenizer, WordTokenizer
from .transforms.per_image import RandomCrop, RandomFlipHorizontal, Transform

__all__ = [
    "BPETokenizer", "CIFAR10Dataset", "CharTokenizer", "Corpus", "DataLoader", "Dataset", "Dictionary", "ImageFolder",
    "MNISTDataset", "NDArrayDataset", "RandomCrop", "RandomFlipHorizontal", "TextColumns", "TextDataset", "Tokenizer",
    "Transform", "WordTokenizer", "batched", "batchify", "get_batch",
]  # fmt: skip

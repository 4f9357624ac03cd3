"""Data sets, transforms of single images, augmentation of whole batches, and the loader that makes batches."""

from .data_basic import Dataset, batched
from .data_transforms import RandomCrop, RandomFlipHorizontal, Transform
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

__all__ = [
    "BPETokenizer",
    "CIFAR10Dataset",
    "CharTokenizer",
    "Corpus",
    "DataLoader",
    "Dataset",
    "Dictionary",
    "ImageFolder",
    "MNISTDataset",
    "NDArrayDataset",
    "RandomCrop",
    "RandomFlipHorizontal",
    "TextColumns",
    "TextDataset",
    "Tokenizer",
    "Transform",
    "WordTokenizer",
    "batched",
    "batchify",
    "get_batch",
]

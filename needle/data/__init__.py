"""Data sets, transforms of single images, augmentation of whole batches, and the loader that makes batches."""

from .data_basic import Dataset
from .data_transforms import RandomCrop, RandomFlipHorizontal, Transform
from .datasets import CIFAR10Dataset, Corpus, Dictionary, MNISTDataset, NDArrayDataset, batchify, get_batch
from .loader import DataLoader

__all__ = [
    "CIFAR10Dataset",
    "Corpus",
    "DataLoader",
    "Dataset",
    "Dictionary",
    "MNISTDataset",
    "NDArrayDataset",
    "RandomCrop",
    "RandomFlipHorizontal",
    "Transform",
    "batchify",
    "get_batch",
]

"""Optimizers, learning-rate schedules and averages of weights."""

from .average import WeightAverage
from .muon import Muon
from .optimizers import SGD, Adam, AdamW, NesterovSGD, Optimizer
from .schedules import cosine, one_cycle

__all__ = ["SGD", "Adam", "AdamW", "Muon", "NesterovSGD", "Optimizer", "WeightAverage", "cosine", "one_cycle"]

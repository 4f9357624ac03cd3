"""Optimizers, learning-rate schedules and averages of weights."""

from .average import WeightAverage
from .optimizers import SGD, Adam, AdamW, NesterovSGD, Optimizer
from .schedules import cosine, one_cycle

__all__ = ["SGD", "Adam", "AdamW", "NesterovSGD", "Optimizer", "WeightAverage", "cosine", "one_cycle"]

"""Optimizers, learning-rate schedules, what is done to gradients between the two, and averages of weights."""

from .average import WeightAverage
from .gradients import GradientAccumulator, clip_grad_norm, clip_grad_value
from .muon import Muon
from .optimizers import SGD, Adam, AdamW, NesterovSGD, Optimizer
from .schedules import (
    CosineSchedule,
    LinearSchedule,
    LinearWarmup,
    OneCycle,
    Schedule,
    StepDecay,
    cosine,
    linear,
    one_cycle,
)

__all__ = [
    "SGD", "Adam", "AdamW", "CosineSchedule", "GradientAccumulator", "LinearSchedule", "LinearWarmup", "Muon",
    "NesterovSGD", "OneCycle", "Optimizer", "Schedule", "StepDecay", "WeightAverage", "clip_grad_norm",
    "clip_grad_value", "cosine", "linear", "one_cycle",
]  # fmt: skip

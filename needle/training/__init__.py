"""Training: one step, the loop around it, its log, and the checkpoint of a whole run."""

from .history import History
from .loop import fit
from .step import TrainStep

__all__ = ["History", "TrainStep", "fit"]

"""Training: one step, the loop around it, its log, and the checkpoint of a whole run."""

from .gradient_check import check_gradients
from .history import History
from .interrupts import Interrupted
from .loop import fit
from .progress import Watcher
from .step import TrainStep
from .summary import Summary, summary

__all__ = ["History", "Interrupted", "Summary", "TrainStep", "Watcher", "check_gradients", "fit", "summary"]

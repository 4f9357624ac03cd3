"""Fine-tuning: a model of the zoo learns a text, or classes, of your own, in minutes.

job = Job(Config("gpt-novels", "alice.txt"), "runs/alice")
result = job.run(report=print)
zoo.load("gpt-novels", adapter="runs/alice").generate("Alice ")
"""

from .config import Config
from .estimate import Estimate
from .job import Job, estimate
from .measure import measure
from .records import Report, Result

__all__ = ["Config", "Estimate", "Job", "Report", "Result", "estimate", "measure"]

"""What a run will take: memory from the shapes of its arrays, time from two steps of its own."""

from __future__ import annotations

import time
from dataclasses import dataclass

import numpy

from needle import nn
from needle.training import summary

from .step import FineTuning
from .task import Task

# Bytes at the peak of a step for each byte of activations: what is kept for backward, gradients, the kernels' scratch.
# Measured on gpt-novels, resnet9 and airnet, where the whole estimate is within 40 % of the peak.
KEPT = {"lora": 1.0, "full": 1.6, "head": 1.0}
STATES = 6  # arrays for each number that learns: old and new, gradient, two means of AdamW, the best so far
ALWAYS = 10_000_000  # bytes: of the memory pool, threads and files being read
TIMED = 2  # steps


@dataclass(frozen=True)
class Estimate:
    """The size of a run: examples to learn from and held out, numbers that learn and in all, steps of `batch` examples;
    `bytes` of memory beside what Python and the libraries take; `seconds`, measurements and the probe included.
    """

    examples: int
    held_out: int
    learning: int
    parameters: int
    batch: int
    steps: int
    bytes: int
    seconds: float


def estimated(task: Task, probe_steps: int) -> Estimate:
    """The estimate for a task whose model is adapted. Two steps are made, timed and undone."""
    batch, steps = task.batch(), task.steps()
    count = nn.ParameterCount.of(task.model)
    size = summary(task.model, task.input(batch))
    data = sum(array.nbytes for array in task.arrays().values())
    arrays = 4 * (count.total + STATES * count.trainable)
    total = ALWAYS + arrays + round(KEPT[task.config.method] * size.activation_bytes) + data
    start, random = task.learned().state_dict(), numpy.random.get_state()
    step, batches = FineTuning(task, 1e-9, TIMED), iter(task.loader(batch))
    task.model.train()
    seconds = []
    for _ in range(TIMED):
        began = time.perf_counter()
        step(*next(batches, None) or next(iter(task.loader(batch))))
        seconds.append(time.perf_counter() - began)
    task.model.eval()
    task.learned().load_state_dict(start)
    numpy.random.set_state(random)
    measured = task.held * (task.config.validations + 2) / (3 * batch) * min(seconds)  # forward alone
    return Estimate(
        task.examples, task.held, count.trainable, count.total, batch, steps, total,
        round(min(seconds) * (steps + probe_steps) + measured, 1),
    )  # fmt: skip

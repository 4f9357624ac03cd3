"""A language model as one step program over the rows of many sequences, each with a place in the program's state."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

import deploy
from deploy import interpreter
from needle.backend_ndarray.ndarray_backend_cpu import num_threads
from serving.engine.errors import ServingError

LONGEST = 64  # ids of a row that are read at once
CACHED, RECURRENT = {"ids", "slot", "position"}, {"ids"}


MakeRuntime = Callable[[str, deploy.Graph, int], Any]  # (name, graph, most rows) -> what runs it


def instant(name: str, graph: deploy.Graph, rows: int) -> deploy.Instant:
    """The graph in the instant engine, on all threads of the worker: it runs one step at a time."""
    return deploy.Instant(graph, name=name, max_batch=rows, threads=num_threads())


class StepProgram(ABC):
    """What reads ids of several sequences at once. The logits of a row have the bits that it has alone.

    `slots` is how many sequences it remembers, `context` how many tokens of each (None: any number).
    """

    slots: int
    context: int | None

    def begin(self, slot: int) -> None:  # noqa: B027  (there may be nothing to do)
        """Let a slot hold a new sequence, of which nothing has been read."""

    @abstractmethod
    def read(self, slots: Sequence[int], positions: Sequence[int], ids: Sequence[Sequence[int]]) -> np.ndarray:
        """Logits (rows, time, vocabulary): each row of ids, all of one length, goes on at a position of a slot."""


class CachedProgram(StepProgram):
    """A Transformer: the program itself keeps keys and values (slots, context, ...) from call to call.

    Of a slot nothing is read but what was written from position 0 on: a new sequence needs no beginning.
    """

    def __init__(self, graph: deploy.Graph, name: str, runtime: MakeRuntime):
        state = _state(graph)
        self.slots, self.context = (int(n) for n in next(iter(state.values()))[:2])
        self._program = runtime(name, graph, self.slots)

    def read(self, slots: Sequence[int], positions: Sequence[int], ids: Sequence[Sequence[int]]) -> np.ndarray:
        given = {"ids": ids, "slot": slots, "position": positions}
        found: np.ndarray = self._program.run(**{name: np.array(x, np.int32) for name, x in given.items()})["logits"]
        return found


class RecurrentProgram(StepProgram):
    """A recurrent model: a row of a call goes on with a row (layers, row, hidden) of the state, which is kept here."""

    def __init__(self, graph: deploy.Graph, name: str, slots: int, runtime: MakeRuntime):
        self.slots, self.context = slots, None
        self._program = runtime(name, graph, slots)
        self._state = {x: np.zeros((shape[0], slots, *shape[2:]), np.float32) for x, shape in _state(graph).items()}

    def begin(self, slot: int) -> None:
        for array in self._state.values():
            array[:, slot] = 0

    def read(self, slots: Sequence[int], positions: Sequence[int], ids: Sequence[Sequence[int]]) -> np.ndarray:
        rows = list(slots)
        self._program.state = {name: array[:, rows] for name, array in self._state.items()}
        logits: np.ndarray = self._program.run(ids=np.array(ids, np.int32))["logits"]
        for name, after in self._program.state.items():
            self._state[name][:, rows] = after
        return logits


def program_of(graph: deploy.Graph, name: str, slots: int, runtime: MakeRuntime = instant) -> StepProgram:
    """The program of a graph that decodes. Raises ServingError for a graph with other inputs than that has."""
    given = {x.op.name for x in graph.given}
    if given == CACHED and graph.state:
        return CachedProgram(graph, name, runtime)
    if given == RECURRENT and graph.state:
        return RecurrentProgram(graph, name, slots, runtime)
    raise ServingError(f"[{name}] a graph of text reads ids, with slot and position or without, got {sorted(given)}")


def check_program(name: str, program: StepProgram, graph: deploy.Graph) -> None:
    """Raises ServingError unless the program gives the logits of the graph's numpy meaning, to a thousandth."""
    ids = np.zeros((1, 2), np.int32)
    given: dict[str, Any] = {"ids": ids, "slot": np.zeros(1, np.int32), "position": np.zeros(1, np.int32)}
    inputs = {x.op.name: given[x.op.name] for x in graph.given}
    state = {x: np.zeros([n if isinstance(n, int) and type(n) is int else 1 for n in shape], np.float32)
             for x, shape in _state(graph).items()}  # fmt: skip
    known = interpreter.run(graph, {**inputs, **state})["logits"]
    program.begin(0)
    found = program.read([0], [0], ids.tolist())
    if not np.allclose(found, known, rtol=1e-3, atol=1e-3):
        gap = float(np.abs(found - known).max())
        raise ServingError(f"[{name}] the canary's logits are off by {gap:.3g}; the model is not to be trusted")


def _state(graph: deploy.Graph) -> dict[str, tuple[int, ...]]:
    """The shapes of what is carried from call to call, by the names of the inputs."""
    carried = dict(graph.state)
    return {x.op.name: x.shape for x in graph.inputs if x.op.name in carried}

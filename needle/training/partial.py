"""The state of a model of which only some parameters learn: what the others are is said by their hash alone."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from typing import Any

import numpy

from ..autograd import Tensor
from ..errors import NeedleError, ShapeError
from ..nn import Module, Parameter, module_state
from ..weights import dump_safetensors

HASH = "frozen_sha256"


def module_states(model: Module, loss_fn: Any) -> dict[str, Any]:
    """What holds the state of a model and, where it is a Module with tensors, of a loss: each by its name."""
    has_state = isinstance(loss_fn, Module) and any(True for _ in module_state.named_tensors(loss_fn))
    return {"model": PartialState.of(model)} | ({"loss": PartialState.of(loss_fn)} if has_state else {})


def check_held(parts: Mapping[str, Any], params: Iterable[Tensor]) -> None:
    """Raise NeedleError for a parameter that is in no module of a step's parts: their states would lack its value."""
    modules = [part.model if isinstance(part, PartialState) else part for part in parts.values()]
    held = {tensor for module in modules for _, tensor in module_state.named_tensors(module)}
    for i, param in enumerate(params):
        if param not in held:
            raise NeedleError(
                f"[TrainStep] the parameter at index {i} of the optimizers' together, of shape {tuple(param.shape)}, "
                "is in neither the model nor the loss, and its value would be lost: give a Module that holds it"
            )


class PartialState:
    """The tensors of a model that training may change: those that learn, and running statistics.

    A state also has the sha256 of the frozen parameters, and is loaded only beside the same ones.
    """

    def __init__(self, model: Module) -> None:
        self.model = model

    @classmethod
    def of(cls, model: Module) -> Any:
        """The model itself where all its parameters learn, else its PartialState."""
        return model if all(p.requires_grad for p in model.parameters()) else cls(model)

    def _tensors(self, frozen: bool) -> dict[str, Any]:
        tensors = module_state.named_tensors(self.model)
        return {at: t for at, t in tensors if (isinstance(t, Parameter) and not t.requires_grad) == frozen}

    def _hash(self) -> str:
        return hashlib.sha256(dump_safetensors({at: t.numpy() for at, t in self._tensors(True).items()})).hexdigest()

    def state_dict(self) -> dict[str, numpy.ndarray]:
        """Copies of the tensors, and the hash of the others as 32 numbers."""
        return module_state.state_dict(self._tensors(False)) | {
            HASH: numpy.frombuffer(bytes.fromhex(self._hash()), dtype="uint8")
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Take over a state, all or nothing; that of a time when all parameters learned counts too.

        Raises NeedleError for one that was made beside other frozen parameters, ShapeError for one that does not fit.
        """
        if HASH not in state:
            self.model.load_state_dict(state)
            return
        given, own = numpy.asarray(state[HASH]).astype("uint8").tobytes().hex(), self._hash()
        if given != own:
            raise NeedleError(
                f"[TrainStep] the state was made with other frozen parameters: those had sha256 {given}, "
                f"these of {type(self.model).__name__} have {own}"
            )
        tensors, arrays = self._tensors(False), {at: array for at, array in state.items() if at != HASH}
        found = module_state.difference(tensors, arrays)
        if found:
            raise ShapeError(f"[TrainStep] the state does not fit what learns of {type(self.model).__name__}: {found}")
        module_state.load_state_dict(tensors, arrays)

"""Adapters in files, as the library PEFT reads and writes them: `adapter_config.json`, `adapter_model.safetensors`.

PEFT keeps matrices as PyTorch does, outputs first, and names them by the modules of a PyTorch model of the same shape:
`base_model.model.<module>.lora_A.weight`; modules that are saved whole have their own tensors there, `<module>.weight`.
LAYOUTS says where each kind of layer has what, `torch_name` what differs.
Our files say by one more field, which PEFT warns of and ignores, which base they belong to: `needle_base_sha256`, the
sha256 of the safetensors file that `save` of the model without adapters writes.
"""

from __future__ import annotations

import hashlib
import os
import re
import warnings
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import Any

import numpy

from ...errors import DataError, NeedleError
from ...weights import atomic_write, dump_safetensors, read_safetensors, save_safetensors
from .. import module_state
from ..nn_basic import Linear, Module, Sequential
from ..nn_conv import Conv, Conv2d
from ..nn_named import ParameterCount, known
from ..nn_sequence import Embedding
from .adapters import activate, add, load_state_dict, remove
from .config import Config
from .layers import Adapted
from .sites import active, adapted_layers, adapter, before, sites
from .whole import ROOT, take_whole

CONFIG, WEIGHTS = "adapter_config.json", "adapter_model.safetensors"
MAX_OUTPUTS = 10_000  # of a module that is saved whole
SPARE = 1 << 20  # bytes that a file of weights may have beside them


@dataclass(frozen=True)
class Layout:
    """How PEFT holds A and B of one kind of layer: names, the order of our axes of A, axes of size 1 that B has more.

    B (rank, outputs) is (outputs, rank) there.
    """

    a: str
    b: str
    axes: tuple[int, ...]
    ones: int = 0

    def given(self, a: numpy.ndarray, b: numpy.ndarray) -> tuple[numpy.ndarray, numpy.ndarray]:
        """Our A and B as PEFT has them."""
        return a.transpose(self.axes), b.T.reshape(*b.T.shape, *(1,) * self.ones)

    def taken(self, a: numpy.ndarray, b: numpy.ndarray) -> tuple[numpy.ndarray, numpy.ndarray] | None:
        """PEFT's A and B as ours; None where they have not as many axes."""
        if a.ndim != len(self.axes) or b.ndim != 2 + self.ones or b.shape[2:] != (1,) * self.ones:
            return None
        return a.transpose(numpy.argsort(self.axes)), b.reshape(b.shape[:2]).T


_IMAGES = Layout("lora_A.weight", "lora_B.weight", (3, 2, 0, 1), ones=2)  # (rank, in, k, k) and (out, rank, 1, 1)
LAYOUTS: dict[type[Module], Layout] = {
    Linear: Layout("lora_A.weight", "lora_B.weight", (1, 0)),  # (rank, in) and (out, rank)
    Embedding: Layout("lora_embedding_A", "lora_embedding_B", (1, 0)),  # (rank, ids) and (columns, rank)
    Conv: _IMAGES,
    Conv2d: _IMAGES,
}


def save(
    model: Module, folder: str | os.PathLike[str], name: str = "default", *, modules: Mapping[str, str] | None = None,
    base: str | None = None,
) -> None:  # fmt: skip
    """Write an adapter as two files that PEFT loads onto a PyTorch model of the same shape, each whole or not at all.

    `folder` is made where it does not exist. Modules have the names of ours, without the "modules" of a Sequential, or
    those that `modules` gives them: ours to theirs, as {"blocks.*.attention.q": "h.*.attn.q_proj"}, "*" standing for
    one place of a name. A (..., rank), B (rank, outputs) are turned as PEFT has them. `base` is the base's name, the
    class of the model by default. Raises NeedleError without such an adapter or where two modules would get one name,
    and DataError where the folder cannot be written to.
    """
    parts, layouts, found = adapter("lora.save", model, name), _layouts(model), sites(model)
    whole = before(model).whole[name]
    theirs = _torch_names("lora.save", model, [*parts, *whole], modules)
    arrays: dict[str, numpy.ndarray] = {}
    for at, module in whole.items():
        arrays[f"{ROOT}{theirs[at]}.weight"] = module.weight.numpy().T
        if module.bias is not None:
            arrays[f"{ROOT}{theirs[at]}.bias"] = module.bias.numpy().reshape(-1)
    for at, low in parts.items():
        layout = layouts[found[at].layer]
        a, b = layout.given(low.A.numpy(), low.B.numpy())
        arrays |= {f"{ROOT}{theirs[at]}.{layout.a}": a, f"{ROOT}{theirs[at]}.{layout.b}": b}
    low = next(iter(parts.values()))
    config = Config(
        low.rank, low.alpha, low.p, low.rslora, sorted(theirs[at] for at in parts), base or type(model).__name__,
        base_sha256(model), sorted(theirs[at] for at in whole),
    )  # fmt: skip
    target = Path(folder)
    try:
        target.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise DataError(f"[lora.save] {target} cannot be made: {error.strerror}") from None
    save_safetensors(target / WEIGHTS, arrays, {"format": "pt"})
    with atomic_write(target / CONFIG) as file:
        file.write(config.text().encode())


def load(
    model: Module, folder: str | os.PathLike[str], name: str = "default", *, modules: Mapping[str, str] | None = None
) -> ParameterCount:
    """Add the adapter in a folder, ours or PEFT's, and activate it; what learns then.

    `modules` is as in `save`. A file of ours is taken only by the base that it was made with, bit for bit; one that
    does not say which that was, as PEFT's, is checked by its names and shapes alone, with a warning. Where anything is
    wrong the model stays as it was. Raises DataError for files that are malformed, ask for what is not there (DoRA,
    biases, a rank for each layer) or belong to another base, and NeedleError as `add` does.
    """
    where = f"lora.load {Path(folder)}"
    config = Config.read(Path(folder) / CONFIG, where)
    _check_base(model, config, where)
    found, layouts = sites(model), _layouts(model)
    theirs = _torch_names("lora.load", model, found, modules)
    layers = {theirs[at]: (at, layouts[site.layer]) for at, site in found.items()}
    arrays = _arrays(Path(folder) / WEIGHTS, most_bytes(model, config), where)
    heads, arrays = take_whole(arrays, config.whole, _linears(model, theirs), f"{where}] {WEIGHTS}")
    state = _taken(arrays, config, layers, where)
    was_active = active(model)
    add(
        model, config.rank, config.alpha, targets=sorted({key.rpartition(".")[0] for key in state}),
        dropout=config.dropout, rslora=config.rslora, name=name, modules_to_save=heads,
    )  # fmt: skip
    try:
        load_state_dict(model, state | module_state.state_dict(heads), name)
    except NeedleError:
        remove(model, name)
        if was_active is not None:
            activate(model, was_active)
        raise
    return ParameterCount.of(model)


def base_state(model: Module) -> dict[str, numpy.ndarray]:
    """The `state_dict` that the model would have without any adapters."""
    own = {id(t) for layer in adapted_layers(model).values() for _, t in module_state.named_tensors(layer.adapters)}
    replaced = before(model).modules
    inside = tuple(f"{at}." for at in replaced)
    kept = {at: t for at, t in module_state.named_tensors(model) if id(t) not in own and not at.startswith(inside)}
    return {at: numpy.array(t.numpy()) for at, t in (kept | dict(module_state.named_tensors(replaced))).items()}


def base_sha256(model: Module) -> str:
    """The sha256 of the safetensors file that `save` of the model without its adapters writes."""
    return hashlib.sha256(dump_safetensors(base_state(model))).hexdigest()


def _check_base(model: Module, config: Config, where: str) -> None:
    """Raise DataError where a file says that it belongs to another base, warn where it says nothing."""
    own = type(model).__name__
    if config.base_sha256 is None:
        said = f"made for {config.base or 'a base without a name'}, does not say which weights it belongs to"
        warnings.warn(f"[{where}] the adapter, {said}: only names and shapes are checked", UserWarning, stacklevel=3)
        return
    found = base_sha256(model)
    if found != config.base_sha256:
        raise DataError(
            f"[{where}] the adapter belongs to another base: it was made for {config.base} with sha256 "
            f"{config.base_sha256}, this is {own} with sha256 {found}"
        )


def _arrays(path: Path, most: int, where: str) -> dict[str, numpy.ndarray]:
    """The arrays of a file of at most so many bytes. Raises DataError."""
    try:
        size = path.stat().st_size
    except OSError as error:
        raise DataError(f"[{where}] {path.name} cannot be read: {error.strerror}") from None
    if size > most:
        raise DataError(f"[{where}] {path.name} has {size:,} bytes, an adapter of this model has at most {most:,}")
    arrays = read_safetensors(path)[0]
    for name, array in arrays.items():
        if not numpy.isfinite(array).all():
            raise DataError(f"[{where}] {path.name} must hold finite numbers, got others in {name!r}")
    return arrays


def _taken(
    arrays: Mapping[str, numpy.ndarray], config: Config, layers: Mapping[str, tuple[str, Layout]], where: str
) -> dict[str, numpy.ndarray]:
    """The state of an adapter in a file's arrays. Raises DataError for ones that are missing, strange or unfit."""
    keys = {f"{ROOT}{at}.{end}": (at, i) for at, (_, lay) in layers.items() for i, end in enumerate((lay.a, lay.b))}
    pairs: dict[str, dict[int, numpy.ndarray]] = {}
    for key, array in arrays.items():
        if key not in keys:
            raise DataError(f"[{where}] {WEIGHTS} has {key!r}, which belongs to no layer{known(key, keys)}")
        at, which = keys[key]
        pairs.setdefault(at, {})[which] = array
    state: dict[str, numpy.ndarray] = {}
    for at, pair in pairs.items():
        ours, layout = layers[at]
        if len(pair) != 2:
            raise DataError(f"[{where}] {WEIGHTS} has one of A and B of {at!r}, not both")
        taken = layout.taken(pair[0], pair[1])
        if taken is None or taken[0].shape[-1] != config.rank or taken[1].shape[0] != config.rank:
            shapes = f"{pair[0].shape} and {pair[1].shape}"
            raise DataError(f"[{where}] {at!r} has A and B of shapes {shapes}, unfit for its kind and r {config.rank}")
        state |= {f"{ours}.A": taken[0], f"{ours}.B": taken[1]}
    if not state:
        raise DataError(f"[{where}] {WEIGHTS} holds no arrays")
    return state


def most_bytes(model: Module, config: Config) -> int:
    """The size of a file with an adapter of this rank for every layer and every part, in float64, and to spare."""
    modules: dict[str, Any] = dict(model.named_modules())
    inputs: list[int] = [prod(modules[site.layer].weight.shape[:-1]) for site in sites(model).values()]
    columns = sum(end - first for _, _, (first, end) in sites(model).values())
    whole = MAX_OUTPUTS * (max(inputs, default=0) + 1) * len(config.whole)
    return 8 * (config.rank * (sum(inputs) + columns) + whole) + SPARE


def _linears(model: Module, theirs: Mapping[str, str]) -> dict[str, tuple[str, Linear]]:
    """The Linear layers of the base by their names in a PyTorch model, with ours."""
    modules = dict(model.named_modules()) | before(model).modules
    return {name: (at, m) for at, name in theirs.items() if type(m := modules.get(at)) is Linear}


def _layouts(model: Module) -> dict[str, Layout]:
    """The layout of every layer that can be adapted, by name."""
    kinds = {at: m.kind if isinstance(m, Adapted) else type(m) for at, m in model.named_modules()}
    return {at: LAYOUTS[kind] for at, kind in kinds.items() if kind in LAYOUTS}


def _torch_names(where: str, model: Module, found: Iterable[str], modules: Mapping[str, str] | None) -> dict[str, str]:
    """The name in a PyTorch model of each of our sites. Raises NeedleError where two get one name."""
    containers = {at for at, module in model.named_modules() if isinstance(module, Sequential)}
    theirs: dict[str, str] = {}
    for at in found:
        renamed = [_renamed(at, ours, other) for ours, other in (modules or {}).items()]
        theirs[at] = next((each for each in renamed if each is not None), torch_name(at, containers))
    owners: dict[str, str] = {}
    for at, name in theirs.items():
        if owners.setdefault(name, at) != at:
            raise NeedleError(f"[{where}] {owners[name]} and {at} would both be called {name!r}: change `modules`")
    return theirs


def torch_name(name: str, containers: set[str]) -> str:
    """Our name of a module without the "modules" that a Sequential keeps its own in, which PyTorch's has not."""
    parts = name.split(".")
    kept = [part for i, part in enumerate(parts) if part != "modules" or ".".join(parts[:i]) not in containers]
    return ".".join(kept)


def _renamed(name: str, ours: str, theirs: str) -> str | None:
    """`theirs` with each "*" replaced by what stands for that of `ours` in the name; None where it does not match."""
    match = re.fullmatch(r"([^.]+)".join(map(re.escape, ours.split("*"))), name)
    if match is None:
        return None
    pieces = theirs.split("*")
    if len(pieces) != len(match.groups()) + 1:
        raise NeedleError(f"[lora] {ours!r} and {theirs!r} need as many '*' as each other")
    return "".join(a + b for a, b in zip(pieces, [*match.groups(), ""], strict=True))

"""Low-rank adaptation: a frozen model learns a task in a few small matrices beside its weights.

    count = lora.add(model, rank=8, alpha=16, targets=["*.attention.q", "*.attention.v"])
    optimizer = optim.AdamW(nn.trainable_parameters(model), lr=1e-3)
    ...                                     # train as ever
    lora.save(model, "folder")              # as the library PEFT has it
    lora.merge(model)                       # one weight again, at the cost of the base

Source: Hu et al., "LoRA: low-rank adaptation of large language models", 2021, arXiv:2106.09685.
"""

from .adapters import activate, add, load_state_dict, remove, state_dict
from .files import base_sha256, base_state, load, save
from .layers import LowRank
from .merging import merge, merge_and_unload, merged, unmerge
from .sites import active, names, sites

__all__ = [
    "LowRank", "activate", "active", "add", "base_sha256", "base_state", "load", "load_state_dict", "merge",
    "merge_and_unload", "merged", "names", "remove", "save", "sites", "state_dict", "unmerge",
]  # fmt: skip

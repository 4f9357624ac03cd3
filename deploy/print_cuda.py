"""The same statements for a device: its headers (csrc/cuda) define what they call, by the same names.

What differs is here: which kernels there are, tables that go to a kernel as an argument, and the C functions for memory
of the device.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from .cpp_text import braces, literal
from .errors import EmitError
from .generate import Generated, checked_name, fill, text
from .headers import inline, system_headers
from .print_cpp import Body
from .print_interface import ABI, description, ports, words_of
from .program import FLOAT, Call, Program

ARCHES = ("sm_75", "sm_80", "sm_86", "sm_89", "sm_90", "sm_100", "sm_120")
# The header of csrc/cuda that a kernel is in; what is not here, no device program has yet.
HEADERS = {
    **dict.fromkeys(("map", "map_strided", "copy_strided", "reduce"), "maps.cuh"),
    **dict.fromkeys(("softmax", "logsoftmax", "logsumexp"), "softmax.cuh"),
    **dict.fromkeys(
        ("layer_norm", "rms_norm", "group_norm", "batch_norm_inference", "mean", "variance"), "norm.cuh"
    ),
    **dict.fromkeys(("linear", "batched_matmul"), "linear.cuh"),
    "coded_linear": "coded.cuh",
    **dict.fromkeys(
        ("conv", "transposed_conv", "conv_input_gradient", "grouped_conv", "depthwise", "max_pool", "resample"),
        "layers.cuh",
    ),
    **dict.fromkeys(("lookup", "iota", "random"), "gather.cuh"),
    **dict.fromkeys(("lstm", "gru", "rnn"), "recurrent.cuh"),
    **dict.fromkeys(("attention", "positions", "cache_write", "cached_attention"), "attention.cuh"),
}


class CudaBody(Body):
    """The statements of `forward` on the host, each of which starts kernels."""

    def tall(self, rows: int) -> bool:
        """A device has one kernel for any number of rows."""
        return False

    def table(self, bands: Any, call: Call) -> str:
        """What the outputs of an axis read, as an argument of the kernel."""
        size, first, start, weights = bands.arrays
        name = f"w{len(self.lines)}"
        of = f"FixedBands<{bands.outputs}, {len(weights)}>"
        values = f"{braces(first.tolist())}, {braces(start.tolist())}, {{{', '.join(map(literal, weights))}}}"
        self.say(f"// {call.note}\n    const {of} {name}{{{size}, {values}}}")
        return name


def generate_cuda(program: Program, name: str, arches: Sequence[str] = ARCHES) -> Generated:
    """`name.cu`, `name.h` and `name.hpp`; none of them depends on the weights' values.

    Raises EmitError for a name that is no C identifier, and for kernels that devices do not have.
    """
    checked_name(name)
    for call in program.calls:
        if call.kernel not in HEADERS:
            raise EmitError(f"[emit] {call.note or call.kernel}: CUDA programs have no kernel {call.kernel} yet")
    plan, digest = program.plan(), program.structure
    kinds = [kind for _, _, kind in ports(program.graph)]
    words: dict[str, Any] = words_of(program) | {
        "name": name,
        "NAME": name.upper(),
        "abi": ABI,
        "hash": digest,
        "weight_bytes": FLOAT * program.block_floats,
        "describe": text(json.dumps({"name": name, "graph": digest, **description(program)})),
        "body": CudaBody(program, plan).text(),
        "operand_kinds": ", ".join(f"is_{kind}" for kind in kinds),
        "arches": " ".join(flags(arches)),
    }
    seen: set[str] = set()
    headers = sorted({HEADERS[call.kernel] for call in program.calls})
    words |= {
        "pool": inline(["pool.h"], seen), "kernels": inline([*headers, "graph.h"], seen, "cuda"),
        "pool_impl": inline(["pool_impl.h"], seen),
    }  # fmt: skip
    words["engine"] = fill("engine_device.cpp", words)
    words["device_functions"] = fill("device_functions.cpp", words)
    words["device_declarations"] = fill("device_functions.h", words)
    words["interface"] = fill("interface.cpp", words)
    pasted = words["kernels"] + words["pool"] + words["interface"]
    words["system"] = "\n".join(f"#include <{x}>" for x in system_headers(pasted))
    files = {
        f"{name}.cu": fill("program.cu", words).encode(),
        f"{name}.h": fill("program.h", words).encode(),
        f"{name}.hpp": fill("program.hpp", words).encode(),
    }
    return Generated(name, digest, files, plan)


def flags(arches: Sequence[str]) -> list[str]:
    """nvcc's flags: machine code for each architecture, and PTX of the newest for those that come."""
    numbers = [arch.removeprefix("sm_") for arch in arches]
    code = [f"-gencode=arch=compute_{n},code=sm_{n}" for n in numbers]
    newest = max(numbers, key=int)
    return [*code, f"-gencode=arch=compute_{newest},code=compute_{newest}"]

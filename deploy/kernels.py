"""The kernels that programs call, each a row: what a call holds, and how much scratch memory it needs.

The same table is asked by lowering (scratch), by the verifier of programs, by the printer and by the executor, whose
kernels in the compiled extension have the same names (csrc/bind/program_kernels.cpp).
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, field

from needle.types import TYPES

from .kernel_sizes import (
    attention_scratch,
    attention_work,
    byte_conv_scratch,
    cached_attention_scratch,
    conv_scratch,
    conv_work,
    depthwise_scratch,
    group_norm_scratch,
    grouped_scratch,
    input_gradient_scratch,
    matmul_scratch,
    packed,
    reduce_scratch,
    transposed_scratch,
    winograd_scratch,
    winograd_transposed_scratch,
    winograd_transposed_work,
    winograd_work,
)  # fmt: skip
from .plan import THREADS

FLOATS, ALL = ("float32",), tuple(TYPES)
WIDE = ("int64", "uint64", "float32", "float64")  # what others are computed in
IDS = ("float32", "int32", "int64")


@dataclass(frozen=True)
class Kernel:
    """The names of a call's sizes and numbers, and its operands: `x(rows cols)` has rows * cols elements.

    Operands lie dense, except those of a `strided` kernel. A trailing `*` stands for any number.
    """

    sizes: str
    reads: str
    writes: str
    numbers: str = ""
    strided: bool = False
    dtypes: tuple[str, ...] = FLOATS  # of its operands
    header: str = ""  # of csrc/nd, beside those that every program has
    scratch: Callable[..., int] = field(default=lambda *sizes: 0)  # floats, of the sizes
    work: Callable[..., int] = field(default=lambda *sizes: 0)  # multiply-adds, of the sizes

    def counts(self, operands: str) -> list[tuple[str, ...] | None]:
        """For each operand the names of the sizes whose product is its number of elements; None where not said."""
        found = re.findall(r"(\w+)(?:\(([\w ]*)\))?", operands)
        return [tuple(names.split()) if names else None for _, names in found]


BYTES = ("uint8", "int8", "int32", "float32")

KERNELS: dict[str, Kernel] = {
    "map": Kernel("n", reads="x*", writes="y(n)", numbers="*"),
    "map_strided": Kernel("", reads="x*", writes="y", numbers="*", strided=True),
    "copy_strided": Kernel("", reads="x", writes="y", strided=True),
    "reduce": Kernel(
        "outer count inner", reads="x(outer count inner)", writes="y(outer inner)", scratch=reduce_scratch
    ),
    "softmax": Kernel("rows cols", reads="x(rows cols)", writes="y(rows cols)"),
    "logsoftmax": Kernel("rows cols", reads="x(rows cols)", writes="y(rows cols)"),
    "logsumexp": Kernel("rows cols", reads="x(rows cols)", writes="y(rows)"),
    "layer_norm": Kernel(
        "rows cols", numbers="eps",
        reads="x(rows cols) weight(cols) bias(cols)", writes="y(rows cols) mean(rows) rstd(rows)",
    ),
    "rms_norm": Kernel("rows cols", numbers="eps", reads="x(rows cols) weight(cols)", writes="y(rows cols) rstd(rows)"),
    "group_norm": Kernel(
        "images pixels channels groups", numbers="eps", scratch=group_norm_scratch,
        reads="x(images pixels channels) weight(channels) bias(channels)",
        writes="y(images pixels channels) mean(images groups) rstd(images groups)",
    ),
    "batch_norm_inference": Kernel(
        "rows cols", numbers="eps", scratch=lambda rows, cols: cols,
        reads="x(rows cols) weight(cols) bias(cols) mean(cols) var(cols)", writes="y(rows cols)",
    ),
    "max_pool": Kernel("images channels", reads="x", writes="y", strided=True),
    "resample": Kernel("images channels", reads="x", writes="y", strided=True),
    "conv": Kernel(
        "images height width depth out kernel stride padding", scratch=conv_scratch, strided=True, work=conv_work,
        reads="x(images height width depth) packed more*", writes="y",
    ),
    "grouped_conv": Kernel(
        "images height width depth out kernel stride padding groups", strided=True,
        header="grouped_conv.h", scratch=grouped_scratch, work=lambda *sizes: conv_work(*sizes[:8]) // sizes[8],
        reads="x(images height width depth) weight more*", writes="y",
    ),
    "depthwise": Kernel(
        "images height width channels kernel stride top left dilation", strided=True,
        header="depthwise.h", scratch=depthwise_scratch,
        work=lambda n, h, w, c, k, s, *more: n * (h // s) * (w // s) * c * k * k,
        reads="x(images height width channels) weight(kernel kernel channels) more*", writes="y",
    ),
    "winograd_conv": Kernel(
        "images height width depth out padding outputs round", strided=True,
        header="winograd_conv.h", scratch=winograd_scratch, work=winograd_work,
        reads="x(images height width depth) packed more*", writes="y",
    ),
    "conv_input_gradient": Kernel(
        "images height width depth out kernel stride padding", strided=True,
        header="conv_gradients.h", scratch=input_gradient_scratch, work=conv_work,
        reads="g weight(kernel kernel depth out)", writes="y(images height width depth)",
    ),
    "transposed_conv": Kernel(  # sizes and depth are those of y, out are the channels of x
        "images height width depth out kernel stride padding", strided=True,
        header="conv_gradients.h", scratch=transposed_scratch, work=conv_work,
        reads="x packed more*", writes="y(images height width depth)",
    ),
    "winograd_transposed": Kernel(  # whose kernel is twice as wide as its stride
        "images height width depth out stride padding outputs round", strided=True,
        header="winograd_conv.h", scratch=winograd_transposed_scratch, work=winograd_transposed_work,
        reads="x packed more*", writes="y(images height width depth)",
    ),
    "add_windows": Kernel(
        "images height width depth kernel stride padding", header="conv_scatter.h",
        reads="windows", writes="y(images height width depth)",
    ),
    "map_elements": Kernel("", reads="x*", writes="y", strided=True, dtypes=ALL, header="elements.h"),
    "fold_elements": Kernel("outer count", "x(outer count)", "y(outer)", dtypes=ALL, header="elements.h"),
    "take_elements": Kernel(
        "outer n count inner", dtypes=ALL, header="elements.h",
        reads="x(outer n inner) ids(count)", writes="y(outer count inner)",
    ),
    "gather_elements": Kernel(
        "outer n count inner", dtypes=ALL, header="elements.h",
        reads="x(outer n inner) index(outer count inner)", writes="y(outer count inner)",
    ),
    "scatter_elements": Kernel(
        "n count inner", dtypes=ALL, header="elements.h", reads="x(count inner) ids(count)", writes="y(n inner)"
    ),
    "scan_elements": Kernel("outer count", "x(outer count)", "y(outer count)", dtypes=WIDE, header="order.h"),
    "order_elements": Kernel(
        "outer count most nan_first", "x(outer count)", "places(outer most)", dtypes=WIDE, header="order.h"
    ),
    "matmul_elements": Kernel(
        "batch m n k", dtypes=WIDE, header="order.h", work=lambda batch, m, n, k: batch * m * n * k,
        reads="a(batch m k) b(batch k n)", writes="y(batch m n)",
    ),
    "copy_bits": Kernel("bytes", "x", "y", dtypes=ALL, header="elements.h"),
    "mean": Kernel("rows count", reads="x(rows count)", writes="y(rows)", header="moments.h"),
    "variance": Kernel("rows count", numbers="correction", reads="x(rows count)", writes="y(rows)", header="moments.h"),
    "batched_matmul": Kernel(
        "batch m n k", strided=True, header="gemm.h", scratch=matmul_scratch,
        work=lambda batch, m, n, k: batch * m * n * k,
        reads="a(batch m k) b(batch k n)", writes="y(batch m n)",
    ),
    "lookup": Kernel(
        "count cols rows", "ids(count) weight(rows cols)", "y(count cols)", dtypes=IDS, header="lookup.h"
    ),
    "iota": Kernel("count first", reads="", writes="y(count)", dtypes=IDS, header="lookup.h"),
    "random": Kernel("count key", reads="counter", writes="y(count)", dtypes=("float32", "int64"), header="random.h"),
    "lstm": Kernel(
        "steps batch hidden", header="lstm.h", scratch=lambda steps, batch, hidden: packed(hidden, 4 * hidden),
        work=lambda steps, batch, hidden: steps * batch * hidden * 4 * hidden,
        reads="gates h0(batch hidden) c0(batch hidden) weight",
        writes="y(steps batch hidden) cells(steps batch hidden) act",
    ),
    "gru": Kernel(
        "steps batch hidden", header="gru.h", scratch=lambda steps, batch, hidden: packed(hidden, 3 * hidden),
        work=lambda steps, batch, hidden: steps * batch * hidden * 3 * hidden,
        reads="gates h0(batch hidden) weight bias", writes="y(steps batch hidden) act",
    ),
    "rnn": Kernel(
        "steps batch hidden relu", header="rnn.h", scratch=lambda steps, batch, hidden, relu: packed(hidden, hidden),
        work=lambda steps, batch, hidden, relu: steps * batch * hidden * hidden,
        reads="gates(steps batch hidden) h0(batch hidden) weight(hidden hidden)", writes="y(steps batch hidden)",
    ),
    "attention": Kernel(
        "batch heads queries keys depth causal", numbers="scale", strided=True,
        header="attention.h", scratch=attention_scratch, work=attention_work,
        reads="q(batch heads queries depth) k(batch heads keys depth) v(batch heads keys depth)",
        writes="y(batch heads queries depth) lse(batch heads queries)",
    ),
    "positions": Kernel("rows count", reads="first(rows)", writes="y(rows count)", dtypes=IDS, header="cache.h"),
    "cache_write": Kernel(
        "batch steps slots context width", dtypes=IDS, header="cache.h",
        reads="cache(slots context width) new(batch steps width) slot(batch) position(batch)",
        writes="y(slots context width)",
    ),
    "cached_attention": Kernel(
        "batch heads steps depth slots context", numbers="scale", strided=True, dtypes=IDS,
        header="cached_attention.h", scratch=cached_attention_scratch,
        work=lambda batch, heads, steps, depth, slots, context: batch * heads * steps * context * depth * 2,
        reads="q(batch heads steps depth) keys(slots context heads depth) values(slots context heads depth) "
        "slot(batch) position(batch)",
        writes="y(batch heads steps depth)",
    ),
    "quantize": Kernel(
        "images height width channels filled zero", numbers="inverse", strided=True, dtypes=BYTES, header="byte_maps.h",
        reads="x(images height width channels)", writes="y(images height width filled)",
    ),
    "dequantize": Kernel("n zero", "x(n)", "y(n)", numbers="step", dtypes=BYTES, header="byte_maps.h"),
    "byte_table": Kernel(
        "rows channels tables", dtypes=BYTES, header="byte_maps.h",
        reads="x(rows channels) table", writes="y(rows channels)",
    ),
    "byte_max_pool": Kernel("images channels", "x", "y", dtypes=BYTES, header="byte_maps.h"),
    "byte_conv": Kernel(
        "images height width depth out kernel stride padding zero relu_first relu_last other result", numbers="ratio",
        dtypes=BYTES, header="byte_conv.h", scratch=byte_conv_scratch, work=lambda *sizes: conv_work(*sizes[:8]),
        reads="x(images height width depth) packed start scale more*", writes="y",
    ),
    "coded_linear": Kernel(
        "rows depth out group", dtypes=BYTES, header="coded_linear.h",
        scratch=lambda rows, depth, out, group: THREADS * depth * 32,
        work=lambda rows, depth, out, group: rows * depth * out,
        reads="x(rows depth) codes scales more*", writes="y(rows out)",
    ),
    "linear": Kernel(
        "rows depth out", work=lambda rows, depth, out: rows * depth * out,
        reads="x(rows depth) packed more*", writes="y(rows out)",
    ),
}  # fmt: skip

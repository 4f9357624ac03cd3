"""How the calls of quantized networks are worded; print_cpp.py words the others."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from needle.sizes import unit

from .coded_weights import HALVES
from .cpp_text import braces, literal, number
from .program import Call

if TYPE_CHECKING:
    from .print_cpp import Body


def quantize(body: Body, call: Call) -> str:
    """x has strides."""
    (x,), (y,) = call.reads, call.writes
    sizes, inverse = ", ".join(map(number, call.sizes)), literal(call.numbers[0])
    return f"quantize(on, {sizes}, {body.pointer(x)}, {braces(x.strides)}, {inverse}, {body.pointer(y)})"


def byte_conv(body: Body, call: Call) -> str:
    """Sizes are numbers: all layers share the code, which compilers take long for."""
    images, *sizes = call.sizes
    shape = f"ByteConvShape{{{', '.join(map(number, sizes[:8]))}}}"
    first, last, other_zero, zero = sizes[8:]
    x, packed, start, scale, *more = map(body.pointer, call.reads)
    flags = ", ".join("true" if flag else "false" for flag in (first, last))
    ending = f"{more[0] if more else 'nullptr'}, {literal(call.numbers[0])}, {other_zero}, {zero}"
    epilogue = f"ByteEpilogue{{{scale}, {flags}, {ending}}}"
    memory, fits = "nullptr", ""
    if call.scratch is not None:
        memory, floats = body.names[call.scratch], unit(call.scratch.floats)[0]
        fits = " && ".join(f"byte_conv_scratch({shape}, {n}, 1) <= {floats}" for n in (1, 7, 8, 1 << 20))
        fits = f"static_assert({fits});\n    "
    pointers = f"{x}, {packed}, {start}, {epilogue}, {body.pointer(call.writes[0])}, {memory}"
    return f"{fits}byte_conv(on, {shape}, {number(images)}, {pointers})"


CODES = {"int8": "Int8Codes", "int4": "Int4Codes", "bf16": "Bf16Codes", "fp16": "Fp16Codes"}


def coded_linear(body: Body, call: Call) -> str:
    """Sizes are numbers; halves of floats have no scales."""
    x, codes, scales = map(body.pointer, call.reads[:3])
    scales = "nullptr" if call.functor in HALVES else scales
    sizes = ", ".join(map(number, call.sizes))
    steps = body.epilogue(call, 3) if call.epilogue else "Steps{}"
    assert call.scratch is not None
    pointers = f"{x}, {codes}, {scales}, {body.pointer(call.writes[0])}, {body.names[call.scratch]}"
    return f"coded_linear<{CODES[call.functor]}>(on, {sizes}, {pointers}, {steps})"


def plain_numbers(body: Body, call: Call) -> str:
    """Sizes are numbers."""
    return body.plain(call, map(number, call.sizes))


QUANTIZED: dict[str, Callable[[Any, Call], str]] = {
    "quantize": quantize,
    "dequantize": plain_numbers,
    "byte_table": plain_numbers,
    "byte_conv": byte_conv,
    "coded_linear": coded_linear,
}

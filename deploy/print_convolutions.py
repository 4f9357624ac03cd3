"""How convolutions and pooling are worded; print_cpp.py words the other calls."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from needle.sizes import unit

from .cpp_text import braces, literal, number
from .program import Call

if TYPE_CHECKING:
    from .print_cpp import Body

# Of csrc/nd/winograd_points.h, by outputs and taps.
FILTERS = {(2, 3): "ThreeTapsForTwo", (4, 3): "ThreeTaps", (2, 2): "TwoTapsForTwo", (4, 2): "TwoTaps"}


def conv(body: Body, call: Call) -> str:
    """Sizes as constants, and a check that the scratch memory is enough."""
    images, *sizes = call.sizes
    view, packed = call.reads[:2]
    constants = [f"Const<{n}>" for n in sizes]
    shape = f"ConvShape<{', '.join(constants)}>"
    assert call.scratch is not None
    floats, _ = unit(call.scratch.floats)  # for each thread
    fits = " && ".join(f"conv_scratch({shape}{{}}, {n}, 1) <= {floats}" for n in (1, 7, 8, 1 << 20))
    if view.dense:
        start = f"direct_conv(on, {number(images)}, {', '.join(f'{n}{{}}' for n in constants)}, {body.pointer(view)}, "
    else:
        start = f"conv(on, {shape}{{}}, {number(images)}, {body.pointer(view)}, {braces(view.strides)}, "
    memory = f"{body.pointer(packed)}, {body.pointer(call.writes[0])}, {body.names[call.scratch]}"
    return f"static_assert({fits});\n    {start}{memory}, {body.epilogue(call)})"


def winograd_conv(body: Body, call: Call) -> str:
    """Sizes are numbers: all layers share the code, which compilers take long for."""
    *sizes, padding, outputs, count = call.sizes
    return _filtered(body, call, [*sizes[1:], 3, 1, padding], sizes[3:], 3, outputs, count)


def winograd_transposed(body: Body, call: Call) -> str:
    """The same; `depth` and `out` change places."""
    *sizes, depth, out, stride, padding, outputs, count = call.sizes
    return _filtered(body, call, [*sizes[1:], depth, out, 2 * stride, stride, padding], (out, depth), 2, outputs, count)


def _filtered(
    body: Body, call: Call, shape: Sequence[int], channels: Sequence[int], taps: int, outputs: int, count: int
) -> str:
    """`channels` are those read and written; `taps` a side of what Winograd's filtering computes."""
    (view, packed), scratch, name = call.reads[:2], call.scratch, FILTERS[outputs, taps]
    assert scratch is not None
    plan = f"WinogradProduct<{name}>{{{', '.join(map(number, (*channels, count)))}}}"
    start = f"{call.kernel}<{name}>(on, {{{', '.join(map(number, shape))}}}, {number(count)}, {number(call.sizes[0])}"
    memory = f"{body.pointer(packed)}, {body.pointer(call.writes[0])}, {body.names[scratch]}"
    arguments = f"{body.pointer(view)}, {braces(view.strides)}, {memory}, {body.epilogue(call)}"
    return f"static_assert({plan}.scratch(1) <= {unit(scratch.floats)[0]});\n    {start}, {arguments})"


def input_gradient(body: Body, call: Call) -> str:
    """Its sizes are one argument, after which the strides of x follow it."""
    (x, weight), (out,) = call.reads[:2], call.writes
    shape = f"ConvShape<>{{{', '.join(map(number, call.sizes[1:]))}}}"
    assert call.scratch is not None
    pointers = f"{body.pointer(weight)}, {body.pointer(out)}, {body.names[call.scratch]}"
    start = f"{call.kernel}(on, {shape}, {number(call.sizes[0])}"
    return f"{start}, {body.pointer(x)}, {braces(x.strides)}, {pointers})"


def transposed_conv(body: Body, call: Call) -> str:
    """The same with weights packed beforehand, and an epilogue."""
    return f"{input_gradient(body, call)[:-1]}, {body.epilogue(call)})"


def add_windows(body: Body, call: Call) -> str:
    """Its sizes are one argument."""
    images, height, width, depth, *rest = map(number, call.sizes)
    shape = f"ConvShape<>{{{', '.join([height, width, depth, '1', *rest])}}}"
    return f"add_windows(on, {shape}, {images}, {body.pointer(call.reads[0])}, {body.pointer(call.writes[0])})"


def grouped_conv(body: Body, call: Call) -> str:
    """Its sizes are one argument, by which it plans which groups go together."""
    images, *shape, groups = map(number, call.sizes)
    x, weight, out = *call.reads[:2], call.writes[0]
    assert call.scratch is not None
    plan = f"GroupedConv{{ConvShape<>{{{', '.join(shape)}}}, {images}, {groups}, false}}"
    pointers = f"{body.pointer(weight)}, {body.pointer(out)}, {body.names[call.scratch]}, {body.steps(call)}"
    return f"grouped_conv(on, {plan}, {body.pointer(x)}, {braces(x.strides)}, {pointers})"


def depthwise(body: Body, call: Call) -> str:
    """Its sizes are one argument."""
    x, weight, out = *call.reads[:2], call.writes[0]
    assert call.scratch is not None
    shape = f"DepthwiseShape{{{', '.join(map(number, call.sizes))}}}"
    planes = f"Planes{{{body.pointer(x)}, {', '.join(map(number, x.strides[:3]))}}}"
    pointers = f"{body.pointer(weight)}, {body.pointer(out)}, {body.names[call.scratch]}"
    return f"depthwise(on, {shape}, {planes}, {pointers}, {body.steps(call)})"


def over_windows(body: Body, call: Call) -> str:
    """Tables of what rows and columns read, declared before the call."""
    rows, columns = (body.table(bands, call) for bands in call.windows)
    (view,), (out,) = call.reads, call.writes
    images, channels = call.sizes
    start = f"{call.kernel}(on, {number(images)}, {channels}, {rows}, {columns}"
    if call.kernel == "byte_max_pool":
        return f"{start}, {body.pointer(view)}, {body.pointer(out)})"
    pixels = f"Pixels{{{body.pointer(view)}, {', '.join(map(number, view.strides[:3]))}}}"
    maps = f"{pixels}, {pixels}" if call.kernel == "max_pool" else pixels
    return f"{start}, {maps}, {body.pointer(out)})"


def table(body: Body, bands: Any, call: Call) -> str:
    """A nd::Bands."""
    size, first, start, weights = bands.arrays
    name = f"w{len(body.lines)}"
    tables = f"{name}_first[] = {braces(first.tolist())}, {name}_start[] = {braces(start.tolist())}"
    body.say(f"// {call.note}\n    const int64_t {tables}")
    body.say(f"const float {name}_weight[] = {{{', '.join(map(literal, weights))}}}")
    return f"Bands{{{bands.outputs}, {size}, {name}_first, {name}_start, {name}_weight}}"


CONVOLUTIONS: dict[str, Callable[[Any, Call], str]] = {
    "conv": conv,
    "winograd_conv": winograd_conv,
    "winograd_transposed": winograd_transposed,
    "conv_input_gradient": input_gradient,
    "transposed_conv": transposed_conv,
    "add_windows": add_windows,
    "grouped_conv": grouped_conv,
    "depthwise": depthwise,
    "max_pool": over_windows,
    "byte_max_pool": over_windows,
    "resample": over_windows,
}

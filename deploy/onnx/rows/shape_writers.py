"""How ops that move elements are written: slices, joins, reversals, gaps."""

from __future__ import annotations

from typing import Any

from needle.ops.attributes import axes_of

from ...ir import Node

WHOLE = (None, None, 1)
FAR = 2**31  # what a slice's end means "to the end" by


def write_pad(w: Any, node: Node, x: str) -> Any:
    flat = [a for a, _ in node.op.widths] + [b for _, b in node.op.widths]
    value = (w.number(node.op.value, node.type.dtype),) if node.op.mode == "constant" else ()
    if node.op.mode == "wrap":
        w.needs(19, "Pad with mode wrap")
    return w.add("Pad", (x, w.ints(flat), *value), mode=node.op.mode)


def write_index(w: Any, node: Node, x: str) -> Any:
    """GetItem: a Slice of what is cut, then axes go and come by Squeeze and Unsqueeze."""
    starts, ends, axes, steps, gone, new = [], [], [], [], [], []
    axis = place = 0
    shape = node.inputs[0].shape
    for part in (*node.op.index, *[WHOLE] * (len(shape) - sum(p is not None for p in node.op.index))):
        if part is None:
            new.append(place)
            place += 1
            continue
        if part != WHOLE:
            n = shape[axis]
            if isinstance(part, int):
                part, last = (part, part + 1 if part != -1 else FAR, 1), True
                gone.append(axis)
            else:
                last = False
            start, stop, step = part
            starts.append((FAR if step < 0 else 0) if start is None else start)
            ends.append((-FAR if step < 0 else FAR) if stop is None else stop)
            axes.append(axis)
            steps.append(step)
            place += 0 if last else 1
            del n
        else:
            place += 1
        axis += 1
    if axes:
        x = w.add("Slice", (x, w.ints(starts), w.ints(ends), w.ints(axes), w.ints(steps)))
    if gone:
        x = w.add("Squeeze", (x, w.ints(gone)))
    return w.add("Unsqueeze", (x, w.ints(new))) if new else x


def write_stack(w: Any, node: Node, *parts: str) -> Any:
    axis = node.op.axis % len(node.shape)
    return w.add("Concat", [w.add("Unsqueeze", (p, w.ints([axis]))) for p in parts], axis=axis)


def write_split(w: Any, node: Node, x: str) -> tuple[str, ...]:
    axis = node.op.axis % len(node.inputs[0].shape)
    count = len(node.type)
    made = w.add("Split", (x, w.ints([1] * count)), results=count, axis=axis)
    return tuple(w.add("Squeeze", (p, w.ints([axis]))) for p in ((made,) if count == 1 else made))


def write_transpose(w: Any, node: Node, x: str) -> Any:
    order = list(range(len(node.shape)))
    a, b = node.op.axes or (-2, -1)
    order[a], order[b] = order[b], order[a]
    return w.transpose(x, order)


def write_flip(w: Any, node: Node, x: str) -> Any:
    axes = range(len(node.shape)) if node.op.axes is None else node.op.axes
    axes = [axes] if isinstance(axes, int) else list(axes)
    n = len(axes)
    return w.add("Slice", (x, w.ints([-1] * n), w.ints([-FAR] * n), w.ints(axes), w.ints([-1] * n)))


def write_reshape(w: Any, node: Node, x: str) -> Any:
    return w.add("Reshape", (x, w.shape(node.shape, one_open=True)))


def write_dilate(w: Any, node: Node, x: str) -> Any:
    op, shape = node.op, node.inputs[0].shape
    for axis in axes_of("dilate", op.axes, len(shape)):
        x = w.add("Unsqueeze", (x, w.ints([axis + 1])))
        pads = [0] * (2 * (len(shape) + 1))
        pads[len(shape) + 1 + axis + 1] = op.dilation
        x = w.add("Pad", (x, w.ints(pads)))
        shape = (*shape[:axis], shape[axis] * (op.dilation + 1), *shape[axis + 1 :])
        x = w.add("Reshape", (x, w.shape(shape, one_open=True)))
    return x


def write_undilate(w: Any, node: Node, x: str) -> Any:
    axes = axes_of("undilate", node.op.axes, len(node.shape))
    n = len(axes)
    return w.add("Slice", (x, w.ints([0] * n), w.ints([FAR] * n), w.ints(axes), w.ints([node.op.dilation + 1] * n)))

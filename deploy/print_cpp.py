"""The calls of a program as the statements of a C++ function; no other part of this package words them.

A call is worded from its record: `softmax(on, batch, Const<10>{}, x0, y0)`, sizes that are known as constants. Kernels
whose arguments are not simply sizes, reads, numbers, writes and scratch memory, in this order, have a function below.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from needle.sizes import Size, size_at, unit
from needle.types import TYPES

from .cpp_text import constant, literal, nest, number
from .fused_ops import READING
from .ir import dims
from .plan import Plan
from .print_convolutions import CONVOLUTIONS, table
from .print_elements import ELEMENTS
from .print_interface import ports
from .print_quantized import QUANTIZED
from .program import Buffer, Call, Program, View, same

TALL = 16  # rows from which on a product reads weights for chunks of rows (csrc/nd/direct_conv.h)
LETTERS = {"input": "x", "output": "y", "state": "s"}  # of the pointers that a caller gives
# The steps of an epilogue, given a pointer (csrc/nd/epilogue.h).
STEPS = {
    "bias": "Bias{{{0}}}", "add": "Residual{{{0}}}", "relu": "Apply<Relu>{{}}",
    **{name: f"Activation<Step::{name}>{{{{}}}}" for name in ("relu6", "silu", "hard_sigmoid", "hard_swish")},
}  # fmt: skip


class Body:
    """The statements of `forward`: a pointer for every buffer, then the calls."""

    def __init__(self, program: Program, plan: Plan) -> None:
        self.program, self.plan = program, plan
        self.names = {buffer: f"t{i}" for i, buffer in enumerate(program.arena)}
        self.lines: list[str] = []  # of the calls

    def text(self) -> str:
        """All of it, indented."""
        for call in self.program.calls:
            word = WORDS.get(call.kernel)
            self.say(word(self, call) if word else self.plain(call, map(constant, call.sizes)), call)
        return "\n".join("    " + line for line in [*self._regions(), *self._pointers(), "", *self.lines])

    def _regions(self) -> Iterator[str]:
        """Where each region of the arena begins."""
        names = [region_name(k) for k in range(len(self.plan.totals))]
        yield f"float* const {names[0]} = arena;"
        for name, before, total in zip(names[1:], names, self.plan.totals, strict=False):
            yield f"float* const {name} = {before} + {number(total)};"
        yield "".join(f"(void){x}, " for x in ("sizes", "weights", *names))[:-2] + ", (void)threads;"

    def _pointers(self) -> Iterator[str]:
        counts = dict.fromkeys(LETTERS, 0)
        for place, (name, node, kind) in enumerate(ports(self.program.graph)):
            at, counts[kind] = f"{LETTERS[kind]}{counts[kind]}", counts[kind] + 1
            of = f"{'const ' if kind == 'input' else ''}{TYPES[node.type.dtype].cpp}*"
            note = repr(node) if kind == "input" else name
            yield f"{of} const {at} = static_cast<{of}>(operands[{place}]);  // {note}"
        for (buffer, name), region, offset in zip(
            self.names.items(), self.plan.regions, self.plan.offsets, strict=True
        ):
            scale = unit(buffer.floats)[1]
            one_term = isinstance(scale, Size) and len(scale.terms) == 1
            at = f"{unit(offset)[0]} * {number(scale)}" if one_term else number(offset)
            memory, of = f"{region_name(region)} + {at}", TYPES[buffer.dtype].cpp
            memory = memory if of == "float" else f"reinterpret_cast<{of}*>({memory})"
            yield f"{of}* const {name} = {memory};  // {buffer.note}"

    def say(self, statement: str, call: Call | None = None) -> None:
        """Add a statement, with what the call computes as a comment."""
        note = f"// {call.note}\n    " if call and call.note and not call.windows else ""
        self.lines.append(f"{note}{statement};")

    def plain(self, call: Call, sizes: Any, name: str = "", scratch: str = "") -> str:
        """The name, then sizes, reads, numbers, writes and scratch memory."""
        pointers = [*map(self.pointer, call.reads), *map(literal, call.numbers), *map(self.pointer, call.writes)]
        memory = [self.names[call.scratch]] if call.scratch else [scratch] if scratch else []
        return f"{name or call.kernel}({', '.join(['on', *sizes, *pointers, *memory])})"

    def pointer(self, view: View) -> str:
        """The address of the first element."""
        start = self.base(view.buffer)
        if view.buffer.kind == "weights" and view.dtype != "float32":
            start = f"reinterpret_cast<const {TYPES[view.dtype].cpp}*>(weights)"
        return start if same(view.offset, 0) and view.buffer.kind != "weights" else f"{start} + {number(view.offset)}"

    def base(self, buffer: Buffer) -> str:
        """Where a buffer begins."""
        if buffer.kind == "weights":
            return "weights"
        return f"{LETTERS[buffer.kind]}{buffer.index}" if buffer.kind in LETTERS else self.names[buffer]

    def map(self, call: Call) -> str:
        """y = f(x...) in one sweep, or over a loop nest."""
        functor = f"{call.functor}{{{', '.join(map(literal, call.numbers))}}}"
        shape = constant(call.sizes[0]) if call.sizes else nest(call.operands)
        return f"map(on, {shape}, {functor}, {', '.join(map(self.pointer, call.operands))})"

    def copy(self, call: Call) -> str:
        """y = x."""
        return f"copy_strided(on, {nest(call.operands)}, {', '.join(map(self.pointer, call.operands))})"

    def reduce(self, call: Call) -> str:
        """Over the middle axis."""
        outer, count, inner = call.sizes
        return self.plain(call, (constant(outer), number(count), number(inner)), f"reduce<{call.functor}>", "nullptr")

    def group_norm(self, call: Call) -> str:
        """Its sizes are one argument."""
        return self.plain(call, [f"GroupShape{{{', '.join(map(number, call.sizes))}}}"])

    def linear(self, call: Call) -> str:
        """The rows are what may grow."""
        rows, depth, columns = call.sizes
        sizes = f"{number(rows)}, {constant(depth)}, {constant(columns)}"
        pointers = ", ".join(map(self.pointer, (*call.reads[:2], *call.writes)))
        return f"{'tall_linear' if self.tall(rows) else 'linear'}(on, {sizes}, {pointers}, {self.epilogue(call)})"

    def tall(self, rows: int) -> bool:
        """Whether rows are many at the batch that the program is to be fast for, other dims not being small."""
        usual = dict.fromkeys(dims(self.program.graph), TALL) | {"batch": self.program.favoured}
        return size_at(rows, usual) >= TALL

    def attention(self, call: Call) -> str:
        """Heads with any strides but those of columns."""
        *sizes, causal = call.sizes
        settings = [*map(number, sizes), literal(call.numbers[0]), "true" if causal else "false"]
        shape = f"AttentionShape<>{{{', '.join(settings)}}}"
        given = [self.heads("const float", view) for view in call.reads]
        out, lse = call.writes
        assert call.scratch is not None
        results = f"{self.heads('float', out)}, {self.pointer(lse)}, {self.names[call.scratch]}"
        return f"attention(on, {shape}, {', '.join(given)}, {results})"

    def cached_attention(self, call: Call) -> str:
        """Its sizes are one argument; queries and results have any strides but those of columns."""
        shape = f"CacheShape{{{', '.join([*map(number, call.sizes), literal(call.numbers[0])])}}}"
        (query, *given), (_, heads, _, depth, _, context) = call.reads, call.sizes
        assert call.scratch is not None
        places = [self.heads("const float", query), *map(self.pointer, given), self.heads("float", call.writes[0])]
        fits = f"cached_attention_scratch({heads}, {depth}, {context}, 1) <= {unit(call.scratch.floats)[0]}"
        arguments = ", ".join(["on", shape, *places, self.names[call.scratch]])
        return f"static_assert({fits});\n    cached_attention({arguments})"

    def table(self, bands: Any, call: Call) -> str:
        """What the outputs of an axis read."""
        return table(self, bands, call)

    def heads(self, kind: str, view: View) -> str:
        """A nd::Heads."""
        return f"Heads<{kind}>{{{self.pointer(view)}, {', '.join(map(number, view.strides[:3]))}}}"

    def epilogue(self, call: Call, first: int = 2) -> str:
        """What finishes each value before it is stored, with the operands from `first` on."""
        more = iter(call.reads[first:])
        parts = [STEPS[x].format(self.pointer(next(more)) if x in READING else "") for x in call.epilogue]
        return f"then({', '.join(parts)})" if parts else "Keep{}"

    def steps(self, call: Call) -> str:
        """The same where kernels take steps alone."""
        return self.epilogue(call) if call.epilogue else "Steps{}"


WORDS: dict[str, Callable[[Body, Call], str]] = {
    "map": Body.map,
    "map_strided": Body.map,
    "copy_strided": Body.copy,
    **ELEMENTS,
    "reduce": Body.reduce,
    "group_norm": Body.group_norm,
    **CONVOLUTIONS,
    **QUANTIZED,
    "attention": Body.attention,
    "cached_attention": Body.cached_attention,
    "linear": Body.linear,
}


def region_name(k: int) -> str:
    """The pointer to region k of the arena."""
    return ("item", "fixed", "thread")[k] if k < 3 else f"region{k}"

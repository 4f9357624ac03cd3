"""needle-deploy: freeze a model, look at it, compile it, run it, compare it, time it."""

from __future__ import annotations

import sys
from argparse import ArgumentTypeError
from collections.abc import Callable, Sequence
from dataclasses import fields
from pathlib import Path
from typing import Any

from needle.commands import Answer, CommandParser, number, run, whole

from . import commands
from .coded_weights import FORMATS
from .inspecting import inspect_command
from .print_cuda import ARCHES
from .quantize.command import Wanted
from .quantize.measure import ABOUT, TOLERANCES


def parser() -> CommandParser:
    """The arguments of every subcommand."""
    top = CommandParser(prog="needle-deploy", description=__doc__)
    top.shared()
    sub = top.add_subparsers(dest="command", required=True, metavar="command")
    _add_graphs(sub)
    _add_quantize(sub)
    _add_programs(sub)
    return top


def _add_graphs(sub: Any) -> None:
    """What makes graphs, and writes or shows them."""
    freeze = _command(
        sub, "freeze", lambda a: commands.freeze_command(a.model, a.output, a.weights, a.adapter, a.decoding),
        "record a model as a .nd file",
    )  # fmt: skip
    freeze.add_argument("model", help="package:name, such as zoo:resnet9")
    _add_output(freeze, "the .nd file to write")
    what = "a language model's step, with a cache of so many sequences, instead of the whole text at once"
    freeze.add_argument("--decoding", type=whole(1), metavar="SLOTS", help=what)
    _add_weights(freeze)

    about = "read a .onnx file and write it as a .nd file"
    take = _of_file(sub, "import", lambda a: commands.import_command(a.path, a.output, a.shape), about)
    _add_output(take, "the .nd file to write")

    about = "write a graph as a .onnx file"
    export = _of_file(sub, "export", lambda a: commands.export_command(a.path, a.output, a.opset, a.shape), about)
    _add_output(export, "the .onnx file to write")
    export.add_argument("--opset", type=whole(13), default=17, help="of the operators written (default: 17)")

    inspect = _of_file(
        sub, "inspect", lambda a: inspect_command(a.path, a.optimized, a.shape, a.why, a.output, a.at),
        "print the graph in a file, or make a page of it",
    )  # fmt: skip
    inspect.add_argument("--optimized", action="store_true", help="after the compiler's passes")
    inspect.add_argument("--why", action="store_true", help="with the reasons why passes left nodes as they are")
    what = "write a page for browsers: graph, passes, costs, memory, weights"
    inspect.add_argument("-o", "--output", type=Path, metavar="PAGE", help=what)
    what = "an open size at which the page tells costs, as in time=1 (default: batch=1, others at their largest)"
    inspect.add_argument("--at", type=size, action="append", default=[], metavar="NAME=SIZE", help=what)


def _add_quantize(sub: Any) -> None:
    """What makes a graph of bytes of one of floats."""
    about = "write a graph in int8, or with weights in fewer bits, if what it costs is within a tolerance"
    added = _of_file(sub, "quantize", lambda a: commands.quantize_command(a.path, wanted(a), a.shape), about)
    _add_output(added, "the .nd file to write")
    what = "what values are like: a folder of images, a .npy file of the input, cifar-10, mnist or fashion-mnist"
    added.add_argument("--calibrate", required=True, metavar="DATA", help=what)
    what = "what the cost is measured on (default: the same; of a data set its test images)"
    added.add_argument("--measure", metavar="DATA", help=what)
    what = "; ".join(f"{name}: {text}" for name, text in ABOUT.items())
    what += "; default: accuracy where there are labels, else error"
    added.add_argument("--metric", choices=sorted(ABOUT), help=what)
    defaults = ", ".join(f"{name} {value:g}" for name, value in TOLERANCES.items())
    added.add_argument("--tolerance", type=number(0), help=f"what may be lost (default: {defaults})")
    added.add_argument("--samples", type=whole(1), default=256, help="rows to calibrate with (default: 256)")
    what = "only the weights of products, in this format, for language models; values stay float32"
    added.add_argument("--weights", choices=FORMATS, help=what)
    what = "weights that share a scale with --weights int8 or int4 (default: 32)"
    added.add_argument("--group", type=whole(1), default=32, help=what)
    added.add_argument("--why", action="store_true", help="also the error of each value in bytes")


def wanted(arguments: Any) -> Wanted:
    """The arguments of `quantize`."""
    return Wanted(**{x.name: getattr(arguments, x.name) for x in fields(Wanted)})


def _add_programs(sub: Any) -> None:
    """What makes programs, and runs, checks or times them."""
    about = "compile a file to a shared library, a command and a header"
    build = _of_file(sub, "build", _build, about)
    what = "folder for the files (default: the path without its suffix)"
    build.add_argument("-o", "--output", type=Path, metavar="FOLDER", help=what)
    _add_favour(build)
    what = "instruction sets to compile for, of v2, v3 (AVX2) and v4 (AVX-512), as in v3 or v3,v4 (default: all)"
    build.add_argument("--isa", type=lambda text: text.split(","), metavar="LEVELS", help=what)
    what = "what it runs on: this kind of processor, or CUDA devices, for which nvcc makes a library (default: cpu)"
    build.add_argument("--target", choices=("cpu", "cuda"), default="cpu", help=what)
    what = f"with --target cuda, architectures to compile for, as in sm_90 or sm_80,sm_90 (default: {','.join(ARCHES)})"
    build.add_argument("--arch", type=lambda text: text.split(","), metavar="ARCHES", help=what)

    about = "run a file on an image or a .npy array"
    execute = _of_file(sub, "run", lambda a: commands.run_command(a.path, a.input, a.top, a.shape), about)
    execute.add_argument("input", type=Path, metavar="FILE", help="an image or a .npy array")
    execute.add_argument("--top", type=whole(1), default=5, help="how many labels to print (default: 5)")

    verify = _of_file(
        sub, "verify", lambda a: commands.verify_command(a.path, a.model, a.weights, a.adapter, a.shape),
        "compare the program with the interpreter, needle's kernels, the module",
    )  # fmt: skip
    verify.add_argument("--model", help="package:name of the eager module")
    _add_weights(verify)

    bench = _of_file(
        sub, "bench", lambda a: commands.bench_command(
            a.path, a.batch, a.threads, a.seconds, a.favour, a.by_op, a.shape
        ), "time the compiled program",
    )  # fmt: skip
    bench.add_argument("--batch", type=whole(1), default=1, help="items in a run (default: 1)")
    bench.add_argument("--threads", type=whole(1, 1024), default=1, help="threads of a run (default: 1)")
    bench.add_argument("--seconds", type=number(0), default=1.0, help="how long to repeat it (default: 1)")
    bench.add_argument("--by-op", action="store_true", help="also each call: time, share, percent of the roofline")
    _add_favour(bench)


def _build(a: Any) -> Answer:
    """A library for what `--target` names."""
    if a.target == "cuda":
        return commands.build_cuda_command(a.path, a.output, a.favour, a.shape, a.arch)
    return commands.build_command(a.path, a.output, a.favour, a.shape, a.isa)


def _command(sub: Any, name: str, do: Callable[[Any], Answer], about: str) -> CommandParser:
    added: CommandParser = sub.add_parser(name, help=about, description=about)
    added.answers()
    added.set_defaults(run=do)
    return added


def _of_file(sub: Any, name: str, do: Callable[[Any], Answer], about: str) -> CommandParser:
    """A subcommand that takes a graph's file."""
    added = _command(sub, name, do, about)
    added.add_argument("path", type=Path, metavar="FILE", help="a .nd or .onnx file")
    what = "fix sizes of an input of a .onnx file, as in image=1x3x224x224; a name stays open"
    added.add_argument("--shape", type=shape, action="append", default=[], metavar="INPUT=SIZES", help=what)
    return added


def _add_output(to: CommandParser, what: str) -> None:
    to.add_argument("-o", "--output", type=Path, required=True, metavar="FILE", help=what)


def _add_weights(to: CommandParser) -> None:
    """Of what a model of the zoo is made."""
    to.add_argument("--weights", type=Path, metavar="FILE", help="weights that `needle-zoo train` wrote")
    what = "what `needle-zoo finetune` made, or an adapter of PEFT, merged with the weights"
    to.add_argument("--adapter", type=Path, metavar="FOLDER", help=what)
    to.pluggable()


def _add_favour(to: CommandParser) -> None:
    what = "the batch that the kernels are chosen for (default: 1); any batch gives the same numbers"
    to.add_argument("--favour", type=whole(1), default=1, metavar="BATCH", help=what)


def shape(text: str) -> tuple[str, list[int | str]]:
    """INPUT=1x3x224x224 as (input, sizes), for argparse."""
    name, equals, sizes = text.rpartition("=")
    found: list[int | str] = [int(n) if n.isdecimal() else n for n in sizes.split("x")]
    if not equals or not name or not all(n if isinstance(n, int) else n.isidentifier() for n in found):
        raise ArgumentTypeError(f"needs INPUT=SIZES such as image=1x3x224x224, got {text!r}")
    return name, found


def size(text: str) -> tuple[str, int]:
    """NAME=SIZE as (name, size), for argparse."""
    name, _, number = text.partition("=")
    if not name or not number.isdecimal():
        raise ArgumentTypeError(f"needs NAME=SIZE such as time=1, got {text!r}")
    return name, int(number)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one subcommand; the exit code."""
    return run(parser(), arguments)


if __name__ == "__main__":
    sys.exit(main())

"""Needle on a CUDA device beside PyTorch on the same: one row a measurement, in one JSON and one Markdown file.

Times are medians of several runs after a first one, each waited for. Products and convolutions are compared at each
precision, the same for both; everything else in float32, with PyTorch's TF32 off.
`on_device.sh` calls it; nothing else imports it.
"""

from __future__ import annotations

import json
import statistics
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch

import needle as ndl
import zoo
from deploy import Compiled, freeze
from deploy.build_cuda import build_cuda
from needle import nn, optim

DRAW = np.random.default_rng(0)
SECONDS = 1.5  # for each side of a row


class Row(NamedTuple):
    """What was measured: seconds of needle and of PyTorch, and of PyTorch compiled where that was tried."""

    name: str
    needle: float
    torch: float
    compiled: float | None = None

    @property
    def ratio(self) -> float:
        return self.torch / self.needle


def seconds(run: Callable[[], Any], wait: Callable[[], Any]) -> float:
    """The median time of a run."""
    run(), wait()
    times, end = [], time.monotonic() + SECONDS
    while not times or (time.monotonic() < end and len(times) < 200):
        started = time.perf_counter()
        run(), wait()
        times.append(time.perf_counter() - started)
    return statistics.median(times)


def both(name: str, ours: Callable[[], Any], theirs: Callable[[], Any], compile_too: bool = False) -> Row:
    device = ndl.cuda()
    compiled = seconds(torch.compile(theirs), torch.cuda.synchronize) if compile_too else None
    return Row(name, seconds(ours, device.synchronize), seconds(theirs, torch.cuda.synchronize), compiled)


def pair(*shape: int) -> tuple[Any, Any]:
    """The same numbers as a tensor of each library, on the device."""
    values = DRAW.standard_normal(shape).astype("float32")
    return ndl.Tensor(values, device=ndl.cuda(), requires_grad=False), torch.tensor(values, device="cuda")


PRECISIONS = {"highest": "float32", "high": "TF32", "medium": "bfloat16"}


def choose_precision(word: str) -> None:
    """Of both libraries. PyTorch may still take TF32 where bfloat16 is allowed; cuDNN's switch knows TF32 alone."""
    ndl.set_float32_matmul_precision(word)
    torch.set_float32_matmul_precision(word)
    torch.backends.cudnn.allow_tf32 = word != "highest"


def products() -> Iterator[Row]:
    for n in (256, 512, 1024, 2048, 4096, 8192):
        (a, x), (b, y) = pair(n, n), pair(n, n)
        yield both(f"matmul {n}", lambda a=a, b=b: a @ b, lambda x=x, y=y: x @ y)


def convolutions() -> Iterator[Row]:
    layers = [(224, 3, 64, 7, 2), (56, 64, 64, 3, 1), (28, 128, 128, 3, 1), (14, 256, 256, 3, 1), (7, 512, 512, 3, 1)]
    for size, into, out, kernel, stride in layers:
        (a, x), (w, v) = pair(32, size, size, into), pair(kernel, kernel, into, out)
        nchw, oihw = x.permute(0, 3, 1, 2), v.permute(3, 2, 0, 1).contiguous(memory_format=torch.channels_last)
        yield both(
            f"conv {kernel}x{kernel} {into}->{out} at {size}, batch 32",
            lambda a=a, w=w, s=stride, p=kernel // 2: ndl.conv(a, w, s, p),
            lambda x=nchw, w=oihw, s=stride, p=kernel // 2: torch.nn.functional.conv2d(x, w, stride=s, padding=p),
        )


def fused() -> Iterator[Row]:
    functional = torch.nn.functional
    (q, x), (k, y), (v, z) = pair(16, 8, 1024, 64), pair(16, 8, 1024, 64), pair(16, 8, 1024, 64)
    yield both(
        "attention 16x8x1024x64, causal", lambda: ndl.attention(q, k, v, 0.125, True),
        lambda: functional.scaled_dot_product_attention(x, y, z, is_causal=True),
    )  # fmt: skip
    (a, b), (w, s), (c, t) = pair(8192, 1024), pair(1024), pair(1024)
    yield both(
        "layer_norm 8192x1024", lambda: ndl.layer_norm(a, w, c), lambda: functional.layer_norm(b, (1024,), s, t), True
    )
    (logits, scores), labels = pair(8192, 10000), DRAW.integers(0, 10000, 8192)
    ours, theirs = ndl.Tensor(labels, device=ndl.cuda(), dtype="float32"), torch.tensor(labels, device="cuda")
    yield both(
        "cross_entropy 8192x10000", lambda: ndl.cross_entropy(logits, ours),
        lambda: functional.cross_entropy(scores, theirs), True,
    )  # fmt: skip
    lstm, other = nn.LSTM(512, 512, device=ndl.cuda()), torch.nn.LSTM(512, 512, device="cuda")
    x, y = pair(64, 32, 512)
    yield both("LSTM 64 steps, batch 32, 512", lambda: lstm(x), lambda: other(y))


def training() -> Iterator[Row]:
    """A step of needle's alone: PyTorch has no such model at hand, so its column repeats the processor's time."""
    for name, batch in (("resnet9-dawn", 512), ("gpt-char", 64)):
        times = []
        for device in (ndl.cuda(), ndl.cpu()):
            np.random.seed(0)
            model = zoo.load(name, pretrained=False, device=device)
            example = model.example()
            shape = (batch, *example.shape[1:])
            x = DRAW.integers(0, 20, shape) if name.startswith("gpt") else DRAW.standard_normal(shape)
            given = ndl.Tensor(x.astype("float32"), device=device)
            optimizer, loss_of = optim.Adam(model.parameters()), nn.SoftmaxLoss()

            def step(
                model: Any = model, given: Any = given, optimizer: Any = optimizer, loss_of: Any = loss_of
            ) -> None:  # fmt: skip
                out = model(given)
                out = out.reshape((-1, out.shape[-1]))
                labels = ndl.Tensor(np.zeros(out.shape[0]), device=given.device)
                optimizer.reset_grad()
                loss_of(out, labels).backward()
                optimizer.step()

            times.append(seconds(step, ndl.cuda().synchronize))
        yield Row(f"training step {name}, batch {batch} (beside the processor)", *times)


def programs(folder: Path, arch: str) -> Iterator[Row]:
    """A compiled model's answer to one row, beside the program for the processor."""
    from deploy import build

    for name in ("resnet9", "gpt-char"):
        np.random.seed(0)
        model = zoo.load(name)
        model.eval()
        graph, x = freeze(model, model.example()), model.example().numpy()
        built, plain = build_cuda(graph, folder / name, arches=[arch]), build(graph)
        ours, theirs = Compiled(built.library, built.weights, max_batch=1), Compiled(plain.library, plain.weights)
        np.testing.assert_allclose(ours(x), theirs(x), rtol=1e-4, atol=1e-4)
        nothing: Callable[[], None] = lambda: None  # noqa: E731  (calls of programs wait by themselves)
        yield Row(
            f"program {name}, one row (beside the processor)", seconds(lambda c=ours, x=x: c(x), nothing),
            seconds(lambda c=theirs, x=x: c(x), nothing),
        )  # fmt: skip


def main(folder: Path, arch: str) -> None:
    card, rows = ndl.cuda().device_name(), list[Row]()

    def measure(part: Iterator[Row], addition: str = "") -> None:
        try:
            for row in part:
                row = row._replace(name=row.name + addition)
                rows.append(row)
                print(f"{row.name}: {row.ratio:.2f}x", flush=True)
        except Exception as error:  # what fails is told in the table, and the rest is measured
            rows.append(Row(f"{part.__name__}{addition}: {type(error).__name__}: {error}", float("nan"), float("nan")))
        write()

    def write() -> None:
        told = [{**row._asdict(), "ratio": row.ratio} for row in rows]
        facts = {"card": card, "torch": torch.__version__, "rows": told}
        (folder / "device.json").write_text(json.dumps(facts, indent=1))
        lines = [f"{card}, PyTorch {torch.__version__}, float32 where nothing else is said", ""]
        lines += ["| | needle | PyTorch | compiled | ratio |", "|---|---|---|---|---|"]
        for row in rows:
            times = [f"{1e3 * x:.3f} ms" if x is not None else "" for x in (row.needle, row.torch, row.compiled)]
            lines.append(f"| {row.name} | {' | '.join(times)} | {row.ratio:.2f} |")
        (folder / "device.md").write_text("\n".join(lines) + "\n")

    for word, name in PRECISIONS.items():
        choose_precision(word)
        for part in (products(), convolutions()):
            measure(part, f", {name}")
    choose_precision("highest")
    for part in (fused(), programs(folder, arch), training()):
        measure(part)


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2])

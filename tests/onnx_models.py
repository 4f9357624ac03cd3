"""python -m tests.onnx_models [words ...]: models written by PyTorch's exporters, beside ONNX Runtime.

Needs torch, onnxruntime and, for the architectures, torchvision; weights are random, images 224 x 224. Each row says
how far the largest error is, relative to the largest output, by the interpreter and by the instant engine; or why a
model, or an engine, is refused. Of a detector each of its detections is looked for among ONNX Runtime's: rounding alone
decides the order of those whose scores are nearly equal, in ONNX Runtime with and without its optimisations too.
`--exporter new` takes torch.export's. With `--save FOLDER` the files are written there, and nothing is compared: for
`python -m bench onnx`, and for a Python without torchvision (`--from FOLDER`).
"""

from __future__ import annotations

import argparse
import io
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from deploy import Instant, interpreter
from deploy import onnx as exchange
from deploy.compare import relative_error
from needle.errors import NeedleError

ARCHITECTURES = (
    "resnet18", "resnet50", "mobilenet_v2", "mobilenet_v3_small", "efficientnet_b0", "squeezenet1_1",
    "shufflenet_v2_x1_0", "densenet121", "googlenet", "regnet_y_400mf", "vit_b_16", "swin_t", "convnext_tiny",
    "segmentation.fcn_resnet50", "segmentation.deeplabv3_mobilenet_v3_large", "detection.ssdlite320_mobilenet_v3_large",
)  # fmt: skip
ALLOWED, STEP, NEAR = 1e-4, 0.03, 1e-3


def architecture(name: str) -> tuple[Any, Any]:
    """A network of torchvision with random weights, no zeros among the last, and an image.

    A detector's convolutions keep the scale of what they are given, else all boxes would have one score.
    """
    import torch
    import torchvision

    home, _, kind = name.rpartition(".")
    options: dict[str, Any] = {"weights": None}
    options |= {"weights_backbone": None} if home else {}
    options |= {"init_weights": False} if kind == "googlenet" else {}
    torch.manual_seed(0)
    net = getattr(getattr(torchvision.models, home) if home else torchvision.models, kind)(**options).eval()
    for parameter in net.parameters():
        if home == "detection" and parameter.ndim == 4:
            torch.nn.init.kaiming_normal_(parameter)
        elif not parameter.any():
            torch.nn.init.normal_(parameter, std=0.02)
    return (wrapped(net, detections) if home == "detection" else net), torch.randn(1, 3, 224, 224)


def recurrent(kind: str, **options: Any) -> tuple[Any, Any]:
    """Two recurrent layers."""
    import torch

    torch.manual_seed(0)
    return wrapped(getattr(torch.nn, kind)(8, 12, 2, batch_first=True, **options), first), torch.randn(2, 7, 8)


def transformer(**options: Any) -> tuple[Any, Any]:
    """Two encoder layers."""
    import torch

    torch.manual_seed(0)
    layer = torch.nn.TransformerEncoderLayer(16, 4, 32, batch_first=True, **options)
    return torch.nn.TransformerEncoder(layer, 2, enable_nested_tensor=False).eval(), torch.randn(2, 9, 16)


def wrapped(net: Any, forward: Callable[[Any, Any], Any]) -> Any:
    """A module that computes forward(net, x)."""
    import torch

    class Wrapped(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.net = net

        def forward(self, x: Any) -> Any:
            return forward(self.net, x)

    return Wrapped().eval()


def first(net: Any, x: Any) -> Any:
    """The first result of a network."""
    return net(x)[0]


def detections(net: Any, x: Any) -> Any:
    """Boxes, scores and labels of what a detector finds in the one image of a batch."""
    found = net([x[0]])[0]
    return found["boxes"], found["scores"], found["labels"]


MODELS: dict[str, Callable[[], tuple[Any, Any]]] = {
    "lstm": lambda: recurrent("LSTM"),
    "lstm-bidirectional": lambda: recurrent("LSTM", bidirectional=True),
    "gru": lambda: recurrent("GRU"),
    "gru-bidirectional": lambda: recurrent("GRU", bidirectional=True),
    "rnn": lambda: recurrent("RNN"),
    "transformer": transformer,
    "transformer-gelu-first": lambda: transformer(activation="gelu", norm_first=True),
    **{name: lambda name=name: architecture(name) for name in ARCHITECTURES},  # type: ignore[misc]
}


def quantized(kind: str) -> tuple[bytes, np.ndarray]:
    """A small convolutional network in int8, by ONNX Runtime's own tools: "qdq", "qlinear" or "dynamic".

    Weights have seven bits where the processor lacks VNNI: there ONNX Runtime's sums of two products of eight saturate.
    """
    import tempfile

    import torch
    from onnxruntime import quantization as tools
    from torch import nn

    torch.manual_seed(0)
    net = nn.Sequential(
        nn.Conv2d(3, 16, 3, 2, 1), nn.BatchNorm2d(16), nn.ReLU6(), nn.Conv2d(16, 16, 3, 1, 1, groups=16), nn.ReLU(),
        nn.Conv2d(16, 32, 1), nn.ReLU(), nn.MaxPool2d(2), nn.Conv2d(32, 32, (1, 3), 1, (0, 1)), nn.ReLU(),
        nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(32, 10),
    ).eval()  # fmt: skip
    draw = np.random.default_rng(0)
    images = [draw.standard_normal((4, 3, 32, 32)).astype("float32") for _ in range(4)]

    class Calibration(tools.CalibrationDataReader):
        def __init__(self) -> None:
            self.left = iter([{"x": x} for x in images])

        def get_next(self) -> Any:
            return next(self.left, None)

    seven = "vnni" not in Path("/proc/cpuinfo").read_text()
    with tempfile.TemporaryDirectory() as folder:
        before, after = Path(folder) / "plain.onnx", Path(folder) / "small.onnx"
        before.write_bytes(exported(net, torch.from_numpy(images[0]), "old"))
        if kind == "dynamic":
            tools.quantize_dynamic(before, after, reduce_range=seven)
        else:
            form = tools.QuantFormat.QDQ if kind == "qdq" else tools.QuantFormat.QOperator
            tools.quantize_static(before, after, Calibration(), quant_format=form, reduce_range=seven)
        return after.read_bytes(), images[0]


QUANTIZED = {f"quantized-{kind}": kind for kind in ("qdq", "qlinear", "dynamic")}


def exported(net: Any, x: Any, exporter: str) -> bytes:
    """The bytes that an exporter writes; the batch stays open."""
    import torch

    file = io.BytesIO()
    if exporter == "old":
        torch.onnx.export(net, (x,), file, dynamo=False, opset_version=17, input_names=["x"],
                          dynamic_axes={"x": {0: "batch"}})  # fmt: skip
    else:
        more = torch.cat([x, x])  # of one row torch.export makes a constant, whatever else it is told
        program = torch.onnx.export(net, (more,), dynamo=True, dynamic_shapes=({0: torch.export.Dim("batch")},))
        file.write(program.model_proto.SerializeToString())
    return file.getvalue()


def unmatched(found: list[np.ndarray], expected: list[np.ndarray]) -> int:
    """How many detections (boxes, scores, labels) of either side have no partner of their label, box and score."""
    (boxes, scores, labels), (others, likely, kinds) = found, expected
    apart = abs(boxes[:, None] - others).max(axis=-1) / abs(others).max()
    same = (labels[:, None] == kinds) & (apart < NEAR) & (abs(scores[:, None] - likely) < NEAR)
    return int((~same.any(axis=1)).sum() + (~same.any(axis=0)).sum())


def verdict(found: list[np.ndarray], expected: list[np.ndarray], steps: bool, detector: bool) -> str:
    """How far the results of an engine are from those of ONNX Runtime."""
    if detector:
        missed = unmatched(found, expected)
        return f"{missed} of {len(found[0])} detections apart{' DIFFERENT' if missed else ''}"
    pairs = list(zip(found, expected, strict=True))
    worst = max(relative_error(a, b) for a, b in pairs)
    labels = all((a.argmax(-1) == b.argmax(-1)).all() for a, b in pairs)
    right = labels and worst <= STEP if steps else worst <= ALLOWED
    return f"{worst:.1e}{'' if right else ' DIFFERENT'}"


def compare(data: bytes, x: np.ndarray, steps: bool = False, detector: bool = False) -> list[str]:
    """What came of the model: load time, then the error or the refusal of each engine.

    With `steps` labels must be equal, and outputs may be a step of quantisation apart.
    """
    import onnxruntime

    session = onnxruntime.InferenceSession(data, providers=["CPUExecutionProvider"])
    expected = session.run(None, {session.get_inputs()[0].name: x})
    start = time.perf_counter()
    try:
        graph = exchange.loads(data)
    except NeedleError as error:
        return [f"REFUSED: {error}"]
    found = [f"read in {time.perf_counter() - start:.1f} s"]
    given = {graph.inputs[0].op.name: x}
    runs: dict[str, Callable[[], dict[str, np.ndarray]]] = {
        "interpreted": lambda: interpreter.run(graph, given),
        "instant": lambda: Instant(graph).run(**given),
    }
    for engine, run in runs.items():
        try:
            found.append(f"{engine} {verdict(list(run().values()), expected, steps, detector)}")
        except NeedleError as error:
            found.append(f"{engine} refused: {str(error)[:160]}")
    return found


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("words", nargs="*", help="models whose names hold one of these (default: all)")
    parser.add_argument("--exporter", choices=("old", "new"), default="old")
    parser.add_argument("--save", type=Path, help="write the files into this folder")
    parser.add_argument("--from", type=Path, dest="folder", help="take the files of this folder")
    args = parser.parse_args()
    warnings.simplefilter("ignore")
    failed = 0
    for name, kind in QUANTIZED.items() if not args.folder and not args.save else ():
        if not args.words or any(word in name for word in args.words):
            rows = compare(*quantized(kind), steps=True)
            failed += any("DIFFERENT" in row or row.startswith("REFUSED") for row in rows)
            print(f"{name:<24} {'; '.join(rows)}", flush=True)
    for name, make in MODELS.items():
        if args.words and not any(word in name for word in args.words):
            continue
        if args.folder:
            x = np.random.default_rng(0).standard_normal((1, 3, 224, 224), np.float32)
            path = args.folder / f"{name}.onnx"
            if not path.exists():
                continue
            rows = compare(path.read_bytes(), x, detector=name.startswith("detection."))
        else:
            net, given = make()
            try:
                data = exported(net, given, args.exporter)
            except Exception as error:  # a detector's decisions by its data are more than torch.export takes
                print(f"{name:<24} is not written by this exporter: {str(error).strip().splitlines()[0][:160]}")
                continue
            if args.save:
                (args.save / f"{name}.onnx").write_bytes(data)
                continue
            rows = compare(data, given.numpy(), detector=name.startswith("detection."))
        failed += any("DIFFERENT" in row or row.startswith("REFUSED") for row in rows)
        print(f"{name:<24} {'; '.join(rows)}", flush=True)
    return 1 if failed else 0


if __name__ == "__main__":
    raise SystemExit(main())

"""The one list of cases, for `python -m bench` beside peers and for `python -m bench against` beside a commit.

A case is one row. Rows are data: nothing of needle is imported before a case is built.
"""

from __future__ import annotations

from typing import Any

from bench.case import Case, Group
from bench.timing import Turns

LONG = Turns(rounds=8, warm=False)  # one call lasts a second or more
TOLD = Turns(rounds=8, lasts=1e-6, pause=0.2, warm=False)  # one call lasts seconds and tells what it measured
SERVED = Turns(rounds=10, lasts=0.2)
LOADING = Turns(rounds=40, lasts=0.1, pause=0, warm=False)  # no pause, in which the loader would work ahead


def case(name: str, make: str, *sizes: Any, turns: Turns | None = None) -> Case:
    return Case(name, make, sizes, turns or Turns())


EAGER = (
    case("add of 16 elements", "eager.add", 16),
    case("add of 16 elements and its gradient", "eager.add_gradient", 16),
    case("product of 8x8", "eager.product", 8),
    case("slice of 8x8", "eager.slice_", 8),
    case("sum of 8x8", "eager.sum_", 8),
    case("ReLU of 16 elements", "eager.relu", 16),
)

MAPS = (
    case("a + b, 512x512", "maps.add", 512, 512),
    case("a + row, 512x512", "maps.add_row", 512, 512),
    case("a + column, 512x512", "maps.add_column", 512, 512),
    case("a + transposed, 512x512", "maps.add_transposed", 512, 512),
    case("exp, 512x512", "maps.exp", (512, 512), (0, 1)),
    case("exp of transposed, 512x512", "maps.exp", (512, 512), (1, 0)),
    case("exp of short rows, transposed 4x2000", "maps.exp", (4, 2000), (1, 0)),
    case("exp of four axes permuted, 8x16x16x5", "maps.exp", (8, 16, 16, 5), (0, 3, 1, 2)),
    case("a + a of three axes permuted, 64x3x32", "maps.add_permuted", (64, 3, 32), (1, 0, 2)),
    case("a + transposed of short rows, 2000x4", "maps.add_transposed", 2000, 4),
    case("copy of transposed, 512x512", "maps.copy_transposed", 512, 512),
)

KERNELS = (
    case("batch norm 8192x16", "norms.batch_norm", 8192, 16, 8),
    case("batch norm 2048x32", "norms.batch_norm", 2048, 32, 4),
    case("batch norm 512x64", "norms.batch_norm", 512, 64, 2),
    case("batch norm 128x128", "norms.batch_norm", 128, 128, 1),
    case("layer norm 2048x384", "norms.layer_norm", 2048, 384),
    case("group norm of 32x16x16x128 in 32", "norms.group_norm", 32, 16, 128, 32),
    case("RMS norm 2048x384", "norms.rms_norm", 2048, 384),
    case("softmax 2048x256", "norms.softmax", 2048, 256),
    case("cross entropy 128x10", "reductions.cross_entropy", 128, 10),
    case("cross entropy 700x10000", "reductions.cross_entropy", 700, 10000),
    case("cross entropy 4096x1000, a third ignored", "reductions.ignoring_cross_entropy", 4096, 1000),
    case("squared error 2048x1536", "reductions.squared_error", 2048, 1536),
    case("GELU 2048x1536", "maps.activation", "gelu", 2048, 1536),
    case("SiLU 2048x1536", "maps.activation", "silu", 2048, 1536),
    case("leaky ReLU 2048x1536", "maps.activation", "leaky_relu", 2048, 1536),
    case("where 2048x1536", "maps.where", 2048, 1536),
    case("mean 2048x1536, last axis", "reductions.reduction", "mean", 1, 2048, 1536),
    case("mean 2048x1536, first axis", "reductions.reduction", "mean", 0, 2048, 1536),
    case("max 2048x1536, last axis", "reductions.reduction", "max", 1, 2048, 1536),
    case("max 2048x1536, first axis", "reductions.reduction", "max", 0, 2048, 1536),
    case("variance 2048x1536, last axis", "reductions.reduction", "var", 1, 2048, 1536),
    case("max and its gradient 2048x1536", "reductions.maximum_gradient", 1, 2048, 1536),
    case("gather 8192x512", "reductions.gather", 8192, 512),
    case("LSTM T=35 B=20 H=200", "sequences.lstm", 35, 20, 200),
    case("GRU T=35 B=20 H=200", "sequences.gru", 35, 20, 200),
    case("causal attention B=8 H=6 T=256 D=64", "sequences.attention", 8, 6, 256, 64),
    case("embedding 700 of 10000x200", "sequences.embedding", 700, 10000, 200),
    case("max pool 2x2 of 64x32x32x64", "images.pool", 64, 32, 64, True),
    case("max pool 3x3 stride 2 of 16x56x56x64", "images.pool", 16, 56, 64, True, 3, 2, 1),
    case("mean pool 2x2 of 64x32x32x64", "images.pool", 64, 32, 64, False),
    case("mean of 64x8x8x512", "images.pool", 64, 8, 512, False, 8, 8),
    case("bilinear upsampling of 16x16x16x128", "images.upsample", 16, 16, 128),
    case("depthwise 3x3 of 16x28x28x192", "images.grouped", 16, 28, 192, 192),
    case("depthwise 3x3 stride 2 of 16x28x28x192", "images.grouped", 16, 28, 192, 192, 2),
    case("3x3 in 32 groups of 16x14x14x256", "images.grouped", 16, 14, 256, 32),
    case("3x3 in 2 groups of 16x28x28x128", "images.grouped", 16, 28, 128, 2),
    case("Adam 10 M", "optimizers.adam", 10_000_000),
    case("Adam of 100 parameters of 64", "optimizers.adam", 64, 100),
    case("SGD with Nesterov momentum 1 M", "optimizers.nesterov", 1_000_000),
)

CONVOLUTIONS = (
    case("conv 3x3 of 1x32x32x16 to 16", "images.conv", 1, 32, 16, 16),
    case("conv 3x3 of 16x32x32x64 to 64", "images.conv", 16, 32, 64, 64),
    case("conv 3x3 of 8x8x8x64 to 64", "images.conv", 8, 8, 64, 64),
    case("conv 3x3 of 32x4x4x128 to 128", "images.conv", 32, 4, 128, 128),
    case("conv 3x3 of 128x1x1x128 to 128", "images.conv", 128, 1, 128, 128),
    case("conv 3x3 of 5x7x7x3 to 20", "images.conv", 5, 7, 3, 20),
    case("conv 3x3 stride 2 of 16x16x16x32 to 64", "images.conv", 16, 16, 32, 64, 3, 2),
    case("conv 7x7 stride 4 of 128x32x32x3 to 16", "images.conv", 128, 32, 3, 16, 7, 4),
    case("conv 1x1 of 16x14x14x256 to 64", "images.conv", 16, 14, 256, 64, 1),
)

TRAINING = (
    case("step of ResNet9, batch 128", "training.resnet9", 128),
    case("step of DAWN ResNet-9, batch 32", "training.dawn", 32),
    case("step of DCGAN 32 x 32, batch 64", "training.gan", 64),
    case("step of LSTM 2x200, vocabulary 10,000, batch 20, time 35", "training.lstm", 10_000, 200, 20, 35),
    case("step of GPT 2 layers, width 64, batch 8, time 64", "training.gpt", 256, 64, 2, 4, 8, 64),
    case("step of GPT 6 layers, width 384, batch 8, time 256", "training.gpt", 256, 384, 6, 6, 8, 256, turns=LONG),
)

LOADER = tuple(
    case("{}, batch {}, {}, workers={}".format(*sizes), "feeding.fed", *sizes, turns=LOADING)
    for sizes in (
        ("ResNet9", 128, "crop, flip", 1),
        ("ResNet9", 128, "crop, flip, cutout", 1),
        ("ResNet9", 128, "crop, flip, cutout", 2),
        ("ResNet9", 128, "crop, flip, cutout", 0),
        ("ResNet9", 32, "crop, flip", 1),
        ("ResNet9", 32, "crop, flip, cutout", 1),
        ("ResNet9", 32, "crop, flip, cutout", 2),
        ("ResNet9", 32, "crop, flip, cutout", 0),
        ("DAWN ResNet-9", 32, "crop, flip", 1),
        ("DAWN ResNet-9", 32, "crop, flip, cutout", 1),
    )
)  # fmt: skip

ADAPTERS = (
    case("step of an adapter of rank 8, GPT 4 layers, width 256, batch 8, time 256", "adapters.step",
         8, 2048, 256, 4, 4, 8, 256, turns=LONG),
    case("memory of such steps", "adapters.step_memory", 8, 2048, 256, 4, 4, 8, 256),
    case("memory of such steps, layers recomputed", "adapters.recomputed_memory", 8, 2048, 256, 4, 4, 8, 256),
)  # fmt: skip

GROUPS = {
    "matmul": Group(
        "Matrix product beside numpy's BLAS", 1, ("numpy",),
        tuple(case(f"matmul {n}", "products.square", n) for n in (256, 512, 1024, 2048)),
    ),
    "training": Group("Eager training steps beside PyTorch, eager and compiled", 2, ("torch",), TRAINING),
    "lora": Group(
        "Training an adapter beside training all parameters, and beside PEFT", 2, ("torch",), ADAPTERS, commits=False
    ),
    "epoch": Group(
        "An epoch on CIFAR-10, augmentation included: of ResNet9 all of it, of airnet a part", 2, ("torch",),
        (
            case("ResNet9, one CIFAR-10 epoch, batch 128, augmented", "feeding.epoch", 128, turns=Turns(4, warm=False)),
            case("airnet, 2 of a CIFAR-10 epoch's 50 steps, batch 1,000, augmented", "feeding.airnet", 2, turns=LONG),
        ),
        commits=False,
    ),
    "loader": Group(
        "A training step fed by the data loader beside the step alone", 2, (), LOADER, cost=True, commits=False
    ),
    "eager": Group("Small eager operations beside PyTorch", 1, ("torch",), EAGER),
    "maps": Group("Maps of arrays beside PyTorch", 1, ("torch",), MAPS),
    "kernels": Group("Fused kernels beside PyTorch", 2, ("torch",), KERNELS),
    "convolutions": Group("Convolutions and their gradients beside PyTorch", 2, ("torch",), CONVOLUTIONS),
    "compiled": Group(
        "Compiled models beside ONNX Runtime", 1, ("onnx", "onnxruntime"),
        (
            *(case(f"resnet9, batch {n}", "compiled.resnet9", n) for n in (1, 8, 32)),
            *(case(f"resnet9, instant engine, batch {n}", "compiled.instant", n) for n in (1, 8, 32)),
            case("resnet9 compiled, other weights", "compiled.other_weights"),
            case("resnet9, instant engine, from the graph to the first answer", "compiled.first_answer"),
        ),
    ),
    "serving": Group(
        "Text of a GPT of 1.8 million parameters over HTTP, for 16 clients at once beside one", 2, (),
        (
            case("16 texts of 32 tokens", "serving.completions", 16, False, turns=SERVED),
            case("16 streams of 32 tokens", "serving.completions", 16, True, turns=SERVED),
            case("first token of a stream, one client", "serving.first_token", 16, turns=SERVED),
        ),
        commits=False,
    ),
    "photographs": Group(
        "ResNet9 over HTTP, JPEGs of 640 x 480, beside LitServe with ONNX Runtime", 2,
        ("litserve", "multipart", "onnx", "onnxruntime"),
        tuple(
            case(f"{name}, {n} client{'s at once' if n > 1 else ''}", "photographs.classified", n, what, turns=TOLD)
            for what, name in (("request", "a request of all"), ("p99", "99 of 100 requests"))
            for n in (1, 16, 48)
        ),
        commits=False,
    ),
    "quantized": Group(
        "Networks in int8 beside runtimes in float32 and in int8", 1, ("onnx", "onnxruntime"),
        tuple(
            case(f"{name} in int8, batch {n}", "compiled.quantized", name, n)
            for name, n in (("resnet9", 1), ("resnet9", 64), ("resnet20", 1), ("airnet", 1))
        ),
        commits=False,
    ),
    "codes": Group(
        "One token of a GPT 6 x 384, 128 in the cache, weights in fewer bits beside float32, instant engine", 1, (),
        tuple(
            case(f"weights in {format}, batch {n}", "compiled.coded", format, n)
            for n in (1, 8) for format in ("fp16", "bf16", "int8", "int4")
        ),
        commits=False,
    ),
    "texts": Group(
        "Language models compiled, beside ONNX Runtime and OpenVINO in float32", 1, ("onnx", "onnxruntime"),
        (
            case("GPT 6 x 384, a prompt of 256", "texts.prefill", 256),
            case("GPT 6 x 384, one token with 128 in the cache, batch 1", "texts.token", 1, 128),
            case("GPT 6 x 384, one token with 128 in the cache, batch 8", "texts.token", 8, 128),
            case("LSTM 2 x 200, 10,000 words, one step, batch 1", "texts.lstm", 1, 1),
            case("LSTM 2 x 200, 10,000 words, 35 steps, batch 1", "texts.lstm", 1, 35),
            case("LSTM 2 x 200, 10,000 words, 35 steps, batch 20", "texts.lstm", 20, 35),
        ),
        commits=False,
    ),
    "generate": Group(
        "Text of gpt-char, a token at a time, beside its eager decoding with a cache", 2, (),
        tuple(
            case(f"a token of 200, {engine}", "texts.generated", engine, 200, turns=TOLD)
            for engine in ("compiled", "instant")
        ),
        commits=False,
    ),
    "nets": Group(
        "Convolutional networks compiled, beside ONNX Runtime and OpenVINO in float32", 1, ("onnx", "onnxruntime"),
        tuple(
            case(f"{name}, built for batch {n}", "compiled.zoo_model", name, n)
            for name, n in (
                ("resnet9", 1), ("resnet9", 64), ("resnet20", 1), ("resnet9-dawn", 1), ("resnet9-dawn", 32),
                ("airnet", 1), ("dcgan", 1), ("dcgan", 16),
            )
        ),
        commits=False,
    ),
    "onnx": Group(
        "Networks of torchvision from ONNX files, compiled, beside ONNX Runtime", 1, ("onnx", "onnxruntime"),
        tuple(
            case(f"{name}, one image", "imported.network", name)
            for name in ("resnet18", "mobilenet_v2", "squeezenet1_1", "efficientnet_b0", "vit_b_16")
        ),
        commits=False,
    ),
}  # fmt: skip

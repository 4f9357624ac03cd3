"""A model without weights for the tests of the server, and a server of its own process that serves it.

`python fakes.py --port 0` runs `needle-serve` with two of these models in place of the zoo's.
"""

import sys
import time
from pathlib import Path

import numpy as np

LABELS = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")
CARD = {
    "name": "resnet9",
    "input": {"kind": "image", "channels": 3, "height": 32, "width": 32, "mean": [0.5] * 3, "std": [0.25] * 3},
    "labels": list(LABELS),
}


def logits(images: np.ndarray) -> np.ndarray:
    """Ten sums over parts of each image: each row depends on its own image alone, to the last bit."""
    flat = np.ascontiguousarray(images.reshape(len(images), -1)[:, :3070]).reshape(len(images), 10, 307)
    return (flat.sum(axis=2) / np.float32(30)).astype(np.float32)


def fake(name: str = "resnet9", seconds: float = 0.0, **changes):
    """A Model that takes images and gives ten logits, `seconds` after it was asked."""
    from serving.engine.models import Model, TensorSpec

    def run(batch):
        time.sleep(seconds)
        return {"logits": logits(batch["image"])}

    example = np.linspace(-1, 1, 3072, dtype=np.float32).reshape(1, 3, 32, 32)
    fields = {
        "inputs": (TensorSpec("image", "FP32", (-1, 3, 32, 32)),),
        "outputs": (TensorSpec("logits", "FP32", (-1, 10), LABELS),),
        "run": run,
        "card": CARD,
        "canary": ({"image": example}, {"logits": logits(example)}),
    }
    return Model(name, **(fields | changes))


def main() -> None:
    sys.path.insert(0, str(Path(__file__).resolve().parents[2]))
    import logging

    from serving import cli

    logging.basicConfig(level=logging.INFO, format="needle-serve: %(message)s", stream=sys.stderr)
    seconds = float(sys.argv.pop(1))
    options = cli.parser().parse_args(sys.argv[1:])
    cli.check_address(options)
    given = [cli.Source("resnet9"), cli.Source("other")]
    cli.Server(lambda source: fake(source.name, seconds), given, options).run()


if __name__ == "__main__":
    main()

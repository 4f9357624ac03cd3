"""What must not change unnoticed: the bytes of seeded runs, the names in state_dicts, the text of generated programs.

`python -m tests.goldens` writes goldens.json anew; whoever commits a change of it says why.
"""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Mapping
from pathlib import Path

import numpy as np

import zoo
from deploy import EmitError, freeze
from deploy.generate import generate
from deploy.lower import lower
from deploy.passes import optimize
from zoo.train import train

FILE = Path(__file__).resolve().parent / "goldens.json"
SEED = 3
PROGRAM = """
import hashlib, numpy as np, needle as ndl
from needle import nn
from zoo.course.models import LanguageModel, ResNet9

def train(model, optimizer, batches):
    loss_fn = nn.SoftmaxLoss()
    for x, y in batches:
        optimizer.reset_grad()
        out = model(ndl.Tensor(x, requires_grad=False))
        loss_fn(out[0] if isinstance(out, tuple) else out, ndl.Tensor(y, requires_grad=False)).backward()
        optimizer.step()
    state = model.state_dict()
    print(hashlib.sha256(b"".join(state[name].tobytes() for name in sorted(state))).hexdigest())

np.random.seed(7)
images = [(np.random.randn(16, 3, 32, 32), np.random.randint(0, 10, 16)) for _ in range(50)]
words = [(np.random.randint(0, 300, (7, 4)), np.random.randint(0, 300, 28)) for _ in range(50)]
model = ResNet9()
train(model, ndl.optim.Adam(model.parameters(), lr=1e-3), images)
for kind in ("lstm", "transformer"):
    model = LanguageModel(40, 300, 48, num_layers=2, seq_model=kind, seq_len=7)
    train(model, ndl.optim.SGD(model.parameters(), lr=0.5, momentum=0.9), words)
"""


def trained_in_a_process(**environment: str) -> list[str]:
    """The sha256 of the weights of ResNet9, LSTM and transformer after 50 steps, from a process of its own."""
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM], env=os.environ | environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.split()


def digest(state: Mapping[str, np.ndarray]) -> str:
    """The sha256 of named arrays, in the order of their names."""
    return hashlib.sha256(b"".join(state[name].tobytes() for name in sorted(state))).hexdigest()


def trained_tiny(entry: zoo.Entry, folder: Path) -> str:
    """The sha256 of a model's weights after its recipe's tiny run."""
    train(entry, SEED, folder=str(folder), tiny=True)
    home = folder / f"{entry.name}-tiny-seed{SEED}"
    path = next(path for path in home.glob("*.safetensors") if path.name != "checkpoint.safetensors")
    return digest(zoo.load(entry.name, weights=path).state_dict())


def layout(name: str) -> list[str]:
    """The names, dtypes and shapes of a model's state."""
    state = zoo.load(name).state_dict()
    return [f"{key} {array.dtype} {'x'.join(map(str, array.shape))}" for key, array in sorted(state.items())]


def program(name: str) -> str | None:
    """The sha256 of what is generated for a model beside the kernels' headers; None where it is refused."""
    np.random.seed(SEED)
    model = zoo.load(name)
    model.eval()
    try:
        files = generate(lower(optimize(freeze(model, model.example()))), "model").files
    except EmitError:
        return None
    return hashlib.sha256(own_text(files["model.cpp"].decode()).encode()).hexdigest()


def own_text(source: str) -> str:
    """The part of a program that is the model's alone."""
    return source.partition("// ---- the model ")[2].partition("#endif  // !ND_VARIANTS")[0]


def golden(kind: str) -> dict[str, object]:
    """The goldens of one kind: `processes`, `tiny`, `layouts` or `programs`."""
    return dict(json.loads(FILE.read_text())[kind])


def main(names: Iterable[str]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        found = {
            "processes": dict(zip(("resnet9", "lstm", "transformer"), trained_in_a_process(), strict=True)),
            "tiny": {name: trained_tiny(zoo.entry(name), Path(folder)) for name in names},
            "programs": {name: program(name) for name in names},
            "layouts": {name: layout(name) for name in names},
        }
    FILE.write_text(json.dumps(found, indent=1) + "\n")


if __name__ == "__main__":
    main(zoo.names())

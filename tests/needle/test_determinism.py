"""A run is a function of its seed: the same bits for any number of threads, and with AVX2 as with AVX-512."""

import os
import subprocess
import sys

import pytest

STEPS = 50
PROGRAM = f"""
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
images = [(np.random.randn(16, 3, 32, 32), np.random.randint(0, 10, 16)) for _ in range({STEPS})]
words = [(np.random.randint(0, 300, (7, 4)), np.random.randint(0, 300, 28)) for _ in range({STEPS})]
model = ResNet9()
train(model, ndl.optim.Adam(model.parameters(), lr=1e-3), images)
for kind in ("lstm", "transformer"):
    model = LanguageModel(40, 300, 48, num_layers=2, seq_model=kind, seq_len=7)
    train(model, ndl.optim.SGD(model.parameters(), lr=0.5, momentum=0.9), words)
"""


def weights(**environment: str) -> list[str]:
    """The sha256 of the weights of three models after STEPS steps, from a process of its own."""
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM], env=os.environ | environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.split()


@pytest.fixture(scope="module")
def one_thread() -> list[str]:
    return weights(NEEDLE_NUM_THREADS="1")


@pytest.mark.parametrize("threads", ["2", "4"])
def test_threads_do_not_change_the_trained_weights(one_thread: list[str], threads: str) -> None:
    assert weights(NEEDLE_NUM_THREADS=threads) == one_thread
    assert len(set(one_thread)) == 3


def test_register_width_does_not_change_the_trained_weights(one_thread: list[str]) -> None:
    from needle.backend_ndarray import ndarray_backend_cpu

    if ndarray_backend_cpu.__isa__ != "x86-64-v4":
        pytest.skip("needs a processor with both AVX2 and AVX-512")
    assert weights(NEEDLE_ISA="v3") == one_thread

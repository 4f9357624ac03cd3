"""An imported model as a module: its numbers, its gradients, a new head that learns, and the way back."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import needle as ndl
from deploy import GraphError, GraphModule, freeze
from deploy import onnx as exchange
from deploy.sources import frozen
from needle import Tensor, nn, optim

onnx = pytest.importorskip("onnx")


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A small residual network with batch normalisation, as an ONNX file."""
    np.random.seed(0)
    block = nn.Residual(nn.Sequential(nn.Conv(8, 8, 3), nn.BatchNorm2d(8), nn.ReLU()))
    net = nn.Sequential(nn.Conv(3, 8, 3, 2), nn.BatchNorm2d(8), nn.ReLU(), block, nn.Flatten(), nn.Linear(128, 10))
    exchange.save(freeze(net, np.zeros((1, 3, 8, 8), "float32")), tmp_path / "net.onnx")
    return tmp_path / "net.onnx"


def test_it_evaluates_with_named_parameters_and_gradients(path: Path) -> None:
    module = exchange.module(path)
    names = dict(module.named_parameters())
    assert {"modules.0.weight", "modules.5.weight", "modules.1.weight"} <= names.keys()
    assert "modules.1.running_mean" in module.state_dict() and "modules.1.running_mean" not in names
    x = Tensor(np.random.default_rng(0).standard_normal((2, 3, 8, 8)).astype("float32"))
    module(x).sum().backward()
    assert all(p.grad is not None and np.isfinite(p.grad.numpy()).all() for p in names.values())


def test_a_new_head_learns_and_the_whole_is_saved_and_leaves_again(path: Path, tmp_path: Path) -> None:
    (last,) = [n for n in onnx.load(path).graph.node if n.op_type == "MatMul"]
    np.random.seed(1)
    features = exchange.module(path, outputs=[last.input[0]])
    model = nn.Sequential(features, nn.Linear(128, 2))
    draw = np.random.default_rng(1)
    labels = draw.integers(0, 2, 64)
    images = draw.standard_normal((64, 3, 8, 8)).astype("float32") * 0.5
    images[labels == 1, 0, :, :4] += 1  # what tells the two kinds apart
    x, y = Tensor(images), Tensor(labels, dtype="int32", requires_grad=False)
    loss, adam = nn.SoftmaxLoss(), optim.Adam(model.parameters(), lr=0.01)
    losses = []
    for _ in range(25):
        adam.reset_grad()
        value = loss(model(x), y)
        value.backward()
        adam.step()
        losses.append(float(value.numpy().reshape(-1)[0]))
    assert losses[-1] < 0.2 * losses[0]
    assert (model(x).numpy().argmax(1) == labels).mean() > 0.95
    model.save(tmp_path / "tuned.safetensors")
    again = nn.Sequential(exchange.module(path, outputs=[last.input[0]]), nn.Linear(128, 2))
    again.load(tmp_path / "tuned.safetensors")
    np.testing.assert_array_equal(again(x).numpy(), model(x).numpy())
    exchange.save(freeze(again, images[:1]), tmp_path / "tuned.onnx")
    back = exchange.module(tmp_path / "tuned.onnx")
    np.testing.assert_allclose(back(x).numpy(), model(x).numpy(), rtol=1e-4, atol=1e-5)


def test_the_trained_weights_return_to_the_graph(path: Path) -> None:
    module = exchange.module(path)
    module.parameters()[0].data = module.parameters()[0].data * 2
    graph = module.trained()
    name = module.named_parameters()[0][0]
    np.testing.assert_array_equal(graph.weights()[name], 2 * module.graph.weights()[name])


@pytest.mark.filterwarnings("ignore::zoo.UntrainedWarning")
def test_a_graph_with_state_is_no_module() -> None:
    import zoo

    step, example, options = zoo.load("gpt-char", tiny=True).decoding(slots=2)
    with pytest.raises(GraphError, match=r"\[module\] a graph that carries state"):
        GraphModule(freeze(step, example, **options))


_ = ndl, frozen

"""Graphs that draw random numbers: a function of the calls so far, the same in every engine."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from deploy import Compiled, Graph, GraphError, Instant, OnnxError, build, freeze, interpreter
from deploy import onnx as exchange
from deploy.cli import main
from deploy.graph_module import GraphModule
from needle import Tensor, init, nn
from needle.types import Type
from tests.deploy.onnx_models import model, node, value

N = 20_000


class Noisy(nn.Module):
    """Noise of each kind beside its input: uniform in [2, 4), normal, and a mask."""

    def forward(self, x: Tensor) -> tuple[Tensor, ...]:
        return (
            x + init.rand(*x.shape, low=2, high=4),
            init.randn(*x.shape, mean=1, std=3),
            init.randb(*x.shape, p=0.2),
        )


def frozen() -> Graph:
    return freeze(Noisy(), Type(("batch", 3)))


def of_state(graph: Graph, calls: int, x: np.ndarray) -> dict[str, np.ndarray]:
    return interpreter.run(graph, {"input": x, "draws": np.array([calls])})


def moments(x: Any) -> tuple[float, float]:
    return float(np.mean(x)), float(np.std(x))


def test_a_traced_draw_follows_from_the_calls_so_far_and_has_its_distribution() -> None:
    np.random.seed(3)
    graph, before = frozen(), np.random.get_state()[1]
    assert [x.op.name for x in graph.given] == ["input"] and graph.state == (("draws", "draws_after"),)
    assert np.array_equal(before, np.random.get_state()[1])  # numpy's generator is where it was
    first = of_state(graph, 0, np.zeros((N, 3), "float32"))
    assert [str(x.dtype) for x in first.values()] == ["float32", "float32", "bool", "int64"]
    uniform, normal, mask, after = first.values()
    assert after.tolist() == [1] and uniform.min() >= 2 and uniform.max() < 4
    np.testing.assert_allclose(moments(uniform), (3, 2 / 12**0.5), atol=0.02)
    np.testing.assert_allclose(moments(normal), (1, 3), atol=0.05)
    np.testing.assert_allclose(mask.mean(), 0.2, atol=0.008)
    z = np.sort((normal.ravel() - 1) / 3)
    np.testing.assert_allclose(z[len(z) * 975 // 1000], 1.96, atol=0.04)  # a quantile, that of the normal distribution
    correlated = np.corrcoef([uniform.ravel(), normal.ravel(), of_state(graph, 1, 0 * uniform)["output_0"].ravel()])
    assert abs(correlated - np.eye(3)).max() < 0.02


def test_every_engine_draws_the_same_numbers_call_by_call() -> None:
    graph, x = frozen(), np.ones((5, 3), "float32")
    built = build(graph, name="noisy")
    engines = [Instant(graph), Compiled(built.library, built.weights)]
    for call in range(3):
        expected = of_state(graph, call, x)
        for engine in engines:
            found = engine.run(input=x)
            for name in ("output_0", "output_1", "output_2"):
                np.testing.assert_allclose(found[name], expected[name], rtol=2e-6, atol=2e-6)
    instant = engines[0]
    instant.state = {"draws": np.array([1])}
    np.testing.assert_array_equal(instant.run(input=x)["output_2"], of_state(graph, 1, x)["output_2"])


def test_eager_draws_stay_those_of_numpy() -> None:
    np.random.seed(5)
    expected = np.random.rand(2, 3).astype("float32") * 2 + 2
    np.random.seed(5)
    np.testing.assert_allclose(Noisy()(Tensor(np.zeros((2, 3))))[0].numpy(), expected, rtol=1e-6)
    assert not freeze(nn.Dropout(0.5), Type(("batch", 3))).state  # in eval mode it draws nothing


def test_a_name_that_is_taken_gets_a_number() -> None:
    graph = freeze(lambda x: x + init.rand(*x.shape), Type((2,)), batch=None, input_names=["draws"])
    assert graph.state == (("draws_1", "draws_1_after"),)


def of_onnx(nodes: list[Any], **kinds: int) -> Graph:
    outputs = [value(name, [None, None], kind) for name, kind in kinds.items()]
    return exchange.loads(model(nodes, [value("x", ["batch", 100])], outputs))


def test_the_operators_of_onnx_draw() -> None:
    nodes = [
        node("RandomUniform", [], ["u"], shape=[200, 100], low=-1.0, high=3.0),
        node("RandomNormalLike", ["x"], ["n"], mean=2.0, scale=0.5), node("Bernoulli", ["x"], ["b"], dtype=7),
        node("Multinomial", ["logits"], ["m"], sample_size=2000), node("Log", ["x"], ["logits"]),
        node("Dropout", ["x", "ratio", "training"], ["d", "mask"]),
    ]  # fmt: skip
    outputs = [value(n, [None, None], k) for n, k in (("u", 1), ("n", 1), ("b", 7), ("m", 6), ("d", 1), ("mask", 9))]
    arrays = {"ratio": np.float32(0.25), "training": np.array(True)}
    nodes = [nodes[i] for i in (0, 1, 2, 4, 3, 5)]
    graph = exchange.loads(model(nodes, [value("x", ["batch", 100])], outputs, arrays))
    instant, x = Instant(graph, max_batch=200), np.tile(np.linspace(0.005, 0.995, 100, dtype="float32"), (200, 1))
    found, other = instant.run(x=x), instant.run(x=x)
    assert all((found[name] != other[name]).any() for name in ("u", "n", "b", "m", "d"))
    np.testing.assert_allclose(moments(found["u"]), (1, 4 / 12**0.5), atol=0.03)
    np.testing.assert_allclose(moments(found["n"]), (2, 0.5), atol=0.02)
    assert found["b"].dtype == np.int64 and abs(found["b"].mean(0) - x[0]).max() < 0.15
    drawn = np.bincount(found["m"].ravel(), minlength=100) / found["m"].size
    assert found["m"].shape == (200, 2000) and abs(drawn - x[0] / x[0].sum()).max() < 1e-3
    assert abs(found["mask"].mean() - 0.75) < 0.02
    np.testing.assert_allclose(found["d"], x * found["mask"] / 0.75, rtol=1e-5)


def test_a_seed_is_a_key() -> None:
    def drawn(*seeds: Any) -> list[np.ndarray]:
        given = [{} if seed is None else {"seed": seed} for seed in seeds]
        nodes = [node("RandomNormalLike", ["x"], [f"y{i}"], **more) for i, more in enumerate(given)]
        graph = of_onnx(nodes, **{f"y{i}": 1 for i in range(len(seeds))})
        return list(Instant(graph).run(x=np.zeros((3, 100), "float32")).values())

    a, b, c, d = drawn(1.0, 1.0, 2.0, None)
    assert np.array_equal(a, b) and not np.isin(a, [c, d]).any()
    assert np.array_equal(drawn(None, 2.0)[1], c)  # whatever else the model draws


def test_what_draws_is_no_module_and_no_model_of_onnx() -> None:
    with pytest.raises(GraphError, match="carries state from call to call"):
        GraphModule(frozen())
    with pytest.raises(OnnxError, match="each runtime draws random numbers in its own way"):
        exchange.dumps(frozen())


def test_commands_take_a_graph_that_keeps_a_state(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    frozen().save(tmp_path / "noisy.nd")
    assert main(["verify", str(tmp_path / "noisy.nd")]) == 0
    assert main(["bench", str(tmp_path / "noisy.nd"), "--batch", "3", "--seconds", "0.05", "--by-op"]) == 0
    assert "equal: " in (said := capsys.readouterr().out) and "random" in said

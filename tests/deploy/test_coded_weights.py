"""Weights in fewer bits: what codes mean, products with the bits of decoded weights, language models."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import zoo
from deploy import Compiled, DeployError, Graph, Instant, build, freeze, interpreter
from deploy.coded_weights import FORMATS, DecodedWeight
from deploy.interpreter import values_of
from deploy.lower import lower
from deploy.nd import dumps, loads
from deploy.passes import optimize
from deploy.quantize import code_weights, halve_exact
from deploy.quantize.perplexity import perplexity
from deploy.quantize.weights import encode
from needle import nn, ops
from needle.errors import DTypeError, ShapeError
from needle.types import Type

draw = np.random.default_rng(2)
STEPS = {"int8": 127, "int4": 7}


def normal(*shape: int) -> np.ndarray:
    return draw.standard_normal(shape).astype("float32")


@pytest.mark.parametrize("format", FORMATS)
@pytest.mark.parametrize("group", [2, 32, 64])
def test_decoded_weights_are_within_half_a_step(format: str, group: int) -> None:
    w = normal(70, 21)
    w[:, 3] = 0
    decoded = DecodedWeight(format, group).compute(*encode(w, format, group).values())
    if format == "bf16":
        np.testing.assert_allclose(decoded, w, rtol=2**-8)
        assert not (decoded.view("uint32") & 0xFFFF).any()
        return
    if format == "fp16":
        assert np.array_equal(decoded, w.astype("float16"))
        return
    most = np.stack([np.abs(w[i : i + group]).max(axis=0) for i in range(0, 70, group)])[np.arange(70) // group]
    assert (np.abs(decoded - w) <= most / STEPS[format] / 2 * 1.001).all()


def test_bfloat16_rounds_to_the_nearest_half_to_even() -> None:
    w = np.array([[1 + 2**-8], [1 + 3 * 2**-8], [1 + 2**-8 + 2**-20], [-(1 + 2**-9)]], "float32")
    decoded = DecodedWeight("bf16").compute(encode(w, "bf16")[""])
    assert decoded.ravel().tolist() == [1.0, 1 + 4 * 2**-8, 1 + 2 * 2**-8, -1.0]


def net() -> Graph:
    np.random.seed(3)
    model = nn.Sequential(nn.Linear(70, 130), nn.ReLU(), nn.Linear(130, 19))
    return freeze(model, Type(("batch", 70)))


@pytest.mark.parametrize("format", FORMATS)
def test_products_have_the_bits_of_those_with_decoded_weights(format: str) -> None:
    """At every batch, decoded in registers or beforehand, on any number of threads."""
    coded = code_weights(net(), format)
    calls = [call.kernel for call in lower(optimize(coded)).calls]
    assert calls == ["coded_linear"] * 2
    weights = [x for x in coded.order() if isinstance(x.op, DecodedWeight)]
    arrays = net().weights()
    products = (name for name, array in arrays.items() if array.ndim == 2 and len(array) > 1)
    plain = net().with_weights(arrays | dict(zip(products, values_of(weights), strict=True)))
    x = normal(40, 70)
    with Instant(coded) as found, Instant(plain) as expected, Instant(coded, threads=2) as shared:
        for batch in (1, 2, 7, 8, 9, 15, 16, 33, 40):
            assert np.array_equal(found(x[:batch]), expected(x[:batch]))
        assert np.array_equal(shared(x), expected(x)) and np.array_equal(shared(x[:1]), expected(x[:1]))
    values = [interpreter.run(graph, {"input": x})["output"] for graph in (coded, loads(dumps(coded)))]
    assert np.array_equal(*values)


@pytest.fixture(scope="module")
def gpt() -> Any:
    np.random.seed(5)
    model: Any = zoo.load("gpt-char", **zoo.entry("gpt-char").tiny.model)
    model.eval()
    return model


def decoding(model: Any) -> Graph:
    step, example, options = model.decoding(slots=3)
    return freeze(step, example, **options)


def test_perplexity_of_a_decoding_graph_is_that_of_the_model(gpt: Any) -> None:
    ids = draw.integers(0, 65, 16 * 9 + 1)
    graph = decoding(gpt)
    rows = ids[np.arange(9)[:, None] * 16 + np.arange(17)]
    logits = gpt(_tensor(rows[:, :-1])).numpy().astype(float)
    logs = logits - np.log(np.exp(logits).sum(-1, keepdims=True))
    expected = np.exp(-np.take_along_axis(logs, rows[:, 1:, None], -1).mean())
    assert perplexity(graph, ids) == pytest.approx(expected, rel=1e-5)
    whole = freeze(gpt, Type(("batch", 16), "int32"))
    assert perplexity(whole, ids) == pytest.approx(expected, rel=1e-5)


def _tensor(ids: np.ndarray) -> Any:
    from needle import Tensor

    return Tensor(ids.astype("float32"), requires_grad=False)


@pytest.mark.parametrize(("format", "most"), [("fp16", 0.002), ("bf16", 0.01), ("int8", 0.01), ("int4", 0.1)])
def test_a_language_model_decodes_with_codes(gpt: Any, format: str, most: float) -> None:
    graph, ids = decoding(gpt), draw.integers(0, 65, 400)
    coded = code_weights(graph, format)
    assert coded.state == graph.state
    assert perplexity(coded, ids) == pytest.approx(perplexity(graph, ids), rel=most)


@pytest.mark.thorough
def test_the_compiled_program_has_the_same_bits(gpt: Any) -> None:
    for format in FORMATS:
        coded = code_weights(net(), format)
        built, x = build(coded, name="codes"), normal(20, 70)
        with Compiled(built.library, built.weights) as compiled, Instant(coded) as instant:
            assert np.array_equal(compiled(x), instant(x)) and np.array_equal(compiled(x[:3]), instant(x[:3]))


def test_an_odd_depth_stays_where_int4_needs_pairs() -> None:
    graph = freeze(nn.Sequential(nn.Linear(7, 6), nn.Linear(6, 4)), Type(("batch", 7)))
    assert [call.kernel for call in lower(optimize(code_weights(graph, "int4"))).calls] == ["linear", "coded_linear"]


def test_every_finite_float16_is_decoded() -> None:
    numbers = np.arange(1 << 16, dtype="uint16").view("float16").astype("float32")
    w = np.where(np.isfinite(numbers), numbers, 0).reshape(256, 256)
    graph = freeze(lambda x: ops.matmul(x, _tensor(w)), Type(("batch", 256)))
    with Instant(code_weights(graph, "fp16")) as coded:
        assert [call.kernel for call in coded.program.calls] == ["coded_linear"]
        assert np.array_equal(coded(np.eye(256, dtype="float32")), w)
        assert np.array_equal(coded(np.eye(256, dtype="float32")[7:8])[0], w[7])


def test_functions_of_one_weight_have_codes_of_their_own() -> None:
    w = _tensor(np.round(normal(8, 8)))
    sides = (
        lambda x: ops.matmul(ops.matmul(x, w), ops.transpose(w)),
        lambda x: ops.matmul(x, w[:, :4]) + ops.matmul(x, w[:, 4:]),
    )
    for side in sides:
        graph = freeze(side, Type(("batch", 8)))
        halved = loads(dumps(halve_exact(graph)))
        assert sum(isinstance(x.op, DecodedWeight) for x in halved.order()) == 2
        with Instant(graph) as plain, Instant(halved) as small:
            assert np.array_equal(plain(w.numpy()), small(w.numpy()))


def test_weights_beyond_float16_stay() -> None:
    graph = net()
    wide = graph.with_weights({name: array * 1e6 for name, array in graph.weights().items()})
    assert [call.kernel for call in lower(optimize(code_weights(wide, "fp16"))).calls] == ["linear", "linear"]


def test_only_weights_that_are_float16_are_halved_without_loss(gpt: Any) -> None:
    graph = decoding(gpt)
    assert not [x for x in halve_exact(graph).order() if isinstance(x.op, DecodedWeight)]
    rounded = graph.with_weights({k: v.astype("float16").astype("float32") for k, v in graph.weights().items()})
    halved = halve_exact(rounded)
    assert sum(isinstance(x.op, DecodedWeight) for x in halved.order()) > 4
    given = {"ids": np.array([[1, 2, 3]], "int32"), "slot": np.zeros(1, "int32"), "position": np.zeros(1, "int32")}
    with Instant(rounded) as plain, Instant(halved) as small:
        assert np.array_equal(plain.run(**given)["logits"], small.run(**given)["logits"])
        assert small.program.block_floats < 0.7 * plain.program.block_floats


def test_graphs_without_products_are_refused() -> None:
    with pytest.raises(DeployError, match=r"\[quantize\] the graph has no product with weights"):
        code_weights(freeze(ops.relu, Type(("batch", 3))), "int8")


@pytest.mark.parametrize(
    ("op", "types", "error", "says"),
    [
        (DecodedWeight("int2"), [Type((2, 3), "int8")], ShapeError, "needs a format of int8, int4, bf16, fp16, got"),
        (DecodedWeight("int8", 2), [Type((2, 3), "uint8"), Type((1, 3))], DTypeError, "int8 needs"),
        (DecodedWeight("int8", 2), [Type((5, 3), "int8"), Type((2, 3))], ShapeError, "groups of 2 need 3 x 3 scales"),
        (DecodedWeight("int4", 3), [Type((3, 3), "uint8"), Type((2, 3))], ShapeError, "need an even size, got 3"),
        (DecodedWeight("bf16"), [Type((3, 3), "uint8")], ShapeError, "bf16 needs codes of 3 axes"),
    ],
)
def test_codes_without_a_meaning_are_refused(op: Any, types: list[Type], error: type, says: str) -> None:
    with pytest.raises(error, match=says):
        op.infer(*types)

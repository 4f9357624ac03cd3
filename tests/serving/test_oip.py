"""The Open Inference Protocol: what is answered, what is refused, and how."""

import gzip
import io
import json
import re
import struct
import zlib

import numpy as np
import pytest
from fakes import LABELS, fake, logits
from PIL import Image

from serving.engine.codec import classify

LENGTH = "Inference-Header-Content-Length"
INFER = "/v2/models/resnet9/infer"
RNG = np.random.default_rng(0)
IMAGE = RNG.standard_normal((1, 3, 32, 32)).astype(np.float32)


def tensor(**changes) -> dict:
    return {"name": "image", "shape": [1, 3, 32, 32], "datatype": "FP32", "data": IMAGE.ravel().tolist()} | changes


def body(*inputs: dict, **fields) -> bytes:
    return json.dumps({"inputs": list(inputs) or [tensor()]} | fields).encode()


def binary(images: np.ndarray, size: int | None = None, blob: bytes | None = None, **fields) -> tuple[bytes, dict]:
    """A request with one binary tensor: its body and headers."""
    blob = images.astype("<f4").tobytes() if blob is None else blob
    one = {"name": "image", "shape": list(images.shape), "datatype": "FP32"}
    one["parameters"] = {"binary_data_size": len(blob) if size is None else size}
    head = json.dumps({"inputs": [one]} | fields).encode()
    return head + blob, {LENGTH: str(len(head))}


def test_health_and_metadata(client):
    assert client.get("/v2/health/live").json == {"live": True}
    ready = client.get("/v2/health/ready")
    assert (ready.status_code, ready.json) == (200, {"ready": True, "live": True})
    assert client.get("/v2").json["name"] == "needle-serve"
    assert "binary_tensor_data" in client.get("/v2").json["extensions"]
    assert client.get("/v2/models").json == {"models": ["resnet9", "other"]}
    for path in ("/v2/models/resnet9", "/v2/models/resnet9/versions/1", "/v2/models/resnet9/"):
        assert client.get(path).json == {
            "name": "resnet9",
            "versions": ["1"],
            "platform": "needle_nd",
            "inputs": [{"name": "image", "datatype": "FP32", "shape": [-1, 3, 32, 32]}],
            "outputs": [{"name": "logits", "datatype": "FP32", "shape": [-1, 10]}],
        }
    assert client.get("/v2/models/resnet9/ready").json == {"name": "resnet9", "ready": True}
    config = client.get("/v2/models/resnet9/config").json
    assert config["input"] == [{"name": "image", "data_type": "TYPE_FP32", "dims": [3, 32, 32]}]
    assert config["max_batch_size"] == 32


def test_json_in_json_out_without_content_type(client):
    expected = logits(IMAGE).ravel().tolist()
    for data in (IMAGE.ravel().tolist(), IMAGE.tolist()):  # flat, and nested like the shape
        answer = client.post(INFER, data=body(tensor(data=data), id="42"))
        assert answer.status_code == 200 and answer.mimetype == "application/json" and LENGTH not in answer.headers
        assert (answer.json["model_name"], answer.json["model_version"], answer.json["id"]) == ("resnet9", "1", "42")
        (output,) = answer.json["outputs"]
        assert (output["name"], output["shape"], output["datatype"]) == ("logits", [1, 10], "FP32")
        np.testing.assert_array_equal(np.float32(output["data"]), np.float32(expected))


def test_binary_in_binary_out(client):
    images = RNG.standard_normal((5, 3, 32, 32)).astype(np.float32)
    content, headers = binary(images, parameters={"binary_data_output": True})
    answer = client.post(INFER, data=content, headers=headers)
    assert answer.status_code == 200 and answer.mimetype == "application/octet-stream"
    size = int(answer.headers[LENGTH])
    (output,) = json.loads(answer.data[:size])["outputs"]
    assert output == {"name": "logits", "datatype": "FP32", "shape": [5, 10], "parameters": {"binary_data_size": 200}}
    np.testing.assert_array_equal(np.frombuffer(answer.data[size:], "<f4").reshape(5, 10), logits(images))


def test_an_outputs_own_binary_data_wins(client):
    wanted = [{"name": "logits", "parameters": {"binary_data": False}}]
    content, headers = binary(IMAGE, parameters={"binary_data_output": True}, outputs=wanted)
    answer = client.post(INFER, data=content, headers=headers)
    assert LENGTH not in answer.headers and len(answer.json["outputs"][0]["data"]) == 10


def test_a_raw_body_is_the_only_tensor(client):
    answer = client.post(INFER, data=IMAGE.tobytes(), headers={LENGTH: "0"})
    size = int(answer.headers[LENGTH])
    np.testing.assert_array_equal(np.frombuffer(answer.data[size:], "<f4"), logits(IMAGE)[0])
    assert client.post(INFER, data=IMAGE.tobytes()[:-1], headers={LENGTH: "0"}).status_code == 400


def test_classification_sorts_whole_numbers_and_truths():
    for dtype, row, best in (
        ("uint8", [0, 3, 200, 3], [2, 1, 3]), ("int8", [-128, 1, 0, 1], [1, 3, 2]), ("bool", [0, 1, 0, 1], [1, 3, 0]),
        ("int64", [2**53 + 1, 2**53, -(2**63), 0], [0, 1, 3]), ("float32", [1, 2, 2, 0], [1, 2, 0]),
    ):  # fmt: skip
        found = classify(np.array([row], dtype), 3, ())
        assert [int(text.decode().split(":")[1]) for text in found[0]] == best, dtype


def test_classification(client):
    wanted = [{"name": "logits", "parameters": {"classification": 3}}]
    (output,) = client.post(INFER, data=body(outputs=wanted)).json["outputs"]
    scores = logits(IMAGE)[0]
    best = np.argsort(-scores)[:3]
    assert (output["datatype"], output["shape"]) == ("BYTES", [1, 3])
    assert output["data"] == [f"{scores[i]:f}:{i}:{LABELS[i]}" for i in best]
    wanted[0]["parameters"]["binary_data"] = True
    answer = client.post(INFER, data=body(outputs=wanted))
    blob = answer.data[int(answer.headers[LENGTH]) :]
    (size,) = struct.unpack_from("<I", blob)
    assert blob[4 : 4 + size].decode() == output["data"][0]


@pytest.mark.parametrize("encoding, pack", [("gzip", gzip.compress), ("deflate", zlib.compress)])
def test_compressed_both_ways(client, encoding, pack):
    images = RNG.standard_normal((32, 3, 32, 32)).astype(np.float32)
    content, headers = binary(images)
    plain = client.post(INFER, data=content, headers=headers)
    headers |= {"Content-Encoding": encoding, "Accept-Encoding": encoding}
    answer = client.post(INFER, data=pack(content), headers=headers)
    assert answer.headers["Content-Encoding"] == encoding
    assert zlib.decompress(answer.data, 47) == plain.data


def test_numbers_that_json_has_no_words_for_are_refused_or_sent_as_bytes(make_client):
    def run(batch):
        return {"logits": np.full((1, 10), [np.nan, np.inf] * 5, np.float32)}

    client = make_client(lambda name: fake(name, run=run, canary=None))
    answer = client.post(INFER, data=body())
    assert answer.status_code == 422 and "[logits] holds NaN or infinity" in answer.json["error"]
    content, headers = binary(IMAGE, parameters={"binary_data_output": True})
    answer = client.post(INFER, data=content, headers=headers)
    assert answer.status_code == 200
    assert np.isnan(np.frombuffer(answer.data[int(answer.headers[LENGTH]) :], "<f4")[::2]).all()
    stream = io.BytesIO()
    Image.new("RGB", (8, 8)).save(stream, "PNG")
    picture = client.post("/v2/models/resnet9/classify", data=stream.getvalue())
    assert picture.status_code == 500 and "not finite" in picture.json["error"]


def test_no_rows_are_answered_by_the_rule_of_the_shape(client):
    answer = client.post(INFER, data=body(tensor(shape=[0, 3, 32, 32], data=[])))
    expected = "[image] shape [-1, 3, 32, 32] takes 1 to 32 rows along its first axis, got 0"
    assert answer.status_code == 400 and answer.json["error"] == expected


REFUSED = {
    "not JSON": b"{",
    "NaN": body(tensor(data=[float("nan")] * 3072)),
    "not UTF-8": b'{"inputs": "\xff"}',
    "not an object": b"[1, 2]",
    "empty": b"",
    "nested without end": b'{"inputs":' + b"[" * 100_000,
    "no inputs": b"{}",
    "inputs not a list": b'{"inputs": {"name": "image"}}',
    "missing input": body(tensor(name="picture")),
    "input twice": body(tensor(), tensor()),
    "nameless input": body(tensor(name=None)),
    "one input too many": body(tensor(), tensor(name="mask")),
    "wrong datatype": body(tensor(datatype="FP64")),
    "unhashable datatype": body(tensor(datatype=["FP32"])),
    "rank": body(tensor(shape=[3, 32, 32])),
    "fixed size": body(tensor(shape=[1, 3, 32, 31], data=[0.0] * 2976)),
    "negative size": body(tensor(shape=[-1, 3, 32, 32])),
    "no rows": body(tensor(shape=[0, 3, 32, 32], data=[])),
    "too many rows": body(tensor(shape=[33, 3, 32, 32], data=[])),
    "overflowing size": body(tensor(shape=[2**62, 3, 32, 32], data=[])),
    "size beyond 64 bits": body(tensor(shape=[10**20, 3, 32, 32], data=[])),
    "size true": body(tensor(shape=[True, 3, 32, 32])),
    "size 1.0": body(tensor(shape=[1.0, 3, 32, 32])),
    "shape text": body(tensor(shape="1,3,32,32")),
    "data too short": body(tensor(data=[0.0] * 3071)),
    "data too long": body(tensor(data=[0.0] * 3073)),
    "data of text": body(tensor(data=["0"] * 3072)),
    "data with null": body(tensor(data=[None] * 3072)),
    "data with true": body(tensor(data=[True] * 3072)),
    "data too large": body(tensor(data=[1e300] * 3072)),
    "data ragged": body(tensor(data=[[0.0] * 3071, [0.0]])),
    "data nested otherwise": body(tensor(data=np.zeros((3, 32, 32, 1)).tolist())),
    "data not a list": body(tensor(data=7)),
    "no data": b'{"inputs":[{"name":"image","datatype":"FP32","shape":[1,3,32,32]}]}',
    "data and binary": body(tensor(parameters={"binary_data_size": 0})),
    "unknown output": body(outputs=[{"name": "probabilities"}]),
    "output twice": body(outputs=[{"name": "logits"}, {"name": "logits"}]),
    "outputs not a list": body(outputs="logits"),
    "classification text": body(outputs=[{"name": "logits", "parameters": {"classification": "3"}}]),
    "parameters a list": body(parameters=[1]),
    "id a number": body(id=3),
    "timeout negative": body(parameters={"timeout": -1}),
}


@pytest.mark.parametrize("case", REFUSED)
def test_malformed_requests_get_400_and_a_reason(client, case):
    answer = client.post(INFER, data=REFUSED[case])
    assert answer.status_code == 400 and list(answer.json) == ["error"] and answer.json["error"], case
    assert "Traceback" not in answer.text


@pytest.mark.parametrize("size", [12287, 12289, 0, -1, 2**70, "12288", 12288.0, True])
def test_binary_size_must_be_that_of_the_shape(client, size):
    content, headers = binary(IMAGE, size=size)
    assert client.post(INFER, data=content, headers=headers).status_code == 400


@pytest.mark.parametrize("change", [b"", b"\0" * 12287, b"\0" * 12289])
def test_a_blob_too_short_or_too_long_is_refused(client, change):
    content, headers = binary(IMAGE, size=12288, blob=change)
    assert client.post(INFER, data=content, headers=headers).status_code == 400


@pytest.mark.parametrize("length", ["-1", "x", "1e3", " ", "\u0662", "9" * 5000, "99999", "1.0", "+5"])
def test_header_length_must_be_digits_within_the_body(client, length):
    content, _ = binary(IMAGE)
    environ = {"HTTP_INFERENCE_HEADER_CONTENT_LENGTH": length}
    assert client.post(INFER, data=content, environ_overrides=environ).status_code == 400


def test_unknown_names_versions_paths_and_methods(client):
    for path in ("/v2/models/nope", "/v2/models/resnet9/versions/2", "/v2/models/nope/ready", "/v2/logging"):
        answer = client.get(path)
        assert answer.status_code == 404 and answer.mimetype == "application/json" and answer.json["error"], path
    assert client.post("/v2/models/nope/infer", data=body()).status_code == 404
    assert client.post("/v2/models/resnet9/versions/2/infer", data=body()).status_code == 404
    assert client.post("/v2/models/resnet9/versions/1/infer", data=body()).status_code == 200
    wrong = client.delete(INFER)
    assert wrong.status_code == 405 and "POST" in wrong.headers["Allow"] and wrong.json["error"]


def test_repository_unload_and_load(client):
    index = client.post("/v2/repository/index", data=b"").json
    assert {"name": "resnet9", "version": "1", "state": "READY", "reason": ""} in index
    unload = b'{"parameters":{"unload_dependents":false}}'
    assert client.post("/v2/repository/models/resnet9/unload", data=unload).json == {}
    assert client.get("/v2/models/resnet9/ready").status_code == 404
    assert client.post(INFER, data=body()).status_code == 404
    states = {e["name"]: e["state"] for e in client.post("/v2/repository/index").json}
    assert states == {"resnet9": "UNAVAILABLE", "other": "READY"}
    assert [e["name"] for e in client.post("/v2/repository/index", data=b'{"ready":true}').json] == ["other"]
    assert client.get("/v2/health/ready").status_code == 200  # what is not wanted cannot be missing
    assert client.post("/v2/repository/models/resnet9/load", data=b"{}").json == {}
    assert client.post(INFER, data=body()).status_code == 200
    assert client.post("/v2/repository/models/nope/load", data=b"{}").status_code == 404
    files = b'{"parameters":{"config":"{}","file:1/model.nd":"AAAA"}}'
    assert client.post("/v2/repository/models/resnet9/load", data=files).status_code == 400


def test_statistics_count_rows_runs_and_failures(client):
    images = RNG.standard_normal((4, 3, 32, 32)).astype(np.float32)
    content, headers = binary(images)
    for _ in range(3):
        client.post(INFER, data=content, headers=headers)
    client.post(INFER, data=b"{")
    (found,) = client.get("/v2/models/resnet9/stats").json["model_stats"]
    assert (found["inference_count"], found["execution_count"]) == (12, 3)
    assert found["inference_stats"]["success"]["count"] == 3 and found["inference_stats"]["fail"]["count"] == 1
    assert found["inference_stats"]["compute_infer"]["ns"] > 0 and found["last_inference"] > 0
    assert [batch["batch_size"] for batch in found["batch_stats"]] == [4]
    assert len(client.get("/v2/models/stats").json["model_stats"]) == 2
    text = client.get("/metrics").text
    assert 'needle_requests_total{model="resnet9",version="1",code="200"} 3' in text
    assert 'needle_requests_total{model="resnet9",version="1",code="400"} 1' in text
    assert 'nv_inference_count{model="resnet9",version="1"} 12' in text
    assert 'needle_request_duration_seconds_count{model="resnet9"} 4' in text


def test_every_answer_names_its_request(client):
    given = client.get("/v2", headers={"x-request-id": "abc-1"})
    assert given.headers["x-request-id"] == "abc-1"
    ids = {client.get(path).headers["x-request-id"] for path in ("/v2", "/nope", "/v2")}
    assert len(ids) == 3
    assert client.get("/v2", headers={"x-request-id": "a b<script>"}).headers["x-request-id"] != "a b<script>"


def test_a_wrong_canary_keeps_the_model_from_serving(make_client):
    right = fake()
    example, known = right.canary

    def load(name):
        return fake(name, canary=(example, {"logits": known["logits"] + 1}))

    client = make_client(load)
    assert client.get("/v2/health/live").status_code == 200
    assert client.get("/v2/health/ready").status_code == 503
    answer = client.post(INFER, data=body())
    assert answer.status_code == 503 and "canary" in answer.json["error"] and answer.headers["Retry-After"]


def test_a_defect_in_the_model_is_a_500_without_a_traceback(make_client, caplog):
    def run(batch):
        raise ZeroDivisionError("secret detail")

    client = make_client(lambda name: fake(name, run=run, canary=None))
    answer = client.post(INFER, data=body())
    assert answer.status_code == 500 and "secret" not in answer.text and "Traceback" not in answer.text
    assert "secret detail" in caplog.text


def test_the_app_works_below_a_prefix(client):
    assert client.get("/v2", environ_overrides={"SCRIPT_NAME": "/ml"}).status_code == 200


def test_openapi_describes_every_route(client):
    document = client.get("/openapi.json").json
    assert document["openapi"] == "3.1.0"
    operations = [op for path in document["paths"].values() for op in path.values()]
    names = [op["operationId"] for op in operations]
    assert len(set(names)) == len(names)
    rules = {re.sub(r"<(\w+:)?(\w+)>", r"{\2}", rule.rule) for rule in client.application.url_map.iter_rules()}
    assert rules == set(document["paths"])


def test_damaged_requests_never_become_a_500(client):
    generator = np.random.default_rng(4)
    content, headers = binary(IMAGE, parameters={"binary_data_output": True}, outputs=[{"name": "logits"}])
    head = int(headers[LENGTH])
    seen = set()
    for _ in range(400):
        damaged = bytearray(content)
        for at in generator.integers(0, head, generator.integers(1, 4)):
            damaged[at] = generator.choice(list(b'{}[]",:0123456789-tfn\\\x00\xff'))
        seen.add(client.post(INFER, data=bytes(damaged), headers=headers).status_code)
    assert seen <= {200, 400} and 400 in seen

"""The real client of Triton against a live server, unmodified."""

import time
import warnings

import numpy as np
import pytest
from fakes import LABELS, logits

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    client_module = pytest.importorskip("tritonclient.http")
from tritonclient.utils import InferenceServerException

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")
IMAGES = np.random.default_rng(0).standard_normal((4, 3, 32, 32)).astype(np.float32)


@pytest.fixture
def client(live):
    with client_module.InferenceServerClient(live.address, concurrency=8) as client:
        yield client


def given(images: np.ndarray, binary: bool = True, **changes) -> list:
    tensor = client_module.InferInput("image", images.shape, "FP32")
    tensor.set_data_from_numpy(images, binary_data=binary)
    return [tensor]


def test_health_metadata_and_config(client):
    assert client.is_server_live() and client.is_server_ready() and client.is_model_ready("resnet9")
    assert client.is_model_ready("resnet9", "1") and not client.is_model_ready("nope")
    assert client.get_server_metadata()["name"] == "needle-serve"
    assert client.get_model_metadata("resnet9")["inputs"][0]["shape"] == [-1, 3, 32, 32]
    assert client.get_model_config("resnet9")["max_batch_size"] == 32


@pytest.mark.parametrize("binary_in", [True, False])
@pytest.mark.parametrize("binary_out", [True, False, None])
def test_infer(client, binary_in, binary_out):
    outputs = None if binary_out is None else [client_module.InferRequestedOutput("logits", binary_data=binary_out)]
    found = client.infer("resnet9", given(IMAGES, binary_in), outputs=outputs, request_id="7")
    np.testing.assert_array_equal(found.as_numpy("logits"), logits(IMAGES))
    assert found.get_response()["id"] == "7"


@pytest.mark.parametrize("algorithm", ["gzip", "deflate"])
def test_compression(client, algorithm):
    images = np.concatenate([IMAGES] * 8)
    found = client.infer(
        "resnet9", given(images), request_compression_algorithm=algorithm, response_compression_algorithm=algorithm
    )
    np.testing.assert_array_equal(found.as_numpy("logits"), logits(images))


@pytest.mark.parametrize("binary", [True, False])
def test_classification(client, binary):
    wanted = [client_module.InferRequestedOutput("logits", class_count=3, binary_data=binary)]
    found = client.infer("resnet9", given(IMAGES), outputs=wanted).as_numpy("logits")
    assert found.shape == (4, 3)
    best = [text.decode() if isinstance(text, bytes) else text for text in found[:, 0]]
    assert [text.split(":")[2] for text in best] == [LABELS[i] for i in logits(IMAGES).argmax(1)]


def test_many_at_once_each_get_their_own(client):
    images = np.random.default_rng(1).standard_normal((64, 1, 3, 32, 32)).astype(np.float32)
    waiting = [client.async_infer("resnet9", given(image)) for image in images]
    for image, one in zip(images, waiting, strict=True):
        np.testing.assert_array_equal(one.get_result().as_numpy("logits"), logits(image))


def test_refusals_arrive_as_the_clients_exception(client):
    with pytest.raises(InferenceServerException, match="no model 'nope'"):
        client.infer("nope", given(IMAGES))
    with pytest.raises(InferenceServerException, match="no version"):
        client.infer("resnet9", given(IMAGES), model_version="9")
    with pytest.raises(InferenceServerException, match=r"\[image\] shape must be"):
        client.infer("resnet9", given(IMAGES[:, :2]))


def test_repository_and_statistics(client):
    client.unload_model("other")
    assert {m["name"]: m["state"] for m in client.get_model_repository_index()}["other"] == "UNAVAILABLE"
    assert not client.is_model_ready("other") and client.is_model_ready("resnet9")
    client.load_model("other")
    assert client.is_model_ready("other")
    (before,) = client.get_inference_statistics("other")["model_stats"]  # of whoever else has asked this server
    client.infer("other", given(IMAGES))
    (found,) = client.get_inference_statistics("other")["model_stats"]
    assert found["inference_count"] - before["inference_count"] == 4
    assert found["inference_stats"]["success"]["count"] - before["inference_stats"]["success"]["count"] == 1


def test_several_workers_answer_as_one(start):
    both = 'needle_model_loaded{model="resnet9"} 2'
    with start("--workers", "2") as server:
        deadline = time.monotonic() + 60  # ready means one worker is; the other may still be starting
        while both not in server.get("/metrics") and time.monotonic() < deadline:
            time.sleep(0.05)
        for _ in range(20):  # a new connection each time, or one worker would answer all
            with client_module.InferenceServerClient(server.address) as client:
                client.infer("resnet9", given(IMAGES))
        for _ in range(8):
            text = server.get("/metrics")
            assert 'needle_requests_total{model="resnet9",version="1",code="200"} 20' in text
            assert both in text
        with client_module.InferenceServerClient(server.address) as client:
            client.unload_model("resnet9")
        for _ in range(8):
            with client_module.InferenceServerClient(server.address) as client:
                assert not client.is_model_ready("resnet9") and client.is_server_ready()
        with client_module.InferenceServerClient(server.address) as client:
            client.load_model("resnet9")
        for _ in range(8):
            with client_module.InferenceServerClient(server.address) as client:
                assert client.is_server_ready() and client.is_model_ready("resnet9")

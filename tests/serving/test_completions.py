"""Text over HTTP in the formats of the OpenAI API: what is answered, what is refused, and in which order."""

import base64
import io
import json
import time

import numpy as np
import pytest
import texts
from PIL import Image

import zoo
from deploy.sources import frozen
from needle.weights import read_safetensors, save_safetensors
from serving.app import create_app
from serving.engine import load
from serving.engine.keys import Keys
from serving.engine.noise import slerp
from serving.engine.sources import sources
from serving.engine.text.task import Asked
from serving.routes.table import CLIENT_LEFT

COMPLETIONS, CHAT = "/v1/completions", "/v1/chat/completions"


@pytest.fixture
def client(make_service):
    return create_app(make_service(texts.load, ["gpt-char", "lstm-char"])).test_client()


def asked(**fields):
    return {"model": "gpt-char", "prompt": "O Rome", "max_tokens": 8, "seed": 1} | fields


def events(answer) -> list:
    """The data of each event of a stream."""
    assert answer.mimetype == "text/event-stream" and answer.headers["Cache-Control"] == "no-cache"
    parts = answer.get_data(as_text=True).split("\n\n")
    assert parts.pop() == "" and all(part.startswith("data: ") for part in parts)
    return [part[6:] if part == "data: [DONE]" else json.loads(part[6:]) for part in parts]


def test_a_completion(client):
    found = client.post(COMPLETIONS, json=asked()).json
    (choice,) = found["choices"]
    assert (found["object"], found["model"]) == ("text_completion", "gpt-char") and found["id"].startswith("cmpl-")
    assert choice | {"text": ""} == {"index": 0, "text": "", "logprobs": None, "finish_reason": "length"}
    assert found["usage"] == {"prompt_tokens": 6, "completion_tokens": 8, "total_tokens": 14}
    assert found["system_fingerprint"].startswith("fp_") and len(choice["text"]) == 8
    ids = texts.model("gpt-char").tokenizer.encode("O Rome")
    assert client.post(COMPLETIONS, json=asked(prompt=ids)).json["choices"] == [choice]


def test_several_prompts_and_choices_come_in_order(client):
    single = [client.post(COMPLETIONS, json=asked(prompt=p)).json["choices"][0]["text"] for p in ("O Rome", "all")]
    found = client.post(COMPLETIONS, json=asked(prompt=["O Rome", "all"], n=2)).json
    assert [choice["index"] for choice in found["choices"]] == [0, 1, 2, 3]
    assert [choice["text"] for choice in found["choices"][::2]] == single
    assert found["usage"] == {"prompt_tokens": 9, "completion_tokens": 32, "total_tokens": 41}


def test_the_best_are_those_with_the_highest_mean_logprob(client):
    every = client.post(COMPLETIONS, json=asked(n=4, logprobs=0)).json["choices"]
    best = sorted(every, key=lambda choice: -np.mean(choice["logprobs"]["token_logprobs"]))
    found = client.post(COMPLETIONS, json=asked(n=2, best_of=4)).json
    assert [choice["text"] for choice in found["choices"]] == [choice["text"] for choice in best[:2]]
    assert found["usage"]["completion_tokens"] == 32 and found["choices"][0]["logprobs"] is None


def test_scoring(client):
    found = client.post(COMPLETIONS, json=asked(max_tokens=0, echo=True, logprobs=2)).json["choices"][0]
    scores = found["logprobs"]
    assert found["text"] == "O Rome" and found["finish_reason"] == "length"
    assert scores["tokens"] == list("O Rome") and scores["text_offset"] == [0, 1, 2, 3, 4, 5]
    assert scores["token_logprobs"][0] is None and scores["top_logprobs"][0] is None
    assert all(score < 0 for score in scores["token_logprobs"][1:])
    assert all(len(best) == 2 for best in scores["top_logprobs"][1:])


def test_a_stop_takes_its_tokens_along(client):
    text = client.post(COMPLETIONS, json=asked(max_tokens=20)).json["choices"][0]["text"]
    found = client.post(COMPLETIONS, json=asked(max_tokens=20, stop=[text[5:8]], logprobs=1)).json["choices"][0]
    assert found["finish_reason"] == "stop" and "".join(found["logprobs"]["tokens"]) == found["text"] == text[:5]
    assert found["logprobs"]["text_offset"] == [6, 7, 8, 9, 10]


@pytest.mark.parametrize("usage", [True, False])
def test_a_stream_ends_as_the_protocol_says(client, usage):
    whole = client.post(COMPLETIONS, json=asked(n=2, logprobs=1, echo=True)).json
    options = {"stream_options": {"include_usage": True}} if usage else {}
    *parts, done = events(client.post(COMPLETIONS, json=asked(n=2, logprobs=1, echo=True, stream=True, **options)))
    assert done == "[DONE]" and len({part["id"] for part in parts}) == 1
    if usage:
        last = parts.pop()
        assert last["choices"] == [] and last["usage"] == whole["usage"]
        assert all(part["usage"] is None for part in parts)
    for index, choice in enumerate(whole["choices"]):
        own = [part["choices"][0] for part in parts if part["choices"][0]["index"] == index]
        assert "".join(part["text"] for part in own) == choice["text"]
        assert [part["finish_reason"] for part in own] == [None] * (len(own) - 1) + ["length"]
        for key, expected in choice["logprobs"].items():
            assert [x for part in own for x in part["logprobs"][key]] == expected


def test_chat(client):
    conversation = [{"role": "system", "content": "be brief"}, {"role": "user", "content": "O Rome"}]
    body = {"model": "lstm-char", "messages": conversation, "max_completion_tokens": 6, "seed": 2}
    found = client.post(CHAT, json=body | {"logprobs": True, "top_logprobs": 1}).json
    (choice,) = found["choices"]
    assert found["object"] == "chat.completion" and choice["message"]["role"] == "assistant"
    prompt = "system: be brief\nuser: O Rome\nassistant:"
    plain = client.post(COMPLETIONS, json=asked(model="lstm-char", prompt=prompt, max_tokens=6, seed=2)).json
    assert choice["message"]["content"] == plain["choices"][0]["text"] and found["usage"] == plain["usage"]
    assert [one["token"] for one in choice["logprobs"]["content"]] == list(choice["message"]["content"])
    *parts, done = events(client.post(CHAT, json=body | {"stream": True}))
    assert done == "[DONE]" and {part["object"] for part in parts} == {"chat.completion.chunk"}
    assert parts[0]["choices"][0]["delta"] == {"role": "assistant", "content": ""}
    said = "".join(part["choices"][0]["delta"].get("content", "") for part in parts)
    assert said == choice["message"]["content"] and parts[-1]["choices"][0]["finish_reason"] == "length"
    in_parts = [{"role": "user", "content": [{"type": "text", "text": "O "}, {"type": "text", "text": "Rome"}]}]
    assert client.post(CHAT, json=body | {"messages": in_parts}).status_code == 200


def test_embeddings(client):
    found = client.post("/v1/embeddings", json={"model": "gpt-char", "input": ["O Rome", "all"]}).json
    vectors = np.array([one["embedding"] for one in found["data"]])
    assert vectors.shape == (2, 32) and found["usage"] == {"prompt_tokens": 9, "total_tokens": 9}
    same = client.post("/v1/embeddings", json={"model": "gpt-char", "input": "all", "encoding_format": "base64"}).json
    decoded = np.frombuffer(base64.b64decode(same["data"][0]["embedding"]), "<f4")
    np.testing.assert_allclose(decoded, vectors[1], atol=1e-7)


def test_models(client):
    found = client.get("/v1/models").json["data"]
    assert [one["id"] for one in found] == ["gpt-char", "lstm-char"] and {one["object"] for one in found} == {"model"}
    assert client.get("/v1/models/gpt-char").json["id"] == "gpt-char"
    missing = client.get("/v1/models/ft:x:y/z")
    assert missing.status_code == 404 and missing.json["error"]["code"] == "model_not_found"
    assert client.delete("/v1/models/gpt-char").status_code == 403
    client.post("/v2/repository/models/gpt-char/unload")
    assert [one["id"] for one in client.get("/v1/models").json["data"]] == ["lstm-char"]
    assert client.post(COMPLETIONS, json=asked()).status_code == 404


def test_text_as_tensors(client):
    tensor = {"name": "text_input", "datatype": "BYTES", "shape": [2], "data": ["O Rome", "all"]}
    body = {"parameters": {"max_tokens": 8, "seed": 1}, "inputs": [tensor]}
    (output,) = client.post("/v2/models/gpt-char/infer", json=body).json["outputs"]
    assert (output["name"], output["datatype"], output["shape"]) == ("text_output", "BYTES", [2])
    assert output["data"][0] == client.post(COMPLETIONS, json=asked()).json["choices"][0]["text"]
    refused = client.post("/v2/models/gpt-char/infer", json=body | {"parameters": {"max_tokens": "x"}})
    assert refused.status_code == 400 and "[max_tokens]" in refused.json["error"]
    wanted = [{"name": "text_output", "parameters": {"classification": 2}}]
    refused = client.post("/v2/models/gpt-char/infer", json=body | {"outputs": wanted})
    assert refused.status_code == 400 and "no scores" in refused.json["error"]
    picture = client.post("/v2/models/gpt-char/classify", data=b"\x89PNG\r\n\x1a\n")
    assert picture.status_code == 404 and "takes text, not image files" in picture.json["error"]


def metric(client, name):
    """The value of a counter, of all with a label, by the words of their labels."""
    return {line.split()[0]: float(line.split()[1]) for line in client.get("/metrics").text.splitlines()
            if line.startswith(name)}  # fmt: skip


def test_text_as_tensors_is_metered_and_ends_when_its_time_is_over(make_service, place):
    service = make_service(texts.load, ["gpt-char"], keys=Keys(place("keys.db")))
    _, secret = service.keys.create(["infer", "admin"])
    client = create_app(service).test_client()
    client.environ_base["HTTP_AUTHORIZATION"] = f"Bearer {secret}"
    tensor = {"name": "text_input", "datatype": "BYTES", "shape": [2], "data": ["O Rome", "all"]}
    body = {"parameters": {"max_tokens": 8}, "inputs": [tensor]}
    assert client.post("/v2/models/gpt-char/infer", json=body).status_code == 200
    (used,) = client.get("/v1/usage").json["data"]
    assert (used["prompt_tokens"], used["completion_tokens"], used["requests"]) == (9, 16, 1)
    assert list(metric(client, "needle_tokens_total").values()) == [9, 16]
    late = client.post("/v2/models/gpt-char/infer", json=body | {"parameters": {"max_tokens": 4096, "timeout": 1}})
    assert late.status_code == 503 and "timeout passed" in late.json["error"]
    deadline = time.monotonic() + 10
    while service.model("gpt-char").text.scheduler.busy:
        assert time.monotonic() < deadline  # it does not go on for nobody
        time.sleep(0.01)


def test_text_as_tensors_ends_when_its_client_has_left(make_service):
    service = make_service(texts.load, ["gpt-char"])
    tensor = {"name": "text_input", "datatype": "BYTES", "shape": [1], "data": ["O Rome"]}
    body = {"parameters": {"max_tokens": 4096}, "inputs": [tensor]}
    left = {CLIENT_LEFT: lambda: True}
    answer = create_app(service).test_client().post("/v2/models/gpt-char/infer", json=body, environ_overrides=left)
    assert answer.status_code == 499


def test_a_stream_is_one_request_until_its_end(client):
    answer = client.post(COMPLETIONS, json=asked(stream=True, max_tokens=64), buffered=False)
    parts = iter(answer.iter_encoded())
    next(parts)
    assert sum(metric(client, "needle_requests_in_flight").values()) == 1
    assert sum(metric(client, "needle_requests_total").values()) == 0
    for _ in parts:
        pass
    answer.close()
    assert sum(metric(client, "needle_requests_in_flight").values()) == 0
    assert sum(metric(client, "needle_requests_total").values()) == 1
    assert 'code="200"' in next(iter(metric(client, "needle_requests_total")))


def test_a_stream_that_is_given_up_or_fails_is_no_success(make_service, monkeypatch):
    service = make_service(texts.load, ["gpt-char"])
    client = create_app(service).test_client()
    given_up = client.post(COMPLETIONS, json=asked(stream=True, max_tokens=4096), buffered=False)
    next(iter(given_up.iter_encoded()))
    given_up.close()
    assert list(metric(client, "needle_requests_total")) == [
        'needle_requests_total{model="gpt-char",version="1",code="other"}'
    ]
    monkeypatch.setattr(service.model("gpt-char").text.scheduler, "_turn", lambda: 1 / 0)
    failed = client.post(COMPLETIONS, json=asked(stream=True))
    assert "error" in failed.get_data(as_text=True)
    failed.close()
    assert 'needle_requests_total{model="gpt-char",version="1",code="500"}' in metric(client, "needle_requests_total")


def test_characters_of_several_tokens_have_their_places_and_bytes(make_service):
    state = np.random.get_state()
    model = zoo.load("gpt-novels", **zoo.entry("gpt-novels").tiny.model | {"context": 64})  # its tokens are bytes
    np.random.set_state(state)
    model.eval()
    service = make_service(lambda source: texts.load_text(source, model, texts.decoding_graph(model)), ["gpt-novels"])
    client = create_app(service).test_client()
    prompt = "é😀 ab"
    found = client.post(
        COMPLETIONS, json=asked(model="gpt-novels", prompt=prompt, max_tokens=0, echo=True, logprobs=1)
    ).json["choices"][0]["logprobs"]  # fmt: skip
    assert len(found["tokens"]) == len(prompt.encode()) == len(found["text_offset"])
    assert found["text_offset"][-3:] == [2, 3, 4] and found["text_offset"] == sorted(found["text_offset"])
    body = {"model": "gpt-novels", "messages": [{"role": "user", "content": "é"}], "seed": 2, "max_tokens": 24}
    choice = client.post(CHAT, json=body | {"logprobs": True, "top_logprobs": 2, "temperature": 100}).json["choices"][0]
    content = choice["logprobs"]["content"]
    written = bytes(byte for token in content for byte in token["bytes"])
    assert written.decode(errors="replace") == choice["message"]["content"]
    assert any(token["token"] == "\ufffd" and len(token["bytes"]) == 1 for token in content)
    assert all(len(best["bytes"]) == 1 for token in content for best in token["top_logprobs"])


WRONG = [
    ({"prompt": ""}, "prompt"), ({"prompt": None}, "prompt"), ({"prompt": []}, "prompt"),
    ({"prompt": ["a", 1]}, "prompt"), ({"prompt": [[1], []]}, "prompt"), ({"prompt": [-1]}, "prompt"),
    ({"prompt": [2**70]}, "prompt"), ({"prompt": [True]}, "prompt"), ({"prompt": "é"}, "prompt"),
    ({"prompt": "a" * 17}, "prompt"), ({"max_tokens": -1}, "max_tokens"), ({"max_tokens": 1.5}, "max_tokens"),
    ({"max_tokens": 10**9}, "max_tokens"), ({"temperature": -1}, "temperature"), ({"top_p": 2}, "top_p"),
    ({"temperature": "hot"}, "temperature"), ({"n": 0}, "n"), ({"n": 65}, "n"), ({"n": True}, "n"),
    ({"n": 2, "best_of": 1}, "best_of"), ({"best_of": 2, "stream": True}, "best_of"), ({"stop": [""]}, "stop"),
    ({"stop": ["a"] * 17}, "stop"), ({"stop": 1}, "stop"), ({"logprobs": 21}, "logprobs"), ({"seed": "a"}, "seed"),
    ({"logit_bias": {"x": 1}}, "logit_bias"), ({"logit_bias": {"65": 1}}, "logit_bias"), ({"echo": 1}, "echo"),
    ({"logit_bias": {"1": 101}}, "logit_bias"), ({"presence_penalty": 3}, "presence_penalty"),
    ({"suffix": "end"}, "suffix"), ({"stream_options": 1}, "stream_options"), ({"model": None}, "model"),
    ({"prompt": ["a"] * 129}, "prompt"), ({"prompt": ["a"] * 100, "n": 2}, "n"),
]  # fmt: skip


def test_a_refusal_names_its_field(client):
    for change, param in WRONG:
        answer = client.post(COMPLETIONS, json=asked(**change))
        error = answer.json["error"]
        assert answer.status_code == 400 and sorted(error) == ["code", "message", "param", "type"]
        assert (error["param"], error["type"]) == (param, "invalid_request_error"), error


def test_errors_are_in_the_shape_of_their_path(client):
    for answer, status in (
        (client.post(COMPLETIONS, json=asked(model="nope")), 404), (client.get("/v1/nope"), 404),
        (client.get(COMPLETIONS), 405), (client.post(COMPLETIONS, data=b"{"), 400), (client.post(CHAT, json=[1]), 400),
        (client.post(CHAT, json={"model": "gpt-char", "messages": [{"role": "x", "content": ""}]}), 400),
        (client.post(CHAT, json={"model": "gpt-char", "messages": [{"role": "user", "content": [1]}]}), 400),
        (client.post("/v1/embeddings", json={"model": "gpt-char", "input": "a", "encoding_format": "x"}), 400),
    ):  # fmt: skip
        assert answer.status_code == status and set(answer.json["error"]) == {"message", "type", "param", "code"}
    assert isinstance(client.get("/v2/nope").json["error"], str)


def test_a_full_queue_tells_clients_when_to_come_again(make_service):
    service = make_service(texts.load, ["gpt-char"])
    engine = service.model("gpt-char").text
    engine.scheduler.limit = 0
    answer = create_app(service).test_client().post(COMPLETIONS, json=asked())
    assert answer.status_code == 429 and answer.json["error"]["type"] == "rate_limit_error"
    assert (answer.headers["Retry-After"], answer.headers["retry-after-ms"]) == ("1", "1000")
    assert answer.headers["x-should-retry"] == "true"


def test_pictures_from_noise(make_service):
    state = np.random.get_state()
    model = zoo.load("dcgan", **zoo.entry("dcgan").tiny.model)
    np.random.set_state(state)
    model.drawn = None  # it does not matter that it is untrained
    service = make_service(lambda source: load._load(source, frozen(model, "dcgan")), ["dcgan"])
    client = create_app(service).test_client()
    answer = client.post("/v2/models/dcgan/sample", json={"count": 3, "seed": 4})
    assert answer.mimetype == "image/png" and answer.data.startswith(b"\x89PNG")
    page = np.array(Image.open(io.BytesIO(answer.data)))
    model.eval()
    np.testing.assert_allclose(page[2:34, 2:34].astype(int), model.sample(3, seed=4)[0, ..., 0], atol=1)
    def pictures(**given):
        page = np.array(Image.open(io.BytesIO(client.post("/v2/models/dcgan/sample", json=given).data)))
        return [page[2 + 34 * (i // 8) :, 2 + 34 * (i % 8) :][:32, :32] for i in range(given.get("count", 2))]

    (alone,), (seven, four) = pictures(count=1, seed=4), pictures(seeds=[7, 4])
    assert (alone == four).all() and (seven != four).any()
    way = pictures(between=[7, 4], count=9)
    assert (way[0] == seven).all() and (way[8] == four).all() and len({x.tobytes() for x in way}) == 9
    wrong = [{"count": 0}, {"count": 33}, {"seed": -1}, {"count": "x"}, {"seeds": []}, {"seeds": [1, -1]}, {"seeds": 3}]
    wrong += [{"seeds": [1], "count": 1}, {"between": [1]}, {"between": [1, 2, 3]}, {"between": [1, 2], "seed": 1}]
    for given in (*wrong, {"seeds": [*range(33)]}, {"between": [1, 2], "count": 0}, {"sead": 1}):
        assert client.post("/v2/models/dcgan/sample", json=given).status_code == 400, given
    assert client.post("/v2/models/dcgan/classify", data=b"\x89PNG\r\n\x1a\n").status_code == 404


def test_a_way_between_noises_keeps_their_size():
    a, b = (np.random.default_rng(seed).standard_normal(100).astype(np.float32) for seed in (1, 2))
    sizes = [np.linalg.norm(slerp(a, b, t)) for t in np.linspace(0, 1, 5)]
    assert min(sizes) > 0.95 * min(np.linalg.norm(a), np.linalg.norm(b))
    np.testing.assert_array_equal(slerp(a, b, 0), a)
    np.testing.assert_array_equal(slerp(a, a, 0.3), a)  # no angle, and none for opposite ones or zeros
    np.testing.assert_allclose(slerp(a, -a, 0.5), 0 * a, atol=1e-6)
    assert (slerp(0 * a, b, 0.5) == b / 2).all()


def test_other_weights_are_a_new_version_and_what_runs_ends_on_its_own(make_service, tmp_path):
    texts.save("gpt-char", tmp_path / "x.safetensors")
    service = make_service(load.load, sources([str(tmp_path / "x.safetensors")]))
    client = create_app(service).test_client()
    before = client.post(COMPLETIONS, json=asked(model="x")).json
    engine = service.model("x").text
    running = engine.call([engine.encode("O Rome")], Asked(max_tokens=200, seed=3))
    other = texts.model("gpt-char").state_dict()
    _, facts = read_safetensors(tmp_path / "x.safetensors")
    save_safetensors(tmp_path / "x.safetensors", {name: array * 1.5 for name, array in other.items()}, facts)
    assert client.post("/v2/repository/models/x/load").status_code == 200
    after = client.post(COMPLETIONS, json=asked(model="x")).json
    assert after["system_fingerprint"] != before["system_fingerprint"]
    assert client.get("/v2/models/x").json["versions"] == ["2"] and service.model("x").text is not engine
    running.finish()
    assert running.tasks[0].completed == 200
    assert client.get("/v2/models/x/versions/1").status_code == 404
    assert client.post("/v2/repository/models/x/load").status_code == 200
    assert client.get("/v2/models/x").json["versions"] == ["2"]  # the same weights again

"""The JSON of requests and answers, as JSON Schema of 2020-12."""

from typing import Any

from serving.engine.text.asking import (
    LONGEST_STOP,
    MOST_BIASES,
    MOST_CHOICES,
    MOST_LOGPROBS,
    MOST_STOPS,
    MOST_TEXTS,
    MOST_TOKENS,
    SEEDS,
)  # fmt: skip

STRING = {"type": "string"}
NUMBER = {"type": "number"}
WHOLE = {"type": "integer"}
FLAG = {"type": "boolean"}


def _object(required: str = "", **properties: Any) -> dict[str, Any]:
    return {"type": "object", "properties": properties, "required": required.split()}


def _list(items: Any) -> dict[str, Any]:
    return {"type": "array", "items": items}


def ref(name: str) -> dict[str, Any]:
    return {"$ref": f"#/components/schemas/{name}"}


DATATYPE = {"type": "string", "examples": ["FP32"]}
SHAPE = _list({"type": "integer", "minimum": 0})
DATA = {"type": "array", "description": "row-major, flat or nested like the shape"}
TENSOR_SPEC = _object("name datatype shape", name=STRING, datatype=DATATYPE, shape=_list(WHOLE))
TENSOR = _object("name shape datatype", name=STRING, shape=SHAPE, datatype=DATATYPE, data=DATA, parameters=_object())
STATES = {"enum": ["UNKNOWN", "READY", "UNAVAILABLE", "LOADING", "UNLOADING"]}

LOGPROBS = {"type": ["object", "null"]}
REASON = {"enum": ["stop", "length", None]}
USAGE = _object(
    "prompt_tokens total_tokens", prompt_tokens=WHOLE, completion_tokens=WHOLE, total_tokens=WHOLE
)  # fmt: skip
SOME = {"type": "string", "minLength": 1}
IDS = {**_list({"type": "integer", "minimum": 0}), "minItems": 1}
SEVERAL = {"minItems": 1, "maxItems": MOST_TEXTS}
PROMPT = {"anyOf": [SOME, {**_list(SOME), **SEVERAL}, IDS, {**_list(IDS), **SEVERAL}], "examples": ["O Romeo"]}
STOP = {**SOME, "maxLength": LONGEST_STOP}
SEED = {"type": "integer", "minimum": 0, "maximum": SEEDS - 1}
COUNT = {"type": "integer", "minimum": 1, "maximum": 32}
MODEL = {**STRING, "examples": ["gpt-char"]}
SAMPLING = {
    "temperature": {"type": ["number", "null"], "minimum": 0, "maximum": 100},
    "top_p": {"type": ["number", "null"], "minimum": 0, "maximum": 1},
    "n": {"type": ["integer", "null"], "minimum": 1, "maximum": MOST_CHOICES},
    "max_tokens": {"type": ["integer", "null"], "minimum": 0, "maximum": MOST_TOKENS},
    "seed": {"type": ["integer", "null"], "minimum": -SEEDS, "maximum": SEEDS - 1},
    "stop": {"anyOf": [STOP, {**_list(STOP), "maxItems": MOST_STOPS}, {"type": "null"}]},
    "presence_penalty": {"type": ["number", "null"], "minimum": -2, "maximum": 2},
    "frequency_penalty": {"type": ["number", "null"], "minimum": -2, "maximum": 2},
    "logit_bias": {
        "type": ["object", "null"], "maxProperties": MOST_BIASES, "propertyNames": {"pattern": "^[0-9]{1,9}$"},
        "additionalProperties": {"type": "number", "minimum": -100, "maximum": 100},
    },
    "stream": {"type": ["boolean", "null"]},
    "stream_options": {"type": ["object", "null"]},
}
PART = _object("type text", type={"const": "text"}, text=STRING)
MESSAGE = _object("role content", role={"enum": ["system", "developer", "user", "assistant"]},
                  content={"anyOf": [STRING, _list(PART)]})
# The formats of the OpenAI API.
TEXT: dict[str, dict[str, Any]] = {
    "OpenAIError": _object(
        "error",
        error=_object("message type param code", message=STRING, type=STRING, param={"type": ["string", "null"]},
                      code={"type": ["string", "null"]}),
    ),
    "OpenAIModel": _object("id object created owned_by", id=STRING, object={"const": "model"}, created=WHOLE,
                           owned_by=STRING),
    "OpenAIModels": _object("object data", object={"const": "list"}, data=_list(ref("OpenAIModel"))),
    "Deleted": _object("id object deleted", id=STRING, object=STRING, deleted=FLAG),
    "CompletionRequest": _object(
        "model prompt", model=MODEL, prompt=PROMPT, echo={"type": ["boolean", "null"]},
        logprobs={"type": ["integer", "null"], "minimum": 0, "maximum": MOST_LOGPROBS},
        best_of={"type": ["integer", "null"], "minimum": 1, "maximum": MOST_CHOICES},
        suffix={"type": ["string", "null"], "maxLength": 0}, **SAMPLING,
    ),
    "Completion": _object(
        "id object created model choices usage", id=STRING, object={"const": "text_completion"}, created=WHOLE,
        model=STRING, system_fingerprint=STRING, usage=USAGE,
        choices=_list(_object("index text logprobs finish_reason", index=WHOLE, text=STRING, logprobs=LOGPROBS,
                              finish_reason=REASON)),
    ),
    "ChatRequest": _object(
        "model messages", model=MODEL,
        messages={**_list(MESSAGE), "minItems": 1},
        max_completion_tokens={"type": ["integer", "null"], "minimum": 1, "maximum": MOST_TOKENS},
        logprobs={"type": ["boolean", "null"]},
        top_logprobs={"type": ["integer", "null"], "minimum": 0, "maximum": MOST_LOGPROBS}, **SAMPLING,
    ),
    "ChatCompletion": _object(
        "id object created model choices usage", id=STRING, object={"const": "chat.completion"}, created=WHOLE,
        model=STRING, system_fingerprint=STRING, usage=USAGE,
        choices=_list(_object("index message logprobs finish_reason", index=WHOLE, message=_object("role content"),
                              logprobs=LOGPROBS, finish_reason=REASON)),
    ),
    "EmbeddingRequest": _object("model input", model=MODEL, input=PROMPT,
                                encoding_format={"enum": ["float", "base64", None]}),
    "Usage": _object("object data", object={"const": "list"}, data=_list(_object("key day model requests"))),
    "Embeddings": _object("object data model usage", object={"const": "list"}, data=_list(_object()), model=STRING,
                          usage=USAGE),
}  # fmt: skip

SCHEMAS: dict[str, dict[str, Any]] = {
    "Error": _object("error", error=STRING),
    "Object": _object(),
    "Empty": {"type": "object", "maxProperties": 0},
    "LoadRequest": _object(parameters={"type": "object", "maxProperties": 0}),
    "Live": _object("live", live=FLAG),
    "Ready": _object("ready", ready=FLAG, live=FLAG),
    "Server": _object("name version extensions", name=STRING, version=STRING, extensions=_list(STRING)),
    "Models": _object("models", models=_list(STRING)),
    "ModelReady": _object("name ready", name=STRING, ready=FLAG),
    "Metadata": _object(
        "name versions platform inputs outputs",
        name=STRING, versions=_list(STRING), platform=STRING, inputs=_list(TENSOR_SPEC), outputs=_list(TENSOR_SPEC),
    ),
    "Config": _object("name platform max_batch_size input output", name=STRING, platform=STRING, max_batch_size=WHOLE),
    "Statistics": _object("model_stats", model_stats=_list(_object("name version inference_stats"))),
    "IndexRequest": _object(ready=FLAG),
    "Index": _list(_object("name version state reason", name=STRING, version=STRING, state=STATES, reason=STRING)),
    "InferenceRequest": _object(
        "inputs", id=STRING, parameters=_object(), inputs=_list(TENSOR), outputs=_list(_object("name", name=STRING))
    ),
    "InferenceReply": _object(
        "model_name model_version outputs", model_name=STRING, model_version=STRING, id=STRING, outputs=_list(TENSOR)
    ),
    "Predictions": _object(
        "model_name model_version predictions",
        model_name=STRING,
        model_version=STRING,
        predictions=_list(_object("label probability", label=STRING, probability=NUMBER)),
    ),
    "SampleRequest": {
        "anyOf": [
            {**_object(count=COUNT, seed=SEED), "additionalProperties": False},
            {**_object("seeds", seeds={**_list(SEED), "minItems": 1, "maxItems": 32}), "additionalProperties": False},
            {**_object("between", between={**_list(SEED), "minItems": 2, "maxItems": 2}, count=COUNT),
             "additionalProperties": False},
        ]
    },
    **TEXT,
}  # fmt: skip

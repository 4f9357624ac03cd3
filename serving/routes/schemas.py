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
from serving.engine.tuning.asked import (
    LONGEST_KEY,
    LONGEST_VALUE,
    MOST_BATCH,
    MOST_CROP,
    MOST_EPOCHS,
    MOST_PAIRS,
    MOST_RANK,
    MOST_TARGETS,
)
from serving.engine.tuning.asked import SEEDS as JOB_SEEDS
from serving.engine.tuning.jobs import STATUSES

MOST_LISTED, MOST_FILES = 100, 10_000  # items of a page; of one of files
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
# What may stand behind the question mark of a path.
QUERY: dict[str, dict[str, Any]] = {
    "limit": {"type": "integer", "minimum": 1, "maximum": MOST_LISTED},
    "files": {"type": "integer", "minimum": 1, "maximum": MOST_FILES},
    "after": {**STRING, "minLength": 1, "description": "the id of the last item of the page before"},
    "order": {"enum": ["asc", "desc"]},
    "purpose": {**STRING, "minLength": 1},
    "metadata": {**STRING, "const": "null", "description": "null: jobs without; metadata[key]=value: jobs with that"},
}
CONTENT = {"type": "string", "format": "binary", "minLength": 1}
IDENTIFIER = {"type": ["string", "null"]}
AUTO = {"const": "auto"}
RATE = {"anyOf": [AUTO, {"type": "number", "exclusiveMinimum": 0}, {"type": "null"}]}


def _count(most: int) -> dict[str, Any]:
    return {"anyOf": [AUTO, {"type": "integer", "minimum": 1, "maximum": most}, {"type": "null"}]}


HYPERPARAMETERS = {
    **_object(n_epochs=_count(MOST_EPOCHS), batch_size=_count(MOST_BATCH), learning_rate_multiplier=RATE,
              learning_rate=RATE),
    "additionalProperties": False,
}  # fmt: skip
LORA = {
    **_object(r={"type": "integer", "minimum": 1, "maximum": MOST_RANK},
              alpha={"type": "number", "exclusiveMinimum": 0},
              dropout={"type": "number", "minimum": 0, "exclusiveMaximum": 1},
              target_modules={**_list(SOME), "minItems": 1, "maxItems": MOST_TARGETS}),
    "additionalProperties": False,
}  # fmt: skip
IMAGES = {
    **_object(crop={"type": ["integer", "null"], "minimum": 0, "maximum": MOST_CROP},
              flip={"type": ["number", "null"], "minimum": 0, "maximum": 1}),
    "additionalProperties": False,
}  # fmt: skip
METHOD = {
    **_object(type={"const": "supervised"},
              supervised={**_object(hyperparameters=HYPERPARAMETERS, lora=LORA, images=IMAGES),
                          "additionalProperties": False}),
    "additionalProperties": False,
}  # fmt: skip
METADATA = {
    "type": ["object", "null"], "maxProperties": MOST_PAIRS, "propertyNames": {"maxLength": LONGEST_KEY},
    "additionalProperties": {**STRING, "maxLength": LONGEST_VALUE},
}  # fmt: skip


def _pages(item: str) -> dict[str, Any]:
    """A page of a list."""
    return _object("object data has_more", object={"const": "list"}, data=_list(ref(item)), first_id=IDENTIFIER,
                   last_id=IDENTIFIER, has_more=FLAG)  # fmt: skip


TUNING: dict[str, dict[str, Any]] = {
    "FileObject": _object("id object bytes created_at filename purpose status", id=STRING, object={"const": "file"},
                          bytes=WHOLE, created_at=WHOLE, filename=STRING, purpose=STRING, status=STRING,
                          expires_at={"type": ["integer", "null"]}),
    "Files": _pages("FileObject"),
    "Upload": _object("file purpose", file=CONTENT, purpose={"const": "fine-tune"}),
    "AdapterUpload": _object("file model", file=CONTENT, model={**MODEL, "minLength": 1},
                             suffix={**STRING, "pattern": "^[A-Za-z0-9_.-]{0,64}$"}),
    "JobRequest": {
        **_object("model training_file", model={**MODEL, "minLength": 1}, training_file=SOME,
                  validation_file={"type": ["string", "null"], "minLength": 1},
                  suffix={"type": ["string", "null"], "pattern": "^[A-Za-z0-9_.-]{0,64}$"},
                  seed={"type": ["integer", "null"], "minimum": 0, "maximum": JOB_SEEDS - 1}, method=METHOD,
                  hyperparameters=HYPERPARAMETERS, metadata=METADATA),
        "additionalProperties": False,
    },
    "Job": _object("id object created_at model status training_file", id=STRING, object={"const": "fine_tuning.job"},
                   created_at=WHOLE, model=STRING, status={"enum": list(STATUSES)}, training_file=STRING,
                   fine_tuned_model=IDENTIFIER, result_files=_list(STRING), error={"type": ["object", "null"]}),
    "Jobs": _pages("Job"),
    "Event": _object("id object created_at level message type", id=STRING, object={"const": "fine_tuning.job.event"},
                     created_at=WHOLE, level={"enum": ["info", "warn", "error"]}, message=STRING,
                     type={"enum": ["message", "metrics"]}, data=_object()),
    "Events": _pages("Event"),
    "Checkpoint": _object("id object created_at fine_tuned_model_checkpoint step_number metrics", id=STRING,
                          object={"const": "fine_tuning.job.checkpoint"}, created_at=WHOLE,
                          fine_tuned_model_checkpoint=STRING, step_number=WHOLE, metrics=_object()),
    "Checkpoints": _pages("Checkpoint"),
}  # fmt: skip

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
    **TUNING,
}  # fmt: skip

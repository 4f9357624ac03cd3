"""Tools that others wrote, against a running server: `make clients`, or `python -m tests.clients [NAME ...]`.

    openapi     openapi-spec-validator: the description is valid
    fuzz        schemathesis with all checks: the server does what the description says
    evaluate    lm-evaluation-harness through `local-completions`: scores and texts
    tune        OpenAI's client: files, a job with its events and checkpoints, its model
    kserve      KServe's client, out of an environment of its own

Each needs its package, and says so where it is missing. They are slow and heavy, and no part of `make test`, as the
clients of OpenAI and Triton are.
"""

from __future__ import annotations

import importlib.util
import json
import math
import os
import subprocess
import sys
import tempfile
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT), str(ROOT / "tests" / "serving")]

KSERVE = os.environ.get("KSERVE_PYTHON", str(Path(sys.executable).parent.parent / "kserve/bin/python"))
EXAMPLES = 15  # that schemathesis makes for each operation


def openapi(address: str) -> str:
    """The description is one of OpenAPI 3.1."""
    from openapi_spec_validator import validate

    with urllib.request.urlopen(f"http://{address}/openapi.json", timeout=30) as answer:
        document = json.load(answer)
    validate(document)
    return f"{len(document['paths'])} paths"


def fuzz(address: str) -> str:
    """Requests that the description allows are answered, others refused, all as it says."""
    command = [
        str(Path(sys.executable).with_name("schemathesis")), "run", f"http://{address}/openapi.json", "--checks", "all",
        "--max-examples", str(EXAMPLES), "--generation-deterministic", "--phases", "examples,coverage,fuzzing",
    ]  # fmt: skip
    found = subprocess.run(command, capture_output=True, text=True)
    lines = [line for line in found.stdout.splitlines() if line.strip()]
    if found.returncode:
        raise AssertionError("\n".join(lines[-100:]) + found.stderr)
    return next((line.strip() for line in reversed(lines) if "generated" in line), lines[-1])


def evaluate(address: str) -> str:
    """Scores of continuations and texts up to a stop are those that the model gives itself."""
    import texts
    from lm_eval.api.instance import Instance
    from lm_eval.models.openai_completions import LocalCompletionsAPI

    model = texts.model("gpt-char")
    client = LocalCompletionsAPI(
        base_url=f"http://{address}/v1/completions", model="gpt", tokenizer_backend=None,
        max_length=model.context, num_concurrent=1, batch_size=4,
    )  # fmt: skip
    client.tokenizer, client.tokenized_requests = model.tokenizer, True  # which is of no kind that it knows
    client.tok_encode = lambda text, **_: model.tokenizer.encode(text)
    asked = [("O Rome", ", all"), ("O Rome", " x"), ("all", " Rome")]
    instances = [Instance("loglikelihood", {}, pair, i) for i, pair in enumerate(asked)]
    for (context, text), (score, _) in zip(asked, client.loglikelihood(instances, disable_tqdm=True), strict=True):
        expected = logprob(model, context, text)
        assert abs(score - expected) < 1e-3, (context, text, score, expected)
    client.tokenized_requests = False
    wanted = Instance("generate_until", {}, ("O Rome", {"until": ["zz"], "max_gen_toks": 12, "temperature": 0}), 0)
    (text,) = client.generate_until([wanted], disable_tqdm=True)
    assert text == model.generate("O Rome", 12, temperature=0), text
    return f"{len(asked)} scores, one text"


def tune(address: str) -> str:
    """A model is trained, used and deleted."""
    from tests.clients.openai_tuning import tuned

    return tuned(address)


def kserve(address: str) -> str:
    """Health, and batches as JSON and as bytes."""
    script = Path(__file__).with_name("kserve_client.py")
    found = subprocess.run([KSERVE, str(script), f"http://{address}"], capture_output=True, text=True)
    if found.returncode:
        raise AssertionError(found.stdout + found.stderr)
    return found.stdout.strip().splitlines()[-1]


def logprob(model: Any, context: str, text: str) -> float:
    """log p(text | context)."""
    found = 0.0
    for place, token in enumerate(text):
        found += math.log(dict(model.predict(context + text[:place]))[token])
    return found


TOOLS: dict[str, tuple[Callable[[str], str], str]] = {
    "openapi": (openapi, "openapi_spec_validator"),
    "fuzz": (fuzz, "schemathesis"),
    "evaluate": (evaluate, "lm_eval"),
    "tune": (tune, "openai"),
    "kserve": (kserve, "kserve"),
}


def is_installed(package: str) -> bool:
    """Whether a tool has what it needs."""
    if package != "kserve":
        return importlib.util.find_spec(package) is not None
    return Path(KSERVE).exists() and not subprocess.run([KSERVE, "-c", "import kserve"], capture_output=True).returncode


def models(folder: Path) -> list[str]:
    """One of each kind: characters, byte pairs (which take any text, and a long one), an image model."""
    import numpy as np
    import texts

    import zoo
    from deploy import freeze
    from needle import nn
    from needle.weights import save_safetensors

    config = {**zoo.entry("gpt-novels").tiny.model, "context": 2048}
    pairs = zoo.load("gpt-novels", **config)
    facts = {"model": "gpt-novels", "config": json.dumps(config)}
    save_safetensors(folder / "pairs.safetensors", pairs.state_dict(), facts)
    freeze(nn.Linear(4, 2), np.ones((1, 4), np.float32)).save(folder / "linear.nd")
    texts.save("gpt-char", folder / "gpt.safetensors")
    return [str(path) for path in sorted(folder.iterdir())]


def main(names: list[str]) -> int:
    """The exit code: 1 if a tool has found something."""
    from conftest import real

    failed = False
    with tempfile.TemporaryDirectory() as folder:
        given = models(Path(folder))
        for name in names or TOOLS:
            tool, package = TOOLS[name]
            if not is_installed(package):
                print(f"{name}: skipped, {package} is not installed", flush=True)
                continue
            chosen = [path for path in given if name != "fuzz" or "gpt" not in path]
            with real("--models", *chosen, "--engine", "instant", "--train-nice", "5", models=len(chosen)) as server:
                try:
                    print(f"{name}: {tool(server.address)}", flush=True)
                except AssertionError as problem:
                    failed = True
                    print(f"{name}: FAILED\n{problem}", flush=True)
    return failed


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

"""The OpenAI client trains a model on a running server, uses it, and deletes it."""

import time
from typing import Any

TEXT = "the dog sat by us\nmy cat ran in it\n" * 60


def tuned(address: str) -> str:
    """What was done, in words."""
    import openai

    with openai.OpenAI(base_url=f"http://{address}/v1", api_key="none") as client:
        file = client.files.create(file=("my.txt", TEXT.encode()), purpose="fine-tune")
        assert client.files.retrieve(file.id) == file and client.files.content(file.id).text == TEXT
        hyperparameters: Any = {"n_epochs": 2, "batch_size": 8}
        method: Any = {"type": "supervised", "supervised": {"hyperparameters": hyperparameters}}
        asked: dict[str, Any] = {"model": "gpt", "training_file": file.id, "method": method, "metadata": {"team": "a"}}
        job = client.fine_tuning.jobs.create(**asked, suffix="mine", seed=1, extra_headers={"Idempotency-Key": "one"})
        again = client.fine_tuning.jobs.create(**asked, suffix="mine", seed=1, extra_headers={"Idempotency-Key": "one"})
        assert again.id == job.id and [x.id for x in client.fine_tuning.jobs.list(metadata={"team": "a"})] == [job.id]
        assert client.fine_tuning.jobs.pause(job.id).status == "queued"
        assert client.fine_tuning.jobs.resume(job.id).status == "queued"
        deadline = time.monotonic() + 300
        while job.status not in ("succeeded", "failed", "cancelled"):
            assert time.monotonic() < deadline, job
            time.sleep(0.5)
            job = client.fine_tuning.jobs.retrieve(job.id)
        assert job.status == "succeeded" and job.fine_tuned_model, job
        events = list(client.fine_tuning.jobs.list_events(job.id, limit=5))
        checkpoints = list(client.fine_tuning.jobs.checkpoints.list(job.id, limit=3))
        assert len({event.id for event in events}) == len(events) > 5 and checkpoints[0].metrics.valid_loss
        assert client.files.content(job.result_files[0]).text.startswith("step,train_loss,")
        for name in (job.fine_tuned_model, checkpoints[0].fine_tuned_model_checkpoint):
            assert client.completions.create(model=name, prompt="the ", max_tokens=8).choices[0].text
        assert client.models.delete(job.fine_tuned_model).deleted and client.files.delete(file.id).deleted
        return f"a model of {len(checkpoints)} checkpoints, {len(events)} events"

"""KServe's own client against a running server: `python kserve_client.py http://HOST:PORT`, where kserve is installed.

It has an environment of its own, for what it needs does not go together with what the others need.
"""

import asyncio
import sys

import numpy as np
from kserve import InferenceRESTClient, InferInput, InferRequest
from kserve.inference_client import RESTConfig


async def main(url: str) -> None:
    client = InferenceRESTClient(RESTConfig(protocol="v2", timeout=20))
    assert await client.is_server_live(url) and await client.is_server_ready(url)
    assert await client.is_model_ready(url, "linear")
    rows = np.arange(8, dtype=np.float32).reshape(2, 4)
    for as_bytes in (False, True):
        given = InferInput("input", [2, 4], "FP32")
        given.set_data_from_numpy(rows, binary_data=as_bytes)
        request = InferRequest(model_name="linear", infer_inputs=[given])
        answer = await client.infer(url, request, model_name="linear")
        found = answer.outputs[0].as_numpy()
        assert found.shape == (2, 2) and np.isfinite(found).all(), found
    print("live, ready, two batches")


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1]))

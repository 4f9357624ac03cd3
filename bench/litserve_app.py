"""`python -m bench.litserve_app MODEL.onnx PORT WORKERS`: ResNet9 behind LitServe, as its documentation has it.

Each worker decodes a photograph with Pillow and asks ONNX Runtime, with one thread.
"""

import json
import sys
from typing import Any

import litserve
import numpy as np
import onnxruntime
from fastapi import UploadFile
from PIL import Image


class Classifier(litserve.LitAPI):
    """The five most probable labels of a photograph that is uploaded as the field `request`."""

    def setup(self, device: str) -> None:
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        self.session = onnxruntime.InferenceSession(sys.argv[1], options, ["CPUExecutionProvider"])
        found = self.session.get_modelmeta().custom_metadata_map
        image = json.loads(found["input"])
        self.labels = json.loads(found["labels"])
        self.size = image["width"], image["height"]
        self.mean, self.std = (np.array(image[name], "float32").reshape(3, 1, 1) for name in ("mean", "std"))

    def decode_request(self, request: UploadFile) -> Any:  # type: ignore[override]
        photograph = Image.open(request.file).convert("RGB").resize(self.size, Image.Resampling.BILINEAR)
        pixels = np.asarray(photograph, "float32").transpose(2, 0, 1) / 255
        return ((pixels - self.mean) / self.std)[None]

    def predict(self, x: Any) -> Any:  # type: ignore[override]
        (logits,) = self.session.run(None, {self.session.get_inputs()[0].name: x})
        e = np.exp(logits[0] - logits[0].max())
        return e / e.sum()

    def encode_response(self, output: Any) -> Any:  # type: ignore[override]
        best = output.argsort()[::-1][:5]
        return {"predictions": [{"label": self.labels[i], "probability": float(output[i])} for i in best]}


if __name__ == "__main__":
    server = litserve.LitServer(Classifier(), accelerator="cpu", workers_per_device=int(sys.argv[3]))
    server.run(host="127.0.0.1", port=int(sys.argv[2]), log_level="warning", generate_client_file=False)

"""The official cases of the installed `onnx` package, run by `deploy.onnx.backend`."""

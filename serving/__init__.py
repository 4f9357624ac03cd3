"""The zoo's compiled models over HTTP: the Open Inference Protocol v2, image upload, a page, metrics."""

__version__ = "0.1.0"

"""Answers over HTTP from the compiled models of the zoo: the Open Inference Protocol v2, image upload, a page, metrics."""

__version__ = "0.1.0"

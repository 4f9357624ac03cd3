"""The zoo's compiled models over HTTP: the Open Inference Protocol v2, image upload, a page, metrics."""

from needle import __version__ as __version__

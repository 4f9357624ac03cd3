"""The exceptions deploy raises for a user's mistake; all share the root `DeployError` and say where and what."""

from __future__ import annotations

from needle.errors import NeedleError


class DeployError(NeedleError):
    """Root of every error that deploy raises on purpose."""


class FreezeError(DeployError):
    """A module cannot be recorded as one graph that holds for every batch size."""


class GraphError(DeployError):
    """A graph breaks a rule that every graph must keep."""


class NdFormatError(DeployError):
    """A file is not a well-formed `.nd` file; the message names the place."""


class OnnxError(DeployError):
    """An ONNX file cannot be read as a graph, or a graph cannot be written as one; the message has every reason."""


class EmitError(DeployError):
    """A graph holds an op or a shape for which no program can be written."""


class BuildError(DeployError):
    """The C++ compiler is missing or refused the generated program."""


class RunError(DeployError, ValueError):
    """The arrays given do not fit the model's inputs."""

"""What needle-zoo, needle-deploy and needle-serve share: flags, exit codes, messages, completion, plugins.

A command exits with 0, with 1 when it failed, with 2 when it was called wrongly, and with 128 + the number of the
signal that ended it: 130 after Ctrl-C, 141 when nobody reads its output any more.
"""

from .grammar import CommandParser, Distinct, number, offer, whole
from .plugins import load_plugins
from .run import Answer, run, write
from .terminal import ticking

__all__ = ["Answer", "CommandParser", "Distinct", "load_plugins", "number", "offer", "run", "ticking", "whole", "write"]

"""The ops that only ONNX has: the interpreter computes them through numpy, no program holds them.

`deploy.registry` knows them by their class names, so a graph with them is saved, loaded and verified as every other.
"""
# ruff: noqa: F403

from .images import *
from .learned import *
from .numbers import *
from .places import *
from .quantized import *
from .recurrent import *
from .signals import *
from .texts import *
from .windows import *

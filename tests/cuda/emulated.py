"""The extension of cuda() as the host's compiler builds it for the emulator (simt.h), in place of one for a device.

`pytest -p tests.cuda.emulated` with EMULATED naming the library: `ndl.cuda()` is enabled in that process alone.
"""

from __future__ import annotations

import os
import sys
from importlib.util import module_from_spec, spec_from_file_location

NAME = "needle.backend_ndarray.ndarray_backend_cuda"


def install(library: str) -> None:
    """Make a library the module that `ndl.cuda()` looks for; before it is first asked for."""
    spec = spec_from_file_location(NAME, library)
    assert spec is not None and spec.loader is not None, library
    module = module_from_spec(spec)
    spec.loader.exec_module(module)
    sys.modules[NAME] = module


if os.environ.get("EMULATED"):
    install(os.environ["EMULATED"])

"""The reference implementation of the composite kernels on numpy arrays; each keeps the dtype of its arguments."""

from importlib import import_module

from ..kernels import KERNELS

for _module, _names in KERNELS.items():
    _functions = vars(import_module(f"{__name__}.{_module}"))
    globals().update({_name: _functions[_name] for _name in _names.split()})

"""The exceptions needle raises for a user's mistake; all share the root `NeedleError`.

Each is also the built-in exception that numpy or Python would raise, so either may be caught. Messages say where, what
was given and what was needed: `[matmul] inner sizes must agree, got (2, 3) @ (2, 3)`.
"""


class NeedleError(Exception):
    """Root of every error that needle raises on purpose."""


class ShapeError(NeedleError, ValueError):
    """The shapes or axes given do not fit the operation."""


class BroadcastError(ShapeError, AssertionError):
    """A shape cannot be broadcast to the one asked for."""


class SettingError(NeedleError, ValueError):
    """A setting (a rate, a probability, a count) lies outside the range in which it means something."""


class DTypeError(NeedleError, TypeError):
    """The element type given does not fit the operation."""


class DeviceError(NeedleError, RuntimeError):
    """The device is not available, or operands live on different devices."""


class IndexRangeError(NeedleError, IndexError):
    """A label, id or index lies outside the range it indexes."""


class DataError(NeedleError, ValueError):
    """A file or data set does not hold what its format promises."""

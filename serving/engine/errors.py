"""The refusals of the service. Each carries the HTTP status it is answered with; all share the root `ServingError`.

Messages say where, what was given and what was needed; a refusal for a limit names the limit and its flag.
"""

import math

from needle.errors import NeedleError


class ServingError(NeedleError):
    """Root of every refusal, and the answer to a request that is malformed (400)."""

    status = 400
    retry_after: int | None = None
    code: str | None = None  # what programs may look for, where the status does not say it all


class Unauthorized(ServingError):
    """The request comes without a key that is known."""

    status = 401
    code = "invalid_api_key"


class Forbidden(ServingError):
    """It is there, but this may not be done with it."""

    status = 403


class NotFound(ServingError):
    """No such model, version or route."""

    status = 404
    code = "model_not_found"


class Missing(ServingError):
    """No such file, job or item of a list."""

    status = 404
    code = "not_found"


class OtherUse(ServingError):
    """The model is there, but is not made for what was asked of it."""

    status = 404


class TooLong(ServingError):
    """A prompt that is longer than the model's context."""

    code = "context_length_exceeded"


class TimedOut(ServingError):
    """The client was too slow in sending its request."""

    status = 408


class TooLarge(ServingError):
    """The request is larger than a limit of the server."""

    status = 413


class UnsupportedMedia(ServingError):
    """The body is in a format or encoding that the server does not read."""

    status = 415


class Unreadable(ServingError):
    """The body is of a known format, but damaged."""

    status = 422


class Reused(ServingError):
    """The Idempotency-Key came with another request before."""

    status = 422


class NotFinite(ServingError):
    """The answer holds numbers that the format which was asked for cannot hold."""

    status = 422


class Busy(ServingError):
    """The queue is full; the same request may succeed in a moment."""

    status = 429
    retry_after = 1
    code = "rate_limit_exceeded"


class RateLimited(ServingError):
    """A key has made more requests than its rate allows; the next may be made in `seconds`."""

    status = 429
    code = "rate_limit_exceeded"

    def __init__(self, message: str, seconds: float):
        super().__init__(message)
        self.retry_after = math.ceil(seconds)


class Failed(ServingError):
    """The model failed on a request that looked right: a defect on our side."""

    status = 500


class Unavailable(ServingError):
    """The model is being loaded or the server is shutting down; the same request may succeed later."""

    status = 503
    retry_after = 1


class NotServed(ServingError):
    """The server was started without what this needs."""

    status = 503


class Left(ServingError):
    """The client has closed the connection; nobody reads this."""

    status = 499


class DiskFull(ServingError):
    """What was sent cannot be kept, as the disk is full."""

    status = 507
    code = "disk_full"

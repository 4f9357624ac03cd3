"""The Flask app: routes from their tables, one answer to every error, and what every response carries."""

import gzip
import logging
import re
import secrets
import zlib

from flask import Flask, Response, g, request
from werkzeug.exceptions import HTTPException
from werkzeug.routing import PathConverter

from serving import logs
from serving.engine import timing
from serving.engine.errors import Failed, ServingError
from serving.engine.service import Service
from serving.origin import check_host, check_site
from serving.routes import about, files, models, oip, text, tuning
from serving.routes.errors import body_of, headers_of
from serving.routes.openapi import describe
from serving.routes.table import Route, answer

ROUTES = (*oip.ROUTES, *models.ROUTES, *text.ROUTES, *files.ROUTES, *tuning.ROUTES, *about.ROUTES)
HOST = re.compile(r"(?:[\w.~!$&'()*+;=%-]+|\[[0-9A-Fa-f:.]+\])?(?::\d{0,5})?", re.ASCII)
METHODS = ", ".join(sorted({"OPTIONS", "HEAD", *(route.method for route in ROUTES)}))
REQUEST_ID = re.compile(r"[A-Za-z0-9._:-]{1,128}")
COMPRESS = {"gzip": lambda data: gzip.compress(data, 1), "deflate": lambda data: zlib.compress(data, 1)}
WORTH_COMPRESSING = 1024  # bytes

log = logging.getLogger("serving")


class ModelName(PathConverter):
    """A name in a path, which may have slashes in it; what stands behind it as `/adapter` is no part of it."""

    regex = "[^/].*?(?<!/adapter)"


def create_app(service: Service) -> Flask:
    """The WSGI app that answers with the models of `service`. May be mounted anywhere: it honours SCRIPT_NAME."""
    app = Flask("serving", static_folder=None, template_folder=None)
    app.url_map.strict_slashes = False
    app.url_map.converters["model"] = ModelName
    app.url_map.merge_slashes = False
    app.extensions["needle-serve"] = service
    app.extensions["openapi"] = describe(ROUTES)
    routes: dict[str | None, Route] = {}
    for route in ROUTES:
        for path in route.paths():
            endpoint = f"{route.method} {path}"
            app.add_url_rule(path, endpoint, route.view, methods=[route.method])
            routes[endpoint] = route
    app.before_request(_begin)
    app.before_request(lambda: _admit(service, routes.get(request.endpoint)))
    app.after_request(_finish)
    app.teardown_request(lambda problem: service.memory.release())
    app.register_error_handler(ServingError, _refused)
    app.register_error_handler(HTTPException, _not_routed)
    app.register_error_handler(Exception, _failed)
    return app


def _begin() -> Response | None:
    timing.begin()
    given = request.headers.get("x-request-id", "")
    g.request_id = given if REQUEST_ID.fullmatch(given) else secrets.token_hex(8)
    host = request.environ.get("HTTP_HOST")
    if host is None and request.environ.get("SERVER_PROTOCOL") == "HTTP/1.1":
        raise ServingError("[Host] a request of HTTP/1.1 must have this header (RFC 9112, section 3.2)")
    if not HOST.fullmatch(host or ""):
        raise ServingError(f"[Host] must be one host, with a port or without, got {host!r:.80}")
    if request.method == "OPTIONS" and request.environ.get("RAW_URI") == "*":  # of the server as a whole
        return Response(headers={"Allow": METHODS})
    return None


def _admit(service: Service, route: Route | None) -> None:
    """Find out whose request it is, and whether it asks for what there is behind the question mark, in lists.

    Paths that there are not need a key like the others: they tell nothing.
    """
    g.key = None
    scope = "" if route is None else route.scope
    if scope is not None:
        kind, _, secret = request.headers.get("Authorization", "").partition(" ")
        given = secret.strip() if kind.lower() == "bearer" else request.headers.get("x-api-key")
        g.key = service.keys.admit(given, scope)
        if g.key is None:
            headers, host = request.headers, request.environ.get("HTTP_HOST")
            check_site(request.method, headers.get("Sec-Fetch-Site"), headers.get("Origin"), host)
            if service.is_private:
                check_host(host or "")
    if route is not None and route.query:
        known = {each.partition(":")[0] for each in route.query}
        unknown = [name for name in request.args if name.partition("[")[0] not in known]
        if unknown:
            raise ServingError(f"[{unknown[0][:60]}] is nothing to ask for here; there are {', '.join(sorted(known))}")


def _finish(response: Response) -> Response:
    """Name the request on every response, forbid guessing of its type, and compress long ones for who asks."""
    response.headers["x-request-id"] = g.request_id
    response.headers["Server-Timing"] = timing.header()
    response.headers["X-Content-Type-Options"] = "nosniff"
    if "Allow" in response.headers:  # from a set, whose order is another in each process
        response.headers["Allow"] = ", ".join(sorted(response.headers["Allow"].split(", ")))
    if not response.is_streamed and (response.content_length or 0) > WORTH_COMPRESSING:
        response.vary.add("Accept-Encoding")
        encoding = next((name for name in COMPRESS if request.accept_encodings[name] > 0), None)
        if encoding:
            response.set_data(COMPRESS[encoding](response.get_data()))
            response.content_encoding = encoding
    _log(response)
    return response


def _log(response: Response) -> None:
    """A record of the answer, where they are asked for; of a stream when it begins."""
    if logs.requests.isEnabledFor(logging.INFO):
        key, size, seconds = getattr(g, "key", None), response.content_length, timing.elapsed()
        method, path, status = request.method, request.path, response.status_code
        facts = {"request": g.request_id, "method": method, "path": path, "status": status}
        facts |= {"seconds": round(seconds, 6), "bytes": size, "key": key.id if key else None}
        line = f"{method} {path!r} {status}, {1e3 * seconds:.1f} ms"
        logs.requests.info(line, extra={name: value for name, value in facts.items() if value is not None})


def _refused(refusal: ServingError) -> Response:
    response = answer(body_of(request.path, refusal), refusal.status)
    response.headers.update(headers_of(request.path, refusal))
    if refusal.status == 401:
        response.headers["WWW-Authenticate"] = "Bearer"
    if refusal.status >= 500:
        what = f"{request.method} {request.path!r}: {refusal} (request {g.request_id})"
        log.error(what, exc_info=refusal.__cause__)
    return response


def _not_routed(problem: HTTPException) -> Response:
    """Unknown paths and methods, in the error shape of the path."""
    reason = (problem.description or problem.name).split(". ")[0].rstrip(".")
    refusal = ServingError(f"[{request.method} {request.path[:200]}] {reason}")
    refusal.status = problem.code or 500
    response = _refused(refusal)
    for name, value in problem.get_headers(request.environ):
        if name in ("Allow", "Retry-After"):
            response.headers[name] = value
    return response


def _failed(problem: Exception) -> Response:
    log.exception("%s %r failed (request %s)", request.method, request.path, g.request_id)
    refusal = Failed(f"[server] internal error; the log has it under request {g.request_id}")
    response = answer(body_of(request.path, refusal), refusal.status)
    response.headers.update(headers_of(request.path, refusal))
    return response

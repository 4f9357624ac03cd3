"""What the server says of itself: the pages for people, Prometheus metrics, and the OpenAPI description."""

from pathlib import Path

from flask import Response, current_app

from serving.engine.errors import NotFound
from serving.routes.table import Route, answer, owner, service

PAGES = Path(__file__).resolve().parent.parent / "pages"
# Drawings for the page, named after what they show.
EXAMPLES = ("airplane", "automobile", "bird", "deer", "frog", "horse", "ship", "truck")
TYPES = {
    ".html": "text/html; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".svg": "image/svg+xml",
}
FILES = {path.name: TYPES[path.suffix] for path in sorted(PAGES.iterdir()) if path.suffix in TYPES}
# Nothing but our own files; pictures also from the visitor's disk, which the browser names blob:.
POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob:; connect-src 'self'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)


def page() -> Response:
    return file("index.html")


def docs() -> Response:
    """The description for machines, as a page for people."""
    return file("docs.html")


HEADERS = {"Content-Security-Policy": POLICY, "Cache-Control": "no-cache", "Referrer-Policy": "no-referrer"}


def file(name: str) -> Response:
    if name not in FILES:
        raise NotFound(f"[pages] there is no file {name[:80]!r}")
    return Response((PAGES / name).read_bytes(), content_type=FILES[name], headers=HEADERS)


def metrics() -> Response:
    return Response(service().exposition(owner()), content_type="text/plain; version=0.0.4; charset=utf-8")


def openapi() -> Response:
    return answer(current_app.extensions["openapi"])


ROUTES = (
    Route("GET", "/", page, "A page to play with the models.", "Html", scope=None),
    Route("GET", "/docs", docs, "This description as a page for people.", "Html", scope=None),
    Route("GET", "/pages/<name>", file, "Files of the pages.", "File", errors=(404,), scope=None),
    Route("GET", "/metrics", metrics, "Counters in the Prometheus text format.", "Text", scope=""),
    Route("GET", "/openapi.json", openapi, "This description.", scope=None),
)

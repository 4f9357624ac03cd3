"""What the server says of itself: the page for people, Prometheus metrics, and the OpenAPI description."""

import re
from html import escape
from pathlib import Path

from flask import Response, current_app

from serving.engine.errors import NotFound
from serving.routes.table import Route, answer, owner, service

PAGES = Path(__file__).resolve().parent.parent / "pages"
# Drawings for the page, named after what they show.
EXAMPLES = ("airplane", "automobile", "bird", "deer", "frog", "horse", "ship", "truck")
FILES = {
    "index.html": "text/html; charset=utf-8",
    "page.css": "text/css; charset=utf-8",
    "page.js": "text/javascript; charset=utf-8",
    "text.html": "text/html; charset=utf-8",
    "text.js": "text/javascript; charset=utf-8",
    "icon.svg": "image/svg+xml",
    **{f"{name}.svg": "image/svg+xml" for name in EXAMPLES},
}
# Nothing but our own files; pictures also from the visitor's disk, which the browser names blob:.
POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob:; connect-src 'self'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)


def page() -> Response:
    return file("index.html")


def text_page() -> Response:
    return file("text.html")


HEADERS = {"Content-Security-Policy": POLICY, "Cache-Control": "no-cache", "Referrer-Policy": "no-referrer"}


def file(name: str) -> Response:
    if name not in FILES:
        raise NotFound(f"[pages] there is no file {name[:80]!r}")
    return Response((PAGES / name).read_bytes(), content_type=FILES[name], headers=HEADERS)


def requests() -> Response:
    """What can be asked, as a table for people, made from the routes that the description for machines is made from."""
    rows = []
    for path, methods in current_app.extensions["openapi"]["paths"].items():
        for method, operation in methods.items():
            if "/versions/" not in path:
                shown = re.sub(r"\{(\w+)\}", lambda found: found[1].upper(), path)
                rows.append(f"<tr><td>{method.upper()}<td><code>{escape(shown)}</code><td>{escape(operation['summary'])}")
    text = (PAGES / "requests.html").read_text().replace("<!-- rows -->", "\n".join(rows))
    return Response(text, content_type=FILES["index.html"], headers=HEADERS)


def metrics() -> Response:
    return Response(service().exposition(owner()), content_type="text/plain; version=0.0.4; charset=utf-8")


def openapi() -> Response:
    return answer(current_app.extensions["openapi"])


ROUTES = (
    Route("GET", "/", page, "A page to try the model with an image.", "Html", scope=None),
    Route("GET", "/text", text_page, "A page to let a language model write.", "Html", scope=None),
    Route("GET", "/requests", requests, "This list: what can be asked of the server.", "Html", scope=None),
    Route("GET", "/pages/<name>", file, "Files of the page.", "File", errors=(404,), scope=None),
    Route("GET", "/metrics", metrics, "Counters in the Prometheus text format.", "Text", scope=""),
    Route("GET", "/openapi.json", openapi, "This description.", scope=None),
)

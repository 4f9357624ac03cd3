"""What people who run a server have: a file of flags, a log for machines, timings, traces, and `doctor`."""

from __future__ import annotations

import argparse
import http.server
import json
import logging
import socket
import subprocess
import sys
import threading
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from serving import cli, doctor, logs, telemetry
from serving.engine import timing
from serving.engine.errors import ServingError
from serving.key_commands import state_of


def options(text: str, path: Path, *more: str) -> argparse.Namespace:
    path.write_text(text)
    found: argparse.Namespace = cli.parser().parse_args(["--config", str(path), *more])
    return found


def test_flags_of_a_file_are_those_of_the_command_line_which_wins(tmp_path: Path) -> None:
    text = """
        models = ["resnet9", "mine=net.nd"]
        port = 8080
        max-queue = 7
        open = true
        prepare = false
        plugin = ["a.py"]"""
    found = options(text, tmp_path / "c.toml", "--port", "9", "--plugin", "b.py")
    assert found.models == ["resnet9", "mine=net.nd"] and found.port == 9 and found.queue == 7
    assert found.open is True and found.prepare is False and found.plugin == ["a.py", "b.py"]
    assert options("", tmp_path / "empty.toml").port == 8000


@pytest.mark.parametrize(("text", "message"), [
    ("prot = 1", r"no setting is called 'prot'; did you mean 'port'\?"),
    ("config = 'x'", "no setting is called 'config'"),
    ("port = true", "port is not a matter of true or false"),
    ("open = 1", "open must be true or false, got 1"),
    ("port = [1, 2]", r"port must be one value, got \[1, 2\]"),
    ("[port]\nx = 1", "port must be a text, a number"),
    ("port = ", "is no TOML file"),
])  # fmt: skip
def test_what_no_flag_takes_is_refused(text: str, message: str, tmp_path: Path) -> None:
    with pytest.raises(ServingError, match=message):
        options(text, tmp_path / "c.toml")


def test_values_of_a_file_are_checked_as_flags_are(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit, match="2"):
        options("port = 70000", tmp_path / "c.toml")
    assert "--port" in capsys.readouterr().err
    assert cli.main(["--config", str(tmp_path / "none.toml")]) == 1
    assert "none.toml] cannot be read: No such file" in capsys.readouterr().err


@pytest.fixture
def root_logger() -> Iterator[logging.Logger]:
    root = logging.getLogger()
    handlers, level, each = root.handlers[:], root.level, logs.requests.level
    yield root
    root.handlers[:], root.level = handlers, level
    logs.requests.setLevel(each)


def test_a_record_is_a_line_of_json(root_logger: logging.Logger, capsys: pytest.CaptureFixture[str]) -> None:
    logs.configure("json", each_request=True)
    logging.getLogger("serving").info("ready: %s\nand more", "Bär")
    logs.requests.info("GET / 200", extra={"request": "r1", "status": 200, "seconds": 0.25})
    try:
        raise ValueError("x")
    except ValueError:
        logging.getLogger("gunicorn.error").exception("failed")
    first, second, third = map(json.loads, capsys.readouterr().err.splitlines())
    assert first["message"] == "ready: Bär\nand more" and first["level"] == "info" and first["time"].endswith("+00:00")
    assert (second["request"], second["status"], second["seconds"]) == ("r1", 200, 0.25)
    assert third["level"] == "error" and "ValueError: x" in third["exception"] and third["logger"] == "gunicorn.error"
    logs.configure("text")
    logging.getLogger("serving").info("for people")
    logs.requests.info("not asked for")
    assert capsys.readouterr().err == "needle-serve: for people\n"


def test_timings_are_those_of_the_request() -> None:
    timing.note(queue=1.0)  # outside of a request: nothing happens
    timing.begin()
    timing.note(queue=0.001, compute=0.25)
    parts = dict(part.split(";dur=") for part in timing.header().split(", "))
    assert (parts["queue"], parts["compute"]) == ("1", "250") and 0 <= float(parts["total"]) < 1000
    timing.begin()
    assert timing.header().startswith("total;dur=")


@pytest.fixture
def collector() -> Iterator[tuple[str, list[tuple[str, bytes]]]]:
    """What takes traces by OTLP over HTTP: its address, and what it was sent."""
    sent: list[tuple[str, bytes]] = []

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            sent.append((self.path, self.rfile.read(int(self.headers["Content-Length"]))))
            self.send_response(200)
            self.end_headers()

        def log_message(self, *_: Any) -> None:
            """Nothing."""

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}", sent
    server.shutdown()
    server.server_close()
    thread.join()


def test_requests_are_traced_where_that_is_asked_for(
    collector: tuple[str, list[tuple[str, bytes]]], monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("opentelemetry.instrumentation.flask", reason="pip install 'needle-dl[telemetry]'")
    from flask import Flask

    app = Flask("traced")
    app.add_url_rule("/hello", "hello", lambda: "hello")
    telemetry.instrument(app)
    assert not telemetry.wanted() and not app.before_request_funcs
    address, sent = collector
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", address)
    monkeypatch.setenv("OTEL_BSP_SCHEDULE_DELAY", "50")
    telemetry.instrument(app)
    assert app.test_client().get("/hello").data == b"hello"
    for _ in range(100):
        if sent:
            break
        threading.Event().wait(0.1)
    path, body = sent[0]
    assert path == "/v1/traces" and b"needle-serve" in body and b"/hello" in body


def test_without_the_packages_tracing_is_refused_in_a_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:1")
    monkeypatch.setitem(sys.modules, "opentelemetry.sdk.trace", None)
    with pytest.raises(ServingError, match=r"is not installed; pip install 'needle-dl\[telemetry\]'"):
        telemetry.instrument(None)


def test_the_doctor_looks_at_what_a_server_needs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("NEEDLE_HOME", str(tmp_path / "home"))
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        found = {x.what: x for x in doctor.findings("127.0.0.1", port, state_of(cli.parser().parse_args([])))}
        assert found["address"].state == "error" and "choose another --port" in found["address"].found
        assert cli.main(["doctor", "--port", str(port)]) == 1
    assert "x address" in capsys.readouterr().out
    assert cli.main(["doctor", "--port", str(port), "--json"]) == 0
    said = {x["what"]: x for x in json.loads(capsys.readouterr().out)}
    assert said["keys"]["found"].startswith("none") and "resnet9" in said["models"]["found"]
    assert str(tmp_path / "home") in said["cache"]["found"] and {x["state"] for x in said.values()} <= {"ok", "warning"}
    monkeypatch.setenv("CXX", "no-such-compiler")
    monkeypatch.setenv("NEEDLE_HOME", str(Path(__file__) / "file"))
    worse = {x.what: x for x in doctor.findings("127.0.0.1", port, state_of(cli.parser().parse_args([])))}
    assert worse["C++ compiler"].state == "warning" and "no-such-compiler" in worse["C++ compiler"].found
    assert worse["cache"].state == "warning" and worse["state"].state == "error"


def test_a_server_says_when_and_logs_each_answer_as_json(tmp_path: Path) -> None:
    (tmp_path / "c.toml").write_text('log-format = "json"\nlog-requests = true\nengine = "instant"\nport = 0\n')
    command = [sys.executable, "-m", "serving.cli", "--config", str(tmp_path / "c.toml"), "--state", str(tmp_path)]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as server:
        assert server.stderr is not None
        records: list[dict[str, Any]] = []
        try:
            for line in server.stderr:
                records.append(json.loads(line))
                if "listening on " in records[-1]["message"]:
                    break
            address = records[-1]["message"].split("listening on ")[1]
            request = urllib.request.Request(address + "/v2/health/live", headers={"x-request-id": "mine"})
            with urllib.request.urlopen(request, timeout=30) as answer:
                assert answer.headers["Server-Timing"].startswith("total;dur=")
                assert answer.headers["x-request-id"] == "mine"
            for line in server.stderr:
                records.append(json.loads(line))
                if records[-1].get("request") == "mine":
                    break
        finally:
            server.terminate()
            rest = server.stderr.read()
    assert (records[-1]["path"], records[-1]["status"]) == ("/v2/health/live", 200) and records[-1]["seconds"] < 30
    assert all(json.loads(line) for line in rest.splitlines()) and server.returncode == 0
